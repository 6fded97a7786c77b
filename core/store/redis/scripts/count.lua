-- count: all queues, how many jobs each has by state, and the counters of the store, at one moment.
-- Reply  { queues, counts, head }, as HGETALL gives them
-- include frame
-- include here
return { call("HGETALL", QUEUES), call("HGETALL", COUNTS), call("HGETALL", HEAD) }
