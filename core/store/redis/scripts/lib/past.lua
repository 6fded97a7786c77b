-- Limits that a task has changed.  In `head`:
--   "limit:" task   numbers|numbers...: what the task declares now, then what it declared before (core/logic/limit.h)
--   "renew"         where a renewal of the groups that have numbers from before stands (renew.lua)
-- A job that comes with earlier numbers of its task gets the present ones: its client had not learnt them yet.
local call, HEAD = ...

local pasts = {}
-- Of a group's task, if its limit has ever changed: { now, from before -> true }.
local function past_of(group)
  local task = group:match("^[^/]*")
  if pasts[task] == nil then
    local text = call("HGET", HEAD, "limit:" .. task)
    pasts[task] = false
    if text then
      local past = { now = text:match("^[^|]*") }
      for numbers in text:gmatch("|([^|]*)") do past[numbers] = true end
      pasts[task] = past
    end
  end
  return pasts[task] or nil
end

-- The numbers in place of those.
local function limit_now(group, numbers)
  local past = past_of(group)
  return past and past[numbers] and past.now or numbers
end

return past_of, limit_now
