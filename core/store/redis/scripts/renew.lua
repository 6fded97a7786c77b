-- renew: gives some of the groups whose task declares another limit than before the new one, until all have it.  Called
-- again while it says that there are more; whoever declares next goes on where an engine that died has stopped.
-- ARGV   none
-- Reply  1 when there is more to do, else 0
local call, HEAD, JOBS, HELD, GROUPS, uses, set_numbers, group_of, save_groups, group_update, slot_back, past_of = ...
local write_first = ...
write_first()
local at = call("HGET", HEAD, "renew")
if not at then return 0 end
if not uses.groups then
  call("HDEL", HEAD, "renew")
  return 0
end

-- A group that is not strict any more: a job that waits gives its slot back.
local function renew_member(id, name)
  local g, past = group_of(name), past_of(name)
  if not g or not past or g.strict or past[g.limit] then return end
  local value = call("HGET", JOBS, id)
  local code = value and value:sub(1, 1)
  if (code == "s" or code == "t") and call("HEXISTS", HELD, id) == 0 then slot_back(id, g) end
end

local function renew_group(name)
  local g, past = group_of(name), past_of(name)
  if not g or not past or not past[g.limit] then return end
  set_numbers(g, past.now)
  group_update(g)
end

local page = call("HSCAN", GROUPS, at, "COUNT", 200)
local fields = page[2]
for k = 1, #fields, 2 do
  if fields[k]:byte() == 61 then renew_group(fields[k]:sub(2)) end -- "="
end
for k = 1, #fields, 2 do
  if fields[k]:byte() == 64 and fields[k + 1]:byte() == 49 then -- "@", "1": it has a slot
    renew_group(fields[k + 1]:sub(2))
    renew_member(fields[k]:sub(2), fields[k + 1]:sub(2))
  end
end
save_groups()
if page[1] == "0" then call("HDEL", HEAD, "renew") else call("HSET", HEAD, "renew", page[1]) end
redis.pcall("PUBLISH", ARGV[3], ARGV[2])
return page[1] == "0" and 0 or 1
