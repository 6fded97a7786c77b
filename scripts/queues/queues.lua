-- Which job is next: several queues in strict order, and priorities within a queue.  See config.lua beside this file.
--   skein enqueue queues.start && skein run scripts/queues --drain
local skein = require "skein"

local function tell(job, what) print(("%-8s priority %2d  %s"):format(job.queue, job.args[2] or 0, what)) end

skein.task("queues.urgent", { queue = "urgent" }, tell)
skein.task("queues.normal", tell)
skein.task("queues.bulk", { queue = "bulk" }, tell)

-- With one worker and one slot the log shows the order: urgent first, bulk last, and in "default" by priority.
skein.task("queues.start", { queue = "urgent" }, function()
  skein.enqueue_many {
    { task = "queues.bulk", args = { "when nothing else waits" } },
    { task = "queues.normal", args = { "whenever", -2 }, priority = -2 },
    { task = "queues.normal", args = { "as usual", 0 } },
    { task = "queues.normal", args = { "soon", 2 }, priority = 2 },
    { task = "queues.urgent", args = { "before all others" } },
  }
end)
