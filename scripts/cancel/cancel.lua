-- A running job tells its progress and can be cancelled: its next wait raises an error.
--   skein enqueue cancel.start && skein run scripts/cancel --drain
local skein = require "skein"

skein.task("cancel.copy", { timeout = 60 }, function(job)
  for percent = 0, 100 do
    job:progress(percent, "copying")
    skein.sleep(0.1) -- ends with an error once the job is cancelled
  end
end)

skein.task("cancel.start", function()
  local copy = skein.enqueue("cancel.copy")
  repeat skein.sleep(0.05) until (copy:progress() or 0) >= 2
  assert(copy:cancel())
  local _, err = copy:wait(10)
  print("cancel.copy: " .. err.code)
end)
