--- Enqueueing jobs and looking after them: the same in a job and in any LuaJIT program.
-- Requests go through a transport: in a worker through its core, else through a connection of this process's own.
-- @module skein.client
local core = require "skein.core"
local errors = require "skein.errors"
local schema = require "skein.schema"
local tasks = require "skein.tasks"

local M = {}

local OP = { ENQUEUE = 1, GET = 2, WAIT = 3, LIST = 4, COUNT = 5, CHANGE = 6, PAUSE = 7, TASKS = 8 }
local STATES = { [0] = nil, "scheduled", "ready", "running", "retry", "done", "dead", "cancelled" }
local VERB = { cancel = 0, delete = 1, retry = 2, promote = 3 }
local CODES = { [0] = "ok", "invalid", "limit", "exists", "not_found", "stale", "state" }
local BATCH_MAX = 1000
local CANCELLED_KEEP_MS = 3600 * 1000
local TASKS_FRESH_S = 5

M.OP, M.STATES = OP, STATES

--- The transport ------------------------------------------------------------------------------------------------------

local transport -- { call = function(operation, payload) -> code name, answer }

--- Used by worker.lua.
function M.set_transport(t) transport = t end

local function default_url()
  local url = os.getenv("SKEIN_STORE")
  if not url or url == "" then url = os.getenv("REDIS_URL") end
  if not url or url == "" then url = "sqlite:.skein/jobs.db" end
  return url
end

--- Opens the store for this program.  Not needed when the environment says which (SKEIN_STORE, REDIS_URL), nor inside a job.
-- @tparam[opt] string url as for `skein run -s`; default: the environment's, else sqlite:.skein/jobs.db
-- @tparam[opt] table options `durability = "full" | "normal"`
-- @return true, or nil and an error (code "unavailable", "invalid", ...)
-- @usage assert(skein.connect("sqlite:/var/lib/app/jobs.db"))
function M.connect(url, options)
  if transport and transport.worker then error("skein.connect: a job uses the engine's store", 2) end
  local client, message, code = core.client(url or default_url(), options and options.durability)
  if not client then return nil, errors.new(code, message) end
  if transport then transport.close() end
  transport = {
    call = function(operation, payload) return client:call(operation, payload) end,
    close = function() client:close() end,
  }
  return true
end

--- Closes the connection; the next use opens it again.
function M.close()
  if transport and transport.close then transport.close() end
  transport = nil
end

-- @return the answer, or nil and an error
local function call(operation, payload)
  if not transport then
    local ok, err = M.connect()
    if not ok then return nil, err end
  end
  local code, answer = transport.call(operation, payload)
  if code ~= "ok" then return nil, errors.new(code, answer) end
  return answer
end

M.call = call

--- Views of jobs ------------------------------------------------------------------------------------------------------

local VIEW = "bsssillsis"

local function seconds(ms)
  if ms and ms > 0 then return ms / 1000 end
end

local function decode(text)
  if text and text ~= "" then return core.decode(text) end
end

--- Reads one view (core/engine/request.h) at `offset`; returns it and the next offset.
function M.read_view(answer, offset)
  local state, id, queue, record, priority, due_ms, held_ms, engine, percent, note, next_offset = core.unpack(VIEW, answer, offset)
  if STATES[state] == nil then return { id = id }, next_offset end
  local r = core.job(record) or {}
  local view = {
    id = id, state = STATES[state], queue = queue, task = r.task, priority = priority,
    args = decode(r.args), meta = decode(r.meta), attempts = r.attempts or 0, retries = r.retries,
    crashes = r.crashes or 0, recoveries = r.recoveries or 0,
    enqueued_at = seconds(r.enqueued_ms), due_at = seconds(due_ms),
    started_at = seconds(STATES[state] == "running" and held_ms or r.started_ms), finished_at = seconds(r.finished_ms),
    result = decode(r.result), engine = engine ~= "" and engine or nil,
  }
  if r.error_kind then view.error = { kind = r.error_kind, message = r.error or "", traceback = r.traceback } end
  if percent >= 0 then view.progress = { percent = percent, message = note } end
  return view, next_offset
end

local function get(id)
  local answer, err = call(OP.GET, core.pack("is", 1, id))
  if not answer then return nil, err end
  return (M.read_view(answer, 1))
end

M.get = get

--- Handles --------------------------------------------------------------------------------------------------------------

local Handle = {}
Handle.__index = Handle
Handle.__tostring = function(h) return "skein job " .. h.id end

--- The job's state: "scheduled", "ready", "running", "retry", "done", "dead", "cancelled"; nil when the store does not know it
-- (any more: a finished job is kept for its `keep`).
-- @return state, or nil and perhaps an error
function Handle:state()
  local view, err = get(self.id)
  if not view then return nil, err end
  return view.state
end

