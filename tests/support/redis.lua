-- redis.lua - a real redis-server on a free loopback port, in a directory of its own: started, stopped, killed, frozen,
-- asked.
--
--   local server = redis.start { config = { "appendonly yes" } }
--   server:url "3"            redis://127.0.0.1:PORT/3
--   server:call("SET", "a", 1)
--   server:kill() server:restart()
--
-- The port stays the same over a restart.  The test that starts a server stops it, and signals only its pid.
local ffi = require "ffi"
local uv = require "luv"
local files = require "tests.support.files"
local process = require "tests.support.process"
local resp = require "tests.support.resp"
local wait = require "tests.support.wait"

local M = { null = resp.null }
local Server = {}
Server.__index = Server

M.PROGRAM = os.getenv "REDIS_SERVER" or "redis-server"

--- A loopback port that nobody listens on just now.
function M.free_port()
  local tcp = uv.new_tcp()
  assert(tcp:bind("127.0.0.1", 0))
  local port = tcp:getsockname().port
  tcp:close()
  return port
end

local function environment(self)
  local env = uv.os_environ()
  if self.clock then env.LD_PRELOAD, env.SKEIN_TEST_CLOCK = self.clock, self.dir .. "/clock" end
  return env
end

--- Lets the clock of a server that was started with `clock` go wrong by so many seconds, from its next look at it on;
-- 0: right again.
function Server:set_clock(offset_s)
  -- In place and at once, since the server has the file mapped.
  local fd = assert(uv.fs_open(self.dir .. "/clock", "a+", 420))
  uv.fs_close(fd)
  fd = assert(uv.fs_open(self.dir .. "/clock", "r+", 420))
  assert(uv.fs_write(fd, ffi.string(ffi.new("int64_t[1]", offset_s), 8), 0))
  uv.fs_close(fd)
  self.clock_offset_s = offset_s
end

