-- stored: the last part of a MULTI that adds jobs, whose first parts have put their values into `jobs` and their ids at
-- the end of their lists already, so that neither need pass through Lua.  Atomic with that.  Only for jobs without
-- lock, limit and delay, whose ids are new; what may be refused can't come this way: where a queue is bounded all of
-- them are taken out again.
-- ARGV   groups, in the order in which they were put into lists: the number of a list (lib/add.lua), n
-- Reply  "" when all were added; "bounds" when none: a queue is bounded; "store" when none: another store is here now
--        (lib/here.lua)
local call, argi, HEAD, JOBS, COUNTS, BOUNDS, GROUPS, names, list_key, list_queue, register, woken, wake, tell = ...
local write_first = ...
write_first()
local elsewhere = ARGV[5] ~= "0" and call("HGET", HEAD, "epoch") ~= ARGV[5] -- lib/here.lua
local tied = call("EXISTS", BOUNDS, GROUPS) > 0 -- jobs may be held back: who knows who waits for more
if elsewhere or (tied and call("EXISTS", BOUNDS) == 1) then
  for at = #ARGV - 1, argi + 1, -2 do
    local list, n = list_key(list_queue(ARGV[at])), tonumber(ARGV[at + 1])
    call("HDEL", JOBS, unpack(call("LRANGE", list, -n, -1)))
    call("LTRIM", list, 0, -n - 1)
  end
  return elsewhere and "store" or "bounds"
end
local total = 0
for at = argi + 1, #ARGV, 2 do
  local i, n = list_queue(ARGV[at]), tonumber(ARGV[at + 1])
  if call("HINCRBY", COUNTS, "2:" .. names[i], n) == n or tied then wake(names[i]) end
  register(i)
  total = total + n
end
call("HINCRBY", HEAD, "enqueued", total)
if next(woken) then tell() end
return ""
