-- Many things at once in one worker: sleeping jobs, threads inside a job, and jobs that wait for other jobs.
--   skein enqueue fanout.start && skein run scripts/fanout --drain
local skein = require "skein"

-- A job that waits costs its coroutine, not a thread: a hundred of these take little longer than one.
skein.task("fanout.page", { queue = "pages" }, function(job, number)
  skein.sleep(0.1)
  return { number = number, words = number * 7 }
end)

-- skein.spawn runs functions side by side within one job; wait() returns what they returned, or nil and their error.
skein.task("fanout.both", function(job)
  local slow = skein.spawn(function() skein.sleep(0.2) return "slow" end)
  local bad = skein.spawn(function() error("broken") end)
  local value = slow:wait()
  local none, err = bad:wait()
  job:log("one thread returned %s, the other %s: %s", value, tostring(none), err.message)
end)

-- Handles can be waited for; nobody polls, and the worker does other jobs meanwhile.
skein.task("fanout.start", function(job)
  skein.enqueue("fanout.both")
  local signatures = {}
  for i = 1, 100 do signatures[i] = { task = "fanout.page", args = { i } } end
  local started, words = skein.now(), 0
  for i, handle in ipairs(skein.enqueue_many(signatures)) do
    words = words + assert(handle:wait(30)).words
    if i % 25 == 0 then job:progress(i, i .. " pages") end
  end
  job:log("100 pages, %d words, %.2f s", words, skein.now() - started)
end)
