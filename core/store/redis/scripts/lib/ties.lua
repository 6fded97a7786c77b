-- The ids have ended or are gone, and with them their stops and locks; their slots, and unless they may be retried by hand (`stay`) their
-- places in their groups.
local function untie(ids, stay)
  if has_stops then call("SREM", STOPS, unpack(ids)) end
  if has_locks then unlock(ids) end
  if has_groups then leave_groups(ids, stay) end
end
