--- Converts the option `backoff` to the text that jobs and templates store (core/logic/backoff.h).
-- @module skein.backoff
-- @usage
-- backoff.text("linear")                                   --> linear
-- backoff.text({ "constant", base = 2, jitter = 0.1 })     --> constant;base=2;jitter=0.1
-- backoff.text({ 1, 5, 30, max = 20 })                     --> list;1;5;30;max=20
local core = require "skein.core"
local M = {}

local KINDS = { exponential = true, fibonacci = true, linear = true, constant = true }
local NUMBERS = { "base", "max", "jitter" }
local IS_NUMBER = { base = true, max = true, jitter = true }

-- A number with at most six decimals and without zeros at its end.
local function number_text(n)
  return (("%.6f"):format(n):gsub("0+$", ""):gsub("%.$", ""))
end

-- The text for a table; nil if its fields are wrong.
local function from_table(backoff)
  local parts = { KINDS[backoff[1]] and backoff[1] or "list" }
  local listed = parts[1] == "list" and #backoff or 1
  if parts[1] == "list" then
    if listed == 0 then return nil end
    for i = 1, listed do
      if type(backoff[i]) ~= "number" then return nil end
      parts[i + 1] = number_text(backoff[i])
    end
  end
  for _, key in ipairs(NUMBERS) do
    local value = backoff[key]
    if value ~= nil and type(value) ~= "number" then return nil end
    if value then parts[#parts + 1] = key .. "=" .. number_text(value) end
  end
  for key in pairs(backoff) do
    local in_list = type(key) == "number" and key >= 1 and key <= listed and key % 1 == 0
    if not in_list and not IS_NUMBER[key] then return nil end
  end
  return table.concat(parts, ";")
end

--- The end of a message about a wrong value.
M.expected = '"exponential", "fibonacci", "linear", "constant", a list of seconds, '
  .. '{ kind, base =, max =, jitter = } or a function(attempt, err)'

--- Converts a value of the option.
-- @tparam string|table|function backoff times in it are seconds
-- @treturn[1] string the text; "" for a function, since the worker calls the function itself
-- @return[2] nil
-- @treturn[2] string a description of the good values
function M.text(backoff)
  if type(backoff) == "function" then return "" end
  local text
  if type(backoff) == "string" and KINDS[backoff] then text = backoff end
  if type(backoff) == "table" then text = from_table(backoff) end
  if not text then return nil, M.expected end
  local ok, err = core.backoff_check(text)
  if not ok then return nil, M.expected .. " (" .. err .. ")" end
  return text
end

return M
