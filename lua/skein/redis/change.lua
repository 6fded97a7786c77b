-- change: cancel, delete, retry or promote by hand: each job given, or up to 500 that match a filter.  Atomic.  All queues are named,
-- else the reply asks for them (lib/unknown.lua).
-- ARGV   verb (0 CANCEL, 1 DELETE, 2 RETRY, 3 PROMOTE), keep ms, state (0: any), queue, task ("": any); then ids, if not by filter
-- Reply  { changed, statuses: "0" done, "1" not found, "2" in another state }
-- include frame
-- include queues
-- include value
-- include unknown
-- include record
-- include held
-- include walk
if not knows_all_queues() then return unknown_queue() end
-- include full
local verb, keep, state = tonumber(ARGV[argi + 1]), tonumber(ARGV[argi + 2]), tonumber(ARGV[argi + 3])
filter_queue, filter_task = ARGV[argi + 4], ARGV[argi + 5]
local TAKES = { [0] = { true, true, false, true, false, false, false }, -- by state: SCHEDULED READY RUNNING RETRY DONE DEAD CANCELLED
                { true, true, false, true, true, true, true },
                { false, false, false, true, false, true, true },
                { true, false, false, true, false, false, false } }
local STATE = { r = 2, f = 2, s = 1, t = 4, d = 5, x = 6, c = 7 }
local counts = {}
local function count_state(s, queue, by)
  local field = s .. ":" .. queue
  counts[field] = (counts[field] or 0) + by
end

-- Out of the structure that its code stands for.
local function leave(id, value, body)
  local code, queue = value:sub(1, 1), queue_of(body)
  local base = base_of(index_of[queue])
  if code == "r" then
    call("HINCRBY", KEYS[base + 3], body:sub(1, 1) .. id, 1)
  elseif code == "f" then
    call("ZREM", KEYS[base + 2], body:sub(1, 1) .. value:sub(2, 17) .. id)
  elseif code == "s" or code == "t" then
    call("ZREM", KEYS[base + 1], later_member(code, value, id))
  else
    call("ZREM", KEYS[STATE[code] + 4], id)
    if code ~= "x" then call("ZREM", KEYS[12], id) end
  end
  count_state(STATE[code], queue, -1)
end

local function edit(body, tags, change)
  local _, task_end = body_ends(body)
  return body:sub(1, task_end) .. record_edit(body:sub(task_end + 1), tags, change)
end

local function gone(id)
  call("HDEL", JOBS, id)
  call("HDEL", NOTES, id)
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
  end,
  gone,
  function(id, code, body, queue)
    if code ~= "t" then body = edit(body, { ATTEMPTS, CRASHES, UNKNOWNS, FINISHED }, function() return 0 end) end
    call("HSET", JOBS, id, "r" .. body)
    call("RPUSH", KEYS[base_of(index_of[queue]) + 4 + body:sub(1, 1)], id)
    count_state(2, queue, 1)
  end,
  function(id, _, body, queue)
    local place = u64(now) .. u64(call("HINCRBY", HEAD, "seq", 1))
    call("HSET", JOBS, id, "f" .. place .. body)
    call("ZADD", KEYS[base_of(index_of[queue]) + 2], 0, body:sub(1, 1) .. place .. id)
    count_state(2, queue, 1)
  end,
}

local function change(id, value)
  local body = body_of(value)
  leave(id, value, body)
  APPLY[verb](id, value:sub(1, 1), body, queue_of(body))
end

local statuses, changed = {}, 0
if ARGV[argi + 6] then
  for k = argi + 6, #ARGV do
    local id = ARGV[k]
    local value = call("HGET", JOBS, id)
    if not value then
      statuses[#statuses + 1] = "1"
    elseif call("HEXISTS", HELD, id) == 1 or not TAKES[verb][STATE[value:sub(1, 1)]] then
      statuses[#statuses + 1] = "2"
    else
      change(id, value)
      statuses[#statuses + 1] = "0"
      changed = changed + 1
    end
  end
else
  local found = {}
  local function note(id, value)
    found[#found + 1] = { id, value }
    return #found < 500
  end
  for s = 1, 7 do
    if TAKES[verb][s] and (state == 0 or state == s) and #found < 500 then walk(s, note) end
  end
  for _, f in ipairs(found) do change(f[1], f[2]) end
  changed = #found
end
for field, by in pairs(counts) do
  if call("HINCRBY", COUNTS, field, by) == 0 and field:sub(1, 2) == "2:" then -- none is READY: what its lists hold are ghosts
    local base = base_of(index_of[field:sub(3)])
    call("DEL", KEYS[base + 3], KEYS[base + 4], KEYS[base + 5], KEYS[base + 6], KEYS[base + 7], KEYS[base + 8])
  end
end
if changed > 0 then call("PUBLISH", ARGV[3], ARGV[2]) end
return { changed, table.concat(statuses) }
