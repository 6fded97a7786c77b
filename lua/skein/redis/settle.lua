-- settle: the one way out of RUNNING.  Each job that this engine holds under that fence leaves it with its new record, its
-- follow-up jobs and the counters; what it does not hold is stale and changes nothing.  Atomic; in the order given.
-- ARGV   groups, each of them
--          "-", fence, "d" DONE or "x" dropped, queue, n, and n ids: jobs that are gone; queue: the index of the one they were fetched from
--        or "=", id, fence, kind (d DONE, t RETRY, s SNOOZE, D DEAD, x dropped, c CANCELLED, r RELEASE), queue, queue to wait in (indexes),
--          delay ms, keep ms, "1" when its worker crashed, record ("": as it is), how many follow-ups, and id, where, value of each
-- Reply  { lost, statuses, statuses of the follow-ups in the order given }; a status: "0" done, "1" stale or there already;
--        statuses is "" when all are "0"
-- include frame
-- include queues
-- include value
-- include held
-- include engine
-- include add
enter("0")
local noted = call("EXISTS", NOTES) == 1

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
local function move(id, kind, at, fence)
  local queue_i, to, delay, keep, record = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]), ARGV[at + 6]
  call("HDEL", HELD, id)
  left_held(fence, 1)
  count_state(3, names[queue_i], -1)
  if kind == "x" or ((kind == "d" or kind == "c") and keep <= 0) then
    call("HDEL", JOBS, id)
    if noted then call("HDEL", NOTES, id) end
    return
  end
  local value = call("HGET", JOBS, id)
  if not value then return end
  local body = body_of(value)
  local queue_end, task_end = body_ends(body)
  if record ~= "" then body = body:sub(1, task_end) .. record end
  if kind == "r" then
    local place = value:sub(1, 1) == "r" and place_taken(fence, id) or value:sub(2, 17)
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
      added = added + 1
    end
    at = at + 3
  end
  if added > 0 then count("enqueued", added) end
end

local function skip_follow(at)
  for _ = 1, tonumber(ARGV[at]) do follow_statuses[#follow_statuses + 1] = "1" end
end

local statuses, stale, n = {}, 0, 0 -- statuses of the stale ones only

local function forget(...)
  call("HDEL", JOBS, ...)
  if noted then call("HDEL", NOTES, ...) end
end

-- Are the jobs from `at` on all held under that fence?
local function all_held(fence, group_n, at)
  local holds = call("HMGET", HELD, unpack(ARGV, at, at + group_n - 1))
  for k = 1, group_n do
    if holds[k] ~= fence then return false end
  end
  return true
end

-- Jobs that are gone, from `at` on: the common case, without a step per job but the comparison of its fence.
local function end_all(fence, kind, queue, group_n, at)
  local ours = engine_of(fence) == ARGV[4]
  local good, ended = ours and all_held(fence, group_n, at), 0
  if good then
    ended = call("HDEL", HELD, unpack(ARGV, at, at + group_n - 1)) -- fewer: an id was there twice
    forget(unpack(ARGV, at, at + group_n - 1))
  end
  if ended < group_n then
    local seen = {}
    for k = 1, group_n do
      local id = ARGV[at + k - 1]
      if good and not seen[id] then
        seen[id] = true
      elseif not good and ours and call("HGET", HELD, id) == fence then
        call("HDEL", HELD, id)
        forget(id)
        ended = ended + 1
      else
        statuses[n + k] = "1"
        stale = stale + 1
      end
    end
  end
  if ended > 0 then
    left_held(fence, ended)
    count(COUNTER[kind], ended)
    count_state(3, names[queue], -ended)
  end
end

local at = argi + 1
while ARGV[at] do
  if ARGV[at] == "-" then
    local group_n = tonumber(ARGV[at + 4])
    end_all(ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3]), group_n, at + 5)
    n = n + group_n
    at = at + 5 + group_n
  else
    local id, kind = ARGV[at + 1], ARGV[at + 3]
    local fence = call("HGET", HELD, id)
    n = n + 1
    if fence == ARGV[at + 2] and engine_of(fence) == ARGV[4] then
      move(id, kind, at + 3, fence) -- first: it begins with a delete, which is never refused when Redis is out of memory
      follow(at + 10)
      if COUNTER[kind] then count(COUNTER[kind], 1) end
      if ARGV[at + 8] == "1" then count("crashed", 1) end
    else
      stale = stale + 1
      statuses[n] = "1"
      skip_follow(at + 10)
    end
    at = at + 11 + 3 * ARGV[at + 10]
  end
end
if stale < n then
  leave_fences()
  for field, by in pairs(counts) do if by ~= 0 then call("HINCRBY", COUNTS, field, by) end end
  for name, by in pairs(counters) do call("HINCRBY", HEAD, name, by) end
  call("PUBLISH", ARGV[3], ARGV[2])
end
if stale > 0 then
  for i = 1, n do statuses[i] = statuses[i] or "0" end
end
return { lost, table.concat(statuses), table.concat(follow_statuses) }
