-- The settings of queues.  In `bounds`:
--   "=" queue    max_len;overflow;block_ms;concurrency;rate;per_ms;burst
--                overflow: reject, drop_oldest, block; a number is 0 where the queue has none
--   "@" queue    when its bucket is full (lib/bucket.lua)
local call, COUNTS, BOUNDS, uses = ...

local bounds = {}
local function bound_of(queue)
  if not uses.bounds then return nil end
  if bounds[queue] == nil then
    local said = call("HMGET", BOUNDS, "=" .. queue, "@" .. queue)
    local form = "^(%d+);([%a_]+);%d+;(%d+);(%d+);(%d+);(%d+)$"
    local max_len, overflow, concurrency, rate, per_ms, burst = (said[1] or ""):match(form)
    bounds[queue] = max_len and {
      max_len = tonumber(max_len), overflow = overflow, concurrency = tonumber(concurrency), rate = tonumber(rate),
      per_ms = tonumber(per_ms), burst = tonumber(burst), full = tonumber(said[2] or 0)
    } or false
  end
  return bounds[queue] or nil
end

local function jobs_in(state, queue) return tonumber(call("HGET", COUNTS, state .. ":" .. queue) or 0) end
local function waiting_in(queue) return jobs_in(1, queue) + jobs_in(2, queue) + jobs_in(4, queue) end

-- True when the queue's own limit lets one more job run.
local function bound_slot(b, queue) return b.concurrency == 0 or jobs_in(3, queue) < b.concurrency end

return bound_of, jobs_in, waiting_in, bound_slot
