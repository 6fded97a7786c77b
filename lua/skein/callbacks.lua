--- Encodes the callbacks of a job (on_success, on_error) for its record, before the job is enqueued
-- (core/logic/callback.h).
-- @module skein.callbacks
local core = require "skein.core"
local client = require "skein.client"
local errors = require "skein.errors"
local middleware = require "skein.middleware"
local signatures = require "skein.signature"
local concat, ipairs, next, pairs, type = table.concat, ipairs, next, pairs, type

local M = {}

local CALLBACKS_MAX, CALLBACKS_BYTES_MAX = core.LIMITS.callbacks, core.LIMITS.callbacks_bytes
local DEPTH_MAX = 16 -- largest depth of callbacks inside callbacks; bounds the recursion

-- Returns a list as it is, and any other value as a list of one.
local function list_of(value)
  if type(value) == "table" and value.task == nil and (value[1] ~= nil or next(value) == nil) then return value end
  return { value }
end

-- Adds the text of one callback to `parts`. Returns the message of its mistake; nil if it has none.
local function add_callback(parts, signature, passed, depth, build)
  local problem
  local function add(changed, inherited)
    local item, id = build.item(changed, inherited, depth, 0)
    if not item then
      problem = id
      return nil, errors.new("invalid", problem)
    end
    parts[#parts + 1] = item -- callback.h stores a callback in the form of a request
    return client.handle(id)
  end
  if type(signature) == "string" then signature = { task = signature } end
  if not middleware.has_enqueue() then
    add(signature, passed)
    return problem
  end
  problem = signatures.problem(signature)
  if not problem then middleware.through(build.copy(signature, passed, 0), add) end
  return problem
end

-- Puts a path before a message, which may begin with a path itself: "on_success[1].args[2]: a function ...".
local function below(path, problem)
  problem = problem:gsub("^job: ", "")
  return path .. (problem:find("^[%w_]+%[%d+%][.%w_%[%]]*: ") and "." or ": ") .. problem
end

-- The text of all callbacks of one option; or nil and a message.
local function text_of(option, value, passed, depth, build)
  if depth > DEPTH_MAX then return nil, ("job: callbacks of callbacks, more than %d deep"):format(DEPTH_MAX) end
  local list, parts, count = list_of(value), {}, 0
  for _ in pairs(list) do count = count + 1 end
  if count ~= #list then return nil, ("job: option %s: a signature or a list of them is expected"):format(option) end
  if count > CALLBACKS_MAX then
    return nil, ("job: option %s has %d callbacks, the limit is %d"):format(option, count, CALLBACKS_MAX)
  end
  for i = 1, count do
    local problem = add_callback(parts, list[i], passed, depth, build)
    if problem then return nil, "job: " .. below(("%s[%d]"):format(option, i), problem) end
  end
  local bytes = concat(parts)
  if #bytes <= CALLBACKS_BYTES_MAX then return bytes end
  return nil, ("job: option %s comes to %d bytes, the limit is %d"):format(option, #bytes, CALLBACKS_BYTES_MAX)
end

--- Sets the fields on_success and on_error of a record from its signature.
-- @tparam table record
-- @tparam table signature
-- @tparam[opt] table passed the meta that callbacks inherit from the job, as from meta.passed
-- @tparam number depth 1 for the callbacks of a job, 2 for their callbacks, ...
-- @tparam table build the functions `item` and `copy` of skein.build
-- @treturn[opt] string the message of the first mistake; nil if there is none
-- @raise the errors of enqueue middleware
-- @yields in a job
function M.fill(record, signature, passed, depth, build)
  for _, option in ipairs { "on_success", "on_error" } do
    if signature[option] then
      local problem
      record[option], problem = text_of(option, signature[option], passed, depth, build)
      if problem then return problem end
    end
  end
end

return M
