-- plan.lua - computes everything that a chaos run does from its seed alone: the kind of each job, the time of each
-- fault. The driver, the clients and the check read the same plan, so a run that failed can be repeated.
local around = require "tests.chaos.around"

local M = {}

-- -- numbers: splitmix64 ---------------------------------------------------------------------------------------------

local bit = require "bit"
local GOLDEN, MUL1, MUL2 = 0x9E3779B97F4A7C15ULL, 0xBF58476D1CE4E5B9ULL, 0x94D049BB133111EBULL

local function mix(z)
  z = bit.bxor(z, bit.rshift(z, 30)) * MUL1
  z = bit.bxor(z, bit.rshift(z, 27)) * MUL2
  return bit.bxor(z, bit.rshift(z, 31))
end

--- A stream of numbers in [0, 1) that depends on its seeds only.
function M.random(...)
  local state = 0ULL
  for _, seed in ipairs { ... } do state = mix(state + GOLDEN + seed) end
  return function()
    state = state + GOLDEN
    return tonumber(bit.rshift(mix(state), 11)) / 2 ^ 53
  end
end

-- -- jobs ------------------------------------------------------------------------------------------------------------

-- kind, share of all jobs, how it must end.  `dead`: the kind of its error, and how many attempts its record counts.
local KINDS = {
  { "plain", 0.60, "done" },
  { "sleepy", 0.10, "done" },      -- sleeps some milliseconds, one of fifty for longer than an engine's lease
  { "scheduled", 0.10, "done" },
  { "flaky", 0.08, "done" },       -- fails once or twice first
  { "kept", 0.05, "done" },        -- its record stays, with its result
  { "failing", 0.02, "dead", error = "error", attempts = 3 },
  { "parent", 0.02, "done" },      -- enqueues three children
  { "fatal", 0.01, "dead", error = "fail", attempts = 1 },
  { "discard", 0.01, "dropped" },
  { "cancelled", 0.009, "cancelled" }, -- scheduled for long after, and cancelled by the client
  { "killer", 0.0005, "dead", error = "crash", attempts = 0 }, -- kills its worker each time
  { "killer_once", 0.0005, "done" },
}
local BY_NAME = { child = { "child", 0, "done" }, called = { "called", 0, "done" }, mourned = { "mourned", 0, "done" } }
for _, list in ipairs { KINDS, around.KINDS } do
  for _, kind in ipairs(list) do BY_NAME[kind[1]] = kind end
end
M.CHILDREN = 3
M.LEASE_S = 2
M.with_around = false

--- Lets the plan have the jobs of around.lua too, beside which the others are fewer.
function M.use_around() M.with_around = true end

--- How a kind must end: "done", "dead", "dropped", "cancelled" or "done or replaced"; for dead ones the error's kind
-- and the attempts counted.
function M.ending(name)
  local kind = BY_NAME[name]
  return kind[3], kind.error, kind.attempts
end

local function pick_of(kinds, x)
  for _, kind in ipairs(kinds) do
    x = x - kind[2]
    if x < 0 then return kind[1] end
  end
end

local function pick(x)
  if not M.with_around then return pick_of(KINDS, x) or "plain" end
  return pick_of(around.KINDS, x) or pick_of(KINDS, (x - around.SHARE) / (1 - around.SHARE)) or "plain"
end

-- What is scheduled in the last moment is due before the calm after the run is over.
local DELAY_S_MAX = 60

--- Job n of a run of `seconds`: { n, id, task, delay (nil: at once), arg, give_up }, and what around.fill says.
-- give_up: its client does not try again after an error that says that it was not added.
function M.job(seed, n, seconds)
  local random = M.random(seed, n)
  local job = { n = n, id = "j" .. n, task = pick(random()) }
  local x = random()
  job.give_up = random() < 0.05
  if around.fill(job, random) then return job end
  if job.task == "sleepy" then job.arg = x < 0.02 and M.LEASE_S * 1.5 or x * 0.05
  elseif job.task == "scheduled" then job.delay = 0.2 + x * math.min(seconds, DELAY_S_MAX) * 0.5
  elseif job.task == "flaky" then job.arg = x < 0.7 and 1 or 2
  elseif job.task == "killer" or job.task == "killer_once" then job.arg = math.floor(x * 3)
  elseif job.task == "cancelled" then job.delay = 1e6 end
  return job
