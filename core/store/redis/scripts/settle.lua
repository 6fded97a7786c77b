-- settle: the only way out of RUNNING.  A job that this engine holds under that fence leaves RUNNING with its new
-- record, its callback jobs and the counters.  A job that the engine does not hold is stale, and nothing changes.
-- Atomic; in the order given.  A job that is to stop is refused as a retry or a dead job.
-- ARGV   "1" when a follow-up has a lock or a limit; then groups, each of them
--          "-", fence, "d" DONE or "x" dropped, queue, n, and n ids: jobs that are gone; queue: the index of the one
--          they were fetched from
--        or "+", fence, "d" DONE, "D" DEAD or "c" CANCELLED, queue, n, keep ms, and n times id, record: jobs whose
--          record stays
--        or "=", id, fence, kind (d DONE, t RETRY, s SNOOZE, D DEAD, x dropped, c CANCELLED, r RELEASE), queue, queue
--          to wait in (indexes), delay ms, keep ms, "1" when its worker crashed, record ("": as it is), how many
--          follow-ups, and id, where, value of each; with a lock or a limit, where has "*" behind it, and lock, limit
--          follow (enqueue.lua)
-- Reply  { 0, statuses, statuses of the follow-ups in the order given, holders }; a status: "0" done, "1" stale, "2" to
--        be stopped; statuses is "" when all are "0"; of the follow-ups as enqueue's, with who holds the lock for each
--        "2".  A job to be replaced may be in a queue that is not named: lib/unknown.lua
local call, now, argi, HEAD, JOBS, HELD, COUNTS, NOTES, ENDED, KEPT, STOPS, LOGS, names, enter_front, enter_later, enter_ended, unknown_queue, u64 = ...
local body_ends, queue_of, body_in, register, wake, tell, tell_all, add, mark_left, uses, engine_of, left_held, leave_fences = ...
local place_taken, engine_error = ...
if engine_error then return engine_error end
local counters, counts = {}, {}
local function count(name, by) counters[name] = (counters[name] or 0) + by end
local function count_state(state, queue, by)
  local field = state .. ":" .. queue
  counts[field] = (counts[field] or 0) + by
end

-- Where the next follow-up begins.
local function after_follow(at) return at + (ARGV[at + 1]:sub(-1) == "*" and 5 or 3) end

