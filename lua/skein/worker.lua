--- The Lua part of a worker: installs the functions that work only inside jobs (skein.sleep, skein.spawn, ...), loads
-- the scripts, and sends their declarations to the core. core/lua/worker.c calls it. The module keeps the globals it
-- needs in locals, since scripts may replace globals.
-- @module skein.worker
local core = require "skein.core"
local client = require "skein.client"
local errors = require "skein.errors"
local failures = require "skein.failures"
local hooks = require "skein.hooks"
local metas = require "skein.meta"
local middleware = require "skein.middleware"
local queues = require "skein.queues"
local schema = require "skein.schema"
local scripts = require "skein.scripts"
local tasks = require "skein.tasks"
local error, getmetatable, ipairs, newproxy, pcall, rawset, select, setmetatable, type, xpcall =
  error, getmetatable, ipairs, newproxy, pcall, rawset, select, setmetatable, type, xpcall
local traceback, min = debug.traceback, math.min
local coroutine = coroutine

local M = {}

local INFO, ERROR, KIND = core.LOG.info, core.LOG.error, core.KIND
local LANES_MAX = core.LIMITS.calls_in_flight -- largest number of requests of one call in flight

--- Waiting ----------------------------------------------------------------------------------------------------------

-- The error that a wait raises when its job must stop.
local function stop_error(rt, kind)
  if kind == KIND.timeout then
    local timeout = select(5, rt.attempt())
    return errors.new("timeout", ("timed out after %g s"):format(timeout or 0), { stop = "timeout" })
  end
  return errors.new("cancelled", "cancelled", { stop = "cancelled" })
end

-- Makes go_on(stop, ...): it takes the results of a wait and raises if the job must stop, else returns the rest.
local function stopper(rt)
  return function(stop, ...)
    if stop then error(stop_error(rt, stop), 0) end
    return ...
  end
end

local function install_sleep(rt, skein, go_on)
  function skein.sleep(seconds)
    local problem = schema.seconds(seconds)
    if problem then
      errors.misuse(("skein.sleep: the time is %s, expected %s"):format(schema.show(seconds), problem))
    end
    return go_on(rt.sleep(seconds))
  end
end

local function install_threads(rt, skein, go_on)
  local Thread = {}
  rt.thread_meta.__index = Thread
  rt.thread_meta.__name = "skein.thread"

  local function results(_, ok, ...)
    if ok then return ... end
    local err = ...
    if errors.is_verdict(err) then error(err, 0) end
    if type(err) == "table" then return nil, err end
    return nil, errors.new("error", errors.text(err))
  end

  --- Waits for the end of a spawned thread.
  -- @return[1] the results of the thread's function
  -- @return[2] nil
  -- @treturn[2] table the thread's error: the table that was raised, else a table with the field `message`
  -- @raise when the thread called skein.fail, retry_in, discard or job:snooze, since these end the whole job
  -- @yields
  function Thread:wait()
    if select("#", rt.results(self)) == 0 then go_on(rt.join(self)) end
    return results(rt.results(self))
  end

  -- Stores the text of a thread's failure. It is logged at the job's end if no code has waited for the thread.
  local function note(err)
    if not (errors.is(err) and err.stop) then rt.trouble(traceback(errors.text(err), 2)) end
    return err
  end

  local function finish(ok, ...)
    if ok then return ... end
    error((...), 0)
  end

  local function run(fn, ...) return finish(xpcall(fn, note, ...)) end

  function skein.spawn(fn, ...)
    if schema.callable(fn) then errors.misuse("skein.spawn: a function is expected, not " .. type(fn)) end
    return go_on(rt.spawn(run, fn, ...))
  end
end

