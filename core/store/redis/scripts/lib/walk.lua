-- Looks at jobs in the order of store.h (list), a bounded number in one call.  Where the call stopped is a cursor, from
-- which the next call goes on:
--   cursor := state ";" place in the order of the named queues ";" part ";" where in it          "": from the start
-- A job that comes, goes or moves between two calls may be missed or seen twice.  Nothing may be written while it
-- walks.
local call, queues_n, JOBS, HELD, COUNTS, ENDED, FENCES, PLACES, names, later_key, front_key, tombstones_key = ...
local list_key, body_of, body_ends = ...
local queue_in, before, uses, named, list_place, popped_of = ...

local PIECE = 250
local looks, bytes = 1000, 2 ^ 22 -- jobs, and bytes of their values, that this call may still look at
local mean = 2 ^ 14 -- bytes of a value, as far as was seen
local filter_queue, filter_task
-- The caller takes the jobs in any order.  The walk then goes through one queue after the other, and through a list
-- before its front, since a change moves jobs from the head of a list to `front` meanwhile (lib/leave.lua).
local any_order
local places_only -- the caller wants ids and places of scheduled or retry jobs, and no values

local function matches(value)
  if filter_queue == "" and filter_task == "" then return true end
  local body = body_of(value)
  local queue_end, task_end = body_ends(body)
  return (filter_queue == "" or body:sub(3, queue_end) == filter_queue) and
         (filter_task == "" or body:sub(queue_end + 2, task_end) == filter_task)
end

