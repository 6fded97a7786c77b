-- redis_bench.lua - what the engine does and costs on Redis, beside the ideal loop and budgets (DESIGN.md, section 9).
--
--   luajit tests/bench/redis_bench.lua BUILT ROUNDS [rates|trips|latency|cost|around|many]
--
-- BUILT is the directory of the binary.
--
-- Run by `make bench STORE=redis` (PART=rates for a part of it).  Starts its own servers on free ports of loopback, one
-- that persists nothing and one that appends to a file and syncs it each second, and stops them.  As in bench.lua, a
-- missed budget fails nothing.
local Place = require "tests.bench.place"
local redis = require "tests.support.redis"
local around = require "tests.bench.around"
local cost = require "tests.bench.redis_cost"
local footprint = require "tests.bench.footprint"
local latency = require "tests.bench.latency"
local many = require "tests.bench.redis_many"
local rates = require "tests.bench.redis_rates"
local report = require "tests.bench.report"
local uv = require "luv"

local built, rounds, only = arg[1], tonumber(arg[2]), arg[3]
local PARTS = { rates = true, trips = true, latency = true, cost = true, around = true, many = true }
if not built or not rounds or (only and not PARTS[only]) then
  io.stderr:write "usage: redis_bench.lua BUILT ROUNDS [rates|trips|latency|cost|around|many]\n"
  os.exit(64)
end

local r = report.new()

local function measure_all(servers)
  Place.programs, Place.redis = built, servers.plain
  local function part(name, title, fn)
    if only and only ~= name then return end
    r:section(title)
    fn()
    Place.redis = servers.plain
  end
  part("rates", "Rates: medians of " .. rounds .. " rounds",
    function() r:measure("rates", rates.rates, servers, rounds) end)
  part("trips", "At a distance", function() r:measure("round trips", rates.trips, servers.plain, rounds) end)
  part("latency", "Latency", function()
    r:measure("latency", latency.idle, "redis", rounds)
    r:measure("lateness", latency.due, "redis", rounds)
    r:measure("short sleeps", latency.naps, "redis", rounds)
  end)
  part("cost", "Cost", function()
    r:measure("jobs", cost.jobs, servers.plain)
    r:measure("memory", cost.memory, servers.plain)
    r:measure("backlog", cost.backlog, servers.plain, rounds)
    r:measure("idle", cost.idle, servers.plain)
    r:measure("idle processes", footprint.idle, "redis")
    r:measure("sleepers", footprint.sleepers, "redis")
  end)
  part("around", "Around a job", function()
    r:measure("around a job", around.ratios, "redis", rounds)
    r:measure("held back", around.held_back, "redis", rounds)
  end)
  part("many", "Many jobs, queues and engines", function() r:measure("many", many.run, servers.plain) end)
end

local servers = {}
servers.plain = redis.start()
servers.aof = redis.start { config = { "appendonly yes", "appendfsync everysec" } }
local ok, err = xpcall(measure_all, debug.traceback, servers)
local version = servers.plain:info "redis_version"
for _, server in pairs(servers) do server:close() end
if not ok then error(err, 0) end

local averages = { uv.loadavg() }
io.stdout:write(("\n%s, Redis %s, %d cores (%s), load average at the end %.1f\n\n"):format(
  os.date "!%Y-%m-%d %H:%M UTC", version, #uv.cpu_info(), uv.cpu_info()[1].model, averages[1]))
r:print()
os.exit(r.broken and 1 or 0)
