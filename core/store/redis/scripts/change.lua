-- change: cancels, deletes, retries or promotes the jobs given, by hand.  Atomic.  The call names the queues of the
-- jobs; otherwise the reply names them.  For a change by filter, list gives the ids that match; this script passes over
-- those that match no longer, and over running jobs that are to stop already.
-- ARGV   verb (0 CANCEL, 1 DELETE, 2 RETRY, 3 PROMOTE), keep ms, state (0: not by filter, "any": any), queue, task ("":
--        any); then ids
-- Reply  { changed, statuses: "0" done, "1" not found, "2" in another state }, or { -1, queues }
local call, now, argi, queues_n, HEAD, JOBS, HELD, COUNTS, NOTES, STOPS, LOGS, names, index_of = ...
local list_key, u64, body_of, body_ends, queue_in, is_value, TAG, record_edit, enqueued_anew, wake, tell, tell_all = ...
local uses, untie = ...
local seq_next, save_groups, enter_line, membership, last_place, enter_front, enter_ended, store_error = ...
if store_error then return store_error end
local verb, keep, state, filter_queue, filter_task = unpack(ARGV, argi + 1, argi + 5)
local FIRST_ID = argi + 6
verb, keep = tonumber(verb), tonumber(keep)
local unnamed, missing = {}, {}
for from = FIRST_ID, #ARGV, 100 do
  for _, value in ipairs(call("HMGET", JOBS, unpack(ARGV, from, math.min(from + 99, #ARGV)))) do
    local queue = value and queue_in(value)
    if queue and not index_of[queue] then missing[queue] = true end
  end
end
for queue in pairs(missing) do unnamed[#unnamed + 1] = queue end
if #unnamed > 0 then
  for i = 1, queues_n do unnamed[#unnamed + 1] = names[i] end
  return { -1, unnamed }
end
local write_first = ...
write_first()
-- By state: SCHEDULED READY RUNNING RETRY DONE DEAD CANCELLED
local TAKES = { [0] = { true, true, true, true, false, false, false },
                { true, true, false, true, true, true, true },
                { false, false, false, true, false, true, true },
                { true, false, false, true, false, false, false } }
local counts = {}
local function count_state(s, queue, by)
  local field = s .. ":" .. queue
  counts[field] = (counts[field] or 0) + by
end

  local STATE, leave, sweep = ...
local function edit(body, tags, change)
  local _, task_end = body_ends(body)
  return body:sub(1, task_end) .. record_edit(body:sub(task_end + 1), tags, change)
end

local function gone(id)
  for _, key in ipairs({ JOBS, NOTES, LOGS }) do call("HDEL", key, id) end
  untie({ id })
end

-- READY: in front of its queue, or last in its list; in the line of its group when it needs a slot.
local function enter_ready(id, body, queue, in_front)
  local rank, i = body:sub(1, 1), index_of[queue]
  local group, has_slot = membership(id)
  local in_line = group and not has_slot
  local place = in_front and u64(now) .. seq_next() or in_line and last_place(queue, rank, list_key(i, rank))
  if in_line then
    call("HSET", JOBS, id, "g" .. place .. body)
    enter_line(id, group, queue, rank, place)
  elseif in_front then
    enter_front(id, i, place, body)
  else
    call("HSET", JOBS, id, "r" .. body)
    call("RPUSH", list_key(i, rank), id)
  end
  count_state(2, queue, 1)
end

local APPLY = {
  [0] = function(id, _, body, queue)
    call("HINCRBY", HEAD, "cancelled", 1)
    if keep <= 0 then return gone(id) end
    enter_ended(id, 7, now + keep, edit(body, { TAG.FINISHED }, function() return now end))
    count_state(7, queue, 1)
    untie({ id }, true)
  end,
  gone,
  function(id, code, body, queue)
    local span = { TAG.ENQUEUED, TAG.EXPIRES }
    local all = { TAG.ENQUEUED, TAG.EXPIRES, TAG.ATTEMPTS, TAG.CRASHES, TAG.UNKNOWNS, TAG.FINISHED }
    enter_ready(id, edit(body, code == "t" and span or all, enqueued_anew()), queue, false)
  end,
  function(id, _, body, queue) enter_ready(id, body, queue, true) end,
}

-- Of what is no job of a queue that there is nothing is known but its id.
local function can_change(value)
  return TAKES[verb][STATE[value:sub(1, 1)]] and (verb == 1 or (is_value(value) and index_of[queue_in(value)]))
end

-- Is the job, by filter, not one that is wanted?
local function passed_over(id, value, held)
  if state == "0" then return false end
  if state ~= "any" and tonumber(state) ~= (held and 3 or STATE[value:sub(1, 1)]) then return true end
  if held and call("SISMEMBER", STOPS, id) == 1 then return true end
  local body = body_of(value)
  local queue_end, task_end = body_ends(body)
  return (filter_queue ~= "" and body:sub(3, queue_end) ~= filter_queue)
      or (filter_task ~= "" and body:sub(queue_end + 2, task_end) ~= filter_task)
end

local statuses, changed, any_stops = {}, 0, false
for k = FIRST_ID, #ARGV do
  local id, status = ARGV[k], "2"
  local value = call("HGET", JOBS, id)
  local held = value and call("HEXISTS", HELD, id) == 1
  local wanted = value and not passed_over(id, value, held)
  if not value then
    status = "1"
  elseif wanted and held and verb == 0 then
    call("SADD", STOPS, id)
    status, any_stops = "0", true
  elseif wanted and not held and (can_change(value) or (verb == 1 and not is_value(value))) then
    leave(id, value)
    APPLY[verb](id, value:sub(1, 1), body_of(value), queue_in(value))
    status = "0"
  end
  statuses[#statuses + 1] = status
  if status == "0" then changed = changed + 1 end
end
save_groups()
for field, by in pairs(counts) do call("HINCRBY", COUNTS, field, by) end
sweep()
if changed > 0 and (uses.groups or uses.bounds) then
  tell_all() -- what was held back may run
elseif changed > 0 then
  for i = 1, verb > 1 and queues_n or 0 do wake(names[i]) end
  tell(any_stops and "!" or "")
end
return { changed, table.concat(statuses) }
