--- Inspects and changes the jobs and queues in the store.
-- @module skein.admin
local core = require "skein.core"
local client = require "skein.client"
local errors = require "skein.errors"
local schema = require "skein.schema"

local M = {}

local STATE, OP = core.STATE, core.OP
local COUNTERS = { "enqueued", "done", "retried", "dead", "cancelled", "discarded", "crashed", "recovered" }

local function one_of_states(value)
  if type(value) ~= "string" or not STATE[value] then
    return "a state: scheduled, ready, running, retry, done, dead or cancelled"
  end
end

local FILTER = { queue = schema.name(), task = schema.name(), state = one_of_states }
local LISTING = { queue = FILTER.queue, task = FILTER.task, state = one_of_states,
  offset = schema.integer(0, 2147483647), limit = schema.integer(0, core.LIMITS.list) }

local function pack_filter(filter)
  return core.pack("bss", STATE[filter.state] or 0, filter.queue or "", filter.task or "")
end

local function count()
  local answer, err = client.call(OP.COUNT, "")
  if not answer then return nil, err end
  local queues = {}
  local n, offset = core.unpack("i", answer)
  for i = 1, n do
    local q, states = {}, {}
    local paused
    q.name, paused, states[0], states[1], states[2], states[3], states[4], states[5], states[6], states[7], offset =
      core.unpack("sbllllllll", answer, offset)
    q.paused = paused ~= 0
    for number, name in ipairs(STATE) do q[name] = states[number] end
    queues[i] = q
  end
  local counters, values = {}, { core.unpack("llllllll", answer, offset) }
  for i, name in ipairs(COUNTERS) do counters[name] = values[i] end
  return queues, counters
end

--- Lists the queues in the order of their names.
-- @return { { name =, paused =, ready =, scheduled =, running =, retry =, done =, dead =, cancelled = }, ... },
-- or nil and an error
-- @yields in a job
function M.queues()
  local queues, err = count()
  if not queues then return nil, err end
  return queues
end

--- Counts jobs: totals since the store was created, and the current number of jobs in each state.
-- @return { counters = { enqueued =, done =, retried =, dead =, cancelled =, discarded =, crashed =, recovered = },
-- ready =, running =, ... }, or nil and an error
-- @yields in a job
function M.stats()
  local queues, counters = count()
  if not queues then return nil, counters end
  local stats = { counters = counters }
  for _, name in ipairs(STATE) do stats[name] = 0 end
  for _, q in ipairs(queues) do
    for _, name in ipairs(STATE) do stats[name] = stats[name] + q[name] end
  end
  return stats
end

--- Lists jobs.
-- @tparam[opt] table options { queue =, state =, task =, offset = (0), limit = (100, at most 10000) }
-- @return a list of tables as handle:info() gives, or nil and an error (code "limit": the answer is too large, ask
-- for fewer)
-- @raise at the caller's line: an unknown option
-- @yields in a job
-- @usage for _, job in ipairs(skein.admin.jobs { state = "dead" }) do print(job.id, job.error.message) end
function M.jobs(options)
  options = options or {}
  local problem = schema.check("skein.admin.jobs", options, LISTING)
  if problem then errors.misuse(problem) end
  local payload = pack_filter(options) .. core.pack("ii", options.offset or 0, options.limit or 100)
  local answer, err = client.call(OP.LIST, payload)
  if not answer then return nil, err end
  local n, offset = core.unpack("i", answer)
  local jobs = {}
  for i = 1, n do jobs[i], offset = client.read_view(answer, offset) end
  return jobs
end

--- Reads everything that the store knows about a job.
-- @tparam string id
-- @treturn[1] table as handle:info() returns
-- @return[2] nil if the store does not know the job or the request failed
-- @treturn[2] ?table the error if the request failed
-- @yields in a job
-- @usage print(skein.admin.job(id).state)
function M.job(id)
  local info, err = client.handle(id):info()
  return info, err
end

