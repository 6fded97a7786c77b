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
local BATCH_BYTES_MAX = 4 * 1024 * 1024 -- half of what a frame takes; one record is never more than that
local ARGS_MAX = 200
local CANCELLED_KEEP_MS = 3600 * 1000
local TASKS_FRESH_S = 5

M.OP, M.STATES = OP, STATES

--- The transport ------------------------------------------------------------------------------------------------------

local transport -- { call = function(operation, payload) -> code name, answer }

--- Used by worker.lua and testing.lua.  Returns the one before.
function M.set_transport(t)
  local before = transport
  transport = t
  return before
end

local function default_url()
  local url = os.getenv("SKEIN_STORE")
  if not url or url == "" then url = os.getenv("REDIS_URL") end
  if not url or url == "" then url = "sqlite:.skein/jobs.db" end
  return url
end

-- Tasks that engines have declared: name -> { queue, priority }, and when the store was asked for them.
local declared, declared_at = {}, -math.huge

local CONNECT = { durability = schema.one_of { full = true, normal = true } }

--- Opens the store for this program.  Not needed when the environment says which (SKEIN_STORE, REDIS_URL), nor inside a job.
-- @tparam[opt] string url as for `skein run -s`; default: the environment's, else sqlite:.skein/jobs.db
-- @tparam[opt] table options `durability = "full" | "normal"`: whether an acknowledged enqueue survives power loss ("full")
-- @return true, or nil and an error (code "unavailable", "invalid", ...)
-- @raise at the caller's line: a url that is no string, an unknown option, inside a job
-- @usage assert(skein.connect("sqlite:/var/lib/app/jobs.db"))
function M.connect(url, options)
  if transport and transport.worker then errors.misuse("skein.connect: a job uses the engine's store") end
  if url ~= nil and type(url) ~= "string" then errors.misuse("skein.connect: the url must be a string, not " .. type(url)) end
  local problem = options ~= nil and schema.check("skein.connect", options, CONNECT)
  if problem then errors.misuse(problem) end
  local client, message, code = core.client(url or default_url(), options and options.durability)
  if not client then return nil, errors.new(code, message) end
  M.close()
  transport = {
    call = function(operation, payload) return client:call(operation, payload) end,
    close = function() client:close() end,
  }
  return true
end

--- Closes the connection; the next use opens it again.  Does nothing inside a job.
function M.close()
  if not transport or not transport.close then return end
  transport.close()
  transport = nil
  declared, declared_at = {}, -math.huge
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

local VIEW = "bsssillsissbb"

local function seconds(ms)
  if ms and ms > 0 then return ms / 1000 end
end

local function decode(text)
  if text and text ~= "" then return core.decode(text) end
end

--- Reads one view (core/engine/request.h) at `offset`; returns it and the next offset.
function M.read_view(answer, offset)
  local state, id, queue, record, priority, due_ms, held_ms, engine, percent, note, log, stopping, held_back,
    next_offset = core.unpack(VIEW, answer, offset)
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
  if log ~= "" then view.live_log = log end
  view.stopping, view.held_back = stopping == 1 or nil, held_back > 0 and held_back or nil
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
-- @yields in a job
-- @usage if h:state() == "dead" then ... end
function Handle:state()
  local view, err = get(self.id)
  if not view then return nil, err end
  return view.state
end

--- Everything the store knows of the job; times in seconds since 1970.
-- @return { id, state, queue, task, priority, args, meta, attempts, retries, crashes, recoveries, enqueued_at, due_at, started_at,
-- finished_at, result, error = { kind, message, traceback }, progress = { percent, message }, engine }; nil for an unknown id, and
-- perhaps an error
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
-- @return what the handler returned (nil when it returned nothing, or when the finished job was not kept), or nil and an error:
-- code "timeout" (it has not ended yet), "dead" (err.kind, err.message, err.traceback), "cancelled", "unavailable"
-- @raise at the caller's line when the timeout is no number of seconds
-- @yields in a job
-- @usage local sum, err = skein.enqueue("add", 1, 2):wait(5)
function Handle:wait(timeout)
  local problem = timeout ~= nil and schema.seconds(timeout)
  if problem then errors.misuse(("handle:wait: the timeout is %s, expected %s"):format(schema.show(timeout), problem)) end
  local answer, err = call(OP.WAIT, core.pack("sl", self.id, timeout and tasks.ms(timeout) or -1))
  if not answer then return nil, err end
  return outcome((M.read_view(answer, 1)))
