-- Taking a job that does not run out of the structure that its code stands for.  A job in the midst of a list leaves a ghost there.
local STATE = { r = 2, f = 2, g = 2, s = 1, t = 4, d = 5, x = 6, c = 7 }
local ghosted = {}
local function leave(id, value)
  local code, body = value:sub(1, 1), body_of(value)
  local queue, rank = queue_of(body), body:sub(1, 1)
  local base = base_of(index_of[queue])
  if code == "r" then
    call("HINCRBY", KEYS[base + 3], rank .. id, 1)
    ghosted[queue] = true
  elseif code == "f" then
    call("ZREM", KEYS[base + 2], rank .. value:sub(2, 17) .. id)
  elseif code == "g" then
    leave_line(id, membership(id), queue, rank, value:sub(2, 17))
  elseif code == "s" or code == "t" then
    call("ZREM", KEYS[base + 1], later_member(code, value, id))
  else
    call("ZREM", KEYS[STATE[code] + 4], id)
    if code ~= "x" then call("ZREM", KEYS[12], id) end
  end
  count_state(STATE[code], queue, -1)
end

-- A list that has more ghosts than jobs, anew without them.
local function compact(queue, rank, list, ghosts)
  local all, jobs, gone = call("LRANGE", list, 0, -1), {}, {}
  for _, id in ipairs(all) do
    if not gone[id] then gone[id] = tonumber(call("HGET", ghosts, rank .. id) or 0) end
    if gone[id] > 0 then gone[id] = gone[id] - 1 else jobs[#jobs + 1] = id end
  end
  for id in pairs(gone) do call("HDEL", ghosts, rank .. id) end
  call("DEL", list)
  for from = 1, #jobs, 4000 do call("RPUSH", list, unpack(jobs, from, math.min(from + 3999, #jobs))) end
  popped(queue, rank, #all - #jobs)
end

-- Before the script ends, with the counts as they are then: no more ghosts than jobs, and none where there is no job.
local function sweep()
  for queue in pairs(ghosted) do
    local base = base_of(index_of[queue])
    local jobs = (call("HGET", COUNTS, "2:" .. queue) or 0) - standing_in(queue)
    for rank = 0, 4 do
      local list = KEYS[base + 4 + rank]
      local length = call("LLEN", list)
      if jobs <= 0 and length > 0 then
        call("DEL", list)
        popped(queue, rank, length)
      elseif length > jobs * 2 + 64 then
        compact(queue, rank, list, KEYS[base + 3])
      end
    end
    if jobs <= 0 then call("DEL", KEYS[base + 3]) end
  end
end
