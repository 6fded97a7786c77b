-- Locks (core/store/store.h).  In `locks`:
--   "=" key    "until mode holder": until in ms, 0: as long as its job; mode: throttle, or any other; holder: an id
--   "@" id     the key of the lock that the job holds
-- A lock whose time is over stays until its job ends or another takes it; a throttle outlives its job, and `expires`
-- ends it.
local call, now, LOCKS, EXPIRES, uses = ...

-- The holder of a lock by its entry in `locks`, nil when the lock is over; and whether it is a throttle.
local function holder_said(said)
  local till, mode, holder = said:match("^(%d+) (%a+) (.*)$")
  till = tonumber(till)
  if till > 0 and till <= now then return nil end
  return holder, mode == "throttle"
end

-- Returns the holder of a lock, nil when nobody holds it; whether the lock is a throttle; and whether the holder is
-- gone, or has lost the lock and come back.
local function holder_of(key)
  local said = uses.locks and call("HGET", LOCKS, "=" .. key)
  if not said then return nil end
  local holder, throttle = holder_said(said)
  if not holder then return nil end
  return holder, throttle, call("HGET", LOCKS, "@" .. holder) ~= key
end

-- True when an entry of `locks` names that job as the holder and is no throttle.  Many entries have the same text
-- before the id.
local said_heads = {}
local function is_said_of(said, id)
  local head = said:sub(1, -#id - 1)
  if said_heads[head] == nil then
    local mode = head:match("^%d+ (%a+) $")
    said_heads[head] = mode ~= nil and mode ~= "throttle"
  end
  return said_heads[head] and said:sub(#head + 1) == id
end

local function unlock(ids)
  local fields, held_ids, keys, gone = {}, {}, {}, {}
  for k, id in ipairs(ids) do fields[k] = "@" .. id end
  for k, key in ipairs(call("HMGET", LOCKS, unpack(fields))) do
    if key then
      held_ids[#held_ids + 1] = ids[k]
      keys[#keys + 1] = "=" .. key
      gone[#gone + 1] = fields[k]
    end
  end
  if #keys == 0 then return end
  for k, said in ipairs(call("HMGET", LOCKS, unpack(keys))) do
    if said and is_said_of(said, held_ids[k]) then gone[#gone + 1] = keys[k] end
  end
  call("HDEL", LOCKS, unpack(gone))
end

-- lock: as lock_of (lib/admit.lua) gives it.  From whoever has it.
local function lock_take(lock, id)
  local said = call("HGET", LOCKS, "=" .. lock.key)
  if said then
    local holder = said:match("^%d+ %a+ (.*)$")
    if call("HGET", LOCKS, "@" .. holder) == lock.key then call("HDEL", LOCKS, "@" .. holder) end
    call("ZREM", EXPIRES, "k" .. lock.key)
  end
  call("HSET", LOCKS, "=" .. lock.key, lock.head.said .. id, "@" .. id, lock.key)
  if lock.head.mode == "throttle" then call("ZADD", EXPIRES, lock.head.till, "k" .. lock.key) end
  uses.locks = true
end

return holder_said, holder_of, unlock, lock_take
