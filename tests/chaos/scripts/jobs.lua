-- The jobs of a chaos run.  Each run writes one line at its start and one at its end, so that what ran is known without
-- the engine.
local skein = require "skein"
local ffi = require "ffi"
local notes = require "notes"
local task = notes.task

task("plain", { retries = 0 }, function() end)
task("scheduled", { retries = 0 }, function() end)
task("child", { retries = 0 }, function() end)
task("cancelled", { retries = 0 }, function() end)
-- Slots and locks are given back however a job ends, and nothing of them stays.
task("sleepy", { retries = 0, unique = { key = 1 }, limit = { concurrency = 40 } },
  function(_, _, s) skein.sleep(s) end)
task("flaky", { retries = 5, limit = { key = 1, order = "strict" } }, function(job, _, failures)
  if job.attempt <= failures then error("not yet") end
end)
task("failing", { retries = 2, unique = true, limit = { rate = 1000, burst = 100 } }, function() error "never" end)
task("fatal", { retries = 5 }, function() skein.fail "hopeless" end)
task("discard", { retries = 5 }, function() skein.discard "not wanted" end)
task("kept", { retries = 0, keep = 7200 }, function(_, n) return { n = n, squared = n * n } end)

-- A store that is away fails the attempt, so it is tried again.
task("parent", { retries = 1000 }, function(_, n, children)
  for i = 1, children do
    local _, err = skein.enqueue({ task = "child", id = ("c%d-%d"):format(n, i) }, n)
    if err and err.code ~= "exists" then error(err) end
  end
end)

local WAYS = {
  [0] = notes.die,
  function() notes.dying() os.exit(3) end,
  function() notes.dying() ffi.cast("int *", 0)[0] = 1 end,
}

task("killer", { retries = 5 }, function(_, _, way) WAYS[way]() end)
task("killer_once", { retries = 5 }, function(_, n, way)
  if notes.first_time(n) then WAYS[way]() end
end)
