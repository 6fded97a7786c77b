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
local call, argi, HEAD, JOBS, HELD, COUNTS, NOTES, LOGS, names, tell, tell_all, uses, engine_of, left_held = ...
local leave_fences = ...
local engine_error, mark_left = ...
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
  local unknown_queue, untie, save_groups, enter_line, membership, slot_back, sweep, lock_of, reaches_unknown = ...
  local admit_text = ...
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

local function forget(ids)
  call("HDEL", JOBS, unpack(ids))
  if uses.notes then
    call("HDEL", NOTES, unpack(ids))
    call("HDEL", LOGS, unpack(ids))
  end
  if ties then ties.untie(ids) end
end

local follow_statuses, holders = {}, {}
-- What comes of the jobs: statuses of those only that are not "0"; how many those are; how many jobs there were so far.
local statuses, results = {}, { odd = 0, n = 0 }

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
        statuses[results.n + k] = "1"
        results.odd = results.odd + 1
      end
    end
  end
  if ended > 0 then
    left_held(fence, ended)
    count(COUNTER[kind], ended)
    count_state(3, names[queue], -ended)
  end
end

-- What serves other jobs is made on demand, too.
local others
local at = argi + 2
while ARGV[at] == "-" do at = at + 5 + ARGV[at + 4] end
if ARGV[at] then
  local stay_groups, settle_one = ...
  others = { stay = stay_groups, one = settle_one }
end

at = argi + 2
while ARGV[at] do
  if ARGV[at] == "-" then
    local group_n = tonumber(ARGV[at + 4])
    end_all(ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3]), group_n, at + 5)
    results.n = results.n + group_n
    at = at + 5 + group_n
  elseif ARGV[at] == "+" then
    at = others.stay(at)
  else
    at = others.one(at)
  end
end
local odd, n = results.odd, results.n
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
