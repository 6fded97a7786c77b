-- Adds a queue to `queues` when its first job comes.
local call, QUEUES, names = ...

local registered = {}
local function register(i)
  if registered[i] then return end
  registered[i] = true
  if call("HSETNX", QUEUES, names[i], "0") == 1 then call("HINCRBY", QUEUES, "", 1) end
end

return register
