-- What every script is called with.  All keys have one hash tag, so that a script is atomic over all queues, on a
-- cluster too.
--
-- KEYS    1 head       hash: format; epoch, which store this is: another one after each time that it was found to have
--                      gone back in time; the counters of the store; the sources of its numbers (fence, seq); given:
--                      how many engines were given up; clock: the time of the last beat
--         2 jobs       hash: id -> job value (lib/value.lua).  THE record: what is not here is gone
--         3 held       hash: id -> fence of each RUNNING job
--         4 leases     zset: engine by the mark of its last call (lib/engine.lua)
--         5 engines    hash: engine -> "mark lease process": the mark of its last beat, its lease in ms, which process
--                      of which host it is
--         6 queues     hash: queue -> "1" when it is paused, else "0"; "" -> version
--         7 counts     hash: state digit ":" queue -> jobs
--         8 notes      hash: id -> "percent:note", what a running job said of its progress
--         9 done      10 dead      11 cancelled      zset: id by the order of the ends
--        12 kept       zset: id by the time when its record is dropped
--        13 fences     hash: what is known of the RUNNING jobs of a fence (lib/held.lua)
--           These are there only while somebody uses what they are for (lib/uses.lua):
--        14 stops      set: ids of jobs that were cancelled while they ran
--        15 logs       hash: id -> what a running job has logged
--        16 locks      hash: who holds which lock (lib/lock.lua)
--        17 expires    zset: what is forgotten at a time, ms: "k" lock of a throttle, "g" group without jobs whose
--                      bucket fills up
--        18 bounds     hash: what queues are bound to (lib/bound.lua)
--        19 groups     hash: the groups' numbers, slots and buckets (lib/group.lua), and
--        20 lines, 21 places, 22 ring, 23 tokens      zsets, all of score 0: where their READY jobs stand
--        then 8 for each queue that is named:
--        +1 later      zset: seq (8 bytes) .. code .. id, by due time: SCHEDULED and RETRY
--        +2 front      zset, all of score 0: rank .. due (8 bytes) .. seq (8 bytes) .. id: came due, or was released
--        +3 tombstones     hash: rank .. id -> how many times it stands in that list without being there any more
--        +4 ... +8     list of ids, one a rank (2 - priority): first in, first out
-- ARGV    1 clock      "" (Redis TIME); in tests the time, ms
--         2 origin     who asks: the payload of the wake-up, so that nobody wakes itself
--         3 channel    of wake-ups
--         4 engine     "": a client
--         5 epoch      the expected store (lib/here.lua); in scripts for engines only its marks (lib/engine.lua)
--         6 how many queues are named, then their names; then what the script's own head says
local HEAD, JOBS, HELD, LEASES, ENGINES, QUEUES, COUNTS, NOTES = unpack(KEYS, 1, 8)
local ENDED, KEPT = { [5] = KEYS[9], [6] = KEYS[10], [7] = KEYS[11] }, KEYS[12] -- ENDED: by state
local FENCES, STOPS, LOGS, LOCKS, EXPIRES, BOUNDS, GROUPS, LINES, PLACES, RING, TOKENS = unpack(KEYS, 13, 23)
local call = redis.call
local queues_n = tonumber(ARGV[6])
local argi = 6 + queues_n -- index of the last argument read
local now = tonumber(ARGV[1])
if not now then
  local t = call("TIME")
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end

return call, now, argi, queues_n, HEAD, JOBS, HELD, LEASES, ENGINES, QUEUES, COUNTS, NOTES, ENDED, KEPT,
  FENCES, STOPS, LOGS, LOCKS, EXPIRES, BOUNDS, GROUPS, LINES, PLACES, RING, TOKENS
