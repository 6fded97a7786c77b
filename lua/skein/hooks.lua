--- The handlers of skein.on and of a task's on_error, on_death and on_success options. The module keeps the
-- globals it needs in locals, since scripts may replace globals.
-- @module skein.hooks
local core = require "skein.core"
local errors = require "skein.errors"
local schema = require "skein.schema"
local tasks = require "skein.tasks"
local ipairs, pairs, rawget, setmetatable, type, xpcall = ipairs, pairs, rawget, setmetatable, type, xpcall
local traceback, running = debug.traceback, coroutine.running
local stderr = io.stderr

local M = {}

local HOOK = core.HOOK
-- Event -> list of functions, in the order of declaration
local handlers = { error = {}, death = {}, success = {}, event = {} }

--- Registers a handler for all tasks; see skein.on.
-- @tparam string event "error", "death", "success" or "event"
-- @tparam function fn
-- @raise at the caller's line: an unknown event, no function, after the scripts have loaded
-- @usage hooks.on("death", function(job, err) end)
function M.on(event, fn)
  if not handlers[event] then
    local near = type(event) == "string" and schema.nearest(event, handlers)
    errors.misuse(("skein.on: unknown event %s, %s"):format(schema.show(event),
      near and ('did you mean "%s"?'):format(near) or 'expected "error", "death", "success" or "event"'))
  end
  if schema.callable(fn) then errors.misuse("skein.on: a function is expected, not " .. type(fn)) end
  tasks.need_loading("skein.on", "handlers are")
  local list = handlers[event]
  list[#list + 1] = fn
end

--- Removes all handlers; for specs of scripts.
function M.reset()
  for _, list in pairs(handlers) do
    for i = #list, 1, -1 do list[i] = nil end
  end
end

--- Reports the failure of a handler. A worker replaces this function with one that writes to the engine's log.
-- @tparam string text
function M.log(text) stderr:write("skein: ", text, "\n") end

local function explain(e) return traceback(errors.text(e), 2) end

local function call_handler(what, fn, ...)
  local ok, problem = xpcall(fn, explain, ...)
  if not ok then M.log(("the %s handler failed: %s"):format(what, errors.text(problem))) end
end

--- Calls the task's own handler ("on_error", ...) and then the handlers for all tasks. An error in a handler is logged.
-- @tparam string event "error", "death" or "success"
-- @tparam[opt] table task
-- @param ... the handlers' arguments
-- @yields where a handler waits
function M.tell(event, task, ...)
  local own = task and task.options["on_" .. event]
  if own then call_handler("on_" .. event, own, ...) end
  for _, fn in ipairs(handlers[event]) do call_handler(event, fn, ...) end
end

--- Whether there are handlers of "event".
-- @treturn boolean
function M.has_events() return handlers.event[1] ~= nil end

local telling = setmetatable({}, { __mode = "k" }) -- coroutines that run event handlers; their enqueues cause no event

--- Calls the handlers of "event", each with a table of its own.
-- @tparam table event without `type` and `at`, which are added
-- @yields where a handler waits
function M.emit(event)
  local co = running() or M
  if telling[co] then return end
  telling[co] = true
  local at = core.now()
  for _, fn in ipairs(handlers.event) do
    local copy = { type = "job", at = at }
    for key, value in pairs(event) do copy[key] = value end
    call_handler("event", fn, copy)
  end
  telling[co] = nil
end

--- Calls the handlers of "event" for a running job.
-- @tparam table job
-- @tparam string from state
-- @tparam string to state, or "discarded"
-- @tparam[opt] table err
-- @yields where a handler waits
function M.emit_job(job, from, to, err)
  if not handlers.event[1] then return end
  M.emit {
    id = rawget(job, "id"), task = rawget(job, "task"), queue = rawget(job, "queue"), attempt = rawget(job, "attempt"),
    from = from, to = to, error = err,
  }
end

--- The events for which handlers for all tasks are registered.
-- @treturn number a sum of core.HOOK
function M.bits()
  local bits = 0
  for name, bit in pairs(HOOK) do
    if handlers[name][1] then bits = bits + bit end
  end
  return bits
end

--- The events for which one task has handlers.
-- @tparam table task
-- @treturn number a sum of core.HOOK
function M.task_bits(task)
  return (task.options.on_error and HOOK.error or 0) + (task.options.on_death and HOOK.death or 0)
end

-- Whether the result can be stored. If not, the attempt fails and its success handlers must not run.
local function can_be_stored(result)
  return result == nil or core.encode(result, "result") ~= nil
end

--- Wraps fn so that the handlers of a job's start and success are called. Returns fn itself if there are none.
-- @tparam table task
-- @tparam function fn called as fn(job, ...)
-- @treturn function
function M.around(task, fn)
  local success = task.options.on_success or handlers.success[1]
  if not success and not M.has_events() then return fn end
  local function ended(job, ...)
    local result = ...
    if can_be_stored(result) then
      if success then M.tell("success", task, job, result) end
      M.emit_job(job, "running", "done")
    end
    return ...
  end
  return function(job, ...)
    M.emit_job(job, "ready", "running")
    return ended(job, fn(job, ...))
  end
end

return M
