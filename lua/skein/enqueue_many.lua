--- Enqueues many jobs with few round trips. The function works the same in a job and in any LuaJIT program.
--
-- The list is sent in batches; a batch is one request. Batches of plain signatures (core/lua/enqueue_bulk.h) are
-- encoded in C. All other signatures are built one by one, as in skein.enqueue.
-- @module skein.enqueue_many
local core = require "skein.core"
local build = require "skein.build"
local catalog = require "skein.catalog"
local client = require "skein.client"
local delivery = require "skein.delivery"
local errors = require "skein.errors"
local hooks = require "skein.hooks"
local middleware = require "skein.middleware"
local schema = require "skein.schema"
local signature_of = require "skein.signature"
local coroutine = coroutine -- its functions are looked up when they are used, since a worker replaces them
local assert, error, ipairs, pairs, rawget, type = assert, error, ipairs, pairs, rawget, type

local M = {}

local BATCH_MAX, BATCH_BYTES_MAX = core.LIMITS.batch, core.LIMITS.batch_bytes
-- Number of jobs in a batch of plain signatures. Several small requests in flight keep the store busy while the next
-- one is encoded.
local PLAIN_MAX = 250

local function check_list(signatures)
  if type(signatures) ~= "table" then
    errors.misuse("skein.enqueue_many: a list of signatures is expected, not " .. type(signatures))
  end
  local count = #signatures
  for key in pairs(signatures) do
    if type(key) ~= "number" or key < 1 or key > count or key % 1 ~= 0 then
      errors.misuse("skein.enqueue_many: a list of signatures is expected; it has the key " .. schema.show(key))
    end
  end
end

local function misuse_at(i, problem) errors.misuse(("skein.enqueue_many: [%d]: %s"):format(i, problem)) end

