-- Skein survives, for real: dying workers and cores, poison jobs, endless loops, full disks, broken files, shutdowns.
local H = require "tests.system.harness"

local files, process, wait = H.files, H.process, H.wait

-- A script whose load leaves a line in "loads", so that a worker's start is seen without trusting the engine's log.
local LOADS = [[fx("loads", pid, skein.now()) ]]

-- A plan(n, task) job enqueues n jobs of a task in one go, each with its number.
local PLAN = [[skein.task("plan", { priority = 2 }, function(job, n, task)
  local sigs = {}
  for i = 1, n do sigs[i] = { task = task, args = { i } } end
  assert(skein.enqueue_many(sigs))
  fx("planned", n)
end) ]]

local function distinct(effects, field)
  local seen, n = {}, 0
  for _, f in ipairs(effects) do
    if not seen[f[field]] then seen[f[field]] = true n = n + 1 end
  end
  return n
end

-- Seconds until the script was loaded in the process `pid`, counted from the wall-clock time `since`.
local function loaded_after(t, pid, since)
  for _, f in ipairs(t:effects "loads") do
    if f[1] == pid then return tonumber(f[2]) - since end
  end
  error("no worker " .. pid .. " has loaded the scripts")
end

describe("the death of a worker", function()
  H.it("by kill -9 with 100 running jobs: all run again on its replacement, which starts within 100 ms", function(t)
    t:script("a.lua", LOADS .. t:released() .. PLAN .. [[ skein.task("hold", { retries = 0 }, function(job, n)
      fx("start", n, pid, skein.now(), job.attempt)
      released("all")
      fx("end", n)
    end)]])
    local engine = t:run { "-w", "1", "-c", "101" }
    t:enqueue("plan", 100, "hold")
    local first = t:wait_effects("start", 100)[1][2]
    local killed_at = H.now()
    H.process.kill_same(process.stat(tonumber(first)))
    local again = t:wait_effects("start", 200)
    local pid, last = again[101][2], 0
    for i = 101, 200 do
      assert.equal(pid, again[i][2])
      assert.equal("1", again[i][4])
      last = math.max(last, tonumber(again[i][3]) - killed_at)
    end
    local replaced = loaded_after(t, pid, killed_at)
    H.say("replacement loaded %.1f ms after the kill, the last of 100 jobs ran again after %.1f ms", replaced * 1000,
      last * 1000)
    assert.not_equal(first, pid)
    assert.is_true(replaced < 0.1)
    assert.equal(1, #engine:logged "WARN  worker died")
    t:release "all"
    t:wait_effects("end", 100)
    assert.equal(100, distinct(t:effects "end", 1))
    assert.equal(200, t:count "start")
    t:wait_for("an empty store", 5, function() return #t:json "jobs" == 0 end)
    assert.equal(0, engine:stop())
  end)

  -- `fatal` is Lua that ends the process the first time the job runs; at once, unless slow.
  local function check_fatal(t, fatal, log, slow)
    local two_lines = "#(function() local n = {} for l in io.lines(%q) do n[#n + 1] = l end return n end)() > 1"
    t:script("a.lua", LOADS .. t:released() .. PLAN .. ([[
      skein.task("neighbour", { retries = 0 }, function(job, n) fx("start", n, pid) released("all") fx("end", n) end)
      skein.task("fatal", { retries = 0 }, function(job)
        fx("fatal", pid, skein.now(), job.attempt)
        if %s then return end
        %s
      end)]]):format(two_lines:format(t.effects_dir .. "/fatal"), fatal))
    local engine = t:run { "-w", "1", "-c", "20" }
    t:enqueue("plan", 10, "neighbour")
    t:wait_effects("start", 10)
    t:enqueue "fatal"
    local first = t:wait_effects("fatal", 1)[1]
    local died_at = tonumber(first[2])
    if slow then
      t:wait_for("the death of the worker", 10, function() return not process.alive(tonumber(first[1])) end)
      died_at = H.now()
    end
    local ran = t:wait_effects("fatal", 2)
    t:wait_effects("start", 20)
    local replaced = loaded_after(t, ran[2][1], died_at)
    H.say("replacement loaded %.1f ms after the death", replaced * 1000)
    assert.is_true(replaced < 0.1)
    assert.equal("1", ran[2][3])
    local died = engine:logged "WARN  worker died"
    assert.equal(1, #died)
    assert.matches(log, died[1].text)
    t:release "all"
    t:wait_effects("end", 10)
    t:wait_for("an empty store", 5, function() return #t:json "jobs" == 0 end)
    assert.equal(0, t:counters().dead)
    assert.equal(0, engine:stop())
  end

  H.it("by os.exit: noticed, and its jobs run again", function(t) check_fatal(t, "os.exit(3)", "status=3") end)
  H.it("by os.exit(0) too", function(t) check_fatal(t, "os.exit(0)", "status=0") end)
  H.it("by a NULL dereference through FFI: noticed, and its jobs run again", function(t)
    check_fatal(t, "ffi.cast('int *', 0)[0] = 1", "signal=11")
  end)

  H.it("by memory over memory_max that no Lua error could stop: noticed, and its jobs run again", function(t)
    t:config '{ memory_max = "64MB" }'
    check_fatal(t, [[ffi.cdef "void *malloc(size_t); void *memset(void *, int, size_t);"
      for i = 1, 64 do ffi.C.memset(ffi.C.malloc(4194304), 1, 4194304) end skein.sleep(30)]], "worker died", true)
  end)

  H.it("is no loss for jobs of the other workers", function(t)
    t:script("a.lua", t:released() .. PLAN
      .. [[ skein.task("hold", function(job, n) fx("start", n, pid) released("all") fx("end", n) end)]])
    t:run { "-w", "2", "-c", "11" }
    t:enqueue("plan", 22, "hold")
    local starts = t:wait_effects("start", 22)
    local victim, of_victim = starts[1][2], 0
    for _, f in ipairs(starts) do if f[2] == victim then of_victim = of_victim + 1 end end
    assert.equal(2, distinct(starts, 2))
    process.kill_same(process.stat(tonumber(victim)))
    t:wait_effects("start", 22 + of_victim)
    t:release "all"
    t:wait_effects("end", 22)
    assert.equal(22 + of_victim, t:count "start")
  end)
end)

describe("memory_max", function()
  H.it("is a catchable Lua error first, and the worker lives on", function(t)
    t:config '{ memory_max = "64MB" }'
    t:script("a.lua", [[
      local function hog() local all = {} for i = 1, 1e6 do all[i] = ("x"):rep(1e5) .. i end end
      skein.task("caught", function() local ok, err = pcall(hog) return { ok = ok, err = tostring(err), pid = pid } end)
      skein.task("uncaught", { retries = 0 }, function() hog() end)
      skein.task("after", function() return pid end)]])
    local engine = t:run { "-w", "1" }
    local caught = t:wait_state(t:enqueue "caught", "done", 20).result
    assert.is_false(caught.ok)
    assert.matches("memory", caught.err)
    local job = t:wait_state(t:enqueue "uncaught", "dead", 20)
    assert.equal("error", job.error.kind)
    assert.matches("memory", job.error.message)
    assert.equal(caught.pid, t:wait_state(t:enqueue "after", "done").result)
    assert.equal(0, #engine:logged "WARN  worker died")
  end)
end)

describe("a poison job", function()
  H.it("is dead after 3 workers, saying so; the jobs beside it finish and are not blamed", function(t)
    t:script("a.lua", t:released() .. [[
      ffi.cdef "int kill(int, int);"
      skein.task("neighbour", { keep = 60 }, function(job, n) fx("start", n, pid) released("all") fx("end", n) end)
      skein.task("poison", function(job) fx("poison", pid) ffi.C.kill(pid, 9) end)]])
    local engine = t:run { "-w", "1", "-c", "10" }
    local neighbours = {}
    for i = 1, 5 do neighbours[i] = t:enqueue("neighbour", i) end
    t:wait_effects("start", 5)
    local id = t:enqueue "poison"
    local job = t:wait_state(id, "dead", 10)
    assert.equal("crash", job.error.kind)
    assert.equal(3, job.crashes)
    assert.matches("3", job.error.message)
    assert.matches("worker", job.error.message)
    assert.equal(3, t:count "poison")
    assert.equal(3, distinct(t:effects "poison", 1))
    assert.equal(3, #engine:logged "WARN  worker died")
    t:release "all"
    for _, neighbour in ipairs(neighbours) do
      local done = t:wait_state(neighbour, "done")
      assert.equal(1, done.attempts)
      assert.is_true(done.crashes < 3)
    end
    assert.equal(5, distinct(t:effects "end", 1))
    assert.equal(5, t:count "end")
    assert.equal(1, t:counters().dead)
  end)

  H.it("leaves its neighbours alone even when there are several poison jobs", function(t)
    t:script("a.lua", t:released() .. [[
      ffi.cdef "int kill(int, int);"
      skein.task("neighbour", function(job, n) fx("start", n, pid) released("all") fx("end", n) end)
      skein.task("poison", function(job, n) fx("poison", n) ffi.C.kill(pid, 9) end)]])
    t:run { "-w", "1", "-c", "10" }
    for i = 1, 3 do t:enqueue("neighbour", i) end
    t:wait_effects("start", 3)
    local ids = {}
    for i = 1, 3 do ids[i] = t:enqueue("poison", i) end
    for i = 1, 3 do t:wait_state(ids[i], "dead", 10) end
    t:release "all"
    t:wait_effects("end", 3)
    assert.equal(3, distinct(t:effects "end", 1))
    assert.equal(3, t:counters().dead)
  end)
end)

describe("while true do end, compiled, with timeout = 1", function()
  H.it("is stopped within the hard limit and counted as one failed attempt; its neighbours run on", function(t)
    t:script("a.lua", t:released() .. [[
      skein.task("endless", { timeout = 1, backoff = { 60 } }, function() fx("endless", pid, skein.now()) while true do
        end end)
      skein.task("neighbour", { keep = 60, retries = 0 }, function(job, n) fx("start", n, pid) released("all")
        fx("end", n, skein.now()) end)
      skein.task("quick", function(job, n) fx("quick", n, skein.now()) end)]])
    t:run { "-w", "2", "-c", "10" }
    local ids = {}
    for i = 1, 8 do ids[i] = t:enqueue("neighbour", i) end
    t:wait_effects("start", 8)
    local id = t:enqueue "endless"
    local began = tonumber(t:wait_effects("endless", 1)[1][2])
    -- The other worker goes on meanwhile.
    for i = 1, 5 do
      t:enqueue("quick", i)
      t:wait_effects("quick", i)
    end
    local job = t:wait_state(id, "retry", 10)
    local took = H.now() - began
    H.say("stopped and settled after %.2f s", took)
    assert.is_true(took < 6.5, "took " .. took) -- 1 s and the 5 s of grace
    assert.equal(1, job.attempts)
    assert.equal("timeout", job.error.kind)
    assert.equal(1, t:count "endless")
    t:release "all"
    for _, neighbour in ipairs(ids) do
      local done = t:wait_state(neighbour, "done")
      assert.equal(1, done.attempts)
    end
    assert.equal(8, distinct(t:effects "end", 1))
    assert.equal(0, t:counters().dead)
  end)
end)

describe("kill -9 of the core", function()
  local function gone(workers)
    for _, worker in ipairs(workers) do if H.still_there(worker) then return false end end
    return true
  end

  H.it("20 times at random moments during 20,000 jobs: nothing is lost and nothing left behind", function(t)
    local JOBS, KILLS = 20000, 20
    t:script("a.lua", PLAN
      .. [[ skein.task("note", { retries = 0 }, function(job, n) skein.sleep(0.02) fx("note", n) end)]])
    -- The job that enqueues them all must not be among those that are killed and run again.
    local planner = t:run { "-w", "1", "-q", "plan" }
    t:enqueue("plan", JOBS, "note", { flags = { "--queue", "plan" } })
    t:wait_effects("planned", 1, 20)
    assert.equal(0, planner:stop())
    local args = { "-w", "2", "-c", "100" }
    math.randomseed(os.time())
    for kill = 1, KILLS do
      local engine = t:run(args, { ready = false })
      if kill % 4 == 0 then
        -- Somewhere in its start.
        wait.poll(math.random() * 0.12, function() return false end)
      else
        local target = t:count "note" + math.random(1, 1200)
        wait.wait_for("some jobs", 20, function() return t:count "note" >= math.min(target, JOBS - 100) end)
      end
      local workers = engine:kill_core()
      wait.wait_for("the end of the workers of core " .. engine.child.pid, 1, function() return gone(workers) end)
    end
    local so_far = t:count "note"
    assert.is_true(so_far < JOBS, "all jobs were done before the last kill")
    local code = t:drain(args, 60)
    assert.equal(0, code)
    local notes = t:effects "note"
    local done = distinct(notes, 1)
    H.say("20,000 jobs, 20 kills (%d jobs done by then): %d lost, %d ran twice", so_far, JOBS - done, #notes - done)
    assert.equal(JOBS, done)
    assert.equal(0, t:counters().dead)
    assert.same({}, t:json "jobs")
    for _, name in ipairs(files.list(t.dir)) do
      assert.is_truthy(({ scripts = 1, effects = 1, ["jobs.db"] = 1, ["jobs.db-wal"] = 1, ["jobs.db-shm"] = 1,
        ["jobs.db-lock"] = 1, ["redis.sock"] = 1 })[name], "left behind: " .. name)
    end
  end)

  H.it("while jobs run: the next engine takes them back at once, at no attempt", function(t)
    t:script("a.lua", t:released() .. PLAN .. [[ skein.task("hold", { retries = 0 }, function(job, n)
      fx("start", n, skein.now(), job.attempt) released("all") fx("end", n) end)]])
    local engine = t:run { "-w", "1", "-c", "20" }
    t:enqueue("plan", 10, "hold")
    t:wait_effects("start", 10)
    engine:kill_core()
    t:run { "-w", "1", "-c", "20" }
    for i, f in ipairs(t:wait_effects("start", 20, 3)) do assert.equal("1", f[3], "start " .. i) end
    t:release "all"
    t:wait_effects("end", 10)
    t:wait_for("an empty store", 5, function() return #t:json "jobs" == 0 end)
  end)

  H.it("takes workers along that are in an endless loop", function(t)
    t:script("a.lua", [[skein.task("endless", function() fx("endless", pid) while true do end end)]])
    local engine = t:run { "-w", "1" }
    t:enqueue "endless"
    t:wait_effects("endless", 1)
    local workers = engine:kill_core()
    assert.equal(1, #workers)
    wait.wait_for("the end of the worker", 1, function() return gone(workers) end)
  end)
end)

describe("a store that can't be used", function()
  local function intact(t, path)
    local result = t:cli({ path, "pragma integrity_check" }, { program = "sqlite3" })
    return result.out == "ok\n" or result.out .. result.err
  end

  local ADD = [[skein.task("add", function(job, a, b) fx("added", a) return a + b end)
    skein.task("swallow", function() fx("swallowed") end)]]

  -- Every command that needs the store fails with 69 and says what and why.
  local function all_fail(t, url, ...)
    for _, args in ipairs { { "run", t.scripts, "--drain" }, { "enqueue", "add", "1", "2" }, { "jobs" },
      { "stats" } } do
      args[#args + 1] = "-s"
      args[#args + 1] = url
      local result = t:cli(args)
      local what = args[1] .. ": " .. result.err
      assert.equal(69, result.code, what)
      for _, pattern in ipairs { ... } do assert.matches(pattern, result.err, 1, false, what) end
      assert.is_falsy(result.err:find "stack traceback")
    end
  end

  H.it_on("sqlite", "a full disk: commands say so, the engine rides it out, nothing is damaged", function(t)
    local disk = t:mount("disk", "3m")
    if not disk then pending "this machine does not allow a test to mount a file system" end
    t.env.SKEIN_STORE = "sqlite:" .. disk .. "/jobs.db"
    t:script("a.lua", ADD .. t:released()
      .. [[ skein.task("hold", function() fx("holding") released("hold") fx("held") end)]])
    local engine = t:run { "-w", "1" }
    t:enqueue "hold"
    t:wait_effects("holding", 1)
    local filler = assert(io.open(disk .. "/filler", "w"))
    filler:setvbuf "no"
    repeat until not filler:write(("x"):rep(4096))
    filler:close()
    local big = ('"%s"'):format(("y"):rep(100000))
    local result = t:cli { "enqueue", "swallow", big }
    assert.equal(69, result.code, result.err)
    assert.matches("disk/jobs%.db.*space", result.err)
    t:release "hold"
    t:wait_effects("held", 1)
    assert.is_true(engine.child:running())
    files.remove(disk .. "/filler")
    t:ok("enqueue", "swallow", big)
    t:wait_effects("swallowed", 1)
    t:wait_for("an empty store", 10, function() return #t:json "jobs" == 0 end)
    assert.equal(1, t:count "held")
    assert.equal(0, engine:stop())
    assert.is_true(intact(t, disk .. "/jobs.db"))
  end)

  H.it_on("sqlite", "a limit on the size of files: a clear message, no signal, nothing damaged", function(t)
    t:script("a.lua", ADD)
    for i = 1, 3 do t:enqueue("add", i, i) end
    local result = t:cli({ "--fsize=60000", H.skein, "enqueue", "swallow", ('"%s"'):format(("y"):rep(100000)) },
      { program = "prlimit" })
    assert.equal(69, result.code, result.err)
    assert.matches("jobs%.db", result.err)
    assert.equal(3, #t:json "jobs")
    assert.equal(0, (t:drain()))
    assert.equal(3, t:count "added")
    assert.is_true(intact(t, t.dir .. "/jobs.db"))
  end)

  H.it_on("sqlite", "a read-only file system: the path and the reason", function(t)
    t:script("a.lua", ADD)
    local disk = t:mount("disk", "3m")
    if not disk then pending "this machine does not allow a test to mount a file system" end
    local url = "sqlite:" .. disk .. "/jobs.db"
    t:ok("enqueue", "add", "1", "2", "-s", url)
    assert.equal(0, t:cli({ "-o", "remount,ro", disk }, { program = "mount" }).code)
    for _, args in ipairs { { "run", t.scripts, "--drain", "-s", url }, { "enqueue", "add", "1", "2", "-s", url } } do
      local result = t:cli(args)
      assert.equal(69, result.code, result.err)
      assert.matches("disk/jobs%.db", result.err)
      assert.matches("read%-only", result.err:lower())
    end
    t:cli({ "-o", "remount,rw", disk }, { program = "mount" })
    assert.equal(1, #t:json("jobs", "-s", url))
  end)

  H.it_on("sqlite", "a directory without write permission: the path and the reason", function(t)
    t:script("a.lua", ADD)
    files.make_dirs(t.dir .. "/locked")
    assert(require("luv").fs_chmod(t.dir .. "/locked", 365)) -- 0555
    local args = { "enqueue", "add", "1", "2", "-s", "sqlite:" .. t.dir .. "/locked/jobs.db" }
    local result
    if require("luv").getuid() == 0 then -- root may write anywhere
      result = t:cli({ "--reuid=65534", "--regid=65534", "--clear-groups", H.skein, unpack(args) },
        { program = "setpriv" })
    else
      result = t:cli(args)
    end
    assert.equal(69, result.code, result.err)
    assert.matches("locked/jobs%.db", result.err)
    assert.same({}, files.list(t.dir .. "/locked"))
  end)

  H.it_on("sqlite", "a database file that is garbage: said, and not touched", function(t)
    t:script("a.lua", ADD)
    local garbage = ("not a database, sorry. "):rep(500)
    files.write(t.dir .. "/garbage.db", garbage)
    all_fail(t, "sqlite:" .. t.dir .. "/garbage.db", "garbage%.db", "not a Skein store")
    assert.equal(garbage, files.read(t.dir .. "/garbage.db"))
  end)

  H.it_on("sqlite", "a database of another program: said, and not touched", function(t)
    t:script("a.lua", ADD)
    local path = t.dir .. "/other.db"
    t:cli({ path, "create table jobs (x); insert into jobs values (1);" }, { program = "sqlite3" })
    local before = files.read(path)
    all_fail(t, "sqlite:" .. path, "other%.db")
    assert.equal(before, files.read(path))
  end)

  H.it_on("sqlite", "a database of a newer version: said with both versions, and not touched", function(t)
    t:script("a.lua", ADD)
    t:enqueue("add", 1, 2)
    local path = t.dir .. "/jobs.db"
    t:cli({ path, "pragma user_version = 4711; pragma wal_checkpoint(truncate)" }, { program = "sqlite3" })
    local before = files.read(path)
    all_fail(t, t.url, "jobs%.db", "4711", "1")
    assert.equal(before, files.read(path))
  end)

  H.it_on("sqlite", "a directory in place of the file", function(t)
    t:script("a.lua", ADD)
    files.make_dirs(t.dir .. "/folder.db")
    all_fail(t, "sqlite:" .. t.dir .. "/folder.db", "folder%.db")
  end)
end)

describe("shutdown", function()
  local SLEEPER = [[skein.task("sleeper", { retries = 0 }, function(job, n)
      fx("start", n, job.attempt)
      if not io.open("%s/release-all") then skein.sleep(60) end
      fx("end", n)
    end)]]

  local function sleeping(t, args)
    t:script("a.lua", SLEEPER:format(t.effects_dir))
    local engine = t:run(args)
    local ids = {}
    for i = 1, 5 do ids[i] = t:enqueue("sleeper", i) end
    t:wait_effects("start", 5)
    return engine, ids
  end

  -- They are ready, no attempt counts, and they run on another engine.
  local function handed_back(t, ids)
    for _, id in ipairs(ids) do
      local job = t:job(id)
      assert.equal("ready", job.state)
      assert.equal(0, job.attempts)
      assert.equal(0, job.crashes)
    end
    t:release "all"
    assert.equal(0, (t:drain()))
    for _, f in ipairs(t:effects "start") do assert.equal("1", f[2]) end
    assert.equal(#ids, t:count "end")
  end

  local function stopped_within(engine, low, high)
    local before = wait.seconds()
    local code = engine:wait_exit(high + 5)
    local took = engine.child.ended_at - before
    H.say("stopped after %.2f s", took)
    assert.is_true(took >= low and took < high, "took " .. took)
    return code
  end

  H.it("TERM with jobs that sleep for longer than shutdown_timeout: in time, the jobs ready again, no attempt counted",
    function(t)
    local engine, ids = sleeping(t, { "-w", "2", "-t", "1" })
    engine:signal "sigterm"
    assert.equal(0, stopped_within(engine, 0.9, 1.5))
    handed_back(t, ids)
  end)

  H.it("INT as TERM, with the timeout of the environment", function(t)
    t.env.SKEIN_SHUTDOWN_TIMEOUT = "0.5"
    local engine, ids = sleeping(t, { "-w", "1" })
    engine:signal "sigint"
    assert.equal(0, stopped_within(engine, 0.4, 1))
    handed_back(t, ids)
  end)

  H.it("TERM twice: now", function(t)
    local engine, ids = sleeping(t, { "-w", "2" })
    engine:signal "sigterm"
    engine:wait_log "[Ss]topping"
    engine:signal "sigterm"
    stopped_within(engine, 0, 0.5)
    handed_back(t, ids)
  end)

  H.it("QUIT: now", function(t)
    local engine, ids = sleeping(t, { "-w", "2" })
    engine:signal "sigquit"
    stopped_within(engine, 0, 0.5)
    handed_back(t, ids)
  end)

  H.it("TERM lets running jobs finish, starts no more, and ends when they have", function(t)
    t:script("a.lua", t:released()
      .. [[ skein.task("hold", function(job, n) fx("start", n) released("all") fx("end", n) end)]])
    local engine = t:run { "-w", "1", "-c", "2" }
    for i = 1, 4 do t:enqueue("hold", i) end
    t:wait_effects("start", 2)
    engine:signal "sigterm"
    engine:wait_log "[Ss]topping"
    t:release "all"
    assert.equal(0, engine:wait_exit(5))
    assert.equal(2, t:count "start")
    assert.equal(2, t:count "end")
    assert.equal(2, #t:json("jobs", "--state", "ready"))
  end)

  H.it("QUIT with an endless loop: now", function(t)
    t:script("a.lua", [[skein.task("endless", function() fx("endless") while true do end end)]])
    local engine = t:run { "-w", "1" }
    local id = t:enqueue "endless"
    t:wait_effects("endless", 1)
    engine:signal "sigquit"
    stopped_within(engine, 0, 0.5)
    assert.equal("ready", t:job(id).state)
    assert.equal(0, t:job(id).crashes)
  end)

  H.it("TERM with an endless loop: within shutdown_timeout, the job ready again and unblamed", function(t)
    t:script("a.lua", [[skein.task("endless", function() fx("endless") while true do end end)]])
    local engine = t:run { "-w", "1", "-t", "0.5" }
    local id = t:enqueue "endless"
    t:wait_effects("endless", 1)
    engine:signal "sigterm"
    assert.equal(0, stopped_within(engine, 0.4, 1))
    local job = t:job(id)
    assert.equal("ready", job.state)
    assert.equal(0, job.attempts)
    assert.equal(0, job.crashes)
  end)
end)

describe("signals", function()
  H.it("TSTP stops fetching, running jobs go on; CONT fetches again", function(t)
    t:script("a.lua", t:released() .. [[ skein.task("hold", function() fx("start") released("hold") fx("end") end)
      skein.task("quick", function() fx("quick") end)]])
    local engine = t:run { "-w", "1" }
    t:enqueue "hold"
    t:wait_effects("start", 1)
    local lines = #engine:log()
    engine:signal "sigtstp"
    t:wait_for("a word about TSTP", 5, function() return #engine:log() > lines end)
    local id = t:enqueue "quick"
    t:release "hold"
    t:wait_effects("end", 1)
    wait.never("a job was fetched after TSTP", 0.3, function() return t:count "quick" > 0 end)
    assert.equal("ready", t:job(id).state)
    engine:signal "sigcont"
    t:wait_effects("quick", 1)
    assert.equal(0, engine:stop())
  end)

  H.it("TTIN logs every running job with its traceback", function(t)
    t:script("a.lua", [[local function deep()
  skein.sleep(60)
end
skein.task("hold", function() fx("start") deep() end)]])
    local engine = t:run { "-w", "1", "-t", "0.1" }
    local ids = { t:enqueue "hold", t:enqueue "hold" }
    t:wait_effects("start", 2)
    engine:signal "sigttin"
    t:wait_for("two tracebacks", 5, function()
      local text, n = engine.child.stderr, 0
      for _, id in ipairs(ids) do if text:find(id, 1, true) then n = n + 1 end end
      local _, deep = text:gsub("a%.lua:2:", "")
      return n == 2 and deep >= 2
    end)
    assert.is_true(engine.child:running())
  end)

  H.it("TTIN is answered while a job is in an endless loop", function(t)
    t:script("a.lua", [[skein.task("endless", function() fx("start") while true do end end)]])
    local engine = t:run { "-w", "1", "-t", "0.1" }
    local id = t:enqueue "endless"
    t:wait_effects("start", 1)
    engine:signal "sigttin"
    engine:wait_log(id)
  end)
end)

describe("an unknown task", function()
  H.it("is put back with a delay and a warning, never a hot loop, and dead after unknown_max tries", function(t)
    t:config "{ unknown_max = 3, unknown_delay = 1 }"
    t:script("a.lua", [[skein.task("known", function() end)]])
    local engine = t:run { "-w", "1" }
    local before = wait.seconds()
    local id = t:enqueue("knwon", 1)
    engine:wait_log "WARN.*knwon"
    local job = t:wait_state(id, "dead", 5)
    assert.is_true(wait.seconds() - before >= 2)
    assert.equal("unknown_task", job.error.kind)
    assert.matches("knwon", job.error.message)
    assert.equal(0, job.attempts)
    local lines = #engine:logged "knwon"
    assert.is_true(lines >= 1 and lines <= 5, lines .. " log lines")
  end)

  H.it("runs as soon as an engine knows it", function(t)
    t:config "{ unknown_max = 10, unknown_delay = 1 }"
    t:script("a.lua", [[skein.task("known", function() end)]])
    local engine = t:run { "-w", "1" }
    local id = t:enqueue "later"
    engine:wait_log "later"
    engine:stop()
    t:script("a.lua", [[skein.task("later", function(job) fx("ran", job.attempt) return 1 end)]])
    t:run { "-w", "1" }
    t:wait_state(id, "done")
    assert.same({ { "1" } }, t:effects "ran")
  end)
end)

describe("what handlers do wrong is named with file and line", function()
  -- Runs task "bad" to its death and returns the job, and all that is said of it: the job's record and the log.
  local function death(t, script)
    t:script("bad.lua", script)
    local engine = t:run { "-w", "1" }
    local job = t:wait_state(t:enqueue "bad", "dead")
    local said = job.error.message .. "\n" .. tostring(job.error.traceback) .. "\n" .. engine.child.stderr
    assert.equal(0, #engine:logged "WARN  worker died")
    return job, said
  end

  for _, case in ipairs { { "a function", "{ { f = function() end } }" }, { "a userdata", "{ { f = io.stdout } }" },
                          { "NaN", "{ { f = 0/0 } }" }, { "a coroutine", "{ { f = coroutine.create(print) } }" } } do
    local what, value = unpack(case)
    H.it("a result with " .. what .. " in it", function(t)
      local job, said = death(t, "\nskein.task('bad', { retries = 0 }, function()\n  return " .. value .. "\nend)")
      assert.equal("result", job.error.kind)
      assert.matches("result%[1%]%.f", job.error.message)
      assert.matches("bad%.lua:%d+", said)
    end)
  end

  for _, case in ipairs { { "a table", "{ code = 42 }" }, { "nil", "nil" }, { "a userdata", "io.stdout" },
    { "a number", "42" },
                          { "false", "false" }, { "a cdata", "ffi.new('int[1]')" },
                          { "a table whose tostring fails",
                            "setmetatable({}, { __tostring = function() error 'no' end })" } } do
    local what, value = unpack(case)
    H.it("an error that is " .. what, function(t)
      local job, said = death(t, "\nskein.task('bad', { retries = 0 }, function()\n  error(" .. value .. ")\nend)")
      assert.equal("error", job.error.kind)
      assert.is_true(#job.error.message > 0)
      assert.matches("bad%.lua:3", said)
    end)
  end

  H.it("an error that is a table with a message", function(t)
    local job = death(t,
      "\nskein.task('bad', { retries = 0 }, function()\n  error { code = 'E1', message = 'all gone' }\nend)")
    assert.matches("all gone", job.error.message)
  end)

  H.it("an error inside an error handler", function(t)
    t:script("bad.lua", [[skein.on("error", function()
  error "handler trouble"
end)
skein.on("death", function()
  error "death trouble"
end)
skein.task("bad", { retries = 1, backoff = { 0 } }, function() fx("ran") error "job trouble" end)
skein.task("good", function() return 1 end)]])
    local engine = t:run { "-w", "1" }
    local job = t:wait_state(t:enqueue "bad", "dead")
    assert.matches("job trouble", job.error.message)
    assert.equal(2, t:count "ran")
    engine:wait_log "bad%.lua:2: handler trouble"
    engine:wait_log "bad%.lua:5: death trouble"
    t:wait_state(t:enqueue "good", "done")
    assert.equal(0, #engine:logged "WARN  worker died")
  end)

  H.it("an error inside a backoff function: logged, and retried by the default", function(t)
    t:script("bad.lua", [[skein.task("bad", { backoff = function()
  error "backoff trouble"
end }, function() error "job trouble" end)]])
    local engine = t:run { "-w", "1" }
    local job = t:wait_state(t:enqueue "bad", "retry")
    assert.matches("job trouble", job.error.message)
    engine:wait_log "bad%.lua:2: backoff trouble"
  end)

  H.it("a stack overflow", function(t)
    local job = death(t,
      "\nlocal function f() return 1 + f() end\nskein.task('bad', { retries = 0 }, function() f() end)")
    assert.matches("stack overflow", job.error.message)
  end)
end)

describe("what scripts do wrong is named with file and line, before anything runs", function()
  -- `check` exits 1, `run` refuses with 78; both say what matches.
  local function refused(t, script, ...)
    t:script("bad.lua", script)
    t:enqueue "good"
    t:script("good.lua", [[skein.task("good", function() fx("ran") end)]])
    local check, run = t:cli { "check", t.scripts }, t:cli { "run", t.scripts, "--drain" }
    assert.equal(1, check.code, check.out .. check.err)
    assert.equal(78, run.code, run.out .. run.err)
    for _, pattern in ipairs { ... } do
      assert.matches(pattern, check.out .. check.err)
      assert.matches(pattern, run.err)
    end
    assert.equal(0, t:count "ran")
  end

  H.it("a syntax error", function(t) refused(t, "\nlocal x = = 1", "bad%.lua:2: .*=") end)
  H.it("an error at load time", function(t) refused(t, "\n\nnil_function()", "bad%.lua:3: .*nil_function") end)
  H.it("two tasks of one name, with both places", function(t)
    refused(t, "\nskein.task('twin', function() end)\nskein.task('twin', function() end)", "bad%.lua:3: .*twin",
      "bad%.lua:2")
  end)
  H.it("a misspelt option, with the nearest known one", function(t)
    refused(t, "\nskein.task('x', { retires = 3 }, function() end)", "bad%.lua:2: .*retires.*retries")
  end)
  H.it("an option of the wrong type", function(t) refused(t, "\nskein.task('x', { retries = 'many' }, function() end)",
    "bad%.lua:2: .*retries") end)
  H.it("an option out of range", function(t) refused(t, "\nskein.task('x', { priority = 3 }, function() end)",
    "bad%.lua:2: .*priority.*3") end)
  H.it("an unknown backoff", function(t) refused(t, "\nskein.task('x', { backoff = 'exponental' }, function() end)",
    "bad%.lua:2: .*exponental") end)
  H.it("a task without a handler", function(t) refused(t, "\nskein.task('x', { retries = 3 })", "bad%.lua:2: ") end)
  H.it("a name that is none", function(t) refused(t, "\nskein.task('two words', function() end)",
    "bad%.lua:2: .*two words") end)
  H.it("an event that does not exist", function(t) refused(t, "\nskein.on('eror', function() end)",
    "bad%.lua:2: .*eror.*error") end)
  H.it("an endless loop at load time does not stop the engine from ending", function(t)
    t:script("bad.lua", "\nfx('loading', pid) while true do end")
    local engine = t:run({ "-w", "1" }, { ready = false, may_end = true })
    t:wait_effects("loading", 1)
    local workers = engine:workers()
    engine:signal "sigquit"
    engine:wait_exit(2)
    wait.wait_for("the end of its workers", 1, function()
      for _, pid in ipairs(workers) do if process.alive(pid) then return false end end
      return true
    end)
  end)
end)