-- Changes one job by id, or all jobs of a filter. Returns true (id) or the number of changed jobs (filter), or nil and
-- an error.
local function change(verb, what)
  local filter, ids = {}, {}
  if type(what) == "string" then
    ids[1] = what
  else
    local problem = schema.check("skein.admin." .. verb, what, FILTER)
    if problem then errors.misuse(problem) end
    filter = what
  end
  local one = ids[1] and core.pack("s", ids[1]) or ""
  local payload = core.pack("bli", core.VERB[verb], client.CANCELLED_KEEP_MS, #ids) .. one .. pack_filter(filter)
  local answer, err = client.call(OP.CHANGE, payload)
  if not answer then return nil, err end
  local changed = core.unpack("l", answer)
  if not ids[1] then return changed end
  if changed == 1 then return true end
  local code = core.CODE[answer:byte(9)] or "state"
  local why = code == "not_found" and "the store does not know it" or "its state does not allow it"
  return nil, errors.new(code, ("job %s: %s: %s"):format(ids[1], verb, why))
end

--- Makes jobs that are dead, cancelled or waiting for a retry ready to run now.
-- @tparam string|table what an id, or a filter { queue =, state =, task = }; {} selects all jobs
-- @treturn[1] boolean|number true for an id; the number of changed jobs for a filter
-- @return[2] nil
-- @treturn[2] table an error; for an id its code may be "not_found" or "state" (the job's state does not allow it)
-- @raise at the caller's line: an unknown key of the filter
-- @yields in a job
-- @usage skein.admin.retry { state = "dead", task = "email.welcome" }
function M.retry(what)
  local changed, err = change("retry", what)
  return changed, err
end

--- Cancels waiting and running jobs. Running jobs are told to stop, as by handle:cancel.
-- @tparam string|table what as for retry
-- @treturn[1] boolean|number true for an id; the number of changed jobs for a filter
-- @return[2] nil
-- @treturn[2] table an error; for an id its code may be "not_found" or "state" (the job's state does not allow it)
-- @raise at the caller's line: an unknown key of the filter
-- @yields in a job
-- @usage skein.admin.cancel { queue = "mail" }
function M.cancel(what)
  local changed, err = change("cancel", what)
  return changed, err
end

--- Deletes jobs that are not running.
-- @tparam string|table what as for retry
-- @treturn[1] boolean|number true for an id; the number of changed jobs for a filter
-- @return[2] nil
-- @treturn[2] table an error; for an id its code may be "not_found" or "state" (the job's state does not allow it)
-- @raise at the caller's line: an unknown key of the filter
-- @yields in a job
-- @usage skein.admin.delete { state = "dead" }
function M.delete(what)
  local changed, err = change("delete", what)
  return changed, err
end

--- Makes jobs that are scheduled or waiting for a retry ready now.
-- @tparam string|table what as for retry
-- @treturn[1] boolean|number true for an id; the number of changed jobs for a filter
-- @return[2] nil
-- @treturn[2] table an error; for an id its code may be "not_found" or "state" (the job's state does not allow it)
-- @raise at the caller's line: an unknown key of the filter
-- @yields in a job
-- @usage skein.admin.promote(id)
function M.promote(what)
  local changed, err = change("promote", what)
  return changed, err
end

local function pause(what, queue, paused)
  local ok, problem = core.name_check("queue", type(queue) == "string" and queue or "")
  if type(queue) ~= "string" then problem = ("%s: the queue must be a string, not %s"):format(what, type(queue)) end
  if not ok then errors.misuse(problem) end
  local answer, err = client.call(OP.PAUSE, core.pack("sb", queue, paused and 1 or 0))
  if not answer then return nil, err end
  return true
end

--- Pauses a queue. Its waiting jobs do not start; its running jobs continue.
-- @tparam string queue
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] table an error
-- @raise at the caller's line: an argument that is no name of a queue
-- @yields in a job
-- @usage skein.admin.pause("mail")
function M.pause(queue)
  local ok, err = pause("skein.admin.pause", queue, true)
  return ok, err
end

--- Resumes a paused queue.
-- @tparam string queue
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] table an error
-- @raise at the caller's line: an argument that is no name of a queue
-- @yields in a job
-- @usage skein.admin.resume("mail")
function M.resume(queue)
  local ok, err = pause("skein.admin.resume", queue, false)
  return ok, err
end

return M
