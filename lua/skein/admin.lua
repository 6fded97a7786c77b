--- Looking into the store and changing it by hand.
-- @module skein.admin
local core = require "skein.core"
local client = require "skein.client"
local errors = require "skein.errors"
local schema = require "skein.schema"

local M = {}

local STATE_NUMBER = {}
for number, name in pairs(client.STATES) do STATE_NUMBER[name] = number end
local COUNTERS = { "enqueued", "done", "retried", "dead", "cancelled", "discarded", "crashed", "recovered" }

local function one_of_states(value)
  if not STATE_NUMBER[value] then return "a state: scheduled, ready, running, retry, done, dead or cancelled" end
end

local FILTER = { queue = schema.name(core), task = schema.name(core), state = one_of_states }
local LISTING = { queue = FILTER.queue, task = FILTER.task, state = one_of_states,
  offset = schema.integer(0, 2147483647), limit = schema.integer(0, 10000) }

local function pack_filter(filter)
  return core.pack("bss", STATE_NUMBER[filter.state] or 0, filter.queue or "", filter.task or "")
end

local function count()
  local answer, err = client.call(client.OP.COUNT, "")
  if not answer then return nil, err end
  local queues, offset, n = {}, nil, nil
  n, offset = core.unpack("i", answer)
  for i = 1, n do
    local q, states = {}, {}
    local paused
    q.name, paused, states[0], states[1], states[2], states[3], states[4], states[5], states[6], states[7], offset =
      core.unpack("sbllllllll", answer, offset)
    q.paused = paused ~= 0
    for number, name in pairs(client.STATES) do q[name] = states[number] end
    queues[i] = q
  end
  local counters, values = {}, { core.unpack("llllllll", answer, offset) }
  for i, name in ipairs(COUNTERS) do counters[name] = values[i] end
  return queues, counters
end

--- The queues, by name: { { name =, paused =, ready =, scheduled =, running =, retry =, done =, dead =, cancelled = }, ... }.
function M.queues()
  local queues, err = count()
  if not queues then return nil, err end
  return queues
end

--- Totals since the store was made, and jobs by state now.
function M.stats()
  local queues, counters = count()
  if not queues then return nil, counters end
  local stats = { counters = counters }
  for _, name in pairs(client.STATES) do stats[name] = 0 end
  for _, q in ipairs(queues) do
    for _, name in pairs(client.STATES) do stats[name] = stats[name] + q[name] end
  end
  return stats
end

--- Jobs that match { queue =, state =, task =, offset =, limit = (100) }.
function M.jobs(options)
  options = options or {}
  local problem = schema.check("skein.admin.jobs", options, LISTING)
  if problem then error(problem, 2) end
  local payload = pack_filter(options) .. core.pack("ii", options.offset or 0, options.limit or 100)
  local answer, err = client.call(client.OP.LIST, payload)
  if not answer then return nil, err end
  local n, offset = core.unpack("i", answer)
  local jobs = {}
  for i = 1, n do jobs[i], offset = client.read_view(answer, offset) end
  return jobs
end

--- Everything the store knows of one job; nil for an unknown id.
function M.job(id)
  return client.handle(id):info()
end

-- By id: true or nil, err.  By filter: how many were changed, or nil, err.
local function change(verb, what)
  local filter, ids = {}, {}
  if type(what) == "string" then
    ids[1] = what
  else
    local problem = schema.check("skein.admin." .. verb, what, FILTER)
    if problem then error(problem, 3) end
    filter = what
  end
  local payload = core.pack("bli", client.VERB[verb], client.CANCELLED_KEEP_MS, #ids) .. (ids[1] and core.pack("s", ids[1]) or "")
  local answer, err = client.call(client.OP.CHANGE, payload .. pack_filter(filter))
  if not answer then return nil, err end
  local changed = core.unpack("l", answer)
  if not ids[1] then return changed end
  if changed == 1 then return true end
  local code = client.CODES[answer:byte(9)] or "state"
  local why = code == "not_found" and "the store does not know it" or "its state does not allow it"
  return nil, errors.new(code, ("job %s: %s: %s"):format(ids[1], verb, why))
end

--- Runs dead, retrying or cancelled jobs again, now.  @tparam string|table what an id, or a filter { queue =, state =, task = }
function M.retry(what) return change("retry", what) end
--- Cancels waiting jobs.
function M.cancel(what) return change("cancel", what) end
--- Deletes jobs that do not run.
function M.delete(what) return change("delete", what) end
--- Makes scheduled and retrying jobs ready now.
function M.promote(what) return change("promote", what) end

local function pause(queue, paused)
  local answer, err = client.call(client.OP.PAUSE, core.pack("sb", queue, paused and 1 or 0))
  if not answer then return nil, err end
  return true
end

--- Stops a queue: its jobs wait, running ones go on.
function M.pause(queue) return pause(queue, true) end
--- Lets a paused queue go on.
function M.resume(queue) return pause(queue, false) end

return M
