-- Callbacks are jobs that are enqueued in the same write that ends their parent: none is lost, none comes twice.
--   skein enqueue callbacks.start && skein run scripts/callbacks --drain
local skein = require "skein"

skein.task("callbacks.add", function(job, a, b) return a + b end)
skein.task("callbacks.show", function(job, label, result) print(label, result) end)
skein.task("callbacks.alert", function(job, message, label) print(label, "failed: " .. message) end)

skein.task("callbacks.start", function()
  skein.enqueue({ task = "callbacks.add",
    on_success = { { task = "callbacks.show", args = { "1 + 2 =" } } }, -- gets the result behind its args
    on_error = { { task = "callbacks.alert", args = { "1 + 2" } } },    -- gets the error before its args
  }, 1, 2)
end)
