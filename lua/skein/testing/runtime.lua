--- The runtime of jobs in specs: it stands in for skein.runtime (core/lua/runtime.c), in one process and without real
-- waiting. A sleep moves the clock. The threads of a job take turns as in a worker: the thread with the earliest wake
-- time continues first.
-- @module skein.testing.runtime
local core = require "skein.core"
local errors = require "skein.errors"
local ipairs, next, pairs, select, setmetatable, tostring, unpack = ipairs, next, pairs, select, setmetatable,
  tostring, unpack
local create, isyieldable, resume_co, running, status, yield =
  coroutine.create, coroutine.isyieldable, coroutine.resume, coroutine.running, coroutine.status, coroutine.yield
local traceback, ceil, huge = debug.traceback, math.ceil, math.huge

local M = { thread_meta = {} }

local ERROR, TIMEOUT = core.LOG.error, core.KIND.timeout
local SWALLOWED_MAX = core.LIMITS.stops_swallowed -- times a stop may be swallowed before the job is abandoned

-- testing.lua sets these functions: now() -> ms, move(ms), progress(slot, percent, text), log(slot, text).
local hooks
local slots, next_handle = {}, 0
local by_co = setmetatable({}, { __mode = "k" }) -- coroutine -> thread
local current                                    -- the thread that runs

--- Takes the functions of testing.lua.
function M.setup(given) hooks = given end

-- Slots -------------------------------------------------------------------------------------------------------------

--- Makes the slot of a run for the time of its attempt.
-- @tparam table run of core/lua/testing.h
function M.open(run)
  next_handle = next_handle + 1
  local slot = { handle = next_handle, run = run, threads = {}, swallowed = 0 }
  slots[slot.handle] = slot
  return slot
end

--- Closes the slot at the end of the attempt. The job's methods have no effect from then on.
function M.close(slot) slots[slot.handle] = nil end

--- Tells a running job to stop.
-- @tparam string id
-- @tparam number kind of error
function M.stop(id, kind)
  for _, slot in pairs(slots) do
    if slot.run.id == id and not slot.failing then slot.stop = slot.stop or kind end
  end
end

--- True while a job runs.
function M.busy() return next(slots) ~= nil end

-- Threads -----------------------------------------------------------------------------------------------------------

local function me() return by_co[running()] or current end

local function need(what)
  local thread = me()
  if not thread or thread.over then errors.misuse(what .. ": can only be used inside a job") end
  return thread
end

local function ended(thread, ok, ...)
  thread.over, thread.ok, thread.waiting = true, ok, nil
  thread.n, thread.values = select("#", ...), { ... }
  return ...
end

local function resume(thread, ...)
  local before = current
  current, thread.waiting = thread, nil
  local ok, err = resume_co(thread.co, ...)
  current = before
  if not ok then
    thread.trace = traceback(thread.co)
    ended(thread, false, err)
  elseif not thread.over and not thread.waiting then
    thread.waiting = "park" -- a plain yield of the script, which a callback or another thread resumes
  end
end

