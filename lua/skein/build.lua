--- Builds a job from a signature: checks the signature, adds the options of its task and the inherited meta, and
-- encodes the job's record.
-- @module skein.build
local core = require "skein.core"
local callbacks = require "skein.callbacks"
local catalog = require "skein.catalog"
local constraints = require "skein.constraints"
local meta = require "skein.meta"
local signatures = require "skein.signature"
local tasks = require "skein.tasks"
local floor, pairs, unpack = math.floor, pairs, unpack
local count_args, problem_of = signatures.count_args, signatures.problem

local M = {
  --- Largest size of the args of one job as JSON, in bytes; nil stands for SK_ARGS_BYTES_MAX (core/base/limits.h).
  args_bytes_max = nil,
}

--- Copies a signature for middleware, which may change the copy. The copy always has `args`, `meta` and `queue`.
-- @tparam table signature it was checked
-- @tparam[opt] table passed the meta that the enqueuing job passes along, as from meta.passed
-- @tparam number n number of args that follow; with 0 the signature's own args are taken
-- @param ... the args
-- @treturn table
-- @yields in a job
function M.copy(signature, passed, n, ...)
  local task = catalog.task(signature.task)
  local copy = {}
  for key, value in pairs(signature) do copy[key] = value end
  local args = n > 0 and { n = n, ... } or signature.args or {}
  copy.args = {}
  for i = 1, count_args(args) do
    local value = args[i]
    if value == nil then value = core.null end
    copy.args[i] = value
  end
  local merged, pass = meta.merge(signature, task, passed)
  copy.meta, copy.pass_meta, copy.queue = merged or {}, pass or signature.pass_meta, signature.queue or task.queue
  return copy
end

-- Sets the lock and the limit of a record. Returns the delay that the lock asks for, in ms; or nil and a message.
local function fill_constraints(record, signature, task, n, ...)
  local lock, limit = task.lock, task.limit
  local own, wrong = constraints.lock(signature, lock)
  if wrong then return nil, "job: " .. wrong end
  if own ~= nil then lock = own end
  own, wrong = constraints.limit(signature, limit)
  if wrong then return nil, "job: " .. wrong end
  if own ~= nil then limit = own end
  if not lock and not limit then return 0 end
  local args = n > 0 and { n = n, ... } or signature.args or {}
  local json, unencoded = core.encode_args(unpack(args, 1, count_args(args)))
  if not json then return nil, unencoded end
  local delay_ms, problem
  record.unique, record.limit, delay_ms, problem = constraints.of_job(signature.task, lock, limit, json, args)
  if problem then return nil, problem end
  return delay_ms
end

-- Whether a job has any of the options that most jobs lack: a lock, a limit, callbacks, immutable.
local function is_rare(signature, task)
  return task.lock or task.limit or signature.on_success or signature.on_error or signature.limit or signature.unique
    or signature.debounce or signature.throttle or signature.immutable
end

-- Sets the options that most jobs lack. Returns the delay that the lock asks for, in ms; or nil and a message.
local function fill_rare(record, signature, task, passed, depth, n, ...)
  local delay_ms, problem = fill_constraints(record, signature, task, n, ...)
  if not delay_ms then return nil, problem end
  problem = callbacks.fill(record, signature, passed, depth + 1, M)
  if problem then return nil, problem end
  if signature.immutable then record.immutable = 1 end
  return delay_ms
end

--- Builds one job.
-- @param signature any value; the function checks it
-- @tparam[opt] table passed the meta that the enqueuing job passes along, as from meta.passed
-- @tparam number depth 0 for a job, 1 for its callback, 2 for a callback of that, ...
-- @tparam number n number of args that follow; with 0 the signature's own args are taken
-- @param ... the args
-- @treturn[1] string the job as an item of an ENQUEUE request (core/engine/request.h)
-- @treturn[1] string the id
-- @return[2] nil
-- @treturn[2] string the message of a mistake
-- @raise the errors of key functions and of enqueue middleware
-- @yields in a job
function M.item(signature, passed, depth, n, ...)
  local problem = problem_of(signature)
  if problem then return nil, problem end
  local task = catalog.task(signature.task)
  local record = tasks.set_fields({
    id = signature.id, task = signature.task, queue = task.queue, priority = task.priority,
  }, signature)
  local inherited
  if signature.meta or passed then
    record.meta, inherited, problem = meta.text(signature, task, passed)
    if problem then return nil, problem end
  end
  if signature.expires then record.expires_ms = floor((core.now() + signature.expires) * 1000) end
  local due_ms, delay_ms, args = tasks.ms(signature.at) or 0, tasks.ms(signature.delay) or 0, signature.args
  if is_rare(signature, task) then
    local wait_ms
    wait_ms, problem = fill_rare(record, signature, task, inherited, depth, n, ...)
    if not wait_ms then return nil, problem end
    if not signature.at and not signature.delay then delay_ms = wait_ms end
  end
  local item, id
  if n > 0 or not args then
    item, id = core.item(record, due_ms, delay_ms, M.args_bytes_max, ...)
  else
    item, id = core.item(record, due_ms, delay_ms, M.args_bytes_max, unpack(args, 1, count_args(args)))
  end
  return item, id
end

--- Builds one job as a table, in which skein.delivery sets the outcome.
-- @param signature as for `item`
-- @tparam[opt] table passed as for `item`
-- @tparam number n as for `item`
-- @param ... the args
-- @treturn[1] table { item =, id =, block_ms =, fresh =, result = false }; fresh: the id was made here, so the store
-- cannot know it
-- @return[2] nil
-- @treturn[2] string the message of a mistake
-- @raise as `item`
-- @yields in a job
function M.job(signature, passed, n, ...)
  local item, id = M.item(signature, passed, 0, n, ...)
  if not item then return nil, id end
  local block_ms = signature.block and tasks.ms(signature.block) or 0
  return { item = item, id = id, block_ms = block_ms, fresh = not signature.id, result = false }
end

return M
