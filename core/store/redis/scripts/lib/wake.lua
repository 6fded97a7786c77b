-- Wake-ups: who asks, then the queues that have something for engines which they did not know of: a queue that had no READY job has one, or
-- the earliest of those that wait for their time is another.  "!": a running job is to stop.  Who asks, alone: who knows.
local woken = {}
local function wake(queue) woken[queue] = true end
local function tell(...)
  local words = { ARGV[2], ... }
  for queue in pairs(woken) do words[#words + 1] = queue end
  words[2] = words[2] or ""
  redis.pcall("PUBLISH", ARGV[3], #words > 64 and ARGV[2] or table.concat(words, " "))
end
local function tell_all() redis.pcall("PUBLISH", ARGV[3], ARGV[2]) end

return woken, wake, tell, tell_all
