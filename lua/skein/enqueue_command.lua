--- `skein enqueue`: one job from the command line.  core/lua/enqueue_command.c calls it, in a process of its own
-- without scripts: what the job's task declares is asked of the store.
-- @module skein.enqueue_command
local core = require "skein.core"
local build = require "skein.build"
local catalog = require "skein.catalog"
local client = require "skein.client"
local delivery = require "skein.delivery"
local schema = require "skein.schema"
local tasks = require "skein.tasks"

local M = {}

local CODE = core.CODE
local TRIES_MAX = 3 -- of an enqueue whose fate is unknown: a repeat adds nothing twice

-- The option that gives a key to the lock that the task has; `unique` for a task without a lock.
local function lock_option(lock)
  return (lock and (lock.mode == "debounce" or lock.mode == "throttle")) and lock.mode or "unique"
end

local function signature_of(request)
  local signature = {
    task = request.task, args = core.decode(request.args), queue = request.queue, priority = request.priority,
    retries = request.retries, keep = request.keep_ms and request.keep_ms / 1000,
    at = request.due_ms and request.due_ms / 1000, delay = request.delay_ms and request.delay_ms / 1000,
    meta = request.meta and core.decode(request.meta),
  }
  if request.unique_key then
    signature[lock_option(catalog.task(request.task).lock)] = { key = request.unique_key }
  end
  if request.limit_key then signature.limit = { key = request.limit_key } end
  return signature
end

-- The job's meta as the user wrote it, with the list of the keys that its task passes along.
local function meta_text(json, pass)
  local rest = json:match "^%s*{(.*)}%s*$"
  if not pass or not rest:find "%S" then return json end
  return ("{%s,%s:%s}"):format(rest, core.encode(tasks.PASS), core.encode(pass))
end

-- Puts the JSON that the user wrote in place of what decoding and encoding has made of it: `skein job` shows it as it
-- was.
-- @return the job in the form of a request; or nil and a sentence
local function with_given_text(item, request)
  local record, due_ms, delay_ms = core.unpack("sll", item)
  local fields = core.job(record)
  fields.args = request.args
  if request.meta then fields.meta = meta_text(request.meta, catalog.task(request.task).pass) end
  return core.item(fields, due_ms, delay_ms, build.args_bytes_max)
end

-- Sends the job, again when the answer got lost.  The job's outcome is in it.
-- @return true, or nil and an error
local function send(job)
  local ok, err = delivery.send({ job }, 0)
  local unknown = err
  for _ = 2, TRIES_MAX do
    if ok or err.code ~= "unknown_fate" then break end
    job.fresh = false
    ok, err = delivery.send({ job }, 0)
  end
  if ok then return true end
  return nil, unknown.code == "unknown_fate" and unknown or err
end

-- Why the store did not add the job: a code and a sentence; the code OK when an earlier try has added it.
local function refusal(job)
  local err = job.err
  if err.code == "exists" and err.id == job.id then return CODE.ok end
  if err.code == "exists" and err.mode == "throttle" then
    return CODE.exists, ("throttled: job %s was added less than %g s ago: nothing was added"):format(err.id, err.ttl)
  end
  if err.code == "exists" then
    return CODE.exists, ("job %s has the same unique key: nothing was added"):format(err.id)
  end
  if err.code == "limit" and err.queue then return CODE.limit, ("queue %s is full"):format(err.queue) end
  return CODE[err.code] or CODE.invalid, err.message
end

-- Tells of a task that no engine has declared: it is misspelt, or its engine has not started yet.
local function note_of(task)
  if catalog.knows(task) then return nil end
  local near = schema.nearest(task, catalog.names())
  return ("note: no engine has declared task %s: the job waits for one that does%s"):format(task,
    near and (" (did you mean %s?)"):format(near) or "")
end

--- Adds one job.
-- @tparam table request as core/lua/enqueue_command.c makes it: url, durability, log, args_bytes_max, task, args and
-- meta (JSON), and, where they are given, queue, priority, retries, keep_ms, due_ms, delay_ms, unique_key, limit_key
-- @return a number of core.CODE (nil: what the user wrote is wrong), a sentence unless it is 0, the job's id, its
-- queue, and a note for the user or nil
function M.run(request)
  client.set_default(request.url, request.durability, request.log)
  build.args_bytes_max = request.args_bytes_max
  client.begin_enqueue()
  local ok, err = catalog.refresh()
  if not ok then return CODE[err.code] or CODE.invalid, err.message end
  local job, problem = build.job(signature_of(request), nil, 0)
  if job then job.item, problem = with_given_text(job.item, request) end
  if not job or not job.item then
    local here = problem:find("give the key in the signature", 1, true)
      and " (here: --unique KEY, --limit-key KEY)" or ""
    return nil, problem:gsub("^job: ", "") .. here
  end
  ok, err = send(job)
  client.end_enqueue()
  if not ok and err.code == "unknown_fate" then
    return CODE.unknown_fate, ("job %s (`skein job` tells whether it was added): %s"):format(job.id, err.message)
  end
  if not ok then return CODE[err.code] or CODE.invalid, err.message end
  if job.err then
    local code, message = refusal(job)
    if code ~= CODE.ok then return code, message end
  end
  return CODE.ok, nil, job.id, request.queue or catalog.task(request.task).queue, note_of(request.task)
end

return M
