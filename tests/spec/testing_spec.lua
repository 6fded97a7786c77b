-- skein.testing, as a spec of scripts uses it: recording and running jobs, the clock, waiting.
local files = require "tests.support.files"
local t = require "skein.testing"
local skein = require "skein"
local tasks = require "tests.support.testing_tasks"

local list, misuse = tasks.list, tasks.misuse
local ran, act, heard

describe("skein.testing", function()
  before_each(function() ran, act, heard = tasks.begin() end)
  after_each(t.reset)

  it("moves os.time and os.date with its clock, and gives them back", function()
    t.at(1000000000.9)
    assert.equal(1000000000, os.time())
    assert.equal("2001-09-09", os.date "!%Y-%m-%d")
    assert.equal(os.date("%c", 1000000000), os.date())
    local day = { year = 2030, month = 1, day = 2, hour = 3 }
    assert.equal(3, os.date("*t", os.time(day)).hour)
    t.advance(3600)
    local h = skein.enqueue_at(os.time() + 60, "plain")
    assert.same({ 0, "scheduled" }, { t.drain(), h:state() })
    t.advance(60)
    assert.equal(1, t.drain())
    local kept = os.time
    t.reset()
    assert.is_true(kept() > 1700000000 and os.date "*t".year > 2020)
  end)

  describe("fake", function()
    it("records jobs and runs none", function()
      local h = assert(skein.enqueue("add", 1, 2))
      assert.equal("ready", h:state())
      assert.same({}, ran)
      local jobs = t.enqueued()
      assert.equal(1, #jobs)
      assert.same({ h.id, "add", "default", "ready", 0, 0 },
        { jobs[1].id, jobs[1].task, jobs[1].queue, jobs[1].state, jobs[1].priority, jobs[1].attempts })
      assert.same({ 1, 2 }, list(jobs[1]))
      assert.is_nil(jobs[1].at)
    end)

    it("lists jobs as they were enqueued, of one task or of all", function()
      skein.enqueue_in(60, "plain", 1)
      skein.enqueue("urgent", 2)
      skein.enqueue("other", 3)
      skein.enqueue("plain", 4)
      local order = {}
      for i, job in ipairs(t.enqueued()) do order[i] = job.args[1] end
      assert.same({ 1, 2, 3, 4 }, order)
      assert.equal(2, #t.enqueued("plain"))
      assert.same({ "side", skein.now() + 60 }, { t.enqueued("other")[1].queue, t.enqueued("plain")[1].at })
      assert.same({}, t.enqueued("never.heard.of"))
    end)

    it("tells options and meta of a recorded job", function()
      skein.enqueue { task = "plain", queue = "q", priority = -1, retries = 4, meta = { who = "me" },
        at = skein.now() + 5 }
      local job = t.enqueued("plain")[1]
      assert.same({ "q", -1, 4, { who = "me" }, "scheduled" },
        { job.queue, job.priority, job.retries, job.meta, job.state })
    end)

    it("refuses what production refuses", function()
      misuse("args%[1%]: a function cannot be stored", function() skein.enqueue("plain", print) end)
      misuse("unknown option", function() skein.enqueue { task = "plain", retires = 1 } end)
      misuse("name", function() skein.enqueue("no good name") end)
      local id = skein.enqueue({ task = "plain", id = "one" }).id
      local h, err = skein.enqueue { task = "plain", id = id }
      assert.same({ nil, "exists" }, { h, err.code })
    end)

    it("gives what jobs get through JSON", function()
      skein.enqueue("echo", nil, { list = {}, deep = { 1, { 2 } } }, 9007199254740993LL, "ä\0")
      local got
      act.echo = function(job, ...) got = { job.args, ... } end
      t.drain()
      assert.is_true(got[2] == skein.null)
      assert.same({ list = {}, deep = { 1, { 2 } } }, got[3])
      assert.equal("9007199254740993LL", tostring(got[4]))
      assert.equal("ä\0", got[5])
      assert.equal(4, #got[1])
    end)

    it("lets the program's own connection alone", function()
      assert.is_true(skein.connect("redis://nowhere.invalid"))
      assert.is_truthy(skein.enqueue("plain"))
      assert.equal(1, #t.enqueued())
    end)

    it("forgets all jobs at a reset, and no task", function()
      local h = skein.enqueue("plain")
      t.reset()
      t.fake()
      assert.same({}, t.enqueued())
      assert.is_nil(h:state())
      skein.enqueue("plain")
      assert.equal(1, t.drain())
    end)

    it("gives back the real store at a reset", function()
      local dir = files.temp_dir()
      t.reset()
      assert(skein.connect("sqlite:" .. dir .. "/jobs.db", { durability = "normal" }))
      local h = assert(skein.enqueue("plain"))
      t.fake()
      assert.is_nil(h:state())
      t.reset()
      assert.equal("ready", h:state())
      assert.is_true(math.abs(skein.now() - os.time()) < 5)
      skein.close()
      files.remove(dir)
    end)

    it("is the mode for the time of a function, too", function()
      t.inline()
      assert.equal("done", t.fake(function()
        skein.enqueue("plain")
        assert.same({}, ran)
        return "done"
      end))
      skein.enqueue("plain")
      assert.same({ "plain" }, ran)
      assert.has_error(function() t.fake(function() error("up") end) end)
      skein.enqueue("plain")
      assert.equal(2, #ran)
    end)
  end)

  describe("drain", function()
    it("runs what is recorded, and tells how many that were", function()
      local h = skein.enqueue("add", 1, 2)
      skein.enqueue("plain")
      assert.equal(2, t.drain())
      assert.same({ "add", "plain" }, ran)
      assert.same({ "done", 3 }, { h:state(), h:wait(0) })
      assert.equal(0, t.drain())
    end)

    it("runs what the jobs enqueue", function()
      act.plain = function(_, n)
        if n > 0 then skein.enqueue("plain", n - 1) end
      end
      skein.enqueue("plain", 4)
      assert.equal(5, t.drain())
      assert.same({}, t.enqueued())
    end)

    it("runs by priority, what came due first, then first in, first out", function()
      local order = {}
      act.plain = function(_, n) order[#order + 1] = n end
      act.urgent = act.plain
      skein.enqueue("plain", "first")
      skein.enqueue("plain", "second")
      skein.enqueue_in(5, "plain", "later due")
      skein.enqueue_in(4, "plain", "due")
      skein.enqueue("urgent", "urgent")
      t.advance(10)
      assert.equal(5, t.drain())
      assert.same({ "urgent", "due", "later due", "first", "second" }, order)
    end)

    it("lets queues take turns", function()
      skein.enqueue_many { "plain", "plain", "other", "other" }
      t.drain()
      assert.same({ "plain", "other", "plain", "other" }, ran)
    end)

    it("runs one task's jobs and leaves the others where they were", function()
      skein.enqueue_many { "plain", "other", "add", "plain" }
      assert.equal(2, t.drain("plain"))
      assert.same({ "plain", "plain" }, ran)
      assert.same({ "ready", "ready" }, { t.enqueued("add")[1].state, t.enqueued("other")[1].state })
      assert.equal(0, t.drain("plain"))
    end)

    it("names a task that no script declares", function()
      misuse('skein%.testing%.drain: no script declares task "plian", did you mean "plain"%?', function()
        t.drain "plian"
      end)
    end)

    it("of one task lets what it passes over be seen as it is by the jobs that run", function()
      skein.enqueue_many { "plain", "add" }
      local first = t.enqueued("plain")[1].id
      act.add = function()
        assert.equal("ready", skein.handle(first):state())
        skein.enqueue { task = "unique", unique = { key = "one" } }
        assert.equal("exists", select(2, skein.enqueue { task = "unique", unique = { key = "one" } }).code)
        skein.enqueue "add"
        act.add = nil
      end
      assert.equal(2, t.drain "add")
      assert.same({ "ready", "ready" }, { t.enqueued("plain")[1].state, t.enqueued("unique")[1].state })
      act.add = function() skein.handle(first):wait() end
      skein.enqueue "add"
      assert.equal(1, t.drain "add")
      assert.same({ "add", "add", "add", "plain" }, ran)
    end)

    it("of one task leaves the others as they were when a job of it can't go on", function()
      skein.enqueue_many { "plain", "add", "plain" }
      local order = t.enqueued "plain"
      act.add = function() t.reset() end
      skein.enqueue "add"
      t.drain "add"
      assert.same({ order[1].id, order[2].id }, { t.enqueued("plain")[1].id, t.enqueued("plain")[2].id })
    end)

    it("of one task takes each of the others once, however many jobs run", function()
      local fetched, kit = 0, getmetatable(require("skein.core").testing(0)).__index
      local fetch = kit.fetch
      kit.fetch = function(...)
        fetched = fetched + 1
        return fetch(...)
      end
      for _ = 1, 100 do skein.enqueue_many { "plain", "add" } end
      local ok, drained = pcall(t.drain, "add")
      kit.fetch = fetch
      assert.same({ true, 100 }, { ok, drained })
      assert.is_true(fetched <= 201, fetched .. " fetches")
      assert.equal(100, #t.enqueued "plain")
    end)

    it("runs scheduled jobs when the clock has come to them", function()
      skein.enqueue_in(60, "plain")
      skein.enqueue_at(skein.now() + 120, "add", 1, 2)
      assert.equal(0, t.drain())
      t.advance(59.999)
      assert.equal(0, t.drain())
      t.advance(0.001)
      assert.equal(1, t.drain())
      t.advance(60)
      assert.equal(1, t.drain())
      assert.same({ "plain", "add" }, ran)
    end)

    it("says so when it would never end", function()
      act.plain = function() skein.enqueue("plain") end
      skein.enqueue("plain")
      misuse("100000 jobs have run", function() t.drain() end)
    end)

    it("does not run what a paused queue holds", function()
      skein.enqueue("other")
      skein.admin.pause("side")
      assert.equal(0, t.drain())
      skein.admin.resume("side")
      assert.equal(1, t.drain())
    end)

    it("refuses what is no name", function()
      misuse("must be a string, not number", function() t.drain(1) end)
      misuse("must be a string, not table", function() t.enqueued {} end)
    end)
  end)

  describe("a job that fails", function()
    it("is retried after its back-off and dead in the end", function()
      act.flaky = function() error("no", 0) end
      local h = skein.enqueue("flaky")
      assert.equal(1, t.drain())
      local job = t.enqueued("flaky")[1]
      assert.same({ "retry", 1, skein.now() + 10, "no" }, { job.state, job.attempts, job.at, job.error.message })
      t.advance(9)
      assert.equal(0, t.drain())
      t.advance(1)
      assert.equal(1, t.drain())
      t.advance(60)
      assert.equal(1, t.drain())
      assert.same({ "dead", 3 }, { h:state(), h:info().attempts })
      local _, err = h:wait()
      assert.same({ "dead", "error", "no" }, { err.code, err.kind, err.message })
      assert.matches("stack traceback", err.traceback)
      assert.equal(3, #ran)
    end)

    it("is retried by the task's own function", function()
      act.backed = function() error("no") end
      skein.enqueue("backed")
      t.drain()
      assert.equal(skein.now() + 100, t.enqueued("backed")[1].at)
    end)

    it("is heard of by its handlers, which may enqueue", function()
      act.handled = function(job) error("attempt " .. job.attempt, 0) end
      skein.enqueue("handled")
      t.drain()
      assert.same({ { "error", "handled", 1, "attempt 1" } }, heard)
      t.advance(1)
      t.drain()
      assert.same({ "death", "handled", 2, "attempt 2" }, heard[2])
    end)

    it("asks for a retry, dies at once, is dropped or put off", function()
      act.flaky = function() skein.retry_in(7, "busy") end
      local retried = skein.enqueue("flaky")
      t.drain()
      assert.same({ "retry", skein.now() + 7 }, { retried:state(), retried:info().due_at })
      act.flaky = function() skein.fail("hopeless") end
      local failed = skein.enqueue("flaky")
      t.drain()
      assert.same({ "dead", "hopeless" }, { failed:state(), failed:info().error.message })
      act.flaky = function() skein.discard() end
      local discarded = skein.enqueue("flaky")
      t.drain()
      assert.is_nil(discarded:state())
      act.flaky = function(job) job:snooze(30) end
      local snoozed = skein.enqueue("flaky")
      t.drain()
      assert.same({ "scheduled", 0, skein.now() + 30 },
        { snoozed:state(), snoozed:info().attempts, snoozed:info().due_at })
      act.dropped = function() error("no") end
      local dropped = skein.enqueue("dropped")
      t.drain()
      assert.is_nil(dropped:state())
    end)

    it("fails for a result that can't be stored", function()
      act.brittle = function() return { callback = print } end
      local h = skein.enqueue("brittle")
      t.drain()
      assert.equal("result", h:info().error.kind)
      assert.matches("result.callback: a function cannot be stored", h:info().error.message)
    end)

    it("of a task that nobody declares is put back, and dead after ten times", function()
      local h = skein.enqueue("nobody")
      assert.equal(0, t.drain())
      assert.same({ "scheduled", skein.now() + 5 }, { h:state(), h:info().due_at })
      for _ = 1, 9 do
        t.advance(5)
        t.drain()
      end
      assert.same({ "dead", "unknown_task" }, { h:state(), h:info().error.kind })
    end)

    it("has its time to expire again when it is retried by hand", function()
      local late = skein.enqueue "short"
      t.advance(61)
      t.drain()
      assert.equal("dead", late:state())
      skein.admin.retry(late.id)
      t.advance(59)
      assert.equal(1, t.drain())
    end)

    it("is dead when it has expired", function()
      local early, late = skein.enqueue("short"), skein.enqueue("short")
      t.advance(60)
      skein.admin.cancel(early.id)
      skein.admin.retry(early.id) -- by hand: its time starts anew
      t.advance(0.001)
      assert.equal(1, t.drain())
      assert.same({ "dead", "expired" }, { late:state(), late:info().error.kind })
      local h = skein.enqueue("short")
      t.advance(60)
      assert.equal(1, t.drain())
      assert.is_nil(h:state())
    end)

    it("is retried by hand", function()
      act.brittle = function() error("no") end
      local h = skein.enqueue("brittle")
      t.drain()
      act.brittle = nil
      assert.equal(1, skein.admin.retry { state = "dead" })
      assert.equal(1, t.drain())
      assert.is_nil(h:state())
    end)
  end)

  describe("the clock", function()
    it("stands still until it is moved", function()
      local now = skein.now()
      assert.equal(now, skein.now())
      assert.is_true(math.abs(now - os.time()) <= 2)
      t.advance(1.5)
      assert.equal(now + 1.5, skein.now())
      t.at(1000)
      assert.equal(1000, skein.now())
      skein.enqueue("plain")
      assert.equal(1000, t.enqueued()[1].enqueued_at)
    end)

    it("moves on as jobs sleep", function()
      t.at(1000)
      act.plain = function()
        skein.sleep(2.5)
        return skein.now()
      end
      assert.equal(1002.5, skein.enqueue("plain"):wait())
      assert.equal(1002.5, skein.now())
    end)

    it("ends what is kept", function()
      local h = skein.enqueue("kept")
      t.drain()
      assert.equal("done", h:state())
      t.advance(100)
      assert.is_nil(h:state())
    end)

    it("refuses what is no time", function()
      misuse("the time is %-1", function() t.at(-1) end)
      misuse('it is "soon"', function() t.advance("soon") end)
    end)
  end)

  describe("a job", function()
    it("knows itself", function()
      local seen
      act.plain = function(job)
        seen = { job.id, job.task, job.queue, job.attempt, job.retries, job.meta.who, job.enqueued_at }
      end
      local h = skein.enqueue { task = "plain", queue = "q", retries = 3, meta = { who = "me" } }
      t.drain()
      assert.same({ h.id, "plain", "q", 1, 3, "me", skein.now() }, seen)
    end)

    it("take a text of job:log that is no format as it is, and say which values don't fit one", function()
      act.kept = function(job)
        job:log("50% off")
        job:log("100%%")
        job:log("%d")
        misuse("job:log: bad argument #2 %(number expected, got string%)$", function() job:log("%d", "x") end)
        misuse("job:log: invalid option '%%' to 'format'$", function() job:log("%", 1) end)
        misuse("job:log: bad argument #1 %(string expected, got nil%)$", function() job:log() end)
      end
      local h = skein.enqueue("kept")
      t.drain()
      local said = {}
      for i, line in ipairs(h:log()) do said[i] = line.text end
      assert.same({ "50% off", "100%", "%d" }, said)
      assert.equal("done", h:state())
    end)

    it("tells its progress", function()
      local h
      act.plain = function(job)
        job:progress(40, "packing")
        job:log("so far %d", 40)
        assert.same({ 40, "packing" }, { h:progress() })
        assert.same({ { at = skein.now(), text = "so far 40" } }, h:log())
        assert.equal("running", h:state())
        misuse("percent must be a number", function() job:progress(101) end)
      end
      h = skein.enqueue("plain", 1)
      t.drain()
      assert.is_nil(h:info())
    end)

    it("leaves its log and what has happened to it", function()
      t.at(1000)
      act.flaky = function(job)
        job:log("try %d", job.attempt)
        if job.attempt == 1 then error("no", 0) end
        return true
      end
      local h = skein.enqueue("flaky")
      assert.is_true(h:wait(10))
      assert.same({ { at = 1000, text = "try 1" }, { at = 1010, text = "try 2" } }, h:log())
      local events = {}
      for i, event in ipairs(h:info().history) do events[i] = ("%d %s"):format(event.at, event.event) end
      assert.same({ "1000 started", "1000 failed", "1000 retry", "1010 started", "1010 done" }, events)
    end)

    it("is stopped by its timeout, which sleeping brings near", function()
      local seen = {}
      act.timed = function(job)
        seen[1] = job:remaining()
        skein.sleep(3)
        seen[2], seen[3] = job:remaining(), job:active()
        local ok = pcall(skein.sleep, 10)
        seen[4], seen[5] = ok, job:active()
        skein.sleep(1)
      end
      local from, h = skein.now(), skein.enqueue("timed")
      t.drain()
      assert.same({ 5, 2, true, false, false }, seen)
      assert.equal(from + 5, skein.now())
      assert.same({ "dead", "timeout", "timed out after 5 s" },
        { h:state(), h:info().error.kind, h:info().error.message })
    end)

    it("that swallows its timeout for ever is ended all the same", function()
      act.timed = function()
        while true do pcall(skein.sleep, 1) end
      end
      local h = skein.enqueue("timed")
      t.drain()
      assert.same({ "dead", "timeout" }, { h:state(), h:info().error.kind })
    end)

    it("has threads that sleep side by side", function()
      local order = {}
      act.plain = function()
        local function nap(s)
          skein.sleep(s)
          order[#order + 1] = s
          return s
        end
        local a, b = skein.spawn(nap, 3), skein.spawn(nap, 2)
        local bad = skein.spawn(function() error("one of them", 0) end)
        local _, err = bad:wait()
        return { a:wait() + b:wait(), err.message }
      end
      local from = skein.now()
      assert.same({ 5, "one of them" }, skein.enqueue("plain"):wait())
      assert.same({ 2, 3 }, order)
      assert.equal(from + 3, skein.now())
    end)

    it("sleeps in coroutines of its own", function()
      act.plain = function()
        local sum = 0
        for n in coroutine.wrap(function()
          for i = 1, 3 do
            skein.sleep(i)
            coroutine.yield(i)
          end
        end) do sum = sum + n end
        return sum
      end
      local from = skein.now()
      assert.equal(6, skein.enqueue("plain"):wait())
      assert.equal(from + 6, skein.now())
    end)

    it("that waits for nothing fails", function()
      act.brittle = function() coroutine.yield() end
      local h = skein.enqueue("brittle")
      t.drain()
      assert.matches("waits for something that never comes", h:info().error.message)
    end)

    it("sleeps nowhere else", function()
      misuse("can only be used inside a job", function() skein.sleep(1) end)
      misuse("can only be used inside a job", function() skein.spawn(print) end)
    end)

    it("can't forget the jobs it is one of", function()
      act.plain = function() t.reset() end
      local h = skein.enqueue { task = "plain", retries = 0 }
      t.drain()
      assert.matches("a job runs", h:info().error.message)
    end)
  end)

  describe("waiting", function()
    it("runs what is due until the job has ended", function()
      local a, b = skein.enqueue("plain"), skein.enqueue("add", 2, 3)
      assert.equal(5, b:wait())
      assert.same({ "plain", "add" }, ran)
      assert.is_nil(a:wait())
    end)

    it("without a timeout moves no clock", function()
      local from = skein.now()
      local result, err = skein.enqueue_in(60, "add", 1, 2):wait()
      assert.same({ nil, "timeout" }, { result, err.code })
      assert.equal(from, skein.now())
    end)

    it("takes the time it is given, and no more than it needs", function()
      local from = skein.now()
      local h = skein.enqueue_in(60, "add", 1, 2)
      local result, err = h:wait(59)
      assert.same({ nil, "timeout" }, { result, err.code })
      assert.equal(from + 59, skein.now())
      assert.equal(3, h:wait(10))
      assert.equal(from + 60, skein.now())
    end)

    it("lasts through retries", function()
      act.flaky = function(job)
        if job.attempt < 3 then error("no") end
        return job.attempt
      end
      assert.equal(3, skein.enqueue("flaky"):wait(70))
    end)

    it("works inside of jobs", function()
      act.plain = function() return skein.enqueue("add", 20, 1):wait(5) * 2 end
      assert.equal(42, skein.enqueue("plain"):wait())
      act.timed = function() return skein.enqueue_in(60, "add", 1, 2):wait(100) end
      local _, err = skein.enqueue("timed"):wait()
      assert.equal("timed out after 5 s", err.message)
    end)
  end)

  describe("cancel", function()
    it("ends a job that waits", function()
      local h = skein.enqueue("plain")
      assert.is_true(h:cancel())
      assert.equal(0, t.drain())
      assert.equal("cancelled", h:state())
      local _, err = h:wait()
      assert.equal("cancelled", err.code)
    end)

    it("stops a job that runs, which is neither retried nor dead", function()
      local h
      local seen = {}
      act.flaky = function(job)
        seen[1] = job:active()
        seen[2] = h:cancel()
        seen[3] = job:active()
        skein.sleep(1)
        seen[4] = "went on"
      end
      h = skein.enqueue("flaky")
      t.drain()
      assert.same({ true, true, false }, seen)
      assert.equal("cancelled", h:state())
    end)

    it("of a job that fails before it notices stands all the same", function()
      local h
      act.flaky = function()
        h:cancel()
        error("no")
      end
      h = skein.enqueue("flaky")
      t.drain()
      assert.equal("cancelled", h:state())
    end)
  end)
end)
