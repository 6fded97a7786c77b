--- The forms of the `backoff` option, as the text that jobs and templates store (core/logic/backoff.h).
-- @module skein.backoff
local core = require "skein.core"
local M = {}

local KINDS = { exponential = true, fibonacci = true, linear = true, constant = true }
local NUMBERS = { "base", "max", "jitter" }

local function number_text(n)
  return (("%.6f"):format(n):gsub("0+$", ""):gsub("%.$", ""))
end

local function from_table(backoff)
  local parts = {}
  if KINDS[backoff[1]] then
    parts[1] = backoff[1]
    for _, key in ipairs(NUMBERS) do
      if backoff[key] ~= nil then
        if type(backoff[key]) ~= "number" then return nil end
        parts[#parts + 1] = key .. "=" .. number_text(backoff[key])
      end
    end
    for key in pairs(backoff) do
      if key ~= 1 and key ~= "base" and key ~= "max" and key ~= "jitter" then return nil end
    end
  else
    parts[1] = "list"
    for i = 1, #backoff do
      if type(backoff[i]) ~= "number" then return nil end
      parts[i + 1] = number_text(backoff[i])
    end
    if #backoff == 0 then return nil end
  end
  return table.concat(parts, ";")
end

M.expected = '"exponential", "fibonacci", "linear", "constant", a list of seconds, '
  .. '{ kind, base =, max =, jitter = } or a function(attempt, err)'

--- The text for a backoff option; "" for a function, which runs in the worker.
-- @return text, or nil and what was expected
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