--- Everything the store knows of the job, as a table; nil for an unknown id.
function Handle:info()
  local view, err = get(self.id)
  if not view then return nil, err end
  if view.state then return view end
end

--- What job:progress said last.
-- @return percent (0..100), message; nil when nothing was said
function Handle:progress()
  local view, err = get(self.id)
  if not view then return nil, err end
  if view.progress then return view.progress.percent, view.progress.message end
end

--- Waits for the job's end.
-- @tparam[opt] number timeout seconds; none: as long as it takes
-- @return what the handler returned (nil when it returned nothing, or when the finished job was not kept), or nil and an error:
-- code "timeout" (it has not ended yet), "dead" (err.kind, err.message, err.traceback), "cancelled", "unavailable"
-- @yields in a job
function Handle:wait(timeout)
  if timeout ~= nil and schema.seconds(timeout) then error("handle:wait: timeout must be " .. schema.seconds(timeout), 2) end
  local answer, err = call(OP.WAIT, core.pack("sl", self.id, timeout and tasks.ms(timeout) or -1))
  if not answer then return nil, err end
  local view = M.read_view(answer, 1)
  if view.state == "done" then return view.result end
  if view.state == "dead" then
    local e = view.error or { message = "dead" }
    return nil, errors.new("dead", e.message, { kind = e.kind, traceback = e.traceback, attempts = view.attempts })
  end
  if view.state == "cancelled" then return nil, errors.new("cancelled", "job " .. self.id .. " was cancelled") end
  return nil
end

--- Cancels the job if it waits still.
-- @return true, or nil and an error: code "not_found", "state" (it runs or has ended)
function Handle:cancel()
  local payload = core.pack("blisbss", VERB.cancel, CANCELLED_KEEP_MS, 1, self.id, 0, "", "")
  local answer, err = call(OP.CHANGE, payload)
  if not answer then return nil, err end
  local changed, code = core.unpack("lb", answer)
  if changed == 1 then return true end
  local name = CODES[code] or "state"
  local why = name == "not_found" and "the store does not know it" or "it is running or has ended"
  return nil, errors.new(name, ("job %s can't be cancelled: %s"):format(self.id, why))
end

--- A handle for an id that was kept somewhere.
function M.handle(id)
  if type(id) ~= "string" then error("skein.handle: the id must be a string, not " .. type(id), 2) end
  return setmetatable({ id = id }, Handle)
end

--- Enqueueing -----------------------------------------------------------------------------------------------------------

local SIGNATURE = {
  task = schema.name(core),
  args = schema.table,
  delay = schema.seconds,
  at = schema.seconds,
  meta = schema.table,
  id = function(value)
    if type(value) ~= "string" or #value == 0 or #value > 64 or value:find("[^%w_.:-]") then return "1 to 64 bytes of [A-Za-z0-9_.:-]" end
  end,
}
for key, check in pairs(tasks.options) do SIGNATURE[key] = check end

-- Tasks that engines have declared: name -> { queue, priority }.
local declared, declared_at = {}, -math.huge

local function load_declared()
  local answer = call(OP.TASKS, "")
  if not answer then return end
  declared, declared_at = {}, core.now()
  local n, offset = core.unpack("i", answer)
  for _ = 1, n do
    local name, queue, priority
    name, queue, priority, offset = core.unpack("ssi", answer, offset)
    declared[name] = { queue = queue, priority = priority }
  end
end

-- The queue and priority that the task's declaration says; the store is asked when no script of this process declares it.
local function defaults_of(name)
  local task = tasks.by_name[name] or declared[name]
  if not task and core.now() - declared_at > TASKS_FRESH_S then
    load_declared()
    task = declared[name]
  end
  return task and task.queue or "default", task and task.priority or 0
end

-- @return record bytes, due_ms, delay_ms, id; or nil and a sentence
local function build(signature, n, ...)
  local problem = schema.check("job", signature, SIGNATURE)
  if not problem and not signature.task then problem = "job: the task's name is missing" end
  if not problem and type(signature.backoff) == "function" then problem = "job: a function as backoff belongs to skein.task" end
  if problem then return nil, problem end
  local args, message
  if n > 0 or not signature.args then
    args, message = core.encode_args(...)
  else
    args, message = core.encode_args(unpack(signature.args, 1, signature.args.n or table.maxn(signature.args)))
  end
  if not args then return nil, message end
  local meta
  if signature.meta and next(signature.meta) ~= nil then
    meta, message = core.encode(signature.meta, "meta")
    if not meta then return nil, message end
  end
  local now = core.now()
  local queue, priority = signature.queue, signature.priority
  if not queue or not priority then
    local default_queue, default_priority = defaults_of(signature.task)
    queue, priority = queue or default_queue, priority or default_priority
  end
  local record = tasks.set_fields({
    id = signature.id or core.id(), task = signature.task, args = args, meta = meta, enqueued_ms = math.floor(now * 1000),
  }, signature)
  record.queue, record.priority = queue, priority
  if signature.expires then record.expires_ms = math.floor((now + signature.expires) * 1000) end
  local bytes = core.record(record)
  local ok, refused = core.check(bytes, M.args_bytes_max)
  if not ok then return nil, refused end
  return bytes, tasks.ms(signature.at) or 0, tasks.ms(signature.delay) or 0, record.id
