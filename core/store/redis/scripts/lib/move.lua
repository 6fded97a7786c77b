-- The part of settle for jobs that go their ways one by one.
local call, now, HEAD, JOBS, HELD, STOPS, LOGS, names, enter_front, enter_later, enter_ended, body_in, body_ends = ...
local queue_of = ...
local u64, register, wake, add, uses, engine_of, left_held, place_taken = ...
local ties, count, count_state, forget, after_follow, COUNTER, statuses, results, follow_statuses, holders = ...

-- READY: in its group's line, g, or where that is nil in front.
local function enter_ready(id, queue_i, place, body, g)
  if g then
    call("HSET", JOBS, id, "g" .. place .. body)
    ties.enter_line(id, g, names[queue_i], body:sub(1, 1), place)
  else
    enter_front(id, queue_i, place, body)
  end
  count_state(2, names[queue_i], 1)
  wake(names[queue_i])
end

local function finish(id, state, keep, body)
  enter_ended(id, state, keep and now + keep or 0, body)
  count_state(state, queue_of(body), 1)
  if ties then ties.untie({ id }, state ~= 5) end
end

-- Moves a job as `kind` says.  queue_i: the queue that the job was fetched from; to: the queue that it waits in;
-- record: the job's new record, "" when it stays as it is.
local function move(id, kind, fence, queue_i, to, delay, keep, record)
  call("HDEL", HELD, id)
  left_held(fence, 1)
  count_state(3, names[queue_i], -1)
  if kind == "x" or ((kind == "d" or kind == "c") and keep <= 0) then
    forget({ id })
    return
  end
  if uses.notes then call("HDEL", LOGS, id) end
  local value = call("HGET", JOBS, id)
  if not value then return end
  local head, old = body_in(value, names[queue_i])
  local body = head .. (record ~= "" and record or old)
  local queue_end = body_ends(body)
  if kind == "r" then
    return enter_ready(id, queue_i, place_taken(value, fence, id), body)
  end
  if kind == "d" then return finish(id, 5, keep, body) end
  if kind == "D" then return finish(id, 6, nil, body) end
  if kind == "c" then return finish(id, 7, keep, body) end
  if to ~= queue_i then
    body = body:sub(1, 1) .. string.char(#names[to]) .. names[to] .. body:sub(queue_end + 1)
    register(to)
  end
  local seq, g = u64(call("HINCRBY", HEAD, "seq", 1)), ties and ties.wait_again(id)
  if delay <= 0 then return enter_ready(id, to, u64(now) .. seq, body, g) end
  if enter_later(id, to, kind, now + delay, seq, body) then wake(names[to]) end
  count_state(kind == "s" and 1 or 4, names[to], 1)
end

-- Adds n follow-ups of a job, from `at` on.
local function follow(n, at, ending)
  local added = 0
  for _ = 1, n do
    local id, where, value, status, holder = ARGV[at], ARGV[at + 1], ARGV[at + 2], "0", nil
    if where:sub(-1) == "*" then
      status, holder = ties.admit(id, where:sub(1, -2), value, ARGV[at + 3], ARGV[at + 4], ending)
    elseif call("HEXISTS", JOBS, id) == 1 then
      status = "1"
    else
      add(id, where, value)
    end
    follow_statuses[#follow_statuses + 1] = status
    holders[#holders + 1] = holder
    if status == "0" then added = added + 1 end
    at = after_follow(at)
  end
  if added > 0 then count("enqueued", added) end
  return at
end

local function skip_follow(n, at)
  for _ = 1, n do
    follow_statuses[#follow_statuses + 1] = "1"
    at = after_follow(at)
  end
  return at
end

-- One job, from `at` on; where it ends.
local function settle_one(at)
  local id, asked, kind, queue_i, to, delay, keep, crashed, record, follow_n = unpack(ARGV, at + 1, at + 10)
  local fence = call("HGET", HELD, id)
  local stale = fence ~= asked or engine_of(fence) ~= ARGV[4]
  local refused = uses.stops and (kind == "t" or kind == "s" or kind == "D") and call("SISMEMBER", STOPS, id) == 1
  results.n = results.n + 1
  if stale or refused then
    results.odd = results.odd + 1
    statuses[results.n] = stale and "1" or "2"
    return skip_follow(follow_n, at + 11)
  end
  -- First: it begins with a delete, which is never refused when Redis is out of memory.
  move(id, kind, fence, tonumber(queue_i), tonumber(to), tonumber(delay), tonumber(keep), record)
  if COUNTER[kind] then count(COUNTER[kind], 1) end
  if crashed == "1" then count("crashed", 1) end
  return follow(follow_n, at + 11, id)
end

return settle_one
