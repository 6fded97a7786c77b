-- chaos.lua - the chaos run: engines, clients and a Redis do what jobs want while the plan kills and freezes them at
-- random.
--
--   luajit tests/chaos/chaos.lua        settings come from the environment:
--     SECONDS  how long faults come (60)      SEED   of the plan (random, printed)     STORE    redis or sqlite
--     JOBS     (100,000 a minute)             PLAN=1 prints the faults and stops       KEEP=1   keeps the directory
--     AROUND   0: without the jobs of around.lua (limits, unique keys, callbacks ...), 1: with them (the default where
-- the store can)
--
-- When the time is over everything is healed, and what waits still must be done in SETTLE_S.  Then every job is
-- accounted for: check.lua.  Exit status 0 when all of it holds.
local uv = require "luv"
local source = debug.getinfo(1, "S").source:match "^@(.*)$"
local root = assert(uv.fs_realpath(source:match "^(.*)/tests/chaos/" or "."))
package.path = root .. "/?.lua;" .. package.path

local cjson = require "cjson"
local files = require "tests.support.files"
local plan = require "tests.chaos.plan"
local wait = require "tests.support.wait"

local ENGINES, CLIENTS = 3, 4
local CAN_AROUND = { sqlite = true, redis = true }
local JOBS_PER_MINUTE, JOBS_MAX = 100000, 400000
local SETTLE_S = 60 -- from the last fault to an empty store
local SWEEP_S = 10  -- until a beat has swept what only time ends: full buckets, locks of a throttle
local STEP_SWEEP_S = SWEEP_S + plan.STEP_FORWARD_S -- when they were set while Redis's clock was ahead

local function number(name, default)
  local text = os.getenv(name)
  if not text or text == "" then return default end
  return assert(tonumber(text), name .. "=" .. text .. ": a number is expected")
end

local seconds = number("SECONDS", 60)
local options = {
  seed = number("SEED", math.floor(select(2, uv.gettimeofday()) * 997 + uv.getpid()) % 1000000),
  seconds = seconds,
  jobs = number("JOBS", math.min(JOBS_MAX, math.floor(JOBS_PER_MINUTE * seconds / 60))),
  store = os.getenv "STORE" or os.getenv "SKEIN_TEST_STORE" or "redis",
  skein = os.getenv "SKEIN" or (root .. "/build/release/skein"),
  root = root, lease = plan.LEASE_S, engines = ENGINES, clients = CLIENTS,
}
options.around = number("AROUND", CAN_AROUND[options.store] and 1 or 0) ~= 0
if options.around then plan.use_around() end
local faults = plan.faults(options.seed, seconds, options)

print(("chaos: seed %d, %g s, %d jobs%s, %d engines, %d clients, store %s, %d faults"):format(
  options.seed, seconds, options.jobs, options.around and " and what is around them" or "", ENGINES, CLIENTS,
    options.store, #faults))
if os.getenv "PLAN" then
  for _, fault in ipairs(faults) do print(("%8.3f  %-18s %d  %.2f s"):format(fault.at, fault.what, fault.target,
    fault.lasts)) end
  os.exit(0)
end

-- -- the run ---------------------------------------------------------------------------------------------------------

local World = require "tests.chaos.world"

local function states(world)
  local code, out = world:skein_says("stats", "--json")
  return code == 0 and cjson.decode(out) or nil
end

-- Jobs that wait or run, nil when the store does not answer.
local function unfinished(world)
  local stats = states(world)
  if not stats then return nil end
  local n = 0
  for _, state in ipairs { "scheduled", "ready", "running", "retry" } do n = n + (stats.states[state] or 0) end
  return n, stats
end

local function strike_all(world)
  local began = World.now()
  local next_fault = 1
  while true do
    local at = World.now() - began
    if at >= seconds then return end
    while faults[next_fault] and faults[next_fault].at <= at do
      world:strike(faults[next_fault])
      next_fault = next_fault + 1
    end
    world:heal()
    world:watch()
    wait.poll(0.02, function() return false end)
  end
end

local function clients_ended(world)
  for _, client in pairs(world.clients) do
    if client.code == nil then return false end
  end
  return true
end

-- Everything is well again; waits until the clients are through and the store has nothing to do.
local function calm_down(world)
  local from = World.now()
  local left, looked = nil, 0
  local calm = wait.poll(SETTLE_S, function()
    world:watch()
    if not world:heal(true) then return false end
    if not clients_ended(world) or World.now() - looked < 0.3 then return false end
    if #world.windows > 0 and not world:cancel_again() then return false end
    left = unfinished(world)
    looked = World.now()
    return left == 0
  end)
  world.unfinished = {}
  if not calm then
    for _, state in ipairs { "scheduled", "ready", "running", "retry" } do
      local _, out = world:skein_says("jobs", "--state", state, "--limit", "3", "--json")
      if out ~= "[]\n" then table.insert(world.unfinished, state .. ": " .. out) end
    end
    if not clients_ended(world) then table.insert(world.unfinished, "a client has not ended") end
    if #world.unfinished == 0 then table.insert(world.unfinished, "jobs by the counts only: " .. tostring(left)) end
  end
  print(("%s after %.1f s of calm"):format(calm and "nothing left to do" or ("still unfinished: " .. tostring(left)),
    World.now() - from))
end

-- What is left when nothing is to be done and the engines have swept: nothing.
local function left_over(world)
  local left
  wait.poll(#world.steps > 0 and STEP_SWEEP_S or SWEEP_S, function()
    left = world:left_over()
    return #left == 0
  end)
  return left
end

local function fault_summary(world)
  local parts = {}
  for what, count in pairs(world.faults) do parts[#parts + 1] = ("%s %d"):format(what, count.done) end
  table.sort(parts)
  print("faults: " .. table.concat(parts, ", "))
end

local function run(world)
  for k = 1, ENGINES do world:start_engine(k) end
  assert(world:wait_serving(), "the engines don't serve")
  for k = 1, CLIENTS do world:start_client(k) end
  strike_all(world)
  calm_down(world)
  fault_summary(world)
  world.left = left_over(world)
  local codes = world:stop_engines()
  return require("tests.chaos.check").run(world, codes)
end

options.dir = files.temp_dir()
local world = World.new(options)
local ok, passed, failed = xpcall(run, debug.traceback, world)
world:close()
if not ok then
  print("FAILED  the run broke off: " .. tostring(passed))
  passed, failed = 0, 1
end
if failed == 0 and not os.getenv "KEEP" then files.remove(options.dir) else print("kept: " .. options.dir) end
if failed > 0 then
  print(("again: make chaos SEED=%d SECONDS=%g JOBS=%d STORE=%s"):format(options.seed, seconds, options.jobs,
    options.store))
end
print(("%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0 and 0 or 1)
