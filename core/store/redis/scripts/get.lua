-- get: jobs by id, as they are at one moment.
-- ARGV   ids
-- Reply  { ids, values, the parts of lib/views.lua, and what keeps READY jobs from being taken: "c" a slot, "r" a
--        token }, nil where there is none.  Where the values have 4 MiB or more, the reply covers the first ids only,
--        at least one, and the caller asks again for the others.
local call, argi, JOBS, queue_in, uses, holds, notes, logs, stops, view, store_error = ...
if store_error then return store_error end
local BYTES_MAX, PIECE_MAX, IDS_MAX = 2 ^ 22, 25, 4000
local ids, values, bytes, piece_n = {}, {}, 0, 4
while argi + #ids < #ARGV and #ids < IDS_MAX and bytes < BYTES_MAX do
  local from = argi + #ids + 1
  local to = math.min(from + piece_n - 1, #ARGV)
  for _, value in ipairs(call("HMGET", JOBS, unpack(ARGV, from, to))) do
    ids[#ids + 1] = ARGV[argi + #ids + 1]
    values[#ids] = value
    bytes = bytes + #(value or "")
  end
  piece_n = math.min(PIECE_MAX, piece_n * 2)
end
view(ids)

local backs = {}
if uses.groups or uses.bounds then
  local now_us, token_us, bound_of, bound_slot, membership = ...
  local function held_back(id, value)
    local queue = queue_in(value)
    local b, g = bound_of(queue), value:sub(1, 1) == "g" and membership(id)
    if b and not bound_slot(b, queue) then return "c" end
    if g and g.concurrency > 0 and g.slots >= g.concurrency then return "c" end
    return ((b and token_us(b) > now_us) or (g and token_us(g) > now_us)) and "r"
  end
  for k, id in ipairs(ids) do
    backs[k] = values[k] and not holds[k] and values[k]:find("^[rfg]") and held_back(id, values[k]) or false
  end
end
return { ids, values, holds, notes, logs, stops, backs }
