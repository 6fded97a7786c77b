-- One job per key at a time: a second enqueue is refused while the first one waits or runs.
--   skein enqueue unique.start && skein run scripts/unique --drain
local skein = require "skein"

skein.task("unique.report", { unique = true }, function(job, month) print("report of " .. month) end)

skein.task("unique.start", function()
  -- The job waits, because otherwise another worker might be done with it already.
  local first = assert(skein.enqueue_in(0.2, "unique.report", "May"))
  local second, err = skein.enqueue("unique.report", "May")
  assert(not second and err.code == "exists" and err.handle.id == first.id)
  assert(skein.enqueue("unique.report", "June")) -- other args, another key
end)
