-- A job that can't be run moves to the dead jobs, of a queue that the caller names.  It leaves no other structure: it was taken out before.
local function bury(id, value, queue)
  local head, record = body_in(value, queue)
  local seq = call("HINCRBY", HEAD, "seq", 1)
  call("HSET", JOBS, id, "x" .. u64(0) .. u64(seq) .. head .. record)
  call("ZADD", KEYS[10], seq, id)
  call("HINCRBY", COUNTS, "6:" .. queue, 1)
  call("HINCRBY", HEAD, "dead", 1)
end
