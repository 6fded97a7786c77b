-- A limit holds across all engines: at most two of these jobs run at once for each customer.
--   skein enqueue limit.start && skein run scripts/limit --drain
local skein = require "skein"

-- key = 1: the first arg names the customer.  `rate = 100, per = 60` would bound the jobs per minute.
skein.task("limit.export", { limit = { concurrency = 2, key = 1 } }, function(job, customer, page)
  skein.sleep(0.1)
  print(("%s page %d"):format(customer, page))
end)

skein.task("limit.start", function()
  for page = 1, 4 do
    skein.enqueue("limit.export", "ada", page)
    skein.enqueue("limit.export", "bob", page)
  end
end)
