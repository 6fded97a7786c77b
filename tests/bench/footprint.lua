-- footprint.lua - measures the engine's use of memory and disk, and its work while there is nothing to do.
local Place = require "tests.bench.place"
local files = require "tests.support.files"
local process = require "tests.support.process"
local report = require "tests.bench.report"
local uv = require "luv"
local wait = require "tests.support.wait"

local M = {}

local SLEEPERS = 10000
local IDLE_S = 10

-- -- idle ------------------------------------------------------------------------------------------------------------

-- How often the threads of a process have gone to sleep: each wake-up from a wait is one.
local function wakeups(pid)
  local sum = 0
  for _, thread in ipairs(files.list(("/proc/%d/task"):format(pid))) do
    local text = files.read(("/proc/%d/task/%s/status"):format(pid, thread)) or ""
    sum = sum + (tonumber(text:match "\nvoluntary_ctxt_switches:%s*(%d+)") or 0)
  end
  return sum
end

-- The system calls that strace sees in IDLE_S, a line each; nil and why where it can't.
local function trace(pid)
  if os.execute "command -v strace >/dev/null 2>&1" ~= 0 then return nil, "strace is not installed" end
  local child = process.start("strace", { args = { "-f", "-qq", "-p", tostring(pid) }, env = uv.os_environ(),
    name = "strace" })
  wait.poll(IDLE_S, function() return not child:running() end)
  if not child:running() then return nil, child.stderr end
  child:signal_with "sigint"
  child:wait(5)
  return child.stderr
end

-- A transaction of SQLite's begins with a shared lock of one of the five read marks of PATH-shm, bytes 123 to 127.
local READ_MARK = "fcntl%(%d+, F_SETLK[^,]*, {l_type=F_RDLCK, l_whence=SEEK_SET, l_start=12[3-7],"

local function count(text, pattern)
  local _, n = text:gsub(pattern, "")
  return n
end

local function idle_sqlite(r, pid)
  local calls, why = trace(pid)
  if not calls then
    r:say("sqlite: idle engine, transactions", "not measured: %s", why)
    return
  end
  local transactions = count(calls, READ_MARK) / IDLE_S
  r:judge("sqlite: idle engine, transactions", transactions < 1, "< 1/s", "%.1f/s (%.0f system calls/s in the core)",
    transactions,
          count(calls, "\n") / IDLE_S)
end

function M.idle(r, store)
  Place.with(store, function(place)
    place:seed("first", 1)
    place:start()
    place:wait_noted("first", 1, 20)
    local workers = process.children(place.engine.pid)
    wait.poll(1, function() return not place.engine:running() end)
    local before, before_worker = wakeups(place.engine.pid), wakeups(workers[1])
    wait.poll(IDLE_S, function() return not place.engine:running() end)
    local core_rate = (wakeups(place.engine.pid) - before) / IDLE_S
    local worker_rate = (wakeups(workers[1]) - before_worker) / IDLE_S
    r:say(store .. ": idle, resident memory", "core %s, each of %d workers %s",
      report.mb(process.rss(place.engine.pid)), #workers,
          report.mb(process.rss(workers[1])))
    r:say(store .. ": idle, wake-ups", "core %.1f/s, worker %.1f/s", core_rate, worker_rate)
    if store == "sqlite" then idle_sqlite(r, place.engine.pid) end
  end)
end

-- -- sleepers --------------------------------------------------------------------------------------------------------

function M.sleepers(r, store)
  Place.with(store, function(place)
    place:seed("sleeper", SLEEPERS)
    place:start { workers = 1, concurrency = SLEEPERS }
    local worker
    wait.wait_for("a worker", 5, function()
      worker = process.children(place.engine.pid)[1]
      return worker
    end)
    place:wait_noted("asleep", SLEEPERS, 60)
    local rss = process.rss(worker)
    r:judge(store .. ": 10,000 jobs that sleep in one worker", rss < 80e6, "< 80 MB", "worker %s, core %s",
      report.mb(rss),
            report.mb(process.rss(place.engine.pid)))
  end)
end

-- -- the binary ------------------------------------------------------------------------------------------------------

function M.binary(r)
  local path = Place.programs .. "/skein"
  Place.with("sqlite", function(place)
    local stripped = place.dir .. "/stripped"
    local code = process.start("strip", { args = { "-o", stripped, path }, env = place.env, name = "strip" }):wait(20)
    if code ~= 0 then error "strip failed" end
    local size = uv.fs_stat(stripped).size
    r:judge("the binary, stripped as `make install` does", size < 3e6, "< 3 MB", "%s (%s with debug information)",
      report.mb(size),
            report.mb(uv.fs_stat(path).size))
  end)
end

return M
