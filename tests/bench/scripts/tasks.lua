-- tasks.lua - the jobs that bench.lua measures the engine with.
local skein = require "skein"
local load = require "load"
local notes = require "notes"

skein.task("noop", function() end)

-- The same with something around it (around.lua).
skein.task("wrapped", function() end)
for _ = 1, 5 do
  skein.use(function(_, next) return next() end, { tasks = "wrapped" })
end
skein.task("kept", { keep = 60 }, function(_, i) return i end)

-- The start of a job: as such, and after the moment it was asked for.
skein.task("first", function() notes.add("first", skein.now()) end)
skein.task("mark", function(_, asked) notes.add("mark", skein.now() - asked) end)
skein.task("late", function(_, due) notes.add("late", skein.now() - due) end)

-- Keeps its queue as long as it is: the last of each hundred adds the next hundred.
skein.task("relay", function(_, i)
  if i % load.RELAY ~= 0 then return end
  load.many("relay", load.RELAY)
  notes.add("relay", skein.now())
end)

local asleep = 0
skein.task("sleeper", function(_, i)
  asleep = asleep + 1
  notes.add("asleep", asleep, i)
  skein.sleep(60)
end)

-- One worker runs all of them: the first start and the last end are known here.
local tally_first, tallied = nil, 0
skein.task("tally", function(_, n)
  tally_first = tally_first or skein.now()
  tallied = tallied + 1
  if tallied == n then notes.add("tallied", tally_first, skein.now()) end
end)

local first, ended = nil, 0
skein.task("nap", function()
  first = first or skein.now()
  skein.sleep(load.NAP)
  ended = ended + 1
  if ended == load.NAPS then notes.add("naps", first, skein.now()) end
end)

for _, name in ipairs { "enqueue", "trips", "late", "naps" } do
  skein.task("load." .. name, { retries = 0 }, function() load[name](skein.sleep) end)
end
