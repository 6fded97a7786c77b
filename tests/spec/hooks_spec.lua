-- Hooks (lua/skein/hooks.lua): handlers of events, of success and of errors.
local hooks = require "skein.hooks"
local plain_program = require "tests.support.plain_program"
local skein = require "skein"

local fresh_name, new_job, run = plain_program.fresh_name, plain_program.new_job, plain_program.run
local sum_task = plain_program.sum_task

describe("events", function()
  before_each(plain_program.open)
  after_each(plain_program.close)

  it("tell of each job that was added", function()
    local events = {}
    skein.on("event", function(event) events[#events + 1] = event end)
    local h = skein.enqueue("spec.any", 1)
    skein.enqueue_many { { task = "spec.b", delay = 5, queue = "q" }, { task = "spec.b", id = h.id } }
    assert.equal(2, #events)
    assert.same({ "job", h.id, "spec.any", "default", "ready", 0 },
      { events[1].type, events[1].id, events[1].task, events[1].queue, events[1].to, events[1].attempt })
    assert.same({ "spec.b", "q", "scheduled" }, { events[2].task, events[2].queue, events[2].to })
    assert.is_nil(events[1].from)
    assert.is_true(math.abs(events[1].at - skein.now()) < 5)
  end)

  it("are not told of what their own handlers enqueue, and a handler that fails loses nothing", function()
    local told, logged = 0, {}
    local before = hooks.log
    finally(function() hooks.log = before end)
    hooks.log = function(text) logged[#logged + 1] = text end
    skein.on("event", function()
      told = told + 1
      assert(skein.enqueue "spec.audit")
      error "oops"
    end)
    skein.on("event", function() told = told + 1 end)
    assert(skein.enqueue "spec.any")
    assert.equal(2, told)
    assert.matches("the event handler failed: tests/spec/hooks_spec%.lua:%d+: oops", logged[1])
    assert.equal(2, skein.admin.stats().ready)
  end)
end)

describe("hooks of a job", function()
  after_each(plain_program.reset)

  it("handlers of success get the result, the task's own first; one that fails loses nothing", function()
    local told, logged = {}, {}
    local before = hooks.log
    finally(function() hooks.log = before end)
    hooks.log = function(text) logged[#logged + 1] = text end
    local name = fresh_name()
    skein.task(name, { on_success = function(job, result) told[#told + 1] = "own " .. job.id .. " " .. result end },
      function() return 42 end)
    skein.on("success", function() error "oops" end)
    skein.on("success", function(_, result) told[#told + 1] = "all " .. result end)
    assert.equal(42, run(name, new_job()))
    assert.same({ "own 1 42", "all 42" }, told)
    assert.matches("the success handler failed: tests/spec/hooks_spec%.lua:%d+: oops", logged[1])
  end)

  it("a result that can't be stored is no success", function()
    local told = 0
    local name = fresh_name()
    skein.task(name, function() return { print } end)
    skein.on("success", function() told = told + 1 end)
    assert.is_table(run(name, new_job()))
    assert.equal(0, told)
  end)

  it("events tell of its start and its end", function()
    local name, events = sum_task(), {}
    skein.on("event", function(event) events[#events + 1] = event.from .. "-" .. event.to end)
    run(name, new_job(), 1, 2)
    assert.same({ "ready-running", "running-done" }, events)
  end)
end)
