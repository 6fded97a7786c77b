-- Counts a job that comes into or leaves a state, at once.
local function count_state(state, queue, by) call("HINCRBY", COUNTS, state .. ":" .. queue, by) end
