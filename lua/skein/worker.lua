--- A worker's side of Lua: loads the scripts, gives them skein.sleep and friends, and decides with them what a failed attempt means.
-- Called by core/lua/worker.c.
-- @module skein.worker
local core = require "skein.core"
local client = require "skein.client"
local errors = require "skein.errors"
local tasks = require "skein.tasks"

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
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

local AT_TOP = { lib = true, spec = true, ["config.lua"] = true }

local function collect(dir, top, files)
  for _, e in ipairs(entries(dir)) do
    local skipped = e.name:find("^[_.]") or (top and AT_TOP[e.name])
    if not skipped and e.kind == "directory" then
      collect(dir .. "/" .. e.name, false, files)
    elseif not skipped and e.kind == "file" and e.name:find("%.lua$") then
      files[#files + 1] = dir .. "/" .. e.name
    end
  end
  return files
end

local function load_scripts(dir)
  dir = dir:gsub("(.)/+$", "%1")
  package.path = ("%s/?.lua;%s/lib/?.lua;%s"):format(dir, dir, package.path)
  local files = collect(dir, true, {})
  for _, file in ipairs(files) do
    local chunk, syntax = loadfile(file)
    if not chunk then error(syntax, 0) end
    chunk()
  end
  return files
end

-- The message for people of an error while scripts load: `file:line: message`.
local function load_error(err)
  if type(err) == "string" then return err end
  return errors.text(err)
end

--- Waiting ---------------------------------------------------------------------------------------------------------------

local function install_waiting(rt, skein)
  local function stop_error(kind)
    local job = rt.current()
    if kind == "timeout" then
      return errors.new("timeout", ("timed out after %g s"):format(job and job._timeout or 0), { stop = "timeout" })
    end
    return errors.new("cancelled", "cancelled", { stop = "cancelled" })
  end

  local function go_on(stop, ...)
    if stop then error(stop_error(stop), 0) end
    return ...
  end

  function skein.sleep(seconds)
    if type(seconds) ~= "number" or not (seconds >= 0 and seconds < 1e9) then
      error("skein.sleep: a number of seconds, 0 or more, is expected, not " .. tostring(seconds), 2)
    end
    return go_on(rt.sleep(seconds * 1000))
  end

  local Thread = {}
  rt.thread_meta.__index = Thread

  local function results(_, ok, ...)
    if ok then return ... end
    local err = ...
    if type(err) == "table" then return nil, err end
    return nil, errors.new("error", errors.text(err))
  end

  --- Waits for a spawned thread: what its function returned, or nil and its error.
  function Thread:wait()
    if select("#", rt.results(self)) == 0 then go_on(rt.join(self)) end
    return results(rt.results(self))
  end

  function skein.spawn(fn, ...)
    if type(fn) ~= "function" then error("skein.spawn: a function is expected, not " .. type(fn), 2) end
    return rt.spawn(fn, ...)
  end

  client.set_transport({
    worker = true,
    call = function(operation, payload)
      if not rt.current() then
        error("jobs can be enqueued and looked at inside a job, not while scripts load: each worker loads them", 4)
      end
      return go_on(rt.request(operation, payload))
    end,
  })

  -- Coroutines of scripts: a wait inside one passes through it up to the job's own; a plain yield of the job's own coroutine waits
  -- until someone resumes it, as callbacks of luv do.
  local token, raw_resume, raw_yield = rt.token, coroutine.resume, coroutine.yield

  local function pass(co, ok, first, ...)
    if ok and first == token then return pass(co, raw_resume(co, raw_yield(token))) end
    return ok, first, ...
  end

  local function resume(co, ...)
    if rt.unpark(co, ...) then return true end
    return pass(co, raw_resume(co, ...))
  end

  local function values_or_error(ok, ...)
    if ok then return ... end
    error((...), 0)
  end

  coroutine.resume = resume
  function coroutine.wrap(fn)
    local co = coroutine.create(fn)
    return function(...) return values_or_error(resume(co, ...)) end
  end
  function coroutine.yield(...)
    if rt.is_own() then return go_on(rt.park()) end
    return raw_yield(...)
  end
end

--- Failures --------------------------------------------------------------------------------------------------------------

local handlers = { error = {}, death = {} }
M.handlers = handlers

local function run_handler(rt, what, fn, job, err)
  local ok, problem = xpcall(fn, function(e) return debug.traceback(errors.text(e), 2) end, job, err)
  if not ok then rt.log(ERROR, ("the %s handler failed: %s"):format(what, problem)) end
end

local function run_handlers(rt, job, err, dies)
  local task = tasks.by_name[job.task]
  local own = task and (dies and task.options.on_death or task.options.on_error)
  local what = dies and "death" or "error"
  if own then run_handler(rt, "on_" .. what, own, job, err) end
  for _, fn in ipairs(handlers[what]) do run_handler(rt, what, fn, job, err) end
end

-- The delay that the task's backoff function wants, in ms; -1 when the core decides.
local function function_delay(rt, job, err)
  local task = tasks.by_name[job.task]
  local backoff = task and task.options.backoff
  if type(backoff) ~= "function" or rt.field(job._handle, "backoff") then return -1 end
  local ok, seconds = pcall(backoff, job.attempt, err)
  if ok and type(seconds) == "number" and seconds >= 0 and seconds < 3153600000 then return math.floor(seconds * 1000 + 0.5) end
  rt.log(ERROR, "the backoff function must return seconds, 0 or more; the default back-off is used instead of: " .. errors.text(seconds))
  return -1
end

-- What to tell the core: verdict, delay_ms, kind, message, traceback.
local function failed(rt, job, kind, value, traceback)
  local verdict, delay_ms = VERDICT.retry, -1
  local message = errors.text(value)
  if errors.is_verdict(value) then
    verdict, traceback = VERDICT[value.verdict], ""
    if value.delay then delay_ms = math.floor(value.delay * 1000 + 0.5) end
    if value.verdict == "fail" then kind = "fail" end
    if verdict == VERDICT.discard or verdict == VERDICT.snooze then return verdict, delay_ms, KIND.error, message, "" end
  elseif errors.is(value) and value.stop then
    kind, traceback = value.stop, ""
  elseif type(value) == "table" and type(value.traceback) == "string" then
    traceback = value.traceback
  end
  if kind == "cancelled" then return verdict, delay_ms, KIND.cancelled, message, "" end
  local dies = verdict == VERDICT.fail or job.attempt > job.retries
  local err = errors.new(kind, message, { kind = kind, attempt = job.attempt, traceback = traceback, value = value })
  if not dies and delay_ms < 0 then delay_ms = function_delay(rt, job, err) end
  run_handlers(rt, job, err, dies)
  return verdict, delay_ms, KIND[kind] or KIND.error, message, traceback
end

--- Entry points ------------------------------------------------------------------------------------------------------------

local function install_print(rt)
  function _G.print(...)
    local parts = {}
    for i = 1, select("#", ...) do parts[i] = tostring((select(i, ...))) end
    rt.log(INFO, table.concat(parts, "\t"))
  end
end

--- Loads the scripts and tells the core; returns a message when they can't be loaded.
function M.start(dir)
  local rt = require "skein.runtime"
  local skein = require "skein"
  install_waiting(rt, skein)
  install_print(rt)
  local ok, err = xpcall(load_scripts, load_error, dir)
  if not ok then return err end
  local by_name, templates = {}, {}
  for i, task in ipairs(tasks.list) do
    by_name[task.name] = task.handler
    templates[i] = task.record
  end
  rt.setup({
    handlers = by_name,
    templates = templates,
    job_meta = require "skein.job",
    failed = function(...) return failed(rt, ...) end,
  })
end

local function load_to_look(dir)
  require "skein"
  local ok, err = xpcall(load_scripts, load_error, dir)
  if ok then return err end
  io.stderr:write(err, "\n")
end

--- Lists what the scripts declare; the exit status.
function M.check(dir)
  local files = load_to_look(dir)
  if not files then return 1 end
  for _, task in ipairs(tasks.list) do
    io.write(("task %-30s queue %-12s %s\n"):format(task.name, task.queue, task.where))
  end
  io.write(("%d scripts, %d tasks\n"):format(#files, #tasks.list))
  return 0
end

--- The same as one JSON object.
function M.check_json(dir)
  local files = load_to_look(dir)
  if not files then return 1 end
  local list = core.array({})
  for i, task in ipairs(tasks.list) do
    list[i] = { name = task.name, queue = task.queue, priority = task.priority, declared_at = task.where }
  end
  io.write(core.encode({ scripts = core.array(files), tasks = list, crons = core.array({}) }), "\n")
  return 0
end

local function setting_text(file, name, value)
  if type(value) == "string" or type(value) == "number" or type(value) == "boolean" then
    value = tostring(value)
  elseif type(value) == "table" and name == "queues" then
    value = table.concat(value, ",")
  else
    error(("%s: setting %s is a %s, a string or number is expected"):format(file, name, type(value)), 0)
  end
  if value:find("[\n\t]") then error(("%s: setting %s holds a tab or a newline"):format(file, name), 0) end
  return value
end

--- Prints DIR/config.lua's settings as lines `name<TAB>value`; the exit status.
function M.config(dir)
  local file = dir:gsub("(.)/+$", "%1") .. "/config.lua"
  local handle = io.open(file)
  if not handle then return 0 end
  handle:close()
  local ok, err = xpcall(function()
    local chunk, syntax = loadfile(file)
    if not chunk then error(syntax, 0) end
    local settings = chunk()
    if type(settings) ~= "table" then error(("%s: it must return a table of settings, not %s"):format(file, type(settings)), 0) end
    for name, value in pairs(settings) do
      if type(name) ~= "string" then error(("%s: a setting's name is %s"):format(file, tostring(name)), 0) end
      io.write(name, "\t", setting_text(file, name, value), "\n")
    end
  end, load_error)
  if ok then return 0 end
  io.stderr:write(err, "\n")
  return 1
end

return M
