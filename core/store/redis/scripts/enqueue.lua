-- enqueue: adds jobs.  Atomic.  An id that is in the store, or earlier in the batch, is passed over, so it may be
-- repeated.
-- ARGV   "1" when an id may be there twice in this batch, else "0", and "!" behind it when all is checked; then groups:
--        where (lib/add.lua), n, and n times id, value;
--        or, for jobs with a lock or a limit, where with "*" behind it, n, and n times id, value, lock, limit (as in
--        their records; "": none)
-- Reply  an error, and nothing done, when a `where`, id, value, lock or limit is none; "" when all were added; else a
--        text with, for each, "0" when it was added, "1": its id was there, "2": its lock is another's, "3": its queue
--        is full; where there is a "2", a list of that text and who holds the lock for each "2".  A job to be replaced
--        may be in a queue that is not named: lib/unknown.lua.
local call, argi, queues_n, HEAD, JOBS, COUNTS, names, list_queue, unknown_queue, is_name, NAME_BYTES_MAX = ...
local ID_BYTES_MAX, woken, wake, tell, add_ready, add = ...
local uses, store_error = ...
if store_error then return store_error end
local twice, checked = ARGV[argi + 1]:sub(1, 1) == "1", ARGV[argi + 1]:sub(2) == "!"

-- Returns the fault of a job that another client sends, or nil: its id, its queue's name, or a value that is not that
-- of a READY job of the queue and rank.
local function wrong_job(id, value, queue, rank)
  local head = "r" .. rank .. string.char(math.min(#queue, 255)) .. queue
  if not is_name(queue, NAME_BYTES_MAX) then
    return ("queue %q, expected a name of 1 to %d letters, digits or _ . : -"):format(queue, NAME_BYTES_MAX)
  end
  if not is_name(id, ID_BYTES_MAX) then
    return ("id %q, expected 1 to %d letters, digits or _ . : -"):format(id, ID_BYTES_MAX)
  end
  local task_n = value:sub(1, #head) == head and value:byte(#head + 1) or 0
  if task_n == 0 or task_n > NAME_BYTES_MAX or #value <= #head + task_n then
    return ("the value of job %q is none of its queue and priority"):format(id)
  end
end
local lists = queues_n * 5
local at, any_tied = argi + 2, false
while ARGV[at] do
  local list, delay, tied = ARGV[at]:match("^(%d+)([^*]*)(%*?)$")
  list = tonumber(list)
  if not list or list < 1 or list > lists or (delay ~= "" and not delay:find("^[+@]%d+$")) then
    local expected = "a list from 1 to %d, with +ms or @ms behind it or nothing"
    return redis.error_reply(("ERR enqueue: where is %q, expected " .. expected):format(ARGV[at], lists))
  end
  any_tied = any_tied or tied == "*"
  local step = tied == "*" and 4 or 2
  local group_end = at + 2 + (tonumber(ARGV[at + 1]) or 0) * step
  if group_end > #ARGV + 1 or group_end < at + 2 then
    return redis.error_reply("ERR enqueue: a group has other jobs than it says")
  end
  for job = at + 2, checked and 0 or group_end - 1, step do
    local i, rank = list_queue(list)
    local wrong = wrong_job(ARGV[job], ARGV[job + 1], names[i], rank)
    if wrong then return redis.error_reply("ERR enqueue: " .. wrong) end
  end
  at = group_end
end

-- These functions serve only jobs with a lock or a limit, and bounded queues.  They are made on demand, because making
-- them for every call would cost as much as the call.
local ties
if any_tied or uses.bounds then
  -- luacheck: ignore 211 (lib/leave.lua and lib/admit.lua need it)
  local function count_state(state, queue, by) call("HINCRBY", COUNTS, state .. ":" .. queue, by) end
  local bound_of, waiting_in, save_groups, sweep, lock_of, limit_of, queue_index, reaches_unknown, admit_text = ...
  local TOGETHER = ...
  local come_together = ...
  local locks, replaced = {}, {} -- locks by where the arguments of their jobs begin
  at = argi + 2
  while ARGV[at] do
    local tied, group_n = ARGV[at]:sub(-1) == "*", tonumber(ARGV[at + 1])
    for job = at + 2, tied and at + group_n * 4 - 2 or 0, 4 do
      local lock = lock_of(ARGV[job + 2])
      if lock == false then
        return redis.error_reply(("ERR enqueue: lock is %q, expected mode;ttl_ms;=key"):format(ARGV[job + 2]))
      end
      if limit_of(ARGV[job + 3]) == false then
        local expected = "concurrency;rate;per_ms;burst;order;=group"
        return redis.error_reply(("ERR enqueue: limit is %q, expected " .. expected):format(ARGV[job + 3]))
      end
      locks[job] = lock
      if lock and lock.head.mode == "replace" then replaced[#replaced + 1] = lock.key end
    end
    at = at + 2 + group_n * (tied and 4 or 2)
  end
  if reaches_unknown(replaced) then return unknown_queue() end
  ties = { admit = admit_text, save = save_groups, sweep = sweep }
  -- Has the queue of that list room for n jobs without looking at each?
  function ties.has_room(list, jobs)
    local queue = names[queue_index(tostring(list))]
    local b = bound_of(queue)
    return not b or b.max_len == 0 or waiting_in(queue) + jobs <= b.max_len
  end
  -- Adds n jobs of one `where`; id, value, lock and limit of each stand from `from` on.  Calls refuse(k, status,
  -- holder) for each job that must not come in.
  function ties.admit_all(where, jobs_n, from, refuse)
    local list = tonumber(where)
    for first = 1, jobs_n, TOGETHER do
      local piece_n, together = math.min(TOGETHER, jobs_n - first + 1), 0
      if list and ties.has_room(list, piece_n) then
        together = come_together(list, first, piece_n, from + first * 4 - 4, locks, refuse)
      end
      for k = first + together, first + piece_n - 1 do
        local job = from + k * 4 - 4
        local status, holder = admit_text(ARGV[job], where, ARGV[job + 1], ARGV[job + 2], ARGV[job + 3])
        if status ~= "0" then refuse(k, status, holder) end
      end
    end
  end
end

local statuses, refused, n, holders = {}, 0, 0, {}
at = argi + 2
while ARGV[at] do
  local where, group_n = ARGV[at], tonumber(ARGV[at + 1])
  at = at + 2
  if where:sub(-1) == "*" then
    ties.admit_all(where:sub(1, -2), group_n, at, function(k, status, holder)
      statuses[n + k] = status
      holders[#holders + 1] = holder
      refused = refused + 1
    end)
    at = at + group_n * 4
  else
    local ids = {}
    for k = 1, group_n do ids[k] = ARGV[at + k * 2 - 2] end
    local any, there = twice, call("HMGET", JOBS, unpack(ids))
    for k = 1, group_n do any = any or there[k] end
    local list = tonumber(where)
    if list and not any and (not ties or ties.has_room(list, group_n)) then
      add_ready(list, group_n, ids, ARGV, at)
    else
      for k = 1, group_n do
        local id, value, status = ids[k], ARGV[at + k * 2 - 1], "0"
        if ties then
          status = ties.admit(id, where, value, "", "")
        elseif call("HEXISTS", JOBS, id) == 1 then
          status = "1"
        else
          add(id, where, value)
        end
        if status ~= "0" then
          refused = refused + 1
          statuses[n + k] = status
        end
      end
    end
    at = at + group_n * 2
  end
  n = n + group_n
end
if ties then
  ties.save()
  ties.sweep()
end
if refused < n then
  call("HINCRBY", HEAD, "enqueued", n - refused)
  -- Who knows what its group or queue lets through.
  for i = 1, (ties or uses.groups) and queues_n or 0 do wake(names[i]) end
  if next(woken) then tell() end
end
if refused == 0 then return "" end
for i = 1, n do statuses[i] = statuses[i] or "0" end
return #holders > 0 and { table.concat(statuses), holders } or table.concat(statuses)