end

--- Cancels the job if it waits still.
-- @return true, or nil and an error: code "not_found", "state" (it runs or has ended), "unavailable"
-- @yields in a job
-- @usage assert(h:cancel())
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

--- A handle for an id that was kept somewhere; whether the store knows it is for `:state()` to say.
-- @tparam string id
-- @return handle
-- @raise at the caller's line when the id is no string
-- @usage print(skein.handle(id):state())
function M.handle(id)
  if type(id) ~= "string" then errors.misuse("skein.handle: the id must be a string, not " .. type(id)) end
  return setmetatable({ id = id }, Handle)
end

--- Enqueueing -----------------------------------------------------------------------------------------------------------

-- How many args a signature's list holds; the holes in it are nulls.  `n` counts nils at its end, as in table.pack.
local function count_args(args)
  return args.n or table.maxn(args)
end

local function list_of_args(value)
  if type(value) ~= "table" then return "a list of args" end
  for key in pairs(value) do
    if key ~= "n" and not (type(key) == "number" and key >= 1 and key % 1 == 0) then
      return ("a list of args (it has the key %s)"):format(schema.show(key))
    end
  end
  local n = count_args(value)
  if type(n) ~= "number" or n < table.maxn(value) or n % 1 ~= 0 then return "a list of args whose n is their number" end
  if n > ARGS_MAX then return ("at most %d args, not %.0f"):format(ARGS_MAX, n) end
end

local SIGNATURE = {
  task = schema.name(core),
  args = list_of_args,
  delay = schema.seconds,
  at = schema.moment,
  meta = schema.table,
  id = function(value)
    if type(value) ~= "string" or #value == 0 or #value > 64 or value:find("[^%w_.:-]") then return "1 to 64 bytes of [A-Za-z0-9_.:-]" end
  end,
}
for key, check in pairs(tasks.options) do SIGNATURE[key] = check end

local function load_declared()
  local answer = call(OP.TASKS, "")
  if not answer then return end
  declared, declared_at = {}, core.now()
  local n, offset = core.unpack("i", answer)
  for _ = 1, n do
    local name, queue, priority, template
    name, queue, priority, template, offset = core.unpack("ssis", answer, offset)
    declared[name] = { queue = queue, priority = priority, template = template }
  end
end

-- The queue and priority that the task's declaration says; the store is asked when no script of this process declares it.
local function defaults_of(name)
  local task = tasks.by_name[name]
  if not task then
    if core.now() - declared_at > TASKS_FRESH_S then load_declared() end
    task = declared[name]
  end
  return task and task.queue or "default", task and task.priority or 0
end

