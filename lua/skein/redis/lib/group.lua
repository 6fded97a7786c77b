-- Groups (core/store/store.h).  In `groups`, with the last of which all of it goes:
--   ""              how many groups there are
--   "=" group       "slots jobs at full limit": slots that jobs have; jobs that belong to it; at: where its lines are,
--                   0 in the ring, -1 nowhere since it has no slot, else among the tokens until that time; full: lib/bucket.lua;
--                   limit: concurrency;rate;per_ms;burst;order
--   "@" id          "1" when the job has a slot, else "0"; then its group
--   "#" line        the line's turn
--   "!" queue rank  the turn of the queue's jobs that need no slot
--   "-" queue rank  how many jobs have been popped off that list
-- A job of a group that is READY without a slot has the code "g" and stands in a line: line := group queue rank, names with their length
-- before them.  Times are 8 bytes, big-endian; a place is due and seq.
--   lines           line place id                 the order of each line
--   places          queue rank place id           the order of all that stand in a queue's lines
--   ring            queue rank turn group         the lines of groups that have a slot and a token
--   tokens          queue at rank group           those of groups that wait for a token and for nothing else
--
-- THE ORDER of jobs that never waited, in lists, in lines, or handed back, is that of their enqueue.  In a list nothing says when that was;
-- so while there are groups `counts` counts how many jobs were popped off each list ("p" rank ":" queue), and one in line, or taken off
-- the list, knows how many jobs had been in that list before it.  Its "due" is a byte 126 and in seven bytes twice that number and
--   1 it was taken while there were no groups; in the order in which it was taken      2 it stands or stood in line, by seq
--   3 it is, or was, the next of the list
local SHUT = -1
local groups, unsaved = {}, {}

local function seq_next() return u64(call("HINCRBY", HEAD, "seq", 1)) end
local function named(queue) return string.char(#queue) .. queue end
local function of_group(name) return struct.pack(">I2", #name) .. name end
local function line_of(g, queue, rank) return of_group(g.name) .. named(queue) .. rank end

-- concurrency;rate;per_ms;burst;order into g.
local function set_numbers(g, limit)
  local concurrency, rate, per_ms, burst, order = limit:match("^(%d+);(%d+);(%d+);(%d+);(%a+)$")
  g.limit, g.strict = limit, order == "strict"
  g.concurrency, g.rate, g.per_ms, g.burst = tonumber(concurrency), tonumber(rate), tonumber(per_ms), tonumber(burst)
end

local function group_of(name)
  if groups[name] then return groups[name] end
  local said = call("HGET", GROUPS, "=" .. name)
  if not said then return nil end
  local slots, jobs, at, full, limit = said:match("^(%d+) (%d+) (%-?%d+) (%d+) (.*)$")
  local g = { name = name, slots = tonumber(slots), jobs = tonumber(jobs), at = tonumber(at), full = tonumber(full) }
  set_numbers(g, limit)
  groups[name] = g
  return g
end

-- Before the script ends.
local function save_groups()
  for name, g in pairs(unsaved) do
    call("HSET", GROUPS, "=" .. name, table.concat({ g.slots, g.jobs, digits(g.at), digits(g.full), g.limit }, " "))
  end
end

-- -- where the lines are -------------------------------------------------------------------------------------------------------

local function line_out(g, queue, rank)
  if g.at > 0 then
    call("ZREM", TOKENS, named(queue) .. u64(g.at) .. rank .. g.name)
  elseif g.at == 0 then
    local line = line_of(g, queue, rank)
    local turn = call("HGET", GROUPS, "#" .. line)
    if not turn then return end
    call("ZREM", RING, named(queue) .. rank .. turn .. g.name)
    call("HDEL", GROUPS, "#" .. line)
  end
end

-- Where it is already it stays.
local function line_in(g, queue, rank)
  if g.at > 0 then
    call("ZADD", TOKENS, 0, named(queue) .. u64(g.at) .. rank .. g.name)
  elseif g.at == 0 then
    local line = line_of(g, queue, rank)
    if call("HEXISTS", GROUPS, "#" .. line) == 1 then return end
    local turn = seq_next()
    call("ZADD", RING, 0, named(queue) .. rank .. turn .. g.name)
    call("HSET", GROUPS, "#" .. line, turn)
  end
end

-- visit(queue, rank) for each of its lines.
local function each_line(g, visit)
  local prefix = of_group(g.name)
  local from = "[" .. prefix
  while true do
    local member = call("ZRANGEBYLEX", LINES, from, "(" .. prefix .. "\255", "LIMIT", 0, 1)[1]
    if not member then return end
    local rank_at = #prefix + 2 + member:byte(#prefix + 1)
    visit(member:sub(#prefix + 2, rank_at - 1), member:sub(rank_at, rank_at))
    from = "(" .. member:sub(1, rank_at) .. "\128"
  end
end

-- Its slots, bucket or numbers have changed, or time has passed.
local function group_update(g)
  unsaved[g.name] = g
  local token = token_us(g)
  local at = g.concurrency > 0 and g.slots >= g.concurrency and SHUT or (token > now_us and token or 0)
  if at == g.at then return end
  local lines = {}
  each_line(g, function(queue, rank) lines[#lines + 1] = { queue, rank } end)
  for _, l in ipairs(lines) do line_out(g, l[1], l[2]) end
  g.at = at
  for _, l in ipairs(lines) do line_in(g, l[1], l[2]) end
end

-- -- standing in line ------------------------------------------------------------------------------------------------------------

local function enter_line(id, g, queue, rank, place)
  call("ZADD", LINES, 0, line_of(g, queue, rank) .. place .. id)
  call("ZADD", PLACES, 0, named(queue) .. rank .. place .. id)
  line_in(g, queue, rank)
end

-- How many stand in a queue's lines.
local function standing_in(queue)
  return has_groups and call("ZLEXCOUNT", PLACES, "[" .. named(queue), "(" .. named(queue) .. ":") or 0
end

-- How many have been popped off that list, while there were groups.
local function popped_field(queue, rank) return "p" .. rank .. ":" .. queue end
-- n jobs were popped off that list: how many before them.
local function popped(queue, rank, n)
  if n == 0 or not has_groups then return nil end
  local field = popped_field(queue, rank)
  local before = call("HINCRBY", COUNTS, field, n) - n
  call("HSETNX", GROUPS, "-" .. field, before)
  return before
end

-- The job's group, and whether it has a slot.
local function membership(id)
  local said = has_groups and call("HGET", GROUPS, "@" .. id)
  if not said then return nil, false end
  return group_of(said:sub(2)), said:sub(1, 1) == "1"
end
