--- Skein: background jobs. In scripts that `skein run` loads: declare tasks.  In jobs and in any LuaJIT program:
-- enqueue jobs and look after them. Times are seconds.  Functions return a value, or nil and an error with `.code`
-- and `.message`; misuse raises an error at the caller's line.
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
  --- JSON's null: an arg that is nil arrives as this.
  null = core.null,
  --- Marks a table as an array, so that an empty one is stored as [] and not as {}.
  array = core.array,
  --- Seconds since 1970, with a fraction.
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

--- Declares a task, while scripts load.
-- @tparam string name 1 to 200 bytes of [A-Za-z0-9_.:-]
-- @tparam[opt] table options
--
-- - `queue`, `priority` (-2 to 2), `expires` (s after enqueue), `timeout` (s, per attempt)
-- - `retries` (attempts after the first), `backoff`, `retry_queue`, `dead` (false: not kept when dead), `keep` (s)
-- - `unique`: true, or { key =, ttl = (s), on_conflict = "reject" or "replace" }.  `debounce`: s, or { wait =, key =
-- }: each enqueue
--   puts the job off.  `throttle`: s, or { per =, key = }: one enqueue in that time.  At most one of the three
-- - `limit`: { concurrency =, rate =, per = (s, default 1), burst = (default 1), key =, order = "any" or "strict"
-- (one at a time, and
--   one that waits for its retry holds up the others of its key) }, across all engines
-- - their `key`: "args" (all of them; what unique, debounce and throttle do without one), the number of an arg, or a
-- function(...) of
--   the args that returns a text or number, or false for none; a limit without one is for the whole task
-- - `pass_meta`: a list of keys of meta that are passed along to whatever the job enqueues, its callbacks included,
-- and on from there
-- - `on_error`, `on_death`, `on_success`: functions, as those of skein.on
-- @tparam function handler called as handler(job, args...); what it returns is the job's result
-- @raise at the caller's line: a bad name, an unknown option, a name that is taken
-- @usage skein.task("add", { retries = 3, timeout = 5 }, function(job, a, b) return a + b end)
function M.task(name, options, handler)
  tasks.declare(name, options, handler)
end

--- Configures a queue, while scripts load; across all engines.
-- @tparam string name
-- @tparam table options `max_len` (jobs that wait: scheduled, ready or to be retried), `overflow` when it is full:
-- "reject" (the default: enqueue returns nil and an error with code "limit"), "drop_oldest", or "block" (enqueue
-- waits for room, `block` seconds at the most, default 30); `limit` = { concurrency =, rate =, per = (s, default 1),
-- burst = (default 1) } of all that runs from it
-- @raise at the caller's line: a bad name, an unknown option, a queue that is declared already
-- @usage skein.queue("mail", { max_len = 10000, overflow = "block", block = 5, limit = { rate = 100, per = 60 } })
function M.queue(name, options) queues.declare(name, options) end

--- Puts a function around every job, while scripts load; what is declared first is outermost.
-- @tparam function fn called as fn(job, next).  next() runs what is inside with the job's args; next(...) with other
-- ones, which job.args is from then on; setting job.args does the same.  It returns the handler's result, or raises
-- its error.  What fn returns is the job's result; what it raises is the job's error; it may wait, call next again,
-- or not at all
-- @tparam[opt] table only { tasks =, queues = }: a name or a list of names; without it: all
-- @raise at the caller's line: no function, an unknown option, after the scripts have loaded
-- @usage
-- skein.use(function(job, next)
--   local from = skein.now()
--   local result = next()
--   job:log("took %.3f s", skein.now() - from)
--   return result
-- end, { queues = "mail" })
function M.use(fn, only) middleware.use(fn, only) end

