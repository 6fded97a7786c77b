-- The named queues: index by name, and the key before a queue's own.
local names, index_of = {}, {}
for i = 1, queues_n do
  names[i] = ARGV[6 + i]
  index_of[names[i]] = i
end
local function base_of(i) return 23 + (i - 1) * 8 end
