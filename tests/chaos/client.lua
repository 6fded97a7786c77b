-- client.lua - one client of a chaos run: enqueues every CLIENTS-th job of the plan, writes down before each try and after each
-- answer, and goes on where it was when it was killed.
--   T time id...        about to be enqueued            A time id...       accepted
--   X time id...        there already: an earlier try was accepted, or a second one after an unknown fate
--   N time code id...   refused, not added              U time code id...  unknown fate
--   C time id           cancelled                       L seconds call     the longest that such a call took so far
-- Arguments: seed, this client's number, clients, jobs, seconds.  SKEIN_STORE and CHAOS_DIR are set.
local ffi = require "ffi"
local skein = require "skein"
local plan = require "tests.chaos.plan"

ffi.cdef "int poll(void *, unsigned long, int);"

local seed, me, clients, jobs_n, seconds = tonumber(arg[1]), tonumber(arg[2]), tonumber(arg[3]), tonumber(arg[4]), tonumber(arg[5])
local path = ("%s/client.%d"):format(assert(os.getenv "CHAOS_DIR"), me)
local SPREAD, BATCH_MAX, RETRY_MS = 0.85, 100, 50
local KNOWN = { T = true, A = true, X = true, N = true, U = true, C = true }

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
  return { task = job.task, id = job.id, delay = job.delay, args = { job.n, job.task == "parent" and plan.CHILDREN or job.arg } }
end

local function ids(jobs)
  local list = {}
  for i, job in ipairs(jobs) do list[i] = job.id end
  return table.concat(list, " ")
end

-- Enqueues until each is accepted, or refused for good.  One at a time, or many in a call.
local function enqueue(jobs)
  while #jobs > 0 do
    note("T", now_text(), ids(jobs))
    local handles, err
    if #jobs == 1 then
      local handle, why = timed("enqueue", skein.enqueue, signature(jobs[1]))
      if handle then handles = { handle }
      elseif why.code == "exists" then handles, err = { false }, { why }
      else err = why end
    else
      local signatures = {}
      for i, job in ipairs(jobs) do signatures[i] = signature(job) end
      handles, err = timed("enqueue_many", skein.enqueue_many, signatures)
    end
    if handles then
      local accepted, there = {}, {}
      for i, job in ipairs(jobs) do
        if handles[i] then accepted[#accepted + 1] = job
        else
          assert(err[i].code == "exists", tostring(err[i]))
          there[#there + 1] = job
        end
      end
      if #accepted > 0 then note("A", now_text(), ids(accepted)) end
      if #there > 0 then note("X", now_text(), ids(there)) end
      return
    end
    local unknown = err.code == "unknown_fate"
    note(unknown and "U" or "N", now_text(), err.code, ids(jobs))
    local again = {}
    for _, job in ipairs(jobs) do
      if unknown or not job.give_up then again[#again + 1] = job end
    end
    jobs = again
    sleep_ms(RETRY_MS)
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

local function run()
  if first_n == 1 then note("B", ("%.3f"):format(began)) end
  local resumed = {}
  for n in pairs(open_ids) do resumed[#resumed + 1] = plan.job(seed, n, seconds) end
  enqueue(resumed)
  for n = 1, first_n - 1 do
    local job = n % clients == me % clients and plan.job(seed, n, seconds)
    if job and job.task == "cancelled" then cancel(job) end
  end
  local random = plan.random(seed, me, first_n)
  local n = first_n
  while n % clients ~= me % clients do n = n + 1 end
  while n <= jobs_n do
    local due = jobs_n * (skein.now() - began) / (seconds * SPREAD)
    if n > due then
      sleep_ms(5)
    else
      local batch, size = {}, random() < 0.5 and 1 or 1 + math.floor(random() * BATCH_MAX)
      while #batch < size and n <= math.min(due, jobs_n) do
        batch[#batch + 1] = plan.job(seed, n, seconds)
        n = n + clients
      end
      enqueue(batch)
      for _, job in ipairs(batch) do
        if job.task == "cancelled" then cancel(job) end
      end
    end
  end
  note("F", now_text())
end

-- The store may be away at the start.
while not skein.connect(os.getenv "SKEIN_STORE") do sleep_ms(RETRY_MS) end
run()
