-- Inside a worker: coroutines that resume each other, waits where none is possible, stops that are ignored, finalizers
-- that fail, memory, and scripts that do what no script should.  Each test runs a second time with the collector at
-- work all the time.
local H = require "tests.system.harness"

local STRESS = 'collectgarbage("setpause", 0) collectgarbage("setstepmul", 1000) '

-- A test in an engine of one worker: script() is loaded, then fn(t, engine).  The worker must not have died.
local function runs(name, script, fn, args)
  for _, stress in ipairs { false, true } do
    H.it(name .. (stress and ", with the collector always at work" or ""), function(t)
      t:script("a.lua", (stress and STRESS or "") .. script)
      local engine = t:run(args or { "-w", "1", "-c", "50" })
      fn(t, engine)
      assert.equal(0, #engine:logged "worker died", "the worker died")
    end)
  end
end

local function result_of(t, task, timeout_s) return t:wait_state(t:enqueue(task), "done", timeout_s).result end
local function error_of(t, task, timeout_s) return t:wait_state(t:enqueue(task), "dead", timeout_s).error end

describe("a wait where no yield is possible", function()
  runs("is an error at its line, and the job's later waits are right", [[
    skein.task("sort", function()
      local said = {}
      local function note(ok, err) said[#said + 1] = tostring(ok) .. " " .. tostring(err) end
      note(pcall(table.sort, { 3, 2, 1 }, function(a, b)
        skein.sleep(0.01)
        return a < b
      end))
      note(pcall(string.gsub, "abc", ".", function() skein.enqueue "other" end))
      note(pcall(string.gsub, "abc", ".", function() coroutine.yield() end))
      local thread = skein.spawn(skein.sleep, 0.05)
      note(pcall(string.gsub, "abc", ".", function() thread:wait() end))
      local t0 = skein.now()
      skein.sleep(0.05)
      said[#said + 1] = skein.now() - t0
      thread:wait()
      return said
    end)
    skein.task("dies", { retries = 0 }, function()
      table.sort({ 3, 2, 1 }, function() skein.sleep(0.01) end)
    end)
    skein.task("other", function() fx("other") end)]], function(t)
    for _ = 1, 3 do
      local said = result_of(t, "sort")
      for i = 1, 4 do assert.matches("^false .*a%.lua:%d+: a job can't wait here: table%.sort", said[i]) end
      assert.matches("a%.lua:5:", said[1])
      assert.is_true(said[5] >= 0.05 and said[5] < 0.2, "slept " .. said[5])
      assert.matches("a%.lua:19: a job can't wait here", error_of(t, "dies").message)
    end
    assert.equal(0, t:count "other")
  end)

  runs("is an error where the coroutine that waits was resumed", [[
    skein.task("nested", function()
      local co = coroutine.wrap(function() skein.sleep(0.03) return "inner" end)
      local ok, err = pcall(string.gsub, "abc", ".", function()
        return co()
      end)
      skein.sleep(0.1)
      skein.sleep(0.01)
      return tostring(ok) .. " " .. tostring(err)
    end)
    skein.task("dies", { retries = 0 }, function()
      local co = coroutine.wrap(function() skein.sleep(0.02) end)
      string.gsub("abc", ".", function() return co() end)
    end)]], function(t)
    for _ = 1, 3 do
      assert.matches("a%.lua:%d+: a coroutine waits that was resumed where a job can't wait",
        error_of(t, "dies").message)
      assert.matches("^false .*a coroutine waits", result_of(t, "nested"))
    end
  end)
end)

describe("coroutines of a job", function()
  runs("wait inside each other", [[
    skein.task("deep", function()
      local function level(n)
        if n == 0 then
          skein.sleep(0.02)
          return "bottom", coroutine.yield("up")
        end
        local co = coroutine.create(level)
        local ok, value = coroutine.resume(co, n - 1)
        assert(ok, value)
        while coroutine.status(co) ~= "dead" do
          skein.sleep(0.001)
          local back = coroutine.yield(value)
          ok, value = coroutine.resume(co, back)
          assert(ok, value)
        end
        return value
      end
      local co = coroutine.wrap(level)
      local seen = {}
      local value = co(5)
      while value do
        seen[#seen + 1] = value
        local ok, next_value = pcall(co, "down")
        value = ok and next_value ~= value and next_value or nil
      end
      return seen
    end)]], function(t) assert.same({ "up", "bottom" }, result_of(t, "deep")) end)

  runs("resumed by a callback of luv go on with its values", [[
    local uv = require "luv"
    skein.task("callback", function()
      local co, timer = coroutine.running(), uv.new_timer()
      timer:start(10, 0, function()
        timer:close()
        fx("resumed", coroutine.resume(co, "a", nil, 3))
      end)
      local a, b, c = coroutine.yield("dropped")
      return { a, tostring(b), c }
    end)]], function(t)
    assert.same({ "a", "nil", 3 }, result_of(t, "callback"))
    assert.same({ { "true" } }, t:effects "resumed")
  end)

  runs("can't be resumed when they wait for something else, or have ended", [[
    local uv = require "luv"
    local function later(ms, fn)
      local timer = uv.new_timer()
      timer:start(ms, 0, function() timer:close() fn() end)
    end
    skein.task("sleeps", function()
      local co = coroutine.running()
      later(5, function() fx("sleeps", coroutine.resume(co, "wrong")) end)
      local t0 = skein.now()
      skein.sleep(0.05)
      return skein.now() - t0
    end)
    skein.task("ended", function()
      local co = coroutine.running()
      later(30, function() fx("ended", coroutine.resume(co, "wrong")) end)
    end)
    skein.task("parks", function() return tostring(coroutine.yield()) end)
    skein.task("timed_out", { timeout = 0.05, retries = 0 }, function()
      local co = coroutine.running()
      later(100, function() fx("timed_out", coroutine.resume(co, "wrong")) end)
      while true do pcall(coroutine.yield) end
    end)
    skein.task("release", function() fx("released") end)]], function(t)
    assert.is_true(result_of(t, "sleeps") >= 0.05)
    assert.matches("^cannot resume", t:wait_effects("sleeps", 1)[1][2])
    -- The coroutine of the ended job must not have become another job's, which would be woken in its place.
    t:enqueue "ended"
    local parked = {}
    for i = 1, 5 do parked[i] = t:enqueue "parks" end
    assert.same({ { "false", "cannot resume dead coroutine" } }, t:wait_effects("ended", 1))
    for i = 1, 5 do assert.equal("running", t:job(parked[i]).state) end
    assert.matches("^timed out after 0.05 s, and it went on after it was told to stop",
      error_of(t, "timed_out").message)
    assert.same({ { "false", "cannot resume dead coroutine" } }, t:wait_effects("timed_out", 1))
  end)

  runs("of the job may be resumed by its own threads, even to its end", [[
    skein.task("unpark", function()
      local me = coroutine.running()
      for i = 1, 5 do
        skein.spawn(function()
          skein.sleep(0.01)
          if coroutine.resume(me, "go") then
            fx("after the end", i)
            collectgarbage()
            skein.spawn(function() skein.sleep(0.01) fx("never") end)
            skein.sleep(0.01)
            fx("never")
          end
        end)
      end
      return coroutine.yield()
    end)]], function(t)
    for i = 1, 5 do
      assert.equal("go", result_of(t, "unpark"))
      assert.equal(i, t:count "after the end")
    end
    assert.equal(0, t:count "never")
  end)

  runs("do not take another's globals along", [[
    skein.task("changes", function() setfenv(0, {}) end)
    skein.task("looks", function() return type(loadstring "return print" ()) end)]], function(t)
    t:enqueue "changes"
    for _ = 1, 3 do assert.equal("function", result_of(t, "looks")) end
  end, { "-w", "1", "-c", "1" })
end)

describe("threads of a job", function()
  runs("wait for each other in a chain of thousands", [[
    skein.task("chain", function()
      local before
      for i = 1, ]] .. "5000" .. [[ do
        local last = before
        before = skein.spawn(function()
          if last then last:wait() else skein.sleep(0.05) end
          return i
        end)
        if collectgarbage "count" > 50000 then collectgarbage() end
      end
      return before:wait()
    end)]], function(t) assert.equal(5000, result_of(t, "chain", 60)) end)

  runs("that start each other without end are an error", [[
    skein.task("deep", function()
      local problem
      local function again() local ok, err = pcall(skein.spawn, again) if not ok then problem = problem or err end end
      skein.spawn(again)
      return problem
    end)]], function(t) assert.matches("a%.lua:%d+: skein%.spawn: 100 threads", result_of(t, "deep")) end)

  runs("that fail unseen are logged at the job's end, those that were waited for are not", [[
    skein.task("fails", function()
      skein.spawn(function() skein.sleep(0.001) error "nobody listens" end)
      local seen = skein.spawn(function() skein.sleep(0.001) error "heard" end)
      local value, err = seen:wait()
      return { value == nil, err.code, err.message }
    end)]], function(t, engine)
    local result = result_of(t, "fails")
    assert.same({ true, "error" }, { result[1], result[2] })
    assert.matches("a%.lua:3: heard", result[3])
    assert.matches("a%.lua:2: nobody listens", engine:wait_log("nobody waited for it").text)
    assert.equal(0, #engine:logged "nobody waited.*heard")
  end)

  runs("pass skein.fail, discard and snooze on to whoever waits for them", [[
    skein.task("fails", function() skein.spawn(function() skein.sleep(0.001) skein.fail "in a thread" end):wait() end)
    ]], function(t)
    local err = error_of(t, "fails")
    assert.same({ "fail", "in a thread" }, { err.kind, err.message })
  end)

  runs("outlive the job as handles that say so", [[
    local kept, done
    skein.task("first", function()
      kept = skein.spawn(function() skein.sleep(60) end)
      done = skein.spawn(function() return "result" end)
      return 1
    end)
    skein.task("second", function()
      local value, err = kept:wait()
      return { tostring(value), err.message, done:wait() }
    end)]], function(t)
    result_of(t, "first")
    assert.same({ "nil", "its job has ended before it did", "result" }, result_of(t, "second"))
  end)
end)

describe("a stop", function()
  runs("that is ignored ends the job all the same", [[
    local soft = { timeout = 0.1, retries = 0 }
    skein.task("sleeps", soft, function() while true do pcall(skein.sleep, 10) end end)
    skein.task("parks", soft, function() while true do pcall(coroutine.yield) end end)
    skein.task("asks", soft, function() while true do pcall(function() skein.enqueue("later"):wait() end) end end)
    skein.task("joins", soft, function()
      local thread = skein.spawn(skein.sleep, 10)
      while true do pcall(thread.wait, thread) end
    end)
    skein.task("spawns", soft, function()
      while true do
        pcall(skein.spawn, function() while true do pcall(skein.sleep, 10) end end)
        pcall(skein.sleep, 0.03)
      end
    end)
    skein.task("nests", soft, function()
      coroutine.wrap(function() while true do pcall(skein.sleep, 10) end end)()
    end)
    skein.task("later", { queue = "unserved" }, function() end)]], function(t)
    for _, task in ipairs { "sleeps", "parks", "asks", "joins", "spawns", "nests" } do
      local err = error_of(t, task)
      assert.equal("timeout", err.kind, task)
      assert.equal("timed out after 0.1 s, and it went on after it was told to stop", err.message, task)
    end
  end, { "-w", "1", "-c", "50", "-q", "default" })

  runs("reaches whatever waits, and says after how long", [[
    local soft = { timeout = 0.1, retries = 0 }
    skein.task("joins", soft, function() skein.spawn(skein.sleep, 10):wait() end)
    skein.task("parks", soft, function() coroutine.yield() end)
    skein.task("nests", soft, function() coroutine.wrap(function() skein.sleep(10) end)() end)
    skein.task("own", soft, function() skein.sleep(10) end)
    skein.task("cleans", soft, function(job)
      local ok, err = pcall(skein.sleep, 10)
      fx("cleans", ok, err.code, tostring(err), job:active(), job:remaining())
    end)]], function(t)
    for _, task in ipairs { "joins", "parks", "nests", "own" } do
      local err = error_of(t, task)
      assert.same({ "timeout", "timed out after 0.1 s" }, { err.kind, err.message }, task)
    end
    t:enqueue "cleans"
    assert.same({ { "false", "timeout", "timed out after 0.1 s", "false", "0" } }, t:wait_effects("cleans", 1))
  end)

  runs("lets the failure handlers wait", [[
    skein.on("death", function(job, err)
      skein.sleep(0.05)
      local sum = skein.spawn(function() skein.sleep(0.01) return 1 end):wait()
      fx("death", err.kind, err.message, sum, assert(skein.enqueue("other")):state())
    end)
    skein.task("slow", { timeout = 0.05, retries = 0, on_death = function() skein.sleep(0.01) error "trouble" end },
      function() skein.sleep(10) end)
    skein.task("other", { queue = "unserved" }, function() end)]], function(t, engine)
    error_of(t, "slow")
    assert.same({ { "timeout", "timed out after 0.05 s", "1", "ready" } }, t:effects "death")
    assert.equal(1, #engine:logged "the on_death handler failed: .*a%.lua:%d+: trouble")
  end, { "-w", "1", "-c", "50", "-q", "default" })
end)

describe("skein.sleep", function()
  H.it("never wakes early, and sleep(0) lets others run", function(t)
    t:script("a.lua", [[
      skein.task("early", function()
        local least = math.huge
        for i = 1, 100 do
          local wanted = (i % 5) / 1000 + 0.0003
          local t0 = require "luv".hrtime()
          skein.sleep(wanted)
          least = math.min(least, tonumber(require "luv".hrtime() - t0) / 1e9 - wanted)
        end
        return least
      end)
      local turns = {}
      skein.task("turns", function(job, name)
        for _ = 1, 5 do turns[#turns + 1] = name skein.sleep(0) end
        return table.concat(turns)
      end)
      skein.task("both", function()
        local hs = skein.enqueue_many { { task = "turns", args = { "a" } }, { task = "turns", args = { "b" } } }
        hs[1]:wait()
        return hs[2]:wait()
      end)]])
    t:run { "-w", "1" }
    assert.is_true(result_of(t, "early") >= 0)
    assert.is_truthy(result_of(t, "both"):find "a+b+a+b")
  end)

  H.it("holds 10,000 jobs at once in one worker", function(t)
    t:script("a.lua", [[
      local now, most = 0, 0
      skein.task("nap", function() now = now + 1 most = math.max(most, now) skein.sleep(1.5) now = now - 1
        if now == 0 then fx("most", most) end end)
      skein.task("plan", function() local s = {} for i = 1, 10000 do s[i] = { task = "nap" } end
        assert(skein.enqueue_many(s)) end)]])
    t:run { "-w", "1", "-c", "10000" }
    t:enqueue "plan"
    local most = tonumber(t:wait_effects("most", 1, 20)[1][1])
    H.say("%d at once", most)
    assert.is_true(most >= 9000)
  end)
end)

describe("memory_max", function()
  H.it("is not filled by garbage alone", function(t)
    t:config '{ memory_max = "64MB" }'
    t:script("a.lua", [[
      skein.task("strings", { retries = 0 }, function()
        local keep = {}
        for i = 1, 50000 do keep[i] = { i } end
        for i = 1, 1000 do local _ = ("x"):rep(2 ^ 20) .. i end
        return #keep
      end)
      skein.task("finalizers", { retries = 0 }, function()
        local n = 0
        for i = 1, 2000 do
          ffi.gc(ffi.new "char[1024]", function() n = n + 1 end)
          local _ = ("x"):rep(2 ^ 18) .. i
        end
        return n > 1000
      end)
      skein.task("tables", { retries = 0 }, function()
        local keep = {}
        for i = 1, 450 do keep[i] = ("y"):rep(1e5) .. i end
        for _ = 1, 200 do local t = {} for i = 1, 5000 do t[i] = { i } end end
        return #keep
      end)]])
    t:run { "-w", "1" }
    assert.equal(50000, result_of(t, "strings"))
    assert.equal(450, result_of(t, "tables"))
    assert.is_true(result_of(t, "finalizers"))
  end)

  H.it("fails the attempt that passes it; jobs beside it go on, handlers of the failure run", function(t)
    t:config '{ memory_max = "32MB" }'
    t:script("a.lua", t:released() .. [[
      skein.on("death", function(job, err) skein.sleep(0.01) fx("death", job.task, err.message, #err.traceback > 0) end)
      skein.task("beside", function() released "beside" return pid end)
      skein.task("hog", { retries = 0 }, function() local all = {} for i = 1, 1e7 do all[i] = { i } end end)
      skein.task("spawner", { retries = 0 }, function() while true do skein.spawn(skein.sleep, 60) end end)
      skein.task("result", { retries = 0 }, function()
        local s = ("x"):rep(900000)
        return { s }
      end)]])
    local engine = t:run { "-w", "1" }
    local beside = t:enqueue "beside"
    -- A sanitizer's own memory counts for the core, which kills a worker that is far over its limit.
    for _, task in ipairs { "hog", os.getenv "SKEIN_TEST_PRELOAD" and "hog" or "spawner", "hog" } do
      local err = error_of(t, task, 20)
      assert.matches("not enough memory", err.message)
    end
    t:wait_effects("death", 3)
    for _, f in ipairs(t:effects "death") do assert.same({ "not enough memory", "true" }, { f[2], f[3] }) end
    assert.equal(900000, #result_of(t, "result")[1])
    t:release "beside"
    t:wait_state(beside, "done")
    assert.equal(0, #engine:logged "worker died")
  end)
end)

describe("a finalizer that fails", function()
  runs("is logged, and hurts nobody", [[
    local function litter()
      local proxy = newproxy(true)
      getmetatable(proxy).__gc = function() error "litter" end
      ffi.gc(ffi.new "int[1]", function() error "cdata" end)
    end
    skein.task("litter", function() for _ = 1, 10 do litter() end return 1 end)
    skein.task("plain", function() skein.enqueue "leaf" skein.sleep(0.001) end)
    skein.task("leaf", function(job, ...) collectgarbage() return { ... } end)
    skein.task("root", function()
      for _ = 1, 5 do
        local sigs = {}
        for i = 1, 20 do sigs[i] = { task = i % 10 == 0 and "litter" or "plain" } end
        assert(skein.enqueue_many(sigs))
      end
      return "all sent"
    end)]], function(t, engine)
    assert.equal("all sent", result_of(t, "root", 60))
    t:wait_for("the end of all jobs", 60, function()
      local stats = t:json "stats"
      return stats.counters.done == 1 + 100 + 90
    end)
    engine:wait_log "a finalizer %(__gc%) failed: .*a%.lua:3: litter"
    engine:wait_log "a finalizer %(__gc%) failed: .*a%.lua:4: cdata"
    assert.equal(0, t:counters().dead)
  end)
end)

describe("a script that", function()
  runs("takes Lua's functions away spoils its own jobs only", [[
    skein.on("death", function(job, err) print("death of", job.task, err.message) end)
    skein.task("victim", { retries = 0 }, function(job) error "trouble" end)
    skein.task("fine", function(job, x) skein.sleep(0.001) job:progress(5) job:log("%s", x) return job.args[1] end)
    skein.task("vandal", function()
      for _, name in ipairs { "error", "pcall", "xpcall", "type", "select", "setmetatable", "getmetatable", "rawget",
        "assert", "unpack" } do
        _G[name] = nil
      end
      return "done"
    end)]], function(t, engine)
    assert.equal("done", result_of(t, "vandal"))
    assert.matches("attempt to call global 'error'", error_of(t, "victim").message)
    engine:wait_log "death of%s+victim%s+.*attempt to call"
    assert.equal(7, t:wait_state(t:enqueue("fine", 7), "done").result)
  end)

  runs("spoils the job's table fails as any other", [[
    skein.task("spoils", { retries = 1, backoff = { 0 } }, function(job)
      job.attempt, job.retries, job.task, job._handle, job.id = "x", {}, nil, "zz", nil
      fx("ran")
      error "trouble"
    end)
    skein.task("stale", { retries = 0 }, function(job)
      job._handle = -5
      fx("stale", job:active(), job:remaining(), job:progress(1))
      job._handle = 0 / 0
      fx("stale", job:active(), job:remaining(), job:progress(1))
    end)
    local old
    skein.task("keeps", function(job) old = job return 1 end)
    skein.task("uses", function()
      old:progress(50)
      return { old:active(), old:remaining(), tostring(old), tostring(old.args), old.id }
    end)]], function(t)
    assert.matches("a%.lua:4: trouble", error_of(t, "spoils").message)
    assert.equal(2, t:count "ran")
    t:enqueue "stale"
    assert.same({ { "false", "0" }, { "false", "0" } }, t:wait_effects("stale", 2))
    local id = t:enqueue "keeps"
    t:wait_state(id, "done")
    assert.same({ false, 0, "skein job " .. id, "nil", id }, result_of(t, "uses"))
  end)

  runs("declares tasks or handlers in a job is told when to", [[
    skein.task("task", { retries = 0 }, function()
      skein.task("more", function() end)
    end)
    skein.task("on", { retries = 0 }, function()
      skein.on("error", print)
    end)]], function(t)
    assert.matches('a%.lua:2: skein%.task "more": tasks are declared while scripts load', error_of(t, "task").message)
    assert.matches("a%.lua:5: skein%.on: handlers are declared while scripts load", error_of(t, "on").message)
  end)

  runs("stops the loop, connects or closes is held back", [[
    local uv = require "luv"
    skein.task("run", { retries = 0 }, function()
      uv.run()
    end)
    skein.task("stop", { retries = 0 }, function()
      uv.stop()
    end)
    skein.task("connect", { retries = 0 }, function()
      skein.connect "memory:"
    end)
    skein.task("close", function()
      skein.close()
      return skein.enqueue({ task = "run", delay = 60 }):state()
    end)]], function(t)
    assert.matches("a%.lua:3: uv%.run: the worker runs the loop", error_of(t, "run").message)
    assert.matches("a%.lua:6: uv%.stop: the worker runs the loop", error_of(t, "stop").message)
    assert.matches("a%.lua:9: skein%.connect: a job uses the engine's store", error_of(t, "connect").message)
    assert.equal("scheduled", result_of(t, "close"))
  end)

  runs("fails in a callback of luv is named, and the worker lives on", [[
    local uv = require "luv"
    skein.task("callback", function()
      local timer = uv.new_timer()
      timer:start(1, 0, function()
        timer:close()
        fx("waits", pcall(skein.sleep, 1))
        fx("enqueues", pcall(skein.enqueue, "callback"))
        error "callback trouble"
      end)
      skein.sleep(0.02)
      return "ok"
    end)]], function(t, engine)
    assert.equal("ok", result_of(t, "callback"))
    engine:wait_log "error in a uv callback: .*a%.lua:8: callback trouble"
    assert.matches("inside a job", t:effects("waits")[1][2])
    assert.matches("not in a callback of luv", t:effects("enqueues")[1][2])
  end)

  runs("raises odd values has them described, and its handlers called", [[
    skein.on("death", function(job, err) fx("death", job.task, type(err.value)) end)
    local function dies(name, value) skein.task(name, { retries = 0 }, function() error(value) end) end
    dies("tostring_fails", setmetatable({}, { __tostring = function() error "no" end }))
    dies("tostring_number", setmetatable({ message = "from message" }, { __tostring = function() return 5 end }))
    dies("locked", setmetatable({}, { __metatable = "locked" }))
    dies("nothing", nil)]], function(t)
    assert.equal("error value of type table, whose __tostring fails", error_of(t, "tostring_fails").message)
    assert.equal("from message", error_of(t, "tostring_number").message)
    assert.matches("^error value of type table %(table: 0x", error_of(t, "locked").message)
    assert.equal("error value nil", error_of(t, "nothing").message)
    assert.equal(4, #t:wait_effects("death", 4))
  end)

  runs("prints odd values", [[
    local named = setmetatable({}, { __tostring = function() return "named" end })
    local bad = setmetatable({}, { __tostring = function() return 5 end })
    skein.task("prints", function()
      print()
      print("one", nil, 2, named, "end\n")
      print(("long"):rep(10000))
      return pcall(print, bad)
    end)]], function(t, engine)
    assert.is_false(result_of(t, "prints"))
    engine:wait_log "one%s+nil%s+2%s+named%s+end"
    assert.is_true(#engine:wait_log "longlong".text < 10000)
  end)
end)

describe("what a job says while it computes", function()
  H.it("can be seen before it ends", function(t)
    t:script("a.lua", [[
      skein.task("busy", { timeout = 20 }, function(job)
        local deadline = skein.now() + 0.2
        while skein.now() < deadline do end
        print "computing"
        job:progress(40, "on my way")
        deadline = skein.now() + 20
        repeat local f = io.open("]] .. t.effects_dir .. [[/enough") until f or skein.now() > deadline
      end)]])
    local engine = t:run { "-w", "1" }
    local id = t:enqueue "busy"
    engine:wait_log "computing"
    t:wait_for("its progress", 5, function()
      local job = t:find(id)
      return job and job.progress ~= H.null and job.progress.percent == 40
    end)
    t:file("../effects/enough", "")
  end)
end)

describe("skein check", function()
  H.it("keeps stdout for its answer, whatever scripts print", function(t)
    t:script("a.lua", [[print "loading" io.write "writing\n" skein.task("x", function() end)]])
    local result = t:cli { "check", t.scripts, "--json" }
    assert.equal(0, result.code)
    local answer = require("cjson").decode(result.out)
    assert.equal("x", answer.tasks[1].name)
    assert.matches("loading", result.err)
    assert.matches("writing", result.err)
  end)

  H.it("opens no store for a script that enqueues while it loads, and says where", function(t)
    t:script("a.lua", '\nskein.enqueue("x")')
    for _, args in ipairs { { "check", t.scripts }, { "run", t.scripts, "--drain" } } do
      local result = t:cli(args)
      assert.is_true(result.code ~= 0)
      assert.matches("a%.lua:2: jobs can be enqueued and looked at inside a job", result.err)
    end
    t:script("a.lua", '\nskein.sleep(1)')
    local result = t:cli { "check", t.scripts }
    assert.matches("a%.lua:2: skein.sleep: can only be used inside a job", result.err)
    result = t:cli { "run", t.scripts, "--drain" }
    assert.matches("a%.lua:2: this can only be used inside a job", result.err)
  end)

  H.it("gives file and line for errors that are no strings, or have no position", function(t)
    for text, wanted in pairs {
      ["\nerror({ message = 'table trouble' })"] = "a%.lua:2: table trouble",
      ["\nerror('no position', 0)"] = "a%.lua:2: no position",
      ["\n\nerror()"] = "a%.lua:3: error value nil",
      ["\nreturn skein.task('x', { retires = 1 }, print)"] = "a%.lua: skein%.task \"x\": unknown option \"retires\"",
    } do
      t:script("a.lua", text)
      local result = t:cli { "check", t.scripts }
      assert.equal(1, result.code)
      assert.matches(wanted, result.err)
    end
  end)

  H.it("does not follow links to folders for ever", function(t)
    t:script("a.lua", [[skein.task("x", function() end)]])
    t:script("sub/b.lua", [[skein.task("y", function() end)]])
    require("luv").fs_symlink(t.scripts, t.scripts .. "/sub/up")
    assert.matches("2 scripts, 2 tasks", t:ok("check", t.scripts))
  end)
end)

describe("config.lua", function()
  local function queues_served(t, config)
    t:config(config)
    t:script("a.lua", [[skein.task("note", function(job) fx("queue", job.queue) end)]])
    for _, queue in ipairs { "a", "b", "c" } do t:enqueue("note", { flags = { "--queue", queue } }) end
    t:drain { "-w", "1" }
    local served = {}
    for i, f in ipairs(t:effects "queue") do served[i] = f[1] end
    table.sort(served)
    return table.concat(served, " ")
  end

  H.it("takes queues as a list, as text, or as a table of weights",
    function(t) assert.equal("a b", queues_served(t, '{ queues = { "a", "b" } }')) end)
  H.it("takes queues as text", function(t) assert.equal("a b", queues_served(t, '{ queues = "a:2,b" }')) end)
  H.it("takes queues as weights", function(t) assert.equal("a c",
    queues_served(t, "{ queues = { a = 2, c = 1 } }")) end)

  H.it("that is wrong is named with its setting", function(t)
    t:script("a.lua", [[skein.task("x", function() end)]])
    for config, wanted in pairs {
      ['{ queues = { "a", {} } }'] = "config%.lua: setting queues: %[2%] is a table",
      ["{ queues = { a = true } }"] = "config%.lua: setting queues: a is a boolean",
      ["{ workers = print }"] = "config%.lua: setting workers is a function",
      ["{ [1] = 2 }"] = "config%.lua: a setting's name is 1",
      ['{ ["a\\tb"] = 2 }'] = "config%.lua: the setting's name",
      ["42"] = "config%.lua: it must return a table of settings, not number",
      ["{}, error { message = 'trouble' }"] = "config%.lua:1: trouble",
      ["{}, require 'skein'.enqueue 'x'"] = "config%.lua:1: jobs can be enqueued",
    } do
      t:config(config)
      local result = t:cli { "check", t.scripts }
      assert.equal(1, result.code, config)
      assert.matches(wanted, result.err, 1, false, config .. ": " .. result.err)
    end
  end)
end)

describe("skein --version", function()
  H.it("names itself and what it is built on", function(t)
    assert.matches("^skein %d[%w.-]* %(LuaJIT 2%.1[%w.-]*, libuv %d[%d.]+, SQLite 3[%d.]+%)$", t:ok "--version")
  end)
end)
