-- Who knows which store this should be says so in ARGV 5; when another one is here now (emptied, restored, converted) nothing is done.
if ARGV[5] ~= "0" and call("HGET", HEAD, "epoch") ~= ARGV[5] then return redis.error_reply("SKEINSTORE another store is here now") end
