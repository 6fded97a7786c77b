-- Walks the jobs of one state in that state's order (store.h, list): visit(id, value, held) until it returns false.
-- Values are read `PIECE` at a time; nothing may be written while it walks.
-- include before
local PIECE = 500
local filter_queue, filter_task

local function matches(value)
  if filter_queue == "" and filter_task == "" then return true end
  local body = body_of(value)
  local queue_end, task_end = body_ends(body)
  return (filter_queue == "" or body:sub(3, queue_end) == filter_queue) and
         (filter_task == "" or body:sub(queue_end + 2, task_end) == filter_task)
end

-- The jobs of a piece of ids; false when visit has had enough.
local function visit_ids(ids, visit)
  if #ids == 0 then return true end
  local values = call("HMGET", JOBS, unpack(ids))
  for k, value in ipairs(values) do
    if value and matches(value) and visit(ids[k], value) == false then return false end
  end
  return true
end

local function walk_zset(key, visit)
  local from = 0
  repeat
    local ids = call("ZREVRANGE", key, from, from + PIECE - 1)
    if not visit_ids(ids, visit) then return false end
    from = from + PIECE
  until #ids < PIECE
  return true
end

local function walk_list(key, ghosts, rank, visit)
  local skip, from = {}, 0
  if ghosts then
    for f = 1, #ghosts, 2 do
      if ghosts[f]:sub(1, 1) == rank then skip[ghosts[f]:sub(2)] = tonumber(ghosts[f + 1]) end
    end
  end
  repeat
    local piece = call("LRANGE", key, from, from + PIECE - 1)
    local ids = {}
    for _, id in ipairs(piece) do
      local left = skip[id]
      if left and left > 0 then skip[id] = left - 1 else ids[#ids + 1] = id end
    end
    if not visit_ids(ids, visit) then return false end
    from = from + PIECE
  until #piece < PIECE
  return true
end

local function walk_front(key, rank, visit)
  local from = 0
  repeat
    local members = call("ZRANGEBYLEX", key, "[" .. rank, "(" .. string.char(rank:byte() + 1), "LIMIT", from, PIECE)
    local ids = {}
    for k, m in ipairs(members) do ids[k] = m:sub(18) end
    if not visit_ids(ids, visit) then return false end
    from = from + PIECE
  until #members < PIECE
  return true
end

-- The same where there are groups: three orders merged (lib/group.lua).  A stream is a function that gives the next key and id.
local function stream_of_range(key, from, to, parse)
  local members, at, offset = {}, 1, 0
  return function()
    if at > #members then
      if offset > 0 and #members < PIECE then return nil end
      members, at = call("ZRANGEBYLEX", key, from, to, "LIMIT", offset, PIECE), 1
      offset = offset + PIECE
      if #members == 0 then return nil end
    end
    at = at + 1
    return parse(members[at - 1])
  end
end

local function stream_of_list(key, ghosts, queue, rank)
  local before, skip, piece, at, from = popped_of(queue, rank), {}, {}, 1, 0
  return function()
    while true do
      if at > #piece then
        piece, at = call("LRANGE", key, from, from + PIECE - 1), 1
        if #piece == 0 then return nil end
      end
      local id = piece[at]
      at, from, before = at + 1, from + 1, before + 1
      if skip[id] == nil then skip[id] = tonumber(call("HGET", ghosts, rank .. id) or 0) end
      if skip[id] == 0 then return list_place(before - 1), id end
      skip[id] = skip[id] - 1
    end
  end
end

local function walk_lines(queue, rank, base, visit)
  local q = named(queue) .. rank
  local streams = {
    stream_of_range(KEYS[base + 2], "[" .. rank, "(" .. string.char(rank:byte() + 1), function(m) return m:sub(2, 17), m:sub(18) end),
    stream_of_list(KEYS[base + 4 + rank], KEYS[base + 3], queue, rank),
    stream_of_range(PLACES, "[" .. q, "(" .. q .. "\128", function(m) return m:sub(#q + 1, #q + 16), m:sub(#q + 17) end),
  }
  local keys, heads, ids = {}, {}, {}
  for k = 1, 3 do keys[k], heads[k] = streams[k]() end
  while true do
    local best
    for k = 1, 3 do
      if keys[k] and (not best or before(keys[k], keys[best])) then best = k end
    end
    if best then ids[#ids + 1] = heads[best] end
    if not best or #ids == PIECE then
      if not visit_ids(ids, visit) then return false end
      ids = {}
    end
    if not best then return true end
    keys[best], heads[best] = streams[best]()
  end
end

local function walk_ready(visit)
  local sorted = {}
  for i = 1, queues_n do sorted[i] = names[i] end
  table.sort(sorted, before)
  for _, name in ipairs(sorted) do
    if filter_queue == "" or filter_queue == name then
      local base = base_of(index_of[name])
      local ghosts = call("HGETALL", KEYS[base + 3])
      for r = 0, 4 do
        local rank = tostring(r)
        local on
        if has_groups then -- also without a line: a job that kept its slot stands in front, among those of the list by its place
          on = walk_lines(name, rank, base, visit)
        else
          on = walk_front(KEYS[base + 2], rank, visit) and walk_list(KEYS[base + 4 + r], ghosts, rank, visit)
        end
        if not on then return false end
      end
    end
  end
  return true
end

-- SCHEDULED or RETRY: the queues' zsets merged by due time, then seq.
local function walk_later(code, visit)
  local cursors = {}
  local function fill(c)
    local piece = call("ZRANGE", c.key, c.from, c.from + PIECE - 1, "WITHSCORES")
    c.from, c.at, c.piece = c.from + PIECE, 1, piece
    return #piece > 0
  end
  for i = 1, queues_n do
    local c = { key = KEYS[base_of(i) + 1], from = 0 }
    if (filter_queue == "" or filter_queue == names[i]) and fill(c) then cursors[#cursors + 1] = c end
  end
  local ids = {}
  while #cursors > 0 do
    local best, best_due
    for k, c in ipairs(cursors) do
      local due = tonumber(c.piece[c.at + 1])
      if not best or due < best_due or (due == best_due and before(c.piece[c.at], cursors[best].piece[cursors[best].at])) then best, best_due = k, due end
    end
    local c = cursors[best]
    local member = c.piece[c.at]
    if member:sub(9, 9) == code then ids[#ids + 1] = member:sub(10) end
    c.at = c.at + 2
    if c.at > #c.piece and not fill(c) then table.remove(cursors, best) end
    if #ids == PIECE then
      if not visit_ids(ids, visit) then return false end
      ids = {}
    end
  end
  return visit_ids(ids, visit)
end

-- By fence, then as they were taken.
local function walk_running(visit)
  return each_held(function() return true end, function(_, ids) return visit_ids(ids, visit) end)
end

-- state: the digit of enum sk_state.
local function walk(state, visit)
  if state == 1 then return walk_later("s", visit) end
  if state == 2 then return walk_ready(visit) end
  if state == 3 then return walk_running(visit) end
  if state == 4 then return walk_later("t", visit) end
  return walk_zset(KEYS[state + 4], visit) -- 5 DONE, 6 DEAD, 7 CANCELLED
end

-- Are all queues that there are among those named?
local function knows_all_queues() return call("HLEN", QUEUES) - call("HEXISTS", QUEUES, "") == queues_n end
