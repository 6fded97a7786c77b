--- The meta of a job that is about to be enqueued: its own, and what it inherits from the job that enqueues it.
-- @module skein.meta
local core = require "skein.core"
local signatures = require "skein.signature"
local tasks = require "skein.tasks"
local ipairs, next, pairs, type = ipairs, next, pairs, type

local M = {}

-- Adds to `list` the names of `more` that it does not have yet.
local function join(list, more)
  for _, name in ipairs(more or {}) do
    local there = false
    for _, other in ipairs(list) do there = there or other == name end
    if not there then list[#list + 1] = name end
  end
end

--- Joins a job's own meta with what it inherits; its own values win.
-- @tparam table signature
-- @tparam table task as from skein.catalog
-- @tparam[opt] table passed what the enqueuing job passes along: { values =, pass = }
-- @return the meta, and the list of its keys that the job passes along itself (nil: none); nil when there is no meta
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

--- Reads from a job's meta what the job passes along.
-- @tparam[opt] table meta
-- @tparam[opt] table pass keys of it; both may be anything, since other clients may have written them
-- @treturn[opt] table { values =, pass = }; nil when it passes nothing
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
-- @return the JSON (nil: the job has no meta), what the job's callbacks inherit (nil: nothing), and nil; or nil, nil
-- and what is wrong
function M.text(signature, task, passed)
  local meta, pass = M.merge(signature, task, passed)
  if not meta then return nil, nil end
  local text, problem = core.encode(pass and signatures.with(meta, tasks.PASS, pass) or meta, "meta")
  if not text then return nil, nil, problem end
  return text, M.passed(meta, pass)
end

return M
