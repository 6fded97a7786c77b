--- Functions that scripts put around jobs (skein.use) and around enqueues (skein.use_enqueue). A task without
-- middleware and without event handlers (hooks.lua) pays nothing: its own handler runs. The module keeps the globals
-- it needs in locals, since scripts may replace globals.
-- @module skein.middleware
local core = require "skein.core"
local errors = require "skein.errors"
local hooks = require "skein.hooks"
local schema = require "skein.schema"
local tasks = require "skein.tasks"
local error, ipairs, pairs, rawget, rawset, select, type, unpack = error, ipairs, pairs, rawget, rawset, select,
  type, unpack

local M = {}

--- Registering ------------------------------------------------------------------------------------------------------

local layers = {}          -- layers of skein.use in the order of declaration: { fn, tasks, queues, where }
local enqueue_layers = {}  -- layers of skein.use_enqueue in the order of declaration

local ONLY = { tasks = schema.names(), queues = schema.names() }

-- Converts a name or a list of names to a set; nil stays nil.
local function set_of(names)
  if names == nil then return nil end
  local set = {}
  for _, name in ipairs(type(names) == "string" and { names } or names) do set[name] = true end
  return set
end

local function add_layer(what, list, fn, only)
  if schema.callable(fn) then errors.misuse(what .. ": a function is expected, not " .. type(fn)) end
  local problem = only ~= nil and schema.check(what, only, ONLY)
  if problem then errors.misuse(problem) end
  tasks.need_loading(what, "middleware is")
  only = only or {}
  list[#list + 1] = { fn = fn, tasks = set_of(only.tasks), queues = set_of(only.queues), where = errors.caller() }
end

--- Puts a function around every job; see skein.use.
function M.use(fn, only) add_layer("skein.use", layers, fn, only) end

--- Puts a function around every enqueue; see skein.use_enqueue.
function M.use_enqueue(fn, only) add_layer("skein.use_enqueue", enqueue_layers, fn, only) end

--- Removes all middleware; for specs of scripts.
function M.reset()
  for i = #layers, 1, -1 do layers[i] = nil end
  for i = #enqueue_layers, 1, -1 do enqueue_layers[i] = nil end
end

--- Checks that every task that middleware names is declared. Call it after all scripts have loaded.
-- @treturn[opt] string the message `file:line: ...` for the first unknown task; nil if there is none
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

--- Around a job -----------------------------------------------------------------------------------------------------

-- Makes a list of arguments, with skein.null for nil, as in job.args.
local function list_of(n, ...)
  local list = { ... }
  for i = 1, n do
    if list[i] == nil then list[i] = core.null end
  end
  return list
end

-- Runs the chain from layer i on. Once code has read or set job.args, the arguments come from there.
local function step(chain, i, job, args)
  local layer = chain[i]
  while layer and layer.queues and not layer.queues[rawget(job, "queue")] do
    i = i + 1
    layer = chain[i]
  end
  if not layer then
    local now = rawget(job, "args")
    if now == nil then return chain.handler(job, unpack(args, 1, args.n)) end
    if type(now) ~= "table" then
      error("job.args was set to " .. schema.show(now) .. ", a list of args is expected", 0)
    end
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

--- Puts the middleware and the event handlers around a task's handler. Call it after all scripts have loaded.
-- @tparam table task of skein.tasks
-- @treturn function fn(job, ...); the handler itself if nothing is around it
function M.compose(task) return hooks.around(task, with_layers(task, task.handler)) end

--- Around an enqueue ------------------------------------------------------------------------------------------------

--- Whether any enqueue middleware is declared.
-- @treturn boolean
function M.has_enqueue() return enqueue_layers[1] ~= nil end

local function applies(layer, signature)
  return (not layer.tasks or layer.tasks[signature.task]) and (not layer.queues or layer.queues[signature.queue])
end

-- The results of a layer; by default those of its `next`; if it called no `next`, the error "dropped".
local function outcome(layer, signature, called, handle, err, first, second)
  if first ~= nil or second ~= nil then return first, second end
  if called then return handle, err end
  return nil, errors.new("dropped",
    ("job of task %s was dropped by the middleware of %s"):format(schema.show(signature.task), layer.where))
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
    if changed ~= nil and type(changed) ~= "table" then
      errors.misuse("next: a signature is expected, not " .. type(changed))
    end
    handle, err = enqueue_step(i + 1, changed or signature, last)
    called = true
    return handle, err
  end)
  return outcome(layer, signature, called, handle, err, first, second)
end

--- Runs the enqueue middleware for one signature.
-- @tparam table signature from build.copy; the middleware may change it
-- @tparam function last called after the middleware as last(signature) -> handle, err
-- @return[1] the results of the outermost middleware; if it returns nothing, those of its `next`
-- @return[2] nil
-- @treturn[2] table an error with code "dropped", if a middleware neither called `next` nor returned a value
-- @raise the errors of the middleware; at the caller's line: `next` was called with a value that is no signature
-- @yields where a middleware waits
function M.through(signature, last) return enqueue_step(1, signature, last) end

return M
