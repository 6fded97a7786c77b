-- An engine gives each of its calls a mark that is greater than the one before, and each call leaves its mark in
-- `leases`.  ARGV 5 is "mark seen": the mark of this call, and the greatest mark that the engine knows to have been
-- left.  When `leases` holds a smaller mark than `seen`, the store has gone back in time (restored, failed over).  When
-- it holds none, the engine was given up.  In both cases the engine's knowledge of the store is worth nothing, so the
-- script does nothing and replies engine_error.  It does the same for a call that arrives after a later one, because
-- the engine has given up the connection of that call.
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
