-- progress: what running jobs say of themselves; one that this engine does not hold under that fence is passed over.
-- ARGV   for each job: id, fence, percent, note
-- Reply  { lost }
-- include frame
-- include engine
for k = argi + 1, #ARGV, 4 do
  local hold = call("HGET", HELD, ARGV[k])
  local prefix = ARGV[k + 1] .. ":" .. ARGV[4] .. ":"
  if hold and hold:sub(1, #prefix) == prefix then call("HSET", NOTES, ARGV[k], ARGV[k + 2] .. ":" .. ARGV[k + 3]) end
end
return { lost }
