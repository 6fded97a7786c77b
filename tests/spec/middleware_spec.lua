-- Middleware (lua/skein/middleware.lua): functions around enqueueing and around the handlers of jobs.
local client = require "skein.client"
local core = require "skein.core"
local middleware = require "skein.middleware"
local plain_program = require "tests.support.plain_program"
local skein = require "skein"
local tasks = require "skein.tasks"

local declare, fresh_name, new_job = plain_program.declare, plain_program.fresh_name, plain_program.new_job
local read_callbacks, record_of, refused = plain_program.read_callbacks, plain_program.record_of, plain_program.refused
local run, sum_task = plain_program.run, plain_program.sum_task

describe("middleware of enqueueing", function()
  before_each(plain_program.open)
  after_each(plain_program.close)

  it("sees task, args, meta and queue of a signature of its own, and may change them", function()
    local signature = { task = "spec.any", args = { 1, nil, 3 } }
    skein.use_enqueue(function(sig, next)
      assert.same({ "spec.any", "default", 3, true }, { sig.task, sig.queue, #sig.args, sig.args[2] == skein.null })
      sig.args[1], sig.meta.who, sig.queue, sig.delay = 10, "me", "other", 60
      return next(sig)
    end)
    local job = assert(skein.enqueue(signature)):info()
    assert.same({ "scheduled", "other", 10, "me" }, { job.state, job.queue, job.args[1], job.meta.who })
    assert.same({ task = "spec.any", args = { 1, nil, 3 } }, signature)
    local args = skein.enqueue("spec.any", 1, nil, 5):info().args
    assert.same({ 10, true, 5 }, { args[1], args[2] == skein.null, args[3] })
  end)

  it("nests, the first outermost, and what it returns enqueue returns", function()
    local order = {}
    skein.use_enqueue(function(sig, next)
      order[#order + 1] = "a"
      local h, err = next(sig)
      order[#order + 1] = "a again"
      return { wrapped = h }, err
    end)
    skein.use_enqueue(function(_, next)
      order[#order + 1] = "b"
      return next()
    end)
    local got = skein.enqueue "spec.any"
    assert.equal("ready", got.wrapped:state())
    assert.same({ "a", "b", "a again" }, order)
    assert.equal("ready", skein.enqueue_many({ "spec.any" })[1].wrapped:state())
  end)

  it("may drop a job, in one and in many", function()
    skein.use_enqueue(function(sig, next)
      if sig.args[1] ~= "spam" then return next(sig) end
    end)
    local h, err = skein.enqueue("spec.any", "spam")
    assert.same({ nil, "dropped" }, { h, err.code })
    assert.matches('^job of task "spec%.any" was dropped by the middleware of tests/spec/middleware_spec%.lua:%d+$',
      tostring(err))
    local hs, refused_ones = skein.enqueue_many { { task = "spec.any", args = { "spam" } }, "spec.any" }
    assert.same({ false, "dropped" }, { hs[1], refused_ones[1].code })
    assert.equal("ready", hs[2]:state())
    assert.equal(1, skein.admin.stats().counters.enqueued)
  end)

  it("that forgets to return still gives the handle", function()
    skein.use_enqueue(function(sig, next) next(sig) end)
    assert.equal("ready", skein.enqueue("spec.any"):state())
  end)

  it("leaves a batch a batch, and hears what became of each", function()
    local said = {}
    skein.use_enqueue(function(sig, next)
      local h, err = next(sig)
      said[#said + 1] = h and h:state() or err.code
      return h, err
    end)
    local calls = 0
    local before = client.call_many
    finally(function() client.call_many = before end)
    client.call_many = function(operation, payloads)
      if operation == core.OP.ENQUEUE then calls = calls + #payloads end
      return before(operation, payloads)
    end
    local signatures = {}
    for i = 1, 500 do signatures[i] = { task = "spec.any", args = { i }, id = i == 400 and "id399" or "id" .. i } end
    local hs, refused_ones = skein.enqueue_many(signatures)
    assert.equal(1, calls)
    assert.same({ 500, "ready", "exists", false, "exists" },
      { #said, said[1], said[400], hs[400], refused_ones[400].code })
  end)

  it("may add a job twice", function()
    skein.use_enqueue(function(sig, next)
      next(sig)
      return next(sig)
    end)
    assert(skein.enqueue "spec.any")
    assert(skein.enqueue_many { "spec.any", "spec.any" })
    assert.equal(6, skein.admin.stats().ready)
  end)

  it("is for the tasks and queues it names", function()
    local seen = {}
    local function note(sig, next)
      seen[#seen + 1] = sig.task .. " " .. sig.queue
      return next(sig)
    end
    skein.use_enqueue(note, { tasks = { "a", "b" } })
    skein.use_enqueue(note, { queues = "q" })
    skein.enqueue "a"
    skein.enqueue "c"
    skein.enqueue { task = "c", queue = "q" }
    assert.same({ "a default", "c q" }, seen)
  end)

  it("sees callbacks too", function()
    skein.use_enqueue(function(sig, next)
      if sig.task == "drop" then return end
      sig.meta.seen = true
      return next(sig)
    end)
    local h = assert(skein.enqueue { task = "spec.any", on_success = { "keep", "drop" } })
    local calls = read_callbacks(record_of(h).on_success)
    assert.same({ 1, "keep", { seen = true } }, { #calls, calls[1].task, core.decode(calls[1].meta) })
  end)

  it("fails where it fails, and adds nothing", function()
    skein.use_enqueue(function(sig, next)
      if sig.args[1] == 1 then error "no" end
      sig.dealy = 5
      return next(sig)
    end)
    refused("middleware_spec%.lua:%d+: no", function() skein.enqueue("spec.any", 1) end)
    refused('middleware_spec%.lua:%d+: job: unknown option "dealy"', function()
      skein.enqueue "spec.any"
    end)
    refused("no", function() skein.enqueue_many { { task = "spec.any", args = { 1 } } } end)
    plain_program.reset()
    skein.use_enqueue(function(_, next) return next(5) end)
    refused("next: a signature is expected, not number", function()
      skein.enqueue "spec.any"
    end)
    assert.equal(0, skein.admin.stats().counters.enqueued)
  end)

  it("is refused with what is wrong", function()
    refused("skein%.use_enqueue: a function is expected, not nil", function()
      skein.use_enqueue()
    end)
    refused('skein%.use: unknown option "task" %(did you mean "tasks"%?%)', function()
      skein.use(print, { task = "a" })
    end)
    refused("skein%.use: option tasks is table.*expected a name, or a list of names", function()
      skein.use(print, { tasks = { "a b" } })
    end)
  end)
end)

describe("middleware of jobs", function()
  after_each(plain_program.reset)

  it("nothing stands when nothing is declared: the handler itself runs", function()
    local name = declare {}
    assert.equal(tasks.by_name[name].handler, middleware.compose(tasks.by_name[name]))
    skein.use(print, { tasks = "another" })
    assert.equal(tasks.by_name[name].handler, middleware.compose(tasks.by_name[name]))
  end)

  it("the first middleware is outermost, sees the result and may change it", function()
    local name, order = sum_task(), {}
    skein.use(function(_, next)
      order[#order + 1] = "a"
      return next() * 10
    end)
    skein.use(function(_, next)
      order[#order + 1] = "b"
      return next() + 1
    end)
    assert.equal(40, run(name, new_job(), 1, 2))
    assert.same({ "a", "b" }, order)
  end)

  it("args are changed by next or by job.args", function()
    local name, seen = sum_task(), {}
    skein.use(function(_, next) return next(5, 6) end)
    skein.use(function(job, next)
      seen = job.args
      return next()
    end)
    assert.equal(11, run(name, new_job(), 1, 2))
    assert.same({ 5, 6 }, seen)
    plain_program.reset()
    skein.use(function(job, next)
      job.args = { 7, 8 }
      return next()
    end)
    assert.equal(15, run(name, new_job(), 1, 2))
    plain_program.reset()
    skein.use(function(job, next)
      job.args = "x"
      return next()
    end)
    local ok, err = pcall(run, name, new_job(), 1, 2)
    assert.same({ false, 'job.args was set to "x", a list of args is expected' }, { ok, err })
  end)

  it("it may swallow, retry, or not call next", function()
    local name, runs = fresh_name(), 0
    skein.task(name, function()
      runs = runs + 1
      if runs < 3 then error "again" end
      return runs
    end)
    skein.use(function(_, next)
      for _ = 1, 3 do
        local ok, result = pcall(next)
        if ok then return result end
      end
    end)
    assert.equal(3, run(name, new_job()))
    plain_program.reset()
    skein.use(function() return "cached" end)
    assert.equal("cached", run(name, new_job()))
    assert.equal(3, runs)
  end)

  it("it is for the queues and tasks it names", function()
    local name, seen = sum_task(), 0
    skein.use(function(_, next)
      seen = seen + 1
      return next()
    end, { queues = { "mail" }, tasks = name })
    run(name, new_job("default"), 1, 2)
    run(name, new_job("mail"), 1, 2)
    assert.equal(1, seen)
    assert.is_nil(middleware.problem())
    skein.use(print, { tasks = { name .. "x" } })
    assert.matches('^tests/spec/middleware_spec%.lua:%d+: skein%.use: no script declares the task "' .. name
      .. 'x" %(did you mean "spec%.t%d+"%?%)$', middleware.problem())
  end)
end)
