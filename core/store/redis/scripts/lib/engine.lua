-- An engine gives each of its calls a mark, greater than the one before, and each leaves its mark in `leases`.  ARGV 5: "mark seen", and
-- seen is the greatest mark of which it knows that it was left.  When that is not here any more the store has gone back in time
-- (restored, failed over), and when there is none, the engine was given up: then what it knows of the store is worth nothing, and
-- nothing is done.  Nor for a call that comes later than one behind it: its connection was given up.
local mark, seen = ARGV[5]:match("^(%d+) (%d+)$")
local left = call("ZSCORE", LEASES, ARGV[4])
if not left then return redis.error_reply("SKEINENGINE gone") end
if tonumber(left) < tonumber(seen) then return redis.error_reply("SKEINENGINE back") end
if tonumber(left) >= tonumber(mark) then return redis.error_reply("SKEINENGINE late") end
-- To be called once, behind all other writes.  wrote: there was one (lib/full.lua).
local function mark_left(wrote)
  if not wrote then call("ZREM", LEASES, "") end
  call("ZADD", LEASES, mark, ARGV[4])
end
