--- Skein: background jobs. Scripts that `skein run` loads declare tasks with this module. Jobs, and any LuaJIT program,
-- enqueue jobs and manage them with it.
--
-- All times are in seconds. A function returns its value, or nil and an error table with the fields `code` and
-- `message`. A wrong argument raises an error at the caller's line.
-- @module skein
-- @usage
-- local skein = require "skein"
-- skein.task("add", { retries = 3 }, function(job, a, b) return a + b end)
-- local h = skein.enqueue("add", 1, 2)
-- print(h:wait(5))
local core = require "skein.core"
local client = require "skein.client"
local enqueue = require "skein.enqueue"
local enqueue_many = require "skein.enqueue_many"
local errors = require "skein.errors"
local hooks = require "skein.hooks"
local middleware = require "skein.middleware"
local queues = require "skein.queues"
local schema = require "skein.schema"
local tasks = require "skein.tasks"
local error, setmetatable, type = error, setmetatable, type

local M = {
  --- JSON's null. The handler receives this value for an argument that was nil.
  null = core.null,
  --- Marks a table as an array: an empty array is stored as [], an unmarked empty table as {}.
  -- @function array
  -- @tparam table list
  -- @treturn table the same table
  array = core.array,
  --- The current time.
  -- @function now
  -- @treturn number seconds since 1970, with a fraction
  now = core.now,
  connect = client.connect,
  close = client.close,
  handle = client.handle,
  enqueue = enqueue.enqueue,
  enqueue_in = enqueue.enqueue_in,
  enqueue_at = enqueue.enqueue_at,
  enqueue_many = enqueue_many.enqueue_many,
  admin = require "skein.admin",
}

--- Declares a task. Scripts call it while they load.
--
-- Options (all optional):
--
-- - `queue`: the queue's name (default "default"). `priority`: -2 to 2 (default 0).
-- - `timeout`: seconds that one attempt may run. `expires`: seconds after the enqueue; a job that has not started by
--   then dies.
-- - `retries`: number of attempts after the first. `backoff`: the delay before each retry. `retry_queue`: the queue
--   for retries.
-- - `keep`: seconds for which a finished job stays visible. `dead`: false deletes a job that dies, instead of keeping
--   it.
-- - `unique`: true, or { key =, ttl = seconds, on_conflict = "reject" or "replace" }: one job for each key at a time.
-- - `debounce`: seconds, or { wait = seconds, key = }: each further enqueue delays the job again.
-- - `throttle`: seconds, or { per = seconds, key = }: one enqueue in that time. A task takes at most one of `unique`,
--   `debounce` and `throttle`.
-- - `limit`: { concurrency =, rate =, per = seconds (default 1), burst = (default 1), key =, order = "any" or
--   "strict" }. The limit holds across all engines. With "strict" the jobs of one key run one at a time, and a job that
--   waits for its retry delays the jobs behind it.
-- - `key` in these tables: "args" (all arguments), the number of one argument, or a function that receives the
--   arguments and returns a string or number, or false for no key. By default a lock (`unique`, `debounce`,
--   `throttle`) is keyed on all arguments, and a limit applies to the whole task.
-- - `pass_meta`: a list of keys of the job's meta. Each job that this job enqueues, callbacks included, inherits them
--   and passes them on.
-- - `on_error`, `on_death`, `on_success`: functions with the arguments of the handlers of `skein.on`.
-- @tparam string name 1 to 200 bytes of [A-Za-z0-9_.:-]
-- @tparam[opt] table options see above
-- @tparam function handler called as handler(job, args...); its return value is the job's result
-- @raise at the caller's line: a bad name, an unknown option, a name that is taken, a call after the scripts have
-- loaded
-- @usage skein.task("add", { retries = 3, timeout = 5 }, function(job, a, b) return a + b end)
function M.task(name, options, handler)
  tasks.declare(name, options, handler)
end

--- Configures a queue for all engines. Scripts call it while they load.
--
-- Options:
--
-- - `max_len`: the largest number of waiting jobs (scheduled, ready or to be retried).
-- - `overflow`: the behaviour of an enqueue while the queue is full. "reject" (the default) returns nil and an error
--   with code "limit"; "drop_oldest" deletes the oldest ready job of the lowest priority; "block" waits for room.
-- - `block`: seconds that "block" waits at most (default 30).
-- - `limit`: { concurrency =, rate =, per = seconds (default 1), burst = (default 1) } for all jobs that run from this
--   queue.
-- @tparam string name 1 to 200 bytes of [A-Za-z0-9_.:-]
-- @tparam table options see above
-- @raise at the caller's line: a bad name, an unknown option, a queue that is declared already
-- @usage skein.queue("mail", { max_len = 10000, overflow = "block", block = 5, limit = { rate = 100, per = 60 } })
function M.queue(name, options) queues.declare(name, options) end

--- Adds middleware: a function that runs around every job. Scripts call it while they load. The function that is
-- declared first is the outermost.
--
-- `next()` runs the inner middleware and the handler with the job's arguments, and returns the handler's result or
-- raises its error. `next(...)` replaces the arguments, in job.args too; assigning job.args has the same effect. The
-- return value of `fn` is the job's result, and an error in `fn` fails the attempt. `fn` may wait, call `next`
-- several times, or not call it.
-- @tparam function fn called as fn(job, next)
-- @tparam[opt] table only { tasks =, queues = }, each a name or a list of names; default: all jobs
-- @raise at the caller's line: a first argument that is no function, an unknown option, a call after the scripts have
-- loaded
-- @usage
-- skein.use(function(job, next)
--   local from = skein.now()
--   local result = next()
--   job:log("took %.3f s", skein.now() - from)
--   return result
-- end, { queues = "mail" })
function M.use(fn, only) middleware.use(fn, only) end

