-- redis_many.lua - a Redis with 1,000,000 jobs in 1,000 queues and 10 engines: what a job costs beside a store that
-- holds no other jobs, and the longest script of each kind of operation by SLOWLOG (DESIGN.md: no call over 20 ms).
--
-- SLOWLOG counts wall time: on a machine with fewer cores than processes a script is also stopped by the others.
local Place = require "tests.bench.place"
local load = require "load"
local process = require "tests.support.process"
local skein = require "skein"
local wait = require "tests.support.wait"

local M = {}

local JOBS, QUEUES, ENGINES = 1000000, 1000, 10
local LIVE = 20000 -- jobs that the engines run while they are measured
local DUE = 300000 -- of one moment
local SLEEPERS = 10000 -- that run, a tenth of them in the engine that dies
local LONG_MS = 20
local ALL_S = 300

local function cpu_us(server)
  local info = server:figures "cpu"
  return (info.used_cpu_sys + info.used_cpu_user) * 1e6
end

local function queue_of(i) return "q" .. i % QUEUES end

-- n jobs of a task, one queue after the other; at: when they are due, or nil.
local function put(task, n, at)
  local batch = {}
  for i = 1, n do
    batch[#batch + 1] = { task = task, queue = queue_of(i), at = at, args = { i, load.PADDING } }
    if #batch == 1000 or i == n then
      assert(skein.enqueue_many(batch))
      batch = {}
    end
  end
end

-- fn() with an empty SLOWLOG; what it returns, and the longest script in ms.
local function longest(server, fn)
  server:call("SLOWLOG", "RESET")
  local result = fn()
  local longest_us = 0
  for _, entry in ipairs(assert(server:call("SLOWLOG", "GET", "128"))) do
    local command = entry[4][1]:lower()
    if command:match "^evalsha" or command:match "^fcall" then longest_us = math.max(longest_us, tonumber(entry[3])) end
  end
  return result, longest_us / 1000
end

local function start_engines(place, n)
  local engines = {}
  for i = 1, n do
    engines[i] = process.start(Place.programs .. "/skein", {
      args = { "run", "tests/bench/scripts", "-s", place.url, "-w", "1", "-c", "1000" }, env = place.env,
      name = "engine " .. i,
    })
  end
  return engines
end

local function stop_engines(engines)
  for _, engine in ipairs(engines) do if engine:running() then engine:signal_with "sigquit" end end
  for _, engine in ipairs(engines) do
    if not wait.poll(20, function() return not engine:running() end) then engine:stop_hard() end
  end
end

-- Looks four times a second: counting 1,000 queues costs Redis about a millisecond.
local function wait_counter(what, name, n)
  wait.wait_for(what, ALL_S, function()
    Place.sleep(0.25)
    local stats = assert(skein.admin.stats())
    return (stats.counters[name] or stats[name]) >= n
  end)
end

-- Redis's CPU a job while the engines run LIVE jobs over all queues.
local function live_cost(server)
  local done = assert(skein.admin.stats()).counters.done
  local before = cpu_us(server)
  put("noop", LIVE)
  wait_counter("the live jobs", "done", done + LIVE)
  return (cpu_us(server) - before) / LIVE
end

local function judge(r, what, ms, jobs)
  r:judge(what .. ": the longest script", ms <= LONG_MS, "<= " .. LONG_MS .. " ms", "%.1f ms%s", ms,
    jobs and (", %d jobs"):format(jobs) or "")
end

local function operations(r, server, engines)
  local small = live_cost(server)
  local _, ms = longest(server, function() put("noop", JOBS, skein.now() + 36000) end)
  judge(r, "enqueue of 1,000,000 jobs", ms)
  local cost
  cost, ms = longest(server, function() return live_cost(server) end)
  judge(r, "10 engines, 1,000 queues, 1,000,000 jobs", ms)
  r:judge("a job's cost there against an empty store", cost / small <= 1.2, "<= 1.2",
    "%.1f us against %.1f us, ratio %.2f", cost, small, cost / small)
  _, ms = longest(server, function() assert(skein.admin.jobs { task = "nosuch" }) end)
  judge(r, "list by task, none", ms)
  local last = { state = "scheduled", offset = JOBS - 1000, limit = 1000 }
  _, ms = longest(server, function() assert(skein.admin.jobs(last)) end)
  judge(r, "list, the last page", ms)
  _, ms = longest(server, function() assert(skein.admin.stats()) end)
  judge(r, "stats", ms)
  local done = assert(skein.admin.stats()).counters.done
  put("noop", DUE, skein.now() + 20)
  _, ms = longest(server, function() wait_counter("the jobs due at one moment", "done", done + DUE) end)
  judge(r, "300,000 jobs due at one moment", ms)
  put("sleeper", SLEEPERS)
  wait_counter("the sleepers", "running", SLEEPERS / 2)
  _, ms = longest(server, function()
    engines[1]:signal_with "sigkill"
    wait_counter("the takeover", "recovered", 1)
  end)
  judge(r, "takeover of a dead engine", ms)
  local n
  n, ms = longest(server, function() return assert(skein.admin.cancel { task = "noop" }) end)
  judge(r, "cancel by task", ms, n)
end

--- The rows; server: tests/support/redis.lua's.
function M.run(r, server)
  server:call("CONFIG", "SET", "slowlog-log-slower-than", "1000")
  server:call("CONFIG", "SET", "slowlog-max-len", "10000")
  Place.with("redis", function(place)
    local engines = start_engines(place, ENGINES)
    assert(skein.connect(place.url))
    local ok, err = xpcall(operations, debug.traceback, r, server, engines)
    skein.close()
    stop_engines(engines)
    if not ok then error(err, 0) end
  end)
end

return M
