-- Enqueueing from a plain LuaJIT program: connect, enqueue, wait.  Names that begin with _ are not loaded by the
-- engine.
--   luajit scripts/program/_enqueue.lua [STORE]          (default: $SKEIN_STORE, $REDIS_URL, sqlite:.skein/jobs.db)
local skein = require "skein"

assert(skein.connect((...)))
local job = assert(skein.enqueue("program.add", 20, 22))
print("enqueued " .. job.id)
print("20 + 22 = " .. assert(job:wait(30))) -- woken by the store, no polling
