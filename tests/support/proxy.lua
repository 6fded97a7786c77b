-- proxy.lua - starts and commands the proxy that makes a network slow, silent or broken (proxy.c says what it can do).
--
--   local p = proxy.start(server.port, 0.5)      0.5 ms later each way
--   p.port   p:url(3)   p:delay(5)   p:swallow()   p:refuse()   p:pass()   p:cut()   p:stats().open   p:stop()
--
-- Each call returns once the proxy does as told.  The program is found beside the engine's that SKEIN names.
local uv = require "luv"
local wait = require "tests.support.wait"

local M = {}
local Proxy = {}
Proxy.__index = Proxy

local ANSWER_S = 5

-- Waits for a whole line from the proxy.
local function read_line(self)
  local line
  wait.wait_for("an answer of the proxy", ANSWER_S, function()
    if self.code then error("the proxy ended: " .. self.said, 0) end
    line = self.said:match "^[^\n]*\n"
    return line
  end)
  self.said = self.said:sub(#line + 1)
  return line:sub(1, -2)
end

local function program_path()
  local skein = os.getenv "SKEIN" or "build/release/skein"
  return (skein:gsub("[^/]+$", "tests/support/proxy"))
end

--- Carries what comes to proxy.port to a port of 127.0.0.1.  delay_ms: each way, default 0.
function M.start(target_port, delay_ms)
  local program = program_path()
  local self = setmetatable({ said = "", stdin = uv.new_pipe(false) }, Proxy)
  local out = uv.new_pipe(false)
  local handle, pid = uv.spawn(program, {
    args = { tostring(target_port), tostring(delay_ms or 0) }, stdio = { self.stdin, out, 2 },
  }, function(code)
    self.code = code
    self.handle:close()
  end)
  if not handle then error(("can't start %s: %s"):format(program, tostring(pid)), 2) end
  self.handle, self.pid = handle, pid
  out:read_start(function(_, data)
    if data then self.said = self.said .. data else out:close() end
  end)
  self.port = tonumber(read_line(self):match "^listening (%d+)$")
  return self
end

--- Sends a command and waits until it holds; its answer without the "ok ".
function Proxy:command(text)
  self.stdin:write(text .. "\n")
  local answer = read_line(self)
  local result = answer:match "^ok (.*)$"
  if not result then error("the proxy: " .. answer, 2) end
  return result
end

function Proxy:pass() self:command "pass" end
function Proxy:pause() self:command "pause" end
function Proxy:swallow() self:command "swallow" end
function Proxy:refuse() self:command "refuse" end
function Proxy:cut() self:command "close" end
function Proxy:delay(ms) self:command(("delay %g"):format(ms)) end
function Proxy:target(port) self:command(("target %d"):format(port)) end
function Proxy:upload(bytes_s) self:command(("upload %d"):format(bytes_s)) end
function Proxy:lose(text) self:command("lose " .. text) end
function Proxy:as_redis_62() self:command "redis62" end

function Proxy:url(db) return ("redis://127.0.0.1:%d/%s"):format(self.port, db or 0) end

--- { open, accepted, to_target_bytes, from_target_bytes, lost }
function Proxy:stats()
  local stats = {}
  local numbers = self:command("stats"):gmatch "%d+"
  for _, name in ipairs { "open", "accepted", "to_target_bytes", "from_target_bytes", "lost" } do
    stats[name] = tonumber(numbers())
  end
  return stats
end

function Proxy:stop()
  if self.code then return end
  self.stdin:close()
  if not wait.poll(5, function() return self.code end) then self.handle:kill "sigkill" end
end

return M
