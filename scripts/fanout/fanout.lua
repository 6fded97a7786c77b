-- Many jobs at once in one worker, and threads within a job: what waits costs a coroutine.
--   skein enqueue fanout.start && skein run scripts/fanout --drain
local skein = require "skein"

skein.task("fanout.page", { queue = "pages" }, function(job, number)
  skein.sleep(0.1)
  return number * 7
end)

skein.task("fanout.start", function()
  -- skein.spawn runs functions side by side within a job; wait() returns what they return, or nil and their error.
  local thread = skein.spawn(function() skein.sleep(0.2) return "thread done" end)
  local signatures = {}
  for i = 1, 100 do signatures[i] = { task = "fanout.page", args = { i } } end
  local started, words = skein.now(), 0
  for _, page in ipairs(skein.enqueue_many(signatures)) do words = words + page:wait(30) end
  print(("100 pages, %d words, %.2f s; %s"):format(words, skein.now() - started, thread:wait()))
end)
