-- The ids have ended or are gone, and with them their stops and locks; their slots, and unless they may be retried by hand (`stay`) their
-- places in their groups.
local call, STOPS, uses, unlock, leave_groups = ...

local function untie(ids, stay)
  if uses.stops then call("SREM", STOPS, unpack(ids)) end
  if uses.locks then unlock(ids) end
  if uses.groups then leave_groups(ids, stay) end
end

return untie