end

local function send(batch)
  local parts = { core.pack("i", #batch) }
  for i, job in ipairs(batch) do parts[i + 1] = core.pack("sll", job.record, job.due_ms, job.delay_ms) end
  local answer, err = call(OP.ENQUEUE, table.concat(parts))
  if not answer then return nil, err end
  for i, job in ipairs(batch) do
    local code = answer:byte(i)
    if code == 0 then
      job.result = M.handle(job.id)
    elseif CODES[code] == "exists" then
      job.result, job.err = nil, errors.new("exists", ("job %s is in the store already"):format(job.id), { id = job.id })
    else
      job.result, job.err = nil, errors.new(CODES[code] or "invalid", ("job %s was refused"):format(job.id))
    end
  end
  return true
end

-- Adds to a copy of the signature, so that one signature can be used many times.
local function with(signature, key, value)
  if type(signature) == "string" then signature = { task = signature } end
  if type(signature) ~= "table" then return signature end
  local copy = {}
  for k, v in pairs(signature) do copy[k] = v end
  copy[key] = value
  return copy
end

local function enqueue_one(level, signature, n, ...)
  if type(signature) == "string" then signature = { task = signature } end
  local record, due_ms, delay_ms, id = build(signature, n, ...)
  if not record then error(due_ms, level + 1) end
  local job = { record = record, due_ms = due_ms, delay_ms = delay_ms, id = id }
  local ok, err = send({ job })
  if not ok then return nil, err end
  return job.result, job.err
end

--- Adds a job.
-- @tparam string|table signature a task's name, or { task =, args =, delay =, at =, meta =, id =, any task option }
-- @param ... the job's args (JSON values)
-- @return a handle, or nil and an error (code "unavailable": it was not added; "unknown_fate": it may have been;
-- "exists": the id given is in the store already)
-- @raise at the caller's line what can't be stored, an unknown option, a limit passed
-- @yields in a job
-- @usage local h = skein.enqueue({ task = "add", queue = "math" }, 1, 2)
function M.enqueue(signature, ...)
  return enqueue_one(2, signature, select("#", ...), ...)
end

--- Adds a job that is due in `delay` seconds.
function M.enqueue_in(delay, signature, ...)
  local problem = schema.seconds(delay)
  if problem then error("skein.enqueue_in: the delay must be " .. problem, 2) end
  return enqueue_one(2, with(signature, "delay", delay), select("#", ...), ...)
end

--- Adds a job that is due at `time` (seconds since 1970); now, when that is past.
function M.enqueue_at(time, signature, ...)
  local problem = schema.seconds(time)
  if problem then error("skein.enqueue_at: the time must be " .. problem .. " since 1970", 2) end
  return enqueue_one(2, with(signature, "at", time), select("#", ...), ...)
end

--- Adds many jobs with few round trips.
-- @tparam table signatures a list of { task =, args = { ... }, ... }
-- @return a list of handles in the same order, or nil and an error; nothing is sent when one of them is wrong.  Where the store
-- refused single jobs, false stands in their place and the second result lists the errors by index.
function M.enqueue_many(signatures)
  if type(signatures) ~= "table" then error("skein.enqueue_many: a list of signatures is expected, not " .. type(signatures), 2) end
  local jobs = {}
  for i, signature in ipairs(signatures) do
    if type(signature) == "string" then signature = { task = signature } end
    local record, due_ms, delay_ms, id = build(signature, 0)
    if not record then error(("skein.enqueue_many: [%d]: %s"):format(i, due_ms), 2) end
    jobs[i] = { record = record, due_ms = due_ms, delay_ms = delay_ms, id = id }
  end
  local handles, refused = {}, nil
  for first = 1, #jobs, BATCH_MAX do
    local batch = {}
    for i = first, math.min(first + BATCH_MAX - 1, #jobs) do batch[#batch + 1] = jobs[i] end
    local ok, err = send(batch)
    if not ok then
      err.added = first - 1
      return nil, err
    end
  end
  for i, job in ipairs(jobs) do
    handles[i] = job.result or false
    if job.err then
      refused = refused or {}
      refused[i] = job.err
    end
  end
  return handles, refused
end

M.VERB, M.CODES = VERB, CODES
M.CANCELLED_KEEP_MS = CANCELLED_KEEP_MS

return M
