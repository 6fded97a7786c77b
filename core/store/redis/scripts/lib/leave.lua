-- Takes a job that does not run out of the structure that its code stands for.  A job that is not at the end of its
-- list leaves a tombstone: `tombstones` counts the places in the list that are to be skipped.
local call, HEAD, JOBS, COUNTS, ENDED, KEPT, names, index_of, later_key, front_key, tombstones_key, list_key = ...
local body_of, queue_of = ...
local later_member, standing_in, popped_field, popped, fifo_place, list_place, membership, leave_line, count_state = ...

local STATE = { r = 2, f = 2, g = 2, s = 1, t = 4, d = 5, x = 6, c = 7 }
local has_tombstones = {}
local function leave(id, value)
  local code, body = value:sub(1, 1), body_of(value)
  local queue, rank = queue_of(body), body:sub(1, 1)
  if not index_of[queue] then -- in no queue that there is: only what has no queue can be left
    for state = 5, 7 do call("ZREM", ENDED[state], id) end
    call("ZREM", KEPT, id)
    return
  end
  local i = index_of[queue]
  if code == "r" then
    call("HINCRBY", tombstones_key(i), rank .. id, 1)
    has_tombstones[queue] = true
  elseif code == "f" then
    call("ZREM", front_key(i), rank .. value:sub(2, 17) .. id)
  elseif code == "g" then
    leave_line(id, membership(id), queue, rank, value:sub(2, 17))
  elseif code == "s" or code == "t" then
    call("ZREM", later_key(i), later_member(code, value, id))
  else
    call("ZREM", ENDED[STATE[code]], id)
    if code ~= "x" then call("ZREM", KEPT, id) end
  end
  count_state(STATE[code], queue, -1)
end

-- The number of tombstones that each id has in that list; and their fields in `tombstones`.
local function tombstones_of(ids, rank, tombstones)
  local fields = {}
  for k, id in ipairs(ids) do fields[k] = rank .. id end
  return call("HMGET", tombstones, unpack(fields)), fields
end

-- Jobs from the head of a list stand in front of the queue from now on, where they would return to if they were taken
-- and handed back.
local function move_to_front(ids, i, rank, before, taken_before)
  local values, hset, zadd = call("HMGET", JOBS, unpack(ids)), {}, {}
  local fence = not before and struct.pack(">I6", call("HINCRBY", HEAD, "fence", 1))
  for k, value in ipairs(values) do
    if value then
      local place
      if before then
        place = list_place(before + taken_before[k])
      else
        local popped_n = tonumber(call("HGET", COUNTS, popped_field(names[i], rank)) or 0)
        place = fifo_place(popped_n, 1, fence .. struct.pack(">I2", k))
      end
      hset[#hset + 1], hset[#hset + 2] = ids[k], "f" .. place .. value:sub(2)
      zadd[#zadd + 1], zadd[#zadd + 2] = 0, rank .. place .. ids[k]
    end
  end
  if #hset == 0 then return end
  call("HSET", JOBS, unpack(hset))
  call("ZADD", front_key(i), unpack(zadd))
end

-- Takes tombstones out of the head of a list, a bounded number in all lists of a call.  While tombstones outnumber
-- jobs, the jobs between them go to the front.
local looks_left = 2000
local function tidy(queue, rank, i, list, jobs)
  local tombstones = tombstones_key(i)
  while looks_left > 0 do
    local ids = call("LRANGE", list, 0, 24)
    if #ids == 0 then return end
    local many = call("LLEN", list) > jobs * 2 + 64
    local counts, fields = tombstones_of(ids, rank, tombstones)
    local left, gone, stay, taken_before, n = {}, {}, {}, {}, 0
    for k, id in ipairs(ids) do
      local tombstone = left[id] or tonumber(counts[k] or 0)
      if tombstone == 0 and not many then break end
      n = k
      if tombstone > 0 then
        left[id] = tombstone - 1
        gone[id] = fields[k]
      else
        left[id] = 0
        stay[#stay + 1] = id
        taken_before[#stay] = k - 1
      end
    end
    if n == 0 then return end
    call("LTRIM", list, n, -1)
    local before = popped(queue, rank, n)
    local hdel = {}
    for id, field in pairs(gone) do
      if left[id] == 0 then hdel[#hdel + 1] = field else call("HSET", tombstones, field, left[id]) end
    end
    if #hdel > 0 then call("HDEL", tombstones, unpack(hdel)) end
    if #stay > 0 then move_to_front(stay, i, rank, before, taken_before) end
    if n < #ids then return end
    looks_left = looks_left - n
  end
end

-- To be called before the script ends, when the counts are written.  It keeps tombstones fewer than jobs, and drops
-- them where no job is left.
local function sweep()
  for queue in pairs(has_tombstones) do
    local i = index_of[queue]
    local jobs = (call("HGET", COUNTS, "2:" .. queue) or 0) - standing_in(queue)
    for rank = 0, 4 do
      local list = list_key(i, rank)
      local length = call("LLEN", list)
      if jobs <= 0 and length > 0 then
        call("UNLINK", list)
        popped(queue, rank, length)
      elseif length > 0 then
        tidy(queue, rank, i, list, jobs)
      end
    end
    if jobs <= 0 then call("UNLINK", tombstones_key(i)) end
  end
end

return STATE, leave, sweep
