-- What is in use of what costs nothing while nobody uses it.
local has_notes, has_stops, has_locks, has_groups, has_bounds = false, false, false, false, false
if call("EXISTS", NOTES, LOGS, STOPS, LOCKS, GROUPS, BOUNDS) > 0 then
  has_notes = call("EXISTS", NOTES, LOGS) > 0
  has_stops = call("EXISTS", STOPS) == 1
  has_locks = call("EXISTS", LOCKS) == 1
  has_groups = call("EXISTS", GROUPS) == 1
  has_bounds = call("EXISTS", BOUNDS) == 1
end
