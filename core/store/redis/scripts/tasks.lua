-- tasks: what is declared.  Keys as declare.lua's.
-- Reply  { tasks, templates, bounds }, as HGETALL gives them
-- include frame
-- include here
return { call("HGETALL", KEYS[24]), call("HGETALL", KEYS[25]), call("HGETALL", BOUNDS) }
