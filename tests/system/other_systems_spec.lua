-- Promises that the test suites of other job systems check, on Skein: users of Goose, Machinery, asynq and BullMQ find
-- them kept.  (Sidekiq's testing modes are in tests/spec/testing_spec.lua.)
local H = require "tests.system.harness"

describe("as Goose has it", function()
  H.it("middleware sees the job before it runs and its result after", function(t)
    t:script("a.lua", [[
      skein.use(function(job, next)
        fx("before", job.task, job.queue, job.attempt, job.args[1])
        local result = next()
        fx("after", job.task, result)
        return result
      end)
      skein.task("double", { queue = "math" }, function(job, n) fx("run") return n * 2 end)]])
    t:run { "-w", "1" }
    assert.equal("8", t:ok("enqueue", "double", "4", "--wait"))
    assert.same({ { "double", "math", "1", "4" } }, t:effects "before")
    assert.same({ { "double", "8" } }, t:effects "after")
  end)

  H.it("a failing job is retried through another queue, with what it was enqueued with", function(t)
    t:script("a.lua", [[
      skein.task("flaky", { queue = "fast", retry_queue = "slow", retries = 2, backoff = { 0 } }, function(job, a, b)
        fx("run", job.queue, job.attempt, a, b.c)
        if job.attempt < 3 then error "not yet" end
      end)]])
    t:run { "-w", "1", "-q", "fast,slow" }
    t:enqueue("flaky", 1, { c = "x" })
    assert.same({ { "fast", "1", "1", "x" }, { "slow", "2", "1", "x" }, { "slow", "3", "1", "x" } },
      t:wait_effects("run", 3))
  end)

  H.it("it dies after exactly max-retries + 1 runs: error handlers, then the death handler", function(t)
    t:script("a.lua", [[
      skein.task("bad", { retries = 3, backoff = { 0 },
        on_error = function(job, err) fx("error", err.attempt, err.kind, (err.message:match "no luck")) end,
        on_death = function(job, err) fx("death", err.attempt, err.kind, (err.message:match "no luck")) end,
      }, function(job) fx("run", job.attempt) error "no luck" end)]])
    t:run { "-w", "1" }
    local id = t:enqueue "bad"
    local job = t:wait_state(id, "dead")
    assert.equal(4, t:count "run")
    assert.same({ { "1", "error", "no luck" }, { "2", "error", "no luck" }, { "3", "error", "no luck" } },
      t:effects "error")
    assert.same({ { "4", "error", "no luck" } }, t:effects "death")
    assert.equal(4, job.attempts)
  end)

  H.it("an error service is passed to handlers: what a script's library holds, they can use", function(t)
    t:file("lib/service.lua",
      [[return { sent = {}, send = function(self, what) self.sent[#self.sent + 1] = what return #self.sent end }]])
    t:script("a.lua", [[
      local service = require "service"
      skein.on("error", function(job, err) fx("service", service:send(err), service.sent[1] == err,
        type(err.traceback)) end)
      skein.task("bad", { retries = 1, backoff = { 60 } }, function() error "x" end)]])
    t:run { "-w", "1" }
    t:enqueue "bad"
    assert.same({ { "1", "true", "string" } }, t:wait_effects("service", 1))
  end)
end)

describe("as Machinery has it", function()
  H.it("values of several kinds come back from a task as they were returned", function(t)
    t:script("a.lua", [[
      skein.task("echo", function(job, v) return v end)
      skein.task("many", function() return { 1, "two", { three = skein.null }, false, 4.5 } end)]])
    t:run { "-w", "1" }
    for _, value in ipairs { "7", "-0.5", "true", "false", '"text"', '[1,2,3]', '{"a":{"b":[]}}', '""' } do
      assert.equal(value:match '^"(.*)"$' or value, (t:ok("enqueue", "echo", value, "--wait"):match '^"?(.-)"?$'))
    end
    assert.equal('[1,"two",{"three":null},false,4.5]', t:ok("enqueue", "many", "--wait"))
  end)

  H.it("large integers are the same at the other end", function(t)
    t:script("a.lua", [[skein.task("next", function(job, n) return n + 1 end)]])
    t:run { "-w", "1" }
    assert.equal("9223372036854775807", t:ok("enqueue", "next", "9223372036854775806", "--wait"))
    assert.equal("4611686018427387905", t:ok("enqueue", "next", "4611686018427387904", "--wait"))
  end)

  H.it("the text of what a task raised reaches who waits for it", function(t)
    t:script("a.lua", [[skein.task("panic", { retries = 0 }, function() error "oops: the disk is on fire" end)]])
    t:run { "-w", "1" }
    local result = t:cli { "enqueue", "panic", "--wait" }
    assert.not_equal(0, result.code)
    assert.matches("oops: the disk is on fire", result.err)
  end)

  H.it("Fibonacci is the retry's delay", function(t)
    t:script("a.lua", [[skein.task("flaky", { retries = 10, backoff = "fibonacci" }, function(job)
      fx("run", skein.now()) error "x" end)]])
    t:run { "-w", "1" }
    t:enqueue "flaky"
    local runs = t:wait_effects("run", 3, 10)
    assert.is_true(runs[2][1] - runs[1][1] >= 1)
    assert.is_true(runs[3][1] - runs[2][1] >= 2 or runs[3][1] - runs[2][1] >= 1)
    assert.is_true(runs[3][1] - runs[1][1] >= 3)
  end)

  H.it("retry-later (snooze) consumes no retry", function(t)
    t:script("a.lua", [[
      local times = 0
      skein.task("later", { retries = 0 }, function(job)
        times = times + 1
        fx("run", job.attempt)
        if times <= 5 then job:snooze(0.01) end
        return "at last"
      end)]])
    t:run { "-w", "1" }
    assert.equal("at last", (t:ok("enqueue", "later", "--wait"):match '^"?(.-)"?$'))
    for _, f in ipairs(t:effects "run") do assert.same({ "1" }, f) end
    assert.equal(6, t:count "run")
  end)

  H.it("only registered tasks are consumed: others wait for an engine that knows them", function(t)
    t:script("a.lua", [[skein.task("known", function() fx("known") end)]])
    t:config [[{ unknown_delay = 1 }]]
    local first = t:run { "-w", "1" }
    local id = t:enqueue("mystery", 1)
    t:enqueue "known"
    t:wait_effects("known", 1)
    first:wait_log("no script declares this task", 5)
    assert.equal(0, first:stop())
    t:script("b.lua", [[skein.task("mystery", function(job, n) fx("mystery", n, job.attempt) end)]])
    t:run { "-w", "1" }
    assert.same({ { "1", "1" } }, t:wait_effects("mystery", 1))
    assert.is_not_nil(id)
  end)

  H.it("a success callback gets the result appended to its args", function(t)
    t:script("a.lua", [[
      skein.task("add", function(job, a, b) return a + b end)
      skein.task("show", function(job, ...) fx("show", ...) end)
      skein.task("root", function()
        skein.enqueue({ task = "add", on_success = { { task = "show", args = { "sum" } }, { task = "show" } } }, 1, 2)
      end)]])
    t:run { "-w", "1" }
    t:enqueue "root"
    local shown = t:wait_effects("show", 2)
    table.sort(shown, function(a, b) return #a > #b end)
    assert.same({ { "sum", "3" }, { "3" } }, shown)
  end)

  H.it("unless the parent is immutable", function(t)
    t:script("a.lua", [[
      skein.task("add", function(job, a, b) return a + b end)
      skein.task("show", function(job, ...) fx("show", select("#", ...), ...) end)
      skein.task("root", function()
        skein.enqueue({ task = "add", immutable = true, on_success = { task = "show", args = { "plain" } } }, 1, 2)
      end)]])
    t:run { "-w", "1" }
    t:enqueue "root"
    assert.same({ { "1", "plain" } }, t:wait_effects("show", 1))
  end)

  H.it("an error callback gets the error first, once the job is dead, and the success callback stays away", function(t)
    t:script("a.lua", [[
      skein.task("bad", { retries = 1, backoff = { 0 } }, function(job) fx("run", job.attempt) error("no luck", 0) end)
      skein.task("alert", function(job, ...) fx("alert", ...) end)
      skein.task("root", function()
        skein.enqueue { task = "bad", on_success = { task = "alert", args = { "good" } },
          on_error = { task = "alert", args = { "ops" } } }
      end)]])
    t:run { "-w", "1" }
    t:enqueue "root"
    assert.same({ { "no luck", "ops" } }, t:wait_effects("alert", 1))
    assert.equal(2, t:count "run")
    t:wait_for("nothing left", 5, function()
      local s = t:json("stats").states
      return s.ready + s.running + s.retry == 0
    end)
    assert.equal(1, t:count "alert")
  end)

  H.it("callbacks of callbacks run: a chain of successes passes its result on", function(t)
    t:script("a.lua", [[
      skein.task("add", function(job, a, b) return a + b end)
      skein.task("show", function(job, ...) fx("show", ...) end)
      skein.task("root", function()
        skein.enqueue({ task = "add", on_success = { task = "add", args = { 10 },
          on_success = { task = "add", args = { 100 },
          on_success = "show" } } }, 1, 2)
      end)]])
    t:run { "-w", "1" }
    t:enqueue "root"
    assert.same({ { "113" } }, t:wait_effects("show", 1))
  end)
end)

describe("as asynq and BullMQ have it", function()
  H.it("a unique job is refused while one like it waits or runs, and taken again when that has ended", function(t)
    t:script("a.lua", t:released() .. [[
      skein.task("report", { unique = true }, function(job, n) fx("run", n) released("report") end)
      skein.task("root", function()
        local first = assert(skein.enqueue("report", 1))
        local none, err = skein.enqueue("report", 1)
        fx("refused", none, err.code, err.id == first.id, err.handle.id == first.id)
        fx("other", skein.enqueue("report", 2) ~= nil)
        repeat skein.sleep(0.005) until first:state() == "running"
        fx("while it runs", (skein.enqueue("report", 1)))
        fx("waiting")
        first:wait(5)
        fx("again", skein.enqueue("report", 1) ~= nil)
      end)]])
    t:run { "-w", "1" }
    t:enqueue "root"
    t:wait_effects("waiting", 1)
    assert.same({ { "nil", "exists", "true", "true" } }, t:effects "refused")
    assert.same({ { "true" } }, t:effects "other")
    assert.same({ { "nil" } }, t:effects "while it runs")
    t:release "report"
    assert.same({ { "true" } }, t:wait_effects("again", 1))
    assert.equal(3, #t:wait_effects("run", 3))
  end)

  H.it("a unique job's lock is over after its ttl", function(t)
    t:script("a.lua", t:released() .. [[
      skein.task("report", { unique = { key = "args", ttl = 0.3 } }, function() fx("run") released("all") end)
      skein.task("root", function()
        fx("first", skein.enqueue("report", 1) ~= nil)
        fx("second", skein.enqueue("report", 1) ~= nil)
        skein.sleep(0.35)
        fx("third", skein.enqueue("report", 1) ~= nil)
      end)]])
    t:run { "-w", "1" }
    t:enqueue "root"
    assert.same({ { "true" } }, t:wait_effects("third", 1))
    assert.same({ { "true" } }, t:effects "first")
    assert.same({ { "false" } }, t:effects "second")
  end)

  H.it("a unique job's lock leaves with it also when it dies, is cancelled or deleted", function(t)
    t:script("a.lua", [[
      skein.task("bad", { unique = true, retries = 0 }, function() error "x" end)
      skein.task("later", { unique = { key = 1 } }, function() end)
      skein.task("root", function()
        skein.enqueue("bad", 1):wait(5)
        fx("after death", skein.enqueue("bad", 1) ~= nil)
        local h = skein.enqueue_in(60, "later", "k", 1)
        fx("same key", (skein.enqueue_in(60, "later", "k", 2)))
        h:cancel()
        h = skein.enqueue_in(60, "later", "k", 3)
        fx("after cancel", h ~= nil)
        skein.admin.delete(h.id)
        fx("after delete", skein.enqueue_in(60, "later", "k", 4) ~= nil)
      end)]])
    t:run { "-w", "1" }
    t:enqueue "root"
    assert.same({ { "true" } }, t:wait_effects("after delete", 1))
    assert.same({ { "true" } }, t:effects "after death")
    assert.same({ { "nil" } }, t:effects "same key")
    assert.same({ { "true" } }, t:effects "after cancel")
  end)

  H.it("debounce: of many enqueues in a row the last one runs, once, when they have been quiet", function(t)
    t:script("a.lua", [[
      skein.task("index", { debounce = { wait = 0.3, key = 1 } }, function(job, doc, version)
        fx("index", doc, version, skein.now()) end)
      skein.task("root", function()
        for version = 1, 5 do
          fx("asked", skein.now())
          assert(skein.enqueue("index", "doc", version))
          skein.sleep(0.02)
        end
      end)]])
    t:run { "-w", "1" }
    t:enqueue "root"
    local indexed = t:wait_effects("index", 1)
    local asked = t:effects "asked"
    assert.same({ "doc", "5" }, { indexed[1][1], indexed[1][2] })
    assert.is_true(indexed[1][3] - asked[#asked][1] >= 0.299)
    assert.equal(1, t:count "index")
  end)

  H.it("throttle: at most one per window", function(t)
    t:script("a.lua", [[
      skein.task("ping", { throttle = { per = 0.5, key = "args" } }, function(job, n) fx("ping", n) end)
      skein.task("root", function()
        local first = assert(skein.enqueue("ping", 1))
        first:wait(5)
        fx("again", (skein.enqueue("ping", 1)))
        fx("other", skein.enqueue("ping", 2) ~= nil)
        skein.sleep(0.55)
        fx("later", skein.enqueue("ping", 1) ~= nil)
      end)]])
    t:run { "-w", "1" }
    t:enqueue "root"
    assert.same({ { "true" } }, t:wait_effects("later", 1))
    assert.same({ { "nil" } }, t:effects "again")
    assert.same({ { "true" } }, t:effects "other")
  end)

  H.it("a job is cancelled while it waits and while it runs, from another process", function(t)
    t:script("a.lua", [[
      skein.task("long", function() fx("start") skein.sleep(60) fx("end") end)]])
    t:run { "-w", "1", "-c", "1" }
    local running = t:enqueue "long"
    local waiting = t:enqueue "long"
    t:wait_effects("start", 1)
    t:ok("cancel", waiting)
    t:ok("cancel", running)
    t:wait_state(running, "cancelled", 2)
    t:wait_state(waiting, "cancelled", 2)
    assert.equal(1, t:count "start")
    assert.equal(0, t:count "end")
    local counters = t:counters()
    assert.equal(2, counters.cancelled)
    assert.equal(0, counters.dead)
    assert.equal(0, counters.retried)
  end)

  H.it("a rate is kept by three engines together", function(t)
    t:script("a.lua", [[
      skein.task("call", { limit = { rate = 10, per = 1 } }, function() fx("call", skein.now()) end)]])
    for _ = 1, 3 do t:run { "-w", "1" } end
    assert.equal(0, t:client([[
      local skein = require "skein"
      local sigs = {}
      for i = 1, 25 do sigs[i] = { task = "call", args = { i } } end
      assert(skein.enqueue_many(sigs))]]).code)
    local calls = t:wait_effects("call", 25, 10)
    local at = {}
    for i, f in ipairs(calls) do at[i] = tonumber(f[1]) end
    table.sort(at)
    for i = 11, 25 do assert.is_true(at[i] - at[i - 10] > 0.95,
      ("11 starts within %.3f s"):format(at[i] - at[i - 10])) end
  end)

  H.it("a concurrency per key is kept by three engines together, and other keys run meanwhile", function(t)
    t:script("a.lua", [[
      skein.task("sync", { limit = { concurrency = 2, key = 1 } }, function(job, tenant)
        fx("begin", tenant, skein.now()) skein.sleep(0.02) fx("end", tenant, skein.now())
      end)]])
    for _ = 1, 3 do t:run { "-w", "1", "-c", "10" } end
    assert.equal(0, t:client([[
      local skein = require "skein"
      local sigs = {}
      for i = 1, 60 do sigs[i] = { task = "sync", args = { "tenant " .. i % 3 } } end
      assert(skein.enqueue_many(sigs))]]).code)
    t:wait_effects("end", 60, 20)
    local events = {}
    for _, f in ipairs(t:effects "begin") do events[#events + 1] = { at = tonumber(f[2]), tenant = f[1], by = 1 } end
    for _, f in ipairs(t:effects "end") do events[#events + 1] = { at = tonumber(f[2]), tenant = f[1], by = -1 } end
    table.sort(events, function(a, b) return a.at < b.at or (a.at == b.at and a.by < b.by) end)
    local now, most, all, most_all = {}, 0, 0, 0
    for _, e in ipairs(events) do
      now[e.tenant] = (now[e.tenant] or 0) + e.by
      all = all + e.by
      most, most_all = math.max(most, now[e.tenant]), math.max(most_all, all)
    end
    assert.equal(2, most)
    assert.is_true(most_all > 2)
  end)

  H.it("a tenant with many jobs does not starve one with few", function(t)
    t:script("a.lua", [[
      skein.task("mail", { limit = { key = 1 } }, function(job, tenant) fx("mail", tenant) end)
      skein.task("start", { queue = "start" }, function() end)]])
    assert.equal(0, t:client([[
      local skein = require "skein"
      local limit = { key = 1 }
      local sigs = {}
      for i = 1, 2000 do sigs[i] = { task = "mail", args = { "big" }, limit = limit } end
      assert(skein.enqueue_many(sigs))
      sigs = {}
      for i = 1, 10 do sigs[i] = { task = "mail", args = { "small" }, limit = limit } end
      assert(skein.enqueue_many(sigs))]]).code)
    t:run { "-w", "1", "-c", "1" }
    t:wait_effects("mail", 2010, 20)
    local last = 0
    for i, f in ipairs(t:effects "mail") do
      if f[1] == "small" then last = i end
    end
    assert.is_true(last <= 30, "the last of the ten ran as number " .. last)
  end)

  H.it("strict order per key: a retrying job holds its key, and no other key waits for it", function(t)
    t:script("a.lua", [[
      skein.task("step", { limit = { concurrency = 1, order = "strict", key = 1 }, retries = 3, backoff = { 0.1 } },
        function(job, key, n)
        fx("step", key, n, job.attempt)
        if key == "a" and n == 1 and job.attempt < 3 then error "not yet" end
      end)]])
    t:run { "-w", "1" }
    assert.equal(0, t:client([[
      local skein = require "skein"
      local sigs = {}
      for n = 1, 3 do
        for _, key in ipairs { "a", "b" } do
          sigs[#sigs + 1] = { task = "step", args = { key, n } }
        end
      end
      assert(skein.enqueue_many(sigs))]]).code)
    t:wait_effects("step", 8)
    local order = { a = {}, b = {} }
    local steps = t:effects "step"
    for _, f in ipairs(steps) do table.insert(order[f[1]], f[2] .. "." .. f[3]) end
    assert.equal("1.1 1.2 1.3 2.1 3.1", table.concat(order.a, " "))
    assert.equal("1.1 2.1 3.1", table.concat(order.b, " "))
    assert.equal("a", steps[8][1])
  end)
end)
