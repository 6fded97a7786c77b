-- An engine whose lease someone ended enters anew, holding nothing: lost = 1 tells it.
local lost = 0
local said = call("HGET", ENGINES, ARGV[4])
local function enter(session)
  if said then return end
  call("ZADD", LEASES, mono + ARGV[5], ARGV[4])
  call("HSET", ENGINES, ARGV[4], session .. " -")
  lost = 1
end
