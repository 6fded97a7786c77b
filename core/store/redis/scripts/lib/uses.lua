-- Which features the store uses now.  A feature that nobody uses costs nothing but this look.
local call, NOTES, STOPS, LOGS, LOCKS, BOUNDS, GROUPS = ...

local uses = { notes = false, stops = false, locks = false, groups = false, bounds = false }
if call("EXISTS", NOTES, LOGS, STOPS, LOCKS, GROUPS, BOUNDS) > 0 then
  uses.notes = call("EXISTS", NOTES, LOGS) > 0
  uses.stops = call("EXISTS", STOPS) == 1
  uses.locks = call("EXISTS", LOCKS) == 1
  uses.groups = call("EXISTS", GROUPS) == 1
  uses.bounds = call("EXISTS", BOUNDS) == 1
end

return uses
