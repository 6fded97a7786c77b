-- place.lua - a place to measure in: a fresh directory with a store, the engine on it as a child, and the notes of its
-- jobs.
--
-- On sqlite the bench's process is the client.  On memory the store lives inside the engine (memory_engine.c), which
-- starts with jobs in it; a job of the same functions (scripts/lib/load.lua) does there the work of a client.  On redis
-- the bench's process is the client of a server that the bench started (M.redis), which each new place empties.
local files = require "tests.support.files"
local load = require "load"
local notes = require "notes"
local process = require "tests.support.process"
local skein = require "skein"
local uv = require "luv"
local wait = require "tests.support.wait"

-- Set by bench.lua and redis_bench.lua.  programs: the directory of what was built; redis:
-- tests/support/redis.lua's server.
local M = { programs = nil, redis = nil }
local Place = {}
Place.__index = Place

local SCRIPTS = assert(uv.fs_realpath "tests/bench/scripts")
local OURS = { "SKEIN_STORE", "REDIS_URL", "WORKERS", "QUEUES", "SKEIN_CONCURRENCY", "SKEIN_HTTP",
  "SKEIN_SHUTDOWN_TIMEOUT",
               "LOG_LEVEL", "LOG_FORMAT", "LUA_PATH", "LUA_CPATH", "LUA_INIT" }

function M.sleep(seconds) uv.sleep(math.floor(seconds * 1000)) end

local function url_of(store, dir)
  if store == "sqlite" then return "sqlite:" .. dir .. "/jobs.db" end
  if store == "memory" then return "memory:" end
  M.redis:call "FLUSHALL"
  return M.redis:url(0)
end

--- store: "sqlite", "memory" or "redis".
function M.new(store)
  local self = setmetatable({ store = store, dir = files.temp_dir(), seeds = {} }, Place)
  self.url = url_of(store, self.dir)
  self.env = uv.os_environ()
  for _, name in ipairs(OURS) do self.env[name] = nil end
  self.env.SKEIN_BENCH_DIR = self.dir
  self.lines = files.lines(self.dir .. "/notes")
  return self
end

--- A place for as long as fn(place) runs; what fn returns.
function M.with(store, fn)
  local place = M.new(store)
  local ok, result = xpcall(fn, debug.traceback, place)
  place:stop "sigquit"
  skein.close()
  files.remove(place.dir)
  if not ok then error(result, 0) end
  return result
end

--- Runs fn() as a client of the store; returns how long that took.
function Place:client(fn)
  notes.open(self.dir)
  assert(skein.connect(self.url))
  local start = wait.seconds()
  fn()
  local took = wait.seconds() - start
  skein.close()
  return took
end

--- Puts n jobs of a task into the store: at once, or when the engine starts where the store is inside of it.
function Place:seed(task, n)
  if self.store == "memory" then
    self.seeds[#self.seeds + 1] = { task, n }
    return
  end
  self:client(function() load.many(task, n) end)
end

--- What load.lua calls `name`, done to the running engine from where this store can be reached.  options: as for start;
-- alone: without an engine if the store can be used so.
function Place:load(name, options)
  if self.store == "memory" then
    self:seed("load." .. name, 1)
    self:start(options)
    return
  end
  if not (options and options.alone) then self:start(options) end
  self:client(function() load[name](M.sleep) end)
end

--- Starts the engine.  options: workers, concurrency (else the defaults), queue, drain, url (another way to the same
-- store).
function Place:start(options)
  options = options or {}
  local args = {}
  local function flag(letter, value)
    if value then args[#args + 1], args[#args + 2] = "-" .. letter, tostring(value) end
  end
  local program = M.programs .. "/skein"
  if self.store == "memory" then
    program = M.programs .. "/tests/bench/memory_engine"
  else
    args = { "run", SCRIPTS, "-s", options.url or self.url }
  end
  flag("w", options.workers)
  flag("c", options.concurrency)
  flag("q", options.queue)
  if options.drain then args[#args + 1] = self.store == "memory" and "-d" or "--drain" end
  if self.store == "memory" then
    args[#args + 1], args[#args + 2] = M.programs .. "/skein", SCRIPTS
    for _, seed in ipairs(self.seeds) do args[#args + 1], args[#args + 2] = seed[1], tostring(seed[2]) end
  end
  self.started_at = wait.seconds()
  self.started_wall = skein.now()
  self.engine = process.start(program, { args = args, env = self.env, cwd = self.dir, name = "the engine" })
  return self.engine
end

--- Ends the engine and waits for that.
function Place:stop(signal)
  if not self.engine or not self.engine:running() then return end
  self.engine:signal_with(signal or "sigterm")
  if not wait.poll(10, function() return not self.engine:running() end) then self.engine:stop_hard() end
end

--- Waits until a draining engine has ended, all n jobs done; the seconds it ran, from its start to its end.
function Place:drained(n, timeout_s)
  local code = self.engine:wait(timeout_s)
  local done, ran = self.engine.stdout:match "ran (%d+) ([%d.]+)"
  done = done or self.engine.stderr:match "drained: (%d+) done"
  if code ~= 0 or tonumber(done) ~= n then
    error(("the engine ended with %d, %s of %d jobs done:\n%s"):format(code, tostring(done), n, self.engine.stderr))
  end
  return ran and tonumber(ran) or self.engine.ended_at - self.started_at
end

--- What jobs noted under that name so far: lists of fields, numbers as numbers.
function Place:noted(name)
  local found, prefix = {}, name .. "\t"
  for _, line in ipairs(self.lines:all()) do
    if line:sub(1, #prefix) == prefix then
      local fields = {}
      for field in line:sub(#prefix + 1):gmatch "[^\t]+" do fields[#fields + 1] = tonumber(field) or field end
      found[#found + 1] = fields
    end
  end
  return found
end

--- Waits for n notes of that name.
function Place:wait_noted(name, n, timeout_s)
  local found
  wait.poll(timeout_s, function()
    found = self:noted(name)
    return #found >= n or (self.engine and not self.engine:running())
  end)
  if #found >= n then return found end
  local engine = self.engine
  local why = engine and not engine:running() and ("the engine ended with " .. engine.code)
    or ("waited %d s"):format(timeout_s)
  error(("%d of %d notes \"%s\": %s\n%s"):format(#found, n, name, why, engine and engine.stderr or ""))
end

--- The first numbers of the notes of that name.
function Place:numbers(name, n, timeout_s)
  local list = {}
  for i, fields in ipairs(self:wait_noted(name, n, timeout_s)) do list[i] = fields[1] end
  return list
end

return M
