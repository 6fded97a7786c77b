-- The bucket of a limit (core/logic/limit.h): a table with rate, per_ms, burst, and full, when it is full again, in
-- microseconds.  What follows from the first three is kept in it: depth and step, which whoever changes those takes
-- out.  Numbers here are doubles; all of these are whole, and below 2^53 for any limit that is worth having.
local now = ...

local now_us = now * 1000
-- What it holds: with a burst of 1 also those that come up to 20 ms late (core/logic/limit.h).
local function depth(b)
  if b.burst ~= 1 then return b.burst end
  b.depth = b.depth or 1 + math.min(math.floor(20 * b.rate / b.per_ms), math.floor(b.rate / 25))
  return b.depth
end
local function step_us(b)
  b.step = b.step or math.ceil(b.per_ms * 1000 / (b.burst == 1 and b.rate + 1 - depth(b) or b.rate))
  return b.step
end
-- Where the clock was set back, so that it is further from full than an empty one by more than a second, its time
-- begins anew: true.
local function clamp_bucket(b)
  if b.rate == 0 or b.full <= now_us + depth(b) * step_us(b) + 1000000 then return false end
  b.full = now_us + depth(b) * step_us(b)
  return true
end
-- When the next token is there; anything up to now: it is.
local function token_us(b) return b.rate > 0 and b.full - (depth(b) - 1) * step_us(b) or 0 end
local function take_tokens(b, n)
  if b.rate > 0 then b.full = math.max(b.full, now_us) + n * step_us(b) end
end
local function tokens_left(b)
  if b.rate == 0 then return math.huge end
  return math.max(0, math.floor((now_us + (depth(b) - 1) * step_us(b) - math.max(b.full, now_us)) / step_us(b)) + 1)
end
local function digits(n) return n == 0 and "0" or ("%.0f"):format(n) end

return now_us, token_us, clamp_bucket, take_tokens, tokens_left, digits
