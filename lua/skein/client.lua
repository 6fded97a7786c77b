--- The way to the store, and looking after jobs: the same in a job and in any LuaJIT program.
-- Requests go through a transport: in a worker through its core, else through a connection of this process's own.
-- @module skein.client
local core = require "skein.core"
local errors = require "skein.errors"
local schema = require "skein.schema"
local tasks = require "skein.tasks"

local M = {}

local BLOCKED_BY, CODE, OP, STATE, VERB = core.BLOCKED_BY, core.CODE, core.OP, core.STATE, core.VERB

--- How long a job that was cancelled from Lua stays visible, in ms.
M.CANCELLED_KEEP_MS = 3600 * 1000

--- The transport ----------------------------------------------------------------------------------------------------

-- { call = function(operation, payload) -> code name, answer; worker = true in a job;
--   call_many = function(operation, payloads) -> list of code names, list of answers: as many at once as is good;
-- both end after those
--   that were begun before one failed (optional: without it they are called one after the other);
--   lazy = true when payloads may be functions that return them, called when their turn comes, and no other Lua code
-- runs meanwhile;
--   passed = function() -> what the running job's meta passes along, { values, pass }, or nil }
local transport

--- Counts the connections there have been: what was learnt through another one is of no use.
M.connection = 0

--- Used by worker.lua and testing.lua.  Returns the one before.
function M.set_transport(t)
  local before = transport
  transport = t
  M.connection = M.connection + 1
  return before
end

--- What the running job passes along to what it enqueues; nil outside of a job.
-- @treturn[opt] table { values = { key = value }, pass = { key, ... } }
function M.passed()
  return transport and transport.passed and transport.passed()
end

local default = {}

--- Says which store a connection without a url opens, instead of the environment.
-- @tparam string url
-- @tparam[opt] string durability "full" or "normal"
-- @tparam[opt] userdata log a struct sk_log of core/base/log.h, for what the store has to say
function M.set_default(url, durability, log) default = { url = url, durability = durability, log = log } end

local function default_url()
  if default.url then return default.url end
  local url = os.getenv("SKEIN_STORE")
  if not url or url == "" then url = os.getenv("REDIS_URL") end
  if not url or url == "" then url = "sqlite:.skein/jobs.db" end
  return url
end

local CONNECT = { durability = schema.one_of { full = true, normal = true } }

--- Opens the store for this program.  Not needed when the environment says which (SKEIN_STORE, REDIS_URL), nor inside
-- a job.
-- @tparam[opt] string url as for `skein run -s`; default: the environment's, else sqlite:.skein/jobs.db
-- @tparam[opt] table options `durability = "full" | "normal"`: whether an acknowledged enqueue survives power loss
-- ("full")
-- @return true, or nil and an error (code "unavailable", "invalid", ...)
-- @raise at the caller's line: a url that is no string, an unknown option, inside a job
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

--- Closes the connection; the next use opens it again.  Does nothing inside a job.
function M.close()
  if not transport or not transport.close then return end
  transport.close()
  transport = nil
end

-- Why the enqueue at work could not connect: it does not try again.  serial: of the enqueues.
local enqueueing = { serial = 0 }

--- An enqueue begins: all that it asks for has the time of one call.
-- @treturn number its serial number
function M.begin_enqueue()
  enqueueing.serial, enqueueing.err = enqueueing.serial + 1, nil
  if transport and transport.budget then transport.budget(true) end
  return enqueueing.serial
end

--- It is over, or what follows has a time of its own.
function M.end_enqueue()
  enqueueing.err = nil
  if transport and transport.budget then transport.budget(false) end
end

--- The serial number of the last enqueue.
function M.enqueue_serial() return enqueueing.serial end

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

-- The same where the transport does one at a time.
local function call_each(operation, payloads)
  local codes, answers = {}, {}
  for i = 1, #payloads do
    codes[i], answers[i] = transport.call(operation, payloads[i])
    if codes[i] ~= "ok" then break end
  end
  return codes, answers
end

--- Whether payloads of call_many may be functions.
function M.is_lazy() return transport and transport.lazy end

--- Calls an operation many times, several at once.
-- @tparam number operation
-- @tparam table payloads strings; where is_lazy() says so, also functions that return them
-- @return a list of answers, false for those that failed; an error, after which none was begun: the list may be
-- shorter; and the indexes of those whose fate is unknown
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

-- The lines "wall-clock-ms text" of a record: each as fill(at, text).
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

-- A job's meta without Skein's own key.  Other clients may have stored anything.
local function read_meta(text)
  local meta = decode(text)
  if type(meta) ~= "table" then meta = {} end
  meta[tasks.PASS] = nil
  return meta
end

--- Reads one view (core/engine/request.h) at `offset`; returns it and the next offset.
function M.read_view(answer, offset)
  local state, id, queue, record, priority, due_ms, held_ms, engine, percent, note, log, stopping, held_back,
    next_offset = core.unpack(VIEW, answer, offset)
  if STATE[state] == nil then return { id = id }, next_offset end
  local r = core.job(record) or {}
  local view = {
    id = id, state = STATE[state], queue = queue, task = r.task, priority = priority,
    args = decode(r.args), meta = read_meta(r.meta), attempts = r.attempts or 0, retries = r.retries,
    crashes = r.crashes or 0, recoveries = r.recoveries or 0,
    enqueued_at = seconds(r.enqueued_ms), due_at = seconds(due_ms),
    started_at = seconds(STATE[state] == "running" and held_ms or r.started_ms), finished_at = seconds(r.finished_ms),
    result = decode(r.result), engine = engine ~= "" and engine or nil,
  }
  if view.state == "running" then view.attempt = view.attempts + 1 end
  if r.error_kind then view.error = { kind = r.error_kind, message = r.error or "", traceback = r.traceback } end
  if percent >= 0 then view.progress = { percent = percent, message = note } end
  view.history, view.log = each_line(r.history, history_event), each_line((r.log or "") .. "\n" .. log, log_line)
  view.stopping, view.held_back = stopping == 1, BLOCKED_BY[held_back]
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

--- The job's state: "scheduled", "ready", "running", "retry", "done", "dead", "cancelled"; nil when the store does
-- not know it (any more: a finished job is kept for its `keep`).
-- @return state, or nil and perhaps an error
-- @yields in a job
-- @usage if h:state() == "dead" then ... end
function Handle:state()
  local view, err = get(self.id)
  if not view then return nil, err end
  return view.state
end

--- Everything the store knows of the job; times in seconds since 1970.
-- @return { id, state, queue, task, priority, args, meta, attempts (that have ended), attempt (that runs), retries,
-- crashes, recoveries, enqueued_at, due_at, started_at, finished_at, result, error = { kind, message, traceback },
-- progress = { percent, message }, engine, history = { { at, event, detail }, ... } (what has happened to it), log =
-- { { at, text }, ... } (job:log), stopping (it was told to stop, and runs still), held_back = "concurrency" or
-- "rate" (what keeps it from running) }; nil for an unknown id, and perhaps an error
-- @yields in a job
function Handle:info()
  local view, err = get(self.id)
  if not view then return nil, err end
  if view.state then return view end
end

--- What job:progress said last.
-- @return percent (0..100), message; nil when nothing was said, and perhaps an error
-- @yields in a job
function Handle:progress()
  local view, err = get(self.id)
  if not view then return nil, err end
  if view.progress then return view.progress.percent, view.progress.message end
end

--- What job:log has said: the last 100 lines.
-- @return { { at = (seconds since 1970), text = }, ... }; nil for an unknown id, and perhaps an error
-- @yields in a job
-- @usage for _, line in ipairs(h:log()) do print(line.text) end
function Handle:log()
  local view, err = get(self.id)
  if not view then return nil, err end
  if view.state then return view.log end
end

-- What wait returns of a view in a final state, or of an unknown job.
local function outcome(view)
  if view.state == "dead" then
    local e = view.error or { message = "dead" }
    return nil, errors.new("dead", e.message, { kind = e.kind, traceback = e.traceback, attempts = view.attempts })
  end
  if view.state == "cancelled" then return nil, errors.new("cancelled", "job " .. view.id .. " was cancelled") end
  return view.result
end

--- Waits for the job's end.
-- @tparam[opt] number timeout seconds; none: as long as it takes
-- @return what the handler returned (nil when it returned nothing, or when the finished job was not kept), or nil and
-- an error: code "timeout" (it has not ended yet), "dead" (err.kind, err.message, err.traceback), "cancelled",
-- "unavailable"
-- @raise at the caller's line when the timeout is no number of seconds
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

--- Cancels the job.  One that runs is asked to stop: its job:active() turns false, its next wait raises, and if it
-- goes on all the same its worker is killed.  It is cancelled, neither retried nor dead, unless it ends well before
-- it notices.
-- @return true, or nil and an error: code "not_found", "state" (it has ended), "unavailable"
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

--- A handle for an id that was kept somewhere; whether the store knows it is for `:state()` to say.
-- @tparam string id
-- @return handle
-- @raise at the caller's line when the id is no string
-- @usage print(skein.handle(id):state())
function M.handle(id)
  if type(id) ~= "string" then errors.misuse("skein.handle: the id must be a string, not " .. type(id)) end
  return setmetatable({ id = id }, Handle)
end

M.Handle = Handle

return M
