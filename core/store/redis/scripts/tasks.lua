-- tasks: what is declared.  Keys as declare.lua's.
-- Reply  { tasks, templates, bounds }, as HGETALL gives them
local call, BOUNDS, store_error = ...
if store_error then return store_error end
local TASKS, TEMPLATES = KEYS[24], KEYS[25]
return { call("HGETALL", TASKS), call("HGETALL", TEMPLATES), call("HGETALL", BOUNDS) }
