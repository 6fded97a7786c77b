-- Adding jobs: id, where, body.  where is the number of a list, (queue index - 1) * 5 + rank + 1; with a delay "list+ms", with a
-- due time "list@ms", both from 1 on.
local hset, lists, list_order, registered = {}, {}, {}, {}
local function register(i)
  if registered[i] then return end
  registered[i] = true
  if call("HSETNX", QUEUES, names[i], "0") == 1 then call("HINCRBY", QUEUES, "", 1) end
end

-- A job to be added; it must be new.  What goes into lists is written by flush_added.
local function add(id, where, body)
  local list = tonumber(where)
  if list then
    hset[#hset + 1] = id
    hset[#hset + 1] = "r" .. body
    local ids = lists[list]
    if not ids then
      ids = {}
      lists[list] = ids
      list_order[#list_order + 1] = list
    end
    ids[#ids + 1] = id
    return true
  end
  local list_text, kind, ms = where:match("^(%d+)([+@])(%d+)$")
  list = tonumber(list_text)
  local due = kind == "+" and now + ms or tonumber(ms)
  if due <= now then return add(id, list_text, body) end
  local i = math.floor((list - 1) / 5) + 1
  local seq = u64(call("HINCRBY", HEAD, "seq", 1))
  call("HSET", JOBS, id, "s" .. u64(due) .. seq .. body)
  call("ZADD", KEYS[base_of(i) + 1], due, seq .. "s" .. id)
  call("HINCRBY", COUNTS, "1:" .. names[i], 1)
  register(i)
  return true
end

local function flush_added()
  if #hset == 0 then return end
  for from = 1, #hset, 4000 do call("HSET", JOBS, unpack(hset, from, math.min(from + 3999, #hset))) end
  for _, list in ipairs(list_order) do
    local ids = lists[list]
    local i = math.floor((list - 1) / 5) + 1
    for from = 1, #ids, 4000 do call("RPUSH", KEYS[base_of(i) + 4 + (list - 1) % 5], unpack(ids, from, math.min(from + 3999, #ids))) end
    call("HINCRBY", COUNTS, "2:" .. names[i], #ids)
    register(i)
  end
  hset, lists, list_order = {}, {}, {}
end
