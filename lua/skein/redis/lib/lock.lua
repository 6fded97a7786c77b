-- Locks (core/store/store.h).  In `locks`:
--   "=" key    "until mode holder": until in ms, 0: as long as its job; mode: throttle, or any other; holder: an id
--   "@" id     the key of the lock that the job holds
-- A lock whose time is over stays until its job ends or another takes it; a throttle outlives its job, and `expires` ends it.

-- Who holds a lock, if it is held; whether it is a throttle; whether the holder is gone, or has lost it and come back.
local function holder_of(key)
  local said = has_locks and call("HGET", LOCKS, "=" .. key)
  if not said then return nil end
  local till, mode, holder = said:match("^(%d+) (%a+) (.*)$")
  till = tonumber(till)
  if till > 0 and till <= now then return nil end
  return holder, mode == "throttle", call("HGET", LOCKS, "@" .. holder) ~= key
end

local function unlock(ids)
  local fields = {}
  for k, id in ipairs(ids) do fields[k] = "@" .. id end
  for k, key in ipairs(call("HMGET", LOCKS, unpack(fields))) do
    if key then
      call("HDEL", LOCKS, fields[k])
      local said = call("HGET", LOCKS, "=" .. key)
      local mode, holder = (said or ""):match("^%d+ (%a+) (.*)$")
      if holder == ids[k] and mode ~= "throttle" then call("HDEL", LOCKS, "=" .. key) end
    end
  end
end

-- lock: { mode, ttl, key }.  From whoever has it.
local function lock_take(lock, id)
  local said = call("HGET", LOCKS, "=" .. lock.key)
  if said then
    local holder = said:match("^%d+ %a+ (.*)$")
    if call("HGET", LOCKS, "@" .. holder) == lock.key then call("HDEL", LOCKS, "@" .. holder) end
    call("ZREM", EXPIRES, "k" .. lock.key)
  end
  local till = lock.ttl > 0 and now + lock.ttl or 0
  call("HSET", LOCKS, "=" .. lock.key, ("%.0f %s %s"):format(till, lock.mode, id), "@" .. id, lock.key)
  if lock.mode == "throttle" then call("ZADD", EXPIRES, till, "k" .. lock.key) end
  has_locks = true
end
