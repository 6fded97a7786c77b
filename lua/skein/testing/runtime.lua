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

-- The functions that `setup` sets.
local hooks
local slots, next_handle = {}, 0
local by_co = setmetatable({}, { __mode = "k" }) -- coroutine -> thread
local current                                    -- the thread that runs

--- Sets the functions by which jobs use the clock and the store.
-- @tparam table functions now() -> ms; move(ms) sets the clock; progress(slot, percent, text); log(slot, text)
function M.setup(functions) hooks = functions end

-- Slots -------------------------------------------------------------------------------------------------------------

--- Makes a slot, which holds a run during its attempt.
-- @tparam table run as from kit:fetch (core/lua/testing.h)
-- @treturn table the slot
function M.open(run)
  next_handle = next_handle + 1
  local slot = { handle = next_handle, run = run, threads = {}, swallowed = 0 }
  slots[slot.handle] = slot
  return slot
end

--- Closes a slot at the end of the attempt. The job's methods have no effect from then on.
-- @tparam table slot
function M.close(slot) slots[slot.handle] = nil end

--- Tells a running job to stop.
-- @tparam string id
-- @tparam number kind the reason, of core.KIND
function M.stop(id, kind)
  for _, slot in pairs(slots) do
    if slot.run.id == id and not slot.failing then slot.stop = slot.stop or kind end
  end
end

--- Whether a job runs.
-- @treturn boolean
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

-- Waits. Returns the kind of stop if the job must stop, else nil. While a coroutine of the script sleeps, the job's
-- other threads do not run.
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

--- Runs fn(...) as the main thread of a slot until it ends. Then ends the job's other threads.
-- @tparam table slot
-- @tparam function fn
-- @tparam[opt] number timeout_ms nil or 0: no timeout
-- @param ... the arguments of fn
-- @treturn table { ok = true, value = first result }, { err =, trace = } after an error, or { stop = kind } if the job
-- was told to stop and went on
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

--- Describes the attempt that calls it.
-- @return task, attempt, retries, handle, timeout in seconds (nil: none), and the kind of stop that the job was told
-- (0: none); nothing outside a job
function M.attempt()
  local thread = me()
  if not thread or thread.over then return end
  local slot = thread.slot
  local run = slot.run
  return run.task, run.attempt, run.retries, slot.handle, run.timeout_ms > 0 and run.timeout_ms / 1000 or nil,
    slot.told or slot.stop or 0
end

--- Waits in a job.
-- @tparam number seconds
-- @treturn[opt] number the kind of stop if the job must stop
-- @raise at the caller's line: outside a job
-- @yields
function M.sleep(seconds)
  return wait(need("skein.sleep"), "sleep", ceil(hooks.now() + seconds * 1000 - 1e-6))
end

--- Waits until a time. Outside a job it sets the clock to this time.
-- @tparam number ms since 1970
-- @treturn[opt] number the kind of stop if the job must stop
-- @yields in a job
function M.sleep_until(ms)
  local thread = me()
  if thread and not thread.over then return wait(thread, "sleep", ms) end
  if ms > hooks.now() then hooks.move(ms) end
end

--- Starts a thread of the job, which runs fn(...) up to its first wait.
-- @tparam function fn
-- @param ... the arguments of fn
-- @treturn[opt] number the kind of stop if the job must stop; no thread is started then
-- @treturn[opt] table the thread
-- @raise at the caller's line: outside a job
function M.spawn(fn, ...)
  local slot = need("skein.spawn").slot
  if slot.stop then return slot.stop end
  return nil, start(slot, fn, ...)
end

--- Waits until a thread of the job has ended.
-- @tparam table thread
-- @treturn[opt] number the kind of stop if the job must stop
-- @raise at the caller's line: outside a job, a thread of another job, the thread itself
-- @yields
function M.join(thread)
  local self = need("thread:wait")
  if thread.slot ~= self.slot then errors.misuse("thread:wait: the thread belongs to another job") end
  if thread == self then errors.misuse("thread:wait: a thread can't wait for itself") end
  return wait(self, "join", thread)
end

--- The results of a thread.
-- @tparam table thread
-- @return nothing while the thread runs; then nil, true and its values, or nil, false and its error
function M.results(thread)
  if not thread.over then return end
  thread.asked = true
  return nil, thread.ok, unpack(thread.values, 1, thread.n)
end

--- Stores the text of a failure of the running thread. `run` logs it if no code has asked for the thread's results.
-- @tparam string text
function M.trouble(text)
  local thread = me()
  if thread then thread.trouble = thread.trouble or text end
end

--- Whether a job may continue; see job:active.
-- @tparam number handle
-- @treturn boolean
function M.active(handle)
  local slot = slots[handle]
  return slot ~= nil and not slot.stop and not (slot.timeout_at and hooks.now() >= slot.timeout_at)
end

--- The time left until the timeout of a job; see job:remaining.
-- @tparam number handle
-- @treturn number seconds
function M.remaining(handle)
  local slot = slots[handle]
  if not slot then return 0 end
  if not slot.timeout_at then return huge end
  local left = (slot.timeout_at - hooks.now()) / 1000
  return left > 0 and left or 0
end

--- A field of a running job.
-- @tparam number handle
-- @tparam string name "args", "meta" or "backoff"
-- @return the decoded value (the text of "backoff"); nil once the job is over; or nil and a message
function M.field(handle, name)
  local slot = slots[handle]
  if not slot then return nil end
  if name == "backoff" then return slot.run.backoff end
  local value, problem = core.decode(slot.run[name])
  if problem then return nil, ("job.%s: %s"):format(name, problem) end
  return value
end

--- Stores the progress of a job; see job:progress.
-- @tparam number handle
-- @tparam number percent
-- @tparam string text
function M.progress(handle, percent, text)
  local slot = slots[handle]
  if slot then hooks.progress(slot, percent, text) end
end

--- Adds a line to the log of a job; see job:log.
-- @tparam number handle
-- @tparam string text
function M.job_log(handle, text)
  local slot = slots[handle]
  if slot then hooks.log(slot, text) end
end

--- Writes a line of the engine's log: errors to stderr, so that the spec's output shows them. Other levels are dropped.
-- @tparam number level of core.LOG
-- @tparam string text
function M.log(level, text)
  if level >= ERROR then io.stderr:write("skein.testing: ", tostring(text), "\n") end
end

return M
