-- Changing jobs and queues by hand, and several engines on one store.
local H = require "tests.system.harness"

local SCRIPT = [[
  skein.task("note", function(job, n) fx("note", n) end)
  skein.task("bad", { retries = 0 }, function(job, n) fx("bad", n) if not io.open(%q) then error "luck" end end)]]

local function script(t) t:script("a.lua", SCRIPT:format(t.effects_dir .. "/release-luck")) end

describe("the changing commands", function()
  H.it("cancel a job that waits: it never runs", function(t)
    script(t)
    local id = t:enqueue("note", 1)
    t:ok("cancel", id)
    assert.equal("cancelled", t:job(id).state)
    assert.equal(0, (t:drain()))
    assert.equal(0, t:count "note")
  end)

  H.it("retry a dead job: it runs again, its attempts count from the start", function(t)
    script(t)
    local id = t:enqueue("bad", 1)
    assert.equal(1, (t:drain()))
    t:release "luck"
    t:ok("retry", id)
    assert.equal(0, t:job(id).attempts)
    assert.equal(0, (t:drain()))
    assert.equal(2, t:count "bad")
  end)

  H.it("retry all dead jobs of a task", function(t)
    script(t)
    for i = 1, 3 do t:enqueue("bad", i) end
    assert.equal(1, (t:drain()))
    t:release "luck"
    t:ok("retry", "--state", "dead", "--task", "bad")
    assert.equal(0, (t:drain()))
    assert.equal(6, t:count "bad")
    assert.equal(0, #t:json "jobs")
  end)

  H.it("delete a job", function(t)
    script(t)
    local id = t:enqueue("note", 1)
    t:ok("delete", id)
    assert.is_nil(t:find(id))
    assert.equal(1, t:cli({ "delete", id }).code)
  end)

  H.it("promote a scheduled job: it runs now", function(t)
    script(t)
    t:run { "-w", "1" }
    local id = t:enqueue("note", 1, { flags = { "--in", "1h" } })
    t:ok("promote", id)
    t:wait_effects("note", 1)
  end)

  H.it("pause a queue, whose jobs then wait, and resume it", function(t)
    script(t)
    t:run { "-w", "1" }
    t:ok("pause", "slow")
    local id = t:enqueue("note", 1, { flags = { "--queue", "slow" } })
    t:enqueue("note", 2)
    t:wait_effects("note", 1)
    assert.equal("ready", t:job(id).state)
    t:ok("resume", "slow")
    t:wait_effects("note", 2)
  end)

  H.it("explain why a job does not run", function(t)
    script(t)
    local id = t:enqueue("note", 1, { flags = { "--queue", "slow" } })
    t:ok("pause", "slow")
    assert.matches("paused", t:ok("explain", id))
  end)
end)

describe("two engines on one store", function()
  H.it("share the jobs: each runs once", function(t)
    t:script("a.lua", [[skein.task("note", function(job, n) skein.sleep(0.005) fx("note", n, pid) end)
      skein.task("plan", function() local s = {} for i = 1, 1000 do s[i] = { task = "note", args = { i } } end
        assert(skein.enqueue_many(s)) end)]])
    local a, b = t:run { "-w", "1", "-c", "5" }, t:run { "-w", "1", "-c", "5" }
    t:enqueue "plan"
    local notes, seen, pids = t:wait_effects("note", 1000, 15), {}, {}
    for _, f in ipairs(notes) do
      assert.is_nil(seen[f[1]], f[1] .. " ran twice")
      seen[f[1]], pids[f[2]] = true, (pids[f[2]] or 0) + 1
    end
    local engines = 0
    for _, n in pairs(pids) do
      engines = engines + 1
      assert.is_true(n >= 50, "an engine ran only " .. n)
    end
    assert.equal(2, engines)
    assert.equal(0, a:stop())
    assert.equal(0, b:stop())
    assert.equal(1000, t:count "note")
  end)

  H.it("take over the jobs of the one that was killed", function(t)
    t:config "{ lease = 1 }"
    t:script("a.lua", t:released()
      .. [[ skein.task("hold", { retries = 0 }, function(job, n) fx("start", n, job.attempt) released("all")
        fx("end", n) end)]])
    local a = t:run { "-w", "1", "-c", "10" }
    for i = 1, 5 do t:enqueue("hold", i) end
    t:wait_effects("start", 5)
    t:run { "-w", "1", "-c", "10" }
    a:kill_core()
    for _, f in ipairs(t:wait_effects("start", 10, 5)) do assert.equal("1", f[2]) end
    t:release "all"
    t:wait_effects("end", 5)
    t:wait_for("an empty store", 5, function() return #t:json "jobs" == 0 end)
    assert.equal(5, t:count "end")
  end)

  H.it("leave each other's running jobs alone", function(t)
    t:config "{ lease = 1 }"
    t:script("a.lua", t:released()
      .. [[ skein.task("hold", function(job, n) fx("start", n) released("all") fx("end", n) end)]])
    t:run { "-w", "1", "-c", "10" }
    for i = 1, 5 do t:enqueue("hold", i) end
    t:wait_effects("start", 5)
    t:run { "-w", "1", "-c", "10" }
    -- Longer than the lease: it is renewed meanwhile.
    H.wait.never("a job ran a second time", 2.5, function() return t:count "start" > 5 end)
    t:release "all"
    t:wait_effects("end", 5)
  end)
end)

describe("the core", function()
  H.it("loads no script: only workers do", function(t)
    t:script("a.lua", [[fx("loads", pid) skein.task("note", function() end)]])
    local engine = t:run { "-w", "2" }
    for _, f in ipairs(t:wait_effects("loads", 2)) do assert.not_equal(tostring(engine.child.pid), f[1]) end
  end)

  H.it_on("sqlite", "alone holds the store: workers have no connection of their own", function(t)
    t:script("a.lua", t:released() .. [[ skein.task("note", function() end)
      skein.task("hold", function() skein.enqueue("note"):state() fx("start") released("all") end)]])
    local engine = t:run { "-w", "1" }
    t:enqueue "hold"
    t:wait_effects("start", 1)
    local function holds(pid)
      for _, fd in ipairs(H.files.list(("/proc/%d/fd"):format(pid))) do
        local target = require("luv").fs_readlink(("/proc/%d/fd/%s"):format(pid, fd))
        if target and target:find("jobs.db", 1, true) then return true end
      end
      return false
    end
    assert.is_true(holds(engine.child.pid))
    for _, pid in ipairs(engine:workers()) do assert.is_false(holds(pid)) end
    t:release "all"
  end)
end)
