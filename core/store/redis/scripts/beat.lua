-- beat: renews this engine's lease and drops kept records, throttles and idle groups whose time is over, a bounded number at a time.
-- ARGV   session (recover.lua) and which process on which host this engine is; the store's format
-- Reply  { lost, 1 when more is to be dropped, engines whose lease is over, all other engines and what they said of
--        themselves (a flat list of pairs) }
-- include frame
-- include value
-- include full
-- include uses
-- include bucket
-- include group
-- include belong
local lost = call("ZADD", LEASES, mono + ARGV[5], ARGV[4])
if lost == 1 then call("HSETNX", HEAD, "format", ARGV[argi + 2]) end -- Redis came back without its data
local said = call("HGET", ENGINES, ARGV[4])
if not said or tonumber(said:match("^%d+")) <= tonumber(ARGV[argi + 1]:match("^%d+")) then call("HSET", ENGINES, ARGV[4], ARGV[argi + 1]) end

-- Drops the records of over[from] to over[to].  A hundred at a time: see fetch.lua.
local over, counts = call("ZRANGEBYSCORE", KEYS[12], "-inf", now, "LIMIT", 0, 500), {}
local function drop(from, to)
  local cancelled = false
  for _, value in ipairs(call("HMGET", JOBS, unpack(over, from, to))) do
    cancelled = cancelled or not value or value:sub(1, 1) ~= "d"
    if value then
      local field = (value:sub(1, 1) == "d" and "5:" or "7:") .. queue_in(value)
      counts[field] = (counts[field] or 0) + 1
    end
  end
  call("HDEL", JOBS, unpack(over, from, to))
  if has_notes then call("HDEL", NOTES, unpack(over, from, to)) end
  call("ZREM", KEYS[9], unpack(over, from, to))
  if cancelled then call("ZREM", KEYS[11], unpack(over, from, to)) end
end
if #over > 0 then
  call("ZREMRANGEBYRANK", KEYS[12], 0, #over - 1)
  for from = 1, #over, 100 do drop(from, math.min(from + 99, #over)) end
  for field, by in pairs(counts) do call("HINCRBY", COUNTS, field, -by) end
  if has_groups then leave_groups(over) end
end

-- The end of a throttle, of a group that is only a bucket.
local function expire(member)
  local name = member:sub(2)
  call("ZREM", EXPIRES, member)
  if member:sub(1, 1) == "g" then
    local g = group_of(name)
    if g and g.jobs == 0 then group_forget(g) end
    return
  end
  local holder = (call("HGET", LOCKS, "=" .. name) or ""):match("^%d+ %a+ (.*)$")
  if holder and call("HGET", LOCKS, "@" .. holder) == name then call("HDEL", LOCKS, "@" .. holder) end
  call("HDEL", LOCKS, "=" .. name)
end
local expired = (has_locks or has_groups) and call("ZRANGEBYSCORE", EXPIRES, "-inf", now, "LIMIT", 0, 500) or {}
for _, member in ipairs(expired) do expire(member) end

save_groups()

-- Queues that have held nothing for a while, and are neither paused nor bound, are forgotten.  In `counts` stand "i:" queue, since when it
-- is known to be empty, and "i", where the next beat goes on looking: cursor, and not before when.
local FORGET_MS, LOOK_EVERY_MS = 600000, 60000
local function empty_queue(name, value)
  local fields = { "i:" .. name }
  for s = 1, 7 do fields[s + 1] = s .. ":" .. name end
  local known, jobs = call("HMGET", COUNTS, unpack(fields)), 0
  for s = 1, 7 do jobs = jobs + tonumber(known[s + 1] or 0) end
  if jobs > 0 or value ~= "0" or call("HEXISTS", BOUNDS, "=" .. name) == 1 then
    if known[1] then call("HDEL", COUNTS, fields[1]) end
  elseif not known[1] then
    call("HSET", COUNTS, fields[1], now)
  elseif now - known[1] >= FORGET_MS then
    for rank = 0, 4 do
      fields[#fields + 1] = "p" .. rank .. ":" .. name
      if has_groups then call("HDEL", GROUPS, "-p" .. rank .. ":" .. name, "!" .. string.char(#name) .. name .. rank) end
    end
    call("HDEL", COUNTS, unpack(fields))
    call("HDEL", QUEUES, name)
    call("HINCRBY", QUEUES, "", 1)
  end
end
local cursor, not_before = (call("HGET", COUNTS, "i") or "0 0"):match("^(%d+) (%d+)$")
if now >= tonumber(not_before) then
  local scanned = call("HSCAN", QUEUES, cursor, "COUNT", 50)
  for k = 1, #scanned[2], 2 do
    if scanned[2][k] ~= "" then empty_queue(scanned[2][k], scanned[2][k + 1]) end
  end
  call("HSET", COUNTS, "i", scanned[1] .. " " .. (scanned[1] == "0" and ("%.0f"):format(now + LOOK_EVERY_MS) or "0"))
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
return { lost, (#over == 500 or #expired == 500) and 1 or 0, gone, others }
