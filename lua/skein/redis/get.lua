-- get: jobs by id, as they are at one moment.
-- ARGV   ids
-- Reply  { ids, values, "since engine" of the RUNNING ones, notes }, nil where there is none
-- include frame
-- include views
local ids, values = {}, {}
for from = argi + 1, #ARGV, 4000 do
  local to = math.min(from + 3999, #ARGV)
  for k = from, to do ids[#ids + 1] = ARGV[k] end
  for _, v in ipairs(call("HMGET", JOBS, unpack(ARGV, from, to))) do values[#values + 1] = v end
end
view(ids)
return { ids, values, holds, notes }
