-- The first script: a task is a name and a function; a job is one request to run it.
--   skein enqueue hello.start && skein run scripts/hello --drain
local skein = require "skein"

skein.task("hello.greet", function(job, name)
  print("hello, " .. name)
  return { greeted = name }
end)

skein.task("hello.start", function()
  skein.enqueue("hello.greet", "world")         -- as soon as a worker is free
  skein.enqueue_in(0.5, "hello.greet", "later") -- half a second from now, to the millisecond
end)