end

function M.child_id(n, i) return ("c%d-%d"):format(n, i) end

-- -- faults ----------------------------------------------------------------------------------------------------------

-- name, weight, the store it needs, seconds it lasts from and to.  Freezes of an engine last beyond its lease.  An
-- outage of the store that is longer than a lease ends none: nobody can renew its own.
local L = M.LEASE_S
local FAULTS = {
  { "kill_engine", 6, nil, 0, 1 },
  { "stop_engine", 2, nil, 0, 0.5 },
  { "freeze_core", 2, nil, L * 1.1, L * 2 },
  { "freeze_engine", 2, nil, L * 1.1, L * 2 }, -- the core and its workers
  { "blink_engine", 2, nil, 0.05, 0.5 },       -- frozen for less than its lease
  { "kill_client", 2, nil, 0, 0.5 },
  { "kill_redis", 3, "redis", 0, 1 },
  { "stop_redis", 1, "redis", 0, 0.5 },
  { "freeze_redis", 3, "redis", 0.1, L * 0.8 },
  { "freeze_redis_long", 1, "redis", L * 1.2, L * 1.6 },
  { "kill_redis_long", 1, "redis", L * 1.2, L * 2 },
  { "cut_connections", 2, "redis", 0, 0 },
  { "flush_scripts", 1, "redis", 0, 0 },
  { "rollback_redis", 2, "redis", 0.1, 2 },      -- the dump that comes back is so old
  { "flush_redis", 0.5, "redis", 0, 0 },
  { "step_clock", 2, "redis", 0.2, L * 1.5 },    -- Redis's clock is wrong for so long
  { "lock_database", 1, "sqlite", 0.1, L * 0.8 }, -- another process holds SQLite's lock
  { "lock_database_long", 1, "sqlite", L * 1.2, L * 2 },
}
local FIRST_S, MEAN_S = 1, 0.9

-- By how many seconds a clock steps: forward by several leases, but not so far that what was scheduled meanwhile is
-- late in the end.
M.STEP_FORWARD_S, M.STEP_BACK_S = 5 * L, -3600

local function befalls(fault, options) return fault[3] == nil or fault[3] == options.store end

local function targets_of(what, options)
  if what:find "client" then return options.clients end
  return what:find "engine" and options.engines or what == "freeze_core" and options.engines or 1
end

--- The faults of a run: a list of { at, what, target (1..n of engines or clients), lasts, by (seconds, of a clock) },
-- by time. options: store, engines, clients.
function M.faults(seed, seconds, options)
  local random = M.random(seed, 0x6661756c74ULL)
  local total = 0
  for _, fault in ipairs(FAULTS) do
    if befalls(fault, options) then total = total + fault[2] end
  end
  local faults, at = {}, FIRST_S
  while true do
    at = at - math.log(1 - random()) * MEAN_S
    if at > seconds then return faults end
    local x, chosen = random() * total, nil
    for _, fault in ipairs(FAULTS) do
      if not chosen and befalls(fault, options) then
        x = x - fault[2]
        if x < 0 then chosen = fault end
      end
    end
    local lasts, target = chosen[4] + random() * (chosen[5] - chosen[4]), random()
    local n = targets_of(chosen[1], options)
    local by = chosen[1] == "step_clock" and (target < 0.5 and M.STEP_FORWARD_S or M.STEP_BACK_S) or nil
    faults[#faults + 1] = { at = at, what = chosen[1], target = 1 + math.floor(target * n), lasts = lasts, by = by }
  end
end

return M