-- Replaces the functions of `coroutine` so that a job can wait inside a coroutine of a script: the wait passes through
-- to the job's own coroutine. A plain yield of the job's own coroutine waits until a script resumes it, as callbacks of
-- luv do.
local function install_coroutines(rt, go_on)
  local token, create, isyieldable = rt.token, coroutine.create, coroutine.isyieldable
  local raw_resume, raw_yield, raw_running = coroutine.resume, coroutine.yield, coroutine.running

  -- Coroutines in which a job waits. Only the runner must resume them: the wait would take the values of any other
  -- resume for its result.
  local waiting = setmetatable({}, { __mode = "k" })

  local function go(co, ...)
    waiting[co] = nil
    return raw_resume(co, ...)
  end

  local function pass(co, ok, first, ...)
    if ok and first == token then
      waiting[co] = true
      if not isyieldable() then
        errors.misuse("a coroutine waits that was resumed where a job can't wait: inside table.sort, string.gsub, "
          .. "a metamethod or an iterator of C")
      end
      return pass(co, go(co, raw_yield(token)))
    end
    return ok, first, ...
  end

  local function resume(co, ...)
    local ok, why = rt.resume(co, ...)
    if ok then return true end
    if ok == false then return false, why end
    if waiting[co] then
      return false, "cannot resume a coroutine in which a job waits (it runs for another job or thread)"
    end
    return pass(co, raw_resume(co, ...))
  end

  local function values_or_error(ok, ...)
    if ok then return ... end
    error((...), 0)
  end

  coroutine.resume = resume
  function coroutine.wrap(fn)
    local co = create(fn)
    return function(...) return values_or_error(resume(co, ...)) end
  end
  function coroutine.yield(...)
    if rt.is_own() then return go_on(rt.park()) end
    return raw_yield(...)
  end
  function coroutine.running()
    rt.know()
    return raw_running()
  end
end

-- Makes the function `passed` of the transport (client.lua). It decodes the meta of each job once.
local function passed_reader(rt)
  local seen, passed -- the handle of the last job, and its result
  return function()
    local _, _, _, handle = rt.attempt()
    if handle ~= seen then
      local own, problem = nil, nil
      if handle then own, problem = rt.field(handle, "meta") end
      require("skein.job").need_table("meta", own, problem)
      seen, passed = handle, own and metas.passed(own, own[tasks.PASS])
    end
    return passed
  end
end

