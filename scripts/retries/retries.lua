-- A failed attempt is retried after its back-off; handlers hear of each failure and of the last one.
--   skein enqueue retries.start && skein run scripts/retries --drain
local skein = require "skein"

skein.on("error", function(job, err) print("attempt", job.attempt, "will be retried:", err.message) end)

-- The back-off is a list of seconds here; names such as "exponential" and functions work too.
skein.task("retries.start", { retries = 3, backoff = { 0.1, 0.2, 0.4 } }, function(job)
  if job.attempt == 1 then error("no luck yet") end
  if job.attempt == 2 then skein.retry_in(0.3, "the other side said: later") end -- the handler names the delay itself
  print("done at attempt " .. job.attempt)
  skein.enqueue("retries.shop", skein.now() + 0.5)
end)

skein.task("retries.shop", { retries = 0 }, function(job, opens)
  if skein.now() < opens then job:snooze(0.2) end -- again later, without counting an attempt
  print("open")
end)
