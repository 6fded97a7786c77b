--- Checks tables of options against a schema. The message for an unknown key suggests the nearest known key.
--
-- A schema is a table key -> check. A check is a function(value, path): it returns nil for a good value, or a text that
-- names the expected value, or nil and a complete message that names the option by its path.
-- @module skein.schema
-- @usage
-- local SCHEMA = { retries = schema.integer(0, 10) }
-- schema.check("skein.task", { retires = 3 }, SCHEMA)
-- --> skein.task: unknown option "retires" (did you mean "retries"?)
local core = require "skein.core"
local getmetatable, pairs, ipairs, pcall, rawget, tostring, type = getmetatable, pairs, ipairs, pcall, rawget,
  tostring, type
local floor, sort = math.floor, table.sort
local M = {}

local SHOWN_BYTES_MAX = 80   -- longest text of a value in a message
local GOOD_NAMES_MAX = 1000  -- number of good names that one check remembers

--- Finds the key of `known` that is nearest to `name`; nil if none is similar.
-- @tparam string name
-- @tparam table known its string keys are the candidates (core/logic/nearest.h)
-- @treturn[opt] string of several that are equally near, the first by name
function M.nearest(name, known)
  local names = {}
  for key in pairs(known) do
    if type(key) == "string" then names[#names + 1] = key end
  end
  sort(names) -- the first of several that are equally near is chosen
  return core.nearest(name, names)
end

--- Makes the message for a missing field; it suggests the nearest field.
-- @tparam string what the table's name: "skein"
-- @tparam string name
-- @tparam table known
-- @treturn string
function M.unknown_field(what, name, known)
  local near = M.nearest(name, known)
  return ("%s has no %s%s"):format(what, M.show(name), near and (' (did you mean "%s"?)'):format(near) or "")
end

--- Formats a value for a message: strings are quoted, long texts are cut, and the result is one line. Never raises.
-- @param value
-- @treturn string
function M.show(value)
  local ok, text = pcall(tostring, value)
  if not ok or type(text) ~= "string" then return "a " .. type(value) end
  text = text:gsub("%c", "?")
  if #text > SHOWN_BYTES_MAX then text = text:sub(1, SHOWN_BYTES_MAX) .. "..." end
  return type(value) == "string" and '"' .. text .. '"' or text
end

-- Whether all options are known and good. Allocates nothing, unlike problem_in.
local function all_fine(options, schema)
  for key, value in pairs(options) do
    local check = schema[key]
    if not check then return false end
    local expected, problem = check(value, key)
    if expected or problem then return false end
  end
  return true
end

-- The message for the first bad option, in the order of names; `path` precedes the names.
local function problem_in(options, schema, path)
  local keys = {}
  for key in pairs(options) do keys[#keys + 1] = key end
  sort(keys, function(a, b) return M.show(a) < M.show(b) end)
  for _, key in ipairs(keys) do
    local check = schema[key]
    if not check then
      local near = type(key) == "string" and M.nearest(key, schema)
      local shown = path == "" and M.show(key) or type(key) == "string" and M.show(path .. key) or path .. M.show(key)
      return ("unknown option %s%s"):format(shown, near and (' (did you mean "%s%s"?)'):format(path, near) or "")
    end
    local expected, problem = check(options[key], path .. key)
    if expected then return ("option %s%s is %s, expected %s"):format(path, key, M.show(options[key]), expected) end
    if problem then return problem end
  end
end

--- Checks options against a schema.
-- @tparam string what the beginning of the message, such as "skein.task"
-- @param options
-- @tparam table schema
-- @treturn[opt] string nil if all are good, else a message with the key, the value and the expected value
function M.check(what, options, schema)
  if type(options) ~= "table" then return ("%s: a table of options is expected, not %s"):format(what, type(options)) end
  if all_fine(options, schema) then return nil end
  return what .. ": " .. problem_in(options, schema, "")
end

--- Makers of checks -------------------------------------------------------------------------------------------------

local SECONDS_MAX = core.LIMITS.seconds -- 100 years

--- A check: seconds from 0 to 100 years, fractions allowed.
function M.seconds(value)
  if type(value) ~= "number" or value ~= value or value < 0 then return "a number of seconds, 0 or more" end
  if value > SECONDS_MAX then return ("at most %.0f seconds (100 years)"):format(SECONDS_MAX) end
end

--- A check: seconds above 0, up to 100 years, fractions allowed.
function M.positive_seconds(value)
  if type(value) ~= "number" or value ~= value or value <= 0 then return "a number of seconds, more than 0" end
  return M.seconds(value)
end

--- A check: a time in seconds since 1970, up to the year 2169.
function M.moment(value)
  if type(value) ~= "number" or value ~= value or value < 0 then return "a time in seconds since 1970" end
  if value > 2 * SECONDS_MAX then
    return ("a time in seconds since 1970, at most %.0f (in the year 2169)"):format(2 * SECONDS_MAX)
  end
end

--- Makes a check: a whole number from `from` to `to`.
-- @tparam number from
-- @tparam number to
-- @treturn function
function M.integer(from, to)
  return function(value)
    if type(value) ~= "number" or value ~= floor(value) or value < from or value > to then
      return ("a whole number from %d to %d"):format(from, to)
    end
  end
end

--- A check: true or false.
function M.boolean(value)
  if type(value) ~= "boolean" then return "true or false" end
end

--- A check: a function, or a value whose metatable has __call.
function M.callable(value)
  if type(value) == "function" then return nil end
  local meta = getmetatable(value)
  if type(meta) ~= "table" or not rawget(meta, "__call") then return "a function" end
end

--- A check: any table.
function M.table(value)
  if type(value) ~= "table" then return "a table" end
end

--- Makes a check: a table of options with a schema of its own. Messages name an option inside by its path
-- ("limit.rate").
-- @tparam table schema
-- @tparam string expected description of the good values
-- @treturn function
function M.fields(schema, expected)
  return function(value, path)
    if type(value) ~= "table" then return expected end
    if not all_fine(value, schema) then return nil, problem_in(value, schema, path .. ".") end
  end
end

local NAME_EXPECTED = ("1 to %d bytes of [A-Za-z0-9_.:-]"):format(core.LIMITS.name_bytes)

--- Makes a check: one name of a task or queue, or a list of names.
-- @treturn function
function M.names()
  local name = M.name()
  local expected = "a name, or a list of names, of " .. NAME_EXPECTED
  return function(value)
    if type(value) == "string" then return name(value) and expected end
    if type(value) ~= "table" then return expected end
    local count = 0
    for _ in pairs(value) do count = count + 1 end
    if count == 0 or count ~= #value then return expected end
    for _, one in ipairs(value) do
      if name(one) then return expected end
    end
  end
end

--- Makes a check: one of a set of words.
-- @tparam table words word -> true
-- @treturn function
function M.one_of(words)
  local list = {}
  for word in pairs(words) do list[#list + 1] = '"' .. word .. '"' end
  sort(list)
  local expected = table.concat(list, ", ")
  return function(value)
    if type(value) ~= "string" or not words[value] then return expected end
  end
end

--- Makes a check: a name of a task or queue.
-- @treturn function
function M.name()
  local good, good_n = {}, 0 -- cache, since programs use few names many times
  return function(value)
    if good[value] then return nil end
    if type(value) ~= "string" or not core.name_check("name", value) then
      return "a name of " .. NAME_EXPECTED
    end
    if good_n == GOOD_NAMES_MAX then good, good_n = {}, 0 end
    good[value], good_n = true, good_n + 1
  end
end

return M
