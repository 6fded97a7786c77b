--- The job object that handlers receive. Its fields: `id`, `task`, `queue`, `attempt` (1 for the first attempt),
-- `retries` (number of attempts after the first), `args` (a list), `enqueued_at` (seconds since 1970) and `meta` (a
-- table). After the end of the job its methods have no effect.
-- @module skein.job
local errors = require "skein.errors"
local schema = require "skein.schema"
local rt = require "skein.runtime"
local error, pcall, rawget, rawset, select, tostring, type = error, pcall, rawget, rawset, select, tostring, type
local floor, format = math.floor, string.format

local PASS = require("skein.tasks").PASS
local M, Job = {}, {}

--- Ends the running job as dead if its args or meta could not be decoded. A further attempt could not decode them
-- either.
-- @tparam string key "args" or "meta"
-- @param value the decoded value; nil: the job is over
-- @tparam[opt] string problem the decoder's message
-- @raise a verdict, as skein.fail does
function M.need_table(key, value, problem)
  if not problem and value ~= nil and type(value) ~= "table" then
    problem = ("job.%s: it is %s"):format(key, schema.show(value))
  end
  if problem then error(errors.verdict("fail", nil, problem), 0) end
end

local function handle_of(job, method)
  local handle = type(job) == "table" and rawget(job, "_handle")
  if not handle then
    errors.misuse(("job:%s: called without the job: use job:%s(), with a colon"):format(method, method))
  end
  return handle
end

--- Whether the job may continue: false once it was cancelled, its timeout has passed, or it has ended.
-- @treturn boolean
-- @usage while job:active() do work_a_little() end
function Job:active() return rt.active(handle_of(self, "active")) end

--- The time left until the soft timeout.
-- @treturn number seconds; math.huge without a timeout; 0 once the job is over
-- @usage if job:remaining() < 5 then job:snooze(60) end
function Job:remaining() return rt.remaining(handle_of(self, "remaining")) end

--- Reports the progress of the job, which handle:progress() and `skein job ID` show.
-- @tparam number percent 0 to 100
-- @tparam[opt] string message cut to 1,024 bytes
-- @raise at the caller's line: a percent out of range
-- @usage job:progress(50, "half way")
function Job:progress(percent, message)
  local handle = handle_of(self, "progress")
  if type(percent) ~= "number" or not (percent >= 0 and percent <= 100) then
    errors.misuse("job:progress: percent must be a number from 0 to 100, not " .. schema.show(percent))
  end
  rt.progress(handle, floor(percent), message == nil and "" or tostring(message))
end

--- Writes a line with the job's id to the engine's log. The store keeps the last 100 lines of a job; handle:log() and
-- `skein job ID` show them.
-- @tparam string fmt as for string.format. Without values, a text that is no format, such as "50% off", is logged
-- unchanged.
-- @param ... the values for fmt
-- @raise at the caller's line: values that do not fit the format
-- @usage job:log("sent %d of %d", sent, all)
function Job:log(fmt, ...)
  local handle = handle_of(self, "log")
  local ok, text = pcall(format, fmt, ...)
  if not ok and type(fmt) == "string" and select("#", ...) == 0 then ok, text = true, fmt end
  if not ok then errors.misuse("job:log: " .. errors.text(text):gsub(" to '%?'", "")) end
  rt.job_log(handle, text)
end

--- Ends the current attempt and runs the job again later, without using up an attempt. It does not return. In a spawned
-- thread it ends the thread; the job then ends when it waits for the thread.
-- @tparam number seconds the delay
-- @raise always
-- @usage if busy then job:snooze(30) end
function Job:snooze(seconds)
  handle_of(self, "snooze")
  local problem = schema.seconds(seconds)
  if problem then errors.misuse(("job:snooze: the delay is %s, expected %s"):format(schema.show(seconds), problem)) end
  error(errors.verdict("snooze", seconds), 0)
end

local meta = { __name = "skein.job", __tostring = function(job) return "skein job " .. tostring(rawget(job, "id")) end }

-- Decodes args and meta on first use. If that fails, the job dies.
function meta.__index(job, key)
  local method = Job[key]
  if method then return method end
  if key == "args" or key == "meta" then
    local value, problem = rt.field(rawget(job, "_handle"), key)
    M.need_table(key, value, problem)
    if key == "meta" then
      value = value or {}
      value[PASS] = nil
    end
    rawset(job, key, value)
    return value
  end
end

M.metatable = meta

return M
