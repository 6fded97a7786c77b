-- check.lua - the conditions that must hold when a chaos run is over.  Each check is a sentence that is true or false;
-- a false one is printed with examples.
local cjson = require "cjson"
local around = require "tests.chaos.around"
local check_around = require "tests.chaos.check_around"
local explain = require "tests.chaos.explain"
local ledger = require "tests.chaos.ledger"
local plan = require "tests.chaos.plan"
local windows = require "tests.chaos.windows"

local Check = {}
Check.__index = Check

local EXAMPLES_MAX = 5

local function new_check(world)
  return setmetatable({ world = world, passed = 0, failed = 0 }, Check)
end

-- problems: a list of texts; the sentence holds when there is none.
function Check:says(sentence, problems)
  if #problems == 0 then
    self.passed = self.passed + 1
    print("ok      " .. sentence)
    return
  end
  self.failed = self.failed + 1
  print(("FAILED  %s: %d exceptions"):format(sentence, #problems))
  for i = 1, math.min(EXAMPLES_MAX, #problems) do print("          " .. problems[i]) end
end

-- -- the store -------------------------------------------------------------------------------------------------------

local PAGE = 5000

local function list(world, state)
  local jobs, offset = {}, 0
  repeat
    local code, out, err = world:skein_says("jobs", "--state", state, "--json", "--limit", tostring(PAGE), "--offset",
      tostring(offset))
    if code ~= 0 then error(("skein jobs: exit code %d: %s"):format(code, err), 0) end
    local page = cjson.decode(out)
    for _, job in ipairs(page) do jobs[job.id] = job end
    offset = offset + #page
  until #page < PAGE
  return jobs, offset
end

local function check_keys(self, kept_n)
  local keys, left = self.world.redis:keys(0), {}
  for _, key in ipairs(keys) do
    local part = key.name:match "[^:]*$"
    if part == "jobs" and key.size ~= kept_n then left[#left + 1] = ("%s has %d records, %d are kept"):format(key.name,
      key.size, kept_n)
    elseif (part == "engines" or part == "leases") and key.size ~= 0 then left[#left + 1] = key.name
      .. " still knows engines" end
  end
  self:says("Redis has the records of what is kept, and no engine", left)
end

-- -- jobs ------------------------------------------------------------------------------------------------------------

-- How often each attempt ran, and why more than once.
local function check_repeats(self, id, runs, context, causes, unexplained)
  local by_attempt = {}
  for _, run in ipairs(runs) do
    local before = by_attempt[run.attempt]
    if before then
      local cause = explain.cause(self.world, before, run, context)
      if cause then causes[cause] = (causes[cause] or 0) + 1
      else
        local text = "%s attempt %d: core %d worker %d %.3f to %s, again core %d worker %d %.3f"
        unexplained[#unexplained + 1] = text:format(
          id, run.attempt, before.core, before.worker, before.from, before.to and ("%.3f"):format(before.to) or "?",
          run.core, run.worker, run.from)
      end
    end
    by_attempt[run.attempt] = run
  end
end

-- The attempt that ends it; nil: any, since a store that is away fails a parent's attempt.
local function attempts_of(job)
  if job.task == "parent" then return nil end
  if job.task == "flaky" then return job.arg + 1 end
  if job.task == "failing" then return 3 end
  return around.attempts_of(job)
end

local function ran(runs, how, attempt)
  for _, run in ipairs(runs) do
    if run.how == how and (not attempt or run.attempt == attempt) then return true end
  end
  return false
end

-- An accepted job that did not end as it must: why, or nil; and true when the job or its record is not there.
local function wrong_end(job, runs, stored)
  local must, kind, attempts = plan.ending(job.task)
  if must == "done or replaced" then
    if #runs == 0 then return nil end -- check_around.lua looks for who replaced it
    must = "done"
  end
  if must == "cancelled" then
    if #runs > 0 and job.task ~= "stopped" then return "was cancelled and ran" end
    if not stored.cancelled[job.id] then return "is not in the cancelled jobs", true end
    return nil
  end
  if must == "dead" then
    local dead = stored.dead[job.id]
    if not dead then return "is not in the dead jobs", true end
    if dead.error.kind ~= kind then return ("is dead of %s, not of %s"):format(dead.error.kind, kind) end
    if dead.attempts ~= attempts then return ("is dead after %d attempts, not %d"):format(dead.attempts, attempts) end
    if job.task == "killer" then return #runs < 3 and ("killed its worker %d times"):format(#runs) or nil end
    return not ran(runs, "failed", attempts) and "has no failed run" or nil
  end
  if stored.dead[job.id] then return "is dead: " .. tostring(stored.dead[job.id].error.message) end
  if not ran(runs, must == "dropped" and "failed" or "done", attempts_of(job)) then
    return ("has no run that ended (%d runs)"):format(#runs), true
  end
  if job.task == "kept" then
    local done = stored.done[job.id]
    if not done then return "has no kept record", true end
    if done.result.squared ~= job.n * job.n then return "has a wrong result" end
  end
end

-- True when a rollback explains that an accepted job or its record is not there.
local function went_back(world, entry, runs)
  return windows.may_be_gone(world, entry, runs) or (entry.cancelled and windows.cancel_lost(world, entry.cancelled))
end

-- The entry of what a job has enqueued: it came while that ran.
local function entry_of_child(parent, runs)
  local last = runs[#runs]
  return { accepted = true, first_try = runs[1] and runs[1].from or parent.first_try, accepted_at = last and last.to
    or math.huge }
end

-- True when it began before it was due by a clock that was right all the time.
local function ran_early(world, job, entry, first)
  if not (job.delay and first and entry.accepted and entry.first_try) then return false end
  return first.from < entry.first_try + job.delay - 0.002 and not windows.stepped(world, entry.first_try, first.from)
end

local function check_jobs(self, stored)
  local world = self.world
  local clients, totals = ledger.clients(world.runs)
  local runs, died, callbacks = ledger.runs(world.runs)
  local NONE = {}
  local bad, ghosts, early, unexplained, causes = {}, {}, {}, {}, {}
  local accepted, refused_only, undecided, runs_n, gone = 0, 0, 0, 0, 0
  local expected = { done = 0, dead = 0, dropped = 0, cancelled = 0 }

  local function look_at(id, job, entry, parent_runs)
    local mine = runs[id] or NONE
    runs_n = runs_n + #mine
    check_repeats(self, id, mine, { died = died, client = entry, parent_runs = parent_runs }, causes, unexplained)
    if entry.accepted then
      accepted = accepted + 1
      local ending = plan.ending(job.task)
      if expected[ending] then expected[ending] = expected[ending] + 1 end
      local why, missing = wrong_end(job, mine, stored)
      if missing and went_back(world, entry, mine) then gone = gone + 1
      elseif why then bad[#bad + 1] = ("%s (%s) %s"):format(id, job.task, why) end
    elseif entry.unknown then
      undecided = undecided + 1
    else
      refused_only = refused_only + 1
      if #mine > 0 then ghosts[#ghosts + 1] = ("%s (%s) was refused and ran"):format(id, job.task) end
    end
  end

  local jobs = {}
  for id, entry in pairs(clients) do
    local job = plan.job(world.seed, tonumber(id:sub(2)), world.seconds)
    job.entry, job.runs, jobs[#jobs + 1] = entry, runs[id] or NONE, job
    look_at(id, job, entry)
    if ran_early(world, job, entry, job.runs[1]) then
      early[#early + 1] = ("%s ran %.0f ms early"):format(id, (entry.first_try + job.delay - runs[id][1].from) * 1000)
    end
    if job.task == "parent" and entry.accepted then
      for i = 1, plan.CHILDREN do
        local child = plan.child_id(job.n, i)
        look_at(child, { id = child, n = job.n, task = "child" }, entry_of_child(entry, job.runs), #job.runs)
      end
    end
  end

  for id, name in pairs(check_around.callbacks_by_id(callbacks)) do
    look_at(id, { id = id, task = name }, { accepted = true })
  end

  local missing = {}
  if totals.finished ~= world.clients_n then missing[1] = ("%d of %d clients finished"):format(totals.finished,
    world.clients_n) end
  self:says("every client came to its end", missing)
  self:says(("each of %d accepted jobs is done or dead as it should be"):format(accepted), bad)
  self:says(("none of %d jobs that were refused ever ran"):format(refused_only), ghosts)
  self:says("no scheduled job ran early", early)
  self:says("\"exists\" is only said to those who tried before", totals.wrong)
  local repeats, parts = 0, {}
  for cause, n in pairs(causes) do
    repeats = repeats + n
    parts[#parts + 1] = ("%s %d"):format(cause, n)
  end
  table.sort(parts)
  self:says(("each of %d repeated runs has its cause (%d runs in all)"):format(repeats, runs_n), unexplained)
  if #parts > 0 then print("          " .. table.concat(parts, "; ")) end
  if #world.windows > 0 then
    print(("          the store went back in time %d times: %d jobs or records are gone"):format(#world.windows, gone))
  end
  local counts = "          clients: %d tries, %d accepted, %d there already, %d refused, %d unique keys taken, "
    .. "%d of unknown fate, %d never decided"
  print(counts:format(totals.tries, totals.accepted, totals.there, totals.refused, totals.taken, totals.unknown,
    undecided))
  for call, took in pairs(totals.longest) do print(("          longest %s: %.2f s"):format(call, took)) end
  if world.around then check_around.run(self, jobs, died, callbacks) end
  return totals, expected, undecided
end

-- Every job that came in went out once, by the store's own count.
local function check_counters(self, expected, undecided)
  local code, out, err = self.world:skein_says("stats", "--json")
  if code ~= 0 then error("skein stats: " .. err, 0) end
  local c = cjson.decode(out).counters
  local out_n = c.done + c.dead + c.discarded + c.cancelled
  local problems = {}
  if c.enqueued ~= out_n then problems[1] = ("%d came in, %d went out"):format(c.enqueued, out_n) end
  local counters_went_back = #self.world.windows > 0
  for name, least in pairs {
    done = expected.done, dead = expected.dead, discarded = expected.dropped, cancelled = expected.cancelled,
  } do
    if c[name] < least
      and not counters_went_back then problems[#problems + 1] = ("%s: %d, but %d jobs ended so"):format(name, c[name],
      least) end
  end
  for _, name in ipairs { "dead", "cancelled" } do
    local least = expected[name]
    if c[name] > least + undecided + 50 then
      problems[#problems + 1] = ("%s: %d, but only %d jobs can have ended so"):format(name, c[name], least)
    end
  end
  self:says(("the store's counters add up: %d in; %d done, %d dead, %d discarded, %d cancelled"):format(
    c.enqueued, c.done, c.dead, c.discarded, c.cancelled), problems)
  print(("          retried %d, crashed %d, recovered %d"):format(c.retried, c.crashed, c.recovered))
end

-- -- engines ---------------------------------------------------------------------------------------------------------

-- Errors that a run brings about on purpose.
local EXPECTED_ERRORS = { "job is dead", "trying again until it works", "those jobs run again" }

local function check_logs(self)
  local problems = {}
  for _, life in pairs(self.world.lives) do
    for line in io.lines(life.log) do
      local odd = line:find "^%d%S+Z ERROR" or line:find "Assertion" or line:find "Sanitizer" or line:find "PANIC"
      for _, expected in ipairs(EXPECTED_ERRORS) do odd = odd and not line:find(expected, 1, true) end
      if odd then problems[#problems + 1] = line end
    end
  end
  self:says("no engine logged an error but for its dead jobs", problems)
end

--- Checks a world whose engines have stopped; returns how many checks passed and failed.
function Check.run(world, exit_codes)
  local self = new_check(world)
  self:says("nothing ended unasked", world.unasked)
  self:says("the calm after the last fault was long enough for everything", world.unfinished)
  local codes = {}
  for k, code in ipairs(exit_codes) do
    if code ~= 0 then codes[#codes + 1] = ("engine %d: %s"):format(k, tostring(code)) end
  end
  self:says("the engines stopped with exit code 0", codes)
  local stored, kept_n = {}, 0
  for _, state in ipairs { "dead", "done", "cancelled" } do
    local n
    stored[state], n = list(world, state)
    kept_n = kept_n + n
  end
  local left = {}
  for _, state in ipairs { "ready", "scheduled", "running", "retry" } do
    local jobs = list(world, state)
    for id, job in pairs(jobs) do left[#left + 1] = ("%s (%s) is %s"):format(id, job.task, state) end
  end
  self:says("no job is left waiting or running", left)
  local _, expected, undecided = check_jobs(self, stored)
  check_counters(self, expected, undecided)
  check_logs(self)
  self:says("nothing is left in the store but counters, registries and kept records", world.left)
  if world.redis then check_keys(self, kept_n) end
  return self.passed, self.failed
end

return Check
