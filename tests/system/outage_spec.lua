-- The store is away for longer than a lease and keeps its data: no engine loses a job, a slot or a lock.
local H = require "tests.system.harness"

local LEASE_S, AWAY_S = 3, 4.5

-- Lets the store be away for AWAY_S: a Redis that is killed and comes back with its data, one that answers nobody, a
-- process that holds SQLite's lock.
local AWAY = {
  ["whose Redis is killed and started again"] = { "redis", function(t, wait)
    t.redis:kill()
    wait()
    t.redis:restart()
  end },
  ["whose Redis does not answer"] = { "redis", function(t, wait)
    t.redis:freeze()
    wait()
    t.redis:thaw()
  end },
  ["whose database another process has locked"] = { "sqlite", function(t, wait)
    local holder = t:start({ "-interactive", t.dir .. "/jobs.db" }, { program = "sqlite3", stdin = true })
    holder:write ".timeout 10000\nBEGIN IMMEDIATE;\n.print locked\n"
    t:wait_for("SQLite's lock", 10, function() return holder.stdout:find "locked" end)
    wait()
    holder:write "ROLLBACK;\n.quit\n"
    assert.equal(0, holder:wait(5))
  end },
}

-- Neither engine takes over what the other runs: `one` has a limit of 1, `quick` jobs end while the store is away.
local function check(t, away)
  if H.store == "redis" then t:own_redis { "appendonly yes", "appendfsync always" } end
  t:config(("{ lease = %d }"):format(LEASE_S))
  t:script("a.lua", t:released() .. [[
    skein.task("one", { limit = { concurrency = 1 }, retries = 0 }, function() fx("one") released("all") fx("one-end")
      end)
    skein.task("long", { unique = true, retries = 0 }, function(_, n) fx("long", n) released("all") fx("long-end", n)
      end)
    skein.task("quick", { retries = 0 }, function(_, n) fx("quick", n) released("quick") fx("quick-end", n) end) ]])
  local engines = { t:run { "-w", "1", "-c", "8" }, t:run { "-w", "1", "-c", "8" } }
  for _ = 1, 2 do t:enqueue "one" end
  for n = 1, 4 do t:enqueue("long", n) end
  for n = 1, 6 do t:enqueue("quick", n) end
  t:wait_effects("one", 1)
  t:wait_effects("long", 4)
  t:wait_effects("quick", 6)
  away(t, function()
    t:release "quick"
    t:wait_effects("quick-end", 6)
    local from = H.wait.seconds()
    t:wait_for("an outage that is longer than the lease", AWAY_S * 2,
      function() return H.wait.seconds() - from > AWAY_S end)
  end)
  -- Beats of both engines, and time in which one could give up the other.
  t:wait_for("the store", 15, function()
    local said = t:cli { "stats", "--json" }
    return said.code == 0 and said.out:find '"done":6'
  end)
  local from = H.wait.seconds()
  t:wait_for("another lease", LEASE_S * 2, function() return H.wait.seconds() - from > LEASE_S end)
  assert.equal(1, t:count "one") -- the second waits for the slot of the first
  assert.equal(4, t:count "long")
  t:release "all"
  t:wait_effects("one-end", 2)
  t:wait_effects("long-end", 4)
  t:wait_for("an empty store", 5, function() return #t:json "jobs" == 0 end)
  assert.equal(2, t:count "one")
  assert.equal(4, t:count "long")
  assert.equal(6, t:count "quick")
  assert.equal(0, t:counters().recovered)
  for _, engine in ipairs(engines) do assert.equal(0, engine:stop()) end
end

describe("an outage longer than the lease ends no lease of two engines", function()
  for how, entry in pairs(AWAY) do
    H.it_on(entry[1], how, function(t) check(t, entry[2]) end)
  end
end)
