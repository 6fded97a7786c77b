-- The reply of a script that meets a queue whose keys it was not given: the names of all queues, and of that one.  The
-- caller runs the script again with their keys.  The script has written nothing.
local call, QUEUES = ...

local function unknown_queue(name)
  local all = call("HKEYS", QUEUES)
  if name and call("HEXISTS", QUEUES, name) == 0 then all[#all + 1] = name end
  return { -1, all }
end

return unknown_queue
