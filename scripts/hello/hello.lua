-- The first lesson: one job that starts others of every simple kind.  Run it with `make run`, or
--   skein enqueue hello.start && skein run scripts/hello --drain
local skein = require "skein"

local BURST = 5000

-- A task is a name and a function.  What it returns is the job's result.
skein.task("hello.greet", function(job, name)
  job:log("hello, %s", name)
  return { greeted = name }
end)

-- An error fails the attempt; the job is retried after its back-off, here 0.2 s and then 0.4 s.
skein.task("hello.flaky", { retries = 5, backoff = { 0.2, 0.4 } }, function(job)
  if job.attempt < 3 then error("not yet, this was attempt " .. job.attempt) end
  job:log("third time lucky")
end)

-- Due at a time: jobs start within milliseconds of it.
skein.task("hello.scheduled", function(job, due)
  job:log("due %.1f s after the start, %.1f ms late", 1, (skein.now() - due) * 1000)
end)

-- A slow job waits without keeping anyone else waiting, and says how far it is.
skein.task("hello.slow", { timeout = 30 }, function(job)
  for step = 1, 4 do
    skein.sleep(0.4)
    job:progress(step * 25, "step " .. step)
    job:log("slow job: step %d of 4", step)
  end
end)

skein.task("hello.tick", function() end)

-- Jobs enqueue jobs.  Many at once cost one round trip per thousand.
skein.task("hello.start", function(job)
  skein.enqueue("hello.greet", "world")
  skein.enqueue("hello.flaky")
  skein.enqueue_in(1, "hello.scheduled", skein.now() + 1)
  skein.enqueue("hello.slow")

  local t = skein.now()
  local burst = {}
  for i = 1, BURST do burst[i] = { task = "hello.tick" } end
  skein.enqueue_many(burst)
  repeat
    skein.sleep(0.05)
    local left = skein.admin.stats().ready
    job:log("burst: %d of %d ticks to go", left, BURST)
  until left == 0
  job:log("%d ticks took %.2f s", BURST, skein.now() - t)
end)
