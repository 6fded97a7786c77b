-- redis_server.lua - a redis-server of our own: on a free port of loopback, in a temporary directory, stopped by its
-- pid.
--
--   local server = RedisServer.start { "--appendonly", "yes" }     -- server.url, server.port, server.pid
--   server:call("SET", "a", "1")   server:info()   server:stop()
local uv = require "luv"
local files = require "tests.support.files"
local process = require "tests.support.process"
local wait = require "tests.support.wait"

local M = {}
local Server = {}
Server.__index = Server

local START_S, CALL_S, TRIES = 20, 60, 5

-- A port that nobody listens on now.  Somebody may be faster than redis-server; then start() tries another.
local function free_port()
  local socket = uv.new_tcp()
  assert(socket:bind("127.0.0.1", 0))
  local port = socket:getsockname().port
  socket:close()
  return port
end
M.free_port = free_port

--- Runs the server with the options of start() on the same port and directory (again).
function Server:launch()
  local args = { "--port", tostring(self.port), "--bind", "127.0.0.1", "--dir", self.dir, "--save", "", "--loglevel",
    "notice" }
  for _, arg in ipairs(self.args) do args[#args + 1] = arg end
  self.process = process.start("redis-server", { args = args, env = uv.os_environ(), cwd = self.dir,
    name = "redis-server" })
  self.pid = self.process.pid
  wait.wait_for("redis-server on port " .. self.port, START_S, function()
    if not self.process:running() then return true end
    return self.process.stdout:find("Ready to accept connections", 1, true)
  end)
  return self.process:running()
end

--- args: further arguments of redis-server.  Persists nothing unless they say so.
function M.start(args)
  local self = setmetatable({ args = args or {}, dir = files.temp_dir() }, Server)
  for _ = 1, TRIES do
    self.port = free_port()
    self.url = "redis://127.0.0.1:" .. self.port
    if self:launch() then return self end
  end
  local said = self.process.stdout
  files.remove(self.dir)
  error("redis-server did not start:\n" .. said, 2)
end

--- What redis-cli prints for a command; an error of the server's is raised.
function Server:call(...)
  local args = { "-p", tostring(self.port), "-e" }
  for _, arg in ipairs { ... } do args[#args + 1] = tostring(arg) end
  local cli = process.start("redis-cli", { args = args, env = uv.os_environ(), name = "redis-cli" })
  if cli:wait(CALL_S) ~= 0 then error(("redis %s: %s%s"):format(..., cli.stdout, cli.stderr), 2) end
  return (cli.stdout:gsub("\n$", ""))
end

--- INFO of a section (default: all that matters here) as a table: numbers as numbers; commandstats as { calls =, usec =
-- }.
function Server:info(section)
  local found = {}
  for name, value in self:call("INFO", section or "everything"):gmatch "([%w_|-]+):([^\r\n]*)" do
    local calls, usec = value:match "^calls=(%d+),usec=(%d+)"
    found[name] = calls and { calls = tonumber(calls), usec = tonumber(usec) } or tonumber(value) or value
  end
  return found
end

--- Ends the server and removes its directory.
function Server:stop()
  self.process:signal_with "sigterm"
  if not wait.poll(10, function() return not self.process:running() end) then self.process:stop_hard() end
  files.remove(self.dir)
end

return M
