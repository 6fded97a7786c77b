-- skein.testing and what is around a job: locks, limits, inline, middleware, callbacks, loading scripts.
local files = require "tests.support.files"
local t = require "skein.testing"
local skein = require "skein"
local tasks = require "tests.support.testing_tasks"

local list, misuse = tasks.list, tasks.misuse
local ran, act, heard

describe("skein.testing, around a job:", function()
  before_each(function() ran, act, heard = tasks.begin() end)
  after_each(t.reset)

  describe("locks", function()
    it("refuse a second job until the first has ended, or their time is over", function()
      local first = skein.enqueue("unique", 1)
      local h, err = skein.enqueue("unique", 1)
      assert.same({ nil, "exists", first.id }, { h, err.code, err.id })
      assert.is_truthy(skein.enqueue("unique", 2))
      t.drain()
      assert.is_truthy(skein.enqueue("unique", 1))
      t.advance(599)
      assert.is_nil(skein.enqueue("unique", 1))
      t.advance(1)
      assert.is_truthy(skein.enqueue("unique", 1))
    end)

    it("let a new job replace the one that waits", function()
      local old = skein.enqueue("latest", "key", "old")
      local new = skein.enqueue("latest", "key", "new")
      assert.same({ nil, "ready" }, { old:state(), new:state() })
      assert.equal(1, t.drain())
    end)

    it("debounce: each enqueue puts the job off", function()
      skein.enqueue("quiet", "key", 1)
      t.advance(6)
      skein.enqueue("quiet", "key", 2)
      t.advance(6)
      assert.equal(0, t.drain())
      t.advance(4)
      local args
      act.quiet = function(job) args = list(job) end
      assert.equal(1, t.drain())
      assert.same({ "key", 2 }, args)
    end)

    it("throttle: one in a time, whatever becomes of it", function()
      assert.is_truthy(skein.enqueue("seldom", "key"))
      t.drain()
      assert.is_nil((skein.enqueue("seldom", "key")))
      t.advance(60)
      assert.is_truthy(skein.enqueue("seldom", "key"))
    end)
  end)

  describe("limits", function()
    it("hold a job back while another of its group runs", function()
      local second
      act.single = function(_, _, nth)
        if nth == 1 then
          local _, err = second:wait(1)
          return err.code
        end
      end
      local first = skein.enqueue("single", "key", 1)
      second = skein.enqueue("single", "key", 2)
      assert.equal("timeout", first:wait())
      assert.equal("ready", second:state())
      assert.equal(1, t.drain())
    end)

    it("let so many start in a time", function()
      for _ = 1, 5 do skein.enqueue("rated") end
      assert.equal(2, t.drain())
      t.advance(29.9)
      assert.equal(0, t.drain())
      t.advance(0.1)
      assert.equal(1, t.drain())
      t.advance(60)
      assert.equal(2, t.drain())
    end)

    it("do not hold up what runs inline", function()
      t.inline()
      for _ = 1, 5 do skein.enqueue("rated") end
      assert.equal(5, #ran)
    end)

    it("of a queue refuse what is too much", function()
      assert(skein.enqueue { task = "plain", queue = "bounded" })
      assert(skein.enqueue { task = "plain", queue = "bounded" })
      local h, err = skein.enqueue { task = "plain", queue = "bounded" }
      assert.same({ nil, "limit" }, { h, err.code })
      t.drain()
      assert(skein.enqueue { task = "plain", queue = "bounded" })
    end)

    it("of a queue that blocks are waited for in vain", function()
      assert(skein.enqueue { task = "plain", queue = "patient" })
      local from = skein.now()
      local h, err = skein.enqueue { task = "plain", queue = "patient" }
      assert.same({ nil, "limit", 5 }, { h, err.code, skein.now() - from })
    end)
  end)

  describe("inline", function()
    before_each(function() t.inline() end)

    it("runs a job as it is enqueued", function()
      local h = skein.enqueue("add", 1, 2)
      assert.same({ "add" }, ran)
      assert.same({ "done", 3 }, { h:state(), h:wait() })
    end)

    it("runs scheduled jobs at once, whatever waits", function()
      t.fake()
      skein.enqueue("plain")
      t.inline()
      skein.enqueue_in(3600, "add", 1, 2)
      skein.enqueue_at(skein.now() + 60, "other")
      assert.same({ "add", "other" }, ran)
      assert.equal(1, #t.enqueued("plain"))
    end)

    it("runs what jobs enqueue within them", function()
      act.plain = function()
        ran[#ran + 1] = "before"
        skein.enqueue("add", 1, 2)
        ran[#ran + 1] = "after"
      end
      skein.enqueue("plain")
      assert.same({ "plain", "before", "add", "after" }, ran)
    end)

    it("runs many, one after the other", function()
      local handles = skein.enqueue_many {
        { task = "add", args = { 1, 2 } }, "other", { task = "add", args = { 3, 4 } },
      }
      assert.same({ "add", "other", "add" }, ran)
      assert.same({ 3, 7 }, { handles[1]:wait(), handles[3]:wait() })
    end)

    it("raises what the job raises, as it is", function()
      local err = { code = 7 }
      act.flaky = function() error(err) end
      local ok, got = pcall(skein.enqueue, "flaky")
      assert.same({ false, true }, { ok, rawequal(got, err) })
      assert.equal("retry", t.enqueued("flaky")[1].state)
      act.flaky = function() return print end
      assert.has_error(function() skein.enqueue("flaky") end, "result: a function cannot be stored")
    end)

    it("does not add what comes after one that fails", function()
      act.brittle = function() error("no", 0) end
      assert.has_error(function() skein.enqueue_many { "plain", "brittle", "other" } end, "no")
      assert.same({ "plain", "brittle" }, ran)
      assert.same({}, t.enqueued())
    end)

    it("raises after the handlers have run", function()
      act.handled = function() error("no", 0) end
      assert.has_error(function() skein.enqueue("handled") end, "no")
      assert.same({ { "error", "handled", 1, "no" } }, heard)
    end)

    it("raises for a task that nobody declares", function()
      local ok, err = pcall(skein.enqueue, "nobody")
      assert.is_false(ok)
      assert.matches('no script declares task "nobody"', tostring(err))
    end)

    it("takes a discard and a snooze for what they are", function()
      act.plain = function() skein.discard() end
      assert.is_nil(skein.enqueue("plain"):state())
      act.plain = function(job) job:snooze(5) end
      assert.equal("scheduled", skein.enqueue("plain"):state())
    end)

    it("refuses what production refuses", function()
      misuse("args%[1%]: a function cannot be stored", function() skein.enqueue("plain", print) end)
      assert.same({}, ran)
    end)

    it("says so when jobs enqueue each other for ever", function()
      act.plain = function() skein.enqueue("plain") end
      local ok, err = pcall(skein.enqueue, "plain")
      assert.is_false(ok)
      assert.matches("200 jobs run within each other", tostring(err))
      assert.is_true(#ran >= 200)
    end)
  end)

  describe("perform", function()
    it("runs the handler once and gives its result", function()
      assert.equal(3, t.perform("add", 1, 2))
      assert.same({}, t.enqueued())
      assert.is_nil(t.perform("plain"))
    end)

    it("takes args and results through JSON", function()
      local result = t.perform("echo", nil, { 1, 2 })
      assert.same({ 2, true, { 1, 2 } }, { result[1], result[2] == skein.null, result[3] })
      misuse("args%[1%]: a function cannot be stored", function() t.perform("echo", print) end)
      act.plain = function() return print end
      assert.has_error(function() t.perform("plain") end, "result: a function cannot be stored")
    end)

    it("raises what the handler raises, and runs no handler of failures", function()
      act.handled = function() error("no", 0) end
      assert.has_error(function() t.perform("handled") end, "no")
      assert.same({}, heard)
    end)

    it("gives the job what a signature says", function()
      local seen
      act.plain = function(job)
        seen = { job.queue, job.meta.who, job.args[1], job.attempt, job:active(), #job.id }
        job:progress(10)
      end
      t.perform({ task = "plain", queue = "q", meta = { who = "me" } }, 5)
      assert.same({ "q", "me", 5, 1, true, 26 }, seen)
    end)

    it("names the task that was meant", function()
      misuse('no script declares task "ad", did you mean "add"%?', function() t.perform("ad") end)
    end)

    it("records what the handler enqueues", function()
      act.plain = function() skein.enqueue("add", 1, 2) end
      t.perform("plain")
      assert.equal(1, #t.enqueued("add"))
    end)
  end)

  describe("what stands around jobs", function()
    local said, only

    skein.use(function(job, next)
      if only ~= job.task then return next() end
      said[#said + 1] = "before"
      local result = next(job.args[1] * 10)
      said[#said + 1] = "after"
      return result + 1
    end)
    skein.use_enqueue(function(signature, next)
      if only == signature.task then signature.meta.tenant = "acme" end
      if only == "dropped" then return end
      return next(signature)
    end)
    skein.on("success", function(job, result) if only then said[#said + 1] = { "success", job.task, result } end end)
    skein.on("death", function(job, err) if only then said[#said + 1] = { "death", job.task, err.kind } end end)
    skein.on("event", function(event)
      if only == "events" then said[#said + 1] = (event.from or "") .. ">" .. event.to end
    end)

    before_each(function() said, only = {}, "plain" end)
    after_each(function() only = nil end)

    it("is middleware, in drain, inline and perform", function()
      act.plain = function(_, n) return n end
      local h = skein.enqueue("plain", 4)
      t.drain()
      assert.equal(41, h:wait())
      assert.same({ "before", "after", { "success", "plain", 41 } }, said)
      assert.equal(51, t.perform("plain", 5))
      t.inline()
      assert.equal(61, skein.enqueue("plain", 6):wait())
    end)

    it("is middleware of enqueueing", function()
      skein.enqueue("plain", 1)
      assert.same({ tenant = "acme" }, t.enqueued("plain")[1].meta)
      act.plain = function(job) return job.meta.tenant end
      only = "dropped"
      local h, err = skein.enqueue("plain", 1)
      assert.same({ nil, "dropped" }, { h, err.code })
      local result, why = t.perform("plain", 1)
      assert.same({ nil, "dropped" }, { result, why.code })
    end)

    it("is the death handler, also of a job that never ran", function()
      only = "deaths"
      skein.enqueue("short")
      t.advance(61)
      t.drain()
      assert.same({ { "death", "short", "expired" } }, said)
      skein.enqueue("nobody")
      for _ = 1, 10 do
        t.drain()
        t.advance(5)
      end
      assert.same({ { "death", "short", "expired" }, { "death", "nobody", "unknown_task" } }, said)
    end)

    it("is events", function()
      only = "events"
      act.flaky = function(job) if job.attempt == 1 then error("no") end end
      skein.enqueue("flaky")
      t.drain()
      t.advance(10)
      t.drain()
      assert.same({ ">ready", "ready>running", "running>retry", "ready>running",
        { "success", "flaky" }, "running>done" }, said)
    end)
  end)

  describe("callbacks", function()
    it("get the result after their args, unless the job is immutable", function()
      skein.enqueue({ task = "add", on_success = { { task = "plain", args = { "sum" } }, "other" } }, 1, 2)
      t.drain("add")
      assert.same({ "sum", 3 }, list(t.enqueued("plain")[1]))
      assert.same({ 3 }, list(t.enqueued("other")[1]))
      skein.enqueue({ task = "add", immutable = true, on_success = { task = "urgent", args = { "sum" } } }, 1, 2)
      t.drain("add")
      assert.same({ "sum" }, list(t.enqueued("urgent")[1]))
    end)

    it("get the error before their args once the job is dead", function()
      act.flaky = function() error("no", 0) end
      skein.enqueue { task = "flaky", retries = 1, on_error = { task = "plain", args = { "failed" }, delay = 30 } }
      t.drain()
      assert.same({}, t.enqueued("plain"))
      t.advance(10)
      t.drain()
      local job = t.enqueued("plain")[1]
      assert.same({ "no", "failed" }, list(job))
      assert.same({ skein.now() + 30, skein.now() }, { job.at, job.enqueued_at })
    end)

    it("run at once inline", function()
      t.inline()
      skein.enqueue({ task = "add", on_success = "echo" }, 1, 2)
      assert.same({ "add", "echo" }, ran)
    end)
  end)

  it("is not for workers", function()
    local runtime, testing = package.loaded["skein.runtime"], package.loaded["skein.testing"]
    package.loaded["skein.runtime"], package.loaded["skein.testing"] = {}, nil
    local ok, err = pcall(require, "skein.testing")
    package.loaded["skein.runtime"], package.loaded["skein.testing"] = runtime, testing
    assert.is_false(ok)
    assert.matches("this is a worker of an engine", err)
  end)

  it("passes meta along", function()
    act.plain = function() skein.enqueue("other") end
    skein.enqueue { task = "plain", meta = { tenant = "acme", own = 1 }, pass_meta = { "tenant" } }
    t.drain("plain")
    assert.same({ tenant = "acme" }, t.enqueued("other")[1].meta)
  end)

  describe("load", function()
    local dir

    before_each(function() dir = files.temp_dir() end)
    after_each(function() files.remove(dir) end)

    local function write(name, text)
      local file = assert(io.open(dir .. "/" .. name, "w"))
      file:write(text)
      file:close()
    end

    it("loads a folder as the engine does, and a file", function()
      os.execute("mkdir -p " .. dir .. "/lib " .. dir .. "/spec")
      write("lib/loaded_helper.lua", "return { answer = 42 }")
      write("b.lua", 'require("skein").task("loaded.b", function() return require("loaded_helper").answer end)')
      write("a.lua", 'require("skein").task("loaded.a", function() end)')
      write("config.lua", "error 'not a script'")
      write("spec/x.lua", "error 'not a script'")
      assert.same({ dir .. "/a.lua", dir .. "/b.lua" }, t.load(dir))
      assert.equal(42, t.perform("loaded.b"))
      write("_one.lua", 'require("skein").task("loaded.one", function() return require("loaded_helper").answer end)')
      assert.same({ dir .. "/_one.lua" }, t.load(dir .. "/_one.lua"))
      assert.equal(42, t.perform("loaded.one"))
    end)

    it("says where a script is wrong", function()
      write("bad.lua", "local x = 1\nx()")
      local ok, err = pcall(t.load, dir)
      assert.is_false(ok)
      assert.matches("^[^\n]*/bad%.lua:2: ", err)
      write("bad.lua", 'require("skein").enqueue("plain")')
      ok, err = pcall(t.load, dir)
      assert.is_false(ok)
      assert.matches("/bad%.lua:1: jobs can be enqueued and looked at inside a job, not while scripts load", err)
      assert.same({}, t.enqueued())
      ok, err = pcall(t.load, dir .. "/missing")
      assert.is_false(ok)
      assert.matches("missing: ", err)
    end)
  end)
end)
