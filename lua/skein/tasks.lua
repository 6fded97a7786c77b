--- The registry of tasks that scripts declare.
-- @module skein.tasks
local core = require "skein.core"
local schema = require "skein.schema"
local backoff = require "skein.backoff"
local errors = require "skein.errors"
local constraints = require "skein.constraints"
local floor = math.floor

local M = {
  by_name = {}, -- name -> task
  list = {},    -- in the order of declaration
  PASS = "_pass", -- the key of a stored meta that lists which of its keys are passed along
}

local function backoff_form(value)
  local text, expected = backoff.text(value)
  if not text then return expected end
end

local function names_of_meta(value)
  local expected = "a list of keys of meta"
  if type(value) ~= "table" then return expected end
  local count = 0
  for _ in pairs(value) do count = count + 1 end
  if count ~= #value then return expected end
  for i, key in ipairs(value) do
    if type(key) ~= "string" or key == "" or key == M.PASS then
      return nil, ("option pass_meta[%d] is %s, expected a key of meta"):format(i, schema.show(key))
    end
  end
end

--- The schema of the options that both tasks and single jobs take.
local OPTIONS = {
  queue = schema.name(),
  retries = schema.integer(0, core.LIMITS.retries),
  backoff = backoff_form,
  timeout = schema.positive_seconds,
  keep = schema.seconds,
  retry_queue = schema.name(),
  dead = schema.boolean,
  expires = schema.positive_seconds,
  priority = schema.integer(core.LIMITS.priority_min, core.LIMITS.priority_max),
  pass_meta = names_of_meta,
}

local function handler_function(value)
  if schema.callable(value) then return "a function (signatures of callbacks belong to what is enqueued)" end
end

local TASK_OPTIONS = { on_error = handler_function, on_death = handler_function, on_success = handler_function }
for key, check in pairs(OPTIONS) do TASK_OPTIONS[key] = check end
for key, check in pairs(constraints.task_options) do TASK_OPTIONS[key] = check end

--- The schema of the options of a single job.
M.job_options = {}
for key, check in pairs(OPTIONS) do M.job_options[key] = check end
for key, check in pairs(constraints.job_options) do M.job_options[key] = check end

--- Converts seconds to whole milliseconds. A time above 0 becomes at least 1 ms.
-- @tparam[opt] number seconds
-- @treturn[opt] number ms; nil for nil
function M.ms(seconds)
  if not seconds then return nil end
  local ms = floor(seconds * 1000 + 0.5)
  return ms == 0 and seconds > 0 and 1 or ms
end

--- Sets the fields of a record (core/logic/record.h) from options that were checked.
-- @tparam table record
-- @tparam table options
-- @treturn table record
function M.set_fields(record, options)
  record.queue = options.queue or record.queue
  record.priority = options.priority or record.priority
  -- The tests avoid assignments of nil, which would still enlarge the table.
  if options.retries then record.retries = options.retries end
  if options.backoff then record.backoff = backoff.text(options.backoff) end
  if options.timeout then record.timeout_ms = M.ms(options.timeout) end
  if options.keep then record.keep_ms = M.ms(options.keep) end
  if options.retry_queue then record.retry_queue = options.retry_queue end
  if options.dead ~= nil then record.keep_dead = options.dead and 1 or 0 end
  return record
end

-- Checks a declaration. Returns the message of its mistake, or nil, its lock and its limit.
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
  local lock, wrong_lock = constraints.lock(options)
  local limit, wrong_limit = constraints.limit(options)
  if wrong_lock or wrong_limit then return what .. ": " .. (wrong_lock or wrong_limit) end
  return nil, lock or nil, limit or nil
end

-- The meta of a template as JSON: it lists the keys that jobs inherit from the job that enqueues them.
local function pass_text(pass)
  if pass then return (core.encode({ [M.PASS] = pass })) end
end

--- Declares a task; see skein.task.
-- @tparam string name 1 to 200 bytes of [A-Za-z0-9_.:-]
-- @tparam[opt] table options see skein.task
-- @tparam function handler called as handler(job, args...)
-- @raise at the caller's line: a bad name, an unknown option, a name that is taken
-- @usage skein.task("add", { retries = 3 }, function(job, a, b) return a + b end)
function M.declare(name, options, handler)
  if handler == nil and schema.callable(options) == nil then options, handler = nil, options end
  options = options == nil and {} or options
  local problem, lock, limit = problem_of(name, options, handler)
  if problem then errors.misuse(problem) end
  local pass = options.pass_meta and options.pass_meta[1] and options.pass_meta or nil
  local record = M.set_fields({ task = name, queue = "default", meta = pass_text(pass) }, options)
  record.expires_ms = M.ms(options.expires)
  record.unique, record.limit = constraints.lock_template(lock), constraints.limit_template(limit)
  local task = {
    name = name, options = options, handler = handler, queue = record.queue, priority = options.priority or 0,
    lock = lock, limit = limit, pass = pass, record = core.record(record), where = errors.caller(),
  }
  M.by_name[name] = task
  M.list[#M.list + 1] = task
end

--- Makes every further declaration raise an error.
-- @tparam string why the end of the error message
function M.close(why) M.closed = why end

--- Raises an error if the scripts have loaded already.
-- @tparam string what the function that was called: "skein.use"
-- @tparam string things_are its subject and verb: "middleware is"
-- @raise at the caller's line
function M.need_loading(what, things_are)
  if M.closed then
    errors.misuse(("%s: %s declared while scripts load, not later: %s"):format(what, things_are, M.closed))
  end
end

return M
