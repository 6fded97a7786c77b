-- peers.lua - Sidekiq, BullMQ, Skein and the ideal loop in turn on one redis-server: no-op jobs, latency when idle,
-- lateness.
--
--   luajit tests/bench/peers/peers.lua BUILT ROUNDS         run by run.sh, which installs the peers
--
-- Each peer runs as its users run it for speed: as many processes as said, Sidekiq with its default of 10 threads,
-- BullMQ with 100 jobs at a time and nothing kept of a finished job.  A peer's clock runs from the first job taken to
-- the last, its start excluded; Skein's is the whole life of `skein run --drain`, process start and end included.
local Place = require "tests.bench.place"
local redis = require "tests.support.redis"
local files = require "tests.support.files"
local load = require "load"
local process = require "tests.support.process"
local rates = require "tests.bench.redis_rates"
local report = require "tests.bench.report"
local uv = require "luv"
local wait = require "tests.support.wait"

local HERE = assert(uv.fs_realpath "tests/bench/peers")
local TIMEOUT_S = 300
local OWN_JOBS = 200000

-- -- a peer ----------------------------------------------------------------------------------------------------------

-- jobs: enough for about two seconds; worker(port), load(port): program and args.
local PEERS = {
  {
    name = "Sidekiq", jobs = 20000,
    worker = function() return "sidekiq", { "-r", HERE .. "/sidekiq_jobs.rb", "-c", "10", "-e", "production" } end,
    load = function() return "ruby", { HERE .. "/sidekiq_load.rb" } end,
  },
  {
    name = "BullMQ", jobs = 30000,
    worker = function(port) return "node", { HERE .. "/bullmq_worker.js", tostring(port), "100" } end,
    load = function(port) return "node", { HERE .. "/bullmq_load.js", tostring(port) } end,
  },
}

