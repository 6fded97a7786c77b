-- The bucket of a limit (core/logic/limit.h): a table with rate, per_ms, burst, and full, when it is full again, in microseconds.
-- Numbers here are doubles; all of these are whole, and below 2^53 for any limit that is worth having.
local now_us = now * 1000
local function step_us(b) return math.ceil(b.per_ms * 1000 / b.rate) end
-- When the next token is there; anything up to now: it is.
local function token_us(b) return b.rate > 0 and b.full - (b.burst - 1) * step_us(b) or 0 end
local function take_tokens(b, n)
  if b.rate > 0 then b.full = math.max(b.full, now_us) + n * step_us(b) end
end
local function tokens_left(b)
  if b.rate == 0 then return math.huge end
  return math.max(0, math.floor((now_us + (b.burst - 1) * step_us(b) - math.max(b.full, now_us)) / step_us(b)) + 1)
end
local function digits(n) return ("%.0f"):format(n) end
