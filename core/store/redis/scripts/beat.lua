-- beat: renews this engine's lease and drops kept records, throttles and idle groups whose time is over, a bounded
-- number at a time.
-- ARGV   this engine's lease, which process of which host it is ("machine namespace pid start"), the store's format;
--        then, of an engine that enters, with a name that is not there: the greatest fence it ever had, which store it
--        was on, how many engines had been given up there when it knew last, and a new epoch
-- Reply  { 1 when the store of an engine that enters is not the one it was on, or has gone back in time; 1 when more is
--        to be dropped; how many engines were given up; four for each other engine: it, the mark of its last beat, its
--        lease, and which process it is if that is of the same machine and namespace, else ""; the epoch }
local call, now, argi, HEAD, JOBS, LEASES, ENGINES, QUEUES, COUNTS, NOTES, ENDED, KEPT, LOCKS, EXPIRES, BOUNDS = ...
local GROUPS, TOKENS, queue_in = ...
local uses, group_of, save_groups, group_update, group_forget, leave_groups, write_first = ...
write_first()
local entering, moved = ARGV[argi + 4] ~= nil, 0
local leave_mark
if not entering then
  local mark_left, engine_error = ...
  if engine_error then return engine_error end
  leave_mark = mark_left
else
  local mark = ARGV[5]:match("^%d+")
  leave_mark = function() call("ZADD", LEASES, mark, ARGV[4]) end
  local fence, epoch, given = unpack(call("HMGET", HEAD, "fence", "epoch", "given"))
  local known_fence, known_epoch, known_given = unpack(ARGV, argi + 4, argi + 6)
  local back = tonumber(fence or 0) < tonumber(known_fence)
  if back then call("HSET", HEAD, "fence", known_fence) end -- no number is given twice
  if known_epoch ~= "0" and (back or epoch ~= known_epoch or tonumber(given or 0) <= tonumber(known_given)) then
    moved = 1
    call("HSET", HEAD, "epoch", ARGV[argi + 7])
  end
  call("HSETNX", HEAD, "format", ARGV[argi + 3])
end
call("HSET", ENGINES, ARGV[4], ARGV[5]:match("^%d+") .. " " .. ARGV[argi + 1] .. " " .. ARGV[argi + 2])

-- Drops the records of over[from] to over[to].  Returns how many bytes they had.
local KEPT_MAX, BYTES_MAX, PIECE_MAX = 500, 2 ^ 22, 25
local over, counts = call("ZRANGEBYSCORE", KEPT, "-inf", now, "LIMIT", 0, KEPT_MAX), {}
local function drop(from, to)
  local cancelled, bytes = false, 0
  for _, value in ipairs(call("HMGET", JOBS, unpack(over, from, to))) do
    cancelled = cancelled or not value or value:sub(1, 1) ~= "d"
    if value then
      bytes = bytes + #value
      local field = (value:sub(1, 1) == "d" and "5:" or "7:") .. queue_in(value)
      counts[field] = (counts[field] or 0) + 1
    end
  end
  call("HDEL", JOBS, unpack(over, from, to))
  if uses.notes then call("HDEL", NOTES, unpack(over, from, to)) end
  call("ZREM", ENDED[5], unpack(over, from, to))
  if cancelled then call("ZREM", ENDED[7], unpack(over, from, to)) end
  return bytes
