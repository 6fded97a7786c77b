-- enqueue: adds jobs.  Atomic.  An id that is in the store, or earlier in the batch, is passed over, so it may be repeated.
-- ARGV   for each job: id, where (lib/add.lua), body (lib/value.lua)
-- Reply  "" when all were added; else a text with "0" for each added and "1" for each that was there.
-- include frame
-- include queues
-- include value
-- include add
local ids, n = {}, 0
for k = argi + 1, #ARGV, 3 do
  n = n + 1
  ids[n] = ARGV[k]
end
if n == 0 then return "" end
local there = call("HMGET", JOBS, unpack(ids))
local statuses, refused = {}, 0
for i = 1, n do
  local id = ids[i]
  if there[i] or statuses[id] then
    refused = refused + 1
    statuses[i] = "1"
  else
    statuses[id] = true
    statuses[i] = "0"
    add(id, ARGV[argi + i * 3 - 1], ARGV[argi + i * 3])
  end
end
if refused < n then
  flush_added()
  call("HINCRBY", HEAD, "enqueued", n - refused)
  call("PUBLISH", ARGV[3], ARGV[2])
end
return refused == 0 and "" or table.concat(statuses)
