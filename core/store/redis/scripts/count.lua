-- count: all queues, how many jobs each has by state, and the counters of the store, at one moment.
-- Reply  { queues, counts, head }, as HGETALL gives them
local call, HEAD, QUEUES, COUNTS, store_error = ...
if store_error then return store_error end
return { call("HGETALL", QUEUES), call("HGETALL", COUNTS), call("HGETALL", HEAD) }
