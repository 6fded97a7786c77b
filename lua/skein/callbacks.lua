--- The callbacks of a job that is about to be enqueued (on_success, on_error), as its record stores them
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
local DEPTH_MAX = 16 -- callbacks of callbacks: the building recurses

-- One signature as a list of one; a list as it is.
local function list_of(value)
  if type(value) == "table" and value.task == nil and (value[1] ~= nil or next(value) == nil) then return value end
  return { value }
end

-- Adds one callback to `parts`; nil, or what is wrong with it.
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

-- A problem inside of `path`, with its own path joined to that: "on_success[1].args[2]: a function ...".
local function below(path, problem)
  problem = problem:gsub("^job: ", "")
  return path .. (problem:find("^[%w_]+%[%d+%][.%w_%[%]]*: ") and "." or ": ") .. problem
end

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

--- Fills a record's on_success and on_error from its signature.
-- @tparam table record
-- @tparam table signature
-- @tparam[opt] table passed what the callbacks inherit of the job's meta
-- @tparam number depth of the callbacks: 1 for those of a job
-- @tparam table build { item = , copy = } of skein.build, which builds a callback as any other job
-- @treturn[opt] string a sentence that says what is wrong; nil when nothing is
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