local function launch(self)
  local args = {
    "--port", self.port, "--bind", "127.0.0.1", "--dir", self.dir, "--daemonize", "no", "--save", "",
    "--enable-debug-command", "yes", "--logfile", self.dir .. "/redis.log", "--dbfilename", "dump.rdb",
  }
  for _, line in ipairs(self.config) do
    local name, value = line:match "^(%S+)%s+(.*)$"
    args[#args + 1] = "--" .. name
    for word in value:gmatch "%S+" do args[#args + 1] = word == '""' and "" or word end
  end
  for i, arg in ipairs(args) do args[i] = tostring(arg) end
  -- It must not outlive the test, however that ends.
  table.insert(args, 1, M.PROGRAM)
  for i, word in ipairs { "--pdeathsig", "KILL" } do table.insert(args, i, word) end
  self.child = process.start("setpriv", { args = args, env = environment(self), cwd = self.dir, name = "redis-server" })
  self.pid = self.child.pid
end

--- Waits until it answers PING.
function Server:wait_up(timeout_s)
  return wait.wait_for("redis-server on port " .. self.port, timeout_s or 10, function()
    if not self.child:running() then error("redis-server ended:\n"
      .. (files.read(self.dir .. "/redis.log") or ""):sub(-2000), 0) end
    local connection = resp.connect("127.0.0.1", self.port, 0.5)
    if not connection then return false end
    local pong = connection:call "PING"
    connection:close()
    return pong == "PONG"
  end)
end

local START_TRIES = 5

--- Starts a server.  All options may be left out: dir (a temporary one, removed at the end), config (lines of
-- redis.conf), port (a free one), clock (path of tests/support/clock.so as built: its clock can be set,
-- Server:set_clock), wait = false: do not wait until it answers.
function M.start(options)
  options = options or {}
  local self = setmetatable({ dir = options.dir or files.temp_dir(), config = options.config or {} }, Server)
  self.own_dir, self.clock = not options.dir, options.clock
  files.make_dirs(self.dir)
  if self.clock then self:set_clock(0) end
  for try = 1, START_TRIES do
    self.port = options.port or M.free_port()
    launch(self)
    if options.wait == false then return self end
    local ok, err = pcall(self.wait_up, self)
    if ok then return self end
    -- Another process may have been faster to take the port.
    if options.port or try == START_TRIES or self.child:running() then error(err, 0) end
  end
end

function Server:url(db) return ("redis://127.0.0.1:%d/%s"):format(self.port, db or 0) end

--- A connection of the caller's own.
function Server:connect() return resp.connect("127.0.0.1", self.port) end

--- One command on the server's own test connection, made anew when it has gone; nil and why when that fails.
function Server:call(...)
  if self.connection and not self.connection.ended then
    local value, why = self.connection:call(...)
    if value ~= nil or not self.connection.ended then return value, why end
  end
  local connection, why = self:connect()
  if not connection then return nil, why end
  if self.connection then self.connection:close() end
  self.connection = connection
  return connection:call(...)
end

--- A field of INFO, as text.
function Server:info(field)
  local text = assert(self:call("INFO", "everything"))
  return text:match("\n" .. field:gsub("%p", "%%%0") .. ":([^\r]*)")
end

--- INFO of a section (all of them by default) as a table: numbers as numbers, commandstats as { calls =, usec = }.
function Server:figures(section)
  local found = {}
  for name, value in assert(self:call("INFO", section or "everything")):gmatch "([%w_|-]+):([^\r\n]*)" do
    local calls, usec = value:match "^calls=(%d+),usec=(%d+)"
    found[name] = calls and { calls = tonumber(calls), usec = tonumber(usec) } or tonumber(value) or value
  end
  return found
end

--- All keys of a database, sorted: { { name, type, size }, ... } by SCAN; size is the number of entries (bytes of a
-- string).
function Server:keys(db, pattern)
  local connection = assert(self:connect())
  assert(connection:call("SELECT", db or 0))
  local found, cursor = {}, "0"
  local SIZE = { string = "STRLEN", list = "LLEN", hash = "HLEN", set = "SCARD", zset = "ZCARD", stream = "XLEN" }
  repeat
    local reply = assert(connection:call("SCAN", cursor, "MATCH", pattern or "*", "COUNT", 1000))
    cursor = reply[1]
    for _, name in ipairs(reply[2]) do
      local kind = assert(connection:call("TYPE", name))
      if SIZE[kind] then found[#found + 1] = { name = name, type = kind, size = connection:call(SIZE[kind], name) } end
    end
  until cursor == "0"
  connection:close()
  table.sort(found, function(a, b) return a.name < b.name end)
  return found
end

-- -- what may happen to it -------------------------------------------------------------------------------------------

--- kill -9.
function Server:kill()
  uv.kill(self.pid, "sigcont")
  self.child:stop_hard()
end

--- An orderly end, with TERM.
function Server:stop()
  self.child:signal_with "sigterm"
  wait.wait_for("the end of redis-server", 10, function() return not self.child:running() end)
end

function Server:freeze() self.child:signal_with "sigstop" end
function Server:thaw() self.child:signal_with "sigcont" end

--- Starts it again on the same port, with its data if it kept any.  options.wait as in start.
function Server:restart(options)
  assert(not self.child:running(), "the server still runs")
  launch(self)
  if not options or options.wait ~= false then self:wait_up() end
end

--- Removes what it has on disk; it must be down.
function Server:lose_data()
  assert(not self.child:running(), "the server still runs")
  files.remove(self.dir .. "/appendonlydir")
  files.remove(self.dir .. "/dump.rdb")
end

local DATA = { "appendonlydir", "dump.rdb" }

--- Copies what it has on disk to a folder; it must be frozen or down, so that the files belong together.
function Server:copy_data(to)
  files.remove(to)
  files.make_dirs(to)
  for _, name in ipairs(DATA) do files.copy(self.dir .. "/" .. name, to .. "/" .. name) end
end

--- Puts a copy in the place of what it has on disk; it must be down.
function Server:restore_data(from)
  self:lose_data()
  for _, name in ipairs(DATA) do files.copy(from .. "/" .. name, self.dir .. "/" .. name) end
end

--- Ends it for good.
function Server:close()
  if self.connection then self.connection:close() end
  self:kill()
  if self.own_dir then files.remove(self.dir) end
end

return M
