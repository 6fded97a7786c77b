-- fetch: makes READY what is due in the named queues, then takes up to `want` READY jobs and marks them as held by this
-- engine, each FENCE_JOBS of them (lib/held.lua) under a new fence.  Atomic.  A first pass takes each queue's quota, a
-- second one fills up; a paused queue gives nothing.  The job whose value makes the values 4 MiB or more is the last
-- one that a call takes.
-- ARGV   want; then the quota of each named queue
-- Reply  { 0, due in ms or -1, 1 when there are READY jobs left that could be taken now, queues version, now, taken,
--        stops, sources, queues }; taken: for each fence the fence, the ids joined by spaces, a list of their values;
--        stops: ids of jobs that this engine holds and is to stop; sources: of which queue they are, in their order:
--        the queue's number, how many; queues, where several are named: of each twice what it is due in + 1, and 1 more
--        where more of it could be taken now.  A job whose id can't be joined to others is dead.
local call, now, argi, queues_n, HEAD, JOBS, HELD, QUEUES, COUNTS, NOTES, FENCES, STOPS, LOGS = ...
local names, later_key, front_key, tombstones_key, list_key, uses, FENCE_JOBS, engine_of = ...
local engine_error, mark_left = ...
if engine_error then return engine_error end
local want = tonumber(ARGV[argi + 1])

