--- Decides the outcome of a failed attempt and calls the failure handlers.
-- The module keeps the globals it needs in locals, since scripts may replace globals.
-- @module skein.failures
local core = require "skein.core"
local errors = require "skein.errors"
local hooks = require "skein.hooks"
local schema = require "skein.schema"
local tasks = require "skein.tasks"
local pcall, type = pcall, type

local M = {}

local ERROR, KIND, VERDICT = core.LOG.error, core.KIND, core.VERDICT

-- The delay, in ms, that the task's backoff function returns; -1 if the core computes the delay.
local function function_delay(rt, task, handle, attempt, err)
  local backoff = task and task.options.backoff
  if type(backoff) ~= "function" or rt.field(handle, "backoff") then return -1 end
  local ok, seconds = pcall(backoff, attempt, err)
  local problem = ok and schema.seconds(seconds)
  if ok and not problem then return tasks.ms(seconds) end
  rt.log(ERROR, "the backoff function must return " .. (problem or "a number of seconds, 0 or more")
    .. "; the default back-off is used instead of: " .. (ok and schema.show(seconds) or errors.text(seconds)))
  return -1
end

-- The message that is stored with a failed attempt.
local function failure_message(kind, value, task, timeout)
  local message = errors.text(value)
  if kind == "timeout" and not errors.is(value) then
    return ("timed out after %g s, and %s"):format(timeout, message)
  end
  if kind == "result" and task then return ("%s (returned by the task of %s)"):format(message, task.where) end
  return message
end

local ENDS_AS = { discard = "discarded", snooze = "scheduled" }

--- Decides the outcome of an attempt that failed, and calls its handlers. Facts about the job come from rt.attempt,
-- since scripts may have changed the job's table.
-- @tparam table rt skein.runtime
-- @tparam table job
-- @tparam string kind
-- @param value the error value
-- @tparam string trace traceback, or ""
-- @treturn number verdict (core.VERDICT)
-- @treturn number delay in ms before the retry; -1: the core computes it
-- @treturn number kind (core.KIND)
-- @treturn string message
-- @treturn string traceback
-- @yields where a handler waits
function M.failed(rt, job, kind, value, trace)
  local name, attempt, retries, handle, timeout, told, stopping = rt.attempt()
  local task = tasks.by_name[name]
  local verdict, delay_ms = kind == "fail" and VERDICT.fail or VERDICT.retry, -1
  if errors.is_verdict(value) then
    verdict, trace = VERDICT[value.verdict] or VERDICT.retry, ""
    if type(value.delay) == "number" then delay_ms = tasks.ms(value.delay) end
    if value.verdict == "fail" then kind = "fail" end
    local ends_as = ENDS_AS[value.verdict]
    if ends_as then
      hooks.emit_job(job, "running", ends_as)
      return verdict, delay_ms, KIND.error, errors.text(value), ""
    end
  elseif errors.is(value) and value.stop and value.stop == KIND[told] then
    -- The stop error belongs to this run. A stop error of another job that a script kept counts as an ordinary error.
    kind, trace = value.stop, ""
  else
    trace = errors.traceback(value) or trace
  end
  local message = failure_message(kind, value, task, timeout)
  if kind == "cancelled" then
    hooks.emit_job(job, "running", "cancelled")
    return verdict, delay_ms, KIND.cancelled, message, ""
  end
  if stopping and kind == "error" and verdict == VERDICT.retry and not errors.is_verdict(value) then
    hooks.emit_job(job, "running", "ready")
    return VERDICT.stopped, -1, KIND.error, message, ""
  end
  local dies = verdict == VERDICT.fail or attempt > retries
  if task and trace ~= "" then trace = trace .. "\n\tin the task of " .. task.where end
  local err = errors.new(kind, message, { kind = kind, attempt = attempt, traceback = trace, value = value })
  if not dies and delay_ms < 0 then delay_ms = function_delay(rt, task, handle, attempt, err) end
  hooks.tell(dies and "death" or "error", task, job, err)
  hooks.emit_job(job, "running", dies and "dead" or "retry", err)
  return verdict, delay_ms, KIND[kind] or KIND.error, message, trace
end

-- The next state of a job that survives a failure without using up a retry; any other failure leads to "retry".
local LIVES_AS = { crash = "ready", unknown_task = "scheduled" }

--- Runs the late handlers: the failure handlers of an attempt that ended in another worker or never began, because its
-- worker died or was killed, the job expired, or its task is unknown.
-- @tparam table rt skein.runtime
-- @tparam table job
-- @tparam string|number kind name or number (core.KIND)
-- @tparam string message
-- @tparam boolean dies whether the job is dead now
-- @yields where a handler waits
function M.late_handlers(rt, job, kind, message, dies)
  kind = type(kind) == "number" and KIND[kind] or kind
  local name, attempt = rt.attempt()
  local err = errors.new(kind, message, { kind = kind, attempt = attempt, traceback = "" })
  hooks.tell(dies and "death" or "error", tasks.by_name[name], job, err)
  local from = (kind == "expired" or kind == "unknown_task") and "ready" or "running"
  hooks.emit_job(job, from, dies and "dead" or LIVES_AS[kind] or "retry", err)
end

return M

