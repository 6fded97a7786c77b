--- Sends built jobs and reads the store's answer for each: added, refused, or blocked by a full queue. A job is a table
-- of skein.build. The functions set its outcome in it: `result` (a handle) or `err`.
-- @module skein.delivery
local core = require "skein.core"
local catalog = require "skein.catalog"
local client = require "skein.client"
local errors = require "skein.errors"
local hooks = require "skein.hooks"
local schema = require "skein.schema"
local concat, ipairs = table.concat, ipairs
local handle_of = client.handle
local CODE, OK = core.CODE, core.CODE.ok

local M = {}

-- The fields of a built job, and whether it is due later. Slow, since it decodes the record.
local function record_of(job)
  local record, due_ms, delay_ms = core.unpack("sll", job.item)
  return core.job(record) or {}, delay_ms > 0 or due_ms > core.now() * 1000
end

local function exists_error(job, holder)
  if holder == "" or holder == job.id then
    local text = ("job %s is in the store already"):format(job.id)
    return errors.new("exists", text, { id = job.id, handle = handle_of(job.id) })
  end
  local record = record_of(job)
  local mode, ttl_ms, key = (record.unique or ""):match("^(%l+);(%d+);=(.*)$")
  local ttl, shown = ttl_ms and ttl_ms / 1000, schema.show(key)
  local text = ("job %s of task %s is there already, with the unique key %s"):format(holder, record.task, shown)
  if mode == "throttle" then
    text = ("task %s is throttled: job %s was enqueued less than %g s ago, with the key %s"):format(record.task, holder,
      ttl, shown)
  end
  return errors.new("exists", text, { id = holder, handle = handle_of(holder), mode = mode, ttl = ttl })
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
  local state = later and "scheduled" or "ready"
  hooks.emit { id = job.id, task = record.task, queue = record.queue, attempt = 0, to = state }
end

--- Adds to an error of unknown fate the ids of its jobs, so that the caller can ask for their state.
-- @tparam table err
-- @tparam table jobs
function M.name_unknown(err, jobs)
  err.ids = err.ids or {}
  for i = 1, #jobs do err.ids[#err.ids + 1] = jobs[i].id end
  err.id = #err.ids == 1 and err.ids[1] or nil
  err.handle = err.id and handle_of(err.id)
end

--- Encodes the ENQUEUE request (core/engine/request.h) for a list of jobs.
-- @tparam table jobs
-- @tparam number block_ms how long they wait for space in a full queue
-- @treturn string
function M.payload(jobs, block_ms)
  local parts, all_new = {}, 1
  for i = 1, #jobs do
    parts[i + 1] = jobs[i].item
    if not jobs[i].fresh then all_new = 0 end
  end
  parts[1] = core.pack("lbi", block_ms, all_new, #jobs)
  return concat(parts)
end

--- Sets the outcome of each job from the answer to the request.
-- @tparam table jobs
-- @tparam string answer
-- @treturn[opt] table the jobs that a full queue refused; they have no outcome yet
function M.take_answer(jobs, answer)
  local offset, full = #jobs + 1, nil
  for i = 1, #jobs do
    local job, code = jobs[i], answer:byte(i)
    if code == OK then
      job.result = handle_of(job.id)
    elseif code == CODE.exists then
      local holder
      holder, offset = core.unpack("s", answer, offset)
      job.err = exists_error(job, holder)
    elseif code == CODE.limit then
      full = full or {}
      full[#full + 1] = job
    else
      job.err = errors.new(CODE[code] or "invalid", ("job %s was refused"):format(job.id))
    end
  end
  if hooks.has_events() then
    for _, job in ipairs(jobs) do
      if job.result then tell_added(job) end
    end
  end
  return full
end

--- Sets the outcome of jobs that a full queue refused. Jobs of a queue with `overflow = "block"` are sent again and
-- wait.
-- @tparam table full jobs
-- @tparam number block_ms how long they have waited already
-- @yields in a job
function M.refill(full, block_ms)
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
    local ok, err = M.send(batch, batch.block_ms)
    for _, job in ipairs(ok and {} or batch) do job.err = err end
  end
end

--- Sends jobs in one request, and sets their outcomes.
-- @tparam table jobs
-- @tparam number block_ms how long they wait for space in a full queue
-- @return true; or nil and an error, after which no job is known to be added
-- @yields in a job
function M.send(jobs, block_ms)
  local answer, err = client.call(core.OP.ENQUEUE, M.payload(jobs, block_ms))
  if not answer then
    if err.code == "unknown_fate" then M.name_unknown(err, jobs) end
    return nil, err
  end
  local full = M.take_answer(jobs, answer)
  if full then M.refill(full, block_ms) end
  return true
end

return M
