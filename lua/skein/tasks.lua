--- The registry of tasks that scripts declare.
-- @module skein.tasks
local core = require "skein.core"
local schema = require "skein.schema"
local backoff = require "skein.backoff"
local errors = require "skein.errors"
local floor = math.floor

local M = {
  by_name = {}, -- name -> task
  list = {},    -- in the order of declaration
}

local function backoff_form(value)
  local text, expected = backoff.text(value)
  if not text then return expected end
end

--- What a task, and a single job, may set: a schema.
M.options = {
  queue = schema.name(core),
  retries = schema.integer(0, 1000000),
  backoff = backoff_form,
  timeout = schema.positive_seconds,
  keep = schema.seconds,
  retry_queue = schema.name(core),
  dead = schema.boolean,
  expires = schema.positive_seconds,
  priority = schema.integer(-2, 2),
}

local TASK_OPTIONS = { on_error = schema.callable, on_death = schema.callable }
for key, check in pairs(M.options) do TASK_OPTIONS[key] = check end

--- Seconds as whole milliseconds; what is more than nothing stays more than nothing.
-- @tparam[opt] number seconds
-- @treturn[opt] number
function M.ms(seconds)
  if not seconds then return nil end
  local ms = floor(seconds * 1000 + 0.5)
  return ms == 0 and seconds > 0 and 1 or ms
end

--- Fills the fields of a record (core/logic/record.h) from options that were checked.
function M.set_fields(record, options)
  record.queue = options.queue or record.queue
  record.priority = options.priority or record.priority
  -- Setting a field to nil makes room for it.
  if options.retries then record.retries = options.retries end
  if options.backoff then record.backoff = backoff.text(options.backoff) end
  if options.timeout then record.timeout_ms = M.ms(options.timeout) end
  if options.keep then record.keep_ms = M.ms(options.keep) end
  if options.retry_queue then record.retry_queue = options.retry_queue end
  if options.dead ~= nil then record.keep_dead = options.dead and 1 or 0 end
  return record
end

-- What is wrong with a declaration, nil when nothing.
local function problem_of(name, options, handler)
  if type(name) ~= "string" then return "skein.task: the name must be a string, not " .. type(name) end
  local ok, err = core.name_check("task", name)
  if not ok then return err end
  local what = ('skein.task "%s"'):format(name)
  if M.closed then return what .. ": tasks are declared while scripts load, not later: " .. M.closed end
  local problem = schema.check(what, options, TASK_OPTIONS)
  if problem then return problem end
  if schema.callable(handler) then return ("%s: the handler must be a function, not %s"):format(what, type(handler)) end
  local other = M.by_name[name]
  if other then return ("%s is declared already, at %s"):format(what, other.where) end
end

--- Declares a task.
-- @tparam string name 1 to 200 bytes of [A-Za-z0-9_.:-]
-- @tparam[opt] table options queue, retries, backoff, timeout (s), keep (s), retry_queue, dead, expires (s), priority, on_error,
-- on_death
-- @tparam function handler called as handler(job, args...)
-- @raise at the caller's line: a bad name, an unknown option, a name that is taken
-- @usage skein.task("add", { retries = 3 }, function(job, a, b) return a + b end)
function M.declare(name, options, handler)
  if handler == nil and schema.callable(options) == nil then options, handler = nil, options end
  options = options == nil and {} or options
  local problem = problem_of(name, options, handler)
  if problem then errors.misuse(problem) end
  local record = M.set_fields({ task = name, queue = "default" }, options)
  record.expires_ms = M.ms(options.expires)
  local task = { name = name, options = options, handler = handler, queue = record.queue,
    priority = options.priority or 0, record = core.record(record), where = errors.caller() }
  M.by_name[name] = task
  M.list[#M.list + 1] = task
end

--- From now on a declaration is an error, which says why.
-- @tparam string why
function M.close(why) M.closed = why end

return M
