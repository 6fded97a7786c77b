-- beat: renews this engine's lease and drops kept records whose time is over, a bounded number at a time.
-- ARGV   which process on which host this engine is
-- Reply  { lost, 1 when more records are to be dropped, engines whose lease is over, all other engines and what they said of
--        themselves (a flat list of pairs) }
-- include frame
-- include value
call("ZREM", LEASES, "") -- a first write that is never refused, so that a full Redis ends no lease
local lost = call("ZADD", LEASES, mono + ARGV[5], ARGV[4])
if lost == 1 or not call("HGET", ENGINES, ARGV[4]) then call("HSET", ENGINES, ARGV[4], ARGV[argi + 1]) end

local over = call("ZRANGEBYSCORE", KEYS[12], "-inf", now, "LIMIT", 0, 500)
if #over > 0 then
  local values = call("HMGET", JOBS, unpack(over))
  local counts = {}
  for _, value in ipairs(values) do
    if value then
      local field = (value:sub(1, 1) == "d" and "5:" or "7:") .. queue_of(body_of(value))
      counts[field] = (counts[field] or 0) + 1
    end
  end
  call("HDEL", JOBS, unpack(over))
  call("HDEL", NOTES, unpack(over))
  call("ZREM", KEYS[9], unpack(over))
  call("ZREM", KEYS[11], unpack(over))
  call("ZREM", KEYS[12], unpack(over))
  for field, by in pairs(counts) do call("HINCRBY", COUNTS, field, -by) end
end

local gone = {}
for _, engine in ipairs(call("ZRANGEBYSCORE", LEASES, "-inf", mono)) do
  if engine ~= ARGV[4] then gone[#gone + 1] = engine end
end
local others = {}
local engines = call("HGETALL", ENGINES)
for k = 1, #engines, 2 do
  if engines[k] ~= ARGV[4] then
    others[#others + 1] = engines[k]
    others[#others + 1] = engines[k + 1]
  end
end
return { lost, #over == 500 and 1 or 0, gone, others }
