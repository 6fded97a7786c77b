--- The job object that handlers get: `id`, `task`, `queue`, `attempt` (1 at the first), `retries` (attempts after the
-- first), `args` (a list), `enqueued_at` (seconds since 1970), `meta` (a table), and these methods.  It is good
-- until the job ends; after that the methods do nothing.
-- @module skein.job
local errors = require "skein.errors"
local schema = require "skein.schema"
local rt = require "skein.runtime"
local error, pcall, rawget, rawset, select, tostring, type = error, pcall, rawget, rawset, select, tostring, type
local floor, format = math.floor, string.format

local PASS = require("skein.tasks").PASS
local M, Job = {}, {}

--- Ends the running job, dead, when its args or its meta could not be decoded: the next attempt could not read them
-- either.
-- @tparam string key "args" or "meta"
-- @param value what they were decoded to; nil: the job is over
-- @tparam[opt] string problem why they could not be decoded
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

--- False once the job should stop: cancelled, past its timeout, or over.
-- @treturn boolean
-- @usage while job:active() do work_a_little() end
function Job:active() return rt.active(handle_of(self, "active")) end

--- Time until the soft timeout.
-- @treturn number seconds; math.huge without a timeout, 0 when the job is over
function Job:remaining() return rt.remaining(handle_of(self, "remaining")) end

--- Tells how far the job is: seen by handle:progress(), `skein job ID`.
-- @tparam number percent 0 to 100
-- @tparam[opt] string message up to 1,024 bytes, the rest is cut
-- @raise at the caller's line when percent is out of range
-- @usage job:progress(50, "half way")
function Job:progress(percent, message)
  local handle = handle_of(self, "progress")
  if type(percent) ~= "number" or not (percent >= 0 and percent <= 100) then
    errors.misuse("job:progress: percent must be a number from 0 to 100, not " .. schema.show(percent))
  end
  rt.progress(handle, floor(percent), message == nil and "" or tostring(message))
end

--- Writes a line to the log, with the job's id; the last 100 are kept with the job (handle:log(), `skein job ID`).
-- @tparam string fmt as for string.format; without values a text that is no format, such as "50% off", is taken as it
-- is
-- @param ... its values
-- @raise at the caller's line when they do not fit
-- @usage job:log("sent %d of %d", sent, all)
function Job:log(fmt, ...)
  local handle = handle_of(self, "log")
  local ok, text = pcall(format, fmt, ...)
  if not ok and type(fmt) == "string" and select("#", ...) == 0 then ok, text = true, fmt end
  if not ok then errors.misuse("job:log: " .. errors.text(text):gsub(" to '%?'", "")) end
  rt.note(handle, text)
end

--- Ends this attempt and runs the job again later; costs no attempt.  Does not return.
-- In a thread that the job has spawned it ends that thread; the job's turn comes when it waits for the thread.
-- @tparam number seconds
-- @raise always
function Job:snooze(seconds)
  handle_of(self, "snooze")
  local problem = schema.seconds(seconds)
  if problem then errors.misuse(("job:snooze: the delay is %s, expected %s"):format(schema.show(seconds), problem)) end
  error(errors.verdict("snooze", seconds), 0)
end

local meta = { __name = "skein.job", __tostring = function(job) return "skein job " .. tostring(rawget(job, "id")) end }

-- args and meta are decoded at their first use.  A job with meta that cannot be decoded dies there, as one with such
-- args does.
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
