--- Enqueueing one job: the same in a job and in any LuaJIT program.
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

-- What comes out of the middleware is built and sent.
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

--- Adds a job.
-- @tparam string|table signature a task's name, or a table, which is not changed, so that it can be used many times:
-- `task`, `args`, `delay` (s), `at` (s since 1970), `meta` (a table that goes with it), `id`, `on_success`,
-- `on_error` (signatures, names, or lists of them: enqueued when it is done, with its result added to their args
-- unless it is `immutable`; or when it is dead, with the error's text before their args), `block` (s to wait for room
-- in a full queue), any option of skein.task but the functions.  As key of `unique`, `debounce`, `throttle` and
-- `limit` a text other than "args" is the key itself; false turns the task's off
-- @param ... the job's args (JSON values); when there are some they stand in for the signature's
-- @return a handle, or nil and an error: code "unavailable" (it was not added), "unknown_fate" (it may have been:
-- err.id and err.handle are that job's, so that one can ask; enqueue again with that id adds it once), "exists" (its
-- id or its unique key is taken: err.id, err.handle are that job's), "limit" (its queue is full: err.queue,
-- err.max_len), "dropped" (by middleware)
-- @raise at the caller's line what can't be stored, an unknown option, a limit passed
-- @yields in a job
-- @usage
-- local h = skein.enqueue({ task = "add", queue = "math", on_success = { task = "log", args = { "sum" } } }, 1, 2)
function M.enqueue(signature, ...)
  local handle, err = enqueue_one(signature, select("#", ...), ...) -- no tail call: it would hide the caller's line
  return handle, err
end

--- Adds a job that is due in `delay` seconds.
-- @tparam number delay seconds
-- @tparam string|table signature as for enqueue
-- @param ... the job's args
-- @return as enqueue
-- @raise as enqueue
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

--- Adds a job that is due at `time`; now, when that is past.
-- @tparam number time seconds since 1970
-- @tparam string|table signature as for enqueue
-- @param ... the job's args
-- @return as enqueue
-- @raise as enqueue
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
