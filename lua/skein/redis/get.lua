-- get: jobs by id, as they are at one moment.
-- ARGV   ids
-- Reply  { ids, values, holds, notes }, nil where there is none
-- include frame
local ids, values, holds, notes = {}, {}, {}, {}
for from = argi + 1, #ARGV, 4000 do
  local to = math.min(from + 3999, #ARGV)
  for k = from, to do ids[#ids + 1] = ARGV[k] end
  for _, v in ipairs(call("HMGET", JOBS, unpack(ARGV, from, to))) do values[#values + 1] = v end
  for _, v in ipairs(call("HMGET", HELD, unpack(ARGV, from, to))) do holds[#holds + 1] = v end
  for _, v in ipairs(call("HMGET", NOTES, unpack(ARGV, from, to))) do notes[#notes + 1] = v end
end
return { ids, values, holds, notes }
