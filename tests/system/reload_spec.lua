-- Reloading a running engine: the scripts when they change (--watch), scripts and configuration on HUP.
local H = require "tests.system.harness"
local uv = require "luv"

-- A task that says which version of the script ran it.
local function version(n) return ([[skein.task("say", function() fx("version", "%s") end)]]):format(n) end

-- Runs the task until `n` is what it says.
local function wait_version(t, n)
  t:wait_for("version " .. n, 10, function()
    t:enqueue "say"
    local said = t:effects "version"
    return #said > 0 and said[#said][1] == n
  end)
end

describe("run --watch", function()
  H.it("reloads the scripts when one of them is written", function(t)
    t:script("a.lua", version "1")
    t:run { "-w", "1", "--watch" }
    wait_version(t, "1")
    t:script("a.lua", version "2")
    wait_version(t, "2")
  end)

  H.it("sees files in new folders, and files that are renamed into place as editors do", function(t)
    t:script("a.lua", [[skein.task("other", function() end)]])
    t:run { "-w", "1", "--watch" }
    assert(uv.fs_mkdir(t.scripts .. "/new", 493))
    t:script("new/b.lua.tmp", version "1")
    assert(os.rename(t.scripts .. "/new/b.lua.tmp", t.scripts .. "/new/b.lua"))
    wait_version(t, "1")
    t:script("new/b.lua.tmp", version "2")
    assert(os.rename(t.scripts .. "/new/b.lua.tmp", t.scripts .. "/new/b.lua"))
    wait_version(t, "2")
  end)

  H.it("keeps the old scripts when the new ones can't be loaded, and goes on watching", function(t)
    t:script("a.lua", version "1")
    local engine = t:run { "-w", "1", "--watch" }
    wait_version(t, "1")
    t:script("a.lua", "this is no Lua")
    engine:wait_log("a.lua:1", 10)
    wait_version(t, "1")
    t:script("a.lua", version "2")
    wait_version(t, "2")
  end)

  H.it("does nothing when a file that is no script changes", function(t)
    t:script("a.lua", version "1")
    local engine = t:run { "-w", "1", "--watch" }
    t:file("notes.txt", "hello")
    t:ok("enqueue", "say", "--in", "0.4") -- by its time a reload would have begun
    t:wait_effects("version", 1)
    assert.equal(0, #engine:logged "reloading the scripts")
  end)
end)

describe("HUP", function()
  H.it("takes workers, concurrency and queues from the configuration as it is now", function(t)
    t:script("a.lua", t:released() .. [[
      skein.task("hold", function(job, n) fx("start", n, pid) released("all") end)
      skein.task("mail", { queue = "mail" }, function() fx("mail") end)]])
    t:config [[{ workers = 1, concurrency = 1, queues = { "default" } }]]
    local engine = t:run()
    for i = 1, 6 do t:enqueue("hold", i) end
    t:enqueue "mail"
    t:wait_effects("start", 1)
    t:config [[{ workers = 2, concurrency = 3, queues = { "mail", "default" }, log_level = "debug" }]]
    engine:signal "sighup"
    t:wait_effects("mail", 1)
    t:wait_effects("start", 6) -- one of them in the worker that is drained, or where it was
    local workers = {}
    for _, f in ipairs(t:effects "start") do workers[f[2]] = (workers[f[2]] or 0) + 1 end
    for _, n in pairs(workers) do assert.is_true(n <= 3) end
    t:release "all"
    engine:wait_log("job done", 10)
  end)

  H.it("keeps the configuration that it has when the new one is wrong, and reloads the scripts", function(t)
    t:script("a.lua", version "1")
    t:config [[{ workers = 1 }]]
    local engine = t:run()
    wait_version(t, "1")
    t:config [[{ workers = "many" }]]
    t:script("a.lua", version "2")
    engine:signal "sighup"
    engine:wait_log("the old configuration stays: .*workers", 10)
    wait_version(t, "2")
  end)

  H.it("says which settings take a restart", function(t)
    t:script("a.lua", version "1")
    t:config [[{ workers = 1, lease = 15 }]]
    local engine = t:run()
    t:config [[{ workers = 1, lease = 20 }]]
    engine:signal "sighup"
    engine:wait_log("setting lease has changed: restart the engine to use it", 10)
    wait_version(t, "1")
  end)

  H.it("goes on with its jobs while a configuration takes for ever", function(t)
    t:script("a.lua", version "1")
    t:config [[{ workers = 1 }]]
    local engine = t:run()
    wait_version(t, "1")
    t:file("config.lua", "while true do end")
    engine:signal "sighup"
    wait_version(t, "1")
    local child = t:wait_for("config.lua's process", 10, function()
      for _, pid in ipairs(H.process.children(engine.child.pid)) do
        local line = H.files.read(("/proc/%d/cmdline"):format(pid))
        if line and line:find("worker%zconfig") then return pid end
      end
    end)
    uv.kill(child, "sigkill")
    engine:wait_log("the old configuration stays", 10)
    wait_version(t, "1")
  end)
end)