--- Puts a function around every enqueue of this program, callbacks (on_success, on_error) included; what is declared
-- first is outermost. In scripts: while they load.
-- @tparam function fn called as fn(signature, next).  The signature is fn's to change, its task, args (a list), meta
-- (a table) and queue are there.  next(signature) adds it and returns a handle, or nil and an error.  What fn returns
-- enqueue returns; without calling next and returning anything the job is dropped: enqueue returns nil and an error
-- with code "dropped"
-- @tparam[opt] table only { tasks =, queues = }: a name or a list of names; without it: all
-- @raise at the caller's line: no function, an unknown option, in scripts after they have loaded
-- @usage
-- skein.use_enqueue(function(signature, next)
--   signature.meta.tenant = current_tenant()
--   return next(signature)
-- end)
function M.use_enqueue(fn, only) middleware.use_enqueue(fn, only) end

--- Registers a handler for all tasks, while scripts load.  It may wait; an error in it is logged and changes nothing.
--
-- - "error": fn(job, err), for each failed attempt that will be retried: err.message, err.traceback, err.kind
-- ("error", "timeout",
--   "crash", "expired", "unknown_task", "fail", "result"), err.attempt, err.value (what was raised)
-- - "death": the same instead of it for the last one, wherever the job has died: after a crash in another worker
-- - "success": fn(job, result)
-- - "event": fn(event), for what this process sees of each job: { type = "job", id =, task =, queue =, from =, to =
-- (states, as in
--   handle:state(); "discarded"), attempt =, at =, error = (as above) }.  What it enqueues itself is no event, nor is
-- a crash that its
--   job outlives: the next is its start again
-- @tparam string event
-- @tparam function fn
-- @raise at the caller's line: an unknown event, no function, after the scripts have loaded
-- @usage skein.on("death", function(job, err) skein.enqueue("alert", job.id, err.message) end)
function M.on(event, fn) hooks.on(event, fn) end

--- In a job: ends this attempt as failed, to be retried in that many seconds (if a retry is left; job:snooze costs
-- none). Does not return.
-- @tparam number seconds
-- @param[opt] reason a text, or any error value
-- @raise always
-- @usage if busy then skein.retry_in(30, "the mail server is busy") end
function M.retry_in(seconds, reason)
  local problem = schema.seconds(seconds)
  if problem then
    errors.misuse(("skein.retry_in: the delay is %s, expected %s"):format(schema.show(seconds), problem))
  end
  error(errors.verdict("retry", seconds, reason ~= nil and errors.text(reason) or "retry later"), 0)
end

--- In a job: it is dead now, whatever retries are left.  Does not return.
-- @param[opt] reason a text, or any error value
-- @raise always
-- @usage if not user then skein.fail("no such user") end
function M.fail(reason)
  error(errors.verdict("fail", nil, reason ~= nil and errors.text(reason) or "failed"), 0)
end

--- In a job: it is dropped, neither done nor dead.  Does not return.
-- @param[opt] reason a text, or any error value
-- @raise always
function M.discard(reason)
  error(errors.verdict("discard", nil, reason ~= nil and errors.text(reason) or "discarded"), 0)
end

--- In a job: waits without blocking the worker.
-- @tparam number seconds 0 or more, fractions allowed; never wakes early
-- @raise when the job is cancelled or past its timeout
-- @yields
-- @usage skein.sleep(0.5)
function M.sleep()
  errors.misuse("skein.sleep: can only be used inside a job")
end

--- In a job: runs fn(...) beside it, at once until it first waits.  Threads end with their job; a failure that nobody
-- waits for is logged.
-- @tparam function fn
-- @param ... its arguments
-- @return thread; thread:wait() returns what fn returned, or nil and its error
-- @raise when the job is cancelled or past its timeout
-- @usage
-- local a, b = skein.spawn(fetch, "a"), skein.spawn(fetch, "b")
-- return { a:wait(), b:wait() }
function M.spawn()
  errors.misuse("skein.spawn: can only be used inside a job")
end

-- A misspelt function is said where it stands, and not that nil was called.
local function strict(fields, what)
  setmetatable(fields, { __index = function(_, name)
    if type(name) == "string" then errors.misuse(schema.unknown_field(what, name, fields)) end
  end })
end

strict(M, "skein")
strict(M.admin, "skein.admin")

return M
