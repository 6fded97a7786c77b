-- resp.lua - a plain Redis connection for tests: one command, one reply, no library between us and the bytes.
local uv = require "luv"
local wait = require "tests.support.wait"

local M = {}
local Connection = {}
Connection.__index = Connection

M.null = setmetatable({}, { __tostring = function() return "null" end })

local function encode(args)
  local parts = { ("*%d\r\n"):format(#args) }
  for i, arg in ipairs(args) do
    local text = tostring(arg)
    parts[i + 1] = ("$%d\r\n%s\r\n"):format(#text, text)
  end
  return table.concat(parts)
end

-- One reply of `text` from `at`: found, value, the offset behind it; false while it is not all there.  An error is {
-- err = text }.
local function decode(text, at)
  local line_end = text:find("\r\n", at, true)
  if not line_end then return false end
  local kind, rest, next_at = text:sub(at, at), text:sub(at + 1, line_end - 1), line_end + 2
  if kind == "+" then return true, rest, next_at end
  if kind == "-" then return true, { err = rest }, next_at end
  if kind == ":" then return true, tonumber(rest), next_at end
  local n = tonumber(rest)
  if n < 0 then return true, M.null, next_at end
  if kind == "$" then
    if #text < next_at + n + 1 then return false end
    return true, text:sub(next_at, next_at + n - 1), next_at + n + 2
  end
  assert(kind == "*", "not RESP: " .. kind .. rest)
  local list = {}
  for i = 1, n do
    local found, value, after = decode(text, next_at)
    if not found then return false end
    list[i], next_at = value, after
  end
  return true, list, next_at
end

--- Connects; nil and why when nobody answers within timeout_s.
function M.connect(host, port, timeout_s)
  local self = setmetatable({ tcp = uv.new_tcp(), input = "" }, Connection)
  local done, failed
  self.tcp:connect(host, port, function(err) done, failed = true, err end)
  wait.poll(timeout_s or 1, function() return done end)
  if not done or failed then
    self.tcp:close()
    return nil, failed or "timeout"
  end
  self.tcp:read_start(function(err, data)
    if data then self.input = self.input .. data else self.ended = err or "EOF" end
  end)
  return self
end

--- Sends a command without waiting.
function Connection:send(...) self.tcp:write(encode { ... }) end

--- The next reply; nil and why when there is none within timeout_s.
function Connection:receive(timeout_s)
  local value
  local got = wait.poll(timeout_s or 5, function()
    local found, reply, after = decode(self.input, 1)
    if found then
      value, self.input = reply, self.input:sub(after)
      return true
    end
    return self.ended
  end)
  if got == true then return value end
  return nil, got or "timeout"
end

--- One command, one reply; nil and why when the server went away, was too slow (the connection is of no use then) or
-- refused.
function Connection:call(...)
  self:send(...)
  local value, why = self:receive()
  if value == nil then
    self.ended = self.ended or why
    return nil, why
  end
  if type(value) == "table" and value.err then return nil, value.err end
  return value
end

function Connection:close()
  if not self.tcp:is_closing() then self.tcp:close() end
end

return M
