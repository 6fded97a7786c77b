--- Checks and copies signatures. A signature is a table that describes a job to enqueue, or only the task's name.
-- @module skein.signature
local core = require "skein.core"
local schema = require "skein.schema"
local tasks = require "skein.tasks"
local maxn, type = table.maxn, type

local M = {}

local ARGS_MAX, ID_BYTES_MAX = core.LIMITS.args, core.LIMITS.id_bytes

--- The number of args in a list. Holes count, as nulls. The field `n`, if set, is the number, so that
-- nils at the end count too.
-- @tparam table args
-- @treturn number
-- @usage signature.count_args({ n = 3, "a" })  --> 3
function M.count_args(args) return args.n or maxn(args) end

local count_args = M.count_args

local function list_of_args(value)
  if type(value) ~= "table" then return "a list of args" end
  for key in pairs(value) do
    if key ~= "n" and not (type(key) == "number" and key >= 1 and key % 1 == 0) then
      return ("a list of args (it has the key %s)"):format(schema.show(key))
    end
  end
  local n = count_args(value)
  if type(n) ~= "number" or n < maxn(value) or n % 1 ~= 0 then return "a list of args whose n is their number" end
  if n > ARGS_MAX then return ("at most %d args, not %.0f"):format(ARGS_MAX, n) end
end

local function meta_table(value)
  if type(value) ~= "table" then return "a table" end
  if value[tasks.PASS] ~= nil then return ('a table without the key "%s", which is Skein\'s own'):format(tasks.PASS) end
end

local function callbacks(value)
  if type(value) == "string" or (type(value) == "table" and schema.callable(value)) then return nil end
  return "a signature, a task's name, or a list of them (a function belongs to skein.task)"
end

local function job_id(value)
  if type(value) == "string" and #value > 0 and #value <= ID_BYTES_MAX and not value:find("[^%w_.:-]") then
    return nil
  end
  return ("1 to %d bytes of [A-Za-z0-9_.:-]"):format(ID_BYTES_MAX)
end

local SIGNATURE = {
  task = schema.name(),
  args = list_of_args,
  delay = schema.seconds,
  at = schema.moment,
  meta = meta_table,
  block = schema.seconds,
  immutable = schema.boolean,
  on_success = callbacks,
  on_error = callbacks,
  id = job_id,
}
for key, check in pairs(tasks.job_options) do SIGNATURE[key] = check end

--- Checks one signature by itself; the task need not be known.
-- @param value
-- @treturn[opt] string the message of the first mistake; nil if there is none
-- @usage signature.problem { task = "add", dealy = 5 }  --> job: unknown option "dealy" (did you mean "delay"?)
function M.problem(value)
  if type(value) ~= "table" then
    return "job: a task's name or a signature (a table) is expected, not " .. type(value)
  end
  local problem = schema.check("job", value, SIGNATURE)
  if problem then return problem end
  if not value.task then return "job: the task's name is missing" end
  if type(value.backoff) == "function" then return "job: a function as backoff belongs to skein.task" end
  if value.at and value.delay then return "job: the options at and delay exclude each other" end
end

--- Copies a signature and sets one option in the copy. The original stays unchanged, since callers may use it again.
-- @param value a signature or a task's name; any other value is returned as it is
-- @tparam string key the option's name
-- @param option the option's value
-- @treturn table
-- @usage signature.with("add", "delay", 5)  --> { task = "add", delay = 5 }
function M.with(value, key, option)
  if type(value) == "string" then value = { task = value } end
  if type(value) ~= "table" then return value end
  local copy = {}
  for k, v in pairs(value) do copy[k] = v end
  copy[key] = option
  return copy
end

return M
