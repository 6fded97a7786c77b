--- Runs jobs in specs of scripts. Jobs run in this process by the rules of the engine, without a real store, a worker
-- or real waiting. The module keeps jobs in a memory store of its own, whose clock stands still until the spec moves
-- it. Delays, back-off, `keep`, `expires`, locks and limits follow this clock, and so do skein.now, skein.sleep,
-- os.time() and os.date(). `require "skein.testing"` starts this mode (see fake) at once.
-- @module skein.testing
-- @usage
-- local t = require "skein.testing"
-- t.load("jobs/")
-- describe("mail", function()
--   before_each(t.fake)
--   after_each(t.reset)
--   it("greets", function()
--     skein.enqueue("email.all", { "ada", "bob" })
--     assert.equal(3, t.drain())
--     assert.equal("ada", t.perform("email.welcome", "ada").sent_to)
--   end)
-- end)
if package.loaded["skein.runtime"] ~= package.loaded["skein.testing.runtime"] then
  error("skein.testing: it is for specs, and this is a worker of an engine", 0)
end
local skein = require "skein"
local core = require "skein.core"
local client = require "skein.client"
local errors = require "skein.errors"
local middleware = require "skein.middleware"
local failures = require "skein.failures"
local queues = require "skein.queues"
local runtime = require "skein.testing.runtime"
local schema = require "skein.schema"
local scripts = require "skein.scripts"
local tasks = require "skein.tasks"
local worker = require "skein.worker"
package.loaded["skein.runtime"] = runtime
local job_meta = require("skein.job").metatable
local floor, concat, sort = math.floor, table.concat, table.sort
local CODE, KIND, OP, STATE, parts = core.CODE, core.KIND, core.OP, core.STATE, worker.parts

local M = {}

local NESTED_MAX = 200      -- largest number of jobs that run inside each other
local DRAIN_MAX = 100000    -- largest number of jobs that one drain runs
local RESULT_BYTES_MAX = core.LIMITS.result_bytes
-- The states of a job that has ended; 0: the store does not know the job.
local FINAL = { [0] = true, [STATE.done] = true, [STATE.dead] = true, [STATE.cancelled] = true }
local WAITING = { "scheduled", "ready", "retry" }

local kit                   -- the memory store and its clock (core/lua/testing.h); nil: skein uses a real store
local inline = false
local declared, bound       -- number of entries of tasks.list and queues.list that the kit knows
local seen, seen_n          -- id -> position in the order of enqueues; number of positions
local depth = 0             -- number of jobs that run inside each other
local loading = false       -- true while scripts load
local captured              -- function of `perform` that receives the items of the next enqueue
local real = { now = core.now, item = core.item, bulk_payload = core.bulk_payload, connect = skein.connect,
  close = skein.close, time = os.time, date = os.date }
local aside = {}            -- fetched jobs that a drain of one task passed over

local go_on = parts.stopper(runtime)
parts.install_sleep(runtime, skein, go_on)
parts.install_threads(runtime, skein, go_on)

--- The clock and the jobs -------------------------------------------------------------------------------------------

runtime.setup {
  now = function() return kit:clock() end,
  move = function(ms) kit:clock(ms) end,
  progress = function(slot, percent, text) kit:progress(slot.run, percent, text) end,
  log = function(slot, text) kit:note(slot.run, text) end,
}

-- Stops the running jobs that were cancelled.
local function stop_running()
  for _, id in ipairs(kit:stops()) do runtime.stop(id, KIND.cancelled) end
end

local function note(ids)
  for _, id in ipairs(ids) do
    seen_n = seen_n + 1
    seen[id] = seen_n
  end
end

-- Declares to the kit the tasks and queues declared since the last call.
local function declare()
  for i = declared + 1, #tasks.list do kit:declare(tasks.list[i].record) end
  declared = #tasks.list
  if bound == #queues.list then return end
  for i, queue in ipairs(queues.for_core()) do
    if i > bound then kit:bind(queue) end
  end
  bound = #queues.list
end

--- One attempt ------------------------------------------------------------------------------------------------------

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
    return { kind = r.stop == KIND.timeout and "timeout" or "cancelled", err =
      "it went on after it was told to stop", trace = "" }
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

local run_now

-- Runs a fetched job and settles it. Returns the result of call_handler.
local function attempt(run)
  if depth >= NESTED_MAX then
    kit:release(run)
    error(("skein.testing: %d jobs run within each other: %s enqueues or waits for a job each time"):format(depth,
      run.task), 0)
  end
  depth = depth + 1
  local slot = runtime.open(run)
  local started_ms = kit:clock()
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
  local ids = kit:settle(run, outcome)
  note(ids)
  if inline then
    for _, id in ipairs(ids) do run_now(id) end
  end
  return ended
end

