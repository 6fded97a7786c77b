-- A job does no harm to the other jobs of its worker, whatever it does there and leaves there.
local H = require "tests.system.harness"

local ONE = { "-w", "1", "-c", "10" }
local SLACK_MB = os.getenv "SKEIN_TEST_PRELOAD" and 300 or 30 -- a sanitizer keeps for a while what was freed

local function result_of(t, task, ...) return t:wait_state(t:enqueue(task, ...), "done", 10).result end

describe("a job", function()
  H.it("that leaves a debug hook behind fails no other", function(t)
    t:script("a.lua", [[
      local function hook() error("hooked", 0) end
      skein.task("waits", { retries = 0 }, function()
        pcall(debug.sethook, hook, "l")
        skein.sleep(0.01)
        return debug.gethook() == nil
      end)
      skein.task("dies", { retries = 0, on_death = function() fx("death") end }, function() debug.sethook(hook, "c")
        error("x") end)
      skein.task("ok", { retries = 0 }, function(_, n)
        for i = 1, n do local _ = i end
        return n
      end)]])
    local engine = t:run(ONE)
    for _ = 1, 2 do
      t:wait_state(t:enqueue "waits", "dead")
      t:wait_state(t:enqueue "dies", "dead")
      assert.equal(100, result_of(t, "ok", 100))
    end
    assert.equal(2, t:count "death")
    assert.equal(0, #engine:logged "worker died")
  end)

  H.it("under a hook that the scripts have set leaves that one in place", function(t)
    t:script("a.lua", [[
      local calls = 0
      debug.sethook(function() calls = calls + 1 end, "c")
      skein.task("own", { retries = 0 }, function() debug.sethook(function() end, "", 1000) return 1 end)
      skein.task("calls", { retries = 0 }, function() for _ = 1, 10 do pcall(error) end return calls end)]])
    t:run(ONE)
    t:wait_state(t:enqueue "own", "done")
    local before = result_of(t, "calls")
    assert.is_true(before > 0 and result_of(t, "calls") > before, "the scripts' hook is gone")
  end)

  H.it("that closes all handles it finds with uv.walk closes those of scripts", function(t)
    t:script("a.lua", [[
      local uv = require "luv"
      skein.task("walk", { retries = 0 }, function()
        uv.new_timer():start(60000, 0, function() end)
        local n = 0
        uv.walk(function(handle)
          n = n + 1
          if not handle:is_closing() then handle:close() end
        end)
        skein.sleep(0.01)
        return n
      end)]])
    local engine = t:run(ONE)
    for _ = 1, 3 do assert.equal(1, result_of(t, "walk")) end
    assert.equal(0, #engine:logged "worker died")
  end)

  H.it("that resumes the coroutine in which another waits fails alone, and nobody is cancelled", function(t)
    t:script("a.lua", t:released() .. [[
      local generator = coroutine.wrap(function() while true do released "go" coroutine.yield(1) end end)
      skein.task("gen", { retries = 0 }, function(job, with) fx("gen", job.id) return generator(with) end)]])
    t:run(ONE)
    local first = t:enqueue("gen", 8)
    t:wait_effects("gen", 1)
    for with = 0, 9 do
      local job = t:wait_state(t:enqueue("gen", with), "dead")
      assert.equal("error", job.error.kind)
      assert.matches("a job waits", job.error.message)
    end
    t:release "go"
    assert.equal(1, t:wait_state(first, "done").result)
  end)

  H.it("that raises how another was stopped has failed: only one that was told to stop is cancelled or timed out",
    function(t)
    t:script("a.lua", [[
      local kept
      skein.task("stops", { retries = 0, timeout = 0.05 }, function()
        local ok, err = pcall(skein.sleep, 5)
        kept = err
        error(err)
      end)
      skein.task("again", { retries = 0 }, function() error(kept) end)
      skein.task("forged", { retries = 0 }, function() kept.stop = "cancelled" error(kept) end)]])
    t:run(ONE)
    assert.equal("timeout", t:wait_state(t:enqueue "stops", "dead").error.kind)
    assert.equal("error", t:wait_state(t:enqueue "again", "dead").error.kind)
    assert.equal("error", t:wait_state(t:enqueue "forged", "dead").error.kind)
  end)

  H.it("that raises a value whose metamethods fail has its handlers run", function(t)
    t:script("a.lua", [[
      local function bad() error("metamethod", 0) end
      local events = { "__index", "__newindex", "__tostring", "__len", "__eq", "__concat", "__call", "__metatable",
        "__pairs", "__lt" }
      local all = {}
      for _, event in ipairs(events) do all[event] = bad end
      ffi.cdef "typedef struct { int x; } evil_t;"
      local evil = ffi.metatype("evil_t", { __index = bad, __eq = bad, __tostring = bad, __len = bad, __concat = bad })
      local proxy = newproxy(true)
      getmetatable(proxy).__index, getmetatable(proxy).__tostring = bad, bad
      local values = { setmetatable({}, all), setmetatable({ message = "m" }, { __index = bad }), evil(1), proxy }
      skein.on("error", function(_, err) fx("error", err.message) end)
      skein.on("death", function(_, err) fx("death", err.message) end)
      skein.task("bad", { retries = 1, backoff = { 0 }, on_death = function() fx("own") end }, function(_, i)
        error(values[i]) end)
      skein.task("thread", { retries = 0 }, function(_, i) assert(skein.spawn(error, values[i]):wait()) end)]])
    t:run(ONE)
    for i = 1, 4 do
      t:wait_state(t:enqueue("bad", i), "dead")
      t:wait_state(t:enqueue("thread", i), "dead")
      assert.same({ i, 2 * i, i }, { t:count "error", t:count "death", t:count "own" })
    end
  end)

  H.it("that starts many threads holds the memory of those that run", function(t)
    t:script("a.lua", [[
      local function resident_mb()
        local f = io.open "/proc/self/statm"
        local pages = f:read "*a":match "%d+ (%d+)"
        f:close()
        return tonumber(pages) * 4096 / 1e6
      end
      skein.task("at_once", { retries = 0 }, function(_, n)
        for i = 1, n do skein.spawn(function() return i end) end
        return resident_mb()
      end)
      skein.task("later", { retries = 0 }, function(_, n)
        for i = 1, n do
          local thread = skein.spawn(function() skein.sleep(0) return i end)
          if i % 2 == 0 then assert(thread:wait() == i and thread:wait() == i) end
        end
        return resident_mb()
      end)]])
    t:run(ONE)
    local before, after = result_of(t, "at_once", 100), result_of(t, "at_once", 200000)
    assert.is_true(after < before + SLACK_MB, ("%d MB became %d MB"):format(before, after))
    after = result_of(t, "later", 50000)
    assert.is_true(after < before + SLACK_MB, ("%d MB became %d MB"):format(before, after))
  end)

  H.it("that forks is done once, and its child does not go on as the worker", function(t)
    t:script("a.lua", [[
      ffi.cdef "int fork(void); int waitpid(int, int *, int);"
      skein.task("forks", { retries = 0 }, function(job)
        print "before"
        local child = ffi.C.fork()
        if child == 0 then
          print "in the child"
          job:progress(50, "in the child")
          for _ = 1, 2e7 do end
          job:log "in the child"
          return "child"
        end
        local status = ffi.new "int[1]"
        ffi.C.waitpid(child, status, 0)
        return "parent"
      end)]])
    local engine = t:run(ONE)
    for _ = 1, 3 do assert.equal("parent", result_of(t, "forks")) end
    assert.same({ 3, 0, 0 }, { #engine:logged "before", #engine:logged "in the child", #engine:logged "worker died" })
    assert.equal(3, t:counters().done)
  end)

  H.it("that writes half a frame to its worker's pipe costs that worker, not all that come after it", function(t)
    t:script("a.lua", [[
      local uv = require "luv"
      skein.task("half", { retries = 0 }, function() return uv.fs_write(3, "\100\0\0\0\12abc", -1) end)
      skein.task("ok", { retries = 0 }, function() return 1 end)]])
    local engine = t:run(ONE)
    local id = t:enqueue "half"
    engine:wait_log("half a frame", 10)
    engine:signal "sigterm" -- it would crash twice more
    engine:wait_exit()
    t:ok("cancel", id)
    t:run(ONE)
    assert.equal(1, result_of(t, "ok"))
  end)
end)

describe("a program", function()
  H.it("waits for a job without a limit, and sleeps meanwhile", function(t)
    t:script("a.lua", t:released() .. [[skein.task("slow", function() released "go" return 42 end)]])
    t:run(ONE)
    local program = t:start_client([[
      local skein = require "skein"
      local handle = skein.enqueue "slow"
      io.write(handle.id, "\n") io.flush()
      print(assert(handle:wait()))
      print(skein.enqueue("slow"):wait())]])
    local command = t:start { "enqueue", "slow", "--wait" }
    t:wait_for("its id", 5, function() return program.stdout:find "\n" end)
    t:wait_for("the jobs to run", 5, function() return t:json("stats").states.running == 2 end)
    local used = function() return H.process.cpu_s(program.pid) + H.process.cpu_s(command.pid) end
    local from, until_at = used(), H.now() + 0.5
    t:wait_for("half a second", 5, function() return H.now() > until_at end)
    assert.is_true(used() - from < 0.1, "they loop")
    t:release "go"
    assert.equal(0, program:wait(10))
    assert.equal(0, command:wait(10))
    assert.matches("42\n42\n$", program.stdout)
  end)

  H.it("may enqueue in finalizers while it enqueues: each job is what was asked for", function(t)
    t:script("a.lua", [[skein.task("out", function() end) skein.task("fin", function() end)]])
    t:run(ONE)
    local result = t:client [[
      local skein = require "skein"
      collectgarbage("setpause", 0) collectgarbage("setstepmul", 1000)
      local finals, handles = 0, {}
      local function litter()
        getmetatable(newproxy(true)).__gc = function()
          finals = finals + 1
          assert(skein.enqueue { task = "fin", queue = "f", args = { "f" .. finals, ("y"):rep(finals % 700) } })
          if finals % 50 == 0 then assert(skein.enqueue_many { { task = "fin", queue = "f", args = { 1 } },
            { task = "fin", queue = "f" } }) end
        end
      end
      local function check(handle, i, text)
        local job = assert(handle:info())
        assert(job.task == "out" and job.queue == "o" and job.args[1] == i and job.args[2] == text)
      end
      assert(skein.admin.pause "o") assert(skein.admin.pause "f")
      for i = 1, 1500 do
        litter()
        handles[i] = assert(skein.enqueue { task = "out", queue = "o", args = { i, ("x"):rep(i % 300) },
          meta = { i = i } })
        if i % 100 == 0 then
          litter()
          local many = assert(skein.enqueue_many { { task = "out", queue = "o", args = { i, "many" } },
            { task = "out", queue = "o", args = { i, "2" } } })
          check(many[1], i, "many") check(many[2], i, "2")
        end
        if i % 10 == 0 then check(handles[i], i, ("x"):rep(i % 300)) end
      end
      collectgarbage() collectgarbage()
      for i, handle in ipairs(handles) do check(handle, i, ("x"):rep(i % 300)) end
      assert(finals > 1000)
      print(#skein.admin.jobs { queue = "o", limit = 10000 })]]
    assert.same({ 0, "1530\n", "" }, { result.code, result.out, result.err })
  end)
end)
