-- count: some of the queues, how many jobs each has by state at one moment, and the counters of the store; a bounded
-- number of queues in one call, so that it is called again with the cursor of the last reply until that is "".  A queue
-- may come twice.
-- ARGV   a cursor, "" or not there at first
-- Reply  { queues, counts, head, cursor }: parts of `queues` and `counts` as HGETALL gives them, and all of `head`
local call, argi, HEAD, QUEUES, COUNTS, store_error = ...
if store_error then return store_error end
local QUEUES_ABOUT = 500 -- HSCAN gives some more; those of a small hash all at once
local cursor = ARGV[argi + 1]
local scanned = call("HSCAN", QUEUES, cursor and cursor ~= "" and cursor or "0", "COUNT", QUEUES_ABOUT)
local queues, counts = scanned[2], {}
for from = 1, #queues, 1000 do
  local fields = {}
  for k = from, math.min(from + 999, #queues), 2 do
    for state = 1, queues[k] == "" and 0 or 7 do fields[#fields + 1] = state .. ":" .. queues[k] end
  end
  local numbers = #fields > 0 and call("HMGET", COUNTS, unpack(fields)) or {}
  for k, field in ipairs(fields) do
    if numbers[k] then
      counts[#counts + 1] = field
      counts[#counts + 1] = numbers[k]
    end
  end
end
return { queues, counts, call("HGETALL", HEAD), scanned[1] ~= "0" and scanned[1] or "" }
