-- A script with a spec, which needs no engine, no store and no waiting: busted --lua=luajit scripts/tested/spec
--   skein enqueue tested.start && skein run scripts/tested --drain
local skein = require "skein"
local mailer = require "mailer"

skein.task("tested.start", function() skein.enqueue("tested.signup", "ada", 0.1) end)
skein.task("tested.signup", function(job, user, wait)
  skein.enqueue("tested.mail", user, "welcome")
  return { user = user, reminder = skein.enqueue_in(wait, "tested.remind", user, wait, 2).id }
end)

skein.task("tested.remind", function(job, user, wait, left) -- sends `left` reminders, one every `wait` seconds
  skein.enqueue("tested.mail", user, "still there?")
  if left > 1 then skein.enqueue_in(wait, "tested.remind", user, wait, left - 1) end
end)

skein.task("tested.mail", { queue = "mail", backoff = { 60, 600 }, on_death = mailer.report }, function(job, to, text)
  if not to:find("^%w+$") then skein.fail("no such user: " .. to) end
  mailer.send(to, text)
end)
