-- list: jobs in the order of their states, and within a state in its own (store.h), a bounded number in one call:
-- lib/walk.lua.  Of the jobs that wait, those in the queues that are named.
-- ARGV   states (digits; 0: any), queue, task ("": any), offset, limit; then, "" or not there: a cursor from the last
--        reply (its offset and limit are what is left of them); "ids" when only ids are wanted, in any order, or
--        "places" when only ids are wanted, each with its place; a version of `queues` that must be the present one
-- Reply  { ids, values, then what lib/views.lua says of them, {}, the next cursor ("": that were all), what is left of
--        the offset, queues of the jobs when only ids are wanted }; or where the version is another { -1, version }.
--        With "places" values are places: due time and member of `later`, which is also what the cursor has
--        behind its last ";".  With them jobs of several calls can be merged: core/store/redis/merge.c.
local call, argi, queues_n, HELD, QUEUES, COUNTS, ENDED, names, queue_in, holds, notes, logs, stops, view, walk = ...
local store_error = ...
if store_error then return store_error end
local QUEUES_MAX = 256
local states, queue_wanted, task_wanted, skip, limit, cursor, form, version = unpack(ARGV, argi + 1, argi + 8)
skip, limit, cursor, form = tonumber(skip), tonumber(limit), cursor or "", form or ""
if version and version ~= "" then
  local present = call("HGET", QUEUES, "") or "0"
  if present ~= version then return { -1, present } end
end
local filter = { queue = queue_wanted, task = task_wanted, any_order = form == "ids", places_only = form == "places" }
local ids, values, queues, queue_seen = {}, {}, {}, {}
local function note(id, value, place)
  if skip > 0 then
    skip = skip - 1
    return
  end
  ids[#ids + 1] = id
  if form == "ids" then
    local queue = queue_in(value)
    if not queue_seen[queue] then queues[#queues + 1] = queue end
    queue_seen[queue] = true
  else
    values[#values + 1] = place or value
  end
  return #ids < limit
end

-- How many jobs a state has; nil: who knows.
local function count_of(s)
  if filter.task ~= "" or (filter.queue ~= "" and (s == 3 or s > 4)) then return nil end
  if s == 3 then return call("HLEN", HELD) end
  if s > 4 then return call("ZCARD", ENDED[s]) end
  local sum = 0
  for i = 1, queues_n do
    if filter.queue == "" or filter.queue == names[i] then
      sum = sum + (call("HGET", COUNTS, s .. ":" .. names[i]) or 0)
    end
  end
  return sum
end

if queues_n > QUEUES_MAX then return redis.error_reply("ERR list: a call names " .. QUEUES_MAX .. " queues at most") end
local stopped = limit == 0 and "" or walk(filter, cursor, function(s)
  if states ~= "0" and not states:find(s, 1, true) then return false end
  local jobs = skip > 0 and count_of(s)
  if not jobs or jobs > skip then return true end
  skip = skip - jobs
  return false
end, note)
if form == "" then view(ids) end
return { ids, values, holds, notes, logs, stops, {}, stopped, skip, queues }
