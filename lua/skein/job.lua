--- The job object that handlers get: id, task, queue, attempt (1 at the first), retries, args, enqueued_at (seconds), meta,
-- and these methods.
-- @module skein.job
local errors = require "skein.errors"
local schema = require "skein.schema"
local rt = require "skein.runtime"

local INFO = 1
local Job = {}

--- False once the job should stop: cancelled, past its timeout, or over.
function Job:active() return rt.active(self._handle) end

--- Seconds until the timeout; math.huge without one.
function Job:remaining() return rt.remaining(self._handle) end

--- Tells how far the job is: seen by handle:progress(), `skein job ID`.
-- @tparam number percent 0 to 100
-- @tparam[opt] string message
function Job:progress(percent, message)
  if type(percent) ~= "number" or not (percent >= 0 and percent <= 100) then
    error("job:progress: percent must be a number from 0 to 100, not " .. tostring(percent), 2)
  end
  rt.progress(self._handle, math.floor(percent), message == nil and "" or tostring(message))
end

--- Writes a line to the log, with the job's id.  @tparam string fmt as for string.format
function Job:log(fmt, ...)
  local ok, text = pcall(string.format, fmt, ...)
  if not ok then error("job:log: " .. text, 2) end
  rt.log(INFO, text)
end

--- Ends this attempt and runs the job again later; costs no attempt.  Does not return.
-- @tparam number seconds
function Job:snooze(seconds)
  local problem = schema.seconds(seconds)
  if problem then error("job:snooze: " .. problem .. " is expected", 2) end
  error(errors.verdict("snooze", seconds), 0)
end

local meta = { __name = "skein.job", __tostring = function(job) return "skein job " .. job.id end }

function meta.__index(job, key)
  local method = Job[key]
  if method then return method end
  if key == "args" or key == "meta" then
    local value = rt.field(rawget(job, "_handle"), key)
    rawset(job, key, value)
    return value
  end
end

return meta
