-- The parts of a view beside the job's value, by index into `ids`: "since engine" of running jobs, their progress and
-- log, and 1 for jobs that are to stop.  A list is empty when no job of the store has such a thing.
local call, HELD, NOTES, FENCES, STOPS, LOGS, uses = ...

local holds, notes, logs, stops = {}, {}, {}, {}
local function view(ids)
  local said = {}
  for from = 1, #ids, 4000 do
    local to = math.min(from + 3999, #ids)
    for k, fence in ipairs(call("HMGET", HELD, unpack(ids, from, to))) do
      if fence and said[fence] == nil then said[fence] = call("HGET", FENCES, fence) end
      holds[from + k - 1] = fence and said[fence]
    end
    for k, note in ipairs(call("HMGET", NOTES, unpack(ids, from, to))) do notes[from + k - 1] = note end
    if uses.notes then
      for k, log in ipairs(call("HMGET", LOGS, unpack(ids, from, to))) do logs[from + k - 1] = log end
    end
    if uses.stops then
      for k, stop in ipairs(call("SMISMEMBER", STOPS, unpack(ids, from, to))) do stops[from + k - 1] = stop end
    end
  end
end

return holds, notes, logs, stops, view
