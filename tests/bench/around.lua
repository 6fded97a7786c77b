-- around.lua - what it costs to have something around a job: middleware, a kept result, a lock, a limit.  Each as a
-- ratio to the plain job in the same round: going in (enqueue_many by a client) and coming out (drained by one worker).
--  And what jobs that are held back cost the others.
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
  { name = "a limit: concurrency 1,000", task = "noop", options = function(sig) sig.limit = { concurrency = 1000,
    key = "all" } end },
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

-- -- jobs that are held back -----------------------------------------------------------------------------------------

local KEYS, PER_KEY, BESIDE = 1000, 100, 100000

local function enqueue_batches(n, signature)
  for first = 1, n, BATCH do
    local batch = {}
    for i = first, math.min(n, first + BATCH - 1) do batch[#batch + 1] = signature(i) end
    assert(skein.enqueue_many(batch))
  end
end

-- The rate of plain jobs while a job of each key runs, and `held` jobs more wait for its end.
local function rate_beside(store, held)
  return Place.with(store, function(place)
    place:client(function()
      enqueue_batches(KEYS + held, function(i)
        return { task = "sleeper", args = { i }, limit = { concurrency = 1, key = "tenant " .. i % KEYS } }
      end)
    end)
    place:start { workers = 1, concurrency = KEYS + 100 }
    place:wait_noted("asleep", KEYS, 60)
    place:client(function() enqueue_batches(BESIDE, function() return { task = "tally", args = { BESIDE } } end) end)
    local from, to = unpack(place:wait_noted("tallied", 1, 60)[1])
    return BESIDE / (to - from)
  end)
end

--- The cost of jobs that are held back for jobs that can start.
function M.held_back(r, store, rounds)
  local without, with = {}, {}
  for i = 1, rounds do
    io.stderr:write(("  held back: round %d of %d\n"):format(i, rounds))
    without[i], with[i] = rate_beside(store, 0), rate_beside(store, KEYS * PER_KEY)
  end
  local ratio = report.median(report.ratios(with, without))
  r:say("plain jobs beside 100,000 held back in 1,000 keys", "%s/s, %.2f x those beside none",
    report.count(report.median(with)), ratio)
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
