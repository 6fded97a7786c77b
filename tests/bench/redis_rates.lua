-- redis_rates.lua - jobs per second on Redis: going in, and from end to end, beside the ideal loop in the same rounds;
-- without persistence and with an append-only file; and through a network with a round trip of milliseconds.
local proxies = require "tests.support.proxy"
local Place = require "tests.bench.place"
local process = require "tests.support.process"
local report = require "tests.bench.report"
local uv = require "luv"

local M = {}

local JOBS = 200000
local WORKERS = { 1, 2 }
local TRIPS_MS = { 0, 1, 2 } -- added to a round trip
local TIMEOUT_S = 180

local function per_second(list) return report.count(report.median(list)) .. "/s" end

local function add(into, name, value)
  into[name] = into[name] or {}
  table.insert(into[name], value)
end

-- -- what is measured, once ------------------------------------------------------------------------------------------

--- Runs the ideal loop against a port: what it prints, as a table.
function M.ideal(port, jobs)
  local child = process.start(Place.programs .. "/tests/bench/redis_ideal", {
    args = { tostring(port), tostring(jobs) }, env = uv.os_environ(), name = "redis_ideal",
  })
  if child:wait(TIMEOUT_S) ~= 0 then error("redis_ideal: " .. child.stderr) end
  local found = {}
  for name, value in child.stdout:gmatch "([%w_]+) ([%d.]+)\n" do found[name] = tonumber(value) end
  return found
end

local function ideal(into, port)
  for name, value in pairs(M.ideal(port, JOBS)) do add(into, name, value) end
end

-- url: the way to the same server that is measured, if not the straight one.
local function enqueue(into, url)
  Place.with("redis", function(place)
    place.url = url or place.url
    place:load("enqueue", { alone = true })
    local measured = place:wait_noted("enqueue", 1, TIMEOUT_S)[1]
    add(into, "single_own", measured[1])
    add(into, "many_own", measured[2])
  end)
end

--- Jobs per second of an engine that finds JOBS waiting, from its start to its end.  around: { before = fn(), after =
-- fn() } or nil
function M.drain(jobs, workers, url, around)
  return Place.with("redis", function(place)
    place:seed("noop", jobs)
    if around then around.before() end
    place:start { drain = true, workers = workers, url = url }
    local seconds = place:drained(jobs, TIMEOUT_S)
    if around then around.after() end
    return jobs / seconds
  end)
end

-- -- rounds ----------------------------------------------------------------------------------------------------------

local function say_ideal(r, kind, own)
  r:say(kind .. "PING", "%.1f us", report.median(own.trip_us))
  r:say(kind .. "one RPUSH a round trip", per_second(own.single))
  r:say(kind .. "pipelined RPUSH", "%s (100 jobs an RPUSH: %s)", per_second(own.rpush), per_second(own.rpush_many))
  r:say(kind .. "ideal loop, one call in flight", "%s, %.1f us of Redis's CPU a job", per_second(own.move_1),
    report.median(own.cpu_1_us))
  r:say(kind .. "ideal loop, two calls in flight", "%s, %.1f us", per_second(own.move_2), report.median(own.cpu_2_us))
  r:say(kind .. "ideal loop, done and take in one call", "%s, %.1f us", per_second(own.move_fused),
    report.median(own.cpu_fused_us))
end

local function say_own(r, kind, own)
  local function ratio(a, b) return report.median(report.ratios(own[a], own[b])) end
  r:say(kind .. "enqueue, one at a time", "%s, %.2f x one RPUSH a round trip", per_second(own.single_own),
    ratio("single_own", "single"))
  local many = ratio("many_own", "rpush")
  r:judge(kind .. "enqueue_many", many >= 0.5, ">= 0.5 x pipelined RPUSH", "%s, %.2f x pipelined RPUSH",
    per_second(own.many_own), many)
  for _, workers in ipairs(WORKERS) do
    local name = "drain_" .. workers
    local one, two = ratio(name, "move_1"), ratio(name, "move_2")
    r:judge(("%sno-op jobs waiting, drained by %d worker%s"):format(kind, workers, workers > 1 and "s" or ""),
      one >= 0.5,
            ">= 0.5 x ideal loop", "%s, %.2f x ideal loop (%.2f x with two calls in flight)", per_second(own[name]),
              one, two)
  end
end

--- servers: { plain =, aof = }
function M.rates(r, servers, n)
  local found = { plain = {}, aof = {} }
  for i = 1, n do
    io.stderr:write(("  round %d of %d\n"):format(i, n))
    for name, own in pairs(found) do
      Place.redis = servers[name]
      ideal(own, servers[name].port)
      enqueue(own)
      for _, workers in ipairs(WORKERS) do add(own, "drain_" .. workers, M.drain(JOBS, workers)) end
    end
  end
  for _, name in ipairs { "plain", "aof" } do
    local kind = name == "plain" and "" or "AOF everysec: "
    say_ideal(r, kind, found[name])
    say_own(r, kind, found[name])
  end
end

-- -- at a distance ---------------------------------------------------------------------------------------------------

local function at_distance(into, proxy, ms)
  proxy:delay(ms / 2)
  local own = into[ms] or {}
  into[ms] = own
  local url = "redis://127.0.0.1:" .. proxy.port
  ideal(own, proxy.port)
  enqueue(own, url)
  add(own, "drain", M.drain(JOBS, nil, url))
end

--- Through a proxy at every distance, also none: its own work is the same in all of them.
function M.trips(r, server, n)
  Place.redis = server
  local found = {}
  local proxy = proxies.start(server.port)
  local ok, err = xpcall(function()
    for _ = 1, n do
      for _, ms in ipairs(TRIPS_MS) do at_distance(found, proxy, ms) end
    end
  end, debug.traceback)
  proxy:stop()
  if not ok then error(err, 0) end
  for _, ms in ipairs(TRIPS_MS) do
    local own = found[ms]
    local what = ("+%g ms a round trip (PING %.2f ms): "):format(ms, report.median(own.trip_us) / 1000)
    r:say(what .. "ideal loop", "one call in flight %s, two %s", per_second(own.move_1), per_second(own.move_2))
    r:say(what .. "enqueue", "one at a time %s, enqueue_many %s", per_second(own.single_own), per_second(own.many_own))
    local ratio = report.median(report.ratios(own.drain, found[0].drain))
    if ms == 1 then
      r:judge(what .. "drained", ratio >= 0.6, ">= 0.6 x at 0 ms", "%s, %.2f x at 0 ms", per_second(own.drain), ratio)
    else
      r:say(what .. "drained", "%s, %.2f x at 0 ms", per_second(own.drain), ratio)
    end
  end
end

return M