local function start(server, env, how, ...)
  local program, args = how(server.port)
  for _, arg in ipairs { ... } do args[#args + 1] = tostring(arg) end
  return process.start(program, { args = args, env = env, name = program })
end

local function finish(child)
  if child:wait(TIMEOUT_S) ~= 0 then error(child.name .. ": " .. child.stderr) end
  return child.stdout
end

-- Runs fn(env, dir) with `n` worker processes of a peer on an empty server; `first(env)`, if given, before they start.
local function with_workers(server, peer, n, first, fn)
  server:call "FLUSHALL"
  local dir = files.temp_dir()
  local env = uv.os_environ()
  env.SKEIN_BENCH_DIR, env.REDIS_URL = dir, server:url(0)
  local workers = {}
  local ok, result = xpcall(function()
    if first then first(env) end
    for i = 1, n do workers[i] = start(server, env, peer.worker) end
    return fn(env, dir, workers)
  end, debug.traceback)
  for _, worker in ipairs(workers) do worker:signal_with "sigterm" end
  for _, worker in ipairs(workers) do
    if not wait.poll(15, function() return not worker:running() end) then worker:stop_hard() end
  end
  files.remove(dir)
  if not ok then error(result, 0) end
  return result
end

local function drain(server, peer, n)
  local watcher
  return with_workers(server, peer, n, function(env)
    finish(start(server, env, peer.load, "seed", peer.jobs))
    watcher = start(server, env, peer.load, "drained", peer.jobs)
  end, function() return peer.jobs / tonumber(finish(watcher)) end)
end

-- The numbers that `count` jobs of a verb noted.
local function noted(server, peer, verb, note, count)
  return with_workers(server, peer, 1, nil, function(env, dir, workers)
    local lines, numbers = files.lines(dir .. "/notes"), nil
    local function wait_for(name, n)
      wait.wait_for(("%d notes \"%s\" of %s"):format(n, name, peer.name), TIMEOUT_S, function()
        if not workers[1]:running() then error(peer.name .. " ended: " .. workers[1].stdout .. workers[1].stderr) end
        numbers = {}
        for _, line in ipairs(lines:all()) do numbers[#numbers + 1] = tonumber(line:match("^" .. name .. "\t(.*)")) end
        return #numbers >= n
      end)
    end
    -- The worker is up when it has done the first lot, which also warms it up.
    finish(start(server, env, peer.load, "trips"))
    wait_for("mark", load.TRIPS)
    finish(start(server, env, peer.load, verb))
    wait_for(note, note == "mark" and 2 * count or count)
    return note == "mark" and { unpack(numbers, count + 1) } or numbers
  end)
end

-- -- Skein in the same units -----------------------------------------------------------------------------------------

local function own_noted(verb, note, count)
  return Place.with("redis", function(place)
    place:load(verb)
    return place:numbers(note, count, 60)
  end)
end

-- -- rounds ----------------------------------------------------------------------------------------------------------

local function add(found, what, value)
  found[what] = found[what] or {}
  table.insert(found[what], value)
end

local function add_percentiles(found, what, list)
  add(found, what .. "p50", report.percentile(list, 0.5))
  add(found, what .. "p99", report.percentile(list, 0.99))
end

local function round(server, found)
  local ideal = rates.ideal(server.port, OWN_JOBS)
  add(found.ideal, "rate1", ideal.move_1)
  add(found.ideal, "rate2", ideal.move_2)
  for _, peer in ipairs(PEERS) do
    local own = found[peer.name]
    for n = 1, 2 do add(own, "rate" .. n, drain(server, peer, n)) end
    add_percentiles(own, "idle", noted(server, peer, "trips", "mark", load.TRIPS))
    add_percentiles(own, "late", noted(server, peer, "late", "late", load.LATE))
  end
  for n = 1, 2 do add(found.Skein, "rate" .. n, rates.drain(OWN_JOBS, n)) end
  add_percentiles(found.Skein, "idle", own_noted("trips", "mark", load.TRIPS))
  add_percentiles(found.Skein, "late", own_noted("late", "late", load.LATE))
end

local function show(found)
  local function rate(own, what) return report.count(report.median(own[what])) .. "/s" end
  local function ms(own, what) return ("p50 %s, p99 %s"):format(report.ms(report.median(own[what .. "p50"])),
    report.ms(report.median(own[what .. "p99"]))) end
  print "| | no-op jobs, 1 process | 2 processes | idle, enqueue to start | lateness of scheduled jobs, 200/s |"
  print "|---|---|---|---|---|"
  for _, name in ipairs { "Sidekiq", "BullMQ", "Skein" } do
    local own = found[name]
    print(("| %s | %s | %s | %s | %s |"):format(name, rate(own, "rate1"), rate(own, "rate2"), ms(own, "idle"),
      ms(own, "late")))
  end
  print(("| ideal loop (1, 2 calls in flight) | %s | %s | | |"):format(rate(found.ideal, "rate1"),
    rate(found.ideal, "rate2")))
end

local function versions(server)
  local env = uv.os_environ()
  local function first_line(program, ...)
    return finish(process.start(program, { args = { ... }, env = env, name = program })):match "^[^\n]*"
  end
  return ("Redis %s, %s, %s, BullMQ %s on node %s"):format(server:info "redis_version",
    first_line("sidekiq", "--version"),
    first_line("ruby", "--version"):match "^ruby %S+", first_line("node", "-p",
      "require('bullmq/package.json').version"), first_line("node", "--version"))
end

local function main()
  local built, rounds = arg[1], tonumber(arg[2])
  if not built or not rounds then
    io.stderr:write "usage: peers.lua BUILT ROUNDS\n"
    os.exit(64)
  end
  local server = redis.start()
  local ok, err = xpcall(function()
    Place.programs, Place.redis = built, server
    local found = { ideal = {}, Skein = {}, Sidekiq = {}, BullMQ = {} }
    for i = 1, rounds do
      io.stderr:write(("round %d of %d\n"):format(i, rounds))
      round(server, found)
    end
    print(("\n%s, %d cores (%s), load average at the end %.1f; %s; medians of %d rounds\n"):format(
      os.date "!%Y-%m-%d %H:%M UTC", #uv.cpu_info(), uv.cpu_info()[1].model, (uv.loadavg()), versions(server), rounds))
    show(found)
  end, debug.traceback)
  server:close()
  if not ok then error(err, 0) end
end

main()
