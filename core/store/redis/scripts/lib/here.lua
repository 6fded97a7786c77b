-- A client gives the epoch of the store that it knows in ARGV 5 ("0": any store will do).  When another store is here
-- now, because it was emptied, restored or converted, the script does nothing and replies store_error.
local call, HEAD = ...

local is_other = ARGV[5] ~= "0" and call("HGET", HEAD, "epoch") ~= ARGV[5]
local store_error = is_other and redis.error_reply("SKEINSTORE another store is here now")

return store_error
