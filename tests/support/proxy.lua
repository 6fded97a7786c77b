-- proxy.lua - a TCP proxy in the test's own process that makes a network bad: slow, silent, cut.
--
--   local p = proxy.start("127.0.0.1", server.port)     p.port
--   p.delay_ms = 5      each piece of data is passed on that much later, each way
--   p.swallow = true    what arrives is taken and never passed on; connections stay open, new ones too.  One that lost
-- bytes
--                       stays silent afterwards, until an end closes it
--   p.rewrite = fn      what the server sends is passed on as fn(data) says; proxy.as_redis_62 words errors of scripts
-- as Redis 6.2 does
--   p.upload_bytes_s    how fast bytes go to the server: it reads no faster, as a thin line does
--   p:cut()             closes every connection
--   p.refuse = true     new connections are closed at once
--
-- It works while the test waits on the loop (tests/support/wait.lua), which all of the harness's waits do.
local uv = require "luv"

local M = {}
local Proxy = {}
Proxy.__index = Proxy

local function close_pair(self, pair)
  if pair.closed then return end
  pair.closed = true
  self.pairs[pair] = nil
  for _, tcp in ipairs { pair.near, pair.far } do
    if not tcp:is_closing() then tcp:close() end
  end
end

-- Passes on what came, or the end, in the order in which it came.
local function pass(self, pair, to, data)
  if self.swallow then pair.mute = true end
  if pair.mute and data then return end
  local function go()
    if pair.closed then return end
    if data then to:write(data) else close_pair(self, pair) end
  end
  if self.delay_ms == 0 then return go() end
  local timer = uv.new_timer()
  timer:start(self.delay_ms, 0, function()
    timer:close()
    go()
  end)
end

local relay

-- Reads no more for as long as a thin line takes for n bytes.
local function hold_up(self, pair, from, to, n)
  local timer = uv.new_timer()
  from:read_stop()
  timer:start(math.ceil(n * 1000 / self.upload_bytes_s), 0, function()
    timer:close()
    if not pair.closed then relay(self, pair, from, to) end
  end)
end

function relay(self, pair, from, to)
  from:read_start(function(err, data)
    if data and self.upload_bytes_s and from == pair.near then hold_up(self, pair, from, to, #data) end
    if data then
      self.bytes = self.bytes + #data
      if self.rewrite and from == pair.far then data = self.rewrite(data) end
      pass(self, pair, to, data)
    elseif not err and self.swallow then
      pair.mute = true
    else
      pass(self, pair, to, nil)
    end
  end)
end

local function accept(self)
  local near = uv.new_tcp()
  self.listener:accept(near)
  self.connections = self.connections + 1
  if self.refuse then return near:close() end
  local far = uv.new_tcp()
  local pair = { near = near, far = far }
  self.pairs[pair] = true
  near:nodelay(true)
  far:connect(self.host, self.far_port, function(err)
    if err or pair.closed then return close_pair(self, pair) end
    far:nodelay(true)
    relay(self, pair, near, far)
    relay(self, pair, far, near)
  end)
end

function M.start(host, port)
  local self = setmetatable({ host = host, far_port = port, delay_ms = 0, swallow = false, refuse = false, pairs = {},
                              connections = 0, bytes = 0 }, Proxy)
  self.listener = uv.new_tcp()
  assert(self.listener:bind("127.0.0.1", 0))
  assert(self.listener:listen(128, function(err)
    assert(not err, err)
    accept(self)
  end))
  self.port = self.listener:getsockname().port
  return self
end

--- An error of a script in the words of Redis 6.2: "READONLY You can't write ... script: SHA1, on @user_script:12." of
-- 7.0 is within
--- "ERR Error running script" there.
function M.as_redis_62(data)
  return (data:gsub("%-(%u+) ([^\r\n]-) script: (%x+), on @user_script:(%d+)%.\r\n", function(word, text, sha, line)
    local said = word == "ERR" and text or "-" .. word .. " " .. text
    return ("-ERR Error running script (call to f_%s): @user_script:%s: @user_script: %s: %s \r\n"):format(sha, line,
      line, said)
  end))
end

--- Closes every connection, as a broken network does.
function Proxy:cut()
  for pair in pairs(self.pairs) do close_pair(self, pair) end
end

function Proxy:url(db) return ("redis://127.0.0.1:%d/%s"):format(self.port, db or 0) end

function Proxy:close()
  self:cut()
  if not self.listener:is_closing() then self.listener:close() end
end

return M
