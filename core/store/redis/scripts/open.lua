-- open: makes the store if it is not there, or says that it is not.
-- ARGV   the format that this client writes; "1" when it must be there
-- Reply  the store's format; "" when it is not there
-- include frame
local format = call("HGET", HEAD, "format")
if not format and ARGV[argi + 2] ~= "1" then
  format = ARGV[argi + 1]
  call("HSET", HEAD, "format", format)
end
return format or ""
