-- The part of fetch that knows tombstones: which of the entries that were popped off a list are none of its jobs any
-- more.  They leave `tombstones`.
local call, skips = ...

local function pop_tombstones(ids_popped, tombstones, rank)
  local fields, counts, gone, left = {}, {}, {}, {}
  for k, id in ipairs(ids_popped) do fields[k] = rank .. id end
  for k, count in ipairs(call("HMGET", tombstones, unpack(fields))) do
    local field = fields[k]
    left[field] = left[field] or tonumber(count or 0)
    counts[k] = left[field] > 0
    if counts[k] then
      left[field], gone[field] = left[field] - 1, true
      skips.left = skips.left - 1
    end
  end
  local hdel = {}
  for field in pairs(gone) do
    if left[field] == 0 then hdel[#hdel + 1] = field else call("HSET", tombstones, field, left[field]) end
  end
  if #hdel > 0 then call("HDEL", tombstones, unpack(hdel)) end
  return counts
end

return pop_tombstones
