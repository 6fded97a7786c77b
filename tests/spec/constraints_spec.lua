-- Constraints of a job (lua/skein/constraints.lua): keys, unique, debounce, throttle and limits, as records
-- store them and as a sqlite store holds them.
local constraints = require "skein.constraints"
local core = require "skein.core"
local plain_program = require "tests.support.plain_program"
local skein = require "skein"

local declare, record_of, refused = plain_program.declare, plain_program.record_of, plain_program.refused

before_each(plain_program.open)
after_each(plain_program.close)

describe("a key", function()
  local function unique_of(name, ...) return record_of(assert(skein.enqueue(name, ...))).unique end

  it("of all args is their digest behind the task's name", function()
    local name = declare { unique = true }
    assert.equal("reject;0;=" .. name .. "/" .. core.digest '[1,"two"]', unique_of(name, 1, "two"))
    assert.equal("reject;0;=" .. name .. "/" .. core.digest "[]", unique_of(name))
    assert.equal("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", core.digest "")
  end)

  it("of args does not depend on the order of an object's keys", function()
    local name = declare { unique = true }
    local first, second = {}, {}
    for i = 1, 20 do first["key" .. i] = { i, { b = 1, a = 2 } } end
    for i = 20, 1, -1 do second["key" .. i] = { i, { a = 2, b = 1 } } end
    assert(skein.enqueue(name, first))
    local h, err = skein.enqueue(name, second)
    assert.same({ nil, "exists" }, { h, err and err.code })
    second.key7 = 8
    assert(skein.enqueue(name, second))
  end)

  it("of one arg is a text as it is, and anything else as JSON", function()
    local name = declare { unique = { key = 2, ttl = 1.5, on_conflict = "replace" } }
    assert.equal("replace;1500;=" .. name .. "/acme", unique_of(name, 1, "acme"))
    assert.equal("replace;1500;=" .. name .. "/42", unique_of(name, 1, 42))
    assert.equal("replace;1500;=" .. name .. "/18446744073709551615", unique_of(name, 1, 18446744073709551615ULL))
    assert.equal("replace;1500;=" .. name .. '/{"a":1,"b":[2]}', unique_of(name, 1, { b = { 2 }, a = 1 }))
    assert.equal("replace;1500;=" .. name .. "/null", unique_of(name, 1))
  end)

  it("of a function is what it returns for the args; false is none", function()
    local name = declare { unique = { key = function(a, b) return b and a .. "-" .. b.x end } }
    assert.equal("reject;0;=" .. name .. "/u-7", unique_of(name, "u", { x = 7 }))
    local none = declare {
      unique = { key = function() return false end }, limit = { rate = 1, key = function() return false end },
    }
    assert.is_nil(unique_of(none))
    assert.is_nil(record_of(skein.enqueue(none)).limit)
    refused("key function of unique of task " .. name .. " returned nil, expected a text", function()
      skein.enqueue(name, "u")
    end)
  end)

  it("that is long is digested", function()
    local name = declare { unique = { key = 1 } }
    local at_most = ("k"):rep(200 - #name - 1)
    assert.equal("reject;0;=" .. name .. "/" .. at_most, unique_of(name, at_most))
    assert.equal("reject;0;=" .. core.digest(name .. "/" .. at_most .. "k"), unique_of(name, at_most .. "k"))
  end)

  it("in a signature stands in for the task's, and may be any text", function()
    local name = declare { unique = { key = function() return "task's" end, ttl = 5 } }
    local function said(unique)
      return record_of(assert(skein.enqueue { task = name, args = { 1 }, unique = unique })).unique
    end
    assert.equal("reject;5000;=" .. name .. "/mine", said { key = "mine" })
    assert.equal("replace;7000;=" .. name .. "/1", said { key = 1, ttl = 7, on_conflict = "replace" })
    assert.equal("reject;5000;=" .. name .. "/" .. core.digest "[1]", said { key = "args" })
    assert.is_nil(said(false))
    assert.equal("reject;0;=free/x", record_of(skein.enqueue { task = "free", unique = { key = "x" } }).unique)
  end)
end)

describe("a unique job", function()
  it("is refused while another of its key waits, with that one's handle", function()
    local name = declare { unique = true }
    local first = assert(skein.enqueue(name, 1))
    local h, err = skein.enqueue(name, 1)
    assert.is_nil(h)
    assert.same({ "exists", first.id, first.id }, { err.code, err.id, err.handle.id })
    assert.equal("ready", err.handle:state())
    local wanted = '^job %s of task %s is there already, with the unique key "%s/'
    assert.matches(wanted:format(first.id, name, name), tostring(err))
    assert(skein.enqueue(name, 2))
    assert(first:cancel())
    assert(skein.enqueue(name, 1))
  end)

  it("is refused among many, without the others", function()
    local name = declare { unique = { key = 1 } }
    local hs, refused_ones = skein.enqueue_many {
      { task = name, args = { "a" } }, { task = name, args = { "a" } }, { task = name, args = { "b" } },
    }
    assert.same({ false, nil, "exists", nil }, { hs[2], refused_ones[1], refused_ones[2].code, refused_ones[3] })
    assert.equal(hs[1].id, refused_ones[2].handle.id)
    assert.equal("ready", hs[3]:state())
  end)

  it("takes the place of the one that waits, with replace", function()
    local name = declare { unique = { on_conflict = "replace" } }
    local first = assert(skein.enqueue(name, 1))
    local second = assert(skein.enqueue(name, 1))
    assert.is_nil(first:state())
    assert.equal("ready", second:state())
  end)

  it("with debounce is put off by each enqueue", function()
    local name = declare { debounce = 60 }
    local first = assert(skein.enqueue(name, 1))
    local due = first:info().due_at
    assert.is_true(math.abs(due - skein.now() - 60) < 5)
    local second = assert(skein.enqueue(name, 1))
    assert.same({ nil, "scheduled" }, { first:state(), second:state() })
    assert.equal("scheduled", assert(skein.enqueue(name, 2)):state())
    assert.is_true(math.abs(assert(skein.enqueue_in(500, name, 1)):info().due_at - skein.now() - 500) < 5)
    assert.equal("ready", assert(skein.enqueue { task = name, debounce = false }):state())
  end)

  it("with throttle is taken once in its time, whatever becomes of it", function()
    local name = declare { throttle = { per = 60, key = 1 } }
    local first = assert(skein.enqueue(name, "a", 1))
    assert(first:cancel())
    local h, err = skein.enqueue(name, "a", 2)
    assert.same({ nil, "exists", first.id }, { h, err.code, err.handle.id })
    local wanted = 'task %s is throttled: job %s was enqueued less than 60 s ago, with the key "%s/a"'
    assert.equal(wanted:format(name, first.id, name), tostring(err))
    assert(skein.enqueue(name, "b"))
  end)
end)

describe("a limit", function()
  it("is for the whole task, or for each value of its key", function()
    local function said(options, ...)
      local record = record_of(assert(skein.enqueue(declare { limit = options }, ...)))
      return (record.limit:gsub("spec%.t%d+", "T"))
    end
    assert.equal("5;0;0;0;any;=T", said { concurrency = 5 })
    assert.equal("0;100;60000;1;any;=T", said { rate = 100, per = 60 })
    assert.equal("2;10;1000;3;any;=T/acme", said({ concurrency = 2, rate = 10, burst = 3, key = 1 }, "acme"))
    assert.equal("1;0;0;0;strict;=T/9", said({ order = "strict", key = function(n) return n + 1 end }, 8))
    assert.equal("1;0;0;0;any;=T/" .. core.digest "[8]", said({ concurrency = 1, key = "args" }, 8))
    local long = ("k"):rep(200) -- the task's name stays in front: the stores find its groups by that
    assert.matches("^1;0;0;0;any;=T/" .. ("%x"):rep(64) .. "$", said({ concurrency = 1, key = 1 }, long))
  end)

  it("in a signature changes what it names of the task's", function()
    local name = declare { limit = { concurrency = 5, rate = 10 } }
    local function said(limit) return record_of(assert(skein.enqueue { task = name, limit = limit })).limit end
    assert.equal("5;10;1000;1;any;=" .. name .. "/k", said { key = "k" })
    assert.equal("5;20;2000;1;any;=" .. name, said { rate = 20, per = 2 })
    assert.is_nil(said(false))
    local h = assert(skein.enqueue { task = "spec.unknown", limit = { key = "x" } })
    assert.equal("0;0;0;0;any;=spec.unknown/x", record_of(h).limit)
    refused("option limit: a concurrency, a rate or a key is expected in it", function()
      skein.enqueue { task = "spec.unknown", limit = {} }
    end)
    refused('option limit%.concurrency is 5, expected 1 with order = "strict"', function()
      skein.enqueue { task = name, limit = { order = "strict" } }
    end)
  end)
end)

it("the text of a template says the same to a client that has no script", function()
  for _, options in ipairs {
    { unique = { key = 3, ttl = 2 } }, { debounce = 5 }, { throttle = { per = 0.5, key = 1 } },
    { limit = { concurrency = 1, rate = 2, per = 3, burst = 4, key = "args" } }, { limit = { order = "strict" } },
  } do
    local lock, limit = constraints.lock(options), constraints.limit(options)
    assert.same(lock, constraints.read_lock(constraints.lock_template(lock)))
    assert.same(limit, constraints.read_limit(constraints.limit_template(limit)))
  end
  local lock = constraints.read_lock(constraints.lock_template(constraints.lock { unique = { key = print } }))
  local _, _, _, problem = constraints.of_job("t", lock, nil, "[]", {})
  assert.matches('give the key in the signature, unique = { key = "%.%.%." }', problem)
  local template = constraints.limit_template(constraints.limit { limit = { rate = 1, key = print } })
  local limit = constraints.read_limit(template)
  _, _, _, problem = constraints.of_job("t", nil, limit, "[]", {})
  assert.matches('task t makes the key of its limit .* limit = { key = "%.%.%." }', problem)
end)
