-- load.lua - what is asked of an engine while it is measured.  The same functions run in bench.lua, as a client in a
-- process of its own, and as jobs (task "load.NAME") where the store has no clients; `sleep` is whatever waits there.
local notes = require "notes"
local skein = require "skein"

local M = {}

M.SINGLES, M.MANY = 2000, 100000
M.TRIPS, M.TRIP_PAUSE = 200, 0.01
M.LATE, M.LATE_PER_S, M.LATE_AHEAD = 600, 200, 0.5
M.NAPS, M.NAP = 2000, 0.05
M.RELAY = 100

-- Makes the record of a job of these tasks 200 bytes long, as those of the yardstick are.
local PADDING = ("x"):rep(136)
M.PADDING = PADDING

--- n jobs of a task with the args { 1.., PADDING }, a thousand a call.
function M.many(task, n, queue)
  local batch = {}
  for i = 1, n do
    batch[#batch + 1] = { task = task, queue = queue, args = { i, PADDING } }
    if #batch == 1000 or i == n then
      assert(skein.enqueue_many(batch))
      batch = {}
    end
  end
end

--- How fast jobs go in: one a call, and a thousand a call, into a queue that nobody serves.
function M.enqueue()
  local start = skein.now()
  for i = 1, M.SINGLES do assert(skein.enqueue({ task = "noop", queue = "parked" }, i, PADDING)) end
  local single = M.SINGLES / (skein.now() - start)
  start = skein.now()
  M.many("noop", M.MANY, "parked")
  notes.add("enqueue", single, M.MANY / (skein.now() - start))
end

--- One job at a time into an idle engine; notes how long each call of enqueue took.
function M.trips(sleep)
  for _ = 1, M.TRIPS do
    local start = skein.now()
    assert(skein.enqueue("mark", start))
    notes.add("trip", skein.now() - start)
    sleep(M.TRIP_PAUSE)
  end
end

--- Jobs that are due one after the other, soon.
function M.late()
  local first, batch = skein.now() + M.LATE_AHEAD, {}
  for i = 1, M.LATE do
    -- Milliseconds are what a store keeps of a due time.
    local due = math.floor((first + i / M.LATE_PER_S) * 1000) / 1000
    batch[i] = { task = "late", at = due, args = { due } }
  end
  assert(skein.enqueue_many(batch))
end

--- Many short waits at once.
function M.naps()
  local batch, start = {}, skein.now()
  for i = 1, M.NAPS do batch[i] = { task = "nap" } end
  assert(skein.enqueue_many(batch))
  notes.add("naps_enqueued", start, skein.now())
end

return M
