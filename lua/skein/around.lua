--- What scripts put around jobs: middleware in the worker (skein.use), middleware of enqueueing (skein.use_enqueue), and handlers
-- (skein.on).  Where nothing is registered nothing is called: a task without any runs its handler itself.
-- Globals are taken when the module loads: scripts may replace them.
-- @module skein.around
local core = require "skein.core"
local errors = require "skein.errors"
local schema = require "skein.schema"
local tasks = require "skein.tasks"
local error, ipairs, pairs, rawget, rawset, select, setmetatable, type, unpack, xpcall =
  error, ipairs, pairs, rawget, rawset, select, setmetatable, type, unpack, xpcall
local traceback, running = debug.traceback, coroutine.running
local stderr = io.stderr

local M = {}

--- Registering ----------------------------------------------------------------------------------------------------------

local layers = {}          -- of skein.use, in the order of declaration: { fn, tasks, queues, where }
local enqueue_layers = {}  -- of skein.use_enqueue
local handlers = { error = {}, death = {}, success = {}, event = {} } -- event -> list of { fn, where }

local ONLY = { tasks = schema.names(core), queues = schema.names(core) }

-- A name or a list of them as a set; nil stays nil.
local function set_of(names)
  if names == nil then return nil end
  local set = {}
  for _, name in ipairs(type(names) == "string" and { names } or names) do set[name] = true end
  return set
end

local function need_loading(what, things_are)
  if tasks.closed then errors.misuse(("%s: %s declared while scripts load, not later: %s"):format(what, things_are, tasks.closed)) end
end

