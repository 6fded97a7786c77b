--- Error values: tables with `code`, `message` and further fields, which tostring() turns into the message. The module
-- keeps the globals it needs in locals, since scripts may replace globals.
-- @module skein.errors
local core = require "skein.core"
local error, getmetatable, next, pcall, rawget, setmetatable, tostring, type =
  error, getmetatable, next, pcall, rawget, setmetatable, tostring, type
local getinfo = debug.getinfo
local M = {}

local Error = {}
Error.__index = Error
Error.__tostring = function(e) return tostring(rawget(e, "message")) end
Error.__concat = function(a, b) return tostring(a) .. tostring(b) end

--- Makes an error value.
-- @tparam string code a short name for programs: "invalid", "timeout", "not_found", "unavailable", ...
-- @tparam string message a sentence for users
-- @tparam[opt] table more further fields; becomes the error itself
-- @treturn table
-- @usage return nil, errors.new("not_found", "job 42: the store does not know it", { id = "42" })
function M.new(code, message, more)
  local e = more or {}
  e.code, e.message = code, message
  return setmetatable(e, Error)
end

--- True for a value that `new` made.
-- @treturn boolean
function M.is(value)
  return type(value) == "table" and getmetatable(value) == Error
end

-- The metatable of the values that skein.fail, retry_in, discard and job:snooze raise; failures.lua recognizes them.
local Verdict = { __tostring = function(v) return v.message end }

--- Makes a value that ends an attempt when raised.
-- @tparam string verdict "retry", "fail", "discard", "snooze"
-- @tparam[opt] number delay seconds
-- @tparam[opt] string reason
-- @treturn table
function M.verdict(verdict, delay, reason)
  return setmetatable({ verdict = verdict, delay = delay, message = reason or verdict }, Verdict)
end

--- True for a value that `verdict` made.
-- @treturn boolean
function M.is_verdict(value)
  return type(value) == "table" and getmetatable(value) == Verdict
end

local function index(value, key) return value[key] end

--- The traceback that an error value carries.  Never raises, whatever metamethods the value has.
-- @treturn[opt] string
function M.traceback(value)
  if type(value) ~= "table" then return nil end
  local ok, text = pcall(index, value, "traceback")
  return ok and type(text) == "string" and text or nil
end

local SHOWN_BYTES_MAX = 200 -- of a table's JSON in a message

-- The content of a plain table as text; nil if it cannot be encoded.
local function contents(value)
  if type(value) ~= "table" or getmetatable(value) ~= nil or next(value) == nil then return nil end
  local json = core.encode(value)
  return json and #json > SHOWN_BYTES_MAX and json:sub(1, SHOWN_BYTES_MAX) .. "..." or json
end

local function describe(value)
  local meta = getmetatable(value)
  if type(meta) == "table" and meta.__tostring then return tostring(value) end
  if type(value) == "table" then
    local message = rawget(value, "message")
    if type(message) == "string" then return message end
  end
  return "error value of type " .. type(value) .. " (" .. (contents(value) or tostring(value)) .. ")"
end

--- Converts any error value to text: a string stays as it is; a table gives its __tostring, its `message` or its JSON;
-- other values are described. Never raises, whatever metamethods the value has.
-- @treturn string
function M.text(value)
  if type(value) == "string" then return value end
  if type(value) == "nil" then return "error value nil" end -- "== nil" would call the __eq of a cdata
  local ok, text = pcall(describe, value)
  if ok and type(text) == "string" then return text end
  local message = type(value) == "table" and rawget(value, "message")
  if type(message) == "string" then return message end
  return "error value of type " .. type(value) .. ", whose __tostring fails"
end

-- Where this module's files come from: "@lua/skein/", embedded or not.
local HERE = getinfo(1, "S").source:match("^(@.*)errors%.lua$")

--- Finds the line that called Skein: the innermost running Lua function outside this module.
-- @treturn string "file:line", or "" if it is unknown (a tail call leaves no trace)
function M.caller()
  local level = 2
  while true do
    local info = getinfo(level, "Sl")
    if not info then return "" end
    local ours = HERE and info.source:sub(1, #HERE) == HERE
    if info.what ~= "C" and not ours and info.currentline > 0 then return info.short_src .. ":" .. info.currentline end
    level = level + 1
  end
end

--- Raises an error for a wrong call at the line that called Skein, whatever the call depth inside Skein.
-- @tparam string message
-- @raise always
function M.misuse(message)
  local at = M.caller()
  error(at == "" and message or at .. ": " .. message, 0)
end

return M
