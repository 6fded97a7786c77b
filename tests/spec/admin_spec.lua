-- Managing jobs and queues (lua/skein/admin.lua) in a plain program with a store.
local client = require "skein.client"
local plain_program = require "tests.support.plain_program"
local skein = require "skein"

local admin, line_of_caller = skein.admin, plain_program.line_of_caller

describe("skein.admin", function()
  before_each(plain_program.open)
  after_each(plain_program.close)

  local function ids_of(jobs)
    local ids = {}
    for i, job in ipairs(jobs) do ids[i] = job.id end
    table.sort(ids)
    return ids
  end

  -- Three jobs: a1 and a2 of task "a" in queue "one", b1 of task "b" in queue "two", due in a minute.
  local function three_jobs()
    assert(skein.enqueue { task = "a", queue = "one", id = "a1" })
    assert(skein.enqueue { task = "a", queue = "one", id = "a2" })
    assert(skein.enqueue { task = "b", queue = "two", id = "b1", delay = 60 })
  end

  it("lists queues in the order of their names, with the number of jobs in each state", function()
    assert.same({}, admin.queues())
    three_jobs()
    assert(admin.cancel "a2")
    local one, two = unpack(admin.queues())
    assert.same({ name = "one", paused = false, scheduled = 0, ready = 1, running = 0, retry = 0, done = 0, dead = 0,
      cancelled = 1 }, one)
    assert.same({ "two", 1, 0 }, { two.name, two.scheduled, two.ready })
  end)

  it("counts jobs in each state over all queues, and totals that deletions leave unchanged", function()
    three_jobs()
    assert(admin.cancel "a1")
    assert(admin.delete "b1")
    local stats = admin.stats()
    assert.same({ 1, 0, 1, 0 }, { stats.ready, stats.scheduled, stats.cancelled, stats.running })
    assert.same({ 3, 1, 0 }, { stats.counters.enqueued, stats.counters.cancelled, stats.counters.dead })
  end)

  it("lists the jobs that a filter selects", function()
    three_jobs()
    local function listed(options) return ids_of(admin.jobs(options)) end
    assert.same({ "a1", "a2", "b1" }, listed())
    assert.same({ "a1", "a2" }, listed { queue = "one" })
    assert.same({ "b1" }, listed { task = "b" })
    assert.same({ "b1" }, listed { state = "scheduled" })
    assert.same({}, listed { queue = "one", task = "b" })
    assert.same({}, listed { state = "dead" })
  end)

  it("lists jobs by pages, which together hold each job once", function()
    for i = 1, 7 do assert(skein.enqueue { task = "a", id = "p" .. i }) end
    local all = {}
    for offset = 0, 6, 3 do
      for _, job in ipairs(admin.jobs { offset = offset, limit = 3 }) do all[#all + 1] = job end
    end
    assert.same({ "p1", "p2", "p3", "p4", "p5", "p6", "p7" }, ids_of(all))
    assert.same({}, admin.jobs { offset = 7 })
    assert.same({}, admin.jobs { limit = 0 })
  end)

  it("lists 100 jobs by default", function()
    local signatures = {}
    for i = 1, 101 do signatures[i] = "a" end
    assert(skein.enqueue_many(signatures))
    assert.equal(100, #admin.jobs())
    assert.equal(101, #admin.jobs { limit = 10000 })
  end)

  it("reads one job, and nil for a job that the store does not know", function()
    three_jobs()
    assert.same({ "b", "two", "scheduled" }, { admin.job("b1").task, admin.job("b1").queue, admin.job("b1").state })
    local job, err = admin.job "no-such"
    assert.is_nil(job)
    assert.is_nil(err)
  end)

  it("changes one job by its id", function()
    three_jobs()
    assert.is_true(admin.promote "b1")
    assert.equal("ready", admin.job("b1").state)
    assert.is_true(admin.cancel "b1")
    assert.equal("cancelled", admin.job("b1").state)
    assert.is_true(admin.retry "b1")
    assert.equal("ready", admin.job("b1").state)
    assert.is_true(admin.delete "b1")
    assert.is_nil((admin.job "b1"))
  end)

  it("changes all jobs of a filter, and returns their number", function()
    three_jobs()
    assert.equal(2, admin.cancel { queue = "one" })
    assert.equal(0, admin.cancel { queue = "one" })
    assert.equal("scheduled", admin.job("b1").state)
    assert.equal(1, admin.promote { state = "scheduled" })
    assert.equal(2, admin.retry {})
    assert.equal(3, admin.delete {})
    assert.equal(0, #admin.jobs())
  end)

  it("names the job and the reason when one job cannot be changed", function()
    three_jobs()
    local ok, err = admin.retry "a1"
    assert.same({ nil, "state", "job a1: retry: its state does not allow it" }, { ok, err.code, tostring(err) })
    ok, err = admin.promote "a1"
    assert.same({ nil, "state", "job a1: promote: its state does not allow it" }, { ok, err.code, tostring(err) })
    ok, err = admin.cancel "no-such"
    assert.same({ nil, "not_found", "job no-such: cancel: the store does not know it" },
      { ok, err.code, tostring(err) })
    ok, err = admin.delete "no-such"
    assert.same({ nil, "not_found", "job no-such: delete: the store does not know it" },
      { ok, err.code, tostring(err) })
  end)

  it("pauses and resumes a queue, one without jobs too", function()
    three_jobs()
    assert.is_true(admin.pause "one")
    assert.is_true(admin.pause "empty")
    local paused = {}
    for _, queue in ipairs(admin.queues()) do paused[queue.name] = queue.paused end
    assert.same({ one = true, two = false, empty = true }, paused)
    assert.is_true(admin.resume "one")
    assert.is_false(admin.queues()[2].paused)
    assert.equal("one", admin.queues()[2].name)
  end)

  it("refuses a wrong option at the caller's line, and names the option, the value and the expectation", function()
    assert.equal('skein.admin.jobs: unknown option "taks" (did you mean "task"?)', line_of_caller(function()
      admin.jobs { taks = "a" }
    end))
    assert.equal('skein.admin.jobs: option state is "sleeping", expected a state: scheduled, ready, running, retry, '
      .. "done, dead or cancelled", line_of_caller(function()
      admin.jobs { state = "sleeping" }
    end))
    assert.equal("skein.admin.jobs: option limit is 10001, expected a whole number from 0 to 10000",
      line_of_caller(function()
        admin.jobs { limit = 10001 }
      end))
    assert.equal('skein.admin.delete: unknown option "limit"', line_of_caller(function()
      admin.delete { limit = 1 }
    end))
    assert.equal("skein.admin.cancel: a table of options is expected, not nil", line_of_caller(function()
      admin.cancel()
    end))
  end)

  it("a filter that is refused changes no job", function()
    three_jobs()
    assert.is_false(pcall(admin.delete, { sate = "dead" }))
    assert.equal(3, #admin.jobs())
  end)

  it("refuses the name of a queue at the caller's line", function()
    assert.equal("skein.admin.pause: the queue must be a string, not nil", line_of_caller(function()
      admin.pause()
    end))
    assert.matches('"a b"', line_of_caller(function()
      admin.resume "a b"
    end))
  end)

  it("returns the error of a store that does not answer", function()
    local before = client.set_transport { call = function() return "unavailable", "it is away" end }
    finally(function() client.set_transport(before) end)
    for name, argument in pairs {
      queues = false, stats = false, jobs = {}, job = "x", retry = "x", cancel = {}, delete = "x", promote = {},
      pause = "q", resume = "q",
    } do
      local value, err = admin[name](argument or nil)
      assert.same({ name, nil, "unavailable", "it is away" }, { name, value, err and err.code, tostring(err) })
    end
  end)
end)
