-- A script with its spec, that needs no engine, no store and no waiting: busted --lua=luajit scripts/tested/spec
-- Here it runs as ever: skein enqueue tested.start && skein run scripts/tested --drain
local skein = require "skein"
local mailer = require "mailer"

skein.task("tested.start", function(job)
  skein.enqueue("tested.signup", "ada", 0.1)
end)

skein.task("tested.signup", function(job, user, days)
  local welcome = skein.enqueue("tested.mail", user, "welcome")
  skein.enqueue_in(days, "tested.remind", user, days, 2)
  return { user = user, mail = welcome.id }
end)

-- Once more each time, until `left` are sent.
skein.task("tested.remind", function(job, user, days, left)
  skein.enqueue("tested.mail", user, "still there?")
  if left > 1 then skein.enqueue_in(days, "tested.remind", user, days, left - 1) end
end)

skein.task("tested.mail", {
  queue = "mail", retries = 2, backoff = { 60, 600 },
  on_death = function(job, err) mailer.send("postmaster", err.message) end,
}, function(job, user, text)
  if not user:find("^%w+$") then skein.fail("no such user: " .. user) end
  mailer.send(user, text)
end)