-- The values of some of the ids, from that one on, and which of them is the last.
local function values_from(ids, from)
  local to = math.min(#ids, from + math.max(4, math.min(PIECE, math.floor(2 ^ 18 / mean))) - 1)
  local values, sum = call("HMGET", JOBS, unpack(ids, from, to)), 0
  for k = 1, to - from + 1 do sum = sum + #(values[k] or "") end
  mean = math.max(64, sum / (to - from + 1))
  bytes = bytes - sum
  looks = looks - (to - from + 1)
  return values, to
end

-- Visits the jobs of a source that match the filter, until visit(id, value, place) returns false.  Returns nil when it
-- has visited all jobs, else where it stopped.  A source gives jobs in its order: next(n) returns up to n ids and
-- whether there may be more; at(k) returns where to go on behind the k-th of them; live(id, value), if present, is true
-- when the job stands there.
local function walk_source(source, at, visit)
  local more = true
  while more do
    if looks <= 0 or bytes <= 0 then return at end
    local ids
    ids, more = source.next(math.min(PIECE, looks))
    local from = 1
    if places_only and filter_task == "" then
      looks = looks - #ids
      for k = 1, #ids do
        if visit(ids[k], "", source.at(k)) == false then return source.at(k) end
      end
      at, from = source.at(#ids) or at, #ids + 1
    end
    while from <= #ids do
      if bytes <= 0 then return at end
      local values, to = values_from(ids, from)
      for k = from, to do
        local value = values[k - from + 1]
        if value and (not source.live or source.live(ids[k], value)) and matches(value) and
           visit(ids[k], value, places_only and source.at(k)) == false then
          return source.at(k)
        end
      end
      at = source.at(to)
      from = to + 1
    end
    if #ids == 0 then at = source.at(0) or at end
  end
  return nil
end

-- DONE, DEAD, CANCELLED: the latest end first.
local function of_ended(key, at)
  local last, scores = at == "" and "+inf" or "(" .. at, {}
  return {
    next = function(n)
      local found, ids = call("ZREVRANGEBYSCORE", key, last, "-inf", "WITHSCORES", "LIMIT", 0, n), {}
      scores = {}
      for k = 1, #found, 2 do
        ids[#ids + 1] = found[k]
        scores[#ids] = found[k + 1]
      end
      last = #ids > 0 and "(" .. scores[#ids] or last
      return ids, #ids == n
    end,
    at = function(k) return scores[k] end,
  }
end

-- How many of a queue's `later` stand up to that due time and member.  The member itself stands in one of the queues.
local function passed_in_later(key, due, member)
  local rank = call("ZRANK", key, member)
  if rank then return rank + 1 end
  local low = call("ZCOUNT", key, "-inf", "(" .. due)
  local high = low + call("ZCOUNT", key, due, due)
  while low < high do
    looks = looks - 0.25
    local mid = math.floor((low + high) / 2)
    if before(member, call("ZRANGE", key, mid, mid)[1]) then high = mid else low = mid + 1 end
  end
  return low
end

-- A heap of tables, by less(a, b).
local function sift(heap, at, less)
  while true do
    local least, left = at, at * 2
    if heap[left] and less(heap[left], heap[least]) then least = left end
    if heap[left + 1] and less(heap[left + 1], heap[least]) then least = left + 1 end
    if least == at then return end
    heap[at], heap[least] = heap[least], heap[at]
    at = least
  end
end

-- SCHEDULED or RETRY: the queues' zsets merged by due time, then seq.  Each queue costs some commands, however few of
-- its jobs are visited, so that a call that merges many queues takes long: see QUEUES_MAX in list.lua.
local function of_later(queues, code, at)
  local from_due, from_member = at:match("^(%S+) (.*)$")
  local heap, passed = {}, {}
  local function less(a, b)
    if a.due ~= b.due then return a.due < b.due end
    if a.seq ~= b.seq then return a.seq < b.seq end
    return before(a.piece[a.at], b.piece[b.at])
  end
  local function head(c) -- numbers compare much faster than members
    c.due, c.seq = tonumber(c.piece[c.at + 1]), struct.unpack(">I8", c.piece[c.at])
  end
  local function fill(c)
    c.piece, c.at = call("ZRANGE", c.key, c.from, c.from + c.n - 1, "WITHSCORES"), 1
    c.from, c.n = c.from + c.n, math.min(PIECE, c.n * 2)
    return #c.piece > 0
  end
  for _, i in ipairs(queues) do
    local c = { key = later_key(i), n = math.max(1, math.min(PIECE, math.floor(500 / #queues))) }
    c.from = from_due and passed_in_later(c.key, from_due, from_member) or 0
    if fill(c) then
      head(c)
      heap[#heap + 1] = c
    end
  end
  for k = math.floor(#heap / 2), 1, -1 do sift(heap, k, less) end
  return {
    next = function(n)
      local ids, last = {}, nil
      passed = {}
      while n > 0 and heap[1] do
        local c = heap[1]
        local member = c.piece[c.at]
        last = { c.piece[c.at + 1], member }
        if member:sub(9, 9) == code then
          ids[#ids + 1] = member:sub(10)
          passed[#ids] = last
        else
          looks = looks - 1
        end
        c.at, n = c.at + 2, n - 1
        if c.at > #c.piece and not fill(c) then
          heap[1] = heap[#heap]
          heap[#heap] = nil
        end
        if heap[1] == c then head(c) end
        if heap[1] then sift(heap, 1, less) end
      end
      passed[#ids] = last or passed[#ids]
      return ids, heap[1] ~= nil
    end,
    at = function(k) return passed[k] and passed[k][1] .. " " .. passed[k][2] end,
  }
end

-- RUNNING: by fence, then as they were taken; so many fences that sorting them would take long: in no order.
local FENCE_FIELDS_SORTED = 16000
local function ids_held(fence, joined, from)
  local taken, ids = {}, {}
  for id in (joined or ""):gmatch("[^ ]+") do taken[#taken + 1] = id end
  for k, hold in ipairs(#taken > from and call("HMGET", HELD, unpack(taken, from + 1)) or {}) do
    if hold == fence then ids[#ids + 1] = { taken[from + k], fence .. " " .. from + k } end
  end
  return ids
end

local function of_running_sorted(at)
  local from_fence, from_k = at:match("^(%d+) (%d+)$")
  local fences, next_fence, passed = {}, 1, {}
  for _, field in ipairs(call("HKEYS", FENCES)) do
    local fence = tonumber(field:match("^%d+$"))
    if fence and fence >= tonumber(from_fence or 0) then fences[#fences + 1] = fence end
  end
  table.sort(fences)
  return {
    next = function()
      local ids, fence = {}, fences[next_fence] and ("%.0f"):format(fences[next_fence])
      if not fence then return ids, false end
      next_fence, passed, looks = next_fence + 1, { [0] = fence .. " 1000000" }, looks - 1
      local behind = fence == from_fence and tonumber(from_k) or 0
      for k, held in ipairs(ids_held(fence, call("HGET", FENCES, fence .. ":ids"), behind)) do
        ids[k], passed[k] = held[1], held[2]
      end
      return ids, fences[next_fence] ~= nil
    end,
    at = function(k) return passed[k] end,
  }
end

local function of_running_scanned(at)
  local cursor, skip = at:match("^~(%d+) (%d+)$")
  cursor, skip = cursor or "0", tonumber(skip or 0)
  local page
  return {
    next = function()
      page = cursor
      local scanned, ids = call("HSCAN", FENCES, cursor, "COUNT", 40), {}
      for k = 1, #scanned[2], 2 do
        local fence = scanned[2][k]:match("^(%d+):ids$")
        for _, held in ipairs(fence and ids_held(fence, scanned[2][k + 1], 0) or {}) do ids[#ids + 1] = held[1] end
      end
      cursor, looks = scanned[1], looks - 40
      for _ = 1, skip do table.remove(ids, 1) end
      return ids, cursor ~= "0"
    end,
    at = function(k)
      if k == 0 then return "~" .. cursor .. " 0" end
      return "~" .. page .. " " .. k + skip
    end,
  }
end

-- READY jobs of a queue's list.  at: an index and the id there, since jobs before it may be taken from the list
-- meanwhile.  Tombstones of an id stand before the job of that id in the list, if there is one.  They are told apart
-- exactly when the walk began with the list's head; otherwise the first one is shown.
local function index_behind(key, index, id)
  local from = math.max(0, index - 5000)
  local ids = call("LRANGE", key, from, index)
  for k = #ids, 1, -1 do
    if ids[k] == id then return from + k end
  end
  return 0
end

local function of_list(i, rank, at)
  local key, from, ids = list_key(i, rank), 0, {}
  local tombstones = call("EXISTS", tombstones_key(i)) == 1 and tombstones_key(i)
  local index, last = at:match("^(%d+) (.*)$")
  if index then from = index_behind(key, tonumber(index), last) end
  local whole, skip, seen, first = from == 0, {}, {}, from
  return {
    next = function(n)
      first, ids = from, call("LRANGE", key, from, from + n - 1)
      from = from + #ids
      return ids, #ids == n
    end,
    at = function(k) return ids[k] and first + k - 1 .. " " .. ids[k] end,
    live = function(id, value)
      if tombstones and skip[id] == nil then skip[id] = tonumber(call("HGET", tombstones, rank .. id) or 0) end
      if tombstones and skip[id] > 0 then
        skip[id] = skip[id] - 1
        if whole or value:sub(1, 2) ~= "r" .. rank or queue_in(value) ~= names[i] or call("HEXISTS", HELD, id) == 1 then
          return false
        end
      end
      local twice = seen[id]
      seen[id] = true
      return not twice
    end,
  }
end

-- What stands in the front of a queue.
local function of_front(i, rank, at)
  local key, to, last, members = front_key(i), "(" .. rank + 1, at == "" and "[" .. rank or "(" .. at, {}
  return {
    next = function(n)
      local ids = {}
      members = call("ZRANGEBYLEX", key, last, to, "LIMIT", 0, n)
      for k, m in ipairs(members) do ids[k] = m:sub(18) end
      last = #members > 0 and "(" .. members[#members] or last
      return ids, #members == n
    end,
    at = function(k) return members[k] end,
  }
end

-- READY jobs of a queue where there are groups: three orders merged (lib/group.lua).  at: place and id of the last job.
-- A stream is a function that gives the next place and id.
local function stream_of_range(key, prefix, to, at)
  local members, k, last = {}, 0, "(" .. prefix .. at
  return function()
    if k == #members then
      members, k = call("ZRANGEBYLEX", key, last, to, "LIMIT", 0, 50), 0
      if #members == 0 then return nil end
      last = "(" .. members[#members]
    end
    k = k + 1
    return members[k]:sub(#prefix + 1, #prefix + 16), members[k]:sub(#prefix + 17)
  end
end

local function stream_of_list(i, rank, at)
  local gone, skip, piece, k, from = popped_of(names[i], rank), {}, {}, 0, 0
  local key, tombstones = list_key(i, rank), tombstones_key(i)
  if at:byte() == 126 then -- behind that place (lib/group.lua)
    from = math.max(0, math.floor((struct.unpack(">I8", "\0" .. at:sub(2, 8)) - 1) / 2) - gone)
  end
  return function()
    while true do
      if k == #piece then
        piece, k = call("LRANGE", key, from, from + 49), 0
        if #piece == 0 then return nil end
      end
      k, from = k + 1, from + 1
      local id = piece[k]
      if skip[id] == nil then skip[id] = tonumber(call("HGET", tombstones, rank .. id) or 0) end
      if skip[id] == 0 then return list_place(gone + from - 1), id end
      skip[id], looks = skip[id] - 1, looks - 1
    end
  end
end

local function of_lines(i, rank, at)
  local q = named(names[i]) .. rank
  local streams = { stream_of_range(front_key(i), tostring(rank), "(" .. rank + 1, at), stream_of_list(i, rank, at),
                    stream_of_range(PLACES, q, "(" .. q .. "\128", at) }
  local keys, heads, passed = {}, {}, {}
  for k = 1, 3 do keys[k], heads[k] = streams[k]() end
  return {
    next = function(n)
      local ids = {}
      passed = {}
      while #ids < n do
        local best
        for k = 1, 3 do
          if keys[k] and (not best or before(keys[k], keys[best])) then best = k end
        end
        if not best then return ids, false end
        if keys[best] .. heads[best] ~= at then
          ids[#ids + 1] = heads[best]
          passed[#ids] = keys[best] .. heads[best]
        end
        keys[best], heads[best] = streams[best]()
      end
      return ids, true
    end,
    at = function(k) return passed[k] end,
  }
end

-- -- states -----------------------------------------------------------------------------------------------------------

-- The named queues that the filter does not leave out, by name, as their numbers.
local function queues_wanted()
  local wanted, sorted = {}, true
  for i = 1, queues_n do
    if filter_queue == "" or filter_queue == names[i] then
      sorted = sorted and (#wanted == 0 or before(names[wanted[#wanted]], names[i]))
      wanted[#wanted + 1] = i
    end
  end
  if not sorted then table.sort(wanted, function(a, b) return before(names[a], names[b]) end) end
  return wanted
end

-- The parts of a queue's READY jobs, in their order, each a number.
local function part_of(i, part, at)
  -- Also without a line: a job that kept its slot stands in front.
  if uses.groups then return part < 5 and of_lines(i, part, at) end
  local rank = math.floor(part / 2)
  if rank > 4 then return nil end
  return (part % 2 == (any_order and 0 or 1) and of_list or of_front)(i, rank, at)
end

-- Walks the queues one after the other; part(i, part, at): a source of queue i, or nil behind the last part.
local function walk_queues(state, part_of_queue, from_queue, from_part, from_at, visit)
  local wanted = queues_wanted()
  for k = from_queue, #wanted do
    local part, at = from_part, from_at
    from_part, from_at = 0, ""
    local has_jobs = state ~= 2 or tonumber(call("HGET", COUNTS, "2:" .. names[wanted[k]]) or 0) > 0
    looks = looks - 1
    while has_jobs do
      local source = part_of_queue(wanted[k], part, at)
      if not source then break end
      local stopped = walk_source(source, at, visit)
      if stopped then return k .. ";" .. part .. ";" .. stopped end
      part, at, looks = part + 1, "", looks - 2
    end
  end
  return nil
end

local function later_code(state) return state == 1 and "s" or "t" end
local function later_of(state)
  return function(i, part, at) return part == 0 and of_later({ i }, later_code(state), at) end
end

local function source_of(state, at)
  if state == 1 or state == 4 then return of_later(queues_wanted(), later_code(state), at) end
  if state == 3 then
    if at:sub(1, 1) == "~" or (at == "" and call("HLEN", FENCES) > FENCE_FIELDS_SORTED) then
      return of_running_scanned(at)
    end
    return of_running_sorted(at)
  end
  return of_ended(ENDED[state], at)
end

-- Walks the jobs of the states 1 to 7 (the digits of enum sk_state) for which wants(state) is true, from the cursor on.
-- filter: queue and task, "": any; any_order and places_only, as above.  Returns the next cursor, "" at the end.
local function walk(filter, cursor, wants, visit)
  filter_queue, filter_task, any_order, places_only = filter.queue, filter.task, filter.any_order, filter.places_only
  local state, queue, part, at = cursor:match("^(%d);(%d*);(%d*);(.*)$")
  for s = tonumber(state or 1), 7 do
    local wanted = at or wants(s)
    if wanted and (s == 2 or (any_order and (s == 1 or s == 4))) then
      local part_of_queue = s == 2 and part_of or later_of(s)
      local stopped = walk_queues(s, part_of_queue, tonumber(queue or 1), tonumber(part or 0), at or "", visit)
      if stopped then return s .. ";" .. stopped end
    elseif wanted then
      local stopped = walk_source(source_of(s, at or ""), at or "", visit)
      if stopped then return s .. ";;;" .. stopped end
    end
    queue, part, at = nil, nil, nil
  end
  return ""
end

return walk
