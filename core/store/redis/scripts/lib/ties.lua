-- Jobs have ended or are gone: their stops, locks and slots end too, and their membership in groups unless they may be
-- retried by hand (`stay`).
local call, STOPS, uses, unlock, leave_groups = ...

local function untie(ids, stay)
  if uses.stops then call("SREM", STOPS, unpack(ids)) end
  if uses.locks then unlock(ids) end
  if uses.groups then leave_groups(ids, stay) end
end

return untie