local function add_layer(what, list, fn, only)
  if schema.callable(fn) then errors.misuse(what .. ": a function is expected, not " .. type(fn)) end
  local problem = only ~= nil and schema.check(what, only, ONLY)
  if problem then errors.misuse(problem) end
  need_loading(what, "middleware is")
  only = only or {}
  list[#list + 1] = { fn = fn, tasks = set_of(only.tasks), queues = set_of(only.queues), where = errors.caller() }
end

--- Puts a function around every job; see skein.use.
function M.use(fn, only) add_layer("skein.use", layers, fn, only) end

--- Puts a function around every enqueue; see skein.use_enqueue.
function M.use_enqueue(fn, only) add_layer("skein.use_enqueue", enqueue_layers, fn, only) end

--- Registers a handler; see skein.on.
function M.on(event, fn)
  if not handlers[event] then
    local near = type(event) == "string" and schema.nearest(event, handlers)
    errors.misuse(("skein.on: unknown event %s, %s"):format(schema.show(event),
      near and ('did you mean "%s"?'):format(near) or 'expected "error", "death", "success" or "event"'))
  end
  if schema.callable(fn) then errors.misuse("skein.on: a function is expected, not " .. type(fn)) end
  need_loading("skein.on", "handlers are")
  local list = handlers[event]
  list[#list + 1] = { fn = fn, where = errors.caller() }
end

--- Forgets all of it; for tests of scripts.
function M.reset()
  for i = #layers, 1, -1 do layers[i] = nil end
  for i = #enqueue_layers, 1, -1 do enqueue_layers[i] = nil end
  for _, list in pairs(handlers) do
    for i = #list, 1, -1 do list[i] = nil end
  end
end

--- What is wrong with the middleware now that all tasks are declared: one that is for a task that there is not.
-- @treturn[opt] string file:line: a sentence
function M.problem()
  for _, layer in ipairs(layers) do
    for name in pairs(layer.tasks or {}) do
      if not tasks.by_name[name] then
        local near = schema.nearest(name, tasks.by_name)
        return ('%s: skein.use: no script declares the task "%s"%s'):format(layer.where, name,
          near and (' (did you mean "%s"?)'):format(near) or "")
      end
    end
  end
end

--- Handlers -------------------------------------------------------------------------------------------------------------

--- Where a handler's failure is told; a worker sets its log.
function M.log(text) stderr:write("skein: ", text, "\n") end

local function explain(e) return traceback(errors.text(e), 2) end

local function call_handler(what, fn, ...)
  local ok, problem = xpcall(fn, explain, ...)
  if not ok then M.log(("the %s handler failed: %s"):format(what, errors.text(problem))) end
end

--- Calls the task's own handler ("on_error", ...) and then those for all tasks.  One that fails is logged.
-- @tparam string event "error", "death" or "success"
-- @tparam[opt] table task
-- @param ... what the handlers get
function M.tell(event, task, ...)
  local own = task and task.options["on_" .. event]
  if own then call_handler("on_" .. event, own, ...) end
  for _, handler in ipairs(handlers[event]) do call_handler(event, handler.fn, ...) end
end

--- Whether anyone listens to events.
function M.has_events() return handlers.event[1] ~= nil end

local telling = setmetatable({}, { __mode = "k" }) -- coroutines that run event handlers: what they enqueue is no event

--- Calls the handlers of "event", each with a table of its own.
-- @tparam table event without `type` and `at`
function M.emit(event)
  local co = running() or M
  if telling[co] then return end
  telling[co] = true
  local at = core.now()
  for _, handler in ipairs(handlers.event) do
    local copy = { type = "job", at = at }
    for key, value in pairs(event) do copy[key] = value end
    call_handler("event", handler.fn, copy)
  end
  telling[co] = nil
end

--- The same of a job that a worker has.
function M.emit_job(job, from, to, err)
  if not handlers.event[1] then return end
  M.emit { id = rawget(job, "id"), task = rawget(job, "task"), queue = rawget(job, "queue"), attempt = rawget(job, "attempt"),
    from = from, to = to, error = err }
end

local HOOK = { error = 1, death = 2, event = 4 } -- SK_HOOK_* (core/logic/wire.h)

--- Which handlers there are that the core may have to call, as bits: for all tasks, and of one task.
function M.hooks()
  local bits = 0
  for name, bit in pairs(HOOK) do
    if handlers[name][1] then bits = bits + bit end
  end
  return bits
end

function M.task_hooks(task)
  return (task.options.on_error and HOOK.error or 0) + (task.options.on_death and HOOK.death or 0)
end

--- Around a job -----------------------------------------------------------------------------------------------------------

-- Args as a list: nil is null, as in job.args.
local function list_of(n, ...)
  local list = { ... }
  for i = 1, n do
    if list[i] == nil then list[i] = core.null end
  end
  return list
end

-- Runs the chain from layer i on.  The args are those of job.args once anyone has read or set it.
local function step(chain, i, job, args)
  local layer = chain[i]
  while layer and layer.queues and not layer.queues[rawget(job, "queue")] do
    i = i + 1
    layer = chain[i]
  end
  if not layer then
    local now = rawget(job, "args")
    if now == nil then return chain.handler(job, unpack(args, 1, args.n)) end
    if type(now) ~= "table" then error("job.args was set to " .. schema.show(now) .. ", a list of args is expected", 0) end
    return chain.handler(job, unpack(now, 1, now.n or table.maxn(now)))
  end
  return layer.fn(job, function(...)
    local n = select("#", ...)
    if n > 0 then rawset(job, "args", list_of(n, ...)) end
    return step(chain, i + 1, job, args)
  end)
end

local function with_layers(task, fn)
  local chain = { handler = fn }
  for _, layer in ipairs(layers) do
    if not layer.tasks or layer.tasks[task.name] then chain[#chain + 1] = layer end
  end
  if not chain[1] then return fn end
  return function(job, ...) return step(chain, 1, job, { n = select("#", ...), ... }) end
end

-- A result that can't be stored makes the attempt fail: that is no success.
local function can_be_stored(result)
  return result == nil or core.encode(result, "result") ~= nil
end

local function with_handlers(task, fn)
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

--- A task's handler with everything around it; the handler itself when there is nothing.  Once the scripts are loaded.
-- @tparam table task of skein.tasks
-- @treturn function called as the handler is: fn(job, ...)
function M.compose(task) return with_handlers(task, with_layers(task, task.handler)) end

--- Around an enqueue --------------------------------------------------------------------------------------------------------

--- Whether there is middleware of enqueueing.
function M.has_enqueue() return enqueue_layers[1] ~= nil end

local function applies(layer, signature)
  return (not layer.tasks or layer.tasks[signature.task]) and (not layer.queues or layer.queues[signature.queue])
end

-- What a layer has returned, or else what its next gave, or else that it dropped the job.
local function outcome(layer, signature, called, handle, err, first, second)
  if first ~= nil or second ~= nil then return first, second end
  if called then return handle, err end
  return nil, errors.new("dropped", ("job of task %s was dropped by the middleware of %s"):format(schema.show(signature.task), layer.where))
end

local function enqueue_step(i, signature, last)
  local layer = enqueue_layers[i]
  while layer and not applies(layer, signature) do
    i = i + 1
    layer = enqueue_layers[i]
  end
  if not layer then return last(signature) end
  local called, handle, err = false, nil, nil
  local first, second = layer.fn(signature, function(changed)
    if changed ~= nil and type(changed) ~= "table" then errors.misuse("next: a signature is expected, not " .. type(changed)) end
    handle, err = enqueue_step(i + 1, changed or signature, last)
    called = true
    return handle, err
  end)
  return outcome(layer, signature, called, handle, err, first, second)
end

--- Passes a signature through the middleware.
-- @tparam table signature its to change: task, args, meta and queue are there
-- @tparam function last called as last(signature) -> handle, err for what comes out
-- @return what the outermost returns; without that what `last` gave; nil and an error "dropped" when it was not called
function M.through(signature, last) return enqueue_step(1, signature, last) end

return M
