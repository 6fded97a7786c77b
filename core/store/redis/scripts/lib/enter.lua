-- Putting a job into the structure that its state stands for, with its value.  lib/leave.lua takes it out again.  The
-- callers count it (count_state, or the counts of a whole call).  Many jobs at once go the same ways in lib/add.lua
-- (READY, at the end of a list), fetch (due, RUNNING) and settle (ended).
local call, HEAD, JOBS, ENDED, KEPT, COUNTS, later_key, front_key, u64, body_in = ...

-- READY, in front of the lists of queue i.
local function enter_front(id, i, place, body)
  call("HSET", JOBS, id, "f" .. place .. body)
  call("ZADD", front_key(i), 0, body:sub(1, 1) .. place .. id)
end

-- SCHEDULED (code s) or RETRY (t) in queue i; seq: 8 bytes.  Returns true when it is the next of them that comes due.
local function enter_later(id, i, code, due, seq, body)
  local member = seq .. code .. id
  call("HSET", JOBS, id, code .. u64(due) .. seq .. body)
  call("ZADD", later_key(i), due, member)
  return call("ZRANGE", later_key(i), 0, 0)[1] == member
end

local CODES = { [5] = "d", [6] = "x", [7] = "c" }
-- DONE (state 5), DEAD (6) or CANCELLED (7); till: when its record is dropped, ms, 0: never.
local function enter_ended(id, state, till, body)
  local seq = call("HINCRBY", HEAD, "seq", 1)
  call("HSET", JOBS, id, CODES[state] .. u64(till) .. u64(seq) .. body)
  call("ZADD", ENDED[state], seq, id)
  if state ~= 6 then call("ZADD", KEPT, till, id) end
end

-- A job that cannot be run is DEAD, in a queue that the caller names.  It stands in no other structure any more.
local function enter_dead(id, value, queue)
  local head, record = body_in(value, queue)
  enter_ended(id, 6, 0, head .. record)
  call("HINCRBY", COUNTS, "6:" .. queue, 1)
  call("HINCRBY", HEAD, "dead", 1)
end

return enter_front, enter_later, enter_ended, enter_dead
