-- Jobs with a lock or a limit, and those of bounded queues: whether they may come in, and whom they displace.
local call, now, HEAD, JOBS, HELD, QUEUES, COUNTS, NOTES, LOGS, LOCKS, PLACES, names, index_of, front_key = ...
local tombstones_key, list_key = ...
local queue_in, before, register, add, uses, bound_of, jobs_in, waiting_in, holder_said, holder_of, lock_take = ...
local untie, named, enter_line = ...
local popped, list_place, popped_of, last_place, group_join, STATE, leave, limit_now, count_state = ...

-- What stands before the key of a lock: { mode, till: when it is over if it is taken now, 0: never, said: of it in
-- `locks` before who has it }.
local heads = {}
local function head_of(text)
  if heads[text] ~= nil then return heads[text] end
  local mode, ttl = text:match("^(%a+);(%d+)$")
  ttl = tonumber(ttl)
  local till = ttl and ttl > 0 and now + ttl or 0
  heads[text] = (mode == "reject" or mode == "replace" or mode == "throttle") and
                { mode = mode, till = till, said = ("%.0f %s "):format(till, mode) }
  return heads[text]
end

-- A lock of a job, as its record has it (core/logic/lock.h), as { head, key, field: "=" key }; nil: none; false: not
-- one.
local function lock_of(text)
  if text == "" then return nil end
  local head_end = text:find(";=", 1, true)
  local head = head_end and #text > head_end + 1 and head_of(text:sub(1, head_end - 1))
  return head and { head = head, key = text:sub(head_end + 2), field = text:sub(head_end + 1) } or false
end

-- A limit (core/logic/limit.h): its numbers, its group; many jobs have the same.
local limits = {}
local function limit_of(text)
  if text == "" then return nil end
  local limit = limits[text]
  if limit == nil then
    local numbers, order, group = text:match("^(%d+;%d+;%d+;%d+;)(%a+);=(.+)$")
    limit = group and (order == "any" or order == "strict") and { limit_now(group, numbers .. order), group } or false
    limits[text] = limit
  end
  if not limit then return false end
  return limit[1], limit[2]
end

-- The number of the queue of a `where`.
local function queue_index(where) return math.floor((where:match("^%d+") - 1) / 5) + 1 end

-- Is a job that would be replaced, by locks of these keys, in a queue whose keys were not given?
local function reaches_unknown(keys)
  if not uses.locks then return false end
  for from = 1, #keys, 200 do
    local fields, holders = {}, {}
    for k = from, math.min(from + 199, #keys) do fields[k - from + 1] = "=" .. keys[k] end
    for _, said in ipairs(call("HMGET", LOCKS, unpack(fields))) do
      if said then holders[#holders + 1] = holder_said(said) end
    end
    for _, value in ipairs(#holders > 0 and call("HMGET", JOBS, unpack(holders)) or {}) do
      if value and not index_of[queue_in(value)] and call("HEXISTS", QUEUES, queue_in(value)) == 1 then return true end
    end
  end
  return false
end

local function discard(id)
  call("HDEL", JOBS, id)
  if uses.notes then
    call("HDEL", NOTES, id)
    call("HDEL", LOGS, id)
  end
  untie({ id })
  call("HINCRBY", HEAD, "discarded", 1)
end

-- The head of a list, past its tombstones; nil, false: so many stand there that it is not found in this call.
local function list_head(i, rank)
  local list, tombstones = list_key(i, rank), tombstones_key(i)
  for _ = 1, 2000 do
    local id = call("LINDEX", list, 0)
    local tombstone = id and call("HGET", tombstones, rank .. id)
    if not tombstone then return id end
    call("LPOP", list)
    if tombstone == "1" then call("HDEL", tombstones, rank .. id) else call("HINCRBY", tombstones, rank .. id, -1) end
    popped(names[i], rank, 1)
  end
  return nil, false
end

-- The READY job that is the oldest of the lowest priority goes; there is one.  False: it was not found.
local function drop_oldest(i)
  local q = named(names[i])
  for rank = 4, 0, -1 do
    local list = list_key(i, rank)
    local front = call("ZRANGEBYLEX", front_key(i), "[" .. rank, "(" .. (rank + 1), "LIMIT", 0, 1)[1]
    local in_rank = q .. rank
    local line = uses.groups and call("ZRANGEBYLEX", PLACES, "[" .. in_rank, "(" .. in_rank .. "\128", "LIMIT", 0, 1)[1]
    local head, found = list_head(i, rank)
    if found == false then return false end
    local oldest, key = head, head and list_place(popped_of(names[i], rank))
    if line and (not key or before(line:sub(#q + 2, #q + 17), key)) then
      oldest, key = line:sub(#q + 18), line:sub(#q + 2, #q + 17)
    end
    if front and (not key or before(front:sub(2, 17), key)) then oldest = front:sub(18) end
    if oldest and oldest == head then
      call("LPOP", list)
      popped(names[i], rank, 1)
      count_state(2, names[i], -1)
    elseif oldest then
      leave(oldest, call("HGET", JOBS, oldest))
    end
    if oldest then
      discard(oldest)
      return true
    end
  end
  return false
end

-- "0" when the job may come in; else "1": the id is there, "2": by its lock, and the holder; "3": its queue is full.
-- ending: the job whose follow-up it is, which needs no room, and may have its lock.
local function admit(id, i, lock, ending)
  if call("HEXISTS", JOBS, id) == 1 then return "1" end
  local replaced, value
  if lock then
    local holder, throttle, lost = holder_of(lock.key)
    if holder and holder == ending and not throttle then holder = nil end
    if holder and lock.head.mode ~= "replace" then return "2", holder end
    if holder and holder ~= ending and not lost and call("HEXISTS", HELD, holder) == 0 then
      replaced, value = holder, call("HGET", JOBS, holder)
    end
  end
  local b, full = not ending and bound_of(names[i]), false
  if b and b.max_len > 0 then
    local here = replaced and queue_in(value) == names[i]
    full = waiting_in(names[i]) - (here and 1 or 0) >= b.max_len
    local own_n = here and STATE[value:sub(1, 1)] == 2 and 1 or 0
    if full and (b.overflow ~= "drop_oldest" or jobs_in(2, names[i]) - own_n <= 0) then return "3" end
  end
  if replaced then
    leave(replaced, value)
    discard(replaced)
  end
  if full and not drop_oldest(i) then return "3" end
  return "0"
end

-- A job that was admitted.
local function add_tied(id, where, value, lock, limit, group)
  local g = group and group_join(id, group, limit)
  local kind, ms = where:match("^%d+(.?)(%d*)$")
  if not g or (kind == "+" and tonumber(ms) > 0) or (kind == "@" and tonumber(ms) > now) then
    add(id, where, value)
  else
    local i, rank = queue_index(where), value:sub(2, 2)
    local place = last_place(names[i], rank, list_key(i, rank))
    register(i)
    call("HSET", JOBS, id, "g" .. place .. value:sub(2))
    enter_line(id, g, names[i], rank, place)
    call("HINCRBY", COUNTS, "2:" .. names[i], 1)
  end
  if lock then lock_take(lock, id) end
end

-- Adds a job if it may come in: "0", or why not.  lock_text, limit_text: as in its record.
local function admit_text(id, where, value, lock_text, limit_text, ending)
  local lock, limit, group = lock_of(lock_text), limit_of(limit_text)
  local status, holder = admit(id, queue_index(where), lock, ending)
  if status == "0" then add_tied(id, where, value, lock, limit, group) end
  return status, holder
end

return lock_of, limit_of, queue_index, reaches_unknown, discard, admit, admit_text
