-- settle: the one way out of RUNNING.  Each job that this engine holds under that fence leaves it with its new record, its
-- follow-up jobs and the counters; what it does not hold is stale and changes nothing.  Atomic; in the order given.
-- ARGV   for each job: id, fence, then
--          "d<queue>" DONE or "x<queue>" dropped, and not kept: gone; queue: the index of the one it was fetched from
--        or "=", kind (d DONE, t RETRY, s SNOOZE, D DEAD, x dropped, c CANCELLED, r RELEASE), queue, queue to wait in (indexes),
--          delay ms, keep ms, "1" when its worker crashed, record ("": as it is), how many follow-ups, and id, where, body of each
-- Reply  { lost, statuses, statuses of the follow-ups in the order given }; a status: "0" done, "1" stale or there already;
--        statuses is "" when all are "0"
-- include frame
-- include queues
-- include value
-- include engine
-- include add
local ids, ats, n = {}, {}, 0
do
  local k = argi + 1
  while ARGV[k] do
    n = n + 1
    ids[n] = ARGV[k]
    ats[n] = k
    k = k + 3
    if ARGV[k - 1] == "=" then k = k + 8 + 3 * ARGV[k + 7] end
  end
end
if n == 0 then return { lost, "", "" } end

local held = {}
for from = 1, n, 4000 do
  local some = call("HMGET", HELD, unpack(ids, from, math.min(from + 3999, n)))
  for k = 1, #some do held[ids[from + k - 1]] = some[k] end
end

local prefixes = {}
local function holds(id, fence)
  local h = held[id]
  if not h then return false end
  local prefix = prefixes[fence]
  if not prefix then
    prefix = fence .. ":" .. ARGV[4] .. ":"
    prefixes[fence] = prefix
  end
  return h:sub(1, #prefix) == prefix and h
end

-- What is gone, deleted all at once; `forget` also when something else is about to be written.
local gone, gone_n, noted = {}, 0, call("EXISTS", NOTES) == 1
local function delete_gone()
  for from = 1, gone_n, 4000 do
    local to = math.min(from + 3999, gone_n)
    call("HDEL", HELD, unpack(gone, from, to))
    call("HDEL", JOBS, unpack(gone, from, to))
    if noted then call("HDEL", NOTES, unpack(gone, from, to)) end
  end
  gone, gone_n = {}, 0
end

local counters, counts = {}, {}
local function count(name, by) counters[name] = (counters[name] or 0) + by end
local function count_state(state, queue, by)
  local field = state .. ":" .. queue
  counts[field] = (counts[field] or 0) + by
end

local COUNTER = { d = "done", t = "retried", D = "dead", x = "discarded", c = "cancelled" }

local function enter_front(id, queue_i, place, body)
  call("HSET", JOBS, id, "f" .. place .. body)
  call("ZADD", KEYS[base_of(queue_i) + 2], 0, body:sub(1, 1) .. place .. id)
  count_state(2, names[queue_i], 1)
end

local function finish(id, code, state, keep, body)
  local seq = call("HINCRBY", HEAD, "seq", 1)
  local till = keep and now + keep or 0
  call("HSET", JOBS, id, code .. u64(till) .. u64(seq) .. body)
  call("ZADD", KEYS[state + 4], seq, id)
  if keep then call("ZADD", KEYS[12], till, id) end
  count_state(state, queue_of(body), 1)
end

-- Moves a job as `kind` says; at: where its arguments begin.
local function move(id, kind, at, hold)
  local queue_i, to, delay, keep, record = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]), ARGV[at + 6]
  count_state(3, names[queue_i], -1)
  if kind == "x" or ((kind == "d" or kind == "c") and keep <= 0) then
    gone_n = gone_n + 1
    gone[gone_n] = id
    return delete_gone()
  end
  local value = call("HGET", JOBS, id)
  call("HDEL", HELD, id)
  if not value then return end
  local body = body_of(value)
  local queue_end, task_end = body_ends(body)
  if record ~= "" then body = body:sub(1, task_end) .. record end
  if kind == "r" then
    local place = value:sub(2, 17)
    if value:sub(1, 1) == "r" then
      local fence, nth = hold:match("^(%d+):.*:(%d+)$")
      place = NEVER .. u64(fence * 2048 + nth)
    end
    return enter_front(id, queue_i, place, body)
  end
  if kind == "d" then return finish(id, "d", 5, keep, body) end
  if kind == "D" then return finish(id, "x", 6, nil, body) end
  if kind == "c" then return finish(id, "c", 7, keep, body) end
  if to ~= queue_i then
    body = body:sub(1, 1) .. string.char(#names[to]) .. names[to] .. body:sub(queue_end + 1)
    register(to)
  end
  local seq = u64(call("HINCRBY", HEAD, "seq", 1))
  if delay <= 0 then return enter_front(id, to, u64(now) .. seq, body) end
  call("HSET", JOBS, id, kind .. u64(now + delay) .. seq .. body)
  call("ZADD", KEYS[base_of(to) + 1], now + delay, seq .. kind .. id)
  count_state(kind == "s" and 1 or 4, names[to], 1)
end

local follow_statuses = {}
local function follow(at)
  local added = 0
  for _ = 1, tonumber(ARGV[at]) do
    local id = ARGV[at + 1]
    if call("HEXISTS", JOBS, id) == 1 then
      follow_statuses[#follow_statuses + 1] = "1"
    else
      follow_statuses[#follow_statuses + 1] = "0"
      add(id, ARGV[at + 2], ARGV[at + 3])
      flush_added()
      added = added + 1
    end
    at = at + 3
  end
  if added > 0 then count("enqueued", added) end
end

local function skip_follow(at)
  for _ = 1, tonumber(ARGV[at]) do follow_statuses[#follow_statuses + 1] = "1" end
end

local statuses, stale, simple = {}, 0, {}
for i = 1, n do
  local id, at = ids[i], ats[i]
  local hold = holds(id, ARGV[at + 1])
  local what = ARGV[at + 2]
  if not hold then
    stale = stale + 1
    statuses[i] = "1"
    if what == "=" then skip_follow(at + 10) end
  elseif what ~= "=" then
    statuses[i] = "0"
    held[id] = false
    simple[what] = (simple[what] or 0) + 1
    gone_n = gone_n + 1
    gone[gone_n] = id
  else
    statuses[i] = "0"
    held[id] = false
    delete_gone()
    local kind = ARGV[at + 3]
    move(id, kind, at + 3, hold) -- first: it begins with a delete, which is never refused when Redis is out of memory
    follow(at + 10)
    if COUNTER[kind] then count(COUNTER[kind], 1) end
    if ARGV[at + 8] == "1" then count("crashed", 1) end
  end
end
delete_gone()
for what, by in pairs(simple) do
  count(COUNTER[what:sub(1, 1)], by)
  count_state(3, names[tonumber(what:sub(2))], -by)
end
if stale < n then
  for field, by in pairs(counts) do if by ~= 0 then call("HINCRBY", COUNTS, field, by) end end
  for name, by in pairs(counters) do call("HINCRBY", HEAD, name, by) end
  call("PUBLISH", ARGV[3], ARGV[2])
end
return { lost, stale > 0 and table.concat(statuses) or "", table.concat(follow_statuses) }
