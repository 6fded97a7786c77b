-- change: cancel, delete, retry or promote by hand: each job given, or up to 500 that match a filter.  Atomic.  All queues are named,
-- else the reply asks for them (lib/unknown.lua).  A running job that is cancelled is to be stopped, and by filter passed over if it is already.
-- ARGV   verb (0 CANCEL, 1 DELETE, 2 RETRY, 3 PROMOTE), keep ms, state (0: any), queue, task ("": any); then ids, if not by filter
-- Reply  { changed, statuses: "0" done, "1" not found, "2" in another state }
-- include frame
-- include queues
-- include value
-- include unknown
-- include record
-- include uses
-- include held
-- include bucket
-- include lock
-- include group
-- include belong
-- include ties
-- include walk
if not knows_all_queues() then return unknown_queue() end
-- include full
local verb, keep, state = tonumber(ARGV[argi + 1]), tonumber(ARGV[argi + 2]), tonumber(ARGV[argi + 3])
filter_queue, filter_task = ARGV[argi + 4], ARGV[argi + 5]
local TAKES = { [0] = { true, true, true, true, false, false, false }, -- by state: SCHEDULED READY RUNNING RETRY DONE DEAD CANCELLED
                { true, true, false, true, true, true, true },
                { false, false, false, true, false, true, true },
                { true, false, false, true, false, false, false } }
local counts = {}
local function count_state(s, queue, by)
  local field = s .. ":" .. queue
  counts[field] = (counts[field] or 0) + by
end

-- include leave
local function edit(body, tags, change)
  local _, task_end = body_ends(body)
  return body:sub(1, task_end) .. record_edit(body:sub(task_end + 1), tags, change)
end

local function gone(id)
  call("HDEL", JOBS, id)
  call("HDEL", NOTES, id)
  call("HDEL", LOGS, id)
  untie({ id })
end

local function enter_front(id, body, queue, place)
  call("HSET", JOBS, id, "f" .. place .. body)
  call("ZADD", KEYS[base_of(index_of[queue]) + 2], 0, body:sub(1, 1) .. place .. id)
end

-- The group in whose line the job is to stand, if any.
local function group_in_line(id)
  local g, slot = membership(id)
  return not slot and g
end

local APPLY = {
  [0] = function(id, _, body, queue)
    call("HINCRBY", HEAD, "cancelled", 1)
    if keep <= 0 then return gone(id) end
    local seq = call("HINCRBY", HEAD, "seq", 1)
    call("HSET", JOBS, id, "c" .. u64(now + keep) .. u64(seq) .. edit(body, { FINISHED }, function() return now end))
    call("ZADD", KEYS[11], seq, id)
    call("ZADD", KEYS[12], now + keep, id)
    count_state(7, queue, 1)
    untie({ id }, true)
  end,
  gone,
  function(id, code, body, queue)
    if code ~= "t" then body = edit(body, { ATTEMPTS, CRASHES, UNKNOWNS, FINISHED }, function() return 0 end) end
    local list, rank = KEYS[base_of(index_of[queue]) + 4 + body:sub(1, 1)], body:sub(1, 1)
    local g = group_in_line(id)
    if g then
      local place = last_place(queue, rank, list)
      call("HSET", JOBS, id, "g" .. place .. body)
      enter_line(id, g, queue, rank, place)
    else
      call("HSET", JOBS, id, "r" .. body)
      call("RPUSH", list, id)
    end
    count_state(2, queue, 1)
  end,
  function(id, _, body, queue)
    local place, g = u64(now) .. seq_next(), group_in_line(id)
    if g then
      call("HSET", JOBS, id, "g" .. place .. body)
      enter_line(id, g, queue, body:sub(1, 1), place)
    else
      enter_front(id, body, queue, place)
    end
    count_state(2, queue, 1)
  end,
}

local function change(id, value)
  local body = body_of(value)
  leave(id, value)
  APPLY[verb](id, value:sub(1, 1), body, queue_of(body))
end

local statuses, changed = {}, 0
if ARGV[argi + 6] then
  for k = argi + 6, #ARGV do
    local id = ARGV[k]
    local value = call("HGET", JOBS, id)
    if not value then
      statuses[#statuses + 1] = "1"
    elseif call("HEXISTS", HELD, id) == 1 and verb == 0 then
      call("SADD", STOPS, id)
      statuses[#statuses + 1] = "0"
      changed = changed + 1
    elseif call("HEXISTS", HELD, id) == 1 or not TAKES[verb][STATE[value:sub(1, 1)]] then
      statuses[#statuses + 1] = "2"
    else
      change(id, value)
      statuses[#statuses + 1] = "0"
      changed = changed + 1
    end
  end
else
  local found, running = {}, {}
  local function note(id, value)
    found[#found + 1] = { id, value }
    return #found < 500
  end
  local function note_running(id)
    if call("SISMEMBER", STOPS, id) == 0 then running[#running + 1] = id end
    return #found + #running < 500
  end
  for s = 1, 7 do
    if TAKES[verb][s] and (state == 0 or state == s) and #found + #running < 500 then walk(s, s == 3 and note_running or note) end
  end
  for _, f in ipairs(found) do change(f[1], f[2]) end
  if #running > 0 then call("SADD", STOPS, unpack(running)) end
  changed = #found + #running
end
save_groups()
for field, by in pairs(counts) do call("HINCRBY", COUNTS, field, by) end
sweep()
if changed > 0 then redis.pcall("PUBLISH", ARGV[3], ARGV[2]) end
return { changed, table.concat(statuses) }