local function start(slot, fn, ...)
  local thread = setmetatable({ slot = slot }, M.thread_meta)
  thread.co = create(function(...) return ended(thread, true, fn(...)) end)
  by_co[thread.co] = thread
  slot.threads[#slot.threads + 1] = thread
  resume(thread, ...)
  return thread
end

-- Moves the clock for a job, at most to its timeout.
local function move(slot, ms)
  local timeout_at = not slot.failing and slot.timeout_at
  if timeout_at and ms >= timeout_at then
    ms = timeout_at
    slot.stop = slot.stop or TIMEOUT
  end
  if ms > hooks.now() then hooks.move(ms) end
  return slot.stop
end

local function wake_all(slot)
  local main = slot.threads[1]
  for _, thread in ipairs(slot.threads) do
    if main.over then return end
    if thread.waiting then resume(thread, slot.stop) end
  end
end

-- The thread with the earliest wake time, and whether a thread waits for a callback.
local function sleepers(slot)
  local first, parked
  for _, thread in ipairs(slot.threads) do
    if thread.waiting == "sleep" and (not first or thread.value < first.value) then first = thread end
    if thread.waiting == "park" then
      if status(thread.co) == "dead" then ended(thread, false, "it failed in a callback") else parked = true end
    end
  end
  return first, parked
end

-- Resumes one of the job's threads. Returns false if no thread can ever continue.
local function step(slot)
  for _, thread in ipairs(slot.threads) do
    if thread.waiting == "join" and thread.value.over then
      resume(thread)
      return true
    end
  end
  local first, parked = sleepers(slot)
  local uv = parked and package.loaded.luv
  if uv and uv.loop_alive() then
    uv.run("once")
    return true
  end
  if not first then return false end
  if move(slot, first.value) then wake_all(slot) else resume(first) end
  return true
end

-- Waits, and returns why the job has to stop, or nil.  A coroutine of the script's own can't let the job's other
-- threads run as it sleeps.
local function wait(thread, how, value)
  local slot = thread.slot
  if slot.stop then
    slot.swallowed = slot.swallowed + 1
    if slot.swallowed <= SWALLOWED_MAX then return slot.stop end
    slot.abandoned = true
    how = "abandon"
  end
  if running() == thread.co and isyieldable() then
    thread.waiting, thread.value = how, value
    return yield()
  end
  if how == "sleep" then return move(slot, value) end
  while how == "join" and not value.over do
    if not step(slot) then break end
  end
  return slot.stop
end

--- Runs fn(...) as the main thread of a slot, to its end.
-- @tparam table slot
-- @tparam function fn
-- @tparam[opt] number timeout_ms
-- @return a table: ok, and value (the first result) or err and trace; stop when it would not stop
function M.run(slot, fn, timeout_ms, ...)
  slot.timeout_at = timeout_ms and timeout_ms > 0 and hooks.now() + timeout_ms or nil
  local main = start(slot, fn, ...)
  while not main.over and not slot.abandoned do
    if not step(slot) then
      ended(main, false, "it waits for something that never comes: nothing of the job can go on")
    end
  end
  for _, thread in ipairs(slot.threads) do
    if thread.trouble and not thread.asked and thread ~= main then
      M.log(ERROR, "a thread of the job failed: " .. thread.trouble)
    end
    if not thread.over then ended(thread, false, "its job has ended before it did") end
  end
  slot.threads = {}
  if slot.abandoned then
    slot.abandoned = nil
    return { stop = slot.stop }
  end
  if main.ok then return { ok = true, value = main.values[1] } end
  return { err = main.values[1], trace = main.trace or "" }
end

-- skein.runtime -----------------------------------------------------------------------------------------------------

--- @return task, attempt, retries, handle, timeout (s), what it was told to stop for (a kind of error; 0: it was
-- not); nothing outside of a job
function M.attempt()
  local thread = me()
  if not thread or thread.over then return end
  local slot = thread.slot
  local run = slot.run
  return run.task, run.attempt, run.retries, slot.handle, run.timeout_ms > 0 and run.timeout_ms / 1000 or nil,
    slot.told or slot.stop or 0
end

--- @return nil, or why the job has to stop
function M.sleep(seconds)
  return wait(need("skein.sleep"), "sleep", ceil(hooks.now() + seconds * 1000 - 1e-6))
end

--- Waits until that time, in ms.  Outside of a job: moves the clock.
-- @return nil, or why the job has to stop
function M.sleep_until(ms)
  local thread = me()
  if thread and not thread.over then return wait(thread, "sleep", ms) end
  if ms > hooks.now() then hooks.move(ms) end
end

function M.spawn(fn, ...)
  local slot = need("skein.spawn").slot
  if slot.stop then return slot.stop end
  return nil, start(slot, fn, ...)
end

function M.join(thread)
  local self = need("thread:wait")
  if thread.slot ~= self.slot then errors.misuse("thread:wait: the thread belongs to another job") end
  if thread == self then errors.misuse("thread:wait: a thread can't wait for itself") end
  return wait(self, "join", thread)
end

--- @return nothing while it runs; else nil, true, values ... or nil, false, error
function M.results(thread)
  if not thread.over then return end
  thread.asked = true
  return nil, thread.ok, unpack(thread.values, 1, thread.n)
end

function M.trouble(text)
  local thread = me()
  if thread then thread.trouble = thread.trouble or text end
end

function M.active(handle)
  local slot = slots[handle]
  return slot ~= nil and not slot.stop and not (slot.timeout_at and hooks.now() >= slot.timeout_at)
end

function M.remaining(handle)
  local slot = slots[handle]
  if not slot then return 0 end
  if not slot.timeout_at then return huge end
  local left = (slot.timeout_at - hooks.now()) / 1000
  return left > 0 and left or 0
end

function M.field(handle, name)
  local slot = slots[handle]
  if not slot then return nil end
  if name == "backoff" then return slot.run.backoff end
  local value, problem = core.decode(slot.run[name])
  if problem then return nil, ("job.%s: %s"):format(name, problem) end
  return value
end

function M.progress(handle, percent, text)
  local slot = slots[handle]
  if slot then hooks.progress(slot, percent, text) end
end

--- A line of job:log.
function M.job_log(handle, text)
  local slot = slots[handle]
  if slot then hooks.log(slot, text) end
end

--- Errors are for who reads the spec's output; the rest is for nobody.
function M.log(level, text)
  if level >= ERROR then io.stderr:write("skein.testing: ", tostring(text), "\n") end
end

return M