--- Adds middleware that runs around every enqueue of this program, including the enqueue of callbacks (on_success,
-- on_error). The function that is declared first is the outermost. Scripts call it while they load; other programs may
-- call it at any time.
--
-- `fn` may change the signature; its fields task, args (a list), meta (a table) and queue are always set.
-- `next(signature)` enqueues the job and returns its handle, or nil and an error. The enqueue function returns what
-- `fn` returns. If `fn` neither calls `next` nor returns a value, the job is dropped: the enqueue function returns nil
-- and an error with code "dropped".
-- @tparam function fn called as fn(signature, next)
-- @tparam[opt] table only { tasks =, queues = }, each a name or a list of names; default: all jobs
-- @raise at the caller's line: a first argument that is no function, an unknown option, a call in scripts after they
-- have loaded
-- @usage
-- skein.use_enqueue(function(signature, next)
--   signature.meta.tenant = current_tenant()
--   return next(signature)
-- end)
function M.use_enqueue(fn, only) middleware.use_enqueue(fn, only) end

--- Registers a handler for all tasks. Scripts call it while they load. A handler may wait. An error in a handler is
-- logged and does not change the job.
--
-- - "error": fn(job, err) runs after each failed attempt that will be retried. The fields of err are message,
--   traceback, kind ("error", "timeout", "crash", "expired", "unknown_task", "fail" or "result"), attempt, and value
--   (the value that was raised).
-- - "death": fn(job, err) runs in place of "error" after the last attempt. It also runs when the job died elsewhere,
--   for example in a worker that crashed.
-- - "success": fn(job, result) runs after an attempt that succeeded.
-- - "event": fn(event) runs for each change of a job's state in this process. The event is { type = "job", id =,
--   task =, queue =, from =, to =, attempt =, at =, error = }: `from` and `to` are states as in handle:state(), or
--   "discarded"; `at` is in seconds since 1970; `error` has the fields of err above. Jobs that this handler enqueues
--   cause no event. A crash that the job survives causes none either; the next event is its new start.
-- @tparam string event "error", "death", "success" or "event"
-- @tparam function fn
-- @raise at the caller's line: an unknown event, a second argument that is no function, a call after the scripts have
-- loaded
-- @usage skein.on("death", function(job, err) skein.enqueue("alert", job.id, err.message) end)
function M.on(event, fn) hooks.on(event, fn) end

--- Ends the current attempt as failed and retries the job after a delay, if a retry is left. Call it inside a job; it
-- does not return. `job:snooze` delays a job without using up a retry.
-- @tparam number seconds delay before the retry
-- @param[opt] reason a string, or any error value
-- @raise always
-- @usage if busy then skein.retry_in(30, "the mail server is busy") end
function M.retry_in(seconds, reason)
  local problem = schema.seconds(seconds)
  if problem then
    errors.misuse(("skein.retry_in: the delay is %s, expected %s"):format(schema.show(seconds), problem))
  end
  error(errors.verdict("retry", seconds, reason ~= nil and errors.text(reason) or "retry later"), 0)
end

--- Ends the current job as dead, even if retries are left. Call it inside a job; it does not return.
-- @param[opt] reason a string, or any error value
-- @raise always
-- @usage if not user then skein.fail("no such user") end
function M.fail(reason)
  error(errors.verdict("fail", nil, reason ~= nil and errors.text(reason) or "failed"), 0)
end

--- Deletes the current job: it is neither done nor dead. Call it inside a job; it does not return.
-- @param[opt] reason a string, or any error value
-- @raise always
-- @usage if stale then skein.discard("the order was withdrawn") end
function M.discard(reason)
  error(errors.verdict("discard", nil, reason ~= nil and errors.text(reason) or "discarded"), 0)
end

--- Waits inside a job without blocking the worker's other jobs.
-- @tparam number seconds 0 or more, fractions allowed; the wait is never shorter
-- @raise outside a job; when the job is cancelled or its timeout has passed
-- @yields
-- @usage skein.sleep(0.5)
function M.sleep()
  errors.misuse("skein.sleep: can only be used inside a job")
end

--- Runs fn(...) in a thread of the current job. The thread runs at once until its first wait. All threads end with
-- their job. A failure of a thread that no code waits for is logged.
-- @tparam function fn
-- @param ... the arguments of fn
-- @return thread; thread:wait() returns the results of fn, or nil and its error
-- @raise outside a job; when the job is cancelled or its timeout has passed
-- @yields
-- @usage
-- local a, b = skein.spawn(fetch, "a"), skein.spawn(fetch, "b")
-- return { a:wait(), b:wait() }
function M.spawn()
  errors.misuse("skein.spawn: can only be used inside a job")
end

-- Makes a misspelt field raise an error that suggests the right name, instead of "attempt to call a nil value".
local function strict(fields, what)
  setmetatable(fields, { __index = function(_, name)
    if type(name) == "string" then errors.misuse(schema.unknown_field(what, name, fields)) end
  end })
end

strict(M, "skein")
strict(M.admin, "skein.admin")

return M
