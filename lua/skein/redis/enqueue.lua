-- enqueue: adds jobs.  Atomic.  An id that is in the store, or earlier in the batch, is passed over, so it may be repeated.
-- ARGV   "1" when an id may be there twice in this batch; then groups: where (lib/add.lua), n, and n times id, value
-- Reply  an error, and nothing done, when a `where` is none; "" when all were added; else a text with "0" for each added and "1" for each that was there.
-- include frame
-- include queues
-- include value
-- include add
local twice = ARGV[argi + 1] == "1"
local lists = queues_n * 5
local at = argi + 2
while ARGV[at] do
  local list, delay = ARGV[at]:match("^(%d+)(.*)$")
  list = tonumber(list)
  if not list or list < 1 or list > lists or (delay ~= "" and not delay:find("^[+@]%d+$")) then
    return redis.error_reply(("ERR enqueue: where is %q, expected a list from 1 to %d, with +ms or @ms behind it or nothing"):format(ARGV[at], lists))
  end
  at = at + 2 + ARGV[at + 1] * 2
end
local statuses, refused, n = {}, 0, 0
at = argi + 2
while ARGV[at] do
  local where, group_n = ARGV[at], tonumber(ARGV[at + 1])
  at = at + 2
  local ids = {}
  for k = 1, group_n do ids[k] = ARGV[at + k * 2 - 2] end
  local any, there = twice, call("HMGET", JOBS, unpack(ids))
  for k = 1, group_n do any = any or there[k] end
  local list = tonumber(where)
  if list and not any then
    add_ready(list, group_n, ids, ARGV, at)
  else
    for k = 1, group_n do
      if call("HEXISTS", JOBS, ids[k]) == 1 then
        refused = refused + 1
        statuses[n + k] = "1"
      else
        add(ids[k], where, ARGV[at + k * 2 - 1])
      end
    end
  end
  n = n + group_n
  at = at + group_n * 2
end
if refused < n then
  call("HINCRBY", HEAD, "enqueued", n - refused)
  call("PUBLISH", ARGV[3], ARGV[2])
end
if refused == 0 then return "" end
for i = 1, n do statuses[i] = statuses[i] or "0" end
return table.concat(statuses)
