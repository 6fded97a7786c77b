-- recover: what an engine holds is READY again, at the places it had; a bounded number of jobs in one call, so that it
-- is called again with the cursor of the last reply until that is "".  Each call is atomic: safe to crash in and to run
-- from several engines.  The queues of the jobs are named, else the reply says which they are.
-- ARGV   how:  "gone"    each engine given that has not beaten since is given up; their jobs' records count it
--              "leave"   the asking engine is leaving, or begins anew: all that it is or was, its name and those that
--                        begin with it and "~"
--              "orphans" what the asking engine holds under fences greater than one: fetches whose answer never came.
--                        Its mark keeps a fetch that Redis comes to only later from taking anything
--        a cursor, "" at first;  then for "gone" pairs: engine, the mark of its last beat;  for "orphans" the fence
-- Reply  { jobs handed back, the next cursor }, or { -1, queues }
local call, argi, queues_n, HEAD, JOBS, HELD, LEASES, ENGINES, COUNTS, FENCES, LOGS = ...
local names, index_of, body_of, body_ends = ...
local queue_of, queue_in, is_value, TAG, record_edit, NAME_BYTES_MAX, enter_front, enter_dead, register, wake = ...
local tell, uses = ...
local left_held, leave_fences, place_taken = ...
local JOBS_MAX, BYTES_MAX = 200, 2 ^ 20
local how, cursor = unpack(ARGV, argi + 1, argi + 2)
local FIRST_OF_HOW = argi + 3 -- the arguments that "gone" and "orphans" have of their own
local engines, any, least = {}, false, 0
local base -- of the names of an engine that leaves
local function is_wanted(engine)
  if not base then return engines[engine] end
  return engine == base or engine:sub(1, #base + 1) == base .. "~" or nil
end
local leave_mark -- of an engine that stays what it is
if how == "orphans" then
  local mark_left, engine_error = ...
  if engine_error then return engine_error end
  leave_mark = mark_left
end
if how == "gone" then
  for k = FIRST_OF_HOW, #ARGV, 2 do
    local engine, beaten = ARGV[k], ARGV[k + 1]
    local entry = call("HGET", ENGINES, engine)
    if engine ~= ARGV[4] and entry and (entry:match("^(%d+) %d+ ") or "0") == beaten then
      engines[engine] = true
      any = true
    end
  end
elseif how == "orphans" then
  engines[ARGV[4]] = true
  any, least = true, tonumber(ARGV[FIRST_OF_HOW])
else
  base, any = ARGV[4]:match("^[^~]*"), true
  for _, engine in ipairs(call("ZRANGE", LEASES, 0, -1)) do engines[engine] = is_wanted(engine) end
  for _, engine in ipairs(call("HKEYS", ENGINES)) do engines[engine] = is_wanted(engine) end
end
if not any then return { 0, "" } end

-- Some of the jobs of those engines: ids with their fence; whether all of this part of `fences` are among them.
local scanned = call("HSCAN", FENCES, cursor == "" and "0" or cursor, "COUNT", 40)
local held, unnamed, unnamed_seen, bytes, all = {}, {}, {}, 0, true
local function collect(fence, ids)
  for from = 1, #ids, 25 do
    local to = math.min(#ids, from + 24)
    local fences, values = call("HMGET", HELD, unpack(ids, from, to)), call("HMGET", JOBS, unpack(ids, from, to))
    for k, holder in ipairs(fences) do
      local value = values[k]
      if holder == fence then
        -- What is no job of any queue is dead, in the queue "default".
        local bad = value and not (is_value(value) and #queue_in(value) <= NAME_BYTES_MAX)
        local queue = value and (bad and "default" or queue_in(value))
        held[#held + 1] = { id = ids[from + k - 1], fence = fence, value = value, bad = bad }
        bytes = bytes + #(value or "")
        if queue and not index_of[queue] and not unnamed_seen[queue] then
          unnamed_seen[queue] = true
          unnamed[#unnamed + 1] = queue
        end
      end
    end
    if #held >= JOBS_MAX or bytes >= BYTES_MAX then return false end
  end
  return true
end
for k = 1, #scanned[2], 2 do
  local fence = scanned[2][k]
  if all and fence:find("^%d+$") and tonumber(fence) > least and is_wanted(scanned[2][k + 1]:match(" (.*)$")) then
    local ids = {}
    for id in (call("HGET", FENCES, fence .. ":ids") or ""):gmatch("[^ ]+") do ids[#ids + 1] = id end
    all = collect(fence, ids)
  end
end
if #unnamed > 0 then
  for i = 1, queues_n do unnamed[#unnamed + 1] = names[i] end
  return { -1, unnamed }
end

call("ZREM", LEASES, "") -- lib/full.lua, but only now
local function one_more(_, old) return old + 1 end
local given = 0
for _, h in ipairs(held) do
  if h.bad then
    enter_dead(h.id, h.value, "default")
    call("HINCRBY", COUNTS, "3:default", -1)
    register(index_of["default"])
  elseif h.value then
    local body, place = body_of(h.value), place_taken(h.value, h.fence, h.id)
    if how == "gone" then
      local _, task_end = body_ends(body)
      body = body:sub(1, task_end) .. record_edit(body:sub(task_end + 1), { TAG.RECOVERIES }, one_more)
    end
    local queue = queue_of(body)
    enter_front(h.id, index_of[queue], place, body)
    call("HINCRBY", COUNTS, "2:" .. queue, 1)
    call("HINCRBY", COUNTS, "3:" .. queue, -1)
    register(index_of[queue])
    given = given + 1
  end
  call("HDEL", HELD, h.id)
  if uses.notes then call("HDEL", LOGS, h.id) end
  left_held(h.fence, 1)
end
leave_fences()
if given > 0 then
  if how == "gone" then call("HINCRBY", HEAD, "recovered", given) end
  for i = 1, queues_n do wake(names[i]) end
  tell()
end
if leave_mark then leave_mark(true) end
if not all then return { given, cursor == "" and "0" or cursor } end
if scanned[1] ~= "0" then return { given, scanned[1] } end
if how ~= "orphans" then
  for engine in pairs(engines) do
    call("ZREM", LEASES, engine)
    call("HDEL", ENGINES, engine)
    if how == "gone" then call("HINCRBY", HEAD, "given", 1) end
  end
end
return { given, "" }
