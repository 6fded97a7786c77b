-- open: makes the store if it is not there, or says that it is not.
-- ARGV   the format that this client writes; "1" when it must be there; and, from a client that wants to know which
--        store it is (lib/here.lua), a new epoch, for one that has none yet
-- Reply  the store's format; "" when it is not there; with an epoch given a list of that and the store's epoch, "" when
--        it has none
local call, argi, HEAD = ...
local format = call("HGET", HEAD, "format")
if not format and ARGV[argi + 2] ~= "1" then
  format = ARGV[argi + 1]
  call("HSET", HEAD, "format", format)
end
if not ARGV[argi + 3] then return format or "" end
local epoch = call("HGET", HEAD, "epoch")
if format and not epoch and ARGV[argi + 2] ~= "1" then
local write_first = ...
write_first()
  epoch = ARGV[argi + 3]
  call("HSET", HEAD, "epoch", epoch)
end
return { format or "", epoch or "" }
