--- The processes that inspect a folder without running jobs: `skein check`, and the reader of DIR/config.lua.
-- @module skein.inspect
local core = require "skein.core"
local client = require "skein.client"
local errors = require "skein.errors"
local queues = require "skein.queues"
local scan = require "skein.scan"
local schema = require "skein.schema"
local scripts = require "skein.scripts"
local tasks = require "skein.tasks"
local error, ipairs, loadfile, pairs, pcall, require, tostring, type = error, ipairs, loadfile, pairs, pcall,
  require, tostring, type
local concat, sort = table.concat, table.sort
local huge = math.huge
local io = io

local M = {}

-- Sends the output of scripts to stderr, since stdout is for the answer, and refuses their requests to the store.
local function only_look()
  scripts.install_print(function(line) io.stderr:write(core.clean(line), "\n") end)
  io.output(io.stderr)
  client.set_transport({
    worker = true,
    call = function() errors.misuse("jobs can be enqueued and looked at inside a job, not while scripts load") end,
  })
end

-- A list that prints each mistake once, as soon as it is found: a script that never ends must not hide the mistakes
-- before it. note(text, at) adds one; `at` is set for an unknown global that the scan found: its "file:line". The scan
-- and the loading may find the same global.
local function mistakes()
  local printed, globals, list = {}, {}, { n = 0 } -- globals: lines at which loading failed on one
  function list.note(text, at)
    if printed[text] or (at and globals[at]) then return end
    printed[text], list.n = true, list.n + 1
    local line = text:match "^([^\n]-:%d+): attempt to [^\n]* global '"
    if line then globals[line] = true end
    io.stderr:write(core.clean(text), "\n")
  end
  return list
end

-- The functions whose errors are noted and do not end the script: a check reports all wrong declarations.
local DECLARES = { "task", "queue", "use", "use_enqueue", "on" }

local function note_declarations(skein, note)
  for _, name in ipairs(DECLARES) do
    local declare = skein[name]
    skein[name] = function(...)
      local ok, problem = pcall(declare, ...)
      if not ok then note(scripts.load_error(problem)) end
    end
  end
end

