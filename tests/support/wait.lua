-- wait.lua - waits for conditions on the uv loop.  Events (a child's exit, output, a file change) run as they come; the
-- condition is tested after each of them, and every few milliseconds for changes that raise no event.
local uv = require "luv"

local M = {}

local RECHECK_MS = 4

local function seconds() return tonumber(uv.hrtime()) / 1e9 end
M.seconds = seconds

--- Runs the loop until predicate() is true, and returns its value; nil when timeout_s has passed first.
-- An error in the predicate ends the wait and goes on up.
function M.poll(timeout_s, predicate)
  local deadline = seconds() + timeout_s
  local recheck = uv.new_timer()
  recheck:start(RECHECK_MS, RECHECK_MS, function() end)
  local ok, value
  repeat
    ok, value = pcall(predicate)
    if not ok or value then break end
    uv.run("once")
  until seconds() > deadline
  if ok and not value then ok, value = pcall(predicate) end
  recheck:close()
  uv.run("nowait")
  if not ok then error(value, 0) end
  return value or nil
end

--- Like poll, but an error that names what was waited for when it does not come.
function M.wait_for(what, timeout_s, predicate)
  local value = M.poll(timeout_s, predicate)
  if not value then error(("waited %g s in vain for %s"):format(timeout_s, tostring(what)), 2) end
  return value
end

--- Watches for window_s that the condition does not come true.
function M.never(what, window_s, predicate)
  if M.poll(window_s, predicate) then error(("within %g s: %s"):format(window_s, what), 2) end
end

return M
