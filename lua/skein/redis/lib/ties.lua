-- The ids have ended or are gone, and with them their stops, locks and slots.
local function untie(ids)
  if has_stops then call("SREM", STOPS, unpack(ids)) end
  if has_locks then unlock(ids) end
  if has_groups then leave_groups(ids) end
end
