-- RUNNING jobs.  A fetch gives what it takes fences, one for up to FENCE_JOBS jobs, so that what stands in `held` is
-- one string for many jobs and what is long stands once, in `fences`:
--   fence         "since engine": since when, ms, and by which engine
--   fence:ids     the ids in the order in which they were taken, joined by spaces
--   fence:left    how many of them are still held under it; with the last one all go
--   fence:at      while there are groups: how many jobs had been popped off its list before each of them; "-": it was
--                 in none
local call, FENCES = ...

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
    if call("HINCRBY", FENCES, fence .. ":left", -n) <= 0 then
      call("HDEL", FENCES, fence, fence .. ":ids", fence .. ":left", fence .. ":at")
    end
  end
end

return FENCE_JOBS, engine_of, left_held, leave_fences
