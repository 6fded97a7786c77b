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
local runtime = require "skein.testing.runtime"
package.loaded["skein.runtime"] = runtime -- before skein.job, which attempt.lua loads
local attempt = require "skein.testing.attempt"
local schema = require "skein.schema"
local scripts = require "skein.scripts"
local store = require "skein.testing.store"
local tasks = require "skein.tasks"
local transport = require "skein.testing.transport"
local parts = require("skein.worker").parts
local floor, sort = math.floor, table.sort

local M = {}

local DRAIN_MAX = 100000    -- largest number of jobs that one drain runs
local WAITING = { "scheduled", "ready", "retry" }

local real = { now = core.now, item = core.item, bulk_payload = core.bulk_payload, connect = skein.connect,
  close = skein.close, time = os.time, date = os.date }

local go_on = parts.stopper(runtime)
parts.install_sleep(runtime, skein, go_on)
parts.install_threads(runtime, skein, go_on)

runtime.setup {
  now = function() return store.kit:clock() end,
  move = function(ms) store.kit:clock(ms) end,
  progress = function(slot, percent, text) store.kit:progress(slot.run, percent, text) end,
  log = function(slot, text) store.kit:job_log(slot.run, text) end,
}

--- Modes ------------------------------------------------------------------------------------------------------------

local function begin()
  if store.kit then return end
  store.open(floor(real.now()) * 1000)
  real.transport = client.set_transport {
    call = transport.call, passed = parts.passed_reader(runtime), close = function() end,
  }
  core.now = function() return store.kit:clock() / 1000 end
  core.item = function(fields, ...)
    fields.enqueued_ms = store.kit:clock()
    return real.item(fields, ...)
  end
  -- disables bulk payloads, so that each job goes through core.item
  core.bulk_payload = function(_, first) return "", first end
  skein.connect = function() return true end
  skein.close = function() end
end

local function finish(before, ok, ...)
  attempt.inline = before
  if not ok then error((...), 0) end
  return ...
end

local function set_mode(what, mode, fn)
  if fn ~= nil and schema.callable(fn) then errors.misuse(what .. ": a function is expected, not " .. type(fn)) end
  begin()
  local before = attempt.inline
  attempt.inline = mode
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
  if not store.kit then return end
  skein.connect, skein.close = real.connect, real.close
  client.close()
  client.set_transport(real.transport)
  core.now, core.item, core.bulk_payload = real.now, real.item, real.bulk_payload
  store.close()
  attempt.inline, real.transport = false, nil
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
  store.kit:clock(floor(time * 1000 + 0.5))
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
  store.kit:clock(store.kit:clock() + floor(seconds * 1000 + 0.5))
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
    local run = store.fetch(wanted)
    if not run then return ran end
    attempt.run(run)
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
  if store.kit then store.put_back() end
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
  sort(jobs, function(a, b) return store.position(a.id) < store.position(b.id) end)
  for _, job in ipairs(jobs) do
    if job.state ~= "ready" then job.at = job.due_at end
  end
  return jobs
end

-- The record that skein.enqueue would send, or nil and an error. Raises the errors of skein.enqueue.
local function record_of(signature, ...)
  local record
  transport.capture(function(items)
    transport.capture(nil)
    record = items[1].record
  end)
  local ok, handle, err = pcall(skein.enqueue, signature, ...)
  transport.capture(nil)
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
  local run = store.kit:read(record)
  if run.refused == "unknown_task" then
    unknown_task("skein.testing.perform", run.task, run.message)
  end
  local ended = attempt.run_handler(run)
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
  transport.loading = true
  local files, problem = scripts.load(path)
  transport.loading = false
  if not files then error(problem, 0) end
  return files
end

skein.now = function() return core.now() end
-- Scripts may keep references to these two functions, so each call checks whether the kit's clock is in use.
os.time = function(at) -- luacheck: ignore 122
  if at ~= nil or not store.kit then return real.time(at) end
  return floor(core.now())
end
os.date = function(format, at) -- luacheck: ignore 122
  return real.date(format or "%c", at or (store.kit and floor(core.now())) or real.time())
end
M.fake()

return M
