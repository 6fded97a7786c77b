-- delay_proxy.lua - starts and commands delay_proxy (delay_proxy.c says what it can do).
--
--   local proxy = DelayProxy.start(BUILT .. "/tests/support/delay_proxy", server.port, 0.5)     -- ms each way
--   proxy.port   proxy:command "swallow"   proxy:command "delay 5"   proxy:stats().open   proxy:stop()
local uv = require "luv"
local wait = require "tests.support.wait"

local M = {}
local Proxy = {}
Proxy.__index = Proxy

local ANSWER_S = 5

-- Waits for a whole line from the proxy.
local function read_line(self)
  local line
  wait.wait_for("an answer of delay_proxy", ANSWER_S, function()
    if self.code then error("delay_proxy ended: " .. self.said, 0) end
    line = self.said:match "^[^\n]*\n"
    return line
  end)
  self.said = self.said:sub(#line + 1)
  return line:sub(1, -2)
end

--- Carries what comes to proxy.port to a port of 127.0.0.1.  delay_ms: each way, default 0.
function M.start(program, target_port, delay_ms)
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
  if not result then error("delay_proxy: " .. answer, 2) end
  return result
end

--- { open, accepted, to_target_bytes, from_target_bytes }
function Proxy:stats()
  local open, accepted, to, from = self:command("stats"):match "^stats (%d+) (%d+) (%d+) (%d+)$"
  return { open = tonumber(open), accepted = tonumber(accepted), to_target_bytes = tonumber(to),
    from_target_bytes = tonumber(from) }
end

function Proxy:stop()
  if self.code then return end
  self.stdin:close()
  if not wait.poll(5, function() return self.code end) then self.handle:kill "sigkill" end
end

return M
