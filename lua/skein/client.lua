--- Access to the store, and handles on jobs. The functions work the same in a job and in any LuaJIT program.
-- A request goes through the current transport: in a worker, the engine sends it; in any other program, a connection
-- of this process does.
-- @module skein.client
local core = require "skein.core"
local errors = require "skein.errors"
local schema = require "skein.schema"
local tasks = require "skein.tasks"

local M = {}

local BLOCKED_BY, CODE, OP, STATE, VERB = core.BLOCKED_BY, core.CODE, core.OP, core.STATE, core.VERB

--- The time for which a cancelled job stays visible, in ms.
M.CANCELLED_KEEP_MS = core.LIMITS.cancelled_keep_ms

--- The transport ----------------------------------------------------------------------------------------------------

-- The transport in use: a table, or nil before the first connection. Its fields:
--
--   call       function(operation, payload) -> code name, answer
--   call_many  optional: function(operation, payloads) -> list of code names, list of answers. It sends several
--              requests at once and begins no further one after a failure. Without it, `call` sends one at a time.
--   worker     true in a worker
--   lazy       true if a payload may be a function that returns the payload. call_many calls it when its request is
--              due; no other Lua code runs during call_many.
--   passed     optional: function() -> the inherited meta of the running job, { values =, pass = }, or nil
--   budget     optional: function(on): while on, all calls together have the time of one call
--   close      optional: function() that closes the connection
local transport

--- The number of transports set so far. A cache of facts about the store is valid for one number only.
M.connection = 0

--- Sets the transport; for worker.lua and testing.lua.
-- @tparam[opt] table t
-- @treturn[opt] table the previous transport
function M.set_transport(t)
  local before = transport
  transport = t
  M.connection = M.connection + 1
  return before
end

--- The part of the running job's meta that the jobs it enqueues inherit (task option `pass_meta`); nil outside a job.
-- @treturn[opt] table { values = { key = value }, pass = { key, ... } }
function M.passed()
  return transport and transport.passed and transport.passed()
end

local default = {}

--- Sets the store that a connection without a url opens. It takes precedence over the environment.
-- @tparam string url
-- @tparam[opt] string durability "full" or "normal"
-- @tparam[opt] userdata log a struct sk_log (core/base/log.h) for the messages of the store
function M.set_default(url, durability, log) default = { url = url, durability = durability, log = log } end

local function default_url()
  if default.url then return default.url end
  local url = os.getenv("SKEIN_STORE")
  if not url or url == "" then url = os.getenv("REDIS_URL") end
  if not url or url == "" then url = "sqlite:.skein/jobs.db" end
  return url
end

local CONNECT = { durability = schema.one_of { full = true, normal = true } }

--- Opens the store for this program. The first request opens the default store, so a call is needed only for another
-- one.
-- @tparam[opt] string url as for `skein run -s`; default: SKEIN_STORE, then REDIS_URL, then sqlite:.skein/jobs.db
-- @tparam[opt] table options `durability`: "full" (an acknowledged enqueue survives a power loss) or "normal"
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] table an error, code "unavailable", "invalid", ...
-- @raise at the caller's line: a url that is no string, an unknown option, a call inside a job
-- @usage assert(skein.connect("sqlite:/var/lib/app/jobs.db"))
function M.connect(url, options)
  if transport and transport.worker then errors.misuse("skein.connect: a job uses the engine's store") end
  if url ~= nil and type(url) ~= "string" then
    errors.misuse("skein.connect: the url must be a string, not " .. type(url))
  end
  local problem = options ~= nil and schema.check("skein.connect", options, CONNECT)
  if problem then errors.misuse(problem) end
  local client, message, code = core.client(url or default_url(), options and options.durability
    or default.durability, default.log)
  if not client then return nil, errors.new(code, message) end
  M.close()
  M.set_transport({
    call = function(operation, payload) return client:call(operation, payload) end,
    call_many = function(operation, payloads) return client:call_many(operation, payloads) end,
    lazy = true,
    budget = function(on) client:budget(on) end,
    close = function() client:close() end,
  })
  return true
end

--- Closes the connection. The next request opens it again. Inside a job the call has no effect.
-- @usage skein.close()
function M.close()
  if not transport or not transport.close then return end
  transport.close()
  transport = nil
end

-- err: the reason why the current enqueue could not connect; it does not try a second time. serial: the number of
-- enqueues begun so far.
local enqueueing = { serial = 0 }

--- Begins an enqueue. All its requests together have the time of one call.
-- @treturn number the serial number of the enqueue
function M.begin_enqueue()
  enqueueing.serial, enqueueing.err = enqueueing.serial + 1, nil
  if transport and transport.budget then transport.budget(true) end
  return enqueueing.serial
end

--- Ends the enqueue, or the shared time of its requests: each later request has its own time.
function M.end_enqueue()
  enqueueing.err = nil
  if transport and transport.budget then transport.budget(false) end
end

--- The serial number of the last enqueue that began.
-- @treturn number
function M.enqueue_serial() return enqueueing.serial end

