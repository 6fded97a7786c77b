-- The places of jobs that leave `held` and are READY again.
local call, COUNTS, FENCES, GROUPS, u64, body_of, queue_of, uses = ...

local taken_under = {}
-- Where a job that was taken returns to, in the front: where it came due, or stood in line; one that was in a list
-- before all that are still there, in THE ORDER (lib/group.lua).
local function place_taken(value, fence, id)
  if value:sub(1, 1) ~= "r" then return value:sub(2, 17) end
  local at = taken_under[fence]
  if not at then
    local said, k = call("HMGET", FENCES, fence .. ":ids", fence .. ":at"), 0
    local before = (said[2] or ""):gmatch("[^ ]+")
    at = {}
    for taken in (said[1] or ""):gmatch("[^ ]+") do
      k = k + 1
      at[taken] = { k, tonumber(before() or "") }
    end
    taken_under[fence] = at
  end
  local body, taken = body_of(value), at[id] or { 0 }
  if taken[2] then return "\126" .. struct.pack(">I7", taken[2] * 2 + 3) .. u64(0) end
  local field = "p" .. body:sub(1, 1) .. ":" .. queue_of(body)
  local before = uses.groups and call("HGET", GROUPS, "-" .. field) or call("HGET", COUNTS, field) or 0
  return "\126" .. struct.pack(">I7", before * 2 + 1) .. struct.pack(">I6", fence) .. struct.pack(">I2", taken[1])
end

return place_taken
