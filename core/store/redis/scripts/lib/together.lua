-- Jobs with a lock or a limit that come in together, to the end of one list: with a few commands for all, but as if one
-- after the other.  Only as long as nothing goes: no lock is replaced, or taken after its time, and their queue has
-- room for all of them.
local call, JOBS, COUNTS, LOCKS, EXPIRES, GROUPS, LINES, PLACES, names, list_key, list_queue, register, add_ready = ...
local uses, holder_said = ...
local groups, seq_next, seqs_begin, seqs_end, named, line_of, groups_read, line_in, fifo_place, popped_of = ...
local group_grow, limit_of = ...

local TOGETHER = 100

local coming -- what is not written yet: lists of arguments by what they are for
local function coming_none()
  coming = { ids = {}, listed = {}, lined = {}, belong = {}, lines = {}, places = {}, locks = {}, throttles = {} }
end

local function push(to, a, b)
  local n = #to
  to[n + 1], to[n + 2] = a, b
end

local function write_coming(list)
  local c, i = coming, list_queue(list)
  coming_none()
  if #c.ids > 0 then add_ready(list, #c.ids, c.ids, c.listed, 1) end
  if #c.lined > 0 then
    call("HSET", JOBS, unpack(c.lined))
    call("HSET", GROUPS, unpack(c.belong))
    call("ZADD", LINES, unpack(c.lines))
    call("ZADD", PLACES, unpack(c.places))
    call("HINCRBY", COUNTS, "2:" .. names[i], #c.lined / 2)
    register(i)
  end
  if #c.locks > 0 then
    call("HSET", LOCKS, unpack(c.locks))
    uses.locks = true
  end
  if #c.throttles > 0 then call("ZADD", EXPIRES, unpack(c.throttles)) end
end

-- The place behind all that are in the list and in line now (lib/belong.lua, last_place).
local function place_coming(i, rank)
  local c = coming
  if not c.before then
    c.before = popped_of(names[i], rank) + call("LLEN", list_key(i, rank))
    c.queue = named(names[i]) .. rank
  end
  if c.place_ids ~= #c.ids then c.place_ids, c.place = #c.ids, fifo_place(c.before + #c.ids, 2, "") end
  return c.place .. seq_next()
end

local function come_in_line(list, i, rank, id, value, limit, group)
  local known = groups[group]
  if known and known.limit ~= limit then write_coming(list) end -- its lines may move
  -- A full Redis refuses the script here (lib/full.lua); what its group does then may begin with a delete.
  if #coming.belong == 0 then call("HSET", GROUPS, "@" .. id, "0" .. group) end
  local g = group_grow(group, limit)
  if g.list ~= list then g.list, g.list_line = list, line_of(g, names[i], rank) end
  local place = place_coming(i, rank)
  push(coming.lined, id, "g" .. place .. value:sub(2))
  push(coming.belong, "@" .. id, "0" .. group)
  push(coming.lines, "0", g.list_line .. place .. id)
  push(coming.places, "0", coming.queue .. place .. id)
  line_in(g, names[i], rank, g.list_line)
end

-- A job that is let in.
local function come_in(list, i, rank, id, value, lock, limit_text)
  local limit, group = limit_of(limit_text)
  if group then
    come_in_line(list, i, rank, id, value, limit, group)
  else
    coming.ids[#coming.ids + 1] = id
    push(coming.listed, id, value)
  end
  if not lock then return end
  local to, at, head = coming.locks, #coming.locks, lock.head
  to[at + 1], to[at + 2], to[at + 3], to[at + 4] = lock.field, head.said .. id, "@" .. id, lock.key
  if head.mode == "throttle" then push(coming.throttles, head.till, "k" .. lock.key) end
end

-- What is said of the ids, and of the locks, of n jobs whose arguments begin at `at`; their groups are read too.
local function look_together(n, at, locks)
  local ids, keys, group_names, locks_n = {}, {}, {}, 0
  for k = 1, n do
    local from = at + k * 4 - 4
    local _, group = limit_of(ARGV[from + 3])
    local lock = locks[from]
    ids[k] = ARGV[from]
    if lock then locks_n = locks_n + 1 end
    keys[k] = lock and lock.field or "none"
    group_names[#group_names + 1] = group
  end
  if uses.groups then groups_read(group_names) end
  return call("HMGET", JOBS, unpack(ids)), uses.locks and locks_n > 0 and call("HMGET", LOCKS, unpack(keys)) or {}
end

-- How many of n jobs, id, value, lock, limit each from `at` on, were let in or refused.  locks: theirs, by where they
-- begin; refuse(k, status, holder), k from `first` on, as admit has it.
local function come_together(list, first, n, at, locks, refuse)
  local there, said = look_together(n, at, locks)
  local i, rank_n = list_queue(list)
  local rank, taken, come, done = tostring(rank_n), {}, {}, n
  local rank_byte = rank:byte()
  coming_none()
  seqs_begin()
  for k = 1, n do
    local from = at + k * 4 - 4
    local id, value, lock = ARGV[from], ARGV[from + 1], locks[from]
    local is_there = there[k] or come[id]
    local holder = not is_there and lock and (taken[lock.key] or (said[k] and (holder_said(said[k]) or "")))
    if holder == "" or (holder and lock.head.mode == "replace") or value:byte(2) ~= rank_byte then
      done = k - 1
      break
    end
    if is_there then
      refuse(first + k - 1, "1")
    elseif holder then
      refuse(first + k - 1, "2", holder)
    else
      come_in(list, i, rank, id, value, lock, ARGV[from + 3])
      come[id] = true
      if lock then taken[lock.key] = id end
    end
  end
  write_coming(list)
  seqs_end()
  return done
end

return TOGETHER, come_together
