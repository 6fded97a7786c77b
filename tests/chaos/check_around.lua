-- check_around.lua - what must hold for limits, unique keys, bounded queues, callbacks and cancels when a chaos run is
-- over.
--
-- HOW "never more than its limit at once" IS COUNTED.  By what the jobs themselves wrote down: a job counts from its
-- start note to its end note, which it writes before anything of its end can be known to the store; so a slot that was
-- free is free in these notes too, and nothing is taken from the engine's word.  A run counts for its job: two runs of
-- one job are one slot.  A run ends early in this count
--   - when its worker killed itself, or its engine was killed: nobody runs it any more (a worker outlives its core by
-- milliseconds);
--   - when its engine has been frozen, or without a store, for so long that its lease may have ended: from then on its
-- owner is one
--     that lost its job (store.h: what it does no longer counts), though its worker may be at it for seconds.  Its slot
-- is another's by
--     right.  A lease can't end before LEASE - BEAT after the freeze began, since a beat came at most BEAT before that;
--   - when its job's next run begins: then the store has given it to a new owner.
-- A run that begins while its engine may have lost its lease and may not know it yet is none.  So what is counted is
-- never more than what was owned, and all of that except for the last BEAT of a lost lease.
local around = require "tests.chaos.around"
local windows = require "tests.chaos.windows"

local M = {}

local BEATS_PER_LEASE = 3 -- core/base/limits.h
local LEAVE_S = 1         -- an engine that was given up learns of it within this
local RATE_SLACK_S = 1    -- from a token, which the fetch takes, to the job's start note
local RATE_SLACK_N = 5    -- jobs that had a token, and were handed back before they ran
local CANCEL_SLACK_S = 0.5
local INF = math.huge

-- -- owned runs ------------------------------------------------------------------------------------------------------

