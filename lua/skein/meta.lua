--- Joins the meta of a job that is about to be enqueued with the meta that the enqueuing job passes along.
-- @module skein.meta
local core = require "skein.core"
local signatures = require "skein.signature"
local tasks = require "skein.tasks"
local ipairs, next, pairs, type = ipairs, next, pairs, type

local M = {}

-- Adds the names in `more` to `list`, each at most once.
local function join(list, more)
  for _, name in ipairs(more or {}) do
    local there = false
    for _, other in ipairs(list) do there = there or other == name end
    if not there then list[#list + 1] = name end
  end
end

--- Joins a job's own meta with the inherited meta. Its own values win.
-- @tparam table signature
-- @tparam table task as from skein.catalog
-- @tparam[opt] table passed the inherited meta: { values = key -> value, pass = list of keys }
-- @treturn[opt] table the meta; nil if the job has none
-- @treturn[opt] table the list of keys that the job passes along itself; nil if there are none
function M.merge(signature, task, passed)
  local own = signature.meta
  if not passed and (own == nil or next(own) == nil) then return nil, nil end
  local meta, pass = {}, {}
  for key, value in pairs(passed and passed.values or {}) do meta[key] = value end
  for key, value in pairs(own or {}) do meta[key] = value end
  join(pass, signature.pass_meta)
  join(pass, task.pass)
  join(pass, passed and passed.pass)
  return meta, pass[1] and pass or nil
end

--- Selects the part of a job's meta that the job passes along. Other clients may have written meta and pass, so both
-- may have any type.
-- @param meta
-- @param pass the list of keys to pass along
-- @treturn[opt] table { values = key -> value, pass = list of keys }; nil if the job passes nothing along
function M.passed(meta, pass)
  if type(meta) ~= "table" or type(pass) ~= "table" then return nil end
  local values, any = {}, false
  for _, key in ipairs(pass) do
    if meta[key] ~= nil then values[key], any = meta[key], true end
  end
  return any and { values = values, pass = pass } or nil
end

--- Encodes a job's meta.
-- @tparam table signature
-- @tparam table task as from skein.catalog
-- @tparam[opt] table passed as for merge
-- @treturn[opt] string the JSON; nil if the job has no meta
-- @treturn[opt] table the meta that the job's callbacks inherit, as from `passed`; nil if they inherit none
-- @treturn[opt] string the message of a mistake; the other results are nil then
function M.text(signature, task, passed)
  local meta, pass = M.merge(signature, task, passed)
  if not meta then return nil, nil end
  local text, problem = core.encode(pass and signatures.with(meta, tasks.PASS, pass) or meta, "meta")
  if not text then return nil, nil, problem end
  return text, M.passed(meta, pass)
end

return M
