--- Enqueueing jobs: the same in a job and in any LuaJIT program.
--
--   signature -> middleware (around.lua) -> build: record bytes (core/logic/record.h) -> send: a request for up to 1,000 of them
-- @module skein.enqueue
local core = require "skein.core"
local around = require "skein.around"
local catalog = require "skein.catalog"
local client = require "skein.client"
local errors = require "skein.errors"
local keys = require "skein.keys"
local schema = require "skein.schema"
local tasks = require "skein.tasks"
local coroutine = coroutine -- its functions are looked up when used: a worker replaces them
local concat, floor, maxn = table.concat, math.floor, table.maxn

local M = {}

local BATCH_MAX = 1000
local PLAIN_MAX = 250 -- of plain signatures: several smaller requests under way keep the store busy while the next one is written
local BATCH_BYTES_MAX = 4 * 1024 * 1024 -- half of what a frame takes; one record is never more than that
local ARGS_MAX = 200
local CALLBACKS_BYTES_MAX = 256 * 1024
local CALLBACKS_MAX = 100
local CALLBACKS_DEPTH_MAX = 16

--- Signatures -------------------------------------------------------------------------------------------------------------

-- How many args a signature's list holds; the holes in it are nulls.  `n` counts nils at its end, as in table.pack.
local function count_args(args)
  return args.n or maxn(args)
end

local function list_of_args(value)
  if type(value) ~= "table" then return "a list of args" end
  for key in pairs(value) do
    if key ~= "n" and not (type(key) == "number" and key >= 1 and key % 1 == 0) then
      return ("a list of args (it has the key %s)"):format(schema.show(key))
    end
  end
  local n = count_args(value)
  if type(n) ~= "number" or n < maxn(value) or n % 1 ~= 0 then return "a list of args whose n is their number" end
  if n > ARGS_MAX then return ("at most %d args, not %.0f"):format(ARGS_MAX, n) end
end

local function meta_table(value)
  if type(value) ~= "table" then return "a table" end
  if value[tasks.PASS] ~= nil then return ('a table without the key "%s", which is Skein\'s own'):format(tasks.PASS) end
end

local function callbacks(value)
  if type(value) == "string" or (type(value) == "table" and schema.callable(value)) then return nil end
  return "a signature, a task's name, or a list of them (a function belongs to skein.task)"
end

local SIGNATURE = {
  task = schema.name(core),
  args = list_of_args,
  delay = schema.seconds,
  at = schema.moment,
  meta = meta_table,
  block = schema.seconds,
  immutable = schema.boolean,
  on_success = callbacks,
  on_error = callbacks,
  id = function(value)
    if type(value) ~= "string" or #value == 0 or #value > 64 or value:find("[^%w_.:-]") then return "1 to 64 bytes of [A-Za-z0-9_.:-]" end
  end,
}
for key, check in pairs(tasks.job_options) do SIGNATURE[key] = check end

-- What is wrong with a signature by itself; nil when nothing.
local function problem_of(signature)
  if type(signature) ~= "table" then return "job: a task's name or a signature (a table) is expected, not " .. type(signature) end
  local problem = schema.check("job", signature, SIGNATURE)
  if problem then return problem end
  if not signature.task then return "job: the task's name is missing" end
  if type(signature.backoff) == "function" then return "job: a function as backoff belongs to skein.task" end
  if signature.at and signature.delay then return "job: the options at and delay exclude each other" end
end

-- A copy with one thing more, so that one signature can be used many times.
local function with(signature, key, value)
  if type(signature) == "string" then signature = { task = signature } end
  if type(signature) ~= "table" then return signature end
  local copy = {}
  for k, v in pairs(signature) do copy[k] = v end
  copy[key] = value
  return copy
end

--- Meta ---------------------------------------------------------------------------------------------------------------------

