-- list: jobs in the order of their states, and within a state in its own (store.h).  All queues are named, else the reply asks for
-- them (lib/unknown.lua).
-- ARGV   state (0: any), queue, task ("": any), offset, limit
-- Reply  { ids, values, then what lib/views.lua says of them }
-- include frame
-- include queues
-- include value
-- include unknown
-- include uses
-- include held
-- include bucket
-- include group
-- include belong
-- include walk
-- include views
if not knows_all_queues() then return unknown_queue() end
local state, skip, limit = tonumber(ARGV[argi + 1]), tonumber(ARGV[argi + 4]), tonumber(ARGV[argi + 5])
filter_queue, filter_task = ARGV[argi + 2], ARGV[argi + 3]
local ids, values = {}, {}
local function note(id, value)
  if skip > 0 then
    skip = skip - 1
  elseif #ids < limit then
    ids[#ids + 1] = id
    values[#values + 1] = value
  end
  return #ids < limit
end

-- How many jobs a state has, when the filter does not ask for a task.
local function count_of(s)
  local sum = 0
  for i = 1, queues_n do
    if filter_queue == "" or filter_queue == names[i] then sum = sum + (call("HGET", COUNTS, s .. ":" .. names[i]) or 0) end
  end
  return sum
end

for s = 1, 7 do
  if (state == 0 or state == s) and #ids < limit then
    local jobs = filter_task == "" and skip > 0 and count_of(s)
    if jobs and jobs <= skip then skip = skip - jobs else walk(s, note) end
  end
end
view(ids)
return { ids, values, holds, notes, logs, stops }
