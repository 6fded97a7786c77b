-- throughput.lua - jobs per second: going in, and from end to end, beside the bare yardstick in the same rounds; and
-- whether a long queue costs more than a short one.
local Place = require "tests.bench.place"
local load = require "load"
local process = require "tests.support.process"
local report = require "tests.bench.report"
local uv = require "luv"

local M = {}

local JOBS = 100000
local SHORT, LONG = 1000, 1000000
local RELAYS_SKIPPED, RELAYS = 20, 220 -- of each hundred jobs one is noted

local function per_second(list) return report.count(report.median(list)) .. "/s" end

-- -- the yardstick ---------------------------------------------------------------------------------------------------

local function yardstick(into)
  Place.with("sqlite", function(place)
    local child = process.start(Place.programs .. "/tests/bench/sqlite_yardstick", {
      args = { place.dir .. "/yardstick.db", tostring(JOBS) }, env = place.env, name = "sqlite_yardstick",
    })
    local code = child:wait(120)
    local single, insert, move = child.stdout:match "single (%d+) insert (%d+) move (%d+)"
    if code ~= 0 or not single then error("sqlite_yardstick: " .. child.stderr) end
    single, insert, move = tonumber(single), tonumber(insert), tonumber(move)
    for name, rate in pairs { single = single, insert = insert, move = move, whole = 1 / (1 / insert + 1 / move) } do
      into[name] = into[name] or {}
      table.insert(into[name], rate)
    end
  end)
end

-- -- enqueue ---------------------------------------------------------------------------------------------------------

local function enqueue(store, into)
  Place.with(store, function(place)
    place:load("enqueue", { alone = true, workers = 1, queue = "default" })
    local rates = place:wait_noted("enqueue", 1, 120)[1]
    table.insert(into.single, rates[1])
    table.insert(into.many, rates[2])
  end)
end

-- -- end to end ------------------------------------------------------------------------------------------------------

-- Jobs per second of an engine that finds JOBS waiting, from its start to its end.
local function drain(store, workers, into)
  Place.with(store, function(place)
    place:seed("noop", JOBS)
    place:start { drain = true, workers = workers }
    table.insert(into, JOBS / place:drained(JOBS, 120))
  end)
end

local CORES = #uv.cpu_info() -- as many workers as the default settings say
local WORKERS = CORES > 2 and { 1, 2, CORES } or { 1, 2 }

-- One round of everything after the other, so that a noisy moment is noisy to all.
local function rounds(stores, n)
  local all = { yardstick = {} }
  for _, store in ipairs(stores) do
    all[store] = { single = {}, many = {}, drain = {} }
    for _, workers in ipairs(WORKERS) do all[store].drain[workers] = {} end
  end
  for i = 1, n do
    io.stderr:write(("  round %d of %d\n"):format(i, n))
    yardstick(all.yardstick)
    for _, store in ipairs(stores) do
      enqueue(store, all[store])
      for _, workers in ipairs(WORKERS) do drain(store, workers, all[store].drain[workers]) end
    end
  end
  return all
end

local function say_yardstick(r, y)
  r:say("bare SQLite: insert one a transaction", per_second(y.single))
  r:say("bare SQLite: insert 100 a transaction", per_second(y.insert))
  r:say("bare SQLite: mark and delete, 100 a transaction", per_second(y.move))
  r:say("bare SQLite: insert, mark and delete", per_second(y.whole))
end

local function say_sqlite(r, y, own)
  local default = own.drain[CORES]
  local function beside(what, rates, bare, budget)
    local ratio = report.median(report.ratios(rates, bare))
    local measured = ("%s, %.2f x bare"):format(per_second(rates), ratio)
    if budget then r:judge("sqlite: " .. what, ratio >= 0.5, ">= 0.5 x bare " .. budget, "%s",
      measured) else r:say("sqlite: " .. what, "%s", measured) end
  end
  beside("enqueue, one at a time", own.single, y.single)
  beside("enqueue_many", own.many, y.insert, "insert")
  beside("no-op jobs waiting, drained, default settings", default, y.move, "mark and delete")
  local whole = {}
  for i, rate in ipairs(default) do whole[i] = 1 / (1 / rate + 1 / own.many[i]) end
  beside("no-op jobs, enqueue_many and drain", whole, y.whole, "insert, mark and delete")
end

local function say_memory(r, own, sqlite)
  local default = own.drain[CORES]
  r:say("memory: enqueue in a job, one at a time", per_second(own.single))
  r:say("memory: enqueue_many in a job", per_second(own.many))
  local beside = sqlite and (", %.1f x sqlite"):format(report.median(report.ratios(default, sqlite.drain[CORES]))) or ""
  r:say("memory: no-op jobs waiting, drained, default settings", "%s%s", per_second(default), beside)
end

local function say_workers(r, store, own)
  for _, workers in ipairs(WORKERS) do
    local what = ("%s: the same with %d worker%s"):format(store, workers, workers > 1 and "s" or "")
    if workers ~= CORES then r:say(what, per_second(own.drain[workers])) end
  end
end

function M.rates(r, stores, n)
  local all = rounds(stores, n)
  say_yardstick(r, all.yardstick)
  if all.sqlite then
    say_sqlite(r, all.yardstick, all.sqlite)
    say_workers(r, "sqlite", all.sqlite)
  end
  if all.memory then
    say_memory(r, all.memory, all.sqlite)
    say_workers(r, "memory", all.memory)
  end
end

-- -- long and short queues -------------------------------------------------------------------------------------------

--- Seconds per job while the queue stays as long as it is (task "relay"), and how many relays were noted, `seen` of
-- them before.
function M.relay_cost(place, seen)
  place:start()
  local times = place:numbers("relay", seen + RELAYS, 120)
  place:stop()
  return (times[seen + RELAYS] - times[seen + RELAYS_SKIPPED]) / ((RELAYS - RELAYS_SKIPPED) * load.RELAY),
    #place:noted "relay"
end

function M.backlog(r, store, n)
  local costs = { [SHORT] = {}, [LONG] = {} }
  local function round(places)
    for length, list in pairs(costs) do
      local place = places[length]
      local cost
      cost, place.seen = M.relay_cost(place, place.seen or 0)
      table.insert(list, cost)
    end
  end
  -- A store that outlives its engine is filled once.
  for _ = 1, store == "sqlite" and 1 or n do
    Place.with(store, function(short)
      Place.with(store, function(long)
        short:seed("relay", SHORT)
        long:seed("relay", LONG)
        for _ = 1, store == "sqlite" and n or 1 do round { [SHORT] = short, [LONG] = long } end
      end)
    end)
  end
  local ratio = report.median(report.ratios(costs[LONG], costs[SHORT]))
  r:judge(store .. ": a job's cost, 1,000,000 waiting against 1,000", ratio <= 1.2, "<= 1.2",
    "%.1f us against %.1f us, median ratio %.2f",
          report.median(costs[LONG]) * 1e6, report.median(costs[SHORT]) * 1e6, ratio)
end

return M
