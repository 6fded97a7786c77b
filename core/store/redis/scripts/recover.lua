-- recover: what an engine holds is READY again, at the places it had.  Atomic, so it is safe to crash in and to run from several
-- engines.  All queues are named, else the reply asks for them (lib/unknown.lua).
-- ARGV   how:  "gone"    each engine given whose lease is over, or that still says of itself what is given, is given up; their
--                        jobs' records count it;     then pairs: engine, "" or what it said of itself
--              "leave"   the asking engine is leaving
--              "orphans" what the asking engine holds under fences greater than one: fetches whose answer never came;  then the fence,
--                        and a new session: a fetch of an older one that Redis comes to only later takes nothing;  and what the
--                        engine says of itself
-- Reply  { jobs handed back }
-- include frame
-- include queues
-- include value
-- include unknown
-- include record
-- include uses
-- include held
local how = ARGV[argi + 1]
local engines, any, least = {}, false, 0
if how == "gone" then
  for k = argi + 2, #ARGV, 2 do
    local engine, said = ARGV[k], ARGV[k + 1]
    local ends = call("ZSCORE", LEASES, engine)
    local dead = said ~= "" and call("HGET", ENGINES, engine) == said
    if engine ~= ARGV[4] and (dead or (ends and tonumber(ends) <= mono)) then
      engines[engine] = true
      any = true
    end
  end
else
  engines[ARGV[4]] = true
  any = true
  if how == "orphans" then least = tonumber(ARGV[argi + 2]) end
end
if not any then return { 0 } end

local held = {}
each_held(function(fence, engine) return engines[engine] and fence > least end, function(fence, ids)
  for k, value in ipairs(call("HMGET", JOBS, unpack(ids))) do held[#held + 1] = { id = ids[k], fence = fence, value = value } end
end)
for _, h in ipairs(held) do
  if h.value and not index_of[queue_in(h.value)] then return unknown_queue() end
end

call("ZREM", LEASES, "") -- lib/full.lua, but only now
local function one_more(_, old) return old + 1 end
local given = 0
for _, h in ipairs(held) do
  if h.value then
    local body, place = body_of(h.value), place_taken(h.value, h.fence, h.id)
    if how == "gone" then
      local _, task_end = body_ends(body)
      body = body:sub(1, task_end) .. record_edit(body:sub(task_end + 1), { RECOVERIES }, one_more)
    end
    local queue = queue_of(body)
    call("HSET", JOBS, h.id, "f" .. place .. body)
    call("ZADD", KEYS[base_of(index_of[queue]) + 2], 0, body:sub(1, 1) .. place .. h.id)
    call("HINCRBY", COUNTS, "2:" .. queue, 1)
    call("HINCRBY", COUNTS, "3:" .. queue, -1)
    given = given + 1
  end
  call("HDEL", HELD, h.id)
  if has_notes then call("HDEL", LOGS, h.id) end
  left_held(h.fence, 1)
end
leave_fences()
if how == "orphans" then
  call("HSET", ENGINES, ARGV[4], ARGV[argi + 3])
else
  for engine in pairs(engines) do
    call("ZREM", LEASES, engine)
    call("HDEL", ENGINES, engine)
  end
end
if given > 0 then
  if how == "gone" then call("HINCRBY", HEAD, "recovered", given) end
  redis.pcall("PUBLISH", ARGV[3], ARGV[2])
end
return { given }
