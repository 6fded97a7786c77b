-- Queues with settings (lua/skein/queues.lua): declarations, and what enqueueing to a full queue returns.
local client = require "skein.client"
local core = require "skein.core"
local plain_program = require "tests.support.plain_program"
local queues = require "skein.queues"
local skein = require "skein"

local declare, refused = plain_program.declare, plain_program.refused

before_each(plain_program.open)
after_each(plain_program.close)

describe("a full queue", function()
  local function bind(name, max_len, overflow, block_ms)
    queues.by_name[name] = { name = name, max_len = max_len, overflow = overflow or "reject", block_ms = block_ms or 0 }
    finally(function() queues.by_name[name] = nil end)
  end

  -- As an engine does.
  local function full_answers(answers)
    local calls = {}
    local before = client.set_transport {
      call = function(operation, payload)
        assert.equal(core.OP.ENQUEUE, operation)
        local block_ms, _, n = core.unpack("lbi", payload)
        calls[#calls + 1] = { block_ms, n }
        return "ok", table.remove(answers, 1)
      end,
    }
    finally(function() client.set_transport(before) end)
    return calls
  end

  it("is an error that names it", function()
    bind("tight", 3)
    local name = declare { queue = "tight" }
    local calls = full_answers { "\2", "\0\2" }
    local h, err = skein.enqueue(name)
    assert.is_nil(h)
    assert.same({ "limit", "tight", 3, 'queue "tight" is full: 3 jobs wait in it, its max_len' },
      { err.code, err.queue, err.max_len, tostring(err) })
    local hs, refused_ones = skein.enqueue_many { name, name }
    assert.same({ false, "limit" }, { hs[2], refused_ones[2].code })
    assert.same({ { 0, 1 }, { 0, 2 } }, calls)
  end)

  it("that blocks is asked again with its patience, for those it refused", function()
    bind("slow", 3, "block", 1500)
    local name = declare { queue = "slow" }
    local calls = full_answers { "\0\2\2", "\0\2" }
    local hs, refused_ones = skein.enqueue_many { name, name, name }
    assert.same({ { 0, 3 }, { 1500, 2 } }, calls)
    assert.is_table(hs[2])
    assert.equal('queue "slow" is full: 3 jobs wait in it, its max_len, and 1.5 s made no room',
      tostring(refused_ones[3]))
  end)

  it("is waited for as long as the signature says", function()
    bind("slow", 3, "block", 1500)
    local name = declare { queue = "slow" }
    local calls = full_answers { "\2", "\0", "\0" }
    assert.is_nil((skein.enqueue { task = name, block = 0.25 }))
    assert(skein.enqueue_many { name, { task = name, block = 2 } })
    assert.same({ { 250, 1 }, { 0, 1 }, { 2000, 1 } }, calls)
  end)
end)

describe("a declared queue", function()
  it("says what is wrong with it", function()
    for wanted, declare_queue in pairs {
      ["the name must be a string"] = function()
        skein.queue(5, {})
      end,
      ['"a b"'] = function()
        skein.queue("a b", {})
      end,
      ['skein%.queue "q": unknown option "maxlen" %(did you mean "max_len"%?%)'] = function()
        skein.queue("q", { maxlen = 1 })
      end,
      ["option max_len is 0, expected a whole number from 1"] = function()
        skein.queue("q", { max_len = 0 })
      end,
      ['option overflow is "drop", expected "block", "drop_oldest", "reject"'] = function()
        skein.queue("q", { max_len = 1, overflow = "drop" })
      end,
      ["option overflow needs max_len"] = function()
        skein.queue("q", { overflow = "block" })
      end,
      ['option block needs overflow = "block"'] = function()
        skein.queue("q", { max_len = 1, block = 1 })
      end,
      ["option limit%.burst needs limit%.rate"] = function()
        skein.queue("q", { limit = { concurrency = 1, burst = 2 } })
      end,
      ['unknown option "limit%.key"'] = function()
        skein.queue("q", { limit = { concurrency = 1, key = 1 } })
      end,
    } do
      refused(wanted, declare_queue)
    end
  end)

  it("is declared once", function()
    skein.queue("spec.once", { max_len = 5, overflow = "block", limit = { rate = 2 } })
    local q = queues.by_name["spec.once"]
    assert.same({ 5, "block", 30000, 0, 2, 1000, 1 },
      { q.max_len, q.overflow, q.block_ms, q.concurrency, q.rate, q.per_ms, q.burst })
    refused('skein%.queue "spec%.once" is declared already, at tests/spec/queues_spec%.lua:%d+', function()
      skein.queue("spec.once", {})
    end)
  end)
end)
