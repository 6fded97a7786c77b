-- latency.lua - measures how long a job waits that need not wait: for an idle engine, for its due time, in a crowd of
-- short sleepers, at a fresh start.
local Place = require "tests.bench.place"
local load = require "load"
local report = require "tests.bench.report"

local M = {}

local STARTS = 7

-- Medians over n runs of fn(place) -> a list of numbers.
local function medians(store, n, shares, fn)
  local by_share = {}
  for i = 1, n do
    Place.with(store, function(place)
      local list = fn(place)
      for share in pairs(shares) do
        by_share[share] = by_share[share] or {}
        by_share[share][i] = report.percentile(list, share)
      end
    end)
  end
  local values = {}
  for share, name in pairs(shares) do values[name] = report.median(by_share[share]) end
  return values
end

function M.idle(r, store, n)
  local trips = {}
  local wait = medians(store, n, { [0.5] = "p50", [0.99] = "p99" }, function(place)
    place:load "trips"
    local waits = place:numbers("mark", load.TRIPS, 60)
    table.insert(trips, report.median(place:numbers("trip", load.TRIPS, 60)))
    return waits
  end)
  local trip = report.median(trips)
  local budget = 3 * trip + 0.001
  r:judge(store .. ": idle, enqueue to start", wait.p99 < budget,
    ("p99 < 3 calls of enqueue + 1 ms = %s"):format(report.ms(budget)),
          "p50 %s, p99 %s (a call: %s)", report.ms(wait.p50), report.ms(wait.p99), report.ms(trip))
end

function M.due(r, store, n)
  local late = medians(store, n, { [0] = "first", [0.5] = "p50", [0.99] = "p99" }, function(place)
    place:load "late"
    return place:numbers("late", load.LATE, 60)
  end)
  r:judge(("%s: lateness of scheduled jobs, %d/s"):format(store, load.LATE_PER_S), late.p99 < 0.005, "p99 < 5 ms",
          "p50 %s, p99 %s, earliest %s", report.ms(late.p50), report.ms(late.p99), report.ms(late.first))
end

function M.naps(r, store, n)
  local times, with_enqueue = {}, {}
  for i = 1, n do
    Place.with(store, function(place)
      place:load("naps", { workers = 1, concurrency = 1000 })
      local span = place:wait_noted("naps", 1, 60)[1]
      times[i] = span[2] - span[1]
      with_enqueue[i] = span[2] - place:noted("naps_enqueued")[1][1]
    end)
  end
  local took = report.median(times)
  r:judge(store .. ": 2,000 jobs of 50 ms, concurrency 1,000", took < 0.2, "< 0.2 s",
    "%.3f s from the first start, %.3f s from enqueue_many",
          took, report.median(with_enqueue))
end

--- From the start of the process to the start of a job that waits in the file.
function M.start(r, store)
  local times = {}
  Place.with(store, function(place)
    for i = 1, STARTS do
      place:seed("first", 1)
      place:start()
      times[i] = place:numbers("first", i, 20)[i] - place.started_wall
      place:stop()
    end
  end)
  local took = report.median(times)
  r:judge(store .. ": start to first job", took < 0.1, "< 100 ms", "%s, worst of %d %s", report.ms(took), STARTS,
    report.ms(report.percentile(times, 1)))
end

return M
