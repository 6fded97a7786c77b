-- declare: adds or replaces tasks, and what queues are bound to.  Two keys stand in the place of a queue's:
-- KEYS   24 tasks: hash, task -> "priority:queue"      25 templates: hash, task -> the record that its jobs begin with
-- ARGV   n; n times task, "priority:queue", template ("": none); then queue, what it is bound to (lib/bound.lua; "": nothing) for each
-- A task that has another limit than before: its groups are to be renewed (renew.lua).
-- Reply  1; 2 when renew is to be called
-- include frame
-- include record
local LIMIT = 29
-- The numbers of a template's limit.
local function numbers_of(template)
  local limit = template and record_text(template, LIMIT)
  return limit and limit:match("^(.*);") or "0;0;0;0;any"
end

local function note_limit(task, template)
  if call("HEXISTS", KEYS[24], task) == 0 then return end
  local before, now_numbers = numbers_of(call("HGET", KEYS[25], task)), numbers_of(template)
  if before == now_numbers then return end
  local past, seen, n = { now_numbers, before }, { [now_numbers] = true, [before] = true }, 1
  for numbers in (call("HGET", HEAD, "limit:" .. task) or ""):gmatch("|([^|]*)") do
    if not seen[numbers] and n < 8 then
      seen[numbers] = true
      n = n + 1
      past[#past + 1] = numbers
    end
  end
  call("HSET", HEAD, "limit:" .. task, table.concat(past, "|"), "renew", "0")
end

local tasks_end = argi + 1 + ARGV[argi + 1] * 3
for k = argi + 2, tasks_end, 3 do
  note_limit(ARGV[k], ARGV[k + 2])
  call("HSET", KEYS[24], ARGV[k], ARGV[k + 1])
  if ARGV[k + 2] ~= "" then call("HSET", KEYS[25], ARGV[k], ARGV[k + 2]) else call("HDEL", KEYS[25], ARGV[k]) end
end
for k = tasks_end + 1, #ARGV, 2 do
  if ARGV[k + 1] ~= "" then call("HSET", BOUNDS, "=" .. ARGV[k], ARGV[k + 1]) else call("HDEL", BOUNDS, "=" .. ARGV[k], "@" .. ARGV[k]) end
end
if tasks_end < #ARGV then redis.pcall("PUBLISH", ARGV[3], ARGV[2]) end
return call("HEXISTS", HEAD, "renew") + 1
