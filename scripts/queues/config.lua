-- Strict order; "urgent:6,default:3,bulk:1" would share by weight instead.
return { queues = { "urgent", "default", "bulk" }, workers = 1, concurrency = 1 }
