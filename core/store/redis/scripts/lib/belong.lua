-- Who belongs to which group and stands where (lib/group.lua): coming, leaving, giving slots back.
local call, COUNTS, EXPIRES, GROUPS, LINES, PLACES, uses, now_us, groups, unsaved, seq_next, call_many, named = ...
local line_of, set_numbers = ...
local group_of, groups_read, line_out, group_update, popped_field, fifo_place = ...

local function popped_of(queue, rank) return tonumber(call("HGET", COUNTS, popped_field(queue, rank)) or 0) end

-- The place behind all that are in that list and in line now.
local function last_place(queue, rank, list)
  return fifo_place(popped_of(queue, rank) + call("LLEN", list), 2, seq_next())
end

local function leave_line(id, g, queue, rank, place)
  local line = line_of(g, queue, rank)
  call("ZREM", LINES, line .. place .. id)
  call("ZREM", PLACES, named(queue) .. rank .. place .. id)
  if not call("ZRANGEBYLEX", LINES, "[" .. line, "(" .. line .. "\128", "LIMIT", 0, 1)[1] then
    line_out(g, queue, rank)
  end
end

-- A group has one more job, without a slot.  limit: concurrency;rate;per_ms;burst;order
local function group_grow(name, limit)
  local g = group_of(name)
  if not g then
    g = { name = name, slots = 0, jobs = 0, at = 0, full = 0 }
    set_numbers(g, limit)
    groups[name] = g
    call("HINCRBY", GROUPS, "", 1)
    uses.groups = true
  elseif g.jobs == 0 then
    call("ZREM", EXPIRES, "g" .. name)
  end
  local same = g.limit == limit and unsaved[name]
  set_numbers(g, limit)
  g.jobs = g.jobs + 1
  if not same then group_update(g) end
  return g
end

-- A job belongs to a group from now on.
local function group_join(id, name, limit)
  local g = group_grow(name, limit)
  call("HSET", GROUPS, "@" .. id, "0" .. name)
  return g
end

local function slot_back(id, g)
  call("HSET", GROUPS, "@" .. id, "0" .. g.name)
  g.slots = g.slots - 1
  group_update(g)
end

-- A group without jobs is only its bucket, until that is full.
local function group_forget(g)
  if g.full > now_us then
    call("ZADD", EXPIRES, math.ceil(g.full / 1000), "g" .. g.name)
    return
  end
  groups[g.name], unsaved[g.name] = nil, nil
  call("HDEL", GROUPS, "=" .. g.name)
  if call("HINCRBY", GROUPS, "", -1) > 0 then return end
  call("DEL", GROUPS)
  uses.groups = false
end

-- stay: they give back their slots only.  An id may be there twice.
local function leave_groups(ids, stay)
  local fields, said_of, all_names, members = {}, {}, {}, {}
  for k, id in ipairs(ids) do fields[k] = "@" .. id end
  for k, said in ipairs(call("HMGET", GROUPS, unpack(fields))) do
    if said and not said_of[fields[k]] then
      said_of[fields[k]] = said
      members[#members + 1] = fields[k]
      all_names[#all_names + 1] = said:sub(2)
    end
  end
  if #members == 0 then return end
  groups_read(all_names)
  if not stay then call_many("HDEL", GROUPS, members) end
  for k, member in ipairs(members) do
    local g = group_of(all_names[k])
    local slot = said_of[member]:byte() == 49 -- "1"
    if not stay then g.jobs = g.jobs - 1 elseif slot then call("HSET", GROUPS, member, "0" .. g.name) end
    if slot then g.slots = g.slots - 1 end
    group_update(g)
    if g.jobs == 0 then group_forget(g) end
  end
end

return popped_of, last_place, leave_line, group_grow, group_join, slot_back, group_forget, leave_groups
