-- The named queues, and the index of each by its name.
local queues_n = ...

local names, index_of = {}, {}
for i = 1, queues_n do
  names[i] = ARGV[6 + i]
  index_of[names[i]] = i
end

return names, index_of
