-- The keys of the named queues (lib/frame.lua), by the index of the queue.
local STORE_KEYS, QUEUE_KEYS = 23, 8
local function later_key(i) return KEYS[STORE_KEYS + (i - 1) * QUEUE_KEYS + 1] end
local function front_key(i) return KEYS[STORE_KEYS + (i - 1) * QUEUE_KEYS + 2] end
local function tombstones_key(i) return KEYS[STORE_KEYS + (i - 1) * QUEUE_KEYS + 3] end
local function list_key(i, rank) return KEYS[STORE_KEYS + (i - 1) * QUEUE_KEYS + 4 + rank] end
-- The queue and the rank of a list that a call names by its number.
local function list_queue(list) return math.floor((list - 1) / 5) + 1, (list - 1) % 5 end

return later_key, front_key, tombstones_key, list_key, list_queue
