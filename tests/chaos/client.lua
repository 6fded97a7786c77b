-- client.lua - one client of a chaos run: enqueues every CLIENTS-th job of the plan, writes down before each try and
-- after each answer, and goes on where it was when it was killed.
--   T time id...        about to be enqueued            A time id...       accepted
--   X time id...        there already: an earlier try was accepted, or a second one after an unknown fate
--   N time code id...   refused, not added              U time code id...  unknown fate
--   D time id...        refused: another job has its unique key
--   C time id           cancelled                       L seconds call     the longest that such a call took so far
-- Arguments: seed, this client's number, clients, jobs, seconds, "around" or nothing.  SKEIN_STORE and CHAOS_DIR are
-- set.
local ffi = require "ffi"
local skein = require "skein"
local plan = require "tests.chaos.plan"

ffi.cdef "int poll(void *, unsigned long, int);"

local seed, me, clients, jobs_n, seconds = tonumber(arg[1]), tonumber(arg[2]), tonumber(arg[3]), tonumber(arg[4]),
  tonumber(arg[5])
if arg[6] == "around" then plan.use_around() end
local path = ("%s/client.%d"):format(assert(os.getenv "CHAOS_DIR"), me)
local SPREAD, BATCH_MAX, RETRY_MS = 0.85, 100, 50
local KNOWN = { T = true, A = true, X = true, N = true, U = true, C = true, D = true }

-- What an earlier life of this client wrote.
local first_n, began, open_ids, cancelled = 1, skein.now(), {}, {}
local function read_log()
  local file = io.open(path, "r")
  if not file then return end
  for line in file:lines() do
    local kind, rest = line:match "^(%u) (.*)$"
    if kind == "B" then began = tonumber(rest)
    elseif KNOWN[kind] then
      for n in rest:gmatch "%f[%w]j(%d+)" do
        n = tonumber(n)
        if kind == "C" then cancelled[n] = true
        elseif kind == "T" then open_ids[n] = true
        elseif kind ~= "U" then open_ids[n] = nil end
        if n >= first_n then first_n = n + 1 end
      end
    end
  end
  file:close()
end
read_log()

local log = assert(io.open(path, "a"))
local function note(kind, ...)
  log:write(kind, " ", table.concat({ ... }, " "), "\n")
  log:flush()
end
local function now_text() return ("%.3f"):format(skein.now()) end

local function sleep_ms(ms) ffi.C.poll(nil, 0, ms) end

local longest = {}
local function timed(what, fn, ...)
  local from = skein.now()
  local a, b = fn(...)
  local took = skein.now() - from
  if took > (longest[what] or 0.5) then
    longest[what] = took
    note("L", ("%.3f"):format(took), what)
  end
  return a, b
end

local function signature(job)
  local sig = { task = job.task, id = job.id, delay = job.delay,
    args = { job.n, job.task == "parent" and plan.CHILDREN or job.arg } }
  for key, value in pairs(job.options or {}) do sig[key] = value end
  return sig
end

local function ids(jobs)
  local list = {}
  for i, job in ipairs(jobs) do list[i] = job.id end
  return table.concat(list, " ")
end

-- Each answered job for itself: a list of handles or false, and of errors by index; nil and an error when none was
-- added.
local REFUSED = { exists = true, limit = true }
local function send(jobs)
  if #jobs == 1 then
    local handle, err = timed("enqueue", skein.enqueue, signature(jobs[1]))
    if handle then return { handle } end
    if REFUSED[err.code] then return { false }, { err } end
    return nil, err
  end
  local signatures = {}
  for i, job in ipairs(jobs) do signatures[i] = signature(job) end
  return timed("enqueue_many", skein.enqueue_many, signatures)
end

local function keep_trying(jobs)
  local again = {}
  for _, job in ipairs(jobs) do
    if not job.give_up then again[#again + 1] = job end
  end
  return again
end

-- What a job's answer is: a note's letter, and the code of its error.  Those of a batch that wait for room may lose
-- their store.
local function outcome(job, handle, err)
  if handle then return "A" end
  if err.code == "exists" then return err.id == job.id and "X" or "D" end
  if err.code == "unknown_fate" then return "U", err.code end
  assert(err.code == "limit" or err.code == "unavailable", tostring(err))
  return "N", err.code
end

-- Writes down what became of each; those to try again.
local function sort_out(jobs, handles, errs)
  local noted, again = {}, {}
  for i, job in ipairs(jobs) do
    local kind, code = outcome(job, handles[i], errs and errs[i])
    local head = code and kind .. " " .. now_text() .. " " .. code or kind .. " " .. now_text()
    noted[head] = noted[head] or {}
    table.insert(noted[head], job)
    if kind == "U" or (kind == "N" and not job.give_up) then again[#again + 1] = job end
  end
  for head, list in pairs(noted) do note(head, ids(list)) end
  return again
end

-- Enqueues until each is accepted, or refused for good.  One at a time, or many in a call.
local function enqueue(jobs)
  while #jobs > 0 do
    note("T", now_text(), ids(jobs))
    local handles, err = send(jobs)
    if handles then
      jobs = sort_out(jobs, handles, err)
    else
      local unknown = err.code == "unknown_fate"
      note(unknown and "U" or "N", now_text(), err.code, ids(jobs))
      jobs = unknown and jobs or keep_trying(jobs)
      sleep_ms(RETRY_MS)
    end
  end
end

local function cancel(job)
  while not cancelled[job.n] do
    local handle = skein.handle(job.id)
    local ok, err = timed("cancel", handle.cancel, handle)
    -- After an unknown fate the second try finds it cancelled already.
    if ok or err.code == "state" then
      note("C", now_text(), job.id)
      return
    end
    if err.code == "not_found" then return end
    sleep_ms(RETRY_MS)
  end
end

-- Jobs to cancel, and when: those that run by then.
local later = {}
local function cancel_due(all)
  local waiting = {}
  for _, entry in ipairs(later) do
    if all or entry.at <= skein.now() then cancel(entry.job) else waiting[#waiting + 1] = entry end
  end
  later = waiting
end

local function cancel_if_planned(job)
  if job.task == "cancelled" then cancel(job) end
  if job.task == "stopped" then later[#later + 1] = { at = skein.now() + job.cancel_after, job = job } end
end

local function run()
  if first_n == 1 then note("B", ("%.3f"):format(began)) end
  local resumed = {}
  for n in pairs(open_ids) do resumed[#resumed + 1] = plan.job(seed, n, seconds) end
  table.sort(resumed, function(a, b) return a.n < b.n end)
  enqueue(resumed)
  for n = 1, first_n - 1 do
    local job = n % clients == me % clients and plan.job(seed, n, seconds)
    if job then cancel_if_planned(job) end
  end
  local random = plan.random(seed, me, first_n)
  local n = first_n
  while n % clients ~= me % clients do n = n + 1 end
  while n <= jobs_n do
    local due = jobs_n * (skein.now() - began) / (seconds * SPREAD)
    cancel_due()
    if n > due then
      sleep_ms(5)
    else
      local batch, size = {}, random() < 0.5 and 1 or 1 + math.floor(random() * BATCH_MAX)
      while #batch < size and n <= math.min(due, jobs_n) do
        batch[#batch + 1] = plan.job(seed, n, seconds)
        n = n + clients
      end
      enqueue(batch)
      for _, job in ipairs(batch) do cancel_if_planned(job) end
    end
  end
  cancel_due(true)
  note("F", now_text())
end

-- The store may be away at the start.
while not skein.connect(os.getenv "SKEIN_STORE") do sleep_ms(RETRY_MS) end
run()