end
-- Drops records until those of this call have BYTES_MAX.  Returns true when more may be left.
local function drop_all()
  local dropped, bytes, piece_n = 0, 0, 4
  while dropped < #over and bytes < BYTES_MAX do
    local to = math.min(#over, dropped + piece_n)
    bytes = bytes + drop(dropped + 1, to)
    dropped, piece_n = to, math.min(PIECE_MAX, piece_n * 2)
  end
  local more = dropped < #over or dropped == KEPT_MAX
  for k = dropped + 1, #over do over[k] = nil end
  if dropped == 0 then return more end
  call("ZREMRANGEBYRANK", KEPT, 0, dropped - 1)
  for field, by in pairs(counts) do call("HINCRBY", COUNTS, field, -by) end
  if uses.groups then leave_groups(over) end
  return more
end
local more_kept = drop_all()

-- The end of a throttle, of a group that is only a bucket.
local function expire(member)
  local name = member:sub(2)
  call("ZREM", EXPIRES, member)
  if member:sub(1, 1) == "g" then
    local g = group_of(name)
    if g and g.jobs == 0 then group_forget(g) end
    return
  end
  local holder = (call("HGET", LOCKS, "=" .. name) or ""):match("^%d+ %a+ (.*)$")
  if holder and call("HGET", LOCKS, "@" .. holder) == name then call("HDEL", LOCKS, "@" .. holder) end
  call("HDEL", LOCKS, "=" .. name)
end
local expired = (uses.locks or uses.groups) and call("ZRANGEBYSCORE", EXPIRES, "-inf", now, "LIMIT", 0, 500) or {}
for _, member in ipairs(expired) do expire(member) end

-- The clock was set back: no line waits for its token for longer than its group's numbers allow.  Some lines a call.
local CLOCK_STEP_MS, LINES_LOOKED = 1000, 200
local clock, more_lines = tonumber(call("HGET", HEAD, "clock") or 0), false
if uses.groups and now < clock - CLOCK_STEP_MS then
  local from = call("HGET", HEAD, "clock:at") or ""
  local members = call("ZRANGEBYLEX", TOKENS, from == "" and "-" or "(" .. from, "+", "LIMIT", 0, LINES_LOOKED)
  for _, member in ipairs(members) do
    local g = group_of(member:sub(member:byte(1) + 11))
    if g then group_update(g) end
  end
  more_lines = #members == LINES_LOOKED
  if more_lines then call("HSET", HEAD, "clock:at", members[#members]) else call("HDEL", HEAD, "clock:at") end
  if #members > 0 then redis.pcall("PUBLISH", ARGV[3], ARGV[2]) end
end
if not more_lines then call("HSET", HEAD, "clock", now) end

save_groups()

-- Queues that have held nothing for a while, and are neither paused nor bound, are forgotten.  In `counts` stand "i:"
-- queue, since when it is known to be empty, and "i", where the next beat goes on looking: cursor, and not before when.
local FORGET_MS, LOOK_EVERY_MS = 600000, 60000
local function empty_queue(name, value)
  local fields = { "i:" .. name }
  for s = 1, 7 do fields[s + 1] = s .. ":" .. name end
  local known, jobs = call("HMGET", COUNTS, unpack(fields)), 0
  for s = 1, 7 do jobs = jobs + tonumber(known[s + 1] or 0) end
  if jobs > 0 or value ~= "0" or call("HEXISTS", BOUNDS, "=" .. name) == 1 then
    if known[1] then call("HDEL", COUNTS, fields[1]) end
  elseif not known[1] then
    call("HSET", COUNTS, fields[1], now)
  elseif now - known[1] >= FORGET_MS then
    for rank = 0, 4 do
      fields[#fields + 1] = "p" .. rank .. ":" .. name
      if uses.groups then
        call("HDEL", GROUPS, "-p" .. rank .. ":" .. name, "!" .. string.char(#name) .. name .. rank)
      end
    end
    call("HDEL", COUNTS, unpack(fields))
    call("HDEL", QUEUES, name)
    call("HINCRBY", QUEUES, "", 1)
  end
end
local cursor, not_before = (call("HGET", COUNTS, "i") or "0 0"):match("^(%d+) (%d+)$")
if now >= tonumber(not_before) then
  local scanned = call("HSCAN", QUEUES, cursor, "COUNT", 50)
  for k = 1, #scanned[2], 2 do
    if scanned[2][k] ~= "" then empty_queue(scanned[2][k], scanned[2][k + 1]) end
  end
  call("HSET", COUNTS, "i", scanned[1] .. " " .. (scanned[1] == "0" and ("%.0f"):format(now + LOOK_EVERY_MS) or "0"))
end

local others, here = {}, ARGV[argi + 2]:match("^%S+ %S+ ")
local engines = call("HGETALL", ENGINES)
for k = 1, #engines, 2 do
  local beaten, lease, process = engines[k + 1]:match("^(%d+) (%d+) (.*)$")
  if not beaten then beaten, lease, process = "0", ARGV[argi + 1], "" end -- not an engine's own writing: it never moves
  if engines[k] ~= ARGV[4] then
    local at = #others
    others[at + 1], others[at + 2], others[at + 3] = engines[k], beaten, lease
    others[at + 4] = process:sub(1, #here) == here and process or ""
  end
end
leave_mark(true)
local more = more_kept or #expired == 500 or more_lines
return { moved, more and 1 or 0, tonumber(call("HGET", HEAD, "given") or 0), others, call("HGET", HEAD, "epoch") or "" }
