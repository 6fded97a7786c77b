-- The part of settle for jobs whose record stays: as lib/move.lua, many at once.
local call, now, HEAD, JOBS, HELD, ENDED, KEPT, STOPS, LOGS, names, body_in, queue_of, u64, uses, engine_of = ...
local left_held = ...
local ties, count, count_state, COUNTER, statuses, results = ...

local STATE_OF, CODE_OF = { d = 5, D = 6, c = 7 }, { d = "d", D = "x", c = "c" }
local STAY_AT_ONCE = 100 -- see fetch.lua

-- As text: of a number Redis would print all the digits that a double can have.
local function digits_of(v) return ("%d"):format(v) end

-- Returns the jobs of `batch` that are held under the fences of their groups and are not refused; the others get their
-- statuses.  seen: {} when the batch may name an id twice.
local function pick_held(batch, holds, seen)
  local taken, k = { ids = {}, records = {}, groups = {} }, 0
  local ids, records, groups = taken.ids, taken.records, taken.groups
  local refusable = uses.stops and batch.kind == "D"
  for i = 1, #batch.ids do
    local id, group = batch.ids[i], batch.groups[i]
    if holds[i] ~= group.fence or not group.ours or (seen and seen[id]) then
      statuses[results.n + i] = "1"
    elseif refusable and call("SISMEMBER", STOPS, id) == 1 then
      statuses[results.n + i] = "2"
    else
      k = k + 1
      ids[k], records[k], groups[k] = id, batch.records[i], group
      if seen then seen[id] = true end
    end
  end
  return taken
end

-- The same; they leave `held`.
local function take_held(batch)
  local holds = call("HMGET", HELD, unpack(batch.ids))
  local taken = pick_held(batch, holds)
  if #taken.ids > 0 and call("HDEL", HELD, unpack(taken.ids)) < #taken.ids then taken = pick_held(batch, holds, {}) end
  for _, group in ipairs(taken.groups) do group.taken = group.taken + 1 end
  results.odd = results.odd + #batch.ids - #taken.ids
  results.n = results.n + #batch.ids
  return taken.ids, taken.records, taken.groups
end

-- How many bytes a value has up to its task, and those bytes from the rank on, as a job of the queue.  Most values
-- begin like the one before.
local last_start, last_head, last_queue
local function head_of(value, queue)
  if not last_start or last_queue ~= queue or value:sub(1, #last_start) ~= last_start then
    local head, record = body_in(value, queue)
    if #record == #value then return 0, head end -- it is no value
    last_head, last_queue = head, queue
    last_start = value:sub(1, #value - #record)
  end
  return #last_start, last_head
end

local function stay(batch)
  local ids, records, groups = take_held(batch) -- first: a delete is never refused when Redis is out of memory
  if #ids == 0 then return end
  count(COUNTER[batch.kind], #ids)
  if uses.notes then call("HDEL", LOGS, unpack(ids)) end
  local values = call("HMGET", JOBS, unpack(ids))
  local seq, state = call("HINCRBY", HEAD, "seq", #ids) - #ids, STATE_OF[batch.kind]
  local jobs, ended, kept, here, heads, k = {}, {}, {}, {}, {}, 0
  for i = 1, #ids do
    local value, id, group = values[i], ids[i], groups[i]
    if value then -- else someone has deleted it
      local head_bytes, head = head_of(value, group.queue)
      local record = records[i] ~= "" and records[i] or value:sub(head_bytes + 1)
      here[#here + 1] = id
      seq = seq + 1
      jobs[k + 1], jobs[k + 2] = id, group.start .. u64(seq) .. head .. record
      ended[k + 1], ended[k + 2] = digits_of(seq), id
      kept[k + 1], kept[k + 2] = group.till, id
      heads[head] = (heads[head] or 0) + 1
      k = k + 2
    end
  end
  if k == 0 then return end
  call("HSET", JOBS, unpack(jobs))
  call("ZADD", ENDED[state], unpack(ended))
  if batch.kind ~= "D" then call("ZADD", KEPT, unpack(kept)) end
  for head, by in pairs(heads) do count_state(state, queue_of(head), by) end
  if ties then ties.untie(here, batch.kind ~= "d") end
end

-- Groups of one kind, from `at` on; where they end.
local function stay_groups(at)
  local kind = ARGV[at + 2]
  local batch, groups, k = { kind = kind, ids = {}, records = {}, groups = {} }, {}, 0
  while ARGV[at] == "+" and ARGV[at + 2] == kind do
    local fence, till = ARGV[at + 1], kind == "D" and 0 or now + ARGV[at + 5]
    local group = { fence = fence, ours = engine_of(fence) == ARGV[4], queue = names[tonumber(ARGV[at + 3])], taken = 0,
                    till = digits_of(till), start = CODE_OF[kind] .. u64(till) }
    groups[#groups + 1] = group
    local last = at + 4 + ARGV[at + 4] * 2
    for job = at + 6, last, 2 do
      k = k + 1
      batch.ids[k], batch.records[k], batch.groups[k] = ARGV[job], ARGV[job + 1], group
      if k == STAY_AT_ONCE then
        stay(batch)
        batch, k = { kind = kind, ids = {}, records = {}, groups = {} }, 0
      end
    end
    at = last + 2
  end
  if k > 0 then stay(batch) end
  for _, group in ipairs(groups) do
    if group.taken > 0 then
      left_held(group.fence, group.taken)
      count_state(3, group.queue, -group.taken)
    end
  end
  return at
end

return stay_groups
