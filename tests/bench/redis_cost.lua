-- redis_cost.lua - what Redis pays: commands and CPU per job, memory per waiting job, what is left when all is done,
-- and what an idle engine asks for.
local Place = require "tests.bench.place"
local redis = require "tests.support.redis"
local process = require "tests.support.process"
local rates = require "tests.bench.redis_rates"
local report = require "tests.bench.report"
local throughput = require "tests.bench.throughput"
local uv = require "luv"
local wait = require "tests.support.wait"

local M = {}

local JOBS = 100000
local RECORD_BYTES = 200
local IDLE_S = 10
local SHORT, LONG = 1000, 1000000
local TURNS = 5 -- a round: one takes less than a second, and single ones are a third apart
local CALLS = { evalsha = true, eval = true, fcall = true }
local OURS = { info = true, ["config|resetstat"] = true, config = true }

-- -- per job ---------------------------------------------------------------------------------------------------------

local function cpu_us(server)
  local info = server:figures "cpu"
  return (info.used_cpu_sys + info.used_cpu_user) * 1e6
end

-- "evalsha 12, hset 4.0" per thousand jobs, the most expensive first; and how many script calls.
local function commands(stats, jobs)
  local list, calls = {}, 0
  for name, stat in pairs(stats) do
    name = name:match "^cmdstat_(.*)$"
    if name and not OURS[name] then
      list[#list + 1] = { name = name, calls = stat.calls / jobs * 1000, usec = stat.usec / jobs }
      if CALLS[name] then calls = calls + stat.calls end
    end
  end
  table.sort(list, function(a, b) return a.usec > b.usec end)
  for i, one in ipairs(list) do list[i] = ("%s %.1f (%.2f us)"):format(one.name, one.calls, one.usec) end
  return table.concat(list, ", ", 1, math.min(#list, 8)), calls
end

-- Runs fn and says what that cost the server per job.
local function say_cost(r, server, what, jobs, fn)
  local before
  local stats, cpu
  fn {
    before = function()
      server:call("CONFIG", "RESETSTAT")
      before = cpu_us(server)
    end,
    after = function()
      cpu = cpu_us(server) - before
      stats = server:figures "commandstats"
    end,
  }
  local text, calls = commands(stats, jobs)
  r:say(what .. ": Redis's CPU a job", "%.2f us", cpu / jobs)
  r:say(what .. ": script calls", "%.1f per 1,000 jobs", calls / jobs * 1000)
  r:say(what .. ": commands per 1,000 jobs, and us a job", "%s", text)
  return cpu / jobs
end

function M.jobs(r, server)
  local put = say_cost(r, server, "enqueue_many", JOBS, function(around)
    Place.with("redis", function(place)
      around.before()
      place:seed("noop", JOBS)
      around.after()
    end)
  end)
  local done = say_cost(r, server, "drain", JOBS, function(around) rates.drain(JOBS, nil, nil, around) end)
  local ideal = rates.ideal(server.port, JOBS)
  r:say("Redis's CPU a job, all of it", "%.2f us (RPUSH and ideal loop: %.2f us)", put + done,
    ideal.cpu_rpush_us + ideal.cpu_1_us)
end

-- -- memory ----------------------------------------------------------------------------------------------------------

-- "skein:{default}:jobs 300" in bytes per job; the keys that take at least one.
local function keys_by_size(server)
  local list = {}
  for _, key in ipairs(server:call("KEYS", "*")) do
    local bytes = tonumber(server:call("MEMORY", "USAGE", key, "SAMPLES", "0"))
    if bytes >= JOBS then list[#list + 1] = { key, bytes / JOBS } end
  end
  table.sort(list, function(a, b) return a[2] > b[2] end)
  for i, one in ipairs(list) do list[i] = ("%s %.0f"):format(one[1], one[2]) end
  return table.concat(list, ", ")
end

function M.memory(r, server)
  local ideal = rates.ideal(server.port, JOBS).bytes
  Place.with("redis", function(place)
    local empty = server:figures("memory").used_memory
    place:seed("noop", JOBS)
    local bytes = (server:figures("memory").used_memory - empty) / JOBS
    r:say("memory a waiting job, record of 200 bytes", "%.0f bytes, %.0f beyond the record (in a bare list: %.0f)",
      bytes, bytes - RECORD_BYTES, ideal)
    r:say("bytes a job by key", "%s", keys_by_size(server))
    place:start { drain = true }
    place:drained(JOBS, 120)
    local left = table.concat(server:call("KEYS", "*"), ", ")
    r:say("left when all is done", "%.0f kB beyond an empty server; keys: %s",
      (server:figures("memory").used_memory - empty) / 1000, left)
  end)
end

-- -- long and short queues -------------------------------------------------------------------------------------------

-- The long queue has a server of its own, so that both can be measured by turns.
local function with_backlogs(servers, fn)
  Place.redis = servers[SHORT]
  Place.with("redis", function(short)
    Place.redis = servers[LONG]
    Place.with("redis", function(long)
      short:seed("relay", SHORT)
      long:seed("relay", LONG)
      fn { [SHORT] = short, [LONG] = long }
    end)
  end)
end

function M.backlog(r, server, n)
  local costs, seen = { [SHORT] = {}, [LONG] = {} }, { [SHORT] = 0, [LONG] = 0 }
  local other = redis.start()
  local ok, err = xpcall(with_backlogs, debug.traceback, { [SHORT] = server, [LONG] = other }, function(places)
    for i = 1, n * TURNS do
      for length, place in pairs(places) do costs[length][i],
        seen[length] = throughput.relay_cost(place, seen[length]) end
    end
  end)
  Place.redis = server
  other:close()
  if not ok then error(err, 0) end
  local ratio = report.median(report.ratios(costs[LONG], costs[SHORT]))
  r:judge("a job's cost, 1,000,000 waiting against 1,000", ratio <= 1.2, "<= 1.2",
    "%.1f us against %.1f us, ratio %.2f",
          report.median(costs[LONG]) * 1e6, report.median(costs[SHORT]) * 1e6, ratio)
end

-- -- idle ------------------------------------------------------------------------------------------------------------

-- What clients send in IDLE_S seconds, by name; commands that scripts call are not among them.
local function monitored(server)
  local args = { "-p", tostring(server.port), "MONITOR" }
  local child = process.start("redis-cli", { args = args, env = uv.os_environ(), name = "redis-cli" })
  wait.wait_for("MONITOR", 5, function() return child.stdout:match "^OK\n" end)
  wait.poll(IDLE_S, function() return not child:running() end)
  child:signal_with "sigterm"
  child:wait(5)
  local total, by_name = 0, {}
  for from, name in child.stdout:gmatch '%[%d+ ([^%]]+)%] "([^"]+)"' do
    if from ~= "lua" then
      total = total + 1
      by_name[name] = (by_name[name] or 0) + 1
    end
  end
  local list = {}
  for name, count in pairs(by_name) do list[#list + 1] = ("%s %.1f"):format(name:lower(), count / IDLE_S) end
  return total / IDLE_S, table.concat(list, ", ")
end

function M.idle(r, server)
  Place.with("redis", function(place)
    place:seed("first", 1)
    place:start()
    place:wait_noted("first", 1, 20)
    wait.poll(2, function() return not place.engine:running() end)
    local before = cpu_us(server)
    local rate, which = monitored(server)
    r:judge("idle engine, commands", rate < 1, "< 1/s", "%.1f/s (%s), Redis's CPU %.1f ms/s", rate, which,
      (cpu_us(server) - before) / IDLE_S / 1000)
  end)
end

return M
