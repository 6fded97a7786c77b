-- The part of fetch that knows groups and bounded queues.  `ready`, here too, is how many READY jobs need no slot; standing: how many
-- others there are; allowed: how many the queue's own limit lets through.
local standing, allowed = {}, {}

-- Whose turn it is among a queue's lines, of one rank or (nil) of the first that has one: the turn, the group.
local function ring_first(queue, rank)
  local q = named(queue) .. (rank or "")
  local member = call("ZRANGEBYLEX", RING, "[" .. q, "(" .. q .. "\128", "LIMIT", 0, 1)[1]
  if not member then return nil end
  local rank_at = 2 + #queue
  return member:sub(rank_at + 1, rank_at + 8), member:sub(rank_at + 9)
end

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

-- The first job of the line whose turn it is has a slot and a token from now on: its id.
local function line_take(queue, rank, turn, name)
  local g = group_of(name)
  local line = line_of(g, queue, rank)
  local members = call("ZRANGEBYLEX", LINES, "[" .. line, "(" .. line .. "\128", "LIMIT", 0, 2)
  call("ZREM", RING, named(queue) .. rank .. turn .. name)
  call("HDEL", GROUPS, "#" .. line)
  if not members[1] then return nil end
  local id = members[1]:sub(#line + 17)
  call("ZREM", LINES, members[1])
  call("ZREM", PLACES, named(queue) .. rank .. members[1]:sub(#line + 1))
  call("HSET", GROUPS, "@" .. id, "1" .. name)
  g.slots = g.slots + 1
  take_tokens(g, 1)
  group_update(g)
  if members[2] then line_in(g, queue, rank) end
  return id
end

local function look_at(i)
  local b = bound_of(names[i])
  standing[i] = ready[i] > 0 and standing_in(names[i]) or 0
  ready[i] = ready[i] - standing[i]
  allowed[i] = not b and math.huge or math.min(tokens_left(b), b.concurrency > 0 and b.concurrency - jobs_in(3, names[i]) or math.huge)
  if standing[i] > 0 then tokens_due(names[i]) end
end

local function least(i, limit)
  limit = math.min(limit, allowed[i] - taken[i])
  return standing[i] > 0 and limit or math.min(limit, ready[i])
end

-- Groups take turns, a job each, and the jobs that need no slot are one more of them.
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

-- Could a job of the queue be taken, if its own limit allowed it?
local function has_open(i) return ready[i] > 0 or (standing[i] > 0 and ring_first(names[i]) ~= nil) end

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
    take_tokens(b, taken[i])
    call("HSET", BOUNDS, "@" .. names[i], digits(b.full))
  end
  if b.overflow == "block" and b.max_len > 0 and waiting_in(names[i]) + taken[i] >= b.max_len then call("PUBLISH", ARGV[3], ARGV[2]) end
end

-- After the last job was taken: can more be taken now?
local function finish()
  local more = 0
  for i = 1, queues_n do
    local b = taken[i] > 0 and bound_of(names[i])
    if b then pay(i, b) end
    if ready[i] + standing[i] > 0 then
      if allowed[i] > taken[i] and has_open(i) then more = 1 end
      local token = token_in(i)
      if token and token > 0 and (due_in < 0 or token < due_in) then due_in = math.min(token, 2 ^ 52) end
    end
  end
  save_groups()
  return more
end