-- What only groups and bounded queues need; to make it for every call would cost as much as the call.
local ties
-- Due jobs that this call may still make READY; what is left is due at the next one.
local to_promote, bytes_promoted = 500, 0
local function promote(i, later, front)
  local piece_n = 4 -- large jobs end the call before it takes long
  repeat
    local n = math.min(uses.groups and 25 or 50, piece_n, to_promote)
    piece_n = piece_n * 2
    local due = call("ZRANGEBYSCORE", later, "-inf", now, "LIMIT", 0, n)
    if #due == 0 then return end
    local members, ids = due, {}
    for k = 1, #due do ids[k] = due[k]:sub(10) end
    local values = call("HMGET", JOBS, unpack(ids))
    call("ZREM", later, unpack(members))
    to_promote = to_promote - (uses.groups and 4 or 1) * #due
    local hset, zadd, by_code, ready_n = {}, {}, { s = 0, t = 0 }, 0
    for k, value in ipairs(values) do
      local code = members[k]:sub(9, 9)
      by_code[code] = by_code[code] + 1
      local g, slot = nil, false
      if value and uses.groups then g, slot = ties.membership(ids[k]) end
      if value then
        bytes_promoted = bytes_promoted + #value
        ready_n = ready_n + 1
        hset[#hset + 1] = ids[k]
        hset[#hset + 1] = (g and not slot and "g" or "f") .. value:sub(2)
      end
      if g and not slot then
        ties.enter_line(ids[k], g, names[i], value:sub(18, 18), value:sub(2, 17))
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
    if bytes_promoted > 2 ^ 20 then to_promote = 0 end
  until #members < n or to_promote <= 0
end

-- The first write is a pop.  Redis refuses a script that needs memory at its first write or not at all, and fetches
-- must go on when Redis is full.
-- What this call takes.  ids[1] to ids[n]: the jobs; by queue: taken, how many were; ready, how many more need no slot;
-- due_of, due_in: when the next one is due, ms, -1: none; more_of: 1 when more could be taken now.
local got = { n = 0, ids = {}, taken = {}, ready = {}, due_in = -1, due_of = {}, more_of = {} }
local ids, taken, ready, due_of, more_of, total = got.ids, got.taken, got.ready, got.due_of, got.more_of, 0
-- sources: a queue and how many, for the jobs in their order.  no_jobs: how many entries of each queue were no jobs.
local sources, sources_n, no_jobs = {}, 0, {}
for i = 1, queues_n do taken[i], no_jobs[i] = 0, 0 end

-- Pops up to `limit` jobs from a list and drops tombstones (lib/skip.lua).  popped_before: for each id, how many jobs
-- were popped before it (lib/group.lua).
local popped_before, skips = {}, { left = 4000 } -- left: tombstones that this call may still pop
local function take_list(list, tombstones, queue, rank, limit, ...)
  if not tombstones and not uses.groups then
    local ids_popped, n = call("LPOP", list, limit), got.n
    if not ids_popped then return end
    local popped_n = #ids_popped
    got.n = n + popped_n
    if n == 0 then
      ids, got.ids = ids_popped, ids_popped
      return
    end
    for k = 1, popped_n do ids[n + k] = ids_popped[k] end
    return
  end
  local pop_tombstones = ...
  repeat
    local ids_popped = call("LPOP", list, limit)
    if not ids_popped then return end
    local before = uses.groups and ties.popped(queue, rank, #ids_popped)
    local is_tombstone = tombstones and pop_tombstones(ids_popped, tombstones, rank)
    for k, id in ipairs(ids_popped) do
      if not tombstones or not is_tombstone[k] then
        got.n = got.n + 1
        ids[got.n] = id
        popped_before[got.n] = before and before + k - 1
        limit = limit - 1
      end
    end
  until limit == 0 or not tombstones or skips.left <= 0
end

-- Takes up to `limit` jobs of a rank that need no slot: those in front, then the list.
local function take_plain(i, rank, limit, front, tombstones)
  local before = got.n
  if front then
    local members = call("ZRANGEBYLEX", front, "[" .. rank, "(" .. (rank + 1), "LIMIT", 0, limit)
    if #members > 0 then
      call("ZREM", front, unpack(members))
      for k = 1, #members do ids[got.n + k] = members[k]:sub(18) end
      got.n = got.n + #members
    end
  end
  local left = limit - (got.n - before)
  if left > 0 then take_list(list_key(i, rank), tombstones, names[i], rank, left) end
  ready[i] = ready[i] - (got.n - before)
  return got.n - before
end

-- Reads the values of the jobs that were taken, in pieces that begin small, so that large jobs end a call before it
-- takes long.
local BYTES_MAX, PIECE_MIN, PIECE_MAX = 2 ^ 22, 8, 40
local values, bytes, piece_n, any_missing = {}, 0, PIECE_MIN, false

-- Puts ids[first] to ids[n] of queue i back to where they stood, except those without a readable value.
-- read[k - before]: the value of ids[k].
local function put_back(i, rank, first, read, before, ...)
  local body_of, is_value = ...
  local list, hset, zadd, kept, lined = {}, {}, {}, first - 1, 0
  for k = first, got.n do
    local id, value = ids[k], read[k - before]
    if not value or not is_value(value) then
      kept = kept + 1
      ids[kept], values[kept], popped_before[kept] = id, value, popped_before[k]
    elseif value:sub(1, 1) == "r" and not uses.groups then
      list[#list + 1] = id
    elseif value:sub(1, 1) == "g" then
      ties.give_back(i, rank, id, value:sub(2, 17))
      lined = lined + 1
    else
      local place = value:sub(1, 1) == "r" and ties.list_place(popped_before[k]) or value:sub(2, 17)
      if not value:find("^f") then hset[#hset + 1], hset[#hset + 2] = id, "f" .. place .. body_of(value) end
      zadd[#zadd + 1], zadd[#zadd + 2] = 0, rank .. place .. id
    end
  end
  for k = 1, math.floor(#list / 2) do list[k], list[#list + 1 - k] = list[#list + 1 - k], list[k] end
  if #list > 0 then call("LPUSH", list_key(i, rank), unpack(list)) end
  if #hset > 0 then call("HSET", JOBS, unpack(hset)) end
  if #zadd > 0 then call("ZADD", front_key(i), unpack(zadd)) end
  ready[i] = ready[i] + got.n - kept - lined
  for k = kept + 1, got.n do ids[k], values[k], popped_before[k] = nil, nil, nil end
  got.n = kept
end

-- The ids behind ids[last], which were popped off a list and not read, go back to it.
local function push_back(i, rank, last)
  local list, n = {}, 0
  for k = got.n, last + 1, -1 do
    n = n + 1
    list[n], ids[k] = ids[k], nil
  end
  call("LPUSH", list_key(i, rank), unpack(list))
  ready[i] = ready[i] + n
  got.n = last
end

-- Reads the values of ids[first] to ids[to].  The job that passes BYTES_MAX is the last one; those behind it go back.
local function read_values(i, rank, first, to)
  local read, before, sum = call("HMGET", JOBS, unpack(ids, first, to)), first - 1, 0
  local read_n, left = #read, BYTES_MAX - bytes
  local last = read_n
  if before == 0 then values = read end
  for k = 1, read_n do
    local value = read[k]
    if before > 0 then values[before + k] = value end
    if value then sum = sum + #value else any_missing = true end
    if sum >= left then
      last = k
      break
    end
  end
  bytes = bytes + sum
  piece_n = math.max(1, math.min(PIECE_MAX, piece_n * 4, math.floor((BYTES_MAX - bytes) * last / math.max(sum, 1))))
  if sum >= left and to < got.n then push_back(i, rank, to) end
  if last < read_n then put_back(i, rank, first + last, read, before) end
end

-- Takes up to `limit` jobs of one rank.  Where they are in its list and nowhere else, one pop takes many: what is not
-- read is known to go back there.
local POP_MAX = 1000
local function take_rank(i, rank, limit, front, tombstones)
  local before, pop_n = got.n, not ties and not front and not tombstones and POP_MAX
  repeat
    local first, want_now = got.n + 1, math.min(pop_n or piece_n, limit - (got.n - before))
    if ties then
      ties.take(i, rank, want_now, front, tombstones)
    else
      take_plain(i, rank, want_now, front, tombstones)
    end
    local found = got.n - first + 1
    while first <= got.n do
      local to = math.min(first + piece_n - 1, got.n)
      read_values(i, rank, first, to)
      first = to + 1
    end
  until found < want_now or got.n - before >= limit or bytes >= BYTES_MAX
end

local function take(i, limit)
  if ties then limit = ties.least(i, limit) elseif limit > ready[i] then limit = ready[i] end
  if limit <= 0 then return end
  local before = got.n
  local front = call("EXISTS", front_key(i)) == 1 and front_key(i)
  local tombstones = call("EXISTS", tombstones_key(i)) == 1 and tombstones_key(i)
  for rank = 0, 4 do
    local left = limit - (got.n - before)
    if left > 0 and bytes < BYTES_MAX then take_rank(i, rank, left, front, tombstones) end
  end
  taken[i] = taken[i] + got.n - before
  if got.n > before then
    sources[sources_n + 1], sources[sources_n + 2] = i, got.n - before
    sources_n = sources_n + 2
  end
  if tombstones and ready[i] <= 0 then -- what is left of its lists are tombstones
    for rank = 0, 4 do
      if uses.groups then ties.popped(names[i], rank, call("LLEN", list_key(i, rank))) end
      call("UNLINK", list_key(i, rank))
    end
    call("UNLINK", tombstones)
  end
end

if uses.groups or uses.bounds then
  local enter_line, popped, list_place, membership, look_at, least, take_turns, give_back, finish = ...
  ties = { membership = membership, enter_line = enter_line, popped = popped, list_place = list_place,
           look_at = look_at, least = least, take = take_turns, give_back = give_back, finish = finish }
end

for i = 1, queues_n do
  local later = later_key(i)
  local first = call("ZRANGE", later, 0, 0, "WITHSCORES")
  if first[2] and tonumber(first[2]) <= now and to_promote > 0 then
    promote(i, later, front_key(i))
    first = call("ZRANGE", later, 0, 0, "WITHSCORES")
  end
  due_of[i] = first[2] and math.max(1, first[2] - now) or -1
  if first[2] and (got.due_in < 0 or due_of[i] < got.due_in) then got.due_in = due_of[i] end
end

local said = call("HMGET", QUEUES, "", unpack(names)) -- the version, then which of the queues are paused
local version = tonumber(said[1] or 0)
if queues_n > 0 then
  local fields = {}
  for i = 1, queues_n do fields[i] = "2:" .. names[i] end
  local counts = call("HMGET", COUNTS, unpack(fields))
  for i = 1, queues_n do
    ready[i] = said[i + 1] ~= "1" and tonumber(counts[i] or 0) or 0
    total = total + ready[i]
    if ties then ties.look_at(i) end
  end
end
if want > 0 and total > 0 then
  for i = 1, queues_n do
    local quota = tonumber(ARGV[argi + 1 + i])
    take(i, quota < want - got.n and quota or want - got.n)
  end
  for i = 1, queues_n do take(i, want - got.n) end
end

-- Returns the ids and values of the entries that are jobs.  Another client may have deleted some, and an id that is
-- empty or has a space cannot be joined to others.
local less = {} -- by where in `sources` it is to be written
local function only_jobs(first, last, ...)
  local enter_dead = ...
  local some_ids, some_values = {}, {}
  -- Job k is none after all: it is counted off the queue that it was taken from, whose number is returned.
  local function take_off(k)
    local at, source_last = 1, sources[2]
    while k > source_last do
      at = at + 2
      source_last = source_last + sources[at + 1]
    end
    local i = sources[at]
    no_jobs[i] = no_jobs[i] + 1
    return i, at + 1
  end
  for k = first, last do
    local id, value = ids[k], values[k]
    if value and id ~= "" and not id:find(" ", 1, true) then
      some_ids[#some_ids + 1] = id
      some_values[#some_values + 1] = value
    else
      local i, at = take_off(k)
      less[at] = (less[at] or 0) + 1
      if value then enter_dead(id, value, names[i]) end
    end
  end
  return some_ids, some_values
end

-- Do those ids, joined, come apart again?  No id has a space, and none is empty.
local function joins(joined, first, to)
  if table.concat(ids, "", first, to):find(" ", 1, true) or joined:find("  ", 1, true) then return false end
  return joined ~= "" and joined:byte(1) ~= 32 and joined:byte(-1) ~= 32
end

-- Marks ids[first] to ids[to] as held under a fence: what the reply says of them.
local held_now, since = {}, now .. " " .. ARGV[4]
local function hold(fence, first, to)
  local held, missing, these, those = {}, false, ids, nil
  if any_missing then
    for k = first, to do missing = missing or not values[k] end
  end
  local joined = not missing and table.concat(ids, " ", first, to)
  if missing or not joins(joined, first, to) then
    missing = true
    these, those = only_jobs(first, to)
    first, to = 1, #these
    if to == 0 then return end
    joined = table.concat(these, " ")
  end
  local at = 1
  for k = first, to do
    held[at], held[at + 1] = these[k], fence
    at = at + 2
  end
  call("HSET", HELD, unpack(held))
  call("HSET", FENCES, fence, since, fence .. ":ids", joined, fence .. ":left", to - first + 1)
  if uses.groups and not missing then
    local before = {}
    for k = first, to do before[k - first + 1] = popped_before[k] or "-" end
    call("HSET", FENCES, fence .. ":at", table.concat(before, " "))
  end
  if uses.notes then
    call("HDEL", NOTES, unpack(these, first, to))
    call("HDEL", LOGS, unpack(these, first, to))
  end
  held_now[#held_now + 1] = tonumber(fence)
  held_now[#held_now + 1] = joined
  held_now[#held_now + 1] = those or (first == 1 and to == got.n and values) or { unpack(values, first, to) }
end

if got.n > 0 then
  local fences = math.ceil(got.n / FENCE_JOBS)
  local before = call("HINCRBY", HEAD, "fence", fences) - fences
  for k = 1, fences do hold(tostring(before + k), (k - 1) * FENCE_JOBS + 1, math.min(k * FENCE_JOBS, got.n)) end
  for at, by in pairs(less) do sources[at] = sources[at] - by end
  for i = 1, queues_n do
    if taken[i] > 0 then
      call("HINCRBY", COUNTS, "2:" .. names[i], -taken[i])
      if taken[i] > no_jobs[i] then call("HINCRBY", COUNTS, "3:" .. names[i], taken[i] - no_jobs[i]) end
    end
  end
end
local more = 0
if ties then
  more = ties.finish()
else
  for i = 1, queues_n do
    if ready[i] > 0 then more, more_of[i] = 1, 1 end
  end
end

-- The jobs that this engine holds and is to stop.
local stops = {}
if uses.stops then
  local all = call("SCARD", STOPS) > 1000 and call("SRANDMEMBER", STOPS, 1000) or call("SMEMBERS", STOPS)
  for from = 1, #all, 4000 do
    for k, fence in ipairs(call("HMGET", HELD, unpack(all, from, math.min(from + 3999, #all)))) do
      if fence and engine_of(fence) == ARGV[4] then stops[#stops + 1] = all[from + k - 1] end
    end
  end
end
mark_left(got.n > 0)
local left = {}
for i = 1, queues_n > 1 and queues_n or 0 do left[i] = (due_of[i] + 1) * 2 + (more_of[i] or 0) end
return { 0, got.due_in, more, version, now, held_now, stops, sources, left }
