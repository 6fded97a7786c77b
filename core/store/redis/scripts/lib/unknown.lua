-- The answer of a script that meets a queue whose keys it was not given: all queues, and that one, so that it is called again with
-- them.  Nothing has been written then.
local call, QUEUES = ...

local function unknown_queue(name)
  local all = call("HKEYS", QUEUES)
  if name and call("HEXISTS", QUEUES, name) == 0 then all[#all + 1] = name end
  return { -1, all }
end

return unknown_queue
