-- Groups (core/store/store.h).  In `groups`, with the last of which all of it goes:
--   ""              how many groups there are
--   "=" group       "slots jobs at full limit": slots that jobs have; jobs that belong to it; at: where its lines are,
--                   0 in the ring, -1 nowhere since it has no slot, else among the tokens until that time; full:
--                   lib/bucket.lua; limit: concurrency;rate;per_ms;burst;order
--   "@" id          "1" when the job has a slot, else "0"; then its group
--   "#" line        the line's turn
--   "!" queue rank  the turn of the queue's jobs that need no slot
--   "-" queue rank  how many jobs have been popped off that list
-- A job of a group that is READY without a slot has the code "g" and stands in a line: line := group queue rank, names
-- with their length before them.  Times are 8 bytes, big-endian; a place is due and seq.
--   lines           line place id                 the order of each line
--   places          queue rank place id           the order of all that stand in a queue's lines
--   ring            queue rank turn group         the lines of groups that have a slot and a token
--   tokens          queue at rank group           those of groups that wait for a token and for nothing else
--
-- THE ORDER of jobs that never waited, in lists, in lines, or handed back, is that of their enqueue.  In a list nothing
-- says when that was; so while there are groups `counts` counts how many jobs were popped off each list ("p" rank ":"
-- queue), and a job in line, or off the list, knows how many jobs had been in that list before it.  Its "due" is the
-- byte 126 and, in seven bytes, twice that number plus one of these:
--   1 the job was taken while there were no groups; such jobs keep the order in which they were taken
--   2 the job stands or stood in line; such jobs are ordered by seq
--   3 the job is, or was, the next one of the list
local call, HEAD, COUNTS, GROUPS, LINES, PLACES, RING, TOKENS, u64, uses, now_us, token_us, clamp_bucket, digits = ...

local SHUT = -1
local groups, unsaved = {}, {} -- groups: false: there is none

-- The next number.  Between seqs_begin and seqs_end they are counted here, and nothing else may count them.
local seq_counted, seq_at, seq_from = false, nil, nil
local function seq_number()
  if not seq_counted then return call("HINCRBY", HEAD, "seq", 1) end
  seq_from = seq_from or tonumber(call("HGET", HEAD, "seq") or 0)
  seq_at = (seq_at or seq_from) + 1
  return seq_at
end
local function seq_next() return u64(seq_number()) end
local function seqs_begin() seq_counted = true end
local function seqs_end()
  if seq_at then call("HINCRBY", HEAD, "seq", seq_at - seq_from) end
  seq_counted, seq_at, seq_from = false, nil, nil
end

-- A command with a list of any length, a hundred or two at a time (pairs stay together); none for none.
local function call_many(command, key, list)
  for from = 1, #list, 200 do call(command, key, unpack(list, from, math.min(from + 199, #list))) end
end

