-- get: jobs by id, as they are at one moment.
-- ARGV   ids
-- Reply  { ids, values, then what lib/views.lua says of them, and what keeps READY ones from being taken: "c" a slot, "r" a token }, nil where
--        there is none
-- include frame
-- include here
-- include value
-- include uses
-- include views
local ids, values = {}, {}
for from = argi + 1, #ARGV, 4000 do
  local to = math.min(from + 3999, #ARGV)
  for k = from, to do ids[#ids + 1] = ARGV[k] end
  for _, v in ipairs(call("HMGET", JOBS, unpack(ARGV, from, to))) do values[#values + 1] = v end
end
view(ids)

local backs = {}
if has_groups or has_bounds then
-- include bucket
-- include group
-- include bound
  local function held_back(id, value)
    local queue = queue_in(value)
    local b, g = bound_of(queue), value:sub(1, 1) == "g" and membership(id)
    if b and not bound_slot(b, queue) then return "c" end
    if g and g.concurrency > 0 and g.slots >= g.concurrency then return "c" end
    return ((b and token_us(b) > now_us) or (g and token_us(g) > now_us)) and "r"
  end
  for k, id in ipairs(ids) do backs[k] = values[k] and not holds[k] and values[k]:find("^[rfg]") and held_back(id, values[k]) or false end
end
return { ids, values, holds, notes, logs, stops, backs }
