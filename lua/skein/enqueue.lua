--- Enqueues one job. The functions work the same in a job and in any LuaJIT program.
--
--   signature -> middleware.lua -> build.lua: the job's record -> delivery.lua: a request to the store
-- @module skein.enqueue
local build = require "skein.build"
local client = require "skein.client"
local delivery = require "skein.delivery"
local errors = require "skein.errors"
local middleware = require "skein.middleware"
local schema = require "skein.schema"
local signatures = require "skein.signature"
local select, type = select, type

local M = {}

local function send_one(job)
  local ok, err = delivery.send({ job }, job.block_ms)
  if not ok then return nil, err end
  return job.result or nil, job.err
end

-- Builds and sends the signature that the middleware returned.
local function last_of_one(signature)
  local job, problem = build.job(signature, nil, 0)
  if not job then errors.misuse(problem) end
  return send_one(job)
end

local function enqueue_within(signature, n, ...)
  if type(signature) == "string" then signature = { task = signature } end
  local passed = client.passed()
  if middleware.has_enqueue() then
    local problem = signatures.problem(signature)
    if problem then errors.misuse(problem) end
    local handle, err = middleware.through(build.copy(signature, passed, n, ...), last_of_one)
    return handle, err
  end
  local job, problem = build.job(signature, passed, n, ...)
  if not job then errors.misuse(problem) end
  return send_one(job)
end

local function enqueue_one(signature, n, ...)
  client.begin_enqueue()
  local handle, err = enqueue_within(signature, n, ...)
  client.end_enqueue()
  return handle, err
end

--- Enqueues a job. The signature is a task's name, or a table, which the function does not change. Its fields:
--
-- - `task`: the task's name. `args`: a list of JSON values. `meta`: a table of JSON values that accompanies the job.
-- - `delay` (seconds) or `at` (seconds since 1970): the time at which the job is due.
-- - `id`: the job's id; by default a new one.
-- - `on_success`, `on_error`: callbacks, each a signature, a name, or a list of these. The engine enqueues on_success
--   when the job is done and adds the job's result after the callback's arguments, on_error when the job is dead, with
--   the error's text before them. A callback with `immutable` receives only its own arguments.
-- - `block`: seconds to wait for room in a full queue.
-- - the options of skein.task except its functions. `key` in `unique`, `debounce`, `throttle` and `limit` is "args" or
--   the key itself; false in place of the option disables that of the task.
-- @tparam string|table signature see above
-- @param ... the job's arguments (JSON values); if there are any, they replace the signature's
-- @treturn[1] table the job's handle
-- @return[2] nil
-- @treturn[2] table an error. Its code is "unavailable" (the job was not added), "unknown_fate" (the job may have been
-- added: err.id and err.handle identify it; a second enqueue with that id adds it only once), "exists" (the id or the
-- unique key is taken by the job err.id, err.handle), "limit" (the queue is full: err.queue, err.max_len) or "dropped"
-- (by middleware)
-- @raise at the caller's line: a value that JSON cannot store, an unknown option, a value beyond a limit
-- @yields in a job
-- @usage
-- local h = skein.enqueue({ task = "add", queue = "math", on_success = { task = "log", args = { "sum" } } }, 1, 2)
function M.enqueue(signature, ...)
  local handle, err = enqueue_one(signature, select("#", ...), ...) -- no tail call: it would hide the caller's line
  return handle, err
end

--- Enqueues a job that is due after a delay.
-- @tparam number delay seconds
-- @tparam string|table signature as for enqueue
-- @param ... the job's arguments
-- @return as skein.enqueue
-- @raise as skein.enqueue
-- @yields in a job
-- @usage skein.enqueue_in(0.5, "add", 1, 2)
function M.enqueue_in(delay, signature, ...)
  local problem = schema.seconds(delay)
  if problem then
    errors.misuse(("skein.enqueue_in: the delay is %s, expected %s"):format(schema.show(delay), problem))
  end
  local handle, err = enqueue_one(signatures.with(signature, "delay", delay), select("#", ...), ...)
  return handle, err
end

--- Enqueues a job that is due at a time. A past time means now.
-- @tparam number time seconds since 1970
-- @tparam string|table signature as for enqueue
-- @param ... the job's arguments
-- @return as skein.enqueue
-- @raise as skein.enqueue
-- @yields in a job
-- @usage skein.enqueue_at(os.time() + 60, "add", 1, 2)
function M.enqueue_at(time, signature, ...)
  local problem = schema.moment(time)
  if problem then
    errors.misuse(("skein.enqueue_at: the time is %s, expected %s"):format(schema.show(time), problem))
  end
  local handle, err = enqueue_one(signatures.with(signature, "at", time), select("#", ...), ...)
  return handle, err
end

return M