-- Builds the jobs of the signatures from `first` on. A wrong signature raises an error at the caller's line.
local function build_from(signatures, first, passed)
  local jobs = {}
  for i = first, #signatures do
    local signature = signatures[i]
    if type(signature) == "string" then signature = { task = signature } end
    local job, problem = build.job(signature, passed, 0)
    if not job then misuse_at(i, problem) end
    jobs[#jobs + 1] = job
  end
  return jobs
end

-- A batch is one request: { n = number of jobs, block_ms =, jobs = list of built jobs }. The batch of plain signatures
-- (core/lua/enqueue_bulk.h) has no `jobs`. It has `payload`, the encoded request or a function that encodes it when it
-- is sent, and jobs_of(), which builds the list for the rare case that a job was refused. Its handles are made with the
-- payload.

-- The tasks of a list for core.bulk_payload: name -> { queue, priority }, or false if the jobs of a task are not plain.
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

-- Reads the built jobs of n plain signatures back from their payload.
local function jobs_in(payload, n)
  local jobs, offset = {}, #core.pack("lbi", 0, 0, 0) + 1
  for i = 1, n do
    local record, _, _, after = core.unpack("sll", payload, offset)
    jobs[i] = { item = payload:sub(offset, after - 1), id = core.job(record).id, result = false }
    offset = after
  end
  return jobs
end

-- A batch of plain signatures that is encoded already.
local function packed(payload, n)
  return { n = n, block_ms = 0, payload = payload, jobs_of = function() return jobs_in(payload, n) end }
end

-- A batch of plain signatures, from `first` to before `after`, that is encoded when it is sent.
local function later(signatures, first, after, facts, handles)
  local batch = { n = after - first, block_ms = 0 }
  function batch.payload()
    local items, made = core.bulk_items(signatures, first, facts, handles, client.Handle, build.args_bytes_max,
      after - first)
    if made ~= after then misuse_at(made, "it was changed while the list was sent") end
    return items
  end
  function batch.jobs_of()
    local jobs = {}
    for i = first, after - 1 do
      local item, id = build.item(signature_of.with(signatures[i], "id", handles[i].id), nil, 0, 0)
      if not item then misuse_at(i, "it was changed while the list was sent") end
      jobs[#jobs + 1] = { item = item, id = id, result = false }
    end
    return jobs
  end
  return batch
end

-- Adds batches for the plain signatures at the start of the list, and their handles. With a lazy client they are only
-- checked here and encoded when they are sent, so that the store works on one batch while the next is encoded.
-- @return the index of the first signature that is not plain
local function add_plain(batches, signatures, handles)
  local facts, lazy, first = facts_of(signatures), client.is_lazy(), 1
  while first <= #signatures do
    local after = lazy and core.bulk_scan(signatures, first, facts, build.args_bytes_max, PLAIN_MAX,
      BATCH_BYTES_MAX) or first
    if after > first then
      batches[#batches + 1] = later(signatures, first, after, facts, handles)
    else
      local payload
      payload, after = core.bulk_payload(signatures, first, facts, handles, client.Handle, build.args_bytes_max,
        PLAIN_MAX, BATCH_BYTES_MAX)
      if after == first then break end
      batches[#batches + 1] = packed(payload, after - first)
    end
    first = after
  end
  return first
end

-- Distributes built jobs to batches, in their order. The jobs of a batch have the same block_ms.
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

-- Sets the outcomes of a batch's jobs from the store's answer.
-- @return the number of jobs added, and the list of jobs refused by a full queue
local function take_batch(batch, answer)
  if not batch.jobs then
    if not answer:find "[^%z]" then return batch.n end
    batch.jobs = batch.jobs_of()
  end
  local full, added = delivery.take_answer(batch.jobs, answer), 0
  for _, job in ipairs(batch.jobs) do added = added + (job.result and 1 or 0) end
  return added, full
end

-- Sends batches and sets the outcomes of their jobs.
-- @return true; or nil and an error, whose field `added` is the number of jobs that the store has added
local function send_batches(batches)
  local payloads, full = {}, {}
  for i, batch in ipairs(batches) do payloads[i] = batch.payload or delivery.payload(batch.jobs, batch.block_ms) end
  local answers, err, unknown = client.call_many(core.OP.ENQUEUE, payloads)
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
    for _, i in ipairs(unknown or {}) do delivery.name_unknown(err, batches[i].jobs or batches[i].jobs_of()) end
    return nil, err
  end
  for i, batch in ipairs(batches) do
    if full[i] then delivery.refill(full[i], batch.block_ms) end
  end
  return true
end

local function send_list(signatures)
  local passed, batches, handles, refused = client.passed(), {}, {}, nil
  local first = 1
  if not passed and not hooks.has_events() then first = add_plain(batches, signatures, handles) end
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

-- The last step of the middleware of one signature: builds the job and yields it. The coroutine is resumed with the
-- outcome once all jobs were sent together.
local function last_of_many(signature)
  local job, problem = build.job(signature, nil, 0)
  if not job then errors.misuse(problem) end
  local handle, err = coroutine.yield(job)
  return handle, err
end

-- Resumes the middleware of an item. Afterwards the item waits in `pending` with its job, or has its outcome.
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

-- Runs the middleware of each signature in a coroutine up to its `next`, sends all jobs together, then resumes the
-- coroutines.
local function send_through(signatures)
  local passed, items, pending = client.passed(), {}, {}
  for i = 1, #signatures do
    local signature = signatures[i]
    if type(signature) == "string" then signature = { task = signature } end
    local problem = signature_of.problem(signature)
    if problem then misuse_at(i, problem) end
    items[i] = { signature = build.copy(signature, passed, 0), co = coroutine.create(middleware.through) }
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

--- Enqueues many jobs with few round trips: a request holds up to 1,000 jobs or 4 MiB, and several requests are in
-- flight at once. If a signature is wrong, no job is sent.
-- @tparam table signatures a list of signatures or names, as for skein.enqueue
-- @treturn[1] table a list of handles in the order of the signatures; false for a job that was refused or dropped
-- @treturn[1] ?table index -> error of a refused or dropped job, as of skein.enqueue; nil if there is none
-- @return[2] nil
-- @treturn[2] table the error of the store. `added` is the number of jobs that the store has added, which need not be
-- the first ones; with code "unknown_fate", `ids` lists the jobs whose fate is unknown
-- @raise at the caller's line, with the index of the signature that is wrong
-- @yields in a job
-- @usage local hs = assert(skein.enqueue_many { { task = "add", args = { 1, 2 } }, { task = "add", args = { 3, 4 } } })
function M.enqueue_many(signatures)
  check_list(signatures)
  client.begin_enqueue()
  client.end_enqueue() -- each batch has the full time of one call
  local send_them = middleware.has_enqueue() and send_through or send_list
  local handles, err = send_them(signatures)
  return handles, err
end

return M
