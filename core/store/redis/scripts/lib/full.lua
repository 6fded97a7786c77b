-- Redis that is full refuses a script at its first write if that may need memory, and not later (so a script is never cut in half).
-- A first write that needs none lets through what must go on: leases, handing back, cancelling, resuming.
local call, LEASES = ...

local function write_first() call("ZREM", LEASES, "") end

return write_first
