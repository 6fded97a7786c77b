-- fetch: makes READY what is due in the named queues, then takes up to `want` READY jobs and marks them as held by this engine, each
-- FENCE_JOBS of them (lib/held.lua) under a new fence.  Atomic.  A first pass takes each queue's quota, a second one fills up; a paused queue gives nothing.
-- ARGV   want; session (recover.lua); then the quota of each named queue
-- Reply  { lost, due in ms or -1, 1 when READY jobs are left, queues version, now, taken }; taken: for each fence the fence, the ids joined
--        by spaces, a list of their values
-- include frame
-- include queues
-- include value
-- include held
-- include engine
local want = tonumber(ARGV[argi + 1])
local version = call("HGET", QUEUES, "")
version = tonumber(version or 0)
if said and tonumber(said:match("^%d+")) > tonumber(ARGV[argi + 2]) then return { 0, -1, 0, version, now, {} } end
enter(ARGV[argi + 2])
if queues_n == 0 then return { lost, -1, 0, version, now, {} } end

local function promote(i, later, front)
  repeat
    local due = call("ZRANGEBYSCORE", later, "-inf", now, "WITHSCORES", "LIMIT", 0, 500)
    if #due == 0 then return end
    local members, ids = {}, {}
    for k = 1, #due, 2 do
      members[#members + 1] = due[k]
      ids[#ids + 1] = due[k]:sub(10)
    end
    local values = call("HMGET", JOBS, unpack(ids))
    call("ZREM", later, unpack(members))
    local hset, zadd, by_code = {}, {}, { s = 0, t = 0 }
    for k, value in ipairs(values) do
      local code = members[k]:sub(9, 9)
      by_code[code] = by_code[code] + 1
      if value then
        hset[#hset + 1] = ids[k]
        hset[#hset + 1] = "f" .. value:sub(2)
        zadd[#zadd + 1] = 0
        zadd[#zadd + 1] = value:sub(18, 18) .. value:sub(2, 17) .. ids[k]
      end
    end
    if #hset > 0 then
      call("HSET", JOBS, unpack(hset))
      call("ZADD", front, unpack(zadd))
      call("HINCRBY", COUNTS, "2:" .. names[i], #hset / 2)
    end
    if by_code.s > 0 then call("HINCRBY", COUNTS, "1:" .. names[i], -by_code.s) end
    if by_code.t > 0 then call("HINCRBY", COUNTS, "4:" .. names[i], -by_code.t) end
  until #members < 500
end

local due_in = -1
for i = 1, queues_n do
  local base = base_of(i)
  local first = call("ZRANGE", KEYS[base + 1], 0, 0, "WITHSCORES")
  if first[2] and tonumber(first[2]) <= now then
    promote(i, KEYS[base + 1], KEYS[base + 2])
    first = call("ZRANGE", KEYS[base + 1], 0, 0, "WITHSCORES")
  end
  if first[2] and (due_in < 0 or first[2] - now < due_in) then due_in = first[2] - now end
end

local ready, total = {}, 0
do
  local fields = {}
  for i = 1, queues_n do fields[i] = "2:" .. names[i] end
  local counts = call("HMGET", COUNTS, unpack(fields))
  local paused = call("HMGET", QUEUES, unpack(names))
  for i = 1, queues_n do
    ready[i] = paused[i] ~= "1" and tonumber(counts[i] or 0) or 0
    total = total + ready[i]
  end
end
if want == 0 or total == 0 then return { lost, due_in, total > 0 and 1 or 0, version, now, {} } end

-- The first write is a pop: Redis refuses a script that needs memory at its first write or not at all, and a full Redis must be
-- drained.
local ids, n, taken = {}, 0, {}
for i = 1, queues_n do taken[i] = 0 end

-- Pops up to `limit` from a list, past the ghosts.
local function take_list(list, ghosts, rank, limit)
  for _ = 1, 100 do
    local popped = call("LPOP", list, limit)
    if not popped then return end
    if n == 0 and not ghosts then
      ids, n = popped, #popped
      return
    end
    for _, id in ipairs(popped) do
      local ghost = ghosts and call("HGET", ghosts, rank .. id)
      if not ghost then
        n = n + 1
        ids[n] = id
        limit = limit - 1
      elseif ghost == "1" then
        call("HDEL", ghosts, rank .. id)
      else
        call("HINCRBY", ghosts, rank .. id, -1)
      end
    end
    if limit == 0 or not ghosts then break end
  end
end

local function take(i, limit)
  if limit > ready[i] then limit = ready[i] end
  if limit <= 0 then return end
  local base, before = base_of(i), n
  local front = call("EXISTS", KEYS[base + 2]) == 1 and KEYS[base + 2]
  local ghosts = call("EXISTS", KEYS[base + 3]) == 1 and KEYS[base + 3]
  for rank = 0, 4 do
    local left = limit - (n - before)
    if left > 0 and front then
      local members = call("ZRANGEBYLEX", front, "[" .. rank, "(" .. (rank + 1), "LIMIT", 0, left)
      if #members > 0 then
        call("ZREM", front, unpack(members))
        for k = 1, #members do ids[n + k] = members[k]:sub(18) end
        n = n + #members
        left = left - #members
      end
    end
    if left > 0 then take_list(KEYS[base + 4 + rank], ghosts, rank, left) end
  end
  taken[i] = taken[i] + n - before
  ready[i] = ready[i] - (n - before)
end

for i = 1, queues_n do
  local quota = tonumber(ARGV[argi + 2 + i])
  take(i, quota < want - n and quota or want - n)
end
for i = 1, queues_n do take(i, want - n) end

-- The ids and values of those that have a value: someone else may have deleted some.
local function with_values(from, to, values)
  local some_ids, some_values = {}, {}
  for k = from, to do
    local value = values[k - from + 1]
    if value then
      some_ids[#some_ids + 1] = ids[k]
      some_values[#some_values + 1] = value
    end
  end
  return some_ids, some_values
end

-- Marks ids[from] to ids[to] as held under a fence: what the reply says of them.  A hundred at a time, because what Redis hands to its Lua
-- is copied several times, and that is faster while it fits into a processor's cache.
local held_now, since = {}, now .. " " .. ARGV[4]
local function hold(fence, from, to)
  local values, held, missing = call("HMGET", JOBS, unpack(ids, from, to)), {}, false
  local these, first = ids, from
  for k = 1, to - from + 1 do missing = missing or not values[k] end
  if missing then
    these, values = with_values(from, to, values)
    first, to = 1, #these
    if to == 0 then return end
  end
  for k = first, to do
    local at = (k - first) * 2
    held[at + 1], held[at + 2] = these[k], fence
  end
  local joined = table.concat(these, " ", first, to)
  call("HSET", HELD, unpack(held))
  call("HSET", FENCES, fence, since, fence .. ":ids", joined, fence .. ":left", to - first + 1)
  if call("EXISTS", NOTES) == 1 then call("HDEL", NOTES, unpack(these, first, to)) end
  held_now[#held_now + 1] = tonumber(fence)
  held_now[#held_now + 1] = joined
  held_now[#held_now + 1] = values
end

if n > 0 then
  local fences = math.ceil(n / FENCE_JOBS)
  local before = call("HINCRBY", HEAD, "fence", fences) - fences
  for k = 1, fences do hold(tostring(before + k), (k - 1) * FENCE_JOBS + 1, math.min(k * FENCE_JOBS, n)) end
  for i = 1, queues_n do
    if taken[i] > 0 then
      call("HINCRBY", COUNTS, "2:" .. names[i], -taken[i])
      call("HINCRBY", COUNTS, "3:" .. names[i], taken[i])
    end
  end
end
total = 0
for i = 1, queues_n do total = total + ready[i] end
return { lost, due_in, total > 0 and 1 or 0, version, now, held_now }