-- The times in which an engine may have held no lease: { from, to }.
local function lost_leases(world, life)
  local lost, safe = {}, world.lease * (1 - 1 / BEATS_PER_LEASE)
  for _, fault in ipairs(life.faults) do
    if fault.what == "freeze" and fault.to - fault.from > safe then lost[#lost + 1] = { fault.from + safe,
      fault.to + LEAVE_S } end
  end
  for _, outage in ipairs(world.outages) do
    if outage.to - outage.from > safe then lost[#lost + 1] = { outage.from + safe, outage.to + world.lease } end
  end
  for _, span in ipairs(windows.unowned(world)) do lost[#lost + 1] = span end
  return lost
end

-- Until when the run had a live owner; nil when it had none at its start.
local function owned_until(world, run, next_run, died)
  local life, to = world.lives[run.core], run.to or INF
  local death = died[run.worker]
  if death and death >= run.from then to = math.min(to, death) end
  for _, fault in ipairs(life.faults) do
    if fault.what == "kill" and fault.from >= run.from then to = math.min(to, fault.from) end
  end
  life.lost = life.lost or lost_leases(world, life)
  for _, lost in ipairs(life.lost) do
    if run.from >= lost[1] and run.from <= lost[2] then return nil end
    if run.from < lost[1] then to = math.min(to, lost[1]) end
  end
  return math.min(to, life.ended or INF, next_run and next_run.from or INF)
end

-- Gives each job `owned`: its runs as { id, from, to, attempt, how }, by time; how is nil where its owner lost the job
-- before its end.
local function own(world, jobs, died)
  for _, job in ipairs(jobs) do
    job.owned, job.touched = {}, windows.touched(world, job.entry, job.runs)
    for i, run in ipairs(job.runs) do
      local to = owned_until(world, run, job.runs[i + 1], died)
      local how = to == run.to and run.how or nil
      if to then job.owned[#job.owned + 1] = { id = job.id, from = run.from, to = to, attempt = run.attempt,
        how = how } end
    end
  end
end

-- From when on the job may have been over by its own notes: the first end of its last attempt; nil when there is none.
local function over_at(job)
  local over
  for _, run in ipairs(job.runs) do
    if run.how == "done" and run.attempt == around.attempts_of(job) and run.to < (over or INF) then over = run.to end
  end
  return over
end

-- It may have been enqueued twice, or the store forgot a part of its life.
local function doubted(job) return job.entry.unknown ~= nil or job.touched end

-- Jobs of a kind by their key; all under one where there is no key.
local function by_key(jobs, task)
  local keys = {}
  for _, job in ipairs(jobs) do
    if job.task == task then
      local key = job.key or task
      keys[key] = keys[key] or {}
      table.insert(keys[key], job)
    end
  end
  return keys
end

-- -- at once ---------------------------------------------------------------------------------------------------------

-- The most different ids in spans { id, from, to } at one moment, and that moment with its ids.  What ends as another
-- begins is over.
local function most_at_once(spans)
  local events = {}
  for _, span in ipairs(spans) do
    if span.to > span.from then
      events[#events + 1] = { span.from, 1, span.id }
      events[#events + 1] = { span.to, -1, span.id }
    end
  end
  table.sort(events, function(a, b)
    if a[1] ~= b[1] then return a[1] < b[1] end
    return a[2] < b[2]
  end)
  local open, now, most, at, who = {}, 0, 0, 0, {}
  for _, event in ipairs(events) do
    local id = event[3]
    local before = open[id] or 0
    open[id] = before + event[2]
    now = now + (before == 0 and 1 or 0) - (open[id] == 0 and 1 or 0)
    if now > most then
      most, at, who = now, event[1], {}
      for other, n in pairs(open) do
        if n > 0 then who[#who + 1] = other end
      end
    end
  end
  return most, at, who
end

local function check_at_once(check, jobs, task, limit)
  local problems, seen = {}, 0
  for key, list in pairs(by_key(jobs, task)) do
    local spans = {}
    for _, job in ipairs(list) do
      for _, run in ipairs(job.owned) do spans[#spans + 1] = run end
    end
    local most, at, who = most_at_once(spans)
    seen = math.max(seen, most)
    if most > limit then problems[#problems + 1] = ("key %s: %d at %.3f: %s"):format(key, most, at,
      table.concat(who, " ")) end
  end
  check:says(("never more than %d of a key of \"%s\" ran at once (most seen: %d)"):format(limit, task, seen), problems)
end

-- -- order, rate, locks ----------------------------------------------------------------------------------------------

-- A job begins when all those that were enqueued before it under its key are over.  Who might have been enqueued twice
-- is left out.
local function check_order(check, jobs)
  local problems, n = {}, 0
  for key, list in pairs(by_key(jobs, "strict")) do
    table.sort(list, function(a, b) return a.n < b.n end)
    local last, last_id = 0, nil
    for _, job in ipairs(list) do
      local first = job.owned[1]
      if job.entry.accepted and not doubted(job) and first then
        n = n + 1
        if first.from < last then
          problems[#problems + 1] = ("key %s: %s began at %.3f, before %s was over at %.3f"):format(key, job.id,
            first.from, last_id, last)
        end
        local over = job.owned[#job.owned].to
        if over > last then last, last_id = over, job.id end
      end
    end
  end
  check:says(("%d jobs of strict keys ran one after the other, in the order in which they came"):format(n), problems)
end

-- Of any starts, from the i-th to the j-th, there were tokens: first starts only, a job that is given back keeps what
-- it took.
local function check_rate(check, jobs)
  local problems, rate = {}, around.PACED.rate / around.PACED.per
  local n = 0
  for key, list in pairs(by_key(jobs, "paced")) do
    local starts = {}
    for _, job in ipairs(list) do
      if job.owned[1] and not doubted(job) then starts[#starts + 1] = job.owned[1].from end
    end
    table.sort(starts)
    n = n + #starts
    local least, least_i = INF, 1 -- of starts[i] * rate - i: the window that has most for its length begins there
    for j, at in ipairs(starts) do
      if at * rate - j < least then least, least_i = at * rate - j, j end
      local allowed = (at - starts[least_i] + RATE_SLACK_S) * rate + 1 + RATE_SLACK_N
      if j - least_i + 1 > allowed then
        problems[#problems + 1] = ("key %s: %d starts in %.3f s"):format(key, j - least_i + 1, at - starts[least_i])
      end
    end
  end
  check:says(("%d jobs with a rate of %g/s for each key never went faster"):format(n, rate), problems)
end

-- Two jobs that were accepted under one key: the second came after the first was over.
local function check_unique(check, jobs)
  local problems, n = {}, 0
  for key, list in pairs(by_key(jobs, "unique")) do
    local spans = {}
    for _, job in ipairs(list) do
      local over = over_at(job)
      if job.entry.accepted_at and not doubted(job) and over then
        spans[#spans + 1] = { id = job.id, from = job.entry.accepted_at, to = over }
      end
    end
    n = n + #spans
    local most, at, who = most_at_once(spans)
    if most > 1 then problems[#problems + 1] = ("key %s: %d at %.3f: %s"):format(key, most, at,
      table.concat(who, " ")) end
  end
  check:says(("never two of %d unique jobs with one key were in the store at once"):format(n), problems)
end

-- The latest moment at which it came in: its client may have heard of that later.
local function in_by(job) return math.min(job.entry.accepted_at, job.runs[1] and job.runs[1].from or INF) end

local function check_throttle(check, jobs)
  local problems, n = {}, 0
  for key, list in pairs(by_key(jobs, "throttled")) do
    local taken = {}
    for _, job in ipairs(list) do
      if job.entry.accepted_at and not doubted(job) then taken[#taken + 1] = job end
    end
    table.sort(taken, function(a, b) return in_by(a) < in_by(b) end)
    n = n + #taken
    for i = 2, #taken do
      local a, b = taken[i - 1], taken[i]
      local apart = math.max(in_by(b) - a.entry.last_try, in_by(a) - b.entry.last_try) -- at most
      local stepped = windows.stepped(check.world, a.entry.first_try, in_by(b))
      if apart < around.THROTTLED.per - 0.002 and not stepped then
        problems[#problems + 1] = ("key %s: %s and %s within %.3f s"):format(key, taken[i - 1].id, taken[i].id, apart)
      end
    end
  end
  check:says(("of %d jobs with a throttle at most one of a key came in each %g s"):format(n, around.THROTTLED.per),
    problems)
end

-- May `other` have come after job?  Those of one call have one time, and come in their order.
local function came_after(other, job)
  if other == job or not (other.entry.accepted or other.entry.unknown) then return false end
  if other.entry.first_try == job.entry.first_try then return other.n > job.n end
  return (other.entry.accepted_at or INF) >= job.entry.first_try
end

-- A job that waits and never ran was replaced by one that came after it.
local function check_replaced(check, jobs)
  local problems, replaced = {}, 0
  for key, list in pairs(by_key(jobs, "replaced")) do
    for _, job in ipairs(list) do
      if job.entry.accepted and #job.runs == 0 and not windows.may_be_gone(check.world, job.entry, job.runs) then
        local later = false
        for _, other in ipairs(list) do later = later or came_after(other, job) end
        replaced = replaced + 1
        if not later then problems[#problems + 1] = ("%s (key %s) never ran, and none came after it"):format(job.id,
          key) end
      end
    end
  end
  check:says(("each of %d replaced jobs had a later one with its key"):format(replaced), problems)
end

-- -- the bounded queue -----------------------------------------------------------------------------------------------

-- Accepted and not begun: those that wait, and those that an engine holds and has not begun; three engines may lose
-- theirs to the queue, which lets them in.
local function check_bound(check, jobs)
  local bound, spans = around.BOUNDED, {}
  local undeclared = windows.undeclared(check.world)
  local function bound_was_known(at)
    for _, span in ipairs(undeclared) do
      if at >= span[1] and at <= span[2] then return false end
    end
    return true
  end
  for _, job in ipairs(jobs) do
    if job.task == "bounded" and job.entry.accepted_at and job.runs[1] and bound_was_known(job.entry.accepted_at) then
      spans[#spans + 1] = { id = job.id, from = job.entry.accepted_at, to = job.runs[1].from }
    end
  end
  local most, at = most_at_once(spans)
  local allowed = bound.max_len + 3 * bound.concurrency
  check:says(("never more than %d jobs waited in a queue of at most %d (most seen: %d)"):format(allowed, bound.max_len,
    most),
    most > allowed and { ("%d at %.3f"):format(most, at) } or {})
end

-- -- callbacks, cancels ----------------------------------------------------------------------------------------------

local TASK_OF = { success = "called", error = "mourned" }

--- The callbacks that ran: id -> task.
function M.callbacks_by_id(callbacks)
  local tasks = {}
  for _, c in ipairs(callbacks) do tasks[c.id] = TASK_OF[c.how] or "called" end
  return tasks
end

-- When the first of those runs ended that can have ended it so; never, when none did.
local function first_end(runs, how, attempt)
  local first = INF
  for _, run in ipairs(runs) do
    if run.how == how and run.attempt == attempt then first = math.min(first, run.to) end
  end
  return first
end

-- ... by an owner, if there was one: what a former owner says makes no callback.  One that was enqueued twice ended
-- twice.
local function ended_at(job, must)
  if doubted(job) then return 0 end
  local how, attempt = must == "error" and "failed" or "done", must == "error" and 2 or around.attempts_of(job)
  local owned = first_end(job.owned, how, attempt)
  return owned < INF and owned or first_end(job.runs, how, attempt)
end

local function check_callbacks(check, jobs, callbacks)
  local by_parent, problems, n = {}, {}, 0
  for _, c in ipairs(callbacks) do
    local of = by_parent[c.n] or { ids = {}, n = 0, first = INF }
    by_parent[c.n] = of
    if not of.ids[c.id] then of.ids[c.id], of.n = c.how, of.n + 1 end
    of.how, of.first = c.how, math.min(of.first, c.at)
  end
  local function wrong(job, ...) problems[#problems + 1] = ("%s (%s) "):format(job.id, job.task)
    .. (...):format(select(2, ...)) end
  for _, job in ipairs(jobs) do
    local must = job.task == "caller" and "success" or job.task == "doomed" and "error"
    local of = must and by_parent[job.n]
    if must and job.entry.accepted and not (windows.may_be_gone(check.world, job.entry, job.runs) and not of) then
      n = n + 1
      if not of then wrong(job, "has no callback")
      elseif of.how ~= must then wrong(job, "has a callback of kind %s", of.how)
      elseif of.n ~= 1 and not doubted(job) then wrong(job, "has %d callbacks", of.n) end
    end
    if of and of.first < ended_at(job, must) then wrong(job, "had its callback before its end") end
  end
  check:says(("each of %d parents had its callback once, after its end"):format(n), problems)
end

local function check_stopped(check, jobs)
  local problems, n, ran = {}, 0, 0
  for _, job in ipairs(jobs) do
    local at = job.task == "stopped" and job.entry.cancelled
    if at and not windows.cancel_lost(check.world, at) then
      n = n + 1
      if #job.runs > 0 then ran = ran + 1 end
      local last = job.owned[#job.owned]
      if last and last.from > at + CANCEL_SLACK_S then
        problems[#problems + 1] = ("%s began %.3f s after its cancel"):format(job.id, last.from - at)
      end
    end
  end
  check:says(("none of %d cancelled jobs (%d had begun) began after that"):format(n, ran), problems)
end

--- jobs: a list of the plan's jobs, with `entry` (ledger.lua) and `runs`.
function M.run(check, jobs, died, callbacks)
  own(check.world, jobs, died)
  check_at_once(check, jobs, "limited", around.LIMITED.concurrency)
  check_at_once(check, jobs, "strict", 1)
  check_at_once(check, jobs, "bounded", around.BOUNDED.concurrency)
  check_order(check, jobs)
  check_rate(check, jobs)
  check_unique(check, jobs)
  check_throttle(check, jobs)
  check_replaced(check, jobs)
  check_bound(check, jobs)
  check_callbacks(check, jobs, callbacks)
  check_stopped(check, jobs)
end

return M
