--- The registry of queue settings that scripts declare (skein.queue): length, overflow, concurrency and rate.
-- @module skein.queues
local core = require "skein.core"
local errors = require "skein.errors"
local schema = require "skein.schema"
local tasks = require "skein.tasks"

local M = {
  by_name = {}, -- name -> { name, max_len, overflow, block_ms, concurrency, rate, per_ms, burst, where }
  list = {},    -- in the order of declaration
}

local LIMITS, OVERFLOW = core.LIMITS, core.OVERFLOW
local BLOCK_DEFAULT_MS = 30000

local function limit_check()
  local fields = schema.fields({
    concurrency = schema.integer(1, LIMITS.concurrency), rate = schema.integer(1, LIMITS.rate),
    per = schema.positive_seconds, burst = schema.integer(1, LIMITS.rate),
  }, "a table { concurrency =, rate =, per =, burst = }")
  return function(value, path)
    local wrong, problem = fields(value, path)
    if wrong or problem then return wrong, problem end
    if not value.rate and (value.per or value.burst) then
      return nil, ("option %s.%s needs %s.rate"):format(path, value.per and "per" or "burst", path)
    end
    if not value.rate and not value.concurrency then
      return nil, ("option %s: a concurrency or a rate is expected in it"):format(path)
    end
  end
end

local OPTIONS = {
  max_len = schema.integer(1, LIMITS.queue_len),
  overflow = schema.one_of { reject = true, drop_oldest = true, block = true },
  block = schema.positive_seconds,
  limit = limit_check(),
}

-- Checks a declaration. Returns the message of its mistake; nil if it has none.
local function problem_of(name, options)
  if type(name) ~= "string" then return "skein.queue: the name must be a string, not " .. type(name) end
  local ok, err = core.name_check("queue", name)
  if not ok then return err end
  local what = ('skein.queue "%s"'):format(name)
  if tasks.closed then return what .. ": queues are declared while scripts load, not later: " .. tasks.closed end
  local problem = schema.check(what, options, OPTIONS)
  if problem then return problem end
  if not options.max_len and (options.overflow or options.block) then
    return ("%s: option %s needs max_len"):format(what, options.overflow and "overflow" or "block")
  end
  if options.block and options.overflow ~= "block" then return what .. ': option block needs overflow = "block"' end
  local other = M.by_name[name]
  if other then return ("%s is declared already, at %s"):format(what, other.where) end
end

--- Declares a queue; see skein.queue.
-- @tparam string name 1 to 200 bytes of [A-Za-z0-9_.:-]
-- @tparam[opt] table options { max_len = jobs, overflow = "reject" | "drop_oldest" | "block", block = seconds,
-- limit = { concurrency =, rate =, per = seconds, burst = } }
-- @raise at the caller's line: a bad name, an unknown or wrong option, a name that is taken, after the scripts have
-- loaded
-- @usage queues.declare("mail", { max_len = 1000, overflow = "block", block = 5 })
function M.declare(name, options)
  options = options == nil and {} or options
  local problem = problem_of(name, options)
  if problem then errors.misuse(problem) end
  local limit = options.limit or {}
  local queue = {
    name = name, max_len = options.max_len or 0, overflow = options.overflow or "reject",
    block_ms = options.overflow == "block" and (options.block and tasks.ms(options.block) or BLOCK_DEFAULT_MS) or 0,
    concurrency = limit.concurrency or 0, rate = limit.rate or 0,
    per_ms = limit.rate and tasks.ms(limit.per or 1) or 0, burst = limit.rate and (limit.burst or 1) or 0,
    where = errors.caller(),
  }
  M.by_name[name] = queue
  M.list[#M.list + 1] = queue
end

--- Lists the settings of all queues in the form that the core takes (core/lua/runtime.c, setup).
-- @treturn table a list of tables as in `list`, in which overflow is a number of core.OVERFLOW
function M.for_core()
  local list = {}
  for i, queue in ipairs(M.list) do
    list[i] = {}
    for key, value in pairs(queue) do list[i][key] = value end
    list[i].overflow = OVERFLOW[queue.overflow]
  end
  return list
end

local FORMAT = "slblllll" -- of one queue in the answer to a TASKS request

--- Reads the settings of one queue from the answer to a TASKS request (core/engine/request.h).
-- @tparam string answer
-- @tparam number offset
-- @treturn table the settings, as in `list` but without `where`
-- @treturn number the offset after them
function M.unpack(answer, offset)
  local overflow
  local q = {}
  q.name, q.max_len, overflow, q.block_ms, q.concurrency, q.rate, q.per_ms, q.burst, offset =
    core.unpack(FORMAT, answer, offset)
  q.overflow = OVERFLOW[overflow] or "reject"
  return q, offset
end

return M