-- Returns the jobs in `aside` to their places in the queues.
local function put_back()
  local list = aside
  aside = {}
  for _, run in ipairs(list) do kit:release(run) end
end

-- Fetches the next job for which wanted(run) is true; any job without `wanted`. Also returns the time until the next
-- job is due, in ms. The other jobs stay in `aside` until put_back, so that a drain of one task fetches each of them
-- once and not again for each job that runs.
local function fetch(wanted)
  declare()
  if not wanted then put_back() end
  local run, due_in_ms = kit:fetch()
  while run and wanted and not wanted(run) do
    aside[#aside + 1] = run
    run, due_in_ms = kit:fetch()
  end
  return run, due_in_ms
end

-- The error, as { err = }, that the enqueue of an inline job raises; nil if the attempt did not fail.
local function failure(ended)
  if not ended.kind then return end
  if errors.is_verdict(ended.err) and (ended.err.verdict == "snooze" or ended.err.verdict == "discard") then return end
  return { err = ended.err }
end

-- Runs one job now, and raises its error.
function run_now(id)
  put_back()
  local run = fetch(function(other) return other.id == id end)
  put_back()
  if not run then return end -- its queue is paused
  local failed = failure(attempt(run))
  if failed then error(failed.err, 0) end
end

--- The transport ----------------------------------------------------------------------------------------------------

-- Decodes the items of an ENQUEUE request. Also returns the time to wait for room, in ms.
local function items_of(payload)
  local block_ms, _, n, offset = core.unpack("lbi", payload)
  local items = {}
  for i = 1, n do
    local item = {}
    item.record, item.due_ms, item.delay_ms, offset = core.unpack("sll", payload, offset)
    items[i] = item
  end
  return items, block_ms
end

local function pack_items(items)
  local out = { core.pack("lbi", 0, 0, #items) }
  for i, item in ipairs(items) do out[i + 1] = core.pack("sll", item.record, item.due_ms, item.delay_ms) end
  return concat(out)
end

-- Whether the enqueue of these jobs depends on other waiting jobs: through a queue's max_len or a lock.
local function matters(items)
  if #queues.list > 0 then return true end
  for _, item in ipairs(items) do
    local fields = core.job(item.record)
    if fields.id and fields.unique then return true end
  end
end

-- Enqueues all items. No job runs meanwhile, so a producer that waits for room in a full queue waits the whole time.
local function record_all(items, block_ms)
  if aside[1] and matters(items) then put_back() end
  local code, answer = kit:call(OP.ENQUEUE, pack_items(items))
  if code ~= "ok" then return code, answer end
  local full = false
  for i, item in ipairs(items) do
    if answer:byte(i) == CODE.ok then note { core.job(item.record).id } end
    full = full or answer:byte(i) == CODE.limit
  end
  if full and block_ms > 0 then go_on(runtime.sleep_until(kit:clock() + block_ms)) end
  return code, answer
end

-- An item for a job that runs at once: without its delay and its limits.
local function for_now(item)
  local fields = core.job(item.record)
  local record = item.record
  if fields.limit then
    fields.limit = nil
    record = core.record(fields)
  end
  return { record = record, due_ms = 0, delay_ms = 0 }, fields.id
end

-- Enqueues and runs the items one after the other.
local function run_all(items, block_ms)
  local codes, holders = {}, {}
  for i, item in ipairs(items) do
    local now, id = for_now(item)
    local code, answer = record_all({ now }, block_ms)
    if code ~= "ok" then return code, answer end
    codes[i], holders[i] = answer:sub(1, 1), answer:sub(2)
    if answer:byte(1) == CODE.ok then run_now(id) end
  end
  return "ok", concat(codes) .. concat(holders)
end

local function enqueue(payload)
  local items, block_ms = items_of(payload)
  if captured then
    captured(items)
    return "ok", ("\0"):rep(#items)
  end
  if inline then return run_all(items, block_ms) end
  return record_all(items, block_ms)
end

-- Runs due jobs until the awaited job has ended. When none is due, moves the clock to the next due time or to the end
-- of the wait.
local function wait(payload)
  local id, timeout_ms = core.unpack("sl", payload)
  local until_ms = timeout_ms >= 0 and kit:clock() + timeout_ms
  while true do
    local code, view = kit:call(OP.GET, core.pack("is", 1, id))
    if code ~= "ok" or FINAL[view:byte(1)] then return code, view end
    local run, due_in_ms = fetch()
    if run then
      attempt(run)
    else
      local next_ms = due_in_ms >= 0 and kit:clock() + due_in_ms
      if not until_ms or kit:clock() >= until_ms then
        return "timeout", "wait: the job has not ended within the time given"
      end
      go_on(runtime.sleep_until(next_ms and next_ms < until_ms and next_ms or until_ms))
    end
  end
end

local function call(operation, payload)
  if loading and not runtime.attempt() then
    errors.misuse("jobs can be enqueued and looked at inside a job, not while scripts load (each worker loads them)")
  end
  declare()
  if operation == OP.ENQUEUE then return enqueue(payload) end
  put_back()
  if operation == OP.WAIT then return wait(payload) end
  local code, answer = kit:call(operation, payload)
  if operation == OP.CHANGE then stop_running() end
  return code, answer
end

--- Modes ------------------------------------------------------------------------------------------------------------

local function begin()
  if kit then return end
  kit = core.testing(floor(real.now()) * 1000)
  declared, bound, seen, seen_n = 0, 0, {}, 0
  real.transport = client.set_transport { call = call, passed = parts.passed_reader(runtime), close = function() end }
  core.now = function() return kit:clock() / 1000 end
  core.item = function(fields, ...)
    fields.enqueued_ms = kit:clock()
    return real.item(fields, ...)
  end
  -- disables bulk payloads, so that each job goes through core.item
  core.bulk_payload = function(_, first) return "", first end
  skein.connect = function() return true end
  skein.close = function() end
end

local function finish(before, ok, ...)
  inline = before
  if not ok then error((...), 0) end
  return ...
end

local function set_mode(what, mode, fn)
  if fn ~= nil and schema.callable(fn) then errors.misuse(what .. ": a function is expected, not " .. type(fn)) end
  begin()
  local before = inline
  inline = mode
  if fn then return finish(before, pcall(fn)) end
end

--- Starts the mode in which an enqueue only records the job; drain runs the recorded jobs. The module is in this mode
-- after `require`. Jobs recorded before stay. skein.connect and skein.close have no effect in this mode, and the clock
-- stands still until at or advance moves it.
-- @tparam[opt] function fn limits the mode to the run of fn; then the previous mode returns
-- @return the results of fn
-- @raise at the caller's line: an argument that is no function; any error of fn
-- @usage before_each(t.fake)
function M.fake(fn)
  return set_mode("skein.testing.fake", false, fn)
end

--- Starts the mode in which an enqueue runs the job at once, regardless of its delay and limits. An error of the job is
-- raised at the enqueue, after its handlers (on_error, on_death) have run and its retry is recorded. If a job of
-- skein.enqueue_many fails, the jobs after it are not enqueued.
-- @tparam[opt] function fn limits the mode to the run of fn; then the previous mode returns
-- @return the results of fn
-- @raise at the caller's line: an argument that is no function; any error of fn
-- @usage
-- t.inline()
-- assert.equal(3, skein.enqueue("add", 1, 2):wait())
function M.inline(fn)
  return set_mode("skein.testing.inline", true, fn)
end

--- Deletes all jobs and restores the real clock and the real store. Tasks and handlers stay declared.
-- @raise at the caller's line: a call inside a job
-- @usage after_each(t.reset)
function M.reset()
  if runtime.busy() then errors.misuse("skein.testing.reset: a job runs") end
  if not kit then return end
  skein.connect, skein.close = real.connect, real.close
  client.close()
  client.set_transport(real.transport)
  core.now, core.item, core.bulk_payload = real.now, real.item, real.bulk_payload
  kit:close()
  kit, inline, real.transport, aside = nil, false, nil, {}
end

--- The clock --------------------------------------------------------------------------------------------------------

--- Sets the clock.
-- @tparam number time seconds since 1970
-- @raise at the caller's line: an argument that is no time
-- @usage t.at(os.time { year = 2030, month = 1, day = 1 })
function M.at(time)
  local problem = schema.moment(time)
  if problem then
    errors.misuse(("skein.testing.at: the time is %s, expected %s"):format(schema.show(time), problem))
  end
  begin()
  kit:clock(floor(time * 1000 + 0.5))
end

--- Moves the clock forward. It runs no job; call drain to run the jobs that are due then.
-- @tparam number seconds
-- @raise at the caller's line: an argument that is no number of seconds
-- @usage t.advance(60)
function M.advance(seconds)
  local problem = schema.seconds(seconds)
  if problem then
    errors.misuse(("skein.testing.advance: it is %s, expected %s"):format(schema.show(seconds), problem))
  end
  begin()
  kit:clock(kit:clock() + floor(seconds * 1000 + 0.5))
end

--- Running and looking ----------------------------------------------------------------------------------------------

local function check_task(what, task)
  if task ~= nil and type(task) ~= "string" then
    errors.misuse(("%s: the task's name must be a string, not %s"):format(what, type(task)))
  end
end

local function unknown_task(what, task, message)
  local near = schema.nearest(task, tasks.by_name)
  errors.misuse(("%s: %s%s"):format(what, message, near and (', did you mean "%s"?'):format(near) or ""))
end

local function drain(task)
  local wanted = task and function(run) return run.task == task end
  local ran = 0
  while true do
    local run = fetch(wanted)
    if not run then return ran end
    attempt(run)
    if not run.refused then ran = ran + 1 end
    if ran >= DRAIN_MAX then
      errors.misuse(("skein.testing.drain: %d jobs have run, and there are more"):format(ran))
    end
  end
end

--- Runs the recorded jobs that are due, and the due jobs that they enqueue, until none is left. Jobs run in the order
-- of the engine: within a queue by priority, then jobs that have come due, then the others first in, first out; queues
-- take turns. A failed job is retried or dies as in production; to run its retry, advance the clock and drain again.
-- @tparam[opt] string task runs only jobs of this task
-- @treturn number the number of jobs that ran
-- @raise at the caller's line: an argument that is no string, a task that no script declares, more than 100,000 jobs
-- @usage assert.equal(2, t.drain())
function M.drain(task)
  check_task("skein.testing.drain", task)
  if task and not tasks.by_name[task] then
    unknown_task("skein.testing.drain", task, ('no script declares task "%s"'):format(task))
  end
  begin()
  local ok, ran = pcall(drain, task)
  if kit then put_back() end
  if not ok then error(ran, 0) end
  return ran
end

-- Appends all jobs of a state to the list `into`.
local function list(state, task, into)
  local offset, limit = 0, 1000
  repeat
    local page = assert(skein.admin.jobs { state = state, task = task, offset = offset, limit = limit })
    for _, job in ipairs(page) do into[#into + 1] = job end
    offset = offset + #page
  until #page < limit
end

--- Lists the waiting jobs in the order of their enqueues.
-- @tparam[opt] string task lists only jobs of this task
-- @treturn table a list of tables as handle:info() returns: id, task, args, queue, meta, priority, state ("scheduled",
-- "ready" or "retry"), attempts, ...; and `at`, the time at which the job is due (seconds since 1970; nil if it is
-- ready)
-- @raise at the caller's line: an argument that is no string
-- @usage assert.same({ "ada" }, { unpack(t.enqueued("email.welcome")[1].args) })
function M.enqueued(task)
  check_task("skein.testing.enqueued", task)
  begin()
  local jobs = {}
  for _, state in ipairs(WAITING) do list(state, task, jobs) end
  sort(jobs, function(a, b) return (seen[a.id] or 0) < (seen[b.id] or 0) end)
  for _, job in ipairs(jobs) do
    if job.state ~= "ready" then job.at = job.due_at end
  end
  return jobs
end

-- The record that skein.enqueue would send, or nil and an error. Raises the errors of skein.enqueue.
local function record_of(signature, ...)
  local record
  captured = function(items)
    captured = nil
    record = items[1].record
  end
  local ok, handle, err = pcall(skein.enqueue, signature, ...)
  captured = nil
  if not ok then error(handle, 0) end
  return record, err
end

--- Runs a task's handler once, with a job that is not recorded. Arguments and result are encoded to JSON and decoded,
-- as in production.
-- @tparam string|table task the task's name, or a signature as for skein.enqueue
-- @param ... the arguments
-- @return[1] the handler's result
-- @return[2] nil
-- @treturn[2] table an error with code "dropped", if enqueue middleware dropped the job
-- @raise the error of the handler; at the caller's line: a value that JSON cannot store, a task that is not declared
-- @usage assert.equal(3, t.perform("add", 1, 2))
function M.perform(task, ...)
  begin()
  local record, err = record_of(task, ...)
  if not record then return nil, err end
  local run = kit:read(record)
  if run.refused == "unknown_task" then
    unknown_task("skein.testing.perform", run.task, run.message)
  end
  local slot = runtime.open(run)
  local ended = call_handler(slot, job_of(slot))
  runtime.close(slot)
  if ended.kind then error(ended.err, 0) end
  return ended.result and core.decode(ended.result)
end

--- Loads scripts as `skein run` does. The folder of the scripts and its subfolder lib are added to package.path.
-- @tparam string path a file, or a folder whose scripts are all loaded
-- @treturn table the list of files
-- @raise `file:line: message` for the first mistake in the scripts
-- @usage t.load("jobs/")
function M.load(path)
  if type(path) ~= "string" then errors.misuse("skein.testing.load: the path must be a string, not " .. type(path)) end
  begin()
  loading = true
  local files, problem = scripts.load(path)
  loading = false
  if not files then error(problem, 0) end
  return files
end

skein.now = function() return core.now() end
-- Scripts may keep references to these two functions, so each call checks whether the kit's clock is in use.
os.time = function(at) -- luacheck: ignore 122
  if at ~= nil or not kit then return real.time(at) end
  return floor(core.now())
end
os.date = function(format, at) -- luacheck: ignore 122
  return real.date(format or "%c", at or (kit and floor(core.now())) or real.time())
end
M.fake()

return M
