-- fetch: makes READY what is due in the named queues, then takes up to `want` READY jobs and marks them as held by this engine, each
-- FENCE_JOBS of them (lib/held.lua) under a new fence.  Atomic.  A first pass takes each queue's quota, a second one fills up; a paused queue gives nothing.
-- ARGV   want; session (recover.lua); then the quota of each named queue
-- Reply  { lost, due in ms or -1, 1 when there are READY jobs left that could be taken now, queues version, now, taken, stops }; taken: for
--        each fence the fence, the ids joined by spaces, a list of their values; stops: ids of jobs that this engine holds and is to stop
-- include frame
-- include queues
-- include value
-- include held
-- include engine
-- include uses
-- include bucket
-- include group
-- include bound
local want = tonumber(ARGV[argi + 1])
local version = call("HGET", QUEUES, "")
version = tonumber(version or 0)
if said and tonumber(said:match("^%d+")) > tonumber(ARGV[argi + 2]) then return { 0, -1, 0, version, now, {}, {} } end
enter(ARGV[argi + 2])

-- The jobs that this engine holds and is to stop.
local function stops()
  local ids, ours = has_stops and call("SMEMBERS", STOPS) or {}, {}
  for from = 1, #ids, 4000 do
    for k, fence in ipairs(call("HMGET", HELD, unpack(ids, from, math.min(from + 3999, #ids)))) do
      if fence and engine_of(fence) == ARGV[4] then ours[#ours + 1] = ids[from + k - 1] end
    end
  end
  return ours
end

if queues_n == 0 then return { lost, -1, 0, version, now, {}, stops() } end

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
    local hset, zadd, by_code, ready_n = {}, {}, { s = 0, t = 0 }, 0
    for k, value in ipairs(values) do
      local code = members[k]:sub(9, 9)
      by_code[code] = by_code[code] + 1
      local g, slot = nil, false
      if value and has_groups then g, slot = membership(ids[k]) end
      if value then
        ready_n = ready_n + 1
        hset[#hset + 1] = ids[k]
        hset[#hset + 1] = (g and not slot and "g" or "f") .. value:sub(2)
      end
      if g and not slot then
        enter_line(ids[k], g, names[i], value:sub(18, 18), value:sub(2, 17))
      elseif value then
        zadd[#zadd + 1] = 0
        zadd[#zadd + 1] = value:sub(18, 18) .. value:sub(2, 17) .. ids[k]
      end
    end
    if ready_n > 0 then
      call("HSET", JOBS, unpack(hset))
      if #zadd > 0 then call("ZADD", front, unpack(zadd)) end
      call("HINCRBY", COUNTS, "2:" .. names[i], ready_n)
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

-- Of each queue: how many READY jobs it has that need no slot, how many others; how many its own limit allows.
local ready, standing, allowed, total = {}, {}, {}, 0
do
  local fields = {}
  for i = 1, queues_n do fields[i] = "2:" .. names[i] end
  local counts = call("HMGET", COUNTS, unpack(fields))
  local paused = call("HMGET", QUEUES, unpack(names))
  for i = 1, queues_n do
    local jobs = paused[i] ~= "1" and tonumber(counts[i] or 0) or 0
    standing[i] = has_groups and jobs > 0 and standing_in(names[i]) or 0
    ready[i] = jobs - standing[i]
    total = total + jobs
    if standing[i] > 0 then tokens_due(names[i]) end
    local b = has_bounds and bound_of(names[i])
    allowed[i] = not b and math.huge or math.min(tokens_left(b), b.concurrency > 0 and b.concurrency - jobs_in(3, names[i]) or math.huge)
  end
end

-- Could a job of the queue be taken, if its own limit allowed it?
local function has_open(i) return ready[i] > 0 or (standing[i] > 0 and ring_first(names[i]) ~= nil) end

-- Until a token is there for a job of the queue that nothing else holds back, in ms; nil: there is none.
local function token_in(i)
  local b, own = has_bounds and bound_of(names[i]), 0
  if b and not bound_slot(b, names[i]) then return nil end
  if b then own = math.max(0, token_us(b) - now_us) end
  if own > 0 and has_open(i) then return math.ceil(own / 1000) end
  local at = standing[i] > 0 and tokens_first(names[i])
  return at and math.ceil(math.max(own, at - now_us) / 1000)
end

-- What the reply says of the queues as they are left.
local function look()
  local more = 0
  for i = 1, queues_n do
    if ready[i] + standing[i] > 0 then
      if allowed[i] > 0 and has_open(i) then more = 1 end
      local token = (standing[i] > 0 or allowed[i] <= 0) and token_in(i)
      if token and token > 0 and (due_in < 0 or token < due_in) then due_in = math.min(token, 2 ^ 52) end
    end
  end
  save_groups()
  return more
end
if want == 0 or total == 0 then
  local more = look()
  return { lost, due_in, more, version, now, {}, stops() }
end

-- The first write is a pop: Redis refuses a script that needs memory at its first write or not at all, and a full Redis must be
-- drained.
local ids, n, taken = {}, 0, {}
for i = 1, queues_n do taken[i] = 0 end

-- Pops up to `limit` from a list, past the ghosts.  popped_before: of each id how many were popped before it (lib/group.lua).
local popped_before = {}
local function take_list(list, ghosts, queue, rank, limit)
  for _ = 1, 100 do
    local ids_popped = call("LPOP", list, limit)
    if not ids_popped then return end
    local before = popped(queue, rank, #ids_popped)
    if n == 0 and not ghosts and not before then
      ids, n = ids_popped, #ids_popped
      return
    end
    for k, id in ipairs(ids_popped) do
      local ghost = ghosts and call("HGET", ghosts, rank .. id)
      if not ghost then
        n = n + 1
        ids[n] = id
        popped_before[n] = before and before + k - 1
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

-- Takes up to `limit` jobs of a rank that need no slot: those in front, then the list.
local function take_plain(i, rank, limit, front, ghosts)
  local base, before = base_of(i), n
  if front then
    local members = call("ZRANGEBYLEX", front, "[" .. rank, "(" .. (rank + 1), "LIMIT", 0, limit)
    if #members > 0 then
      call("ZREM", front, unpack(members))
      for k = 1, #members do ids[n + k] = members[k]:sub(18) end
      n = n + #members
    end
  end
  local left = limit - (n - before)
  if left > 0 then take_list(KEYS[base + 4 + rank], ghosts, names[i], rank, left) end
  ready[i] = ready[i] - (n - before)
  return n - before
end

-- The same where groups stand: they take turns, a job each, and the jobs that need no slot are one more of them.
local function take_turns(i, rank, limit, front, ghosts)
  local field, queue, plain, to = "!" .. named(names[i]) .. rank, names[i], ready[i] > 0, n + limit
  while n < to do
    local turn, group = ring_first(queue, rank)
    if not turn then
      if plain then take_plain(i, rank, math.min(to - n, ready[i]), front, ghosts) end
      return
    end
    if plain and (call("HGET", GROUPS, field) or "") < turn then
      plain = take_plain(i, rank, 1, front, ghosts) == 1
      if plain then call("HSET", GROUPS, field, seq_next()) end
      plain = plain and ready[i] > 0
    else
      local id = line_take(queue, rank, turn, group)
      if id then
        n = n + 1
        ids[n] = id
        standing[i] = standing[i] - 1
      end
    end
  end
end

local function take(i, limit)
  limit = math.min(limit, allowed[i])
  local stand = standing[i] > 0
  if not stand and limit > ready[i] then limit = ready[i] end
  if limit <= 0 then return end
  local base, before = base_of(i), n
  local front = call("EXISTS", KEYS[base + 2]) == 1 and KEYS[base + 2]
  local ghosts = call("EXISTS", KEYS[base + 3]) == 1 and KEYS[base + 3]
  for rank = 0, 4 do
    local left = limit - (n - before)
    if left > 0 and stand then
      take_turns(i, rank, left, front, ghosts)
    elseif left > 0 then
      take_plain(i, rank, left, front, ghosts)
    end
  end
  taken[i] = taken[i] + n - before
  allowed[i] = allowed[i] - (n - before)
  if ghosts and ready[i] <= 0 then -- what is left of its lists are ghosts
    for rank = 0, 4 do
      popped(names[i], rank, call("LLEN", KEYS[base + 4 + rank]))
      call("DEL", KEYS[base + 4 + rank])
    end
    call("DEL", ghosts)
  end
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
  if has_groups and not missing then
    local before = {}
    for k = first, to do before[k - first + 1] = popped_before[k] or "-" end
    call("HSET", FENCES, fence .. ":at", table.concat(before, " "))
  end
  if has_notes then
    call("HDEL", NOTES, unpack(these, first, to))
    call("HDEL", LOGS, unpack(these, first, to))
  end
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
-- What is taken uses up the queue's own tokens; whoever waits for room in it hears of it.
if has_bounds and n > 0 then
  for i = 1, queues_n do
    local b = taken[i] > 0 and bound_of(names[i])
    if b and b.rate > 0 then
      take_tokens(b, taken[i])
      call("HSET", BOUNDS, "@" .. names[i], digits(b.full))
    end
    if b and b.overflow == "block" and b.max_len > 0 and waiting_in(names[i]) + taken[i] >= b.max_len then call("PUBLISH", ARGV[3], ARGV[2]) end
  end
end
local more = look()
return { lost, due_in, more, version, now, held_now, stops() }
