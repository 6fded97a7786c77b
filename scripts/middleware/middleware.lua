-- Middleware runs around every job, and around every enqueue: here it measures time and passes the tenant along.
--   skein enqueue middleware.start && skein run scripts/middleware --drain
local skein = require "skein"

skein.use(function(job, next)
  local started = skein.now()
  local result = next()
  print(("%s took %.0f ms for tenant %s"):format(job.task, (skein.now() - started) * 1000, job.meta.tenant))
  return result
end)

skein.use_enqueue(function(signature, next)
  signature.meta = signature.meta or {}
  signature.meta.tenant = signature.meta.tenant or "acme"
  return next(signature)
end)

skein.task("middleware.work", function() skein.sleep(0.05) end)
skein.task("middleware.start", function() skein.enqueue("middleware.work") end)