-- Sends one request; connects first if there is no transport.
-- @return the answer, or nil and an error
local function call(operation, payload)
  if not transport then
    if enqueueing.err and (operation == OP.ENQUEUE or operation == OP.TASKS) then return nil, enqueueing.err end
    local ok, err = M.connect()
    if not ok then
      enqueueing.err = err
      return nil, err
    end
  end
  local code, answer = transport.call(operation, payload)
  if code ~= "ok" then return nil, errors.new(code, answer) end
  return answer
end

M.call = call

-- Stands in for call_many when the transport sends one request at a time.
local function call_each(operation, payloads)
  local codes, answers = {}, {}
  for i = 1, #payloads do
    codes[i], answers[i] = transport.call(operation, payloads[i])
    if codes[i] ~= "ok" then break end
  end
  return codes, answers
end

--- Whether the payloads of call_many may be functions.
-- @treturn[opt] boolean
function M.is_lazy() return transport and transport.lazy end

--- Sends many requests of one operation, several at once. After a failure it begins no further request.
-- @tparam number operation
-- @tparam table payloads strings, or, if is_lazy(), functions that return strings
-- @treturn table the answers, false for a request that failed; shorter than payloads after a failure
-- @treturn[opt] table the error of a request that failed; one with code "unknown_fate" takes precedence
-- @treturn table the indexes of the requests whose fate is unknown
-- @yields in a job
function M.call_many(operation, payloads)
  if not transport then
    local ok, err = M.connect()
    if not ok then return {}, err end
  end
  local codes, answers = (transport.call_many or call_each)(operation, payloads)
  local err, unknown = nil, {}
  for i = 1, #codes do
    if codes[i] ~= "ok" then
      if codes[i] == "unknown_fate" then unknown[#unknown + 1] = i end
      if not err or (codes[i] == "unknown_fate" and err.code ~= "unknown_fate") then
        err = errors.new(codes[i], answers[i])
      end
      answers[i] = false
    end
  end
  return answers, err, unknown
end

--- Views of jobs ----------------------------------------------------------------------------------------------------

local VIEW = "bsssillsissbb"

local function seconds(ms)
  if ms and ms > 0 then return ms / 1000 end
end

local function decode(text)
  if text and text ~= "" then return core.decode(text) end
end

-- Reads the lines "wall-clock-ms text" of a record into a list; fill(at, text) makes an entry, `at` in seconds.
local function each_line(text, fill)
  local list = {}
  for at, line in (text or ""):gmatch("(%d+) ?([^\n]*)") do list[#list + 1] = fill(tonumber(at) / 1000, line) end
  return list
end

local function log_line(at, text) return { at = at, text = text } end

local function history_event(at, text)
  local event, detail = text:match("^(%S*) ?(.*)$")
  return { at = at, event = event, detail = detail ~= "" and detail or nil }
end

-- Decodes a job's meta and removes Skein's own key. Clients in other languages may have stored any JSON value.
local function read_meta(text)
  local meta = decode(text)
  if type(meta) ~= "table" then meta = {} end
  meta[tasks.PASS] = nil
  return meta
end

--- Reads one view of a job (core/engine/request.h) from an answer.
-- @tparam string answer
-- @tparam number offset position in the answer, from 1
-- @treturn table the view as Handle:info returns it; only `id` is set if the store does not know the job
-- @treturn number the offset of the next view
function M.read_view(answer, offset)
  local state, id, queue, record, priority, due_ms, running_since_ms, engine, percent, note, log, stopping, blocked_by,
    next_offset = core.unpack(VIEW, answer, offset)
  if STATE[state] == nil then return { id = id }, next_offset end
  local r = core.job(record) or {}
  local view = {
    id = id, state = STATE[state], queue = queue, task = r.task, priority = priority,
    args = decode(r.args), meta = read_meta(r.meta), attempts = r.attempts or 0, retries = r.retries,
    crashes = r.crashes or 0, recoveries = r.recoveries or 0,
    enqueued_at = seconds(r.enqueued_ms), due_at = seconds(due_ms),
    started_at = seconds(STATE[state] == "running" and running_since_ms or r.started_ms),
    finished_at = seconds(r.finished_ms),
    result = decode(r.result), engine = engine ~= "" and engine or nil,
  }
  if view.state == "running" then view.attempt = view.attempts + 1 end
  if r.error_kind then view.error = { kind = r.error_kind, message = r.error or "", traceback = r.traceback } end
  if percent >= 0 then view.progress = { percent = percent, message = note } end
  view.history, view.log = each_line(r.history, history_event), each_line((r.log or "") .. "\n" .. log, log_line)
  view.stopping, view.held_back = stopping == 1, BLOCKED_BY[blocked_by]
  return view, next_offset
end

local function get(id)
  local answer, err = call(OP.GET, core.pack("is", 1, id))
  if not answer then return nil, err end
  return (M.read_view(answer, 1))
end

M.get = get

--- Handles ----------------------------------------------------------------------------------------------------------

local Handle = {}
Handle.__index = Handle
Handle.__tostring = function(h) return "skein job " .. h.id end

--- Reads the job's state. A finished job is unknown to the store once its `keep` has passed.
-- @treturn[1] string "scheduled", "ready", "running", "retry", "done", "dead" or "cancelled"
-- @return[2] nil if the store does not know the job or the request failed
-- @treturn[2] ?table the error if the request failed
-- @yields in a job
-- @usage if h:state() == "dead" then ... end
function Handle:state()
  local view, err = get(self.id)
  if not view then return nil, err end
  return view.state
end

--- Reads everything that the store knows about the job. The table has these fields; a field without a value is nil:
--
-- - id, state, queue, task, priority, args, meta, result, and engine (the name of the engine that runs the job)
-- - attempts (number of attempts that have ended), attempt (number of the attempt that runs), retries, crashes,
--   recoveries
-- - enqueued_at, due_at, started_at, finished_at: seconds since 1970
-- - error = { kind, message, traceback }: the last failure
-- - progress = { percent, message }: the last call of job:progress
-- - history = { { at, event, detail }, ... }: the events of the job's life, `at` in seconds since 1970
-- - log = { { at, text }, ... }: the lines of job:log
-- - stopping: true if the job was told to stop and still runs
-- - held_back: "concurrency" or "rate", the limit that keeps the job from running
-- @treturn[1] table
-- @return[2] nil if the store does not know the job or the request failed
-- @treturn[2] ?table the error if the request failed
-- @yields in a job
-- @usage print(h:info().attempts)
function Handle:info()
  local view, err = get(self.id)
  if not view then return nil, err end
  if view.state then return view end
end

--- Reads the progress that the job reported last with job:progress.
-- @treturn[1] number percent, 0 to 100
-- @treturn[1] ?string message
-- @return[2] nil if the job has reported none, the store does not know it, or the request failed
-- @treturn[2] ?table the error if the request failed
-- @yields in a job
-- @usage local percent, message = h:progress()
function Handle:progress()
  local view, err = get(self.id)
  if not view then return nil, err end
  if view.progress then return view.progress.percent, view.progress.message end
end

--- Reads the last 100 lines that the job wrote with job:log.
-- @treturn[1] table a list of { at = seconds since 1970, text = }
-- @return[2] nil if the store does not know the job or the request failed
-- @treturn[2] ?table the error if the request failed
-- @yields in a job
-- @usage for _, line in ipairs(h:log()) do print(line.text) end
function Handle:log()
  local view, err = get(self.id)
  if not view then return nil, err end
  if view.state then return view.log end
end

-- The return values of Handle:wait for the view of a finished or unknown job.
local function outcome(view)
  if view.state == "dead" then
    local e = view.error or { message = "dead" }
    return nil, errors.new("dead", e.message, { kind = e.kind, traceback = e.traceback, attempts = view.attempts })
  end
  if view.state == "cancelled" then return nil, errors.new("cancelled", "job " .. view.id .. " was cancelled") end
  return view.result
end

--- Waits until the job has ended.
-- @tparam[opt] number timeout seconds; default: no time limit
-- @return[1] the handler's result; nil if the handler returned nothing or the finished job was not kept
-- @return[2] nil
-- @treturn[2] table an error with code "timeout" (the job has not ended), "dead" (with kind, message and traceback),
-- "cancelled" or "unavailable"
-- @raise at the caller's line: a timeout that is no number of seconds
-- @yields in a job
-- @usage local sum, err = skein.enqueue("add", 1, 2):wait(5)
function Handle:wait(timeout)
  local problem = timeout ~= nil and schema.seconds(timeout)
  if problem then
    errors.misuse(("handle:wait: the timeout is %s, expected %s"):format(schema.show(timeout), problem))
  end
  local answer, err = call(OP.WAIT, core.pack("sl", self.id, timeout and tasks.ms(timeout) or -1))
  if not answer then return nil, err end
  return outcome((M.read_view(answer, 1)))
end

--- Cancels the job. A running job is told to stop: its job:active() returns false and its next wait raises an error.
-- If the job still goes on, the engine kills its worker. The job ends as cancelled and is not retried, unless it
-- succeeds before it notices.
-- @treturn[1] boolean true
-- @return[2] nil
-- @treturn[2] table an error with code "not_found", "state" (the job has ended) or "unavailable"
-- @yields in a job
-- @usage assert(h:cancel())
function Handle:cancel()
  local payload = core.pack("blisbss", VERB.cancel, M.CANCELLED_KEEP_MS, 1, self.id, 0, "", "")
  local answer, err = call(OP.CHANGE, payload)
  if not answer then return nil, err end
  local changed, code = core.unpack("lb", answer)
  if changed == 1 then return true end
  local name = CODE[code] or "state"
  local why = name == "not_found" and "the store does not know it" or "it has ended"
  return nil, errors.new(name, ("job %s can't be cancelled: %s"):format(self.id, why))
end

--- Makes a handle for a job id. It does not ask the store; `handle:state()` returns nil for an unknown job.
-- @tparam string id
-- @treturn table the handle
-- @raise at the caller's line: an id that is no string
-- @usage print(skein.handle(id):state())
function M.handle(id)
  if type(id) ~= "string" then errors.misuse("skein.handle: the id must be a string, not " .. type(id)) end
  return setmetatable({ id = id }, Handle)
end

M.Handle = Handle

return M
