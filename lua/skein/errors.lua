--- Errors as values: tables with `.code`, `.message` and what else is known, that print well.
-- @module skein.errors
local M = {}

local Error = {}
Error.__index = Error
Error.__tostring = function(e) return e.message end
Error.__concat = function(a, b) return tostring(a) .. tostring(b) end

--- Makes an error value.
-- @tparam string code a short name for programs: "invalid", "timeout", "not_found", "unavailable", ...
-- @tparam string message a sentence for people
-- @tparam[opt] table more further fields
-- @treturn table
function M.new(code, message, more)
  local e = more or {}
  e.code, e.message = code, message
  return setmetatable(e, Error)
end

--- True for a value that M.new made.
function M.is(value)
  return type(value) == "table" and getmetatable(value) == Error
end

-- The ways to end an attempt on purpose are raised as tables of this kind; worker.lua tells them from errors.
local Verdict = { __tostring = function(v) return v.message end }

--- Makes a value that ends an attempt when raised.
-- @tparam string verdict "retry", "fail", "discard", "snooze"
-- @tparam[opt] number delay seconds
-- @tparam[opt] string reason
function M.verdict(verdict, delay, reason)
  return setmetatable({ verdict = verdict, delay = delay, message = reason or verdict }, Verdict)
end

function M.is_verdict(value)
  return type(value) == "table" and getmetatable(value) == Verdict
end

--- Any error value as text: a string as it is, a table through its __tostring or .message, nil and others described.
-- Never raises.
function M.text(value)
  if type(value) == "string" then return value end
  if value == nil then return "error(nil): the handler raised nil" end
  local meta = getmetatable(value)
  if type(meta) == "table" and meta.__tostring then
    local ok, text = pcall(tostring, value)
    if ok and type(text) == "string" then return text end
  end
  if type(value) == "table" and type(rawget(value, "message")) == "string" then return value.message end
  return "error value of type " .. type(value) .. " (" .. tostring(value) .. ")"
end

return M
