-- The outcome of a failed attempt (lua/skein/failures.lua), and the handlers that hear of it.
local core = require "skein.core"
local errors = require "skein.errors"
local failures = require "skein.failures"
local hooks = require "skein.hooks"
local plain_program = require "tests.support.plain_program"
local skein = require "skein"

local KIND, VERDICT = core.KIND, core.VERDICT

describe("failures", function()
  local facts, heard, logged

  -- The runtime of a worker, with a job on its `facts.attempt`-th attempt.
  local rt = {
    attempt = function()
      return facts.task, facts.attempt, facts.retries, "handle", facts.timeout, facts.told or 0, facts.stopping
    end,
    field = function(_, name) return name == "backoff" and facts.backoff or nil end,
    log = function(level, text) logged[#logged + 1] = { level, text } end,
  }

  before_each(function()
    heard, logged = {}, {}
    facts = { task = "undeclared", attempt = 1, retries = 2, timeout = 5 }
    for _, event in ipairs { "error", "death" } do
      skein.on(event, function(job, err) heard[#heard + 1] = { event, job.id, err.kind, err.message, err.attempt } end)
    end
    skein.on("event", function(e) heard[#heard + 1] = { e.from, e.to, e.error and e.error.message } end)
  end)

  after_each(plain_program.reset)

  local function failed(kind, value, trace)
    local verdict, delay_ms, kind_n, message, traceback = failures.failed(rt, plain_program.new_job(), kind, value,
      trace or "")
    return { verdict, delay_ms, kind_n, message, traceback }
  end

  local function stop_error(kind) return errors.new(kind, kind .. "!", { stop = kind }) end

  it("an attempt with a retry left is retried, and the handlers of errors hear of it", function()
    assert.same({ VERDICT.retry, -1, KIND.error, "oops", "trace" }, failed("error", "oops", "trace"))
    assert.same({ { "error", "1", "error", "oops", 1 }, { "running", "retry", "oops" } }, heard)
  end)

  it("the last attempt is a death, and only its handlers hear of it", function()
    facts.attempt = 3
    assert.same({ VERDICT.retry, -1, KIND.error, "oops", "" }, failed("error", "oops"))
    assert.same({ { "death", "1", "error", "oops", 3 }, { "running", "dead", "oops" } }, heard)
  end)

  it("skein.fail is a death whatever retries are left", function()
    assert.same({ VERDICT.fail, -1, KIND.fail, "no such user", "" },
      failed("error", errors.verdict("fail", nil, "no such user"), "trace"))
    assert.same({ "death", "1", "fail", "no such user", 1 }, heard[1])
  end)

  it("skein.retry_in names the delay", function()
    assert.same({ VERDICT.retry, 1500, KIND.error, "busy", "" }, failed("error", errors.verdict("retry", 1.5, "busy")))
    assert.same({ "error", "1", "error", "busy", 1 }, heard[1])
  end)

  it("discard and snooze are no failures: only the handlers of events hear of them", function()
    assert.same({ VERDICT.discard, -1, KIND.error, "withdrawn", "" },
      failed("error", errors.verdict("discard", nil, "withdrawn")))
    assert.same({ VERDICT.snooze, 30000, KIND.error, "snooze", "" }, failed("error", errors.verdict("snooze", 30)))
    assert.same({ { "running", "discarded" }, { "running", "scheduled" } }, heard)
  end)

  it("a value of any type is described, with its own traceback where it has one", function()
    assert.same({ "it is away", "there" },
      { unpack(failed("error", errors.new("x", "it is away", { traceback = "there" }), "here"), 4) })
    assert.equal("error value nil", failed("error", nil)[4])
    assert.equal('error value of type table ({"a":1})', failed("error", { a = 1 })[4])
  end)

  it("the stop that the job was told is its kind, without a traceback", function()
    facts.told = KIND.timeout
    assert.same({ VERDICT.retry, -1, KIND.timeout, "timeout!", "" }, failed("error", stop_error "timeout", "trace"))
    assert.same({ "error", "1", "timeout", "timeout!", 1 }, heard[1])
  end)

  it("the stop of another job, which a script kept, is an ordinary error", function()
    assert.same({ VERDICT.retry, -1, KIND.error, "timeout!", "trace" }, failed("error", stop_error "timeout", "trace"))
    facts.told = KIND.cancelled
    assert.equal(KIND.error, failed("error", stop_error "timeout")[3])
  end)

  it("a cancel calls no handlers of failures", function()
    facts.told = KIND.cancelled
    assert.same({ VERDICT.retry, -1, KIND.cancelled, "cancelled!", "" }, failed("error", stop_error "cancelled"))
    assert.same({ { "running", "cancelled" } }, heard)
  end)

  it("an error while the worker stops is no failure of the job, which runs again elsewhere", function()
    facts.stopping = true
    assert.same({ VERDICT.stopped, -1, KIND.error, "oops", "" }, failed("error", "oops", "trace"))
    assert.same({ { "running", "ready" } }, heard)
    assert.equal(VERDICT.fail, failed("error", errors.verdict("fail"))[1])
    assert.equal(KIND.timeout, failed("timeout", "x")[3])
  end)

  it("a timeout that the handler answers with another error says both", function()
    assert.equal("timed out after 5 s, and oops", failed("timeout", "oops")[4])
  end)

  describe("of a declared task", function()
    local delays

    local function declare(options)
      facts.task = plain_program.fresh_name()
      skein.task(facts.task, options, function() end)
      facts.where = ("tests/spec/failures_spec.lua:%d"):format(debug.getinfo(1, "l").currentline - 1)
    end

    before_each(function()
      delays = {}
      declare { backoff = function(attempt, err)
        delays[#delays + 1] = { attempt, err.message }
        return 2.5
      end }
    end)

    it("the backoff function says the delay of a retry, and is not asked at a death or by retry_in", function()
      assert.equal(2500, failed("error", "oops")[2])
      assert.same({ { 1, "oops" } }, delays)
      assert.equal(1000, failed("error", errors.verdict("retry", 1))[2])
      facts.attempt = 3
      assert.equal(-1, failed("error", "oops")[2])
      assert.equal(1, #delays)
    end)

    it("the job's own backoff replaces the function", function()
      facts.backoff = "linear"
      assert.equal(-1, failed("error", "oops")[2])
      assert.same({}, delays)
    end)

    it("a backoff function that fails or returns no seconds is logged, and the default is used", function()
      local expected = "the backoff function must return a number of seconds, 0 or more; the default back-off is used "
        .. "instead of: "
      declare { backoff = function() error("broken", 0) end }
      assert.equal(-1, failed("error", "oops")[2])
      declare { backoff = function() return -1 end }
      assert.equal(-1, failed("error", "oops")[2])
      assert.same({
        { core.LOG.error, expected .. "broken" },
        { core.LOG.error, expected .. "-1" },
      }, logged)
    end)

    it("the place of the declaration follows a traceback, and a result that cannot be stored", function()
      assert.equal("trace\n\tin the task of " .. facts.where, failed("error", "oops", "trace")[5])
      assert.equal("", failed("error", "oops", "")[5])
      assert.equal("result: a function cannot be stored (returned by the task of " .. facts.where .. ")",
        failed("result", "result: a function cannot be stored")[4])
    end)

    it("the task's own handler is called first, and one that fails is logged and changes nothing", function()
      local before = hooks.log
      finally(function() hooks.log = before end)
      hooks.log = function(text) logged[#logged + 1] = text end
      declare {
        on_error = function() heard[#heard + 1] = "own" error "broken" end,
        on_death = function() heard[#heard + 1] = "own death" end,
      }
      assert.equal(VERDICT.retry, failed("error", "oops")[1])
      assert.same({ "own", "error" }, { heard[1], heard[2][1] })
      assert.matches("^the on_error handler failed: tests/spec/failures_spec%.lua:%d+: broken", logged[1])
      heard = {}
      failed("error", errors.verdict "fail")
      assert.same({ "own death", "death" }, { heard[1], heard[2][1] })
    end)
  end)

  describe("late handlers", function()
    local function late(kind, message, dies)
      heard = {}
      failures.late_handlers(rt, plain_program.new_job(), kind, message, dies)
      return heard
    end

    it("hear of an attempt that ended in another worker", function()
      assert.same({ { "error", "1", "timeout", "it was killed", 1 }, { "running", "retry", "it was killed" } },
        late("timeout", "it was killed", false))
      assert.same({ { "death", "1", "crash", "it died", 1 }, { "running", "dead", "it died" } },
        late(KIND.crash, "it died", true))
    end)

    it("hear of the state that the job has afterwards", function()
      assert.same({ "running", "ready", "x" }, late("crash", "x", false)[2])
      assert.same({ "ready", "scheduled", "x" }, late("unknown_task", "x", false)[2])
      assert.same({ "ready", "dead", "x" }, late("expired", "x", true)[2])
    end)
  end)
end)
