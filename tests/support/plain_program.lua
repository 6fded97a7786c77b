-- plain_program.lua - helpers of the specs that use Skein in a plain LuaJIT program, without an engine: tasks with
-- fresh names, a sqlite store in a temporary directory, the records that enqueueing stores, and checks of misuse.
local assert = require "luassert"
local client = require "skein.client"
local core = require "skein.core"
local files = require "tests.support.files"
local hooks = require "skein.hooks"
local middleware = require "skein.middleware"
local skein = require "skein"
local tasks = require "skein.tasks"

local M = {}
local names_n, dir = 0, nil

--- Connects the program to a new sqlite store; for before_each.
function M.open()
  dir = files.temp_dir()
  assert(skein.connect("sqlite:" .. dir .. "/jobs.db", { durability = "normal" }))
end

--- Forgets all handlers and middleware; for after_each.
function M.reset()
  hooks.reset()
  middleware.reset()
end

--- Undoes open, and resets; for after_each.
function M.close()
  M.reset()
  skein.close()
  files.remove(dir)
end

--- A task name that no other spec of the file uses.
function M.fresh_name()
  names_n = names_n + 1
  return "spec.t" .. names_n
end

--- Declares a task with a fresh name and a handler that does nothing; returns the name.
function M.declare(options)
  local name = M.fresh_name()
  skein.task(name, options, function() end)
  return name
end

--- Declares a task with a fresh name that adds its two args; returns the name.
function M.sum_task()
  local name = M.fresh_name()
  skein.task(name, function(_, a, b) return a + b end)
  return name
end

--- The job object that `run` passes to a handler.
function M.new_job(queue) return { id = "1", task = "t", queue = queue or "default", attempt = 1 } end

--- Runs the handler of a task with its middleware and hooks, as a worker does.
function M.run(name, job, ...) return middleware.compose(tasks.by_name[name])(job, ...) end

--- The stored record of a job, as a table.
function M.record_of(handle)
  local answer = assert(client.call(core.OP.GET, core.pack("is", 1, handle.id)))
  local _, _, _, record = core.unpack("bsss", answer)
  return core.job(record)
end

--- The callbacks in a record's on_success or on_error: a list of records as tables, each with due_ms and delay_ms.
function M.read_callbacks(bytes)
  local list, offset = {}, 1
  while offset <= #bytes do
    local record, due_ms, delay_ms
    record, due_ms, delay_ms, offset = core.unpack("sll", bytes, offset)
    local job = core.job(record)
    job.due_ms, job.delay_ms = due_ms, delay_ms
    list[#list + 1] = job
  end
  return list
end

--- Asserts that fn raises a message that matches the pattern and begins with a line of the spec file that fn is in.
function M.refused(pattern, fn)
  local ok, err = pcall(fn)
  assert.is_false(ok, "it was taken: " .. pattern)
  assert.matches(pattern, tostring(err))
  local file = debug.getinfo(fn, "S").short_src
  assert.matches("^tests/spec/[%w_]+_spec%.lua$", file)
  assert.matches(file:gsub("%.", "%%.") .. ":%d+: ", tostring(err))
end

--- Asserts that fn raises a message that begins with the first line of fn's body; returns the rest of the message.
function M.line_of_caller(fn)
  local at = debug.getinfo(fn, "S")
  local ok, err = pcall(fn)
  assert.is_false(ok)
  assert.is_string(err)
  assert.matches("^tests/spec/[%w_]+_spec%.lua$", at.short_src)
  assert.equal(("%s:%d: "):format(at.short_src, at.linedefined + 1), err:match("^.-:%d+: "), err)
  return (err:gsub("^.-:%d+: ", ""))
end

return M
