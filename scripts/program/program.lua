-- The other half of _enqueue.lua, a plain LuaJIT program that enqueues this job and waits for its result.
--   skein run scripts/program, and beside it: luajit scripts/program/_enqueue.lua
local skein = require "skein"

skein.task("program.add", function(job, a, b) return a + b end)

skein.task("program.start", function() print("now run: luajit scripts/program/_enqueue.lua") end)
