-- The part of fetch that knows groups and bounded queues.  ready: how many READY jobs need no slot, as in fetch.lua;
-- standing: how many other READY jobs there are; allowed: how many jobs the queue's own limit lets through.
local call, queues_n, BOUNDS, GROUPS, LINES, PLACES, RING, TOKENS, names, u64, uses, now_us, token_us = ...
local clamp_bucket, take_tokens = ...
local tokens_left, digits, bound_of, jobs_in, waiting_in, bound_slot, seq_number, seqs_begin, seqs_end, call_many = ...
local named, of_group = ...
local group_of, groups_read, save_groups, group_update, lines_at, standing_in, slot_back, enter_line, membership = ...
local got, take_plain = ...

local standing, allowed = {}, {}
seqs_begin()

-- When the first token of a queue's lines is there; nil: they wait for none.
local function tokens_first(queue)
  local q = named(queue)
  local member = call("ZRANGEBYLEX", TOKENS, "[" .. q, "(" .. q .. "\128", "LIMIT", 0, 1)[1]
  return member and struct.unpack(">I8", member, #q + 1)
end

-- The lines of a queue whose token is there go to the ring; more than a fetch takes at once.
local function tokens_due(queue)
  local q = named(queue)
  for _, member in ipairs(call("ZRANGEBYLEX", TOKENS, "[" .. q, "(" .. q .. u64(now_us + 1), "LIMIT", 0, 1024)) do
    group_update(group_of(member:sub(#q + 10)))
  end
end

-- Returns the first lines of a queue's ring, of one rank, up to `limit`.  member: the line's member of the ring; turn
-- and line: its parts; jobs: those of its members in `lines` that were read; next: the index of the next one of them;
-- all: true when there are no others.
local function ring_lines(queue, rank, limit)
  if not uses.groups then return {} end
  local q, lines, group_names = named(queue) .. rank, {}, {}
  local members = call("ZRANGEBYLEX", RING, "[" .. q, "(" .. q .. "\128", "LIMIT", 0, limit)
  for k, member in ipairs(members) do group_names[k] = member:sub(#q + 9) end
  groups_read(group_names)
  for k, member in ipairs(members) do
    local g = group_of(group_names[k])
    lines[k] = { g = g, member = member, turn = struct.unpack(">I8", member, #q + 1), line = of_group(g.name) .. q,
        jobs = {}, next = 1 }
  end
  return lines
end

-- The next job of a line, if there is one.  piece: how many are read at once.
local function line_job(l, piece)
  if not l.jobs[l.next] and not l.all then
    local more = call("ZRANGEBYLEX", LINES, "[" .. l.line, "(" .. l.line .. "\128", "LIMIT", #l.jobs, piece)
    for _, member in ipairs(more) do l.jobs[#l.jobs + 1] = member end
    l.all = #more < piece
  end
  return l.jobs[l.next]
end

-- The first job of the line whose turn it is has a slot and a token from now on.
local function line_take(l, i, piece)
  local g, member = l.g, line_job(l, piece)
  l.turn = nil
  if not member then return end
  l.next = l.next + 1
  got.n = got.n + 1
  got.ids[got.n] = member:sub(#l.line + 17)
  standing[i] = standing[i] - 1
  g.slots = g.slots + 1
  take_tokens(g, 1)
  if lines_at(g) == 0 and line_job(l, piece) then l.turn = seq_number() end
end

-- Writes what was taken from the first `met` of the lines that were read.
local function write_taken(queue, rank, lines, met)
  local q, from_ring, to_ring, from_lines, from_places, hset, hdel = named(queue) .. rank, {}, {}, {}, {}, {}, {}
  local function set(field, value)
    hset[#hset + 1] = field
    hset[#hset + 1] = value
  end
  for k = 1, met do
    local l = lines[k]
    from_ring[k] = l.member
    if l.turn then
      to_ring[#to_ring + 1] = "0"
      to_ring[#to_ring + 1] = q .. u64(l.turn) .. l.g.name
      set("#" .. l.line, u64(l.turn))
    else
      hdel[#hdel + 1] = "#" .. l.line
    end
    for job = 1, l.next - 1 do
      local member = l.jobs[job]
      from_lines[#from_lines + 1] = member
      from_places[#from_places + 1] = q .. member:sub(#l.line + 1)
      set("@" .. member:sub(#l.line + 17), "1" .. l.g.name)
    end
  end
  call_many("ZREM", RING, from_ring)
  call_many("ZREM", LINES, from_lines)
  call_many("ZREM", PLACES, from_places)
  call_many("ZADD", RING, to_ring)
  call_many("HSET", GROUPS, hset)
  call_many("HDEL", GROUPS, hdel)
  for k = 1, met do
    lines[k].g.stands = nil
    if lines[k].next > 1 then group_update(lines[k].g) end
  end
end

local function look_at(i)
  local b = bound_of(names[i])
  if b and clamp_bucket(b) then redis.pcall("HSET", BOUNDS, "@" .. names[i], digits(b.full)) end
  standing[i] = got.ready[i] > 0 and standing_in(names[i]) or 0
  got.ready[i] = got.ready[i] - standing[i]
  local slots_left = b and b.concurrency > 0 and b.concurrency - jobs_in(3, names[i]) or math.huge
  allowed[i] = b and math.min(tokens_left(b), slots_left) or math.huge
  if standing[i] > 0 then tokens_due(names[i]) end
end

local function least(i, limit)
  limit = math.min(limit, allowed[i] - got.taken[i])
  return standing[i] > 0 and limit or math.min(limit, got.ready[i])
end

-- Groups take turns, a job each, and the jobs that need no slot are one more of them.
local function take_turns(i, rank, limit, front, tombstones)
  local field, queue, plain, to = "!" .. named(names[i]) .. rank, names[i], got.ready[i] > 0, got.n + limit
  local whole
  repeat
    local lines, mine, moved = ring_lines(queue, rank, to - got.n), nil, false
    local read_n, at, piece = #lines, 1, math.ceil((to - got.n) / math.max(#lines, 1)) + 1
    whole = read_n < to - got.n -- else those whose turn comes again stand behind others that were not read
    if plain and read_n > 0 then mine = struct.unpack(">I8", call("HGET", GROUPS, field) or u64(0)) end
    while got.n < to and lines[at] do
      if plain and mine < lines[at].turn then
        plain = take_plain(i, rank, 1, front, tombstones) == 1
        if plain then mine, moved = seq_number(), true end
        plain = plain and got.ready[i] > 0
      else
        local l = lines[at]
        line_take(l, i, piece)
        if l.turn and whole then lines[#lines + 1] = l end
        at = at + 1
      end
    end
    if moved then call("HSET", GROUPS, field, u64(mine)) end
    write_taken(queue, rank, lines, math.min(at - 1, read_n))
  until got.n >= to or whole
  if got.n < to and plain then take_plain(i, rank, math.min(to - got.n, got.ready[i]), front, tombstones) end
end

-- A job that was taken stands in its group's line again, without slot and token.
local function give_back(i, rank, id, place)
  local g = membership(id)
  take_tokens(g, -1)
  slot_back(id, g)
  enter_line(id, g, names[i], tostring(rank), place)
  standing[i] = standing[i] + 1
end

-- Could a job of the queue be taken, if its own limit allowed it?
local function has_open(i)
  if got.ready[i] > 0 then return true end
  local q = named(names[i])
  return standing[i] > 0 and call("ZRANGEBYLEX", RING, "[" .. q, "(" .. q .. "\128", "LIMIT", 0, 1)[1] ~= nil
end

-- Until a token is there for a job of the queue that nothing else holds back, in ms; nil: there is none.
local function token_in(i)
  local b, own = bound_of(names[i]), 0
  if b and not bound_slot(b, names[i]) then return nil end
  if b then own = math.max(0, token_us(b) - now_us) end
  if own > 0 and has_open(i) then return math.ceil(own / 1000) end
  local at = standing[i] > 0 and tokens_first(names[i])
  return at and math.ceil(math.max(own, at - now_us) / 1000)
end

-- What is taken uses up the queue's own tokens; whoever waits for room in it hears of it.
local function pay(i, b)
  if b.rate > 0 then
    take_tokens(b, got.taken[i])
    call("HSET", BOUNDS, "@" .. names[i], digits(b.full))
  end
  if b.overflow == "block" and b.max_len > 0 and waiting_in(names[i]) + got.taken[i] >= b.max_len then
    redis.pcall("PUBLISH", ARGV[3], ARGV[2] .. " ")
  end
end

-- After the last job was taken: can more be taken now?
local function finish()
  local more = 0
  for i = 1, queues_n do
    local b = got.taken[i] > 0 and bound_of(names[i])
    if b then pay(i, b) end
    if got.ready[i] + standing[i] > 0 then
      if allowed[i] > got.taken[i] and has_open(i) then more, got.more_of[i] = 1, 1 end
      local token = token_in(i)
      if token and token > 0 and (got.due_of[i] < 0 or token < got.due_of[i]) then
        got.due_of[i] = math.min(token, 2 ^ 50)
      end
      if token and token > 0 and (got.due_in < 0 or token < got.due_in) then got.due_in = math.min(token, 2 ^ 52) end
    end
  end
  seqs_end()
  save_groups()
  return more
end

return look_at, least, take_turns, give_back, finish
