-- around.lua - what it costs to have something around a job: middleware, a kept result, a lock, a limit.  Each as a ratio to the plain job
-- in the same round: going in (enqueue_many by a client) and coming out (drained by one worker).
local Place = require "tests.bench.place"
local report = require "tests.bench.report"
local skein = require "skein"

local M = {}

local JOBS, BATCH, TENANTS = 20000, 1000, 100

-- What a signature of job i says besides task and args.
local function nothing() end
local KINDS = {
  { name = "plain", task = "noop", options = nothing },
  { name = "5 middlewares", task = "wrapped", options = nothing },
  { name = "a kept result", task = "kept", options = nothing },
  { name = "unique", task = "noop", options = function(sig) sig.unique = true end },
  { name = "a limit: concurrency 1,000", task = "noop", options = function(sig) sig.limit = { concurrency = 1000, key = "all" } end },
  { name = "a limit for each of 100 keys", task = "noop",
    options = function(sig, i) sig.limit = { concurrency = 100, key = "tenant " .. i % TENANTS } end },
  { name = "a rate that is never reached", task = "noop",
    options = function(sig) sig.limit = { rate = 1000000, per = 1, burst = 1000000, key = "all" } end },
}

local function enqueue_all(kind)
  for first = 1, JOBS, BATCH do
    local batch = {}
    for i = first, first + BATCH - 1 do
      local sig = { task = kind.task, args = { i } }
      kind.options(sig, i)
      batch[#batch + 1] = sig
    end
    local _, refused = assert(skein.enqueue_many(batch))
    assert(not refused, "a job was refused")
  end
end

local function round(store, rates)
  for _, kind in ipairs(KINDS) do
    Place.with(store, function(place)
      local took = place:client(function() enqueue_all(kind) end)
      place:start { drain = true, workers = 1 }
      table.insert(rates[kind].into, JOBS / took)
      table.insert(rates[kind].out, JOBS / place:drained(JOBS, 120))
    end)
  end
end

--- store: "sqlite" or "redis": in memory no client could enqueue.
function M.ratios(r, store, rounds)
  local rates = {}
  for _, kind in ipairs(KINDS) do rates[kind] = { into = {}, out = {} } end
  for i = 1, rounds do
    io.stderr:write(("  round %d of %d\n"):format(i, rounds))
    round(store, rates)
  end
  local plain = rates[KINDS[1]]
  for _, kind in ipairs(KINDS) do
    local own = rates[kind]
    r:say(kind.name, "in %s/s, %.2f x plain; out %s/s, %.2f x plain", report.count(report.median(own.into)),
      report.median(report.ratios(own.into, plain.into)), report.count(report.median(own.out)),
      report.median(report.ratios(own.out, plain.out)))
  end
end

return M