-- Makes `call_many` of the transport: threads of the job send the requests. Each thread takes the next payload until
-- none is left or one has failed.
local function many_caller(rt, go_on, call)
  return function(operation, payloads)
    local codes, answers, begun, failed = {}, {}, 0, false
    local function lane()
      while begun < #payloads and not failed do
        begun = begun + 1
        local i = begun
        codes[i], answers[i] = call(operation, payloads[i])
        failed = failed or codes[i] ~= "ok"
      end
    end
    local threads = {}
    for i = 1, min(#payloads, LANES_MAX) - 1 do threads[i] = go_on(rt.spawn(lane)) end
    lane()
    for _, thread in ipairs(threads) do
      if select("#", rt.results(thread)) == 0 then go_on(rt.join(thread)) end
      local _, ok, problem = rt.results(thread)
      if not ok then error(problem, 0) end
    end
    return codes, answers
  end
end

local function install_transport(rt, go_on)
  local function call(operation, payload)
    if not rt.attempt() then
      errors.misuse("jobs can be enqueued and looked at inside a job: not while scripts load (each worker loads them), "
        .. "not in a callback of luv")
    end
    return go_on(rt.request(operation, payload))
  end
  client.set_transport({
    worker = true, passed = passed_reader(rt), call = call, call_many = many_caller(rt, go_on, call),
  })
end

-- Refuses the functions of luv that run or stop the event loop. The loop belongs to the worker, so they would stop all
-- jobs.
local function guard_loop(rt)
  local uv = require "luv"
  function uv.walk(fn)
    if schema.callable(fn) then errors.misuse("uv.walk: a function is expected, not " .. type(fn)) end
    for _, handle in ipairs(rt.handles()) do fn(handle) end
  end
  for _, name in ipairs { "run", "stop", "loop_close" } do
    uv[name] = function()
      errors.misuse(("uv.%s: the worker runs the loop; wait with skein.sleep, or with coroutine.yield until a callback "
        .. "resumes the job"):format(name))
    end
  end
end

-- Makes the programs that a job starts end with the job. They inherit only the descriptors 0 to 2.
local function install_programs(rt)
  local uv = require "luv"
  local programs, raw_spawn, raw_execute, raw_popen = rt.programs, uv.spawn, os.execute, io.popen
  -- marks the programs, so that they are found after the worker's death (core/io/guard.h)
  local mark = os.getenv "SKEIN_WORKER"

  function uv.spawn(file, options, on_exit)
    local job = programs.starting()
    if not job or type(options) ~= "table" then return raw_spawn(file, options, on_exit) end
    local pid
    local own = setmetatable({ detached = true }, { __index = options }) -- in a process group of its own
    if mark and type(options.env) == "table" then
      own.env = { unpack(options.env) }
      own.env[#own.env + 1] = "SKEIN_WORKER=" .. mark
    end
    local handle, result, code = raw_spawn(file, own, function(...)
      programs.ended(job, pid)
      if on_exit then on_exit(...) end
    end)
    if handle then
      pid = result
      programs.started(job, pid)
    end
    return handle, result, code
  end

  function os.execute(command) -- luacheck: ignore 122
    if command == nil then return raw_execute() end
    return programs.execute(command)
  end

  function io.popen(...) -- luacheck: ignore 122
    local job = programs.starting()
    local before = job and programs.children()
    local file, err, code = raw_popen(...)
    if file and job then
      for pid in programs.children():gmatch "%d+" do
        if not (" " .. before):find(" " .. pid .. " ", 1, true) then programs.popened(job, tonumber(pid)) end
      end
    end
    return file, err, code
  end
end

-- Limits a debug hook that a job sets to the job's run until its next wait: LuaJIT has one hook for all coroutines.
-- @return a function to call once the scripts have loaded; it returns a function that restores the hook they have set
local function guard_hooks(rt)
  local raw_sethook = debug.sethook
  function debug.sethook(...) -- luacheck: ignore 122
    rt.hooked()
    return raw_sethook(...)
  end
  return function()
    local fn, mask, count = debug.gethook() -- for example a hook for code coverage
    return function()
      if fn then raw_sethook(fn, mask, count) end
    end
  end
end

-- Logs errors of finalizers instead of raising them. Such an error appears wherever the collector happens to run, and
-- LuaJIT does not survive it everywhere.
local function install_finalizers(rt)
  local ffi = require "ffi"
  local raw_gc, raw_metatype, raw_newproxy = ffi.gc, ffi.metatype, newproxy
  local guards = setmetatable({}, { __mode = "kv" }) -- function -> guarded function

  local function guard(fn)
    if type(fn) ~= "function" then return fn end
    guards[fn] = guards[fn] or function(object)
      local ok, err = pcall(fn, object)
      if not ok then rt.log(ERROR, "a finalizer (__gc) failed: " .. errors.text(err)) end
    end
    return guards[fn]
  end

  function ffi.gc(object, finalizer) return raw_gc(object, guard(finalizer)) end
  function ffi.metatype(ctype, meta)
    if type(meta) == "table" and meta.__gc then meta.__gc = guard(meta.__gc) end
    return raw_metatype(ctype, meta)
  end
  local function set_guarded(meta, key, value) rawset(meta, key, key == "__gc" and guard(value) or value) end
  local proxy_meta = { __newindex = set_guarded }
  function _G.newproxy(how)
    local proxy = raw_newproxy(how)
    if how == true then setmetatable(getmetatable(proxy), proxy_meta) end
    return proxy
  end
end

local function install(rt, skein)
  local go_on = stopper(rt)
  rt.set_misuse(errors.misuse)
  install_sleep(rt, skein, go_on)
  install_threads(rt, skein, go_on)
  install_coroutines(rt, go_on)
  install_transport(rt, go_on)
  install_finalizers(rt)
  install_programs(rt)
  guard_loop(rt)
  return guard_hooks(rt)
end

--- The parts that skein.testing uses with its own runtime.
M.parts = {
  stopper = stopper, install_sleep = install_sleep, install_threads = install_threads, passed_reader = passed_reader,
}

--- Entry points -----------------------------------------------------------------------------------------------------

--- Loads the scripts and sends their declarations to the core.
-- @tparam string dir
-- @treturn[opt] string the message of the first mistake in the scripts; nil if they have none
function M.start(dir)
  local rt = require "skein.runtime"
  local hook_restorer = install(rt, require "skein")
  scripts.install_print(function(line) rt.log(INFO, line) end)
  hooks.log = function(text) rt.log(ERROR, text) end
  local job_meta = require("skein.job").metatable
  local files, problem = scripts.load(dir)
  if not files then return problem end
  tasks.close("this worker has loaded its scripts")
  local by_name, templates, bits = {}, {}, {}
  for i, task in ipairs(tasks.list) do
    by_name[task.name] = middleware.compose(task)
    templates[i], bits[i] = task.record, hooks.task_bits(task)
  end
  rt.setup({
    handlers = by_name,
    templates = templates,
    hooks = bits,
    all_hooks = hooks.bits(),
    queues = queues.for_core(),
    job_meta = job_meta,
    unhook = hook_restorer(),
    failed = function(...) return failures.failed(rt, ...) end,
    late_handlers = function(...) return failures.late_handlers(rt, ...) end,
  })
end

return M