-- @return record bytes, due_ms, delay_ms, id; or nil and a sentence
local function build(signature, n, ...)
  local problem = schema.check("job", signature, SIGNATURE)
  if not problem and not signature.task then problem = "job: the task's name is missing" end
  if not problem and type(signature.backoff) == "function" then problem = "job: a function as backoff belongs to skein.task" end
  if not problem and signature.at and signature.delay then problem = "job: the options at and delay exclude each other" end
  if problem then return nil, problem end
  local args, message
  if n > 0 or not signature.args then
    args, message = core.encode_args(...)
  else
    args, message = core.encode_args(unpack(signature.args, 1, count_args(signature.args)))
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
  local parts = { core.pack("li", 0, #batch) }
  for i, job in ipairs(batch) do parts[i + 1] = core.pack("sll", job.record, job.due_ms, job.delay_ms) end
  local answer, err = call(OP.ENQUEUE, table.concat(parts))
  if not answer then return nil, err end
  local offset = #batch + 1
  for i, job in ipairs(batch) do
    local code, holder = answer:byte(i)
    if code == 0 then
      job.result = M.handle(job.id)
    elseif CODES[code] == "exists" then
      holder, offset = core.unpack("s", answer, offset)
      local id = holder ~= "" and holder or job.id
      job.result, job.err = nil, errors.new("exists", ("job %s is in the store already"):format(id), { id = id })
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

local function enqueue_one(signature, n, ...)
  if type(signature) == "string" then signature = { task = signature } end
  local record, due_ms, delay_ms, id = build(signature, n, ...)
  if not record then errors.misuse(due_ms) end
  local job = { record = record, due_ms = due_ms, delay_ms = delay_ms, id = id }
  local ok, err = send({ job })
  if not ok then return nil, err end
  return job.result, job.err
end

--- Adds a job.
-- @tparam string|table signature a task's name, or { task =, args =, delay = (s), at = (s since 1970), meta =, id =, any task
-- option }; it is not changed, so that one can be used many times
-- @param ... the job's args (JSON values); when there are some they stand in for the signature's
-- @return a handle, or nil and an error (code "unavailable": it was not added; "unknown_fate": it may have been;
-- "exists": the id given is in the store already)
-- @raise at the caller's line what can't be stored, an unknown option, a limit passed
-- @yields in a job
-- @usage local h = skein.enqueue({ task = "add", queue = "math" }, 1, 2)
function M.enqueue(signature, ...)
  local handle, err = enqueue_one(signature, select("#", ...), ...) -- no tail call: it would hide the caller's line
  return handle, err
end

--- Adds a job that is due in `delay` seconds.
-- @tparam number delay seconds
-- @tparam string|table signature as for enqueue
-- @param ... the job's args
-- @return as enqueue
-- @raise as enqueue
-- @yields in a job
-- @usage skein.enqueue_in(0.5, "add", 1, 2)
function M.enqueue_in(delay, signature, ...)
  local problem = schema.seconds(delay)
  if problem then errors.misuse(("skein.enqueue_in: the delay is %s, expected %s"):format(schema.show(delay), problem)) end
  local handle, err = enqueue_one(with(signature, "delay", delay), select("#", ...), ...)
  return handle, err
end

--- Adds a job that is due at `time`; now, when that is past.
-- @tparam number time seconds since 1970
-- @tparam string|table signature as for enqueue
-- @param ... the job's args
-- @return as enqueue
-- @raise as enqueue
-- @yields in a job
-- @usage skein.enqueue_at(os.time() + 60, "add", 1, 2)
function M.enqueue_at(time, signature, ...)
  local problem = schema.moment(time)
  if problem then errors.misuse(("skein.enqueue_at: the time is %s, expected %s"):format(schema.show(time), problem)) end
  local handle, err = enqueue_one(with(signature, "at", time), select("#", ...), ...)
  return handle, err
end

-- The jobs of a list of signatures; a wrong one is the caller's mistake.
local function build_all(signatures)
  if type(signatures) ~= "table" then errors.misuse("skein.enqueue_many: a list of signatures is expected, not " .. type(signatures)) end
  local count, jobs = #signatures, {}
  for key in pairs(signatures) do
    if type(key) ~= "number" or key < 1 or key > count or key % 1 ~= 0 then
      errors.misuse(("skein.enqueue_many: a list of signatures is expected; it has the key %s"):format(schema.show(key)))
    end
  end
  for i = 1, count do
    local signature = signatures[i]
    if type(signature) == "string" then signature = { task = signature } end
    local record, due_ms, delay_ms, id = build(signature, 0)
    if not record then errors.misuse(("skein.enqueue_many: [%d]: %s"):format(i, due_ms)) end
    jobs[i] = { record = record, due_ms = due_ms, delay_ms = delay_ms, id = id }
  end
  return jobs
end

-- The next jobs from `first` on that fit one call.
local function next_batch(jobs, first)
  local batch, bytes = {}, 0
  for i = first, #jobs do
    bytes = bytes + #jobs[i].record
    if #batch == BATCH_MAX or (#batch > 0 and bytes > BATCH_BYTES_MAX) then break end
    batch[#batch + 1] = jobs[i]
  end
  return batch
end

--- Adds many jobs with few round trips: up to 1,000 jobs or 4 MiB in each.
-- @tparam table signatures a list of { task =, args = { ... }, ... } or names
-- @return a list of handles in the same order, or nil and an error.  Nothing is sent when one of them is wrong; when the store fails
-- in between, err.added says how many were added before.  Where the store refused single jobs, false stands in their place and
-- the second result lists the errors by index.
-- @raise at the caller's line, with the index of the signature that is wrong
-- @yields in a job
-- @usage local hs = assert(skein.enqueue_many { { task = "add", args = { 1, 2 } }, { task = "add", args = { 3, 4 } } })
function M.enqueue_many(signatures)
  local jobs = build_all(signatures)
  local first = 1
  while first <= #jobs do
    local batch = next_batch(jobs, first)
    local ok, err = send(batch)
    if not ok then
      err.added = first - 1
      return nil, err
    end
    first = first + #batch
  end
  local handles, refused = {}, nil
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
