--- The registry of tasks that scripts declare.
-- @module skein.tasks
local core = require "skein.core"
local schema = require "skein.schema"
local backoff = require "skein.backoff"

local M = { by_name = {}, list = {} }

local function backoff_form(value)
  local text, expected = backoff.text(value)
  if not text then return expected end
end

--- What a task, and a single job, may set.
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

local function ms(seconds)
  return seconds and math.floor(seconds * 1000 + 0.5)
end

--- Fills the fields of a record (core/logic/record.h) from options that were checked.
function M.set_fields(record, options)
  record.queue = options.queue or record.queue
  record.retries = options.retries
  record.backoff = options.backoff and backoff.text(options.backoff) or nil
  record.timeout_ms = ms(options.timeout)
  record.keep_ms = ms(options.keep)
  record.retry_queue = options.retry_queue
  record.priority = options.priority or record.priority
  if options.dead ~= nil then record.keep_dead = options.dead and 1 or 0 end
  return record
end

local function where(level)
  local info = debug.getinfo(level + 1, "Sl")
  return info and ("%s:%d"):format(info.short_src, info.currentline) or "?"
end

--- Declares a task.
-- @tparam string name 1 to 200 bytes of [A-Za-z0-9_.:-]
-- @tparam[opt] table options queue, retries, backoff, timeout, keep, retry_queue, dead, expires, priority, on_error, on_death
-- @tparam function handler called as handler(job, args...)
-- @raise at the caller's line: a bad name, an unknown option, a name that is taken
-- @usage skein.task("add", { retries = 3 }, function(job, a, b) return a + b end)
function M.declare(name, options, handler)
  if handler == nil and (type(options) == "function" or schema.callable(options) == nil) then options, handler = {}, options end
  local ok, err = type(name) == "string" and core.name_check("task", name)
  if not ok then error(err or ("skein.task: the name must be a string, not " .. type(name)), 3) end
  local problem = schema.check(('skein.task "%s"'):format(name), options, TASK_OPTIONS)
  if not problem and schema.callable(handler) then
    problem = ('skein.task "%s": the handler must be a function, not %s'):format(name, type(handler))
  end
  local other = M.by_name[name]
  if not problem and other then problem = ('skein.task "%s" is declared already, at %s'):format(name, other.where) end
  if problem then error(problem, 3) end
  local record = M.set_fields({ task = name, queue = "default" }, options)
  record.expires_ms = ms(options.expires)
  local task = { name = name, options = options, handler = handler, queue = record.queue,
    priority = options.priority or 0, record = core.record(record), where = where(3) }
  M.by_name[name] = task
  M.list[#M.list + 1] = task
  return task
end

M.ms = ms

return M
