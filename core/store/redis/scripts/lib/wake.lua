-- Wake-ups: the caller's word, then the queues that have news for engines (a first READY job, an earlier due time), and
-- "!" when a running job is to stop.  The caller's word alone means that anything may have changed.
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
