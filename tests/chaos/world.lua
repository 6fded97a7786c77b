-- world.lua - the processes of a chaos run (engines, clients and a Redis), and the faults that befall them.
--
-- Every process is a child of the driver and is signalled by its own pid.  Every life and every fault is written down
-- with its time, so that the check can tell which of them explains a repeat.
local uv = require "luv"
local files = require "tests.support.files"
local left_over = require "tests.support.left_over"
local process = require "tests.support.process"
local redis = require "tests.support.redis"
local wait = require "tests.support.wait"

local World = {}
World.__index = World

local function now()
  local s, us = uv.gettimeofday()
  return s + us / 1e6
end
World.now = now

-- -- one child, its output in a file ---------------------------------------------------------------------------------

local function spawn(self, program, args, env, log_path)
  local fd = assert(uv.fs_open(log_path, "a", 420))
  local child = { args = args, log = log_path, began = now() }
  local list = {}
  for name, value in pairs(env) do list[#list + 1] = name .. "=" .. value end
  local handle, pid = uv.spawn(program, { args = args, env = list, cwd = self.dir, stdio = { nil, fd, fd } },
    function(code, signal)
    child.code, child.signal, child.ended = code, signal, now()
    child.handle:close()
  end)
  uv.fs_close(fd)
  child.handle, child.pid = assert(handle, pid), pid
  return child
end

local function ended(child) return child == nil or child.code ~= nil end

local function environment(self)
  local env = uv.os_environ()
  for _, name in ipairs { "REDIS_URL", "WORKERS", "QUEUES", "LUA_INIT" } do env[name] = nil end
  env.SKEIN_STORE, env.CHAOS_DIR = self.url, self.runs
  return env
end

-- -- the world -------------------------------------------------------------------------------------------------------

--- options: dir, store ("sqlite" or "redis"), skein (the binary), root (of the repository), seed, jobs, seconds, lease,
-- engines, clients, around: with the jobs of around.lua.
function World.new(options)
  local self = setmetatable({ lives = {}, faults = {}, outages = {}, windows = {}, steps = {}, unasked = {} }, World)
  for name, value in pairs(options) do self[name] = self[name] or value end
  self.engines_n, self.clients_n = options.engines, options.clients
  self.engines, self.clients = {}, {}
  self.runs, self.scripts = self.dir .. "/runs", self.dir .. "/scripts"
  files.make_dirs(self.runs)
  local scripts = { ["jobs.lua"] = "scripts/jobs.lua", ["lib/notes.lua"] = "scripts/lib/notes.lua" }
  if options.around then scripts["around.lua"], scripts["lib/numbers.lua"] = "scripts/around.lua", "around.lua" end
  for name, source in pairs(scripts) do
    files.write(self.scripts .. "/" .. name, assert(files.read(self.root .. "/tests/chaos/" .. source)))
  end
  files.write(self.scripts .. "/config.lua",
    ('return { lease = "%gs", workers = 2, concurrency = 50, shutdown_timeout = "1s" }\n'):format(self.lease))
  if self.store == "redis" then
    self.redis = redis.start {
      dir = self.dir .. "/redis", clock = self.skein:match "^(.*)/[^/]*$" .. "/tests/support/clock.so",
      config = { "appendonly yes", "appendfsync always", "maxmemory-policy noeviction" },
    }
    self.url = self.redis:url(0)
  else
    self.url = "sqlite:" .. self.dir .. "/jobs.db"
  end
  return self
end

function World:start_engine(k)
  local env = environment(self)
  self.engines_started = (self.engines_started or 0) + 1
  local log = ("%s/engine-%d-%d.log"):format(self.dir, k, self.engines_started)
  local child = spawn(self, self.skein, { "run", self.scripts }, env, log)
  child.faults = {}
  self.engines[k] = child
  self.lives[child.pid] = child
end

function World:start_client(k)
  local env = environment(self)
  local built = self.skein:match "^(.*)/[^/]*$"
  env.LUA_PATH = ("%s/?.lua;%s/lua/?.lua;%s/lua/?/init.lua;;"):format(self.root, self.root, self.root)
  env.LUA_CPATH = built .. "/lua/?.so;;"
  env.LD_PRELOAD = os.getenv "SKEIN_TEST_PRELOAD"
  local args = { self.root .. "/tests/chaos/client.lua", ("%d"):format(self.seed), tostring(k),
    tostring(self.clients_n),
                 ("%d"):format(self.jobs), tostring(self.seconds), self.around and "around" or nil }
  self.clients[k] = spawn(self, "luajit", args, env, ("%s/client-%d.log"):format(self.dir, k))
end

--- A command to its end: exit code, output.
function World:skein_says(...)
  local child = process.start(self.skein, { args = { ... }, env = environment(self), cwd = self.dir, name = "skein "
    .. (...) })
  local code = child:wait(30)
  return code, child.stdout, child.stderr
end

local STORE_UNREACHABLE = 69

-- An engine that finds no store at its start reports that and ends; a supervisor would start it again.
local function found_no_store(self, engine)
  if engine.code ~= STORE_UNREACHABLE then return false end
  for _, outage in ipairs(self.outages) do
    if outage.from <= engine.ended and outage.to >= engine.began then return true end
  end
  return false
end

--- An engine that ended without a fault is noted, and started again so that the run goes on.
function World:watch()
  for k, engine in pairs(self.engines) do
    if ended(engine) and not engine.may_end and found_no_store(self, engine) then
      if not self.store_away then self:start_engine(k) end
    elseif ended(engine) and not engine.may_end then
      self.unasked[#self.unasked + 1] = ("engine %d (pid %d) ended unasked: exit code %d, signal %d; see %s"):format(
        k, engine.pid, engine.code, engine.signal, engine.log)
      self:start_engine(k)
    end
  end
  for k, client in pairs(self.clients) do
    if ended(client) and not client.may_end and client.code ~= 0 then
      self.unasked[#self.unasked + 1] = ("client %d ended: exit code %d; see %s"):format(k, client.code, client.log)
      client.may_end = true
    end
  end
end

--- Waits until the engines have told the store of their tasks and queues, so that no client finds a queue without its
-- bound.
function World:wait_serving()
  return wait.poll(20, function()
    for _, engine in pairs(self.engines) do
      if not (files.read(engine.log) or ""):find("serving %d+ task") then return false end
    end
    return true
  end)
end

--- Cancels once more what its clients have cancelled, since the store may have forgotten it; false when that failed.
-- Only jobs that are to be cancelled are scheduled for so long.
function World:cancel_again()
  return self:skein_says("cancel", "--task", "cancelled", "--state", "scheduled") == 0
    and self:skein_says("cancel", "--task", "stopped") == 0
end

-- -- what is left in the store ---------------------------------------------------------------------------------------

--- What is in the store beside counters, registries and kept records: a list of texts.
function World:left_over()
  if self.redis then return left_over.redis(self.redis, 0) end
  return left_over.sqlite(self.dir .. "/jobs.db")
end

-- -- faults ----------------------------------------------------------------------------------------------------------
-- Each returns what ends it: a function to be called after `lasts`, again and again until it does not return false.
-- nil when its target is not in a state for it.

local function engine_down(self, k, signal)
  local engine = self.engines[k]
  if ended(engine) or engine.frozen or engine.may_end then return nil end
  engine.may_end = true
  engine.faults[#engine.faults + 1] = { what = signal == "sigkill" and "kill" or "stop", from = now(), to = math.huge }
  engine.handle:kill(signal)
  return function()
    if not ended(engine) then return false end
    self:start_engine(k)
  end
end

local function engine_freeze(self, k, with_workers)
  local engine = self.engines[k]
  if ended(engine) or engine.frozen or engine.may_end then return nil end
  local pids = { engine.pid }
  if with_workers then
    for _, pid in ipairs(process.children(engine.pid)) do pids[#pids + 1] = pid end
  end
  local fault = { what = "freeze", from = now(), to = math.huge }
  engine.frozen = true
  engine.faults[#engine.faults + 1] = fault
  for _, pid in ipairs(pids) do uv.kill(pid, "sigstop") end
  return function()
    fault.to = now()
    engine.frozen = false
    for i = #pids, 1, -1 do uv.kill(pids[i], "sigcont") end
  end
end

-- The store is away from begin to finish.
local function store_fault(self, begin, finish)
  if self.store_away then return nil end
  local outage = { from = now(), to = math.huge }
  self.store_away = true
  self.outages[#self.outages + 1] = outage
  begin(self.redis)
  return function()
    finish(self.redis)
    outage.to = now()
    self.store_away = false
  end
end

local function freeze_redis(self)
  return store_fault(self, self.redis.freeze, self.redis.thaw)
end

-- Keeps a copy of Redis's files, and lets it come back with them later.
local function rollback_redis(self)
  if self.store_away or self.rolling_back then return nil end
  local window = { from = now() }
  local copy = self.dir .. "/dump"
  self.rolling_back = true
  self.redis:freeze()
  self.redis:copy_data(copy)
  self.redis:thaw()
  return function()
    if self.store_away then return false end
    window.gone = now()
    store_fault(self, self.redis.kill, function()
      self.redis:restore_data(copy)
      self.redis:restart()
    end)()
    window.to = now()
    self.windows[#self.windows + 1] = window
    self.rolling_back = false
  end
end

local function nothing() end

local function flush_redis(self)
  if self.store_away or self.rolling_back then return nil end
  local window = { from = 0, gone = now() }
  assert(self.redis:call "FLUSHALL" == "OK")
  window.to = now()
  self.windows[#self.windows + 1] = window
  return nothing
end

local function step_clock(self, by)
  if self.redis.clock_offset_s ~= 0 then return nil end
  local step = { from = now(), to = math.huge, by = by }
  self.steps[#self.steps + 1] = step
  self.redis:set_clock(by)
  return function()
    self.redis:set_clock(0)
    step.to = now()
  end
end

-- Another process holds the lock that SQLite's writers need.
local function lock_database(self)
  local holder
  return store_fault(self, function()
    holder = process.start("sqlite3", {
      args = { "-interactive", self.dir .. "/jobs.db" }, env = uv.os_environ(), name = "sqlite3", stdin = true,
    })
    holder:write ".timeout 10000\nBEGIN IMMEDIATE;\n.print locked\n"
    wait.wait_for("SQLite's lock", 15, function() return holder.stdout:find "locked" end)
  end, function()
    holder:write "ROLLBACK;\n.quit\n"
    holder:wait(10)
  end)
end

local APPLY = {
  kill_engine = function(self, k) return engine_down(self, k, "sigkill") end,
  stop_engine = function(self, k) return engine_down(self, k, "sigterm") end,
  freeze_core = function(self, k) return engine_freeze(self, k, false) end,
  freeze_engine = function(self, k) return engine_freeze(self, k, true) end,
  blink_engine = function(self, k) return engine_freeze(self, k, true) end,
  kill_client = function(self, k)
    local client = self.clients[k]
    if ended(client) then return nil end
    client.may_end = true
    client.handle:kill "sigkill"
    return function()
      if not ended(client) then return false end
      self:start_client(k)
    end
  end,
  kill_redis = function(self) return store_fault(self, self.redis.kill, self.redis.restart) end,
  stop_redis = function(self) return store_fault(self, self.redis.stop, self.redis.restart) end,
  kill_redis_long = function(self) return store_fault(self, self.redis.kill, self.redis.restart) end,
  rollback_redis = rollback_redis,
  flush_redis = flush_redis,
  step_clock = function(self, _, fault) return step_clock(self, fault.by) end,
  lock_database = lock_database,
  lock_database_long = lock_database,
  freeze_redis = freeze_redis,
  freeze_redis_long = freeze_redis,
  cut_connections = function(self)
    if self.store_away then return nil end
    local outage = { from = now() }
    self.redis:call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    self.redis:call("CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes")
    outage.to = now()
    self.outages[#self.outages + 1] = outage
    return nothing
  end,
  flush_scripts = function(self)
    if self.store_away then return nil end
    self.redis:call("SCRIPT", "FLUSH")
    return nothing
  end,
}

--- Lets a fault of the plan happen; false when its target was not there for it.  Its end comes by itself (World:heal).
function World:strike(fault)
  local finish = APPLY[fault.what](self, fault.target, fault)
  self.faults[fault.what] = self.faults[fault.what] or { done = 0, passed_over = 0 }
  local count = self.faults[fault.what]
  if not finish then
    count.passed_over = count.passed_over + 1
    return false
  end
  count.done = count.done + 1
  self.open = self.open or {}
  self.open[#self.open + 1] = { at = now() + fault.lasts, finish = finish }
  return true
end

--- Ends the faults whose time is over; all of them when told so.  True when none is left.
function World:heal(all)
  local open = self.open or {}
  self.open = {}
  for _, fault in ipairs(open) do
    local over = all or fault.at <= now()
    if not over or fault.finish() == false then self.open[#self.open + 1] = fault end
  end
  return #self.open == 0
end

-- -- the end ---------------------------------------------------------------------------------------------------------

--- TERM to all engines; a list of exit codes by engine.
function World:stop_engines()
  local codes = {}
  for _, engine in ipairs(self.engines) do
    engine.may_end = true
    engine.stopped_at = now()
    engine.handle:kill "sigterm"
  end
  for k, engine in ipairs(self.engines) do
    wait.poll(10, function() return ended(engine) end)
    codes[k] = engine.signal ~= 0 and ("signal " .. engine.signal) or engine.code
  end
  return codes
end

--- Kills all children that still run, and the workers of a frozen core.
function World:close()
  for _, list in ipairs { self.engines, self.clients } do
    for _, child in pairs(list) do
      if not ended(child) then
        child.may_end = true
        for _, pid in ipairs(process.children(child.pid)) do uv.kill(pid, "sigcont") end
        child.handle:kill "sigkill"
        child.handle:kill "sigcont"
        wait.poll(5, function() return ended(child) end)
      end
    end
  end
  if self.redis then self.redis:close() end
end

return World
