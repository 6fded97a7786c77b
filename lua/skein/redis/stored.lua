-- stored: adds jobs whose values are in `jobs` already: the second half of a MULTI whose first half has put them there, in which way they
-- need not pass through Lua.  Atomic with that.  Only for jobs without lock, limit and delay, whose ids are new; what may be refused
-- can't come this way: where a queue is bounded all of them are taken out again.
-- ARGV   groups: the number of a list (lib/add.lua), n, and n ids
-- Reply  "" when all were added; "bounds" when none: a queue is bounded
-- include frame
-- include queues
-- include full
-- include register
local at, total = argi + 1, 0
if call("EXISTS", BOUNDS) == 1 then
  while ARGV[at] do
    call("HDEL", JOBS, unpack(ARGV, at + 2, at + 1 + ARGV[at + 1]))
    at = at + 2 + ARGV[at + 1]
  end
  return "bounds"
end
while ARGV[at] do
  local list, n = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local i = math.floor((list - 1) / 5) + 1
  call("RPUSH", KEYS[base_of(i) + 4 + (list - 1) % 5], unpack(ARGV, at + 2, at + 1 + n))
  call("HINCRBY", COUNTS, "2:" .. names[i], n)
  register(i)
  total = total + n
  at = at + 2 + n
end
call("HINCRBY", HEAD, "enqueued", total)
call("PUBLISH", ARGV[3], ARGV[2])
return ""
