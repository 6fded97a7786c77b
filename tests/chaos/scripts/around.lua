-- The jobs of a chaos run that have something around them; their limits, keys and callbacks come with their signatures.
local skein = require "skein"
local notes = require "notes"
local BOUNDED = require("numbers").BOUNDED -- tests/chaos/around.lua

skein.queue(BOUNDED.queue, { max_len = BOUNDED.max_len, overflow = "block", block = BOUNDED.block,
  limit = { concurrency = BOUNDED.concurrency } })

-- Sleeps, and has the trouble that the plan wants for it.
local function work(job, n, arg)
  if arg.sleep then skein.sleep(arg.sleep) end
  job:progress(50, "half of it")
  if arg.trouble == "kill" and notes.first_time(n) then notes.die() end
  if arg.trouble == "fail" and job.attempt == 1 then error "not yet" end
  return n
end

for _, name in ipairs { "limited", "strict", "paced", "unique", "replaced", "throttled", "bounded", "caller" } do
  notes.task(name, { retries = 5, keep = 0 }, work)
end
notes.task("doomed", { retries = 1 }, function() error "never" end)
notes.task("stopped", { retries = 5 }, function() skein.sleep(60) end)

-- Callbacks: what they were given says whose they are.
notes.task("called", { retries = 0 }, function(job, n, how, result) notes.callback(job, n, result == n and how
  or "wrong") end)
notes.task("mourned", { retries = 0 }, function(job, text, n) notes.callback(job, n, text:find "never" and "error"
  or "wrong") end)
