-- An engine gives each of its calls a mark, greater than the one before, and each leaves its mark in `leases`.  ARGV 5: "mark seen", and
-- seen is the greatest mark of which it knows that it was left.  When that is not here any more the store has gone back in time
-- (restored, failed over), and when there is none, the engine was given up: then what it knows of the store is worth nothing, and
-- nothing is done.  Nor for a call that comes later than one behind it: its connection was given up.
-- engine_error is then what the script replies.
local call, LEASES = ...

local mark, seen = ARGV[5]:match("^(%d+) (%d+)$")
local left = call("ZSCORE", LEASES, ARGV[4])
local engine_error
if not left then
  engine_error = redis.error_reply("SKEINENGINE gone")
elseif tonumber(left) < tonumber(seen) then
  engine_error = redis.error_reply("SKEINENGINE back")
elseif tonumber(left) >= tonumber(mark) then
  engine_error = redis.error_reply("SKEINENGINE late")
end
-- To be called once, behind all other writes.  wrote: there was one (lib/full.lua).
local function mark_left(wrote)
  if not wrote then call("ZREM", LEASES, "") end
  call("ZADD", LEASES, mark, ARGV[4])
end

return engine_error, mark_left
