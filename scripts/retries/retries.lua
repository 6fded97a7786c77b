-- What becomes of failures: back-offs, giving up, putting off, and the handlers that hear of it.
--   skein enqueue retries.start && skein run scripts/retries --drain
local skein = require "skein"

skein.on("error", function(job, err) print("will be retried:", err.kind, err.message) end)
skein.on("death", function(job, err) print("given up after attempt", err.attempt, err.message) end)

-- Each form of back-off names the seconds before the next attempt; a function may compute them.
skein.task("retries.list", { retries = 2, backoff = { 0.1, 0.2 } }, function(job)
  if job.attempt <= 2 then error("no luck yet") end
end)

skein.task("retries.computed", { retries = 3, backoff = function(attempt) return attempt / 10 end }, function(job)
  if job.attempt <= 3 then error("no luck yet") end
end)

-- The handler may say itself when to try again ...
skein.task("retries.asked", { retries = 1 }, function(job)
  if job.attempt == 1 then skein.retry_in(0.1, "the other side said: later") end
end)

-- ... put the job off without counting an attempt ...
local opens
skein.task("retries.closed", { retries = 0 }, function(job)
  opens = opens or skein.now() + 0.3
  if skein.now() < opens then job:snooze(0.1) end
end)

-- ... or drop it.  (skein.fail would make it dead at once; `dead = false` keeps no record of one that died.)
skein.task("retries.pointless", function() skein.discard("the user is gone") end)

skein.task("retries.start", function()
  for _, name in ipairs { "list", "computed", "asked", "closed", "pointless" } do skein.enqueue("retries." .. name) end
end)
