-- What get and list say of jobs beside their values, by index into `ids`: "since engine" of those that run, and their progress.
local holds, notes = {}, {}
local function view(ids)
  local said = {}
  for from = 1, #ids, 4000 do
    local to = math.min(from + 3999, #ids)
    for k, fence in ipairs(call("HMGET", HELD, unpack(ids, from, to))) do
      if fence and said[fence] == nil then said[fence] = call("HGET", FENCES, fence) end
      holds[from + k - 1] = fence and said[fence]
    end
    for k, note in ipairs(call("HMGET", NOTES, unpack(ids, from, to))) do notes[from + k - 1] = note end
  end
end
