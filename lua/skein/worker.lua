--- A worker's side of Lua: loads the scripts, gives them skein.sleep and friends, and decides with them what a failed attempt means.
-- Called by core/lua/worker.c.  Globals are taken when the module loads: scripts may replace them.
-- @module skein.worker
local core = require "skein.core"
local client = require "skein.client"
local errors = require "skein.errors"
local schema = require "skein.schema"
local tasks = require "skein.tasks"
local error, getmetatable, ipairs, loadfile, newproxy, pairs, pcall, rawset, select, setmetatable, tostring, type, xpcall =
  error, getmetatable, ipairs, loadfile, newproxy, pairs, pcall, rawset, select, setmetatable, tostring, type, xpcall
local traceback, concat, sort = debug.traceback, table.concat, table.sort
local io, package, coroutine = io, package, coroutine

local M = {}

local INFO, ERROR = 1, 3
local VERDICT = { retry = 0, fail = 1, discard = 2, snooze = 3 }
local KIND = { error = 1, timeout = 2, fail = 6, result = 7, cancelled = 8 }

--- Scripts --------------------------------------------------------------------------------------------------------------

local function entries(dir)
  local uv = require "luv"
  local scan, err = uv.fs_scandir(dir)
  if not scan then error(("%s: %s"):format(dir, err), 0) end
  local list = {}
  while true do
    local name, kind = uv.fs_scandir_next(scan)
    if not name then break end
    if kind == "link" or kind == "unknown" then
      local stat = uv.fs_stat(dir .. "/" .. name)
      kind = stat and stat.type
    end
    list[#list + 1] = { name = name, kind = kind }
  end
  sort(list, function(a, b) return a.name < b.name end)
  return list
end

local AT_TOP = { lib = true, spec = true, ["config.lua"] = true }

-- `above`: the real paths of the folders we are in, so that a link back up is not followed for ever.
local function collect(dir, top, files, above)
  local real = require("luv").fs_realpath(dir) or dir
  if above[real] then return files end
  above[real] = true
  for _, e in ipairs(entries(dir)) do
    local skipped = e.name:find("^[_.]") or (top and AT_TOP[e.name])
    if not skipped and e.kind == "directory" then
      collect(dir .. "/" .. e.name, false, files, above)
    elseif not skipped and e.kind == "file" and e.name:find("%.lua$") then
      files[#files + 1] = dir .. "/" .. e.name
    end
  end
  above[real] = nil
  return files
end

local loading -- the script that is being loaded

local function load_scripts(dir)
  dir = dir:gsub("(.)/+$", "%1")
  package.path = ("%s/?.lua;%s/lib/?.lua;%s"):format(dir, dir, package.path)
  local files = collect(dir, true, {}, {})
  for _, file in ipairs(files) do
    loading = file
    local chunk, syntax = loadfile(file)
    if not chunk then error(syntax, 0) end
    chunk()
  end
  loading = nil
  return files
end

-- The message for people of an error while scripts load: `file:line: message`.  Called where the error was raised.
local function load_error(err)
  local text = errors.text(err)
  if type(err) == "string" and err:find("^[^\n]-:%d+: ") then return text end
  local at = errors.caller()
  if at == "" then at = loading end
  return at and at .. ": " .. text or text
end

--- Waiting ---------------------------------------------------------------------------------------------------------------

-- What a wait raises when its job has to stop.
local function stop_error(rt, kind)
  if kind == KIND.timeout then
    local timeout = select(5, rt.attempt())
    return errors.new("timeout", ("timed out after %g s"):format(timeout or 0), { stop = "timeout" })
  end
  return errors.new("cancelled", "cancelled", { stop = "cancelled" })
end

-- Returns go_on(stop, ...), through which the results of every wait pass.
local function stopper(rt)
  return function(stop, ...)
    if stop then error(stop_error(rt, stop), 0) end
    return ...
  end
end

local function install_sleep(rt, skein, go_on)
  function skein.sleep(seconds)
    if type(seconds) ~= "number" or not (seconds >= 0 and seconds < 1e9) then
      errors.misuse("skein.sleep: a number of seconds, 0 or more, is expected, not " .. schema.show(seconds))
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

  --- Waits for a spawned thread.
  -- @return what its function returned, or nil and its error: a table as it was raised, else one with .message
  -- @raise skein.fail, retry_in, discard and job:snooze of that thread: they mean the whole job
  -- @yields
  function Thread:wait()
    if select("#", rt.results(self)) == 0 then go_on(rt.join(self)) end
    return results(rt.results(self))
  end

  -- A failure that nobody waits for is logged at the job's end, with this text.
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

-- Coroutines of scripts: a wait inside one passes through it up to the job's own; a plain yield of the job's own coroutine waits
-- until someone resumes it, as callbacks of luv do.
local function install_coroutines(rt, go_on)
  local token, create, isyieldable = rt.token, coroutine.create, coroutine.isyieldable
  local raw_resume, raw_yield, raw_running = coroutine.resume, coroutine.yield, coroutine.running

  local function pass(co, ok, first, ...)
    if ok and first == token then
      if not isyieldable() then
        errors.misuse("a coroutine waits that was resumed where a job can't wait: inside table.sort, string.gsub, "
          .. "a metamethod or an iterator of C")
      end
      return pass(co, raw_resume(co, raw_yield(token)))
    end
    return ok, first, ...
  end

  local function resume(co, ...)
    local ok, why = rt.resume(co, ...)
    if ok then return true end
    if ok == false then return false, why end
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

local function install_transport(rt, go_on)
  client.set_transport({
    worker = true,
    call = function(operation, payload)
      if not rt.attempt() then
        errors.misuse("jobs can be enqueued and looked at inside a job: not while scripts load (each worker loads them), "
          .. "not in a callback of luv")
      end
      return go_on(rt.request(operation, payload))
    end,
  })
end

-- The loop is the worker's: a script that runs or stops it would stop all jobs.
local function guard_loop()
  local uv = require "luv"
  for _, name in ipairs { "run", "stop", "loop_close" } do
    uv[name] = function()
      errors.misuse("uv." .. name .. ": the worker runs the loop; wait with skein.sleep, or with coroutine.yield until a callback "
        .. "resumes the job")
    end
  end
end

-- An error in a finalizer comes up wherever the collector happens to run, and LuaJIT does not survive it everywhere: log it instead.
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
  local proxy_meta = { __newindex = function(meta, key, value) rawset(meta, key, key == "__gc" and guard(value) or value) end }
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
  guard_loop()
end

--- Failures --------------------------------------------------------------------------------------------------------------

local handlers = { error = {}, death = {} }
M.handlers = handlers

local function run_handler(rt, what, fn, job, err)
  local ok, problem = xpcall(fn, function(e) return traceback(errors.text(e), 2) end, job, err)
  if not ok then rt.log(ERROR, ("the %s handler failed: %s"):format(what, errors.text(problem))) end
end

local function run_handlers(rt, task, job, err, dies)
  local own = task and (dies and task.options.on_death or task.options.on_error)
  local what = dies and "death" or "error"
  if own then run_handler(rt, "on_" .. what, own, job, err) end
  for _, fn in ipairs(handlers[what]) do run_handler(rt, what, fn, job, err) end
end

local SECONDS_MAX = 3153600000

-- The delay that the task's backoff function wants, in ms; -1 when the core decides.
local function function_delay(rt, task, handle, attempt, err)
  local backoff = task and task.options.backoff
  if type(backoff) ~= "function" or rt.field(handle, "backoff") then return -1 end
  local ok, seconds = pcall(backoff, attempt, err)
  if ok and type(seconds) == "number" and seconds >= 0 and seconds < SECONDS_MAX then return tasks.ms(seconds) end
  rt.log(ERROR, "the backoff function must return seconds, 0 or more; the default back-off is used instead of: "
    .. (ok and schema.show(seconds) or errors.text(seconds)))
  return -1
end

-- The sentence that is stored of a failure.
local function failure_message(kind, value, task, timeout)
  local message = errors.text(value)
  if kind == "timeout" and not errors.is(value) then return ("timed out after %g s, and %s"):format(timeout, message) end
  if kind == "result" and task then return ("%s (returned by the task of %s)"):format(message, task.where) end
  return message
end

-- What to tell the core: verdict, delay_ms, kind, message, traceback.  The job's table may be anything by now: what counts comes
-- from rt.attempt.
local function failed(rt, job, kind, value, trace)
  local name, attempt, retries, handle, timeout = rt.attempt()
  local task = tasks.by_name[name]
  local verdict, delay_ms = VERDICT.retry, -1
  if errors.is_verdict(value) then
    verdict, trace = VERDICT[value.verdict], ""
    if value.delay then delay_ms = tasks.ms(value.delay) end
    if value.verdict == "fail" then kind = "fail" end
    if verdict == VERDICT.discard or verdict == VERDICT.snooze then return verdict, delay_ms, KIND.error, errors.text(value), "" end
  elseif errors.is(value) and value.stop then
    kind, trace = value.stop, ""
  elseif type(value) == "table" and type(value.traceback) == "string" then
    trace = value.traceback
  end
  local message = failure_message(kind, value, task, timeout)
  if kind == "cancelled" then return verdict, delay_ms, KIND.cancelled, message, "" end
  local dies = verdict == VERDICT.fail or attempt > retries
  if task and trace ~= "" then trace = trace .. "\n\tin the task of " .. task.where end
  local err = errors.new(kind, message, { kind = kind, attempt = attempt, traceback = trace, value = value })
  if not dies and delay_ms < 0 then delay_ms = function_delay(rt, task, handle, attempt, err) end
  run_handlers(rt, task, job, err, dies)
  return verdict, delay_ms, KIND[kind] or KIND.error, message, trace
end

--- Entry points ------------------------------------------------------------------------------------------------------------

local function install_print(write)
  function _G.print(...)
    local parts = {}
    for i = 1, select("#", ...) do
      local text = tostring((select(i, ...)))
      if type(text) ~= "string" then error("'tostring' must return a string to 'print'", 2) end
      parts[i] = text
    end
    write(concat(parts, "\t"))
  end
end

--- Loads the scripts and tells the core.
-- @tparam string dir
-- @return nothing, or the message of what is wrong with them
function M.start(dir)
  local rt = require "skein.runtime"
  install(rt, require "skein")
  install_print(function(line) rt.log(INFO, line) end)
  local job_meta = require "skein.job"
  local ok, err = xpcall(load_scripts, load_error, dir)
  if not ok then return err end
  tasks.close("this worker has loaded its scripts")
  local by_name, templates = {}, {}
  for i, task in ipairs(tasks.list) do
    by_name[task.name] = task.handler
    templates[i] = task.record
  end
  rt.setup({
    handlers = by_name,
    templates = templates,
    job_meta = job_meta,
    failed = function(...) return failed(rt, ...) end,
  })
end

-- Stdout is for what was asked; what scripts say goes to stderr.  They reach no store.
local function only_look()
  install_print(function(line) io.stderr:write(line, "\n") end)
  io.output(io.stderr)
  client.set_transport({
    worker = true,
    call = function() errors.misuse("jobs can be enqueued and looked at inside a job, not while scripts load") end,
  })
end

-- The list of files, nil when something is wrong with them, which stderr says then.
local function load_to_look(dir)
  require "skein"
  only_look()
  local ok, result = xpcall(load_scripts, load_error, dir)
  if ok then return result end
  io.stderr:write(result, "\n")
end

--- Lists what the scripts declare.
-- @tparam string dir
-- @treturn number the exit status
function M.check(dir)
  local files = load_to_look(dir)
  if not files then return 1 end
  for _, task in ipairs(tasks.list) do
    io.stdout:write(("task %-30s queue %-12s %s\n"):format(task.name, task.queue, task.where))
  end
  io.stdout:write(("%d scripts, %d tasks\n"):format(#files, #tasks.list))
  return 0
end

--- The same as one JSON object.
-- @tparam string dir
-- @treturn number the exit status
function M.check_json(dir)
  local files = load_to_look(dir)
  if not files then return 1 end
  local list = core.array({})
  for i, task in ipairs(tasks.list) do
    list[i] = { name = task.name, queue = task.queue, priority = task.priority, declared_at = task.where }
  end
  io.stdout:write(core.encode({ scripts = core.array(files), tasks = list, crons = core.array({}) }), "\n")
  return 0
end

-- Queues as `skein run -q` takes them: a list of names (with weights, "mail:3"), or a table name -> weight.
local function queues_text(file, queues)
  local parts = {}
  for i, queue in ipairs(queues) do
    if type(queue) ~= "string" then error(("%s: setting queues: [%d] is a %s, a name is expected"):format(file, i, type(queue)), 0) end
    parts[i] = queue
  end
  local listed, weighted = #parts, {}
  for name, weight in pairs(queues) do
    if type(name) == "string" then
      if type(weight) ~= "number" then
        error(("%s: setting queues: %s is a %s, a weight is expected"):format(file, name, type(weight)), 0)
      end
      weighted[#weighted + 1] = ("%s:%.14g"):format(name, weight)
    elseif type(name) ~= "number" or name < 1 or name > listed then
      error(("%s: setting queues: a list of names, or a table name = weight, is expected"):format(file), 0)
    end
  end
  sort(weighted)
  for _, text in ipairs(weighted) do parts[#parts + 1] = text end
  return concat(parts, ",")
end

local function setting_text(file, name, value)
  if type(value) == "number" then
    value = value % 1 == 0 and ("%.0f"):format(value) or tostring(value)
  elseif type(value) == "string" or type(value) == "boolean" then
    value = tostring(value)
  elseif type(value) == "table" and name == "queues" then
    value = queues_text(file, value)
  else
    error(("%s: setting %s is a %s, a string or number is expected"):format(file, name, type(value)), 0)
  end
  if value:find("[\n\t]") then error(("%s: setting %s holds a tab or a newline"):format(file, name), 0) end
  return value
end

-- Lines `name<TAB>value` in the order of names.
local function read_config(file)
  loading = file
  local chunk, syntax = loadfile(file)
  if not chunk then error(syntax, 0) end
  local settings = chunk()
  loading = nil
  if type(settings) ~= "table" then error(("%s: it must return a table of settings, not %s"):format(file, type(settings)), 0) end
  local lines = {}
  for name, value in pairs(settings) do
    if type(name) ~= "string" then error(("%s: a setting's name is %s, a string is expected"):format(file, schema.show(name)), 0) end
    if name:find("[\n\t]") then error(("%s: the setting's name %s holds a tab or a newline"):format(file, schema.show(name)), 0) end
    lines[#lines + 1] = name .. "\t" .. setting_text(file, name, value) .. "\n"
  end
  sort(lines)
  return concat(lines)
end

local NO_SUCH_FILE = 2 -- ENOENT

--- Prints DIR/config.lua's settings as lines `name<TAB>value`; nothing when there is no such file.
-- @tparam string dir
-- @treturn number the exit status
function M.config(dir)
  local file = dir:gsub("(.)/+$", "%1") .. "/config.lua"
  local handle, problem, number = io.open(file)
  if not handle and number == NO_SUCH_FILE then return 0 end
  local ok, result = false, problem
  if handle then
    handle:close()
    only_look()
    ok, result = xpcall(read_config, function(err) return loading and load_error(err) or errors.text(err) end, file)
  end
  local out = ok and io.stdout or io.stderr
  out:write(result, ok and "" or "\n")
  return ok and 0 or 1
end

--- What skein.testing runs jobs with, on a runtime of its own.
M.parts = {
  KIND = KIND,
  load_scripts = load_scripts, load_error = load_error,
  stopper = stopper, install_sleep = install_sleep, install_threads = install_threads,
  failed = failed,
}

return M