-- Adds the names of `more` that are not in `list` yet.
local function join(list, more)
  for _, name in ipairs(more or {}) do
    local there = false
    for _, other in ipairs(list) do there = there or other == name end
    if not there then list[#list + 1] = name end
  end
end

-- A job's meta with what it inherits, and the list of its keys that it passes on itself; nil and nil when there is nothing of it.
-- `passed` is what the running job, or the one whose callback it is, passes along: { values, pass }.
local function merge_meta(signature, task, passed)
  local own = signature.meta
  if not passed and (own == nil or next(own) == nil) then return nil, nil end
  local meta, pass = {}, {}
  for key, value in pairs(passed and passed.values or {}) do meta[key] = value end
  for key, value in pairs(own or {}) do meta[key] = value end
  join(pass, signature.pass_meta)
  join(pass, task.pass)
  join(pass, passed and passed.pass)
  return meta, pass[1] and pass or nil
end

--- What a job with that meta passes along; nil for nothing.
-- @tparam[opt] table meta
-- @tparam[opt] table pass keys of it
-- @treturn[opt] table { values, pass }
function M.passed(meta, pass)
  if type(meta) ~= "table" or type(pass) ~= "table" then return nil end -- other clients' bytes may be anything
  local values, any = {}, false
  for _, key in ipairs(pass) do
    if meta[key] ~= nil then values[key], any = meta[key], true end
  end
  return any and { values = values, pass = pass } or nil
end

-- The JSON of a job's meta (nil: none), and what its callbacks inherit; or nil, nil and what is wrong.
local function meta_text(signature, task, passed)
  local meta, pass = merge_meta(signature, task, passed)
  if not meta then return nil, nil end
  local text, problem = core.encode(pass and with(meta, tasks.PASS, pass) or meta, "meta")
  if not text then return nil, nil, problem end
  return text, M.passed(meta, pass)
end

--- Building -------------------------------------------------------------------------------------------------------------------

local build

-- One of them or a list as a list.
local function list_of(value)
  if type(value) == "table" and value.task == nil and (value[1] ~= nil or next(value) == nil) then return value end
  return { value }
end

-- One signature's copy for middleware: its own args, meta, queue.
local function fresh(signature, passed, n, ...)
  local task = catalog.task(signature.task)
  local copy = {}
  for key, value in pairs(signature) do copy[key] = value end
  local args = n > 0 and { n = n, ... } or signature.args or {}
  copy.args = {}
  for i = 1, count_args(args) do
    local value = args[i]
    if value == nil then value = core.null end
    copy.args[i] = value
  end
  local meta, pass = merge_meta(signature, task, passed)
  copy.meta, copy.pass_meta, copy.queue = meta or {}, pass or signature.pass_meta, signature.queue or task.queue
  return copy
end

-- Adds one callback to `parts`; nil, or what is wrong with it.
local function add_callback(parts, signature, passed, depth)
  local problem
  local function add(changed, inherited)
    local item, id = build(changed, inherited, depth, 0)
    if not item then
      problem = id
      return nil, errors.new("invalid", problem)
    end
    parts[#parts + 1] = item -- in the form that a request has, callback.h's
    return client.handle(id)
  end
  if type(signature) == "string" then signature = { task = signature } end
  if not around.has_enqueue() then
    add(signature, passed)
    return problem
  end
  problem = problem_of(signature)
  if not problem then around.through(fresh(signature, passed, 0), add) end
  return problem
end

-- What is wrong inside of `path`: its own path is joined to that ("on_success[1].args[2]: a function ...").
local function below(path, problem)
  problem = problem:gsub("^job: ", "")
  return path .. (problem:find("^[%w_]+%[%d+%][.%w_%[%]]*: ") and "." or ": ") .. problem
end

-- The callbacks of a job as its record has them (core/logic/callback.h); nil and what is wrong.
local function build_callbacks(option, value, passed, depth)
  if depth > CALLBACKS_DEPTH_MAX then return nil, ("job: callbacks of callbacks, more than %d deep"):format(CALLBACKS_DEPTH_MAX) end
  local list, parts, count = list_of(value), {}, 0
  for _ in pairs(list) do count = count + 1 end
  if count ~= #list then return nil, ("job: option %s: a signature or a list of them is expected"):format(option) end
  if count > CALLBACKS_MAX then return nil, ("job: option %s has %d callbacks, the limit is %d"):format(option, count, CALLBACKS_MAX) end
  for i = 1, count do
    local problem = add_callback(parts, list[i], passed, depth)
    if problem then return nil, "job: " .. below(("%s[%d]"):format(option, i), problem) end
  end
  local bytes = concat(parts)
  if #bytes <= CALLBACKS_BYTES_MAX then return bytes end
  return nil, ("job: option %s comes to %d bytes, the limit is %d"):format(option, #bytes, CALLBACKS_BYTES_MAX)
end

-- Fills in what few jobs have: lock, limit, callbacks.  The delay that its lock asks for, in ms; or nil and what is wrong.
local function fill_rare(record, signature, task, passed, depth, n, ...)
  local lock, limit, delay_ms = task.lock, task.limit, 0
  local own, wrong = keys.lock(signature, lock)
  if wrong then return nil, "job: " .. wrong end
  if own ~= nil then lock = own end
  own, wrong = keys.limit(signature, limit)
  if wrong then return nil, "job: " .. wrong end
  if own ~= nil then limit = own end
  if lock or limit then
    local args = n > 0 and { n = n, ... } or signature.args or {}
    local problem
    local json, unencoded = core.encode_args(unpack(args, 1, count_args(args)))
    if not json then return nil, unencoded end
    record.unique, record.limit, delay_ms, problem = keys.of_job(signature.task, lock, limit, json, args)
    if problem then return nil, problem end
  end
  for _, option in ipairs { "on_success", "on_error" } do
    if signature[option] then
      local problem
      record[option], problem = build_callbacks(option, signature[option], passed, depth + 1)
      if problem then return nil, problem end
    end
  end
  if signature.immutable then record.immutable = 1 end
  return delay_ms
end

local function is_rare(signature, task)
  return task.lock or task.limit or signature.on_success or signature.on_error or signature.limit or signature.unique
    or signature.debounce or signature.throttle or signature.immutable
end

-- @return the job as a request has it, its id; or nil and a sentence
function build(signature, passed, depth, n, ...)
  local problem = problem_of(signature)
  if problem then return nil, problem end
  local task = catalog.task(signature.task)
  local record = tasks.set_fields({
    id = signature.id, task = signature.task, queue = task.queue, priority = task.priority,
  }, signature)
  local inherited
  if signature.meta or passed then
    record.meta, inherited, problem = meta_text(signature, task, passed)
    if problem then return nil, problem end
  end
  if signature.expires then record.expires_ms = floor((core.now() + signature.expires) * 1000) end
  local due_ms, delay_ms, args = tasks.ms(signature.at) or 0, tasks.ms(signature.delay) or 0, signature.args
  if is_rare(signature, task) then
    local wait_ms
    wait_ms, problem = fill_rare(record, signature, task, inherited, depth, n, ...)
    if not wait_ms then return nil, problem end
    if not signature.at and not signature.delay then delay_ms = wait_ms end
  end
  local item, id
  if n > 0 or not args then
    item, id = core.item(record, due_ms, delay_ms, M.args_bytes_max, ...)
  else
    item, id = core.item(record, due_ms, delay_ms, M.args_bytes_max, unpack(args, 1, count_args(args)))
  end
  return item, id
end

--- Sending ----------------------------------------------------------------------------------------------------------------------

local HANDLE_OF = client.handle

-- The fields of a job that was built, and when it is due; for what is rare.
local function record_of(job)
  local record, due_ms, delay_ms = core.unpack("sll", job.item)
  return core.job(record) or {}, delay_ms > 0 or due_ms > core.now() * 1000
end

-- Why a job with a lock or an id of its own was not taken.
local function exists_error(job, holder)
  if holder == "" or holder == job.id then
    return errors.new("exists", ("job %s is in the store already"):format(job.id), { id = job.id, handle = HANDLE_OF(job.id) })
  end
  local record = record_of(job)
  local mode, ttl_ms, key = (record.unique or ""):match("^(%l+);(%d+);=(.*)$")
  local text = mode == "throttle" and ("task %s is throttled: job %s was enqueued less than %g s ago, with the key %s")
    :format(record.task, holder, ttl_ms / 1000, schema.show(key))
    or ("job %s of task %s is there already, with the unique key %s"):format(holder, record.task, schema.show(key))
  return errors.new("exists", text, { id = holder, handle = HANDLE_OF(holder) })
end

local function full_error(name, queue, block_ms)
  local max_len = queue and queue.max_len
  local text = ('queue "%s" is full'):format(name)
  if max_len then text = ("%s: %.0f jobs wait in it, its max_len"):format(text, max_len) end
  if block_ms > 0 then text = ("%s, and %g s made no room"):format(text, block_ms / 1000) end
  return errors.new("limit", text, { queue = name, max_len = max_len })
end

local function tell_added(job)
  local record, later = record_of(job)
  around.emit { id = job.id, task = record.task, queue = record.queue, attempt = 0, to = later and "scheduled" or "ready" }
end

local send

-- Says in an error whose fate is unknown, so that one can ask: the jobs' ids.
local function name_unknown(err, jobs)
  err.ids = err.ids or {}
  for i = 1, #jobs do err.ids[#err.ids + 1] = jobs[i].id end
  err.id = #err.ids == 1 and err.ids[1] or nil
  err.handle = err.id and client.handle(err.id)
end

-- Jobs that their full queue has refused: those of a queue that says so wait for room now, the others have an error.
local function refill(full, block_ms)
  local waiting, names = {}, {}
  for _, job in ipairs(full) do
    local name = record_of(job).queue
    local queue = catalog.queue(name)
    if block_ms == 0 and queue and queue.block_ms > 0 then
      if not waiting[name] then
        waiting[name] = { block_ms = queue.block_ms }
        names[#names + 1] = name
      end
      waiting[name][#waiting[name] + 1] = job
    else
      job.err = full_error(name, queue, block_ms)
    end
  end
  for _, name in ipairs(names) do
    local batch = waiting[name]
    local ok, err = send(batch, batch.block_ms)
    for _, job in ipairs(ok and {} or batch) do job.err = err end
  end
end

-- The request for a list of jobs.
local function payload_of(jobs, block_ms)
  local parts, all_new = {}, 1
  for i = 1, #jobs do
    parts[i + 1] = jobs[i].item
    if not jobs[i].fresh then all_new = 0 end
  end
  parts[1] = core.pack("lbi", block_ms, all_new, #jobs)
  return concat(parts)
end

-- Notes in each of the jobs what the answer says of it: its `result`, a handle, or its `err`.
-- @return a list of those that their full queue has refused, when there are some
local function take_answer(jobs, answer)
  local offset, full = #jobs + 1, nil
  for i = 1, #jobs do
    local job, code = jobs[i], answer:byte(i)
    if code == 0 then
      job.result = HANDLE_OF(job.id)
    elseif client.CODES[code] == "exists" then
      local holder
      holder, offset = core.unpack("s", answer, offset)
      job.err = exists_error(job, holder)
    elseif client.CODES[code] == "limit" then
      full = full or {}
      full[#full + 1] = job
    else
      job.err = errors.new(client.CODES[code] or "invalid", ("job %s was refused"):format(job.id))
    end
  end
  if around.has_events() then
    for _, job in ipairs(jobs) do
      if job.result then tell_added(job) end
    end
  end
  return full
end

-- Sends the jobs of a list and notes in each its `result`, a handle, or its `err`.
-- @return true, or nil and an error: none of them has been added, as far as is known
function send(jobs, block_ms)
  local answer, err = client.call(client.OP.ENQUEUE, payload_of(jobs, block_ms))
  if not answer then
    if err.code == "unknown_fate" then name_unknown(err, jobs) end
    return nil, err
  end
  local full = take_answer(jobs, answer)
  if full then refill(full, block_ms) end
  return true
end

-- A job ready to be sent; nil and a sentence.
local function job_of(signature, passed, n, ...)
  local item, id = build(signature, passed, 0, n, ...)
  if not item then return nil, id end
  local block_ms = signature.block and tasks.ms(signature.block) or 0
  return { item = item, id = id, block_ms = block_ms, fresh = not signature.id, result = false } -- with room for it
end

local function send_one(job)
  local ok, err = send({ job }, job.block_ms)
  if not ok then return nil, err end
  return job.result or nil, job.err
end

--- One job ------------------------------------------------------------------------------------------------------------------------

-- What comes out of the middleware is built and sent.
local function last_of_one(signature)
  local job, problem = job_of(signature, nil, 0)
  if not job then errors.misuse(problem) end
  return send_one(job)
end

local function enqueue_within(signature, n, ...)
  if type(signature) == "string" then signature = { task = signature } end
  local passed = client.passed()
  if around.has_enqueue() then
    local problem = problem_of(signature)
    if problem then errors.misuse(problem) end
    local handle, err = around.through(fresh(signature, passed, n, ...), last_of_one)
    return handle, err
  end
  local job, problem = job_of(signature, passed, n, ...)
  if not job then errors.misuse(problem) end
  return send_one(job)
end

local function enqueue_one(signature, n, ...)
  client.begin_enqueue()
  local handle, err = enqueue_within(signature, n, ...)
  client.end_enqueue()
  return handle, err
end

--- Adds a job.
-- @tparam string|table signature a task's name, or a table, which is not changed, so that it can be used many times: `task`, `args`,
-- `delay` (s), `at` (s since 1970), `meta` (a table that goes with it), `id`, `on_success`, `on_error` (signatures, names, or lists of
-- them: enqueued when it is done, with its result added to their args unless it is `immutable`; or when it is dead, with the error's
-- text before their args), `block` (s to wait for room in a full queue), any option of skein.task but the functions.  As key of
-- `unique`, `debounce`, `throttle` and `limit` a text other than "args" is the key itself; false turns the task's off
-- @param ... the job's args (JSON values); when there are some they stand in for the signature's
-- @return a handle, or nil and an error: code "unavailable" (it was not added), "unknown_fate" (it may have been: err.id and err.handle
-- are that job's, so that one can ask; enqueue again with that id adds it once), "exists" (its id
-- or its unique key is taken: err.id, err.handle are that job's), "limit" (its queue is full: err.queue, err.max_len), "dropped" (by
-- middleware)
-- @raise at the caller's line what can't be stored, an unknown option, a limit passed
-- @yields in a job
-- @usage
-- local h = skein.enqueue({ task = "add", queue = "math", on_success = { task = "log", args = { "sum" } } }, 1, 2)
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

--- Many jobs ------------------------------------------------------------------------------------------------------------------------

local function check_list(signatures)
  if type(signatures) ~= "table" then errors.misuse("skein.enqueue_many: a list of signatures is expected, not " .. type(signatures)) end
  local count = #signatures
  for key in pairs(signatures) do
    if type(key) ~= "number" or key < 1 or key > count or key % 1 ~= 0 then
      errors.misuse(("skein.enqueue_many: a list of signatures is expected; it has the key %s"):format(schema.show(key)))
    end
  end
end

local function misuse_at(i, problem) errors.misuse(("skein.enqueue_many: [%d]: %s"):format(i, problem)) end

-- The jobs of a list of signatures from `first` on; a wrong one is the caller's mistake.
local function build_from(signatures, first, passed)
  local jobs = {}
  for i = first, #signatures do
    local signature = signatures[i]
    if type(signature) == "string" then signature = { task = signature } end
    local job, problem = job_of(signature, passed, 0)
    if not job then misuse_at(i, problem) end
    jobs[#jobs + 1] = job
  end
  return jobs
end

-- A list goes in batches, each a request: { n =, block_ms =, payload =, jobs = }.  Plain signatures (core/lua/plain.h) are encoded
-- as a whole: their batches have jobs_of() in place of jobs, for what is rare, and set the handles themselves; where they are made as they
-- are sent, payload is a function.

-- What core.plain is to know of the tasks of a list: name -> { queue, priority }, false for one whose jobs are not plain.
local function facts_of(signatures)
  local facts = {}
  for i = 1, #signatures do
    local name = signatures[i]
    if type(name) == "table" then name = rawget(name, "task") end
    if type(name) == "string" and facts[name] == nil then
      local task = catalog.task(name)
      facts[name] = not task.lock and not task.limit and { task.queue, task.priority }
    end
  end
  return facts
end

-- The jobs of a batch of plain ones; for what is rare.
local function jobs_in(payload, n)
  local jobs, offset = {}, #core.pack("lbi", 0, 0, 0) + 1
  for i = 1, n do
    local record, _, _, after = core.unpack("sll", payload, offset)
    jobs[i] = { item = payload:sub(offset, after - 1), id = core.job(record).id, result = false }
    offset = after
  end
  return jobs
end

local function packed(payload, n)
  return { n = n, block_ms = 0, payload = payload, jobs_of = function() return jobs_in(payload, n) end }
end

-- A batch that is made when it is sent.
local function later(signatures, first, after, facts, handles)
  local batch = { n = after - first, block_ms = 0 }
  function batch.payload()
    local items, made = core.plain_items(signatures, first, facts, handles, client.Handle, M.args_bytes_max, after - first)
    if made ~= after then misuse_at(made, "it was changed while the list was sent") end
    return items
  end
  function batch.jobs_of()
    local jobs = {}
    for i = first, after - 1 do
      local item, id = build(with(signatures[i], "id", handles[i].id), nil, 0, 0)
      jobs[#jobs + 1] = { item = item, id = id, result = false }
    end
    return jobs
  end
  return batch
end

-- Adds batches of the plain signatures at the list's start, and their handles.  Where nothing else can happen meanwhile they are only
-- looked at here, and made when they are sent: the store is at work then.
-- @return the index of the first signature that is none
local function add_plain(batches, signatures, handles)
  local facts, lazy, first = facts_of(signatures), client.is_lazy(), 1
  while first <= #signatures do
    local after = lazy and core.plain_next(signatures, first, facts, M.args_bytes_max, PLAIN_MAX, BATCH_BYTES_MAX) or first
    if after > first then
      batches[#batches + 1] = later(signatures, first, after, facts, handles)
    else
      local payload
      payload, after = core.plain(signatures, first, facts, handles, client.Handle, M.args_bytes_max, PLAIN_MAX, BATCH_BYTES_MAX)
      if after == first then break end
      batches[#batches + 1] = packed(payload, after - first)
    end
    first = after
  end
  return first
end

-- Adds batches of jobs that were built.
local function add_jobs(batches, jobs)
  local batch, bytes
  for _, job in ipairs(jobs) do
    bytes = batch and bytes + #job.item
    if not batch or batch.n == BATCH_MAX or bytes > BATCH_BYTES_MAX or batch.block_ms ~= job.block_ms then
      batch, bytes = { n = 0, block_ms = job.block_ms, jobs = {} }, #job.item
      batches[#batches + 1] = batch
    end
    batch.n = batch.n + 1
    batch.jobs[batch.n] = job
  end
end

-- Takes over what the store said of a batch.
-- @return how many of it were added, and those that their full queue has refused
local function take_batch(batch, answer)
  if not batch.jobs then
    if not answer:find "[^%z]" then return batch.n end
    batch.jobs = batch.jobs_of()
  end
  local full, added = take_answer(batch.jobs, answer), 0
  for _, job in ipairs(batch.jobs) do added = added + (job.result and 1 or 0) end
  return added, full
end

-- @return true, or nil and an error whose `added` is how many the store has taken
local function send_batches(batches)
  local payloads, full = {}, {}
  for i, batch in ipairs(batches) do payloads[i] = batch.payload or payload_of(batch.jobs, batch.block_ms) end
  local answers, err, unknown = client.call_many(client.OP.ENQUEUE, payloads)
  assert(err or #answers == #payloads)
  local sum = 0
  for i, answer in ipairs(answers) do
    local added
    if answer then
      added, full[i] = take_batch(batches[i], answer)
      sum = sum + added
    end
  end
  if err then
    err.added = sum
    for _, i in ipairs(unknown or {}) do name_unknown(err, batches[i].jobs or batches[i].jobs_of()) end
    return nil, err
  end
  for i, batch in ipairs(batches) do
    if full[i] then refill(full[i], batch.block_ms) end
  end
  return true
end

local function send_list(signatures)
  local passed, batches, handles, refused = client.passed(), {}, {}, nil
  local first = 1
  if not passed and not around.has_events() then first = add_plain(batches, signatures, handles) end
  add_jobs(batches, build_from(signatures, first, passed))
  local ok, err = send_batches(batches)
  if not ok then return nil, err end
  local before = 0
  for _, batch in ipairs(batches) do
    for i, job in ipairs(batch.jobs or {}) do
      handles[before + i] = job.result
      if job.err then
        refused = refused or {}
        refused[before + i] = job.err
      end
    end
    before = before + batch.n
  end
  return handles, refused
end

-- In the coroutine of one signature of a batch: its job goes with the others, and comes back with its outcome.
local function last_of_many(signature)
  local job, problem = job_of(signature, nil, 0)
  if not job then errors.misuse(problem) end
  local handle, err = coroutine.yield(job)
  return handle, err
end

-- Lets an item's middleware go on; its job is then in `pending`, or its outcome in `item`.
local function advance(item, pending, ...)
  local ok, first, err = coroutine.resume(item.co, ...)
  if not ok then error(first, 0) end
  item.job = nil
  if coroutine.status(item.co) == "dead" then
    item.handle, item.err = first, err
  else
    item.job = first
    pending[#pending + 1] = item
  end
end

-- Every signature's middleware runs in a coroutine up to its `next`; all their jobs are sent together; then they go on.
local function send_through(signatures)
  local passed, items, pending = client.passed(), {}, {}
  for i = 1, #signatures do
    local signature = signatures[i]
    if type(signature) == "string" then signature = { task = signature } end
    local problem = problem_of(signature)
    if problem then misuse_at(i, problem) end
    items[i] = { signature = fresh(signature, passed, 0), co = coroutine.create(around.through) }
  end
  for _, item in ipairs(items) do advance(item, pending, item.signature, last_of_many) end
  while #pending > 0 do
    local jobs, batches, sent = {}, {}, pending
    for i, item in ipairs(sent) do jobs[i] = item.job end
    add_jobs(batches, jobs)
    local ok, err = send_batches(batches)
    pending = {}
    for _, item in ipairs(sent) do
      local job = item.job
      advance(item, pending, job.result or nil, job.err or (not job.result and err) or nil)
    end
    if not ok then return nil, err end
  end
  local handles, refused = {}, nil
  for i, item in ipairs(items) do
    handles[i] = item.handle or false
    if not item.handle and item.err then
      refused = refused or {}
      refused[i] = item.err
    end
  end
  return handles, refused
end

--- Adds many jobs with few round trips: up to 1,000 jobs or 4 MiB in each, several of them under way at once.
-- @tparam table signatures a list of { task =, args = { ... }, ... } or names
-- @return a list of handles in the same order, or nil and an error.  Nothing is sent when one of them is wrong; when the store fails
-- in between, err.added says how many of them it has taken, which need not be the first ones, and with code "unknown_fate" err.ids
-- lists those of which nobody knows.  Where single jobs were refused (or
-- dropped by middleware), false stands in their place and the second result lists the errors by index, as those of enqueue.
-- @raise at the caller's line, with the index of the signature that is wrong
-- @yields in a job
-- @usage local hs = assert(skein.enqueue_many { { task = "add", args = { 1, 2 } }, { task = "add", args = { 3, 4 } } })
function M.enqueue_many(signatures)
  check_list(signatures)
  client.begin_enqueue()
  client.end_enqueue() -- each batch has a time of its own
  local send_them = around.has_enqueue() and send_through or send_list
  local handles, err = send_them(signatures)
  return handles, err
end

return M
