-- The core must go on whatever its jobs, its log's reader and its configuration do.
local H = require "tests.system.harness"

local files, process = H.files, H.process

-- An engine whose stderr is a FIFO that the test holds open and does not read.
local function run_unread(t, args)
  local fifo = t.dir .. "/stderr"
  assert(os.execute("mkfifo " .. fifo) == 0)
  local reader = assert(io.open(fifo, "r+")) -- both directions: the opening waits for nobody
  local engine = t:run(args, {
    program = "/bin/sh", ready = false,
    wrap = function(argv)
      local words = { "-c", 'exec "$0" "$@" 2>' .. fifo, H.skein }
      for _, word in ipairs(argv) do words[#words + 1] = word end
      return words
    end,
  })
  return engine, reader
end

describe("a log whose reader stands still", function()
  -- Each job logs more than a pipe holds.
  local NOISY = [[skein.task("noisy", function(job)
    for i = 1, 200 do print(("x"):rep(1000)) end
    fx("ran")
  end)]]

  H.it("does not keep jobs from running, nor TERM from ending the engine", function(t)
    t:script("a.lua", NOISY)
    local engine, reader = run_unread(t, { "-w", "1" })
    for _ = 1, 10 do t:enqueue "noisy" end
    t:wait_effects("ran", 10, 10)
    local from = H.now()
    assert.equal(0, engine:stop(10))
    assert.is_true(H.now() - from < 4)
    reader:close()
  end)

  H.it("is told how many lines it missed once it reads again", function(t)
    t:script("a.lua", NOISY)
    local engine, reader = run_unread(t, { "-w", "1" })
    for _ = 1, 40 do t:enqueue "noisy" end
    t:wait_effects("ran", 40, 20)
    local seen, lost = 0
    repeat
      local line = assert(reader:read "*l")
      if line:find "x+ job=" then seen = seen + 1 end
      lost = line:match "WARN  (%d+) log lines were lost"
    until lost
    assert.is_true(seen > 1000)
    assert.is_true(tonumber(lost) > 0 and seen + lost >= 8000)
    assert.equal(0, engine:stop(10))
    reader:close()
  end)

  H.it("may be a FIFO that nobody has opened yet", function(t)
    t:script("a.lua", NOISY)
    assert(os.execute("mkfifo " .. t.dir .. "/log") == 0)
    local engine = t:run({ "-w", "1", "--log-file", t.dir .. "/log" }, { ready = false })
    t:enqueue "noisy"
    t:wait_effects("ran", 1, 10)
    engine:signal "sigusr1"
    t:enqueue "noisy"
    t:wait_effects("ran", 2, 10)
    assert.equal(0, engine:stop(10))
  end)
end)

describe("a job that crashes its workers and jobs that keep theirs busy", function()
  H.it("do not stop the core: the job is dead after three crashes and TERM ends the engine", function(t)
    t:script("a.lua", t:released() .. [[
      skein.task("long", { timeout = 1, retries = 0 }, function()
        fx("long")
        local t0 = skein.now()
        while skein.now() - t0 < 8 do end
      end)
      skein.task("crashy", function() fx("crashy") os.exit(1) end)
      skein.task("go", function() assert(skein.enqueue_many { { task = "long" }, { task = "long" }, { task = "crashy" }, { task = "crashy" } }) end)]])
    local engine = t:run { "-w", "2" }
    t:enqueue "go"
    t:wait_effects("crashy", 6, 30)
    t:wait_for("both dead", 10, function() return #t:json("jobs", "--state", "dead", "--task", "crashy") == 2 end)
    assert.equal(0, engine:stop(10))
  end)
end)

describe("config.lua that does not end", function()
  local function config_children(engine)
    local found = {}
    for _, pid in ipairs(process.children(engine.child.pid)) do
      local line = files.read(("/proc/%d/cmdline"):format(pid))
      if line and line:find "worker%zconfig" then found[#found + 1] = pid end
    end
    return found
  end

  H.it("is killed after a time, with what it started, and the next HUP works", function(t)
    t:script("a.lua", [[skein.task("say", function() fx("said") end)]])
    t:config [[{ workers = 1 }]]
    local engine = t:run()
    t:file("config.lua", [[os.execute "sleep 1000"]])
    engine:signal "sighup"
    engine:wait_log("the configuration stays as it was: .*config.lua: it has not ended within", 10)
    assert.same({}, config_children(engine))
    t:wait_for("the end of sleep", 2, function()
      for _, stat in ipairs(t:left()) do
        if (files.read(("/proc/%d/cmdline"):format(stat.pid)) or ""):find "^sleep" then return false end
      end
      return true
    end)
    t:config [[{ workers = 1, log_level = "debug" }]]
    engine:signal "sighup"
    t:wait_for("the new level", 10, function()
      t:enqueue "say"
      return engine:logged("job done")[1]
    end)
  end)

  H.it("does not outlive the engine", function(t)
    t:script("a.lua", [[skein.task("say", function() fx("said") end)]])
    t:config [[{ workers = 1 }]]
    local engine = t:run()
    t:file("config.lua", "io.stdout:close() io.stderr:close() while true do end")
    engine:signal "sighup"
    local pid = t:wait_for("its process", 5, function() return config_children(engine)[1] end)
    local stat = process.stat(pid)
    assert.equal(0, engine:stop(10))
    t:wait_for("its end", 2, function() return not H.still_there(stat) end)
  end)
end)

describe("run --watch with the store in the folder", function()
  H.it_on("sqlite", "reloads the scripts while jobs are written all the time", function(t)
    t:use("sqlite:" .. t.scripts .. "/jobs.db")
    t:script("a.lua", [[skein.task("again", function() skein.enqueue_in(0.01, "again") end)
      skein.task("say", function() fx("version", "1") end)]])
    t:run { "-w", "1", "--watch" }
    for _ = 1, 5 do t:enqueue "again" end
    t:enqueue "say"
    t:wait_effects("version", 1)
    t:script("a.lua", [[skein.task("again", function() skein.enqueue_in(0.01, "again") end)
      skein.task("say", function() fx("version", "2") end)]])
    t:wait_for("version 2", 10, function()
      t:enqueue "say"
      local said = t:effects "version"
      return said[#said][1] == "2"
    end)
  end)
end)
