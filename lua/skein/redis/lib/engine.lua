-- An engine whose lease someone ended enters anew, holding nothing: lost = 1 tells it.
local lost = 0
if not call("ZSCORE", LEASES, ARGV[4]) then
  call("ZADD", LEASES, mono + ARGV[5], ARGV[4])
  lost = 1
end
