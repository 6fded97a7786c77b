-- progress: what running jobs say of themselves; one that this engine does not hold under that fence is passed over.
-- ARGV   for each job: id, fence, percent, note, log
-- Reply  { 0 }
local call, argi, HELD, NOTES, LOGS, mark_left, engine_of, engine_error = ...
if engine_error then return engine_error end
for k = argi + 1, #ARGV, 5 do
  local fence = call("HGET", HELD, ARGV[k])
  if fence == ARGV[k + 1] and engine_of(fence) == ARGV[4] then
    call("HSET", NOTES, ARGV[k], ARGV[k + 2] .. ":" .. ARGV[k + 3])
    if ARGV[k + 4] ~= "" then call("HSET", LOGS, ARGV[k], ARGV[k + 4]) else call("HDEL", LOGS, ARGV[k]) end
  end
end
mark_left(false)
return { 0 }
