--- Finds and loads a folder's scripts, in a worker and in processes that only inspect them (inspect.lua).
-- The module keeps the globals it needs in locals, since scripts may replace globals.
-- @module skein.scripts
local middleware = require "skein.middleware"
local errors = require "skein.errors"
local error, ipairs, loadfile, pcall, select, tostring, type, xpcall =
  error, ipairs, loadfile, pcall, select, tostring, type, xpcall
local concat, sort = table.concat, table.sort
local coroutine, package = coroutine, package

local M = {}

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

-- `above` holds the real paths of the enclosing folders, so that a link to one of them is not followed forever.
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

-- The files of a path, and the folder in which scripts find their modules.
local function files_of(path)
  path = path:gsub("(.)/+$", "%1")
  local stat = require("luv").fs_stat(path)
  if stat and stat.type == "file" then return { path }, path:match("^(.+)/[^/]*$") or "." end
  return collect(path, true, {}, {}), path
end

local function load_one(file)
  loading = file
  local chunk, syntax = loadfile(file)
  if not chunk then error(syntax, 0) end
  chunk()
  loading = nil
end

local function load_all(path)
  local files, dir = files_of(path)
  package.path = ("%s/?.lua;%s/lib/?.lua;%s"):format(dir, dir, package.path)
  for _, file in ipairs(files) do load_one(file) end
  local problem = middleware.problem()
  if problem then error(problem, 0) end
  return files
end

-- Makes the message for an error while scripts load: `file:line: message`. Call it where the error was raised.
local function load_error(err)
  local text = errors.text(err)
  if type(err) == "string" and err:find("^[^\n]-:%d+: ") then return text end
  local at = errors.caller()
  if at == "" then at = loading end
  return at and at .. ": " .. text or text
end

M.load_error = load_error

--- Loads every script of a folder as `load` does, and continues after a script that fails.
-- @tparam string path
-- @tparam function begin called as begin(file) before each is loaded, and as begin() at the end; false: there is no
-- time left
-- @tparam function note called with the message of each mistake
-- @treturn table the list of files
function M.load_each(path, begin, note)
  local ok, files, dir = pcall(files_of, path)
  if not ok then
    note(errors.text(files))
    return {}
  end
  package.path = ("%s/?.lua;%s/lib/?.lua;%s"):format(dir, dir, package.path)
  for _, file in ipairs(files) do
    if not begin(file) then
      note(file .. ": not looked at: the scripts before it took too long to load")
      break
    end
    local co = coroutine.create(function() return xpcall(load_one, load_error, file) end)
    local _, loaded, problem = coroutine.resume(co)
    local _, where = begin()
    if coroutine.status(co) == "suspended" then
      note(where .. ": the script catches the error that ends it and never ends: it must not loop while it loads")
    elseif not loaded then
      note(problem)
    end
  end
  local problem = middleware.problem()
  if problem then note(problem) end
  return files
end

--- The scripts and the modules in DIR/lib.
-- @tparam string path
-- @treturn table a list of files
function M.sources(path)
  local files, dir = files_of(path)
  local stat = require("luv").fs_stat(dir .. "/lib")
  if stat and stat.type == "directory" then collect(dir .. "/lib", false, files, {}) end
  return files
end

--- Loads every script of a folder, in the order of names; or one file.
-- @tparam string path
-- @return the list of files, or nil and a message for users
function M.load(path)
  local ok, result = xpcall(load_all, load_error, path)
  if ok then return result end
  return nil, result
end

--- Loads a file that returns a value, such as config.lua.
-- @tparam string file
-- @tparam function read called with what the file returned; its own errors name the file
-- @return the result of `read`, or nil and a message for users
function M.read(file, read)
  local ok, result = xpcall(function()
    loading = file
    local chunk, syntax = loadfile(file)
    if not chunk then error(syntax, 0) end
    local value = chunk()
    loading = nil
    return read(value)
  end, function(err) return loading and load_error(err) or errors.text(err) end)
  if ok then return result end
  return nil, result
end

--- Makes print write lines through `write`.
function M.install_print(write)
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

return M
