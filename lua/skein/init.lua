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

--- Declares a task; see skein.tasks.
function M.task(name, options, handler)
  tasks.declare(name, options, handler)
end

local HANDLERS = { error = true, death = true }

--- Registers a handler for all tasks: "error" (each failed attempt that will be retried), "death" (instead of it, on the last one).
-- @tparam string event
-- @tparam function fn called as fn(job, err): err.message, err.traceback, err.kind, err.attempt
function M.on(event, fn)
  if not HANDLERS[event] then
    local near = type(event) == "string" and schema.nearest(event, HANDLERS)
    error(('skein.on: unknown event "%s"%s'):format(tostring(event), near and (', did you mean "%s"?'):format(near) or ""), 2)
  end
  if schema.callable(fn) then error("skein.on: a function is expected, not " .. type(fn), 2) end
  local list = require("skein.worker").handlers[event]
  list[#list + 1] = fn
end

local function delay_of(what, seconds)
  local problem = schema.seconds(seconds)
  if problem then error(what .. ": " .. problem .. " is expected, not " .. tostring(seconds), 3) end
  return seconds
end

--- In a job: ends this attempt as failed, to be retried in that many seconds (if a retry is left).  Does not return.
function M.retry_in(seconds, reason)
  error(errors.verdict("retry", delay_of("skein.retry_in", seconds), reason and tostring(reason) or "retry later"), 0)
end

--- In a job: it is dead now, whatever retries are left.  Does not return.
function M.fail(reason)
  error(errors.verdict("fail", nil, reason and errors.text(reason) or "failed"), 0)
end

--- In a job: it is dropped, neither done nor dead.  Does not return.
function M.discard(reason)
  error(errors.verdict("discard", nil, reason and tostring(reason) or "discarded"), 0)
end

--- In a job: waits without blocking the worker; replaced in a worker (skein.worker).
function M.sleep()
  error("skein.sleep: can only be used inside a job", 2)
end

--- In a job: runs fn(...) beside it, until it first waits; `thread:wait()` returns what fn returned, or nil and its error.
function M.spawn()
  error("skein.spawn: can only be used inside a job", 2)
end

return M
