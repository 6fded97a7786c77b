--- The tasks and queues known to this process: the declarations of its own scripts, then those that engines have
-- stored.
-- @module skein.catalog
local core = require "skein.core"
local client = require "skein.client"
local constraints = require "skein.constraints"
local queues = require "skein.queues"
local tasks = require "skein.tasks"

local M = {}

local FRESH_S = 5
local ASK_AGAIN_S = 1
local UNKNOWN = { queue = "default", priority = 0 }

-- Cache of the store's declarations: name -> task, name -> queue, the time of the request, and its connection.
local known, known_queues, known_at, known_through = {}, {}, -math.huge, nil
local known_moves -- the number of times the store had gone back in time at that request

-- Adds to the new declarations those known before the store went back in time (for example after a failover). They stay
-- valid until the next request, since the engines must first declare them again.
local function join(before, now)
  for name, one in pairs(before) do now[name] = now[name] or one end
  return now
end

-- Serial number of the enqueue whose request failed (nil: none); time of the last request.
local failed_in, failed_at

local function load()
  local answer, err = client.call(core.OP.TASKS, "")
  failed_in, failed_at = not answer and client.enqueue_serial() or nil, core.now()
  if not answer then return nil, err end
  local tasks_before, queues_before, same = known, known_queues, known_through == client.connection
  known, known_queues, known_at, known_through = {}, {}, core.now(), client.connection
  local n, offset = core.unpack("i", answer)
  for _ = 1, n do
    local task, name = {}
    name, task.queue, task.priority, task.template, offset = core.unpack("ssis", answer, offset)
    known[name] = task
  end
  n, offset = core.unpack("i", answer, offset)
  for _ = 1, n do
    local queue
    queue, offset = queues.unpack(answer, offset)
    known_queues[queue.name] = queue
  end
  local moves = #answer - offset >= 3 and core.unpack("i", answer, offset) or 0
  if same and known_moves and moves ~= known_moves then
    join(tasks_before, known)
    join(queues_before, known_queues)
  end
  known_moves = moves
  return true
end

local function refresh()
  if known_through ~= client.connection then known, known_queues = {}, {} end
  local age = core.now() - known_at -- below 0: the clock was set back
  -- The same enqueue has just asked and failed.
  if failed_in == client.enqueue_serial() and math.abs(core.now() - failed_at) < ASK_AGAIN_S then return end
  if known_through ~= client.connection or age > FRESH_S or age < 0 then load() end
end

--- Reads the declarations of engines from the store now.
-- @return true, or nil and an error; the cache is kept after an error
-- @yields in a job
M.refresh = load

--- The names of the tasks that engines had declared when the store was asked last.
-- @treturn table name -> anything
function M.names() return known end

-- Decodes the task's template on first use.
local function read_template(task)
  local record = core.job(task.template) or {}
  task.template = nil
  task.lock, task.limit = constraints.read_lock(record.unique), constraints.read_limit(record.limit)
  local meta = record.meta and core.decode(record.meta)
  task.pass = meta and meta[tasks.PASS]
end

--- Finds a task by name. Asks the store if no script of this process declares it.
-- @tparam string name
-- @treturn table { queue, priority, lock, limit, pass }, the last three nil where it has none
-- @yields in a job
function M.task(name)
  local task = tasks.by_name[name]
  if task then return task end
  refresh()
  task = known[name]
  if not task then return UNKNOWN end
  if task.template then read_template(task) end
  return task
end

--- Whether a script of this process or an engine declares the task.
-- @tparam string name
-- @treturn boolean
-- @yields in a job
function M.knows(name) return M.task(name) ~= UNKNOWN end

--- Finds a queue with settings by name.
-- @tparam string name
-- @treturn[opt] table { name, max_len, overflow, block_ms, ... }
-- @yields in a job
function M.queue(name)
  local queue = queues.by_name[name]
  if queue then return queue end
  refresh()
  return known_queues[name]
end

return M
