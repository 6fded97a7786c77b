-- RUNNING jobs.  A fetch gives what it takes fences, one for up to FENCE_JOBS jobs, so that what stands in `held` is
-- one string for many jobs and what is long stands once, in `fences`:
--   fence         "since engine": since when, ms, and by which engine
--   fence:ids     the ids in the order in which they were taken, joined by spaces
--   fence:left    how many of them are still held under it; with the last one all go
--   fence:at      while there are groups: how many jobs had been popped off its list before each of them; "-": it was
--                 in none
local call, COUNTS, FENCES, GROUPS, u64, body_of, queue_of, uses = ...

local FENCE_JOBS = 100

local engine_of_fence, left_by = {}, {}
-- The engine that holds jobs under a fence, if any does.
local function engine_of(fence)
  if not engine_of_fence[fence] then
    local said = call("HGET", FENCES, fence)
    engine_of_fence[fence] = said and said:match(" (.*)$") or ""
  end
  return engine_of_fence[fence]
end

-- Notes that n jobs of a fence have left `held`; leave_fences writes it, before the script ends.
local function left_held(fence, n) left_by[fence] = (left_by[fence] or 0) + n end
local function leave_fences()
  for fence, n in pairs(left_by) do
    if call("HINCRBY", FENCES, fence .. ":left", -n) <= 0 then call("HDEL", FENCES, fence, fence .. ":ids", fence .. ":left", fence .. ":at") end
  end
end

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

return FENCE_JOBS, engine_of, left_held, leave_fences, place_taken
