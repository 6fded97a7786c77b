-- Adding jobs: id, where, value.  The value is that of a READY job (lib/value.lua).  `where` is the number of a list,
-- which is (queue index - 1) * 5 + rank + 1; with a delay it is "list+ms", with a due time "list@ms".
local call, now, HEAD, JOBS, COUNTS, names, list_key, list_queue, u64, register, wake, enter_later = ...

-- Adds n jobs to the end of a list; `pairs` has their ids and values from `from` on.  One command adds a hundred,
-- because Redis copies the arguments of a command, which is faster while they fit into a processor's cache.
local function add_ready(list, n, ids, pairs, from)
  local i, rank = list_queue(list)
  call("RPUSH", list_key(i, rank), unpack(ids))
  local last = from + n * 2 - 1
  for at = from, last, 200 do call("HSET", JOBS, unpack(pairs, at, math.min(at + 199, last))) end
  if call("HINCRBY", COUNTS, "2:" .. names[i], n) == n then wake(names[i]) end
  register(i)
end

-- One job, which must be new.
local function add(id, where, value)
  local list = tonumber(where)
  if list then return add_ready(list, 1, { id }, { id, value }, 1) end
  local list_text, kind, ms = where:match("^(%d+)([+@])(%d+)$")
  list = tonumber(list_text)
  local due = kind == "+" and now + ms or tonumber(ms)
  if due <= now then return add_ready(list, 1, { id }, { id, value }, 1) end
  local i = list_queue(list)
  local seq = u64(call("HINCRBY", HEAD, "seq", 1))
  if enter_later(id, i, "s", due, seq, value:sub(2)) then wake(names[i]) end
  call("HINCRBY", COUNTS, "1:" .. names[i], 1)
  register(i)
end

return add_ready, add
