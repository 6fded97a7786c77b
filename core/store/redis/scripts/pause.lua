-- pause: pauses or resumes the queue that is named, and makes it if it is new.  The same again is fine.
-- ARGV   "1" to pause, "0" to resume
-- Reply  1 when that changed something
local call, argi, QUEUES, store_error = ...
if store_error then return store_error end
if #ARGV[7] == 0 or #ARGV[7] > 200 then return redis.error_reply("ERR pause: a queue's name has 1 to 200 bytes") end
local is, want = call("HGET", QUEUES, ARGV[7]), ARGV[argi + 1]
if is == want then return 0 end
  local tell, write_first = ...
  write_first()
call("HSET", QUEUES, ARGV[7], want)
call("HINCRBY", QUEUES, "", 1)
if is or want == "1" then tell("", ARGV[7]) end
return 1
