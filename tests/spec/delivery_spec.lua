-- Built jobs on their way to the store (lua/skein/delivery.lua): the request, and the outcome of each job.
local build = require "skein.build"
local client = require "skein.client"
local core = require "skein.core"
local delivery = require "skein.delivery"
local errors = require "skein.errors"
local hooks = require "skein.hooks"
local queues = require "skein.queues"

local CODE = core.CODE

describe("delivery", function()
  local sent, answers, now

  -- A store that gives one answer a request: a string, or { code, message }.
  before_each(function()
    sent, answers = {}, {}
    now = core.now()
    client.set_transport {
      call = function(operation, payload)
        if operation == core.OP.TASKS then return "ok", core.pack("ii", 0, 0) end
        assert.equal(core.OP.ENQUEUE, operation)
        local block_ms, all_new, n = core.unpack("lbi", payload)
        sent[#sent + 1] = { block_ms = block_ms, all_new = all_new, n = n, payload = payload }
        local answer = table.remove(answers, 1)
        if type(answer) == "table" then return unpack(answer) end
        return "ok", answer
      end,
    }
  end)

  after_each(function()
    client.set_transport(nil)
    hooks.reset()
  end)

  local function job(signature) return assert(build.job(signature, nil, 0)) end

  local function codes(...) return string.char(...) end

  local function queue(name, block_ms)
    queues.by_name[name] = { name = name, max_len = 3, overflow = block_ms and "block" or "reject",
      block_ms = block_ms or 0 }
    finally(function() queues.by_name[name] = nil end)
  end

  it("puts all jobs into one request, which says how long they wait and whether all ids are new", function()
    local a, b, named = job { task = "a" }, job { task = "b" }, job { task = "c", id = "mine" }
    assert.equal(core.pack("lbi", 250, 1, 2) .. a.item .. b.item, delivery.payload({ a, b }, 250))
    assert.equal(core.pack("lbi", 0, 0, 2) .. a.item .. named.item, delivery.payload({ a, named }, 0))
  end)

  it("gives an added job its handle", function()
    local a = job { task = "a" }
    answers = { codes(CODE.ok) }
    assert.is_true(delivery.send({ a }, 0))
    assert.same({ a.id, nil }, { a.result.id, a.err })
    assert.equal(1, #sent)
  end)

  it("gives each job of a request its own outcome", function()
    local a, b, c = job { task = "a", id = "a" }, job { task = "b", id = "b" }, job { task = "c", id = "c" }
    answers = { codes(CODE.exists, CODE.ok, CODE.invalid) .. core.pack("s", "a") }
    assert.is_true(delivery.send({ a, b, c }, 0))
    assert.same({ false, "exists", "job a is in the store already" }, { a.result, a.err.code, tostring(a.err) })
    assert.same({ "b", nil }, { b.result.id, b.err })
    assert.same({ false, "invalid", "job c was refused" }, { c.result, c.err.code, tostring(c.err) })
  end)

  it("names the job that holds the id or the key", function()
    local jobs = {
      job { task = "t", id = "one" }, job { task = "t", id = "two" },
      job { task = "t", id = "three", unique = { key = "k" } },
      job { task = "t", id = "four", throttle = { per = 60, key = "k" } },
    }
    answers = { codes(CODE.exists, CODE.exists, CODE.exists, CODE.exists)
      .. core.pack("ssss", "", "two", "holder", "earlier") }
    assert.is_true(delivery.send(jobs, 0))
    local one, two, three, four = jobs[1].err, jobs[2].err, jobs[3].err, jobs[4].err
    assert.same({ "one", "one", "job one is in the store already" }, { one.id, one.handle.id, tostring(one) })
    assert.equal("job two is in the store already", tostring(two))
    assert.same({ "holder", "holder", "reject" }, { three.id, three.handle.id, three.mode })
    assert.equal('job holder of task t is there already, with the unique key "t/k"', tostring(three))
    assert.same({ "earlier", "throttle", 60 }, { four.id, four.mode, four.ttl })
    assert.equal('task t is throttled: job earlier was enqueued less than 60 s ago, with the key "t/k"', tostring(four))
  end)

  it("says of a full queue its name and its limit, where they are known", function()
    queue "tight"
    local known, unknown = job { task = "t", queue = "tight" }, job { task = "t", queue = "far" }
    answers = { codes(CODE.limit, CODE.limit) }
    assert.is_true(delivery.send({ known, unknown }, 0))
    assert.same({ "limit", "tight", 3, 'queue "tight" is full: 3 jobs wait in it, its max_len' },
      { known.err.code, known.err.queue, known.err.max_len, tostring(known.err) })
    assert.same({ "limit", "far", nil, 'queue "far" is full' },
      { unknown.err.code, unknown.err.queue, unknown.err.max_len, tostring(unknown.err) })
    assert.equal(1, #sent)
  end)

  it("sends the jobs of a queue that blocks once more, one request a queue, and lets them wait", function()
    queue("slow", 1500)
    queue("slower", 2500)
    local a, b, c = job { task = "t", queue = "slow" }, job { task = "t", queue = "slower" },
      job { task = "t", queue = "slow" }
    answers = { codes(CODE.limit, CODE.limit, CODE.limit), codes(CODE.ok, CODE.limit), codes(CODE.ok) }
    assert.is_true(delivery.send({ a, b, c }, 0))
    assert.same({ 3, { 1500, 2 }, { 2500, 1 } },
      { #sent, { sent[2].block_ms, sent[2].n }, { sent[3].block_ms, sent[3].n } })
    assert.same({ a.id, b.id }, { a.result.id, b.result.id })
    assert.equal('queue "slow" is full: 3 jobs wait in it, its max_len, and 1.5 s made no room', tostring(c.err))
  end)

  it("does not wait twice for room", function()
    queue("slow", 1500)
    local a = job { task = "t", queue = "slow" }
    answers = { codes(CODE.limit) }
    assert.is_true(delivery.send({ a }, 250))
    assert.equal(1, #sent)
    assert.equal('queue "slow" is full: 3 jobs wait in it, its max_len, and 0.25 s made no room', tostring(a.err))
  end)

  it("gives the jobs that wait for room the error of their request, and leaves the others as they are", function()
    queue("slow", 1500)
    local a, b = job { task = "t" }, job { task = "t", queue = "slow" }
    answers = { codes(CODE.ok, CODE.limit), { "unavailable", "it is away" } }
    assert.is_true(delivery.send({ a, b }, 0))
    assert.same({ a.id, "unavailable", "it is away" }, { a.result.id, b.err.code, tostring(b.err) })
  end)

  it("returns the error of a request that failed; no job has an outcome then", function()
    local a = job { task = "a" }
    answers = { { "unavailable", "it is away" } }
    local ok, err = delivery.send({ a }, 0)
    assert.same({ nil, "unavailable", "it is away", nil }, { ok, err.code, tostring(err), err.ids })
    assert.same({ false, nil }, { a.result, a.err })
  end)

  it("names the jobs whose fate is unknown", function()
    local a, b = job { task = "a" }, job { task = "b" }
    answers = { { "unknown_fate", "the answer got lost" }, { "unknown_fate", "the answer got lost" } }
    local _, one = delivery.send({ a }, 0)
    assert.same({ "unknown_fate", { a.id }, a.id, a.id }, { one.code, one.ids, one.id, one.handle.id })
    local _, both = delivery.send({ a, b }, 0)
    assert.same({ { a.id, b.id }, nil, nil }, { both.ids, both.id, both.handle })
  end)

  it("adds ids to those that an error names already", function()
    local err = errors.new("unknown_fate", "x")
    delivery.name_unknown(err, { { id = "a" } })
    assert.equal("a", err.id)
    delivery.name_unknown(err, { { id = "b" } })
    assert.same({ { "a", "b" }, nil }, { err.ids, err.id })
  end)

  it("tells the handlers of events of each job that was added, and whether it is due later", function()
    local events = {}
    hooks.on("event", function(event) events[#events + 1] = event.task .. " " .. event.queue .. " " .. event.to end)
    answers = { codes(CODE.ok, CODE.ok, CODE.ok, CODE.invalid) }
    delivery.send({ job { task = "a" }, job { task = "b", delay = 5 }, job { task = "c", at = now + 60, queue = "q" },
      job { task = "d" } }, 0)
    assert.same({ "a default ready", "b default scheduled", "c q scheduled" }, events)
  end)
end)
