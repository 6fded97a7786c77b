--- Skein: background jobs and workflows.
-- In scripts that `skein run` loads: declare tasks.  In jobs and in any LuaJIT program: enqueue jobs and look after them.
-- Times are seconds.  Functions return a value, or nil and an error with `.code` and `.message`; misuse raises an error at the
-- caller's line.
-- @module skein
-- @usage
-- local skein = require "skein"
-- skein.task("add", { retries = 3 }, function(job, a, b) return a + b end)
-- local h = skein.enqueue("add", 1, 2)
-- print(h:wait(5))
local core = require "skein.core"
local client = require "skein.client"
local errors = require "skein.errors"
local schema = require "skein.schema"
local tasks = require "skein.tasks"
local error, type = error, type

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
  enqueue = client.enqueue,
  enqueue_in = client.enqueue_in,
  enqueue_at = client.enqueue_at,
  enqueue_many = client.enqueue_many,
  admin = require "skein.admin",
}

--- Declares a task, while scripts load.
-- @tparam string name 1 to 200 bytes of [A-Za-z0-9_.:-]
-- @tparam[opt] table options `queue`, `retries` (attempts after the first), `backoff`, `timeout` (s, per attempt), `keep` (s),
-- `retry_queue`, `dead`, `expires` (s), `priority` (-2 to 2), `on_error`, `on_death`
-- @tparam function handler called as handler(job, args...); what it returns is the job's result
-- @raise at the caller's line: a bad name, an unknown option, a name that is taken
-- @usage skein.task("add", { retries = 3, timeout = 5 }, function(job, a, b) return a + b end)
function M.task(name, options, handler)
  tasks.declare(name, options, handler)
end

local HANDLERS = { error = true, death = true }

--- Registers a handler for all tasks, while scripts load: "error" is called for each failed attempt that will be retried, "death"
-- instead of it for the last one.
-- @tparam string event
-- @tparam function fn called as fn(job, err): err.message, err.traceback, err.kind, err.attempt, err.value (what was raised).  It may
-- wait; an error in it is logged.
-- @raise at the caller's line: an unknown event, no function, after the scripts have loaded
-- @usage skein.on("death", function(job, err) skein.enqueue("alert", job.id, err.message) end)
function M.on(event, fn)
  if not HANDLERS[event] then
    local near = type(event) == "string" and schema.nearest(event, HANDLERS)
    errors.misuse(("skein.on: unknown event %s%s"):format(schema.show(event), near and (', did you mean "%s"?'):format(near) or ""))
  end
  if schema.callable(fn) then errors.misuse("skein.on: a function is expected, not " .. type(fn)) end
  if tasks.closed then errors.misuse("skein.on: handlers are declared while scripts load, not later: " .. tasks.closed) end
  local list = require("skein.worker").handlers[event]
  list[#list + 1] = fn
end

--- In a job: ends this attempt as failed, to be retried in that many seconds (if a retry is left).  Does not return.
-- @tparam number seconds
-- @param[opt] reason a text, or any error value
-- @raise always
-- @usage if busy then skein.retry_in(30, "the mail server is busy") end
function M.retry_in(seconds, reason)
  local problem = schema.seconds(seconds)
  if problem then errors.misuse(("skein.retry_in: the delay is %s, expected %s"):format(schema.show(seconds), problem)) end
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

--- In a job: runs fn(...) beside it, at once until it first waits.  Threads end with their job; a failure that nobody waits for is
-- logged.
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

return M