local function named(queue) return string.char(#queue) .. queue end
local function of_group(name) return struct.pack(">I2", #name) .. name end
local function line_of(g, queue, rank) return of_group(g.name) .. named(queue) .. rank end

-- concurrency;rate;per_ms;burst;order into g; many groups have the same.
local numbers = {}
local function set_numbers(g, limit)
  if g.limit == limit then return end
  local set = numbers[limit]
  if not set then
    local concurrency, rate, per_ms, burst, order = limit:match("^(%d+);(%d+);(%d+);(%d+);(%a+)$")
    set = { order == "strict", tonumber(concurrency), tonumber(rate), tonumber(per_ms), tonumber(burst) }
    numbers[limit] = set
  end
  g.limit, g.depth, g.step = limit, nil, nil
  g.strict, g.concurrency, g.rate, g.per_ms, g.burst = unpack(set, 1, 5)
end

local function group_read(name, said)
  groups[name] = false
  if not said then return end
  local slots, jobs, at, full, limit = said:match("^(%d+) (%d+) (%-?%d+) (%d+) (.*)$")
  local g = { name = name, slots = tonumber(slots), jobs = tonumber(jobs), at = tonumber(at), full = tonumber(full) }
  set_numbers(g, limit)
  groups[name] = g
end

local function group_of(name)
  if groups[name] == nil then group_read(name, call("HGET", GROUPS, "=" .. name)) end
  return groups[name] or nil
end

-- Reads those that will be asked for, up to a thousand, in one go.
local function groups_read(names_wanted)
  local fields, unread = {}, {}
  for _, name in ipairs(names_wanted) do
    if groups[name] == nil then
      groups[name] = false
      unread[#unread + 1] = name
      fields[#fields + 1] = "=" .. name
    end
  end
  if #unread == 0 then return end
  for k, said in ipairs(call("HMGET", GROUPS, unpack(fields))) do group_read(unread[k], said) end
end

-- Before the script ends.
local function save_groups()
  local pairs_unsaved = {}
  for name, g in pairs(unsaved) do
    pairs_unsaved[#pairs_unsaved + 1] = "=" .. name
    pairs_unsaved[#pairs_unsaved + 1] = g.slots .. " " .. g.jobs .. " " .. digits(g.at) .. " " .. digits(g.full)
        .. " " .. g.limit
  end
  call_many("HSET", GROUPS, pairs_unsaved)
end

-- -- where the lines are ----------------------------------------------------------------------------------------------

local function line_out(g, queue, rank)
  g.stands = nil
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

-- Where it is already it stays.  line: as line_of has it, if at hand.
local function line_in(g, queue, rank, line)
  line = line or line_of(g, queue, rank)
  if g.stands == line then return end
  g.stands = line -- nothing has moved it since
  if g.at > 0 then
    call("ZADD", TOKENS, 0, named(queue) .. u64(g.at) .. rank .. g.name)
  elseif g.at == 0 then
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

-- Where its lines are to be: `at`.
local function lines_at(g)
  if g.concurrency > 0 and g.slots >= g.concurrency then return SHUT end
  local token = token_us(g)
  return token > now_us and token or 0
end

-- Its slots, bucket or numbers have changed, or time has passed.
local function group_update(g)
  unsaved[g.name] = g
  clamp_bucket(g)
  local at = lines_at(g)
  if at == g.at then return end
  local lines = {}
  each_line(g, function(queue, rank) lines[#lines + 1] = { queue, rank } end)
  for _, l in ipairs(lines) do line_out(g, l[1], l[2]) end
  g.at, g.stands = at, nil
  for _, l in ipairs(lines) do line_in(g, l[1], l[2]) end
end

-- -- standing in line -------------------------------------------------------------------------------------------------

local function enter_line(id, g, queue, rank, place)
  call("ZADD", LINES, 0, line_of(g, queue, rank) .. place .. id)
  call("ZADD", PLACES, 0, named(queue) .. rank .. place .. id)
  line_in(g, queue, rank)
end

-- How many stand in a queue's lines.
local function standing_in(queue)
  return uses.groups and call("ZLEXCOUNT", PLACES, "[" .. named(queue), "(" .. named(queue) .. ":") or 0
end

-- How many have been popped off that list, while there were groups.
local function popped_field(queue, rank) return "p" .. rank .. ":" .. queue end
-- n jobs were popped off that list: how many before them.
local function popped(queue, rank, n)
  if n == 0 or not uses.groups then return nil end
  local field = popped_field(queue, rank)
  local before = call("HINCRBY", COUNTS, field, n) - n
  call("HSETNX", GROUPS, "-" .. field, before)
  return before
end

-- The place of a job that `before` jobs were popped before, as the head of this file has it.
local function fifo_place(before, what, seq) return "\126" .. struct.pack(">I7", before * 2 + what) .. seq end
local function list_place(before) return fifo_place(before, 3, u64(0)) end

-- The job's group, and whether it has a slot.
local function membership(id)
  local said = uses.groups and call("HGET", GROUPS, "@" .. id)
  if not said then return nil, false end
  return group_of(said:sub(2)), said:sub(1, 1) == "1"
end

return groups, unsaved, seq_number, seq_next, seqs_begin, seqs_end, call_many, named, of_group, line_of, set_numbers,
  group_of, groups_read, save_groups, line_in, line_out, group_update, lines_at, enter_line, standing_in, popped_field,
  popped, fifo_place, list_place, membership
