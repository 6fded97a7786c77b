-- declare: adds or replaces tasks, and what queues are bound to.  Two keys stand in the place of a queue's:
-- KEYS   24 tasks: hash, task -> "priority:queue"      25 templates: hash, task -> the record that its jobs begin with
-- ARGV   n; n times task, "priority:queue", template ("": none); then queue, what it is bound to (lib/bound.lua; "": nothing) for each
-- include frame
local tasks_end = argi + 1 + ARGV[argi + 1] * 3
for k = argi + 2, tasks_end, 3 do
  call("HSET", KEYS[24], ARGV[k], ARGV[k + 1])
  if ARGV[k + 2] ~= "" then call("HSET", KEYS[25], ARGV[k], ARGV[k + 2]) else call("HDEL", KEYS[25], ARGV[k]) end
end
for k = tasks_end + 1, #ARGV, 2 do
  if ARGV[k + 1] ~= "" then call("HSET", BOUNDS, "=" .. ARGV[k], ARGV[k + 1]) else call("HDEL", BOUNDS, "=" .. ARGV[k], "@" .. ARGV[k]) end
end
if tasks_end < #ARGV then redis.pcall("PUBLISH", ARGV[3], ARGV[2]) end
return 1
