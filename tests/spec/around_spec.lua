-- What is put around enqueueing: unique, debounce, throttle, limits, callbacks, meta that is passed along, bound queues, middleware and
-- events; in a plain LuaJIT program, against a real sqlite store in a temporary directory, without an engine.
local files = require "tests.support.files"
local skein = require "skein"
local hooks, middleware = require "skein.hooks", require "skein.middleware"
local client = require "skein.client"
local core = require "skein.core"
local constraints = require "skein.constraints"
local tasks = require "skein.tasks"

local names = 0
local function fresh_name()
  names = names + 1
  return "around.t" .. names
end

-- Declares a task of a name of its own and returns that.
local function declare(options)
  local name = fresh_name()
  skein.task(name, options, function() end)
  return name
end

local function refused(pattern, fn)
  local ok, err = pcall(fn)
  assert.is_false(ok, "it was taken: " .. pattern)
  assert.matches(pattern, tostring(err))
  assert.matches("tests/spec/around_spec%.lua:%d+: ", tostring(err))
end

-- The callbacks of a record, each a table with its fields, due_ms and delay_ms.
local function read_callbacks(bytes)
  local list, offset = {}, 1
  while offset <= #bytes do
    local record, due_ms, delay_ms
    record, due_ms, delay_ms, offset = core.unpack("sll", bytes, offset)
    local job = core.job(record)
    job.due_ms, job.delay_ms = due_ms, delay_ms
    list[#list + 1] = job
  end
  return list
end

describe("around enqueueing", function()
  local dir

  before_each(function()
    dir = files.temp_dir()
    assert(skein.connect("sqlite:" .. dir .. "/jobs.db", { durability = "normal" }))
  end)

  after_each(function()
    hooks.reset() middleware.reset()
    skein.close()
    files.remove(dir)
  end)

  -- The stored record of a job, as a table.
  local function record_of(handle)
    local answer = assert(client.call(core.OP.GET, core.pack("is", 1, handle.id)))
    local _, _, _, record = core.unpack("bsss", answer)
    return core.job(record)
  end

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
      local none = declare { unique = { key = function() return false end }, limit = { rate = 1, key = function() return false end } }
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
      local function said(unique) return record_of(assert(skein.enqueue { task = name, args = { 1 }, unique = unique })).unique end
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
      assert.matches("^job " .. first.id .. " of task " .. name .. " is there already, with the unique key \"" .. name .. "/", tostring(err))
      assert(skein.enqueue(name, 2))
      assert(first:cancel())
      assert(skein.enqueue(name, 1))
    end)

    it("is refused among many, without the others", function()
      local name = declare { unique = { key = 1 } }
      local hs, refused_ones = skein.enqueue_many { { task = name, args = { "a" } }, { task = name, args = { "a" } }, { task = name, args = { "b" } } }
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
      assert.equal(('task %s is throttled: job %s was enqueued less than 60 s ago, with the key "%s/a"'):format(name, first.id, name),
        tostring(err))
      assert(skein.enqueue(name, "b"))
    end)
  end)

  describe("a limit", function()
    it("is for the whole task, or for each value of its key", function()
      local function said(options, ...) return record_of(assert(skein.enqueue(declare { limit = options }, ...))).limit:gsub("around%.t%d+", "T") .. "" end
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
      assert.equal("0;0;0;0;any;=around.unknown/x", record_of(assert(skein.enqueue { task = "around.unknown", limit = { key = "x" } })).limit)
      refused("option limit: a concurrency, a rate or a key is expected in it", function()
        skein.enqueue { task = "around.unknown", limit = {} }
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
    local limit = constraints.read_limit(constraints.limit_template(constraints.limit { limit = { rate = 1, key = print } }))
    _, _, _, problem = constraints.of_job("t", nil, limit, "[]", {})
    assert.matches('task t makes the key of its limit .* limit = { key = "%.%.%." }', problem)
  end)

  it("every wrong option is named by its path", function()
    for wanted, options in pairs {
      ["option unique%.ttl is %-1, expected a number of seconds, more than 0"] = { unique = { ttl = -1 } },
      ['option unique%.on_conflict is "repace", expected "reject", "replace"'] = { unique = { on_conflict = "repace" } },
      ['unknown option "unique%.tll" %(did you mean "unique%.ttl"%?%)'] = { unique = { tll = 1 } },
      ["option unique is 5, expected true, false or"] = { unique = 5 },
      ['option unique%.key is "mine", expected "args", the number of an arg'] = { unique = { key = "mine" } },
      ["option unique%.key is 0, expected"] = { unique = { key = 0 } },
      ["option unique%.key is 201, expected"] = { unique = { key = 201 } },
      ["option debounce is 0, expected a number of seconds, more than 0, or { wait =, key = }"] = { debounce = 0 },
      ["option debounce%.wait is missing"] = { debounce = { key = 1 } },
      ["option throttle%.per is true, expected"] = { throttle = { per = true } },
      ["the options unique, debounce and throttle exclude each other"] = { unique = true, throttle = 1 },
      ["debounce and throttle exclude"] = { debounce = 1, throttle = 1 },
      ['unknown option "limit%.concurency" %(did you mean "limit%.concurrency"%?%)'] = { limit = { concurency = 1 } },
      ["option limit%.concurrency is 0, expected a whole number from 1 to 1000000000"] = { limit = { concurrency = 0 } },
      ["option limit%.rate is 0%.5, expected a whole number"] = { limit = { rate = 0.5 } },
      ["option limit%.per needs limit%.rate"] = { limit = { concurrency = 1, per = 1 } },
      ["option limit%.burst needs limit%.rate"] = { limit = { concurrency = 1, burst = 1 } },
      ["option limit: a concurrency, a rate or a key is expected in it"] = { limit = {} },
      ['option limit%.concurrency is 2, expected 1 with order = "strict"'] = { limit = { concurrency = 2, order = "strict" } },
      ["option on_success is table.*, expected a function"] = { on_success = { task = "x" } },
      ["option pass_meta is \"tenant\", expected a list of keys of meta"] = { pass_meta = "tenant" },
      ["option pass_meta%[2%] is 2, expected a key of meta"] = { pass_meta = { "a", 2 } },
      ["option pass_meta%[1%] is \"_pass\""] = { pass_meta = { "_pass" } },
    } do
      refused('skein%.task "around%.bad": .*' .. wanted, function()
        skein.task("around.bad", options, function() end)
      end)
    end
    for wanted, options in pairs {
      ["option limit is true, expected a table"] = { limit = true },
      ["option block is %-1, expected a number of seconds"] = { block = -1 },
      ["option immutable is 1, expected true or false"] = { immutable = 1 },
      ["option on_success is 5, expected a signature"] = { on_success = 5 },
      ["option on_error is function"] = { on_error = print },
      ["on_success%[2%]: .*unknown option \"dealy\" %(did you mean \"delay\"%?%)"] = { on_success = { "a", { task = "b", dealy = 1 } } },
      ["on_success%[1%]: .*name is missing"] = { on_success = { args = {} } },
      ["on_error%[1%]%.args%[1%]: a function"] = { on_error = { task = "b", args = { print } } },
      ["job: on_success%[1%]%.on_error%[2%]%.args%[1%]%.x: a function"] =
        { on_success = { task = "b", on_error = { "a", { task = "c", args = { { x = print } } } } } },
      ["job: on_success%[1%]%.on_success%[1%]: option retries is %-1, expected"] =
        { on_success = { task = "b", on_success = { task = "c", retries = -1 } } },
      ["option meta is table.*, expected a table without the key \"_pass\""] = { meta = { _pass = 1 } },
      ["option debounce%.wait is missing"] = { debounce = { key = "x" } },
    } do
      options.task = "around.any"
      refused(wanted, function()
        skein.enqueue(options)
      end)
    end
    refused("job: a task's name or a signature %(a table%) is expected, not nil", function()
      skein.enqueue()
    end)
    refused("skein%.enqueue_many: %[2%]: job: a task's name or a signature %(a table%) is expected, not number", function()
      skein.enqueue_many { "a", 5 }
    end)
    refused('the key function of unique of task around%.any returned nan, expected a text', function()
      skein.enqueue { task = "around.any", unique = { key = function() return 0 / 0 end } }
    end)
    assert.equal(0, skein.admin.stats().counters.enqueued)
  end)

  describe("callbacks", function()
    it("are made with the job: ids, queues, delays, callbacks of their own", function()
      local name = declare { queue = "calls", priority = 1, unique = { key = 1 } }
      local r = record_of(assert(skein.enqueue({
        task = "around.any", immutable = true, on_error = "alert",
        on_success = { { task = name, args = { 1 }, delay = 5 }, { task = "next", on_success = { task = "last", args = { "x" } } } },
      }, 7)))
      assert.same({ 1, "[7]" }, { r.immutable, r.args })
      local done, dead = read_callbacks(r.on_success), read_callbacks(r.on_error)
      assert.same({ 2, 1, "alert" }, { #done, #dead, dead[1].task })
      assert.same({ name, "calls", 1, "[1]", 5000, "reject;0;=" .. name .. "/1" },
        { done[1].task, done[1].queue, done[1].priority, done[1].args, done[1].delay_ms, done[1].unique })
      assert.equal(26, #done[1].id)
      assert.equal("last", read_callbacks(done[2].on_success)[1].task)
    end)

    it("are refused in a circle, and past their size", function()
      local circle = { task = "round" }
      circle.on_success = circle
      refused("callbacks of callbacks, more than 16 deep", function()
        skein.enqueue(circle)
      end)
      refused("option on_error comes to %d+ bytes, the limit is 262144", function()
        skein.enqueue { task = "big", on_error = { task = "big", args = { ("x"):rep(262144) } } }
      end)
      assert(skein.enqueue { task = "big", on_error = { task = "big", args = { ("x"):rep(260000) } } })
    end)

    it("are a hundred at the most", function()
      local many = {}
      for i = 1, 100 do many[i] = { task = "one" } end
      assert(skein.enqueue { task = "many", on_success = many, on_error = many })
      many[101] = { task = "one" }
      refused("option on_error has 101 callbacks, the limit is 100", function()
        skein.enqueue { task = "many", on_error = many }
      end)
    end)
  end)

  describe("meta", function()
    it("that another client has filled with anything passes nothing along", function()
      local passed = require("skein.meta").passed
      assert.same({ values = { a = 1 }, pass = { "a" } }, passed({ a = 1 }, { "a" }))
      for _, pass in ipairs { 5, "a", true, core.null } do assert.is_nil(passed({ a = 1 }, pass)) end
      assert.is_nil(passed(5, { "a" }))
      assert.is_nil(passed({ a = 1 }, { {}, 7 }))
    end)

    it("is a table of the job, and what is marked is passed on to its callbacks", function()
      local h = assert(skein.enqueue {
        task = "around.any", meta = { tenant = "acme", trace = 7 }, pass_meta = { "tenant" },
        on_success = { { task = "next", meta = { own = 1 } }, { task = "next", meta = { tenant = "other" } } },
      })
      assert.same({ tenant = "acme", trace = 7 }, h:info().meta)
      local calls = read_callbacks(record_of(h).on_success)
      assert.same({ tenant = "acme", own = 1, _pass = { "tenant" } }, core.decode(calls[1].meta))
      assert.equal("other", core.decode(calls[2].meta).tenant)
      assert.same({}, assert(skein.enqueue "around.any"):info().meta)
    end)

    it("is marked by the task too", function()
      local name = declare { pass_meta = { "tenant" } }
      local h = assert(skein.enqueue { task = name, meta = { tenant = 1, x = 2 }, on_error = "alert" })
      assert.same({ tenant = 1, _pass = { "tenant" } }, core.decode(read_callbacks(record_of(h).on_error)[1].meta))
      assert.is_nil(record_of(skein.enqueue(name)).meta)
      assert.same({ "tenant" }, core.decode(core.job(tasks.by_name[name].record).meta)._pass)
    end)

    it("of the job that runs goes to all that it enqueues, and its own signature wins", function()
      local before = client.passed
      finally(function() client.passed = before end)
      client.passed = function() return { values = { tenant = "acme" }, pass = { "tenant" } } end
      assert.same({ tenant = "acme" }, skein.enqueue("around.any"):info().meta)
      assert.same({ tenant = "b", x = 1 }, skein.enqueue({ task = "around.any", meta = { tenant = "b", x = 1 } }):info().meta)
      assert.same({ tenant = "acme" }, skein.enqueue_many({ "around.any" })[1]:info().meta)
      assert.same({ "tenant" }, core.decode(record_of(skein.enqueue "around.any").meta)._pass)
    end)
  end)

  describe("a full queue", function()
    local function bind(name, max_len, overflow, block_ms)
      local queues = require "skein.queues"
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
      assert.equal('queue "slow" is full: 3 jobs wait in it, its max_len, and 1.5 s made no room', tostring(refused_ones[3]))
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
      local queues = require "skein.queues"
      skein.queue("around.once", { max_len = 5, overflow = "block", limit = { rate = 2 } })
      local q = queues.by_name["around.once"]
      assert.same({ 5, "block", 30000, 0, 2, 1000, 1 }, { q.max_len, q.overflow, q.block_ms, q.concurrency, q.rate, q.per_ms, q.burst })
      refused('skein%.queue "around%.once" is declared already, at tests/spec/around_spec%.lua:%d+', function()
        skein.queue("around.once", {})
      end)
    end)
  end)

  describe("middleware of enqueueing", function()
    it("sees task, args, meta and queue of a signature of its own, and may change them", function()
      local signature = { task = "around.any", args = { 1, nil, 3 } }
      skein.use_enqueue(function(sig, next)
        assert.same({ "around.any", "default", 3, true }, { sig.task, sig.queue, #sig.args, sig.args[2] == skein.null })
        sig.args[1], sig.meta.who, sig.queue, sig.delay = 10, "me", "other", 60
        return next(sig)
      end)
      local job = assert(skein.enqueue(signature)):info()
      assert.same({ "scheduled", "other", 10, "me" }, { job.state, job.queue, job.args[1], job.meta.who })
      assert.same({ task = "around.any", args = { 1, nil, 3 } }, signature)
      local args = skein.enqueue("around.any", 1, nil, 5):info().args
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
      local got = skein.enqueue "around.any"
      assert.equal("ready", got.wrapped:state())
      assert.same({ "a", "b", "a again" }, order)
      assert.equal("ready", skein.enqueue_many({ "around.any" })[1].wrapped:state())
    end)

    it("may drop a job, in one and in many", function()
      skein.use_enqueue(function(sig, next)
        if sig.args[1] ~= "spam" then return next(sig) end
      end)
      local h, err = skein.enqueue("around.any", "spam")
      assert.same({ nil, "dropped" }, { h, err.code })
      assert.matches('^job of task "around%.any" was dropped by the middleware of tests/spec/around_spec%.lua:%d+$', tostring(err))
      local hs, refused_ones = skein.enqueue_many { { task = "around.any", args = { "spam" } }, "around.any" }
      assert.same({ false, "dropped" }, { hs[1], refused_ones[1].code })
      assert.equal("ready", hs[2]:state())
      assert.equal(1, skein.admin.stats().counters.enqueued)
    end)

    it("that forgets to return still gives the handle", function()
      skein.use_enqueue(function(sig, next) next(sig) end)
      assert.equal("ready", skein.enqueue("around.any"):state())
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
      for i = 1, 500 do signatures[i] = { task = "around.any", args = { i }, id = i == 400 and "id399" or "id" .. i } end
      local hs, refused_ones = skein.enqueue_many(signatures)
      assert.equal(1, calls)
      assert.same({ 500, "ready", "exists", false, "exists" }, { #said, said[1], said[400], hs[400], refused_ones[400].code })
    end)

    it("may add a job twice", function()
      skein.use_enqueue(function(sig, next)
        next(sig)
        return next(sig)
      end)
      assert(skein.enqueue "around.any")
      assert(skein.enqueue_many { "around.any", "around.any" })
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
      local h = assert(skein.enqueue { task = "around.any", on_success = { "keep", "drop" } })
      local calls = read_callbacks(record_of(h).on_success)
      assert.same({ 1, "keep", { seen = true } }, { #calls, calls[1].task, core.decode(calls[1].meta) })
    end)

    it("fails where it fails, and adds nothing", function()
      skein.use_enqueue(function(sig, next)
        if sig.args[1] == 1 then error "no" end
        sig.dealy = 5
        return next(sig)
      end)
      refused("around_spec%.lua:%d+: no", function() skein.enqueue("around.any", 1) end)
      refused('around_spec%.lua:%d+: job: unknown option "dealy"', function()
        skein.enqueue "around.any"
      end)
      refused("no", function() skein.enqueue_many { { task = "around.any", args = { 1 } } } end)
      hooks.reset() middleware.reset()
      skein.use_enqueue(function(_, next) return next(5) end)
      refused("next: a signature is expected, not number", function()
        skein.enqueue "around.any"
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

  describe("events", function()
    it("tell of each job that was added", function()
      local events = {}
      skein.on("event", function(event) events[#events + 1] = event end)
      local h = skein.enqueue("around.any", 1)
      skein.enqueue_many { { task = "around.b", delay = 5, queue = "q" }, { task = "around.b", id = h.id } }
      assert.equal(2, #events)
      assert.same({ "job", h.id, "around.any", "default", "ready", 0 },
        { events[1].type, events[1].id, events[1].task, events[1].queue, events[1].to, events[1].attempt })
      assert.same({ "around.b", "q", "scheduled" }, { events[2].task, events[2].queue, events[2].to })
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
        assert(skein.enqueue "around.audit")
        error "oops"
      end)
      skein.on("event", function() told = told + 1 end)
      assert(skein.enqueue "around.any")
      assert.equal(2, told)
      assert.matches("the event handler failed: tests/spec/around_spec%.lua:%d+: oops", logged[1])
      assert.equal(2, skein.admin.stats().ready)
    end)
  end)
end)

describe("around a job", function()
  after_each(function() hooks.reset() middleware.reset() end)

  local function new_job(queue) return { id = "1", task = "t", queue = queue or "default", attempt = 1 } end

  -- Runs a task's handler with all around it, with args.
  local function run(name, job, ...) return middleware.compose(tasks.by_name[name])(job, ...) end

  it("nothing stands when nothing is declared: the handler itself runs", function()
    local name = declare {}
    assert.equal(tasks.by_name[name].handler, middleware.compose(tasks.by_name[name]))
    skein.use(print, { tasks = "another" })
    assert.equal(tasks.by_name[name].handler, middleware.compose(tasks.by_name[name]))
  end)

  local function sum_task()
    local name = fresh_name()
    skein.task(name, function(_, a, b) return a + b end)
    return name
  end

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
    hooks.reset() middleware.reset()
    skein.use(function(job, next)
      job.args = { 7, 8 }
      return next()
    end)
    assert.equal(15, run(name, new_job(), 1, 2))
    hooks.reset() middleware.reset()
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
    hooks.reset() middleware.reset()
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
    assert.matches('^tests/spec/around_spec%.lua:%d+: skein%.use: no script declares the task "' .. name .. 'x" %(did you mean "around%.t%d+"%?%)$',
      middleware.problem())
  end)

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
    assert.matches("the success handler failed: tests/spec/around_spec%.lua:%d+: oops", logged[1])
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
