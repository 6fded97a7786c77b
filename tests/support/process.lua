-- process.lua - real children with captured output, and facts about processes from /proc.
--
-- The test that starts a child owns it: `stop_hard` kills exactly that process.  A process that the test did not start
-- itself (a worker) is known by pid and start time, so that a pid that was used anew is never hit.
local uv = require "luv"
local files = require "tests.support.files"
local wait = require "tests.support.wait"

local M = {}
local Process = {}
Process.__index = Process

local function capture(process, pipe, name)
  process[name] = ""
  process.pipes = process.pipes + 1
  pipe:read_start(function(_, data)
    if data then
      process[name] = process[name] .. data
      return
    end
    process.pipes = process.pipes - 1
    pipe:close()
  end)
end

local function env_list(env)
  local list = {}
  for name, value in pairs(env) do list[#list + 1] = name .. "=" .. value end
  return list
end

--- Starts a program.  options: args, cwd, env (the whole environment), stdin (a text; true: what Process:write sends).
function M.start(program, options)
  local self = setmetatable({ pipes = 0, name = options.name or program }, Process)
  local stdin, stdout, stderr = options.stdin and uv.new_pipe(false), uv.new_pipe(false), uv.new_pipe(false)
  local handle, pid = uv.spawn(program, {
    args = options.args, cwd = options.cwd, env = env_list(options.env),
    stdio = { stdin or nil, stdout, stderr },
  }, function(code, signal)
    self.code, self.signal = code, signal
    self.ended_at = wait.seconds()
    if self.stdin then self.stdin:close() end
    self.handle:close()
  end)
  if not handle then error(("can't start %s: %s"):format(program, tostring(pid)), 2) end
  self.handle, self.pid = handle, pid
  capture(self, stdout, "stdout")
  capture(self, stderr, "stderr")
  if options.stdin == true then
    self.stdin = stdin
  elseif stdin then
    stdin:write(options.stdin)
    stdin:shutdown(function() stdin:close() end)
  end
  return self
end

--- Sends a text to a process that was started with stdin = true.
function Process:write(text) self.stdin:write(text) end

function Process:running() return self.code == nil end

--- Waits for its end and the end of its output, and returns the exit code (128 + n for a signal, like a shell).
function Process:wait(timeout_s)
  wait.wait_for(("the end of %s (pid %d)"):format(self.name, self.pid), timeout_s,
    function() return not self:running() end)
  -- A grandchild may hold the pipes for a moment longer.
  wait.poll(2, function() return self.pipes == 0 end)
  return self.signal ~= 0 and 128 + self.signal or self.code
end

function Process:signal_with(name)
  if self:running() then self.handle:kill(name) end
end

function Process:stop_hard()
  if not self:running() then return end
  self.handle:kill("sigkill")
  wait.poll(5, function() return not self:running() end)
end

-- -- /proc -----------------------------------------------------------------------------------------------------------

local function read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read("*a")
  file:close()
  return text
end

--- { pid, ppid, state, started } of a process, nil when there is none.
function M.stat(pid)
  local text = read(("/proc/%d/stat"):format(pid))
  if not text then return nil end
  local fields = {}
  for field in text:gsub("^.*%) ", ""):gmatch "%S+" do fields[#fields + 1] = field end
  return { pid = pid, state = fields[1], ppid = tonumber(fields[2]), started = fields[20] }
end

function M.alive(pid)
  local stat = M.stat(pid)
  return stat ~= nil and stat.state ~= "Z"
end

--- The pids of all processes.
function M.all()
  local pids = {}
  for _, name in ipairs(files.list "/proc") do pids[#pids + 1] = tonumber(name) end
  return pids
end

--- The living children of a process, in no order.
function M.children(pid)
  local found = {}
  for _, thread in ipairs(files.list(("/proc/%d/task"):format(pid))) do
    local text = read(("/proc/%d/task/%s/children"):format(pid, thread)) or ""
    for child in text:gmatch "%d+" do
      if M.alive(tonumber(child)) then found[#found + 1] = tonumber(child) end
    end
  end
  return found
end

--- Resident memory in bytes.
function M.rss(pid)
  local pages = (read(("/proc/%d/statm"):format(pid)) or ""):match "^%d+ (%d+)"
  return pages and tonumber(pages) * 4096
end

--- Seconds of CPU that a process has used so far, its own and the kernel's for it.
function M.cpu_s(pid)
  local text = read(("/proc/%d/stat"):format(pid))
  if not text then return nil end
  local fields = {}
  for field in text:gsub("^.*%) ", ""):gmatch "%S+" do fields[#fields + 1] = field end
  return (tonumber(fields[12]) + tonumber(fields[13])) / 100 -- USER_HZ is 100 on Linux
end

--- Signals a process whose pid was read just now.
function M.signal(pid, name) uv.kill(pid, name) end

--- Kills a process that `stat` described earlier, if it is still that process.
function M.kill_same(stat)
  local now = M.stat(stat.pid)
  if now and now.started == stat.started then uv.kill(stat.pid, "sigkill") end
end

return M