-- Notes the syntax errors and unknown fields in the scripts' text. Returns the compiled files: { file =, fn = }.
local function scan_files(dir, skein, note)
  local chunks = {}
  for _, file in ipairs(scripts.sources(dir)) do
    local handle = io.open(file, "rb")
    local source = handle and handle:read "*a"
    if handle then handle:close() end
    local fn, syntax = loadfile(file)
    if not fn then note(syntax) end
    if fn and source then
      chunks[#chunks + 1] = { file = file, fn = fn }
      for _, wrong in ipairs(scan.fields(source, skein)) do
        note(("%s:%d: %s"):format(file, wrong.line, wrong.message))
      end
    end
  end
  return chunks
end

-- Loads the scripts. Returns the list of files, or nil if they have mistakes, which are on stderr.
local function load_to_look(dir, begin)
  local skein = require "skein"
  local wrong = mistakes()
  only_look()
  local chunks = scan_files(dir, skein, wrong.note)
  note_declarations(skein, wrong.note)
  local files = scripts.load_each(dir, begin, wrong.note)
  for _, one in ipairs(scan.globals(chunks, _G)) do
    local at = one.file .. ":" .. one.line
    wrong.note(at .. ": " .. one.message, at)
  end
  return wrong.n == 0 and files or nil
end

-- A summary of a queue's settings.
local function queue_text(queue)
  local parts = {}
  if queue.max_len > 0 then parts[#parts + 1] = ("max_len %.0f %s"):format(queue.max_len, queue.overflow) end
  if queue.concurrency > 0 then parts[#parts + 1] = ("concurrency %d"):format(queue.concurrency) end
  if queue.rate > 0 then parts[#parts + 1] = ("rate %d per %g s"):format(queue.rate, queue.per_ms / 1000) end
  return concat(parts, ", ")
end

local function count(n, thing) return ("%d %s%s"):format(n, thing, n == 1 and "" or "s") end

--- Prints the tasks and queues that the scripts declare.
-- @tparam string dir
-- @tparam function begin see scripts.load_each; it stops a script that never ends (core/lua/inspect.c)
-- @treturn number the exit status
function M.check(dir, begin)
  local files = load_to_look(dir, begin)
  if not files then return 1 end
  for _, task in ipairs(tasks.list) do
    io.stdout:write(core.clean(("task %-30s queue %-12s %s\n"):format(task.name, task.queue, task.where)))
  end
  for _, queue in ipairs(queues.list) do
    io.stdout:write(core.clean(("queue %-29s %-18s %s\n"):format(queue.name, queue_text(queue), queue.where)))
  end
  io.stdout:write(count(#files, "script"), ", ", count(#tasks.list, "task"), "\n")
  return 0
end

--- Prints the scripts, tasks and queues as one JSON object.
-- @tparam string dir
-- @tparam function begin see scripts.load_each; it stops a script that never ends (core/lua/inspect.c)
-- @treturn number the exit status
function M.check_json(dir, begin)
  local files = load_to_look(dir, begin)
  if not files then return 1 end
  local list = core.array({})
  for i, task in ipairs(tasks.list) do
    list[i] = { name = task.name, queue = task.queue, priority = task.priority, declared_at = task.where }
  end
  local settings = core.array({})
  for i, queue in ipairs(queues.list) do
    settings[i] = {
      name = queue.name, max_len = queue.max_len, overflow = queue.overflow, block = queue.block_ms / 1000,
      concurrency = queue.concurrency, rate = queue.rate, per = queue.per_ms / 1000, burst = queue.burst,
      declared_at = queue.where,
    }
  end
  io.stdout:write(core.encode({ scripts = core.array(files), tasks = list, queues = settings }), "\n")
  return 0
end

-- The setting `queues` in the form of `skein run -q`. It is a list of names (with weights: "mail:3"), or a table
-- name -> weight.
local function queues_text(file, served)
  local parts = {}
  for i, queue in ipairs(served) do
    if type(queue) ~= "string" then
      error(("%s: setting queues: [%d] is a %s, a name is expected"):format(file, i, type(queue)), 0)
    end
    parts[i] = queue
  end
  local listed, weighted = #parts, {}
  for name, weight in pairs(served) do
    if type(name) == "string" then
      if type(weight) ~= "number" then
        error(("%s: setting queues: %s is a %s, a weight is expected"):format(file, name, type(weight)), 0)
      end
      if weight ~= weight or weight == huge or weight == -huge then
        error(("%s: setting queues: %s is %s, a weight is expected"):format(file, name, schema.show(weight)), 0)
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

-- The settings as lines `name<TAB>value`, sorted by name.
local function settings_text(file, settings)
  if type(settings) ~= "table" then
    error(("%s: it must return a table of settings, not %s"):format(file, type(settings)), 0)
  end
  local lines = {}
  for name, value in pairs(settings) do
    if type(name) ~= "string" then
      error(("%s: a setting's name is %s, a string is expected"):format(file, schema.show(name)), 0)
    end
    if name:find("[\n\t]") then
      error(("%s: the setting's name %s holds a tab or a newline"):format(file, schema.show(name)), 0)
    end
    lines[#lines + 1] = name .. "\t" .. setting_text(file, name, value) .. "\n"
  end
  sort(lines)
  return concat(lines)
end

local NO_SUCH_FILE = 2 -- ENOENT

--- Prints the settings of DIR/config.lua as lines `name<TAB>value`. A missing file prints nothing.
-- @tparam string dir
-- @tparam function begin as for check
-- @treturn number the exit status
function M.config(dir, begin)
  local file = dir:gsub("(.)/+$", "%1") .. "/config.lua"
  local handle, problem, number = io.open(file)
  if not handle and number == NO_SUCH_FILE then return 0 end
  local text
  if handle then
    handle:close()
    only_look()
    begin(file)
    text, problem = scripts.read(file, function(settings) return settings_text(file, settings) end)
  end
  begin()
  local out = text and io.stdout or io.stderr
  out:write(text or problem, text and "" or "\n")
  return text and 0 or 1
end

return M
