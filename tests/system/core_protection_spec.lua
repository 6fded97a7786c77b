-- The core goes on whatever its jobs, the reader of its log and its configuration do.
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
      skein.task("go", function() assert(skein.enqueue_many { { task = "long" }, { task = "long" },
        { task = "crashy" }, { task = "crashy" } }) end)]])
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
    engine:wait_log("the old configuration stays: .*config.lua: it has not ended within", 10)
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

describe("what a worker makes its core hold", function()
  local MB = 1024 * 1024

  -- The most memory that a process has had resident, in bytes.
  local function peak(pid)
    local status = assert(files.read(("/proc/%d/status"):format(pid)))
    return tonumber(status:match "VmHWM:%s*(%d+) kB") * 1024
  end

  H.it("is bounded when 300 threads list ten thousand jobs at once, and each gets its answer", function(t)
    t:script("a.lua", [[
      skein.task("later", { queue = "later" }, function() end)
      skein.task("fill", function()
        for _ = 1, 10 do
          local sigs = {}
          for i = 1, 1000 do sigs[i] = { task = "later", delay = 3600, args = { ("x"):rep(500) } } end
          assert(skein.enqueue_many(sigs))
        end
        fx("filled")
      end)
      skein.task("look", function()
        local threads = {}
        for i = 1, 300 do
          threads[i] = skein.spawn(function() return #assert(skein.admin.jobs { queue = "later", limit = 10000 }) end)
        end
        for i = 1, 300 do fx("seen", (threads[i]:wait())) end
      end)]])
    local engine = t:run { "-w", "1" }
    t:enqueue "fill"
    t:wait_effects("filled", 1, 20)
    t:enqueue "look"
    for _, f in ipairs(t:wait_effects("seen", 300, 120)) do assert.equal("10000", f[1]) end
    local bytes = peak(engine.child.pid)
    H.say("the core had %.0f MB", bytes / MB)
    assert.is_true(bytes < 200 * MB)
  end)

  H.it("is bounded when jobs of a megabyte are listed at once: that is refused, and a shorter list is not", function(t)
    t:script("a.lua", [[
      skein.task("later", { queue = "later" }, function() end)
      skein.task("look", function()
        for _ = 1, 200 do assert(skein.enqueue({ task = "later", delay = 3600 }, ("x"):rep(1000000))) end
        local threads = {}
        for i = 1, 20 do threads[i] = skein.spawn(function() return skein.admin.jobs { queue = "later", limit = 10000 }
          end) end
        for i = 1, 20 do
          local list, err = threads[i]:wait()
          fx("seen", list and #list or err.code)
        end
        fx("few", #assert(skein.admin.jobs { queue = "later", limit = 3 }))
      end)]])
    local engine = t:run { "-w", "1" }
    t:enqueue "look"
    assert.equal("3", t:wait_effects("few", 1, 60)[1][1])
    for _, f in ipairs(t:effects "seen") do assert.equal("limit", f[1]) end
    local bytes = peak(engine.child.pid)
    H.say("the core had %.0f MB", bytes / MB)
    assert.is_true(bytes < 400 * MB)
  end)

  H.it("is bounded when 1,000 threads wait for one job with a large result, and each gets it", function(t)
    t:script("a.lua", t:released() .. [[
      skein.task("large", { keep = 600 }, function() released "large" return ("x"):rep(500000) end)
      skein.task("wait", function()
        local h, threads = assert(skein.enqueue "large"), {}
        for i = 1, 1000 do threads[i] = skein.spawn(function() return #assert(h:wait(60)) end) end
        fx("waits")
        for i = 1, 1000 do fx("length", (threads[i]:wait())) end
      end)]])
    local engine = t:run { "-w", "1" }
    t:enqueue "wait"
    t:wait_effects("waits", 1, 10)
    t:release "large"
    for _, f in ipairs(t:wait_effects("length", 1000, 60)) do assert.equal("500000", f[1]) end
    local bytes = peak(engine.child.pid)
    H.say("the core had %.0f MB", bytes / MB)
    assert.is_true(bytes < 200 * MB)
  end)

  H.it("is bounded when 400 jobs of 1 MB run at once, and all of them do", function(t)
    t:script("a.lua", [[
      skein.task("big", function(job, text) skein.sleep(0.05) fx("big", #text) end)
      skein.task("fill", { queue = "fill" }, function()
        for _ = 1, 400 do assert(skein.enqueue("big", ("x"):rep(1000000))) end
        fx("filled")
      end)]])
    local filler = t:run { "-w", "1", "-q", "fill" }
    t:enqueue "fill"
    t:wait_effects("filled", 1, 60)
    assert.equal(0, filler:stop())
    local engine = t:run { "-w", "1", "-c", "400", "-q", "default" }
    t:wait_effects("big", 400, 60)
    local bytes = peak(engine.child.pid)
    H.say("the core had %.0f MB", bytes / MB)
    assert.is_true(bytes < 300 * MB)
  end)

  H.it("is bounded when a job prints two million lines without a pause, and so is the worker's memory", function(t)
    t:script("a.lua", [[
      skein.task("print", function()
        for i = 1, 2000000 do print("this is line number", i) end
        fx("printed", pid)
      end)]])
    local engine = t:run({ "-w", "1", "--log-file", "/dev/null" }, { ready = false })
    t:enqueue "print"
    local pid = tonumber(t:wait_effects("printed", 1, 60)[1][1])
    local worker, core = peak(pid), peak(engine.child.pid)
    H.say("the worker had %.0f MB, the core %.0f MB", worker / MB, core / MB)
    assert.is_true(worker < 100 * MB and core < 100 * MB)
  end)

  H.it("does not slow a worker's death: 30,000 waits of a worker are given up in a moment", function(t)
    t:script("a.lua", t:released() .. [[
      skein.task("later", { queue = "later" }, function() end)
      skein.task("wait", { retries = 0 }, function()
        for _ = 1, 30 do
          local sigs = {}
          for i = 1, 1000 do sigs[i] = { task = "later", delay = 3600 } end
          for _, h in ipairs(assert(skein.enqueue_many(sigs))) do skein.spawn(function() h:wait(3600) end) end
        end
        fx("waits", pid)
        released "die"
        os.exit(1)
      end)
      skein.task("tick", function() fx("tick", skein.now()) skein.enqueue_in(0.02, "tick") end)]])
    t:run { "-w", "2" }
    t:enqueue "wait"
    t:wait_effects("waits", 1, 30)
    t:enqueue "tick"
    t:wait_effects("tick", 10, 5)
    t:release "die"
    t:wait_effects("waits", 2, 30)
    local ticks, longest = t:effects "tick", 0
    for i = 2, #ticks do longest = math.max(longest, tonumber(ticks[i][1]) - tonumber(ticks[i - 1][1])) end
    H.say("the longest pause between two jobs was %.0f ms", longest * 1000)
    assert.is_true(longest < 2)
  end)
end)
