-- A full Redis refuses a script at its first write, when that write may need memory, and never at a later one, so no
-- script is cut in half.  A script that must go on when Redis is full (leases, handing back, cancelling, resuming)
-- writes this first: it needs no memory.
local call, LEASES = ...

local function write_first() call("ZREM", LEASES, "") end

return write_first
