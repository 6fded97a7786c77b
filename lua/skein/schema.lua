--- Checks tables of options against a schema; an unknown key is an error that suggests the nearest known one.
-- A schema is a table: key -> function(value) returning nil when fine, else what was expected.
-- @module skein.schema
local M = {}

-- Levenshtein's distance, by rows.
local function distance(a, b)
  local row = {}
  for j = 0, #b do row[j] = j end
  for i = 1, #a do
    local left, diagonal = i, row[0]
    row[0] = i
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      local value = math.min(left + 1, row[j] + 1, diagonal + cost)
      diagonal, row[j], left = row[j], value, value
    end
  end
  return row[#b]
end

--- The key of `known` nearest to `name`, nil when none is near.
function M.nearest(name, known)
  local best, best_distance
  for key in pairs(known) do
    if type(key) == "string" then
      local d = distance(name, key)
      if not best or d < best_distance or (d == best_distance and key < best) then best, best_distance = key, d end
    end
  end
  if best and best_distance <= math.max(2, math.floor(#name / 3)) then return best end
end

local function show(value)
  if type(value) == "string" then return ("%q"):format(value) end
  return tostring(value)
end

--- Checks `options`; returns nil when fine, else a sentence that begins with `what`.
function M.check(what, options, schema)
  if type(options) ~= "table" then return ("%s: a table of options is expected, not %s"):format(what, type(options)) end
  local keys = {}
  for key in pairs(options) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for _, key in ipairs(keys) do
    local check = schema[key]
    if not check then
      local near = type(key) == "string" and M.nearest(key, schema)
      return ("%s: unknown option %s%s"):format(what, show(key), near and (' (did you mean "%s"?)'):format(near) or "")
    end
    local expected = check(options[key])
    if expected then return ("%s: option %s is %s, expected %s"):format(what, key, show(options[key]), expected) end
  end
end

--- Makers of checks ---------------------------------------------------------------------------------------------------

local SECONDS_MAX = 3153600000

function M.seconds(value)
  if type(value) ~= "number" or value ~= value or value < 0 or value > SECONDS_MAX then return "a number of seconds, 0 or more" end
end

function M.positive_seconds(value)
  if type(value) ~= "number" or value ~= value or value <= 0 or value > SECONDS_MAX then return "a number of seconds, more than 0" end
end

function M.integer(min, max)
  return function(value)
    if type(value) ~= "number" or value ~= math.floor(value) or value < min or value > max then
      return ("a whole number from %d to %d"):format(min, max)
    end
  end
end

function M.boolean(value)
  if type(value) ~= "boolean" then return "true or false" end
end

function M.callable(value)
  local meta = getmetatable(value)
  if type(value) ~= "function" and not (type(meta) == "table" and meta.__call) then return "a function" end
end

function M.table(value)
  if type(value) ~= "table" then return "a table" end
end

function M.name(core)
  return function(value)
    if type(value) ~= "string" or not core.name_check("name", value) then
      return "a name of 1 to 200 bytes of [A-Za-z0-9_.:-]"
    end
  end
end

return M
