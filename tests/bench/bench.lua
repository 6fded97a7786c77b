-- bench.lua - what the engine does and what it costs, beside yardsticks and budgets (DESIGN.md, section 9).
--
--   luajit tests/bench/bench.lua BUILT ROUNDS [STORE]        BUILT: the directory of the binary; STORE: sqlite or
-- memory, else both
--
-- Run by `make bench`.  Rates are compared only with what was measured in the same round, and medians are shown.  A
-- budget that is missed is shown as MISSED and fails nothing; the exit code is 1 when something could not be measured.
local Place = require "tests.bench.place"
local around = require "tests.bench.around"
local footprint = require "tests.bench.footprint"
local latency = require "tests.bench.latency"
local report = require "tests.bench.report"
local throughput = require "tests.bench.throughput"
local uv = require "luv"

local built, rounds, only = arg[1], tonumber(arg[2]), arg[3]
if not built or not rounds or (only and only ~= "sqlite" and only ~= "memory") then
  io.stderr:write "usage: bench.lua BUILT ROUNDS [sqlite|memory]\n"
  os.exit(64)
end

Place.programs = built
local stores = only and { only } or { "sqlite", "memory" }
local r = report.new()

r:section("Rates: medians of " .. rounds .. " rounds")
r:measure("rates", throughput.rates, stores, rounds)
for _, store in ipairs(stores) do
  r:section("On " .. store)
  r:measure(store .. ": latency", latency.idle, store, rounds)
  r:measure(store .. ": lateness", latency.due, store, rounds)
  r:measure(store .. ": short sleeps", latency.naps, store, rounds)
  if store == "sqlite" then r:measure(store .. ": start", latency.start, store) end
  r:measure(store .. ": sleepers", footprint.sleepers, store)
  r:measure(store .. ": backlog", throughput.backlog, store, rounds)
  r:measure(store .. ": idle", footprint.idle, store)
  if store == "sqlite" then
    r:section "Around a job, on sqlite"
    r:measure("around a job", around.ratios, store, rounds)
    r:measure("held back", around.held_back, store, rounds)
  end
end
r:section "The binary"
r:measure("binary", footprint.binary)

local averages = { uv.loadavg() }
io.stdout:write(("\n%s, %d cores (%s), load average at the end %.1f\n\n"):format(os.date "!%Y-%m-%d %H:%M UTC",
  #uv.cpu_info(),
                                                                                  uv.cpu_info()[1].model, averages[1]))
r:print()
os.exit(r.broken and 1 or 0)
