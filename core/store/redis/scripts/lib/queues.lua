-- The named queues: index by name, and the keys that are a queue's own.
local queues_n = ...

local names, index_of = {}, {}
for i = 1, queues_n do
  names[i] = ARGV[6 + i]
  index_of[names[i]] = i
end
local STORE_KEYS, QUEUE_KEYS = 23, 8
local function later_key(i) return KEYS[STORE_KEYS + (i - 1) * QUEUE_KEYS + 1] end
local function front_key(i) return KEYS[STORE_KEYS + (i - 1) * QUEUE_KEYS + 2] end
local function tombstones_key(i) return KEYS[STORE_KEYS + (i - 1) * QUEUE_KEYS + 3] end
local function list_key(i, rank) return KEYS[STORE_KEYS + (i - 1) * QUEUE_KEYS + 4 + rank] end
-- The queue and the rank of a list that a call names by its number.
local function list_queue(list) return math.floor((list - 1) / 5) + 1, (list - 1) % 5 end

return names, index_of, later_key, front_key, tombstones_key, list_key, list_queue
