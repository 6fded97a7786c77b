--- One attempt of a job in a spec: runs the handler of a fetched job and its failure handlers, and settles the job in
-- the memory store (store.lua).
-- @module skein.testing.attempt
local core = require "skein.core"
local errors = require "skein.errors"
local failures = require "skein.failures"
local middleware = require "skein.middleware"
local runtime = require "skein.testing.runtime"
local store = require "skein.testing.store"
local tasks = require "skein.tasks"
local job_meta = require("skein.job").metatable
local error, ipairs, setmetatable, unpack = error, ipairs, setmetatable, unpack

local M = {
  inline = false, -- true: a job runs as soon as it is enqueued
}

local KIND = core.KIND
local NESTED_MAX = 200 -- largest number of jobs that run inside each other
local RESULT_BYTES_MAX = core.LIMITS.result_bytes

local depth = 0        -- number of jobs that run inside each other

local function job_of(slot)
  local run = slot.run
  return setmetatable({ id = run.id, task = run.task, queue = run.queue, attempt = run.attempt, retries = run.retries,
    enqueued_at = run.enqueued_ms / 1000, _handle = slot.handle }, job_meta)
end

-- Runs the handler. Returns { result = JSON or nil }, or after a failure { kind =, err =, trace = }.
local function call_handler(slot, job)
  local run = slot.run
  local args = core.decode(run.args)
  local r = runtime.run(slot, middleware.compose(tasks.by_name[run.task]), run.timeout_ms, job, unpack(args, 1, #args))
  if r.stop then
    local kind = r.stop == KIND.timeout and "timeout" or "cancelled"
    return { kind = kind, err = "it went on after it was told to stop", trace = "" }
  end
  if not r.ok then return { kind = "error", err = r.err, trace = r.trace } end
  if r.value == nil then return {} end
  local text, problem = core.encode(r.value, "result")
  if text and #text > RESULT_BYTES_MAX then
    text, problem = nil, ("result: %d bytes of JSON, the limit is %d"):format(#text, RESULT_BYTES_MAX)
  end
  if not text then return { kind = "result", err = problem, trace = "" } end
  return { result = text }
end

-- Runs the late handlers: those of a job that dies before it runs.
local function run_late_handlers(slot, job)
  local run = slot.run
  slot.failing = true
  runtime.run(slot, function() failures.late_handlers(runtime, job, run.refused, run.message, true) end)
end

-- Runs the failure handlers. Returns the outcome in the form that kit:settle takes.
local function outcome_of_failure(slot, job, ended)
  slot.failing, slot.told, slot.stop, slot.swallowed = true, slot.stop, nil, 0
  local out = {}
  local r = runtime.run(slot, function()
    out.verdict, out.delay_ms, out.kind, out.message, out.traceback = failures.failed(runtime, job, ended.kind,
      ended.err, ended.trace)
  end)
  if not r.ok then
    local message = errors.text(r.err or "its handlers did not stop")
    return { verdict = core.VERDICT.retry, delay_ms = -1, kind = KIND.error, message = message, traceback = "" }
  end
  return out
end

--- Runs a fetched job and settles it. In inline mode also runs the callbacks that are enqueued with it.
-- @tparam table run as from store.fetch
-- @treturn table { result = JSON or nil }, or after a failure { kind =, err =, trace = }
-- @raise when 200 jobs run inside each other; in inline mode the error of a callback
function M.run(run)
  if depth >= NESTED_MAX then
    store.kit:release(run)
    error(("skein.testing: %d jobs run within each other: %s enqueues or waits for a job each time"):format(depth,
      run.task), 0)
  end
  depth = depth + 1
  local slot = runtime.open(run)
  local started_ms = store.kit:clock()
  local job = job_of(slot)
  local ended, outcome
  if run.refused then
    if run.dies then run_late_handlers(slot, job) end
    ended, outcome = { kind = run.refused, err = errors.new(run.refused, run.message) }, {}
  else
    ended = call_handler(slot, job)
    outcome = ended.kind and outcome_of_failure(slot, job, ended) or { result = ended.result }
  end
  outcome.started_ms = started_ms
  runtime.close(slot)
  depth = depth - 1
  local ids = store.kit:settle(run, outcome)
  store.remember(ids)
  if M.inline then
    for _, id in ipairs(ids) do M.run_now(id) end
  end
  return ended
end

-- The error, as { err = }, that the enqueue of an inline job raises; nil if the attempt did not fail.
local function failure(ended)
  if not ended.kind then return end
  if errors.is_verdict(ended.err) and (ended.err.verdict == "snooze" or ended.err.verdict == "discard") then return end
  return { err = ended.err }
end

--- Runs one job now. Does nothing if the queue of the job is paused.
-- @tparam string id
-- @raise the error of the job
function M.run_now(id)
  store.put_back()
  local run = store.fetch(function(other) return other.id == id end)
  store.put_back()
  if not run then return end
  local failed = failure(M.run(run))
  if failed then error(failed.err, 0) end
end

--- Runs only the handler of a job, which need not be in the store, and settles nothing.
-- @tparam table run as from kit:read
-- @treturn table as `run` returns
function M.run_handler(run)
  local slot = runtime.open(run)
  local ended = call_handler(slot, job_of(slot))
  runtime.close(slot)
  return ended
end

return M
