-- fetch: makes READY what is due in the named queues, then takes up to `want` READY jobs and marks them as held by this engine, each
-- FENCE_JOBS of them (lib/held.lua) under a new fence.  Atomic.  A first pass takes each queue's quota, a second one fills up; a paused queue gives nothing.
-- ARGV   want; session (recover.lua); then the quota of each named queue
-- Reply  { lost, the first fence, due in ms or -1, 1 when READY jobs are left, queues version, now, ids, values }; ids: one text for each
--        fence, joined by spaces
-- include frame
-- include queues
-- include value
-- include held
-- include engine
local want = tonumber(ARGV[argi + 1])
local version = call("HGET", QUEUES, "")
version = tonumber(version or 0)
if said and tonumber(said:match("^%d+")) > tonumber(ARGV[argi + 2]) then return { 0, 0, -1, 0, version, now, {}, {} } end
enter(ARGV[argi + 2])
if queues_n == 0 then return { lost, 0, -1, 0, version, now, {}, {} } end

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
if want == 0 or total == 0 then return { lost, 0, due_in, total > 0 and 1 or 0, version, now, {}, {} } end

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

-- The ids that have a record, and their records; someone else may have deleted some.
local function with_values()
  local values, missing = call("HMGET", JOBS, unpack(ids)), false
  for k = 1, n do
    if not values[k] then missing = true end
  end
  if not missing then return values end
  local some_ids, some_values = {}, {}
  for k = 1, n do
    if values[k] then
      some_ids[#some_ids + 1] = ids[k]
      some_values[#some_values + 1] = values[k]
    end
  end
  ids, n = some_ids, #some_ids
  return some_values
end

-- Writes that the ids are held; the first fence, and the ids of each one.
local function hold()
  local fences_n = math.ceil(n / FENCE_JOBS)
  local first = call("HINCRBY", HEAD, "fence", fences_n) - fences_n + 1
  local held, fences, joined = {}, {}, {}
  for i = 0, fences_n - 1 do
    local from, fence = i * FENCE_JOBS + 1, tostring(first + i)
    local to = math.min(from + FENCE_JOBS - 1, n)
    for k = from, to do
      held[k * 2 - 1] = ids[k]
      held[k * 2] = fence
    end
    joined[i + 1] = table.concat(ids, " ", from, to)
    local at = i * 6
    fences[at + 1], fences[at + 2] = fence, now .. " " .. ARGV[4]
    fences[at + 3], fences[at + 4] = fence .. ":ids", joined[i + 1]
    fences[at + 5], fences[at + 6] = fence .. ":left", to - from + 1
  end
  call("HSET", HELD, unpack(held))
  call("HSET", FENCES, unpack(fences))
  if call("EXISTS", NOTES) == 1 then call("HDEL", NOTES, unpack(ids)) end
  return first, joined
end

local values, fence, joined = {}, 0, {}
if n > 0 then
  values = with_values()
  if n > 0 then fence, joined = hold() end
  for i = 1, queues_n do
    if taken[i] > 0 then
      call("HINCRBY", COUNTS, "2:" .. names[i], -taken[i])
      call("HINCRBY", COUNTS, "3:" .. names[i], taken[i])
    end
  end
end
total = 0
for i = 1, queues_n do total = total + ready[i] end
return { lost, fence, due_in, total > 0 and 1 or 0, version, now, joined, values }