-- These functions serve only jobs that are to stop or have a lock or a limit.  They are made on demand, because making
-- them for every call would cost as much as the call.
local ties
if uses.stops or uses.locks or uses.groups or ARGV[argi + 1] == "1" then
  local untie, save_groups, enter_line, membership, slot_back, sweep, lock_of, reaches_unknown, admit_text = ...
  local at, replaced = argi + 2, {}
  while ARGV[at] and ARGV[argi + 1] == "1" do
    if ARGV[at] == "-" then
      at = at + 5 + ARGV[at + 4]
    elseif ARGV[at] == "+" then
      at = at + 6 + ARGV[at + 4] * 2
    else
      local follow_n = tonumber(ARGV[at + 10])
      at = at + 11
      for _ = 1, follow_n do
        local lock = ARGV[at + 1]:sub(-1) == "*" and lock_of(ARGV[at + 3])
        if lock and lock.head.mode == "replace" then replaced[#replaced + 1] = lock.key end
        at = after_follow(at)
      end
    end
  end
  if reaches_unknown(replaced) then return unknown_queue() end
  ties = { untie = untie, admit = admit_text, enter_line = enter_line, save = save_groups, sweep = sweep }
  -- The job waits again: it gives its slot back, unless its group is strict.  Its group, where it has no slot now.
  function ties.wait_again(id)
    local g, slot = membership(id)
    if slot and g.strict then return nil end
    if slot then slot_back(id, g) end
    return g
  end
end

local COUNTER = { d = "done", t = "retried", D = "dead", x = "discarded", c = "cancelled" }

-- READY: in its group's line, g, or where that is nil in front.
local function enter_ready(id, queue_i, place, body, g)
  if g then
    call("HSET", JOBS, id, "g" .. place .. body)
    ties.enter_line(id, g, names[queue_i], body:sub(1, 1), place)
  else
    enter_front(id, queue_i, place, body)
  end
  count_state(2, names[queue_i], 1)
  wake(names[queue_i])
end

local function finish(id, state, keep, body)
  enter_ended(id, state, keep and now + keep or 0, body)
  count_state(state, queue_of(body), 1)
  if ties then ties.untie({ id }, state ~= 5) end
end

local function forget(ids)
  call("HDEL", JOBS, unpack(ids))
  if uses.notes then
    call("HDEL", NOTES, unpack(ids))
    call("HDEL", LOGS, unpack(ids))
  end
  if ties then ties.untie(ids) end
end

-- Moves a job as `kind` says.  queue_i: the queue that the job was fetched from; to: the queue that it waits in;
-- record: the job's new record, "" when it stays as it is.
local function move(id, kind, fence, queue_i, to, delay, keep, record)
  call("HDEL", HELD, id)
  left_held(fence, 1)
  count_state(3, names[queue_i], -1)
  if kind == "x" or ((kind == "d" or kind == "c") and keep <= 0) then
    forget({ id })
    return
  end
  if uses.notes then call("HDEL", LOGS, id) end
  local value = call("HGET", JOBS, id)
  if not value then return end
  local head, old = body_in(value, names[queue_i])
  local body = head .. (record ~= "" and record or old)
  local queue_end = body_ends(body)
  if kind == "r" then
    return enter_ready(id, queue_i, place_taken(value, fence, id), body)
  end
  if kind == "d" then return finish(id, 5, keep, body) end
  if kind == "D" then return finish(id, 6, nil, body) end
  if kind == "c" then return finish(id, 7, keep, body) end
  if to ~= queue_i then
    body = body:sub(1, 1) .. string.char(#names[to]) .. names[to] .. body:sub(queue_end + 1)
    register(to)
  end
  local seq, g = u64(call("HINCRBY", HEAD, "seq", 1)), ties and ties.wait_again(id)
  if delay <= 0 then return enter_ready(id, to, u64(now) .. seq, body, g) end
  if enter_later(id, to, kind, now + delay, seq, body) then wake(names[to]) end
  count_state(kind == "s" and 1 or 4, names[to], 1)
end

local follow_statuses, holders = {}, {}
-- Adds n follow-ups of a job, from `at` on.
local function follow(n, at, ending)
  local added = 0
  for _ = 1, n do
    local id, where, value, status, holder = ARGV[at], ARGV[at + 1], ARGV[at + 2], "0", nil
    if where:sub(-1) == "*" then
      status, holder = ties.admit(id, where:sub(1, -2), value, ARGV[at + 3], ARGV[at + 4], ending)
    elseif call("HEXISTS", JOBS, id) == 1 then
      status = "1"
    else
      add(id, where, value)
    end
    follow_statuses[#follow_statuses + 1] = status
    holders[#holders + 1] = holder
    if status == "0" then added = added + 1 end
    at = after_follow(at)
  end
  if added > 0 then count("enqueued", added) end
  return at
end

local function skip_follow(n, at)
  for _ = 1, n do
    follow_statuses[#follow_statuses + 1] = "1"
    at = after_follow(at)
  end
  return at
end

local statuses, odd, n = {}, 0, 0 -- statuses of those only that are not "0"

-- Are the jobs from `at` on all held under that fence?
local function all_held(fence, group_n, at)
  local holds = call("HMGET", HELD, unpack(ARGV, at, at + group_n - 1))
  for k = 1, group_n do
    if holds[k] ~= fence then return false end
  end
  return true
end

-- Jobs that are gone, from `at` on: the common case, without a step per job but the comparison of its fence.
local function end_all(fence, kind, queue, group_n, at)
  local ours = engine_of(fence) == ARGV[4]
  local good, ended = ours and all_held(fence, group_n, at), 0
  if good then
    ended = call("HDEL", HELD, unpack(ARGV, at, at + group_n - 1)) -- fewer: an id was there twice
    call("HDEL", JOBS, unpack(ARGV, at, at + group_n - 1))
    if uses.notes or ties then forget({ unpack(ARGV, at, at + group_n - 1) }) end
  end
  if ended < group_n then
    local seen = {}
    for k = 1, group_n do
      local id = ARGV[at + k - 1]
      if good and not seen[id] then
        seen[id] = true
      elseif not good and ours and call("HGET", HELD, id) == fence then
        call("HDEL", HELD, id)
        forget({ id })
        ended = ended + 1
      else
        statuses[n + k] = "1"
        odd = odd + 1
      end
    end
  end
  if ended > 0 then
    left_held(fence, ended)
    count(COUNTER[kind], ended)
    count_state(3, names[queue], -ended)
  end
end

-- -- jobs whose record stays: as `move` and `finish`, many at once ----------------------------------------------------

local STATE_OF, CODE_OF = { d = 5, D = 6, c = 7 }, { d = "d", D = "x", c = "c" }
local STAY_AT_ONCE = 100 -- see fetch.lua

-- As text: of a number Redis would print all the digits that a double can have.
local function digits_of(v) return ("%d"):format(v) end

-- Returns the jobs of `batch` that are held under the fences of their groups and are not refused; the others get their
-- statuses.  seen: {} when the batch may name an id twice.
local function pick_held(batch, holds, seen)
  local taken, k = { ids = {}, records = {}, groups = {} }, 0
  local ids, records, groups = taken.ids, taken.records, taken.groups
  local refusable = uses.stops and batch.kind == "D"
  for i = 1, #batch.ids do
    local id, group = batch.ids[i], batch.groups[i]
    if holds[i] ~= group.fence or not group.ours or (seen and seen[id]) then
      statuses[n + i] = "1"
    elseif refusable and call("SISMEMBER", STOPS, id) == 1 then
      statuses[n + i] = "2"
    else
      k = k + 1
      ids[k], records[k], groups[k] = id, batch.records[i], group
      if seen then seen[id] = true end
    end
  end
  return taken
end

-- The same; they leave `held`.
local function take_held(batch)
  local holds = call("HMGET", HELD, unpack(batch.ids))
  local taken = pick_held(batch, holds)
  if #taken.ids > 0 and call("HDEL", HELD, unpack(taken.ids)) < #taken.ids then taken = pick_held(batch, holds, {}) end
  for _, group in ipairs(taken.groups) do group.taken = group.taken + 1 end
  odd = odd + #batch.ids - #taken.ids
  n = n + #batch.ids
  return taken.ids, taken.records, taken.groups
end

-- How many bytes a value has up to its task, and those bytes from the rank on, as a job of the queue.  Most values
-- begin like the one before.
local last_start, last_head, last_queue
local function head_of(value, queue)
  if not last_start or last_queue ~= queue or value:sub(1, #last_start) ~= last_start then
    local head, record = body_in(value, queue)
    if #record == #value then return 0, head end -- it is no value
    last_head, last_queue = head, queue
    last_start = value:sub(1, #value - #record)
  end
  return #last_start, last_head
end

local function stay(batch)
  local ids, records, groups = take_held(batch) -- first: a delete is never refused when Redis is out of memory
  if #ids == 0 then return end
  count(COUNTER[batch.kind], #ids)
  if uses.notes then call("HDEL", LOGS, unpack(ids)) end
  local values = call("HMGET", JOBS, unpack(ids))
  local seq, state = call("HINCRBY", HEAD, "seq", #ids) - #ids, STATE_OF[batch.kind]
  local jobs, ended, kept, here, heads, k = {}, {}, {}, {}, {}, 0
  for i = 1, #ids do
    local value, id, group = values[i], ids[i], groups[i]
    if value then -- else someone has deleted it
      local head_bytes, head = head_of(value, group.queue)
      local record = records[i] ~= "" and records[i] or value:sub(head_bytes + 1)
      here[#here + 1] = id
      seq = seq + 1
      jobs[k + 1], jobs[k + 2] = id, group.start .. u64(seq) .. head .. record
      ended[k + 1], ended[k + 2] = digits_of(seq), id
      kept[k + 1], kept[k + 2] = group.till, id
      heads[head] = (heads[head] or 0) + 1
      k = k + 2
    end
  end
  if k == 0 then return end
  call("HSET", JOBS, unpack(jobs))
  call("ZADD", ENDED[state], unpack(ended))
  if batch.kind ~= "D" then call("ZADD", KEPT, unpack(kept)) end
  for head, by in pairs(heads) do count_state(state, queue_of(head), by) end
  if ties then ties.untie(here, batch.kind ~= "d") end
end

-- Groups of one kind, from `at` on; where they end.
local function stay_groups(at)
  local kind = ARGV[at + 2]
  local batch, groups, k = { kind = kind, ids = {}, records = {}, groups = {} }, {}, 0
  while ARGV[at] == "+" and ARGV[at + 2] == kind do
    local fence, till = ARGV[at + 1], kind == "D" and 0 or now + ARGV[at + 5]
    local group = { fence = fence, ours = engine_of(fence) == ARGV[4], queue = names[tonumber(ARGV[at + 3])], taken = 0,
                    till = digits_of(till), start = CODE_OF[kind] .. u64(till) }
    groups[#groups + 1] = group
    local last = at + 4 + ARGV[at + 4] * 2
    for job = at + 6, last, 2 do
      k = k + 1
      batch.ids[k], batch.records[k], batch.groups[k] = ARGV[job], ARGV[job + 1], group
      if k == STAY_AT_ONCE then
        stay(batch)
        batch, k = { kind = kind, ids = {}, records = {}, groups = {} }, 0
      end
    end
    at = last + 2
  end
  if k > 0 then stay(batch) end
  for _, group in ipairs(groups) do
    if group.taken > 0 then
      left_held(group.fence, group.taken)
      count_state(3, group.queue, -group.taken)
    end
  end
  return at
end

local at = argi + 2
while ARGV[at] do
  if ARGV[at] == "-" then
    local group_n = tonumber(ARGV[at + 4])
    end_all(ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3]), group_n, at + 5)
    n = n + group_n
    at = at + 5 + group_n
  elseif ARGV[at] == "+" then
    at = stay_groups(at)
  else
    local id, asked, kind, queue_i, to, delay, keep, crashed, record, follow_n = unpack(ARGV, at + 1, at + 10)
    local fence = call("HGET", HELD, id)
    local stale = fence ~= asked or engine_of(fence) ~= ARGV[4]
    local refused = uses.stops and (kind == "t" or kind == "s" or kind == "D") and call("SISMEMBER", STOPS, id) == 1
    n = n + 1
    if stale or refused then
      odd = odd + 1
      statuses[n] = stale and "1" or "2"
      at = skip_follow(follow_n, at + 11)
    else
      -- First: it begins with a delete, which is never refused when Redis is out of memory.
      move(id, kind, fence, tonumber(queue_i), tonumber(to), tonumber(delay), tonumber(keep), record)
      if COUNTER[kind] then count(COUNTER[kind], 1) end
      if crashed == "1" then count("crashed", 1) end
      at = follow(follow_n, at + 11, id)
    end
  end
end
if odd < n then
  leave_fences()
  if ties then ties.save() end
  for field, by in pairs(counts) do if by ~= 0 then call("HINCRBY", COUNTS, field, by) end end
  for name, by in pairs(counters) do call("HINCRBY", HEAD, name, by) end
  if ties then ties.sweep() end
  if uses.groups or uses.bounds then tell_all() else tell() end -- a slot may be free
end
mark_left(odd < n)
if odd > 0 then
  for i = 1, n do statuses[i] = statuses[i] or "0" end
end
return { 0, table.concat(statuses), table.concat(follow_statuses), holders }
