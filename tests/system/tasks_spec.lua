-- Tasks, jobs and handles: retries and their delays, outcomes, limits in time, queues, and the methods of the handler's
-- job.
local H = require "tests.system.harness"

-- A task that fails n times, noting each attempt's time, then succeeds.
local function failing(options)
  return ([[skein.task("flaky", %s, function(job, fails)
    fx("attempt", skein.now(), job.attempt)
    if job.attempt <= fails then error("failure " .. job.attempt) end
    fx("succeeded")
  end)]]):format(options)
end

-- Enqueues "flaky" to fail as often as there are gaps and checks the time between its attempts.
local function check_gaps(t, options, gaps)
  t:script("a.lua", failing(options))
  t:run { "-w", "1" }
  t:enqueue("flaky", #gaps)
  local attempts = t:wait_effects("attempt", #gaps + 1, 10)
  for i, wanted in ipairs(gaps) do
    local gap = tonumber(attempts[i + 1][1]) - tonumber(attempts[i][1])
    assert.equal(tostring(i + 1), attempts[i + 1][2])
    -- Delays are stored in whole milliseconds.
    assert.is_true(gap > wanted - 0.002 and gap < wanted + 0.05,
      ("%s: gap %d is %.4f s, not %g s"):format(options, i, gap, wanted))
  end
  t:wait_effects("succeeded", 1)
end

describe("a failed job is retried", function()
  H.it("after constant delays", function(t) check_gaps(t, '{ backoff = { "constant", base = 0.1 } }',
    { 0.1, 0.1, 0.1 }) end)
  H.it("after linear delays", function(t) check_gaps(t, '{ backoff = { "linear", base = 0.1 } }',
    { 0.1, 0.2, 0.3 }) end)
  H.it("after Fibonacci's delays", function(t) check_gaps(t, '{ backoff = { "fibonacci", base = 0.05 } }',
    { 0.05, 0.1, 0.15, 0.25 }) end)
  H.it("after exponential delays", function(t) check_gaps(t, '{ backoff = { "exponential", base = 0.05 } }',
    { 0.05, 0.1, 0.2, 0.4 }) end)
  H.it("after the delays of a list, the last of which repeats",
    function(t) check_gaps(t, "{ backoff = { 0.05, 0, 0.15 } }", { 0.05, 0, 0.15, 0.15 }) end)
  H.it("after no more than max", function(t) check_gaps(t, '{ backoff = { "linear", base = 0.1, max = 0.15 } }',
    { 0.1, 0.15, 0.15 }) end)
  H.it("after what a function says", function(t)
    check_gaps(t, [[{ backoff = function(attempt, err)
      return tostring(err.message or err):match "failure %d" and attempt * 0.1
    end }]], { 0.1, 0.2 })
  end)

  H.it("after delays spread by jitter", function(t)
    t:script("a.lua", [[skein.task("flaky", { retries = 1, backoff = { "constant", base = 0.4, jitter = 0.5 } },
      function(job)
      fx(job.attempt == 1 and "first" or "second", job.id, skein.now())
      error "x"
    end)]])
    t:run { "-w", "1", "-c", "40" }
    for _ = 1, 30 do t:enqueue "flaky" end
    local second, low, high = {}, math.huge, 0
    for _, f in ipairs(t:wait_effects("second", 30)) do second[f[1]] = tonumber(f[2]) end
    for _, f in ipairs(t:effects "first") do
      local gap = second[f[1]] - tonumber(f[2])
      low, high = math.min(low, gap), math.max(high, gap)
    end
    assert.is_true(low >= 0.198 and high < 0.65, ("%g .. %g"):format(low, high))
    assert.is_true(high - low > 0.1, "no spread")
  end)

  H.it("by default 20 to 39 seconds after the first failure, 27 times", function(t)
    t:script("a.lua", [[skein.task("flaky", function() error "x" end)]])
    local id = t:enqueue "flaky"
    t:run { "-w", "1" }
    local job = t:wait_state(id, "retry")
    local function seconds(iso) return H.parse_log(iso .. " INFO x").at end
    local wait = seconds(job.due_at) - seconds(job.started_at)
    assert.is_true(wait >= 20 and wait < 40, "due after " .. wait)
    assert.equal(1, job.attempts)
  end)

  H.it("retries times and then is dead: retries + 1 runs", function(t)
    t:script("a.lua", [[skein.task("bad", { retries = 3, backoff = { 0.01 } }, function(job) fx("ran", job.attempt)
      error("luck " .. job.attempt) end)]])
    t:run { "-w", "1" }
    local id = t:enqueue "bad"
    local job = t:wait_state(id, "dead")
    assert.same({ { "1" }, { "2" }, { "3" }, { "4" } }, t:effects "ran")
    assert.equal(4, job.attempts)
    assert.matches("luck 4", job.error.message)
  end)

  H.it("never when retries = 0", function(t)
    t:script("a.lua", [[skein.task("bad", { retries = 0 }, function(job) fx("ran") error "x" end)]])
    local id = t:enqueue "bad"
    assert.equal(1, (t:drain()))
    assert.equal(1, t:count "ran")
    assert.equal("dead", t:job(id).state)
  end)

  H.it("in the retry_queue", function(t)
    t:script("a.lua", [[skein.task("bad", { retries = 2, backoff = { 0.01 }, retry_queue = "slow" }, function(job)
      fx("ran", job.queue, job.attempt)
      error "x"
    end)]])
    t:run { "-w", "1", "-q", "default,slow" }
    t:wait_state(t:enqueue "bad", "dead")
    assert.same({ { "default", "1" }, { "slow", "2" }, { "slow", "3" } }, t:effects "ran")
  end)

  H.it("before what waits in its queue, once it is due", function(t)
    t:script("a.lua", [[
      skein.task("flaky", { backoff = { 0.1 } }, function(job) fx("order", "flaky", job.attempt)
        if job.attempt == 1 then error "x" end end)
      skein.task("steady", function(job, n) fx("order", "steady", n) skein.sleep(0.05) end)]])
    t:enqueue "flaky"
    for i = 1, 10 do t:enqueue("steady", i) end
    t:run { "-w", "1", "-c", "1" }
    local order = t:wait_effects("order", 12)
    local at
    for i, f in ipairs(order) do if f[1] == "flaky" and f[2] == "2" then at = i end end
    assert.is_true(at <= 6, "the retry ran as number " .. at)
  end)
end)

describe("a handler ends its attempt", function()
  H.it("with retry_in: again after that time, counted", function(t)
    t:script("a.lua", [[skein.task("later", { backoff = { 60 } }, function(job)
      fx("ran", skein.now())
      if job.attempt == 1 then skein.retry_in(0.2, "not ready") end
    end)]])
    t:run { "-w", "1" }
    local id = t:enqueue "later"
    local job = t:wait_state(id, "retry")
    assert.equal(1, job.attempts)
    assert.matches("not ready", job.error.message)
    local ran = t:wait_effects("ran", 2)
    local gap = tonumber(ran[2][1]) - tonumber(ran[1][1])
    assert.is_true(gap >= 0.198 and gap < 0.25, "gap " .. gap)
  end)

  H.it("with retry_in: dead when no retry is left", function(t)
    t:script("a.lua", [[skein.task("later", { retries = 1 }, function() fx("ran") skein.retry_in(0.01, "busy") end)]])
    t:run { "-w", "1" }
    t:wait_state(t:enqueue "later", "dead")
    assert.equal(2, t:count "ran")
  end)

  H.it("with fail: dead at once, with the reason", function(t)
    t:script("a.lua", [[skein.task("hopeless", function() fx("ran") skein.fail("wrong address") end)]])
    t:run { "-w", "1" }
    local job = t:wait_state(t:enqueue "hopeless", "dead")
    assert.equal("fail", job.error.kind)
    assert.matches("wrong address", job.error.message)
    assert.equal(1, t:count "ran")
  end)

  H.it("with discard: gone, neither dead nor retried", function(t)
    t:script("a.lua", [[skein.task("moot", function() fx("ran") skein.discard("user is gone") end)]])
    local id = t:enqueue "moot"
    assert.equal(0, (t:drain()))
    assert.is_nil(t:find(id))
    assert.equal(1, t:count "ran")
    assert.equal(1, t:counters().discarded)
  end)

  H.it("with snooze: again later, at no attempt", function(t)
    t:script("a.lua", [[local naps = {}
      skein.task("napper", { retries = 0 }, function(job)
        fx("nap", job.attempt, skein.now())
        naps[job.id] = (naps[job.id] or 0) + 1
        if naps[job.id] <= 3 then job:snooze(0.1) end
        return "awake"
      end)]])
    t:run { "-w", "1" }
    local id = t:enqueue "napper"
    local naps = t:wait_effects("nap", 4)
    for i = 1, 4 do assert.equal("1", naps[i][1]) end
    for i = 2, 4 do
      local gap = tonumber(naps[i][2]) - tonumber(naps[i - 1][2])
      assert.is_true(gap >= 0.098 and gap < 0.15, "gap " .. gap)
    end
    assert.equal("awake", t:wait_state(id, "done").result)
  end)
end)

describe("a finished job", function()
  H.it("with a result is kept, without one is gone", function(t)
    t:script("a.lua", [[skein.task("value", function() return { n = 7 } end) skein.task("nothing", function() end)]])
    local a, b = t:enqueue "value", t:enqueue "nothing"
    assert.equal(0, (t:drain()))
    local job = t:job(a)
    assert.equal("done", job.state)
    assert.same({ n = 7 }, job.result)
    assert.is_nil(t:find(b))
  end)

  H.it("is kept as long as keep says", function(t)
    t:script("a.lua", [[
      skein.task("no", { keep = 0 }, function() return 1 end)
      skein.task("yes", { keep = 60 }, function() end)
      skein.task("short", { keep = 0.5 }, function() return 1 end)]])
    t:run { "-w", "1" }
    local no, yes, short = t:enqueue "no", t:enqueue "yes", t:enqueue "short"
    t:wait_state(yes, "done")
    t:wait_state(short, "done")
    assert.is_nil(t:find(no))
    t:wait_for("the end of keep", 10, function() return not t:find(short) end)
    assert.equal("done", t:job(yes).state)
  end)

  H.it("that died is dropped after its death handler when dead = false", function(t)
    t:script("a.lua", [[skein.task("bad", { retries = 0, dead = false, on_death = function(job, err)
      fx("death", job.id) end }, function() error "x" end)]])
    t:run { "-w", "1" }
    local id = t:enqueue "bad"
    assert.equal(id, t:wait_effects("death", 1)[1][1])
    t:wait_for("its end", 5, function() return not t:find(id) end)
  end)
end)

describe("time limits", function()
  H.it("expires: a job that could not start in time is dead, and did not run", function(t)
    t:script("a.lua", [[skein.task("fresh", { expires = 0.2 }, function() fx("ran") end)]])
    local id = t:enqueue "fresh"
    H.wait.wait_for("its expiry", 2,
      (function(started) return function() return H.now() - started > 0.25 end end)(H.now()))
    assert.equal(1, (t:drain()))
    local job = t:job(id)
    assert.equal("dead", job.state)
    assert.equal("expired", job.error.kind)
    assert.equal(0, t:count "ran")
  end)

  H.it("expires: a retry by hand starts the span anew, and what the last attempt said stays", function(t)
    t:script("a.lua", [[skein.task("fresh", { expires = 1, retries = 0 }, function(job) error("boom", 0) end)]])
    local function passes() H.wait.wait_for("the span to be over", 5,
      (function(at) return function() return H.now() - at > 1.1 end end)(H.now())) end
    local engine = t:run { "-w", "1" }
    local id = t:enqueue "fresh"
    assert.equal("boom", t:wait_state(id, "dead").error.message)
    passes()
    t:ok("pause", "default")
    t:ok("retry", id)
    passes()
    t:ok("resume", "default") -- too late again: what is known of the job is still why it failed
    local job = t:wait_state(id, "dead")
    assert.same({ "error", "boom" }, { job.error.kind, job.error.message })
    assert.matches("failed expired", t:ok("job", id))
    engine:stop()
    t:script("a.lua", [[skein.task("fresh", { expires = 1, retries = 0 }, function(job) fx("ran", job.id) end)]])
    t:run { "-w", "1" }
    t:ok("retry", id)
    assert.equal(id, t:wait_effects("ran", 1)[1][1])
  end)

  H.it("timeout, soft: an error at the next yield, kind timeout, retried", function(t)
    t:script("a.lua", [[skein.task("slow", { timeout = 0.2, retries = 1, backoff = { 0 } }, function(job)
      local t0 = skein.now()
      local ok, err = pcall(skein.sleep, 30)
      fx("stopped", ok, skein.now() - t0, job:active())
      error(err, 0)
    end)]])
    t:run { "-w", "1" }
    local job = t:wait_state(t:enqueue "slow", "dead")
    assert.equal("timeout", job.error.kind)
    assert.equal(2, job.attempts)
    for _, f in ipairs(t:effects "stopped") do
      assert.equal("false", f[1])
      assert.is_true(tonumber(f[2]) >= 0.198 and tonumber(f[2]) < 0.3, "stopped after " .. f[2])
      assert.equal("false", f[3])
    end
  end)

  H.it("timeout: a handler that looks at active() and remaining() sees it come", function(t)
    t:script("a.lua", [[skein.task("careful", { timeout = 0.3 }, function(job)
      fx("at first", job:active(), job:remaining())
      local last
      while job:active() do last = job:remaining() for _ = 1, 1e5 do end end
      fx("at last", job:active(), last)
    end)]])
    t:run { "-w", "1" }
    t:enqueue "careful"
    local first, last = t:wait_effects("at first", 1)[1], t:wait_effects("at last", 1)[1]
    assert.equal("true", first[1])
    assert.is_true(tonumber(first[2]) > 0.25 and tonumber(first[2]) <= 0.3)
    assert.equal("false", last[1])
    assert.is_true(tonumber(last[2]) < 0.1)
  end)

  H.it("no timeout: remaining() is math.huge and active() true", function(t)
    t:script("a.lua", [[skein.task("free", function(job) fx("saw", job:remaining() == math.huge, job:active()) end)]])
    t:run { "-w", "1" }
    t:enqueue "free"
    assert.same({ { "true", "true" } }, t:wait_effects("saw", 1))
  end)

  H.it("a job that finishes in time is not touched by its timeout", function(t)
    t:script("a.lua", [[skein.task("quick", { timeout = 0.3, retries = 0 }, function() skein.sleep(0.1)
      return "in time" end)]])
    t:run { "-w", "1" }
    assert.equal("in time", t:wait_state(t:enqueue "quick", "done").result)
  end)
end)

describe("queues", function()
  local ORDER = [[skein.task("note", function(job, n) fx("order", job.queue, n) end)]]

  local function order(t)
    local list = {}
    for i, f in ipairs(t:effects "order") do list[i] = f[1] .. f[2] end
    return table.concat(list, " ")
  end

  H.it("are first in, first out", function(t)
    t:script("a.lua", ORDER)
    for i = 1, 8 do t:enqueue("note", i, { flags = { "--queue", "q" } }) end
    t:drain { "-w", "1", "-c", "1" }
    assert.equal("q1 q2 q3 q4 q5 q6 q7 q8", order(t))
  end)

  H.it("run higher priorities first, and equal ones in order", function(t)
    t:script("a.lua", [[
      for p = -2, 2 do skein.task("p" .. p + 2, { priority = p }, function(job, n) fx("order", p, "/" .. n) end) end
      skein.task("plan", { priority = 2 }, function()
        local sigs = {}
        for n = 1, 2 do for p = 0, 4 do sigs[#sigs + 1] = { task = "p" .. p, args = { n } } end end
        assert(skein.enqueue_many(sigs))
      end)]])
    t:enqueue "plan"
    t:drain { "-w", "1", "-c", "1" }
    assert.equal("2/1 2/2 1/1 1/2 0/1 0/2 -1/1 -1/2 -2/1 -2/2", order(t))
  end)

  H.it("take a priority from the signature over the task's", function(t)
    t:script("a.lua", ORDER .. [[ skein.task("plan", { priority = 2 }, function()
      for i = -2, 2 do assert(skein.enqueue({ task = "note", priority = i }, i)) end
    end)]])
    t:enqueue "plan"
    t:drain { "-w", "1", "-c", "1" }
    assert.equal("default2 default1 default0 default-1 default-2", order(t))
  end)

  H.it("in strict order: the first is emptied before the second is touched", function(t)
    t:script("a.lua", ORDER)
    for i = 1, 4 do
      t:enqueue("note", i, { flags = { "--queue", "low" } })
      t:enqueue("note", i, { flags = { "--queue", "high" } })
    end
    t:drain { "-w", "1", "-c", "1", "-q", "high,low" }
    assert.equal("high1 high2 high3 high4 low1 low2 low3 low4", order(t))
  end)

  H.it("with weights: each gets its share while both have jobs, none starves", function(t)
    t:script("a.lua", ORDER .. [[ skein.task("plan", { queue = "plan" }, function()
      for _, queue in ipairs { "big", "small" } do
        local sigs = {}
        for i = 1, 400 do sigs[i] = { task = "note", queue = queue, args = { i } } end
        assert(skein.enqueue_many(sigs))
      end
    end)]])
    t:enqueue("plan", { flags = { "--queue", "plan" } })
    t:drain { "-w", "1", "-q", "plan" }
    t:drain { "-w", "1", "-c", "1", "-q", "big:3,small:1" }
    local small = 0
    local all = t:effects "order"
    assert.equal(800, #all)
    for i = 1, 400 do if all[i][1] == "small" then small = small + 1 end end
    H.say("weights 3:1: %d of the first 400 were of the small queue", small)
    -- The choice is random: 100 of 400 on average, with a standard deviation of 8.7; five of them either way.
    assert.is_true(small >= 56 and small <= 144, "small had " .. small .. " of the first 400")
  end)

  H.it("all of them are served when none is named, new ones too", function(t)
    t:script("a.lua", ORDER)
    t:enqueue("note", 1, { flags = { "--queue", "here" } })
    t:run { "-w", "1" }
    t:wait_effects("order", 1)
    t:enqueue("note", 2, { flags = { "--queue", "brand.new" } })
    t:wait_effects("order", 2)
    assert.equal("here1 brand.new2", order(t))
  end)

  H.it("of the task's own queue option are where its jobs go, from jobs and from the command", function(t)
    t:script("a.lua", [[
      skein.task("mail", { queue = "post" }, function(job) fx("queue", job.queue) end)
      skein.task("send", function() assert(skein.enqueue("mail")) end)]])
    t:run { "-w", "1" }
    t:enqueue "send"
    t:wait_effects("queue", 1) -- by now the engine has told the store which tasks there are
    t:enqueue "mail"
    assert.same({ { "post" }, { "post" } }, t:wait_effects("queue", 2))
  end)
end)

describe("jobs enqueue jobs", function()
  H.it("one by one, later, at a time, and many at once", function(t)
    t:script("a.lua", [[
      skein.task("leaf", function(job, how, due) fx("leaf", how, due and skein.now() - due or 0) end)
      skein.task("root", function()
        assert(skein.enqueue("leaf", "plain").id)
        assert(skein.enqueue({ task = "leaf", queue = "other", meta = { a = 1 } }, "signature"))
        assert(skein.enqueue_in(0.2, "leaf", "in", skein.now() + 0.2))
        local at = skein.now() + 0.3
        assert(skein.enqueue_at(at, "leaf", "at", at))
        assert(skein.enqueue({ task = "leaf", delay = 0.1 }, "delay", skein.now() + 0.1))
        local sigs = {}
        for i = 1, 2500 do sigs[i] = { task = "leaf", args = { "many" } } end
        local hs = assert(skein.enqueue_many(sigs))
        fx("handles", #hs, hs[1].id ~= hs[2500].id)
      end)]])
    t:run { "-w", "1" }
    t:enqueue "root"
    local how = {}
    for _, f in ipairs(t:wait_effects("leaf", 2505, 10)) do
      how[f[1]] = (how[f[1]] or 0) + 1
      assert.is_true(tonumber(f[2]) > -0.002, f[1] .. " ran early by " .. f[2])
    end
    assert.same({ plain = 1, signature = 1, ["in"] = 1, at = 1, delay = 1, many = 2500 }, how)
    assert.same({ { "2500", "true" } }, t:effects "handles")
  end)

  H.it("with task options in the signature", function(t)
    t:script("a.lua", [[
      skein.task("bad", function(job) fx("ran", job.attempt, job.retries, job.meta.tenant) error "x" end)
      skein.task("root", function()
        assert(skein.enqueue { task = "bad", retries = 1, backoff = { 0.01 }, meta = { tenant = "t1" } })
      end)]])
    t:run { "-w", "1" }
    t:enqueue "root"
    t:wait_for("its death", 5, function() return t:counters().dead == 1 end)
    assert.same({ { "1", "1", "t1" }, { "2", "1", "t1" } }, t:effects "ran")
  end)

  H.it("and refuse misspelt signature keys at the caller's line", function(t)
    t:script("a.lua", [[
      skein.task("root", { retries = 0 }, function()
        skein.enqueue { task = "leaf", dealy = 5 }
      end)]])
    local id = t:enqueue "root"
    t:drain()
    assert.matches("a%.lua:2: .*dealy.*delay", t:job(id).error.message)
  end)

  H.it("wait for each other's results, see errors, states and progress", function(t)
    t:script("a.lua", t:released() .. [[
      skein.task("add", function(job, a, b) return a + b end)
      skein.task("bad", { retries = 0 }, function() error "no luck" end)
      skein.task("held", { keep = 60 }, function(job) job:progress(50, "half way") released("held") end)
      skein.task("root", function(job)
        assert(skein.enqueue("add", 1, 2):wait(5) == 3)
        local value, err = skein.enqueue("bad"):wait(5)
        fx("bad", value, err.code, err.message:match "no luck", tostring(err):match "no luck")
        local h = skein.enqueue("held")
        repeat skein.sleep(0.005) until h:state() == "running" and h:progress()
        fx("running", h:state())
        local nothing, timeout = h:wait(0.05)
        fx("timeout", nothing, timeout.code)
        fx("ready for release")
        h:wait(5)
        fx("held", h:state())
        fx("unknown", skein.handle and skein.handle("01ARZ3NDEKTSV4RRFFQ69G5FAV"):state())
      end)]])
    t:run { "-w", "1" }
    t:enqueue "root"
    t:wait_effects("ready for release", 1)
    t:release "held"
    t:wait_effects("unknown", 1)
    local bad = t:effects("bad")[1]
    assert.equal("nil", bad[1])
    assert.equal("no luck", bad[3])
    assert.equal("no luck", bad[4])
    assert.same({ { "running" } }, t:effects "running")
    assert.same({ { "nil", "timeout" } }, t:effects "timeout")
    assert.same({ { "done" } }, t:effects "held")
    assert.same({ { "nil" } }, t:effects "unknown")
  end)

  H.it("cancel jobs that wait, which then never run", function(t)
    t:script("a.lua", [[
      skein.task("victim", function() fx("victim") end)
      skein.task("root", { queue = "root" }, function()
        local later, ready = skein.enqueue_in(0.2, "victim"), skein.enqueue { task = "victim", queue = "unserved" }
        fx("states", later:state(), ready:state())
        assert(later:cancel() and ready:cancel())
        fx("states", later:state(), ready:state())
        local value, err = later:wait(1)
        fx("waited", value, err.code)
        local again, why = ready:cancel()
        fx("again", again, why and true)
      end)]])
    local engine = t:run { "-w", "1", "-q", "root,default" }
    t:enqueue("root", { flags = { "--queue", "root" } })
    t:wait_effects("again", 1)
    assert.same({ { "scheduled", "ready" }, { "cancelled", "cancelled" } }, t:effects "states")
    assert.same({ { "nil", "cancelled" } }, t:effects "waited")
    assert.same({ { "nil", "true" } }, t:effects "again")
    H.wait.never("a cancelled job ran", 0.4, function() return t:count "victim" > 0 end)
    engine:stop()
    t:drain { "-q", "unserved,default" }
    assert.equal(0, t:count "victim")
  end)
end)

describe("inside a worker", function()
  H.it("100 jobs that sleep 0.2 s finish within a second at concurrency 100", function(t)
    t:script("a.lua", [[skein.task("nap", function() fx("start", skein.now()) skein.sleep(0.2) fx("end", skein.now())
      end)
      skein.task("plan", function() local s = {} for i = 1, 100 do s[i] = { task = "nap" } end
        assert(skein.enqueue_many(s)) end)]])
    t:run { "-w", "1", "-c", "100" }
    t:enqueue "plan"
    local last, first = 0, math.huge
    for _, f in ipairs(t:wait_effects("end", 100)) do last = math.max(last, tonumber(f[1])) end
    for _, f in ipairs(t:effects "start") do first = math.min(first, tonumber(f[1])) end
    H.say("100 naps of 0.2 s took %.3f s", last - first)
    assert.is_true(last - first < 1)
  end)

  H.it("never more than concurrency jobs run at once", function(t)
    t:script("a.lua", [[local now, most = 0, 0
      skein.task("busy", function()
        now = now + 1 most = math.max(most, now) skein.sleep(0.02) now = now - 1
        fx("most", most)
      end)]])
    for _ = 1, 20 do t:enqueue "busy" end
    t:drain { "-w", "1", "-c", "4" }
    local most = 0
    for _, f in ipairs(t:effects "most") do most = math.max(most, tonumber(f[1])) end
    assert.equal(4, most)
  end)

  H.it("spawned threads run beside the job; wait gives what they return or why they failed", function(t)
    t:script("a.lua", [[skein.task("spawner", function()
      local t0, threads = skein.now(), {}
      for i = 1, 10 do threads[i] = skein.spawn(function(a, b) skein.sleep(0.1) return a + b end, i, i) end
      local sum = 0
      for _, thread in ipairs(threads) do sum = sum + thread:wait() end
      local failing = skein.spawn(function() error "thread trouble" end)
      local value, err = failing:wait()
      return { sum = sum, took = skein.now() - t0, value = value or "nil",
        err = tostring(err):match "a.lua:%d+: thread trouble" or tostring(err) }
    end)]])
    t:run { "-w", "1" }
    local result = t:wait_state(t:enqueue "spawner", "done").result
    assert.equal(110, result.sum)
    assert.is_true(result.took >= 0.1 and result.took < 0.3, "took " .. result.took)
    assert.equal("nil", result.value)
    assert.equal("a.lua:6: thread trouble", result.err)
  end)

  H.it("luv works on the worker's own loop", function(t)
    t:script("a.lua", [[skein.task("timer", function()
      local uv, co, fired = require "luv", coroutine.running(), false
      local timer = uv.new_timer()
      timer:start(20, 0, function() fired = true timer:close() end)
      while not fired do skein.sleep(0.005) end
      return "fired"
    end)]])
    t:run { "-w", "1" }
    assert.equal("fired", t:wait_state(t:enqueue "timer", "done").result)
  end)

  H.it("a job knows itself", function(t)
    t:script("a.lua", [[skein.task("self", { queue = "q", retries = 4 }, function(job, a, b)
      return { id = job.id, task = job.task, queue = job.queue, attempt = job.attempt, retries = job.retries,
        args = job.args,
               age = skein.now() - job.enqueued_at, meta = type(job.meta) }
    end)]])
    t:run { "-w", "1" }
    local id = t:enqueue("self", 1, "two", { flags = { "--queue", "q" } })
    local r = t:wait_state(id, "done").result
    assert.is_true(r.age >= 0 and r.age < 5)
    r.age = nil
    assert.same({ id = id, task = "self", queue = "q", attempt = 1, retries = 4, args = { 1, "two" }, meta = "table" },
      r)
  end)

  H.it("print and job:log go to the log with the job's id, stdout stays empty", function(t)
    t:script("a.lua", [[skein.task("talk", function(job) print("hello", 42, nil) job:log("%d of %s", 3, "five") end)]])
    local engine = t:run { "-w", "1" }
    local id = t:enqueue "talk"
    local line = engine:wait_log "hello%s+42%s+nil"
    assert.equal(id, line.facts.job)
    assert.equal(id, engine:wait_log("3 of five").facts.job)
    assert.equal("", engine.child.stdout)
  end)

  H.it("progress can be seen from outside", function(t)
    t:script("a.lua", t:released()
      .. [[ skein.task("long", function(job) job:progress(50, "half way") released("go") end)]])
    t:run { "-w", "1" }
    local id = t:enqueue "long"
    local job = t:wait_for("progress", 5, function()
      local job = t:find(id)
      return job and job.progress ~= H.null and job
    end)
    assert.same({ percent = 50, message = "half way" }, job.progress)
    assert.equal("running", job.state)
    t:release "go"
  end)
end)

describe("handlers of failures", function()
  H.it("skein.on: error for each failure that will be retried, death instead for the last", function(t)
    t:script("a.lua", [[
      skein.on("error", function(job, err) fx("seen", "error", job.attempt, err.message:match "luck %d",
        (err.traceback:match "a.lua:6")) end)
      skein.on("death", function(job, err) fx("seen", "death", job.attempt, err.message:match "luck %d",
        (err.traceback:match "a.lua:6")) end)
      skein.task("bad", { retries = 2, backoff = { 0.01 } }, function(job)
        error("luck " .. job.attempt)
      end)]])
    t:run { "-w", "1" }
    t:wait_state(t:enqueue "bad", "dead")
    assert.same({ { "error", "1", "luck 1", "a.lua:6" }, { "error", "2", "luck 2", "a.lua:6" },
      { "death", "3", "luck 3", "a.lua:6" } },
      t:wait_effects("seen", 3))
  end)

  H.it("on_error and on_death of the task itself", function(t)
    t:script("a.lua", [[skein.task("bad", { retries = 1, backoff = { 0.01 },
        on_error = function(job, err) fx("seen", "on_error", job.attempt) end,
        on_death = function(job, err) fx("seen", "on_death", job.attempt, err.message:match "luck") end,
      }, function() error "luck" end)
      skein.task("other", { retries = 0 }, function() error "not mine" end)]])
    t:run { "-w", "1" }
    t:wait_state(t:enqueue "other", "dead")
    t:wait_state(t:enqueue "bad", "dead")
    assert.same({ { "on_error", "1" }, { "on_death", "2", "luck" } }, t:wait_effects("seen", 2))
  end)

  H.it("skein.fail is a death without an error before it", function(t)
    t:script("a.lua", [[
      skein.on("error", function() fx("seen", "error") end)
      skein.on("death", function(job, err) fx("seen", "death", err.message:match "hopeless") end)
      skein.task("bad", function() skein.fail "hopeless" end)]])
    t:run { "-w", "1" }
    t:wait_state(t:enqueue "bad", "dead")
    assert.same({ { "death", "hopeless" } }, t:wait_effects("seen", 1))
  end)
end)
