-- The tasks and queues that a process knows (lua/skein/catalog.lua): its own, and those of engines.
local catalog = require "skein.catalog"
local client = require "skein.client"
local core = require "skein.core"
local plain_program = require "tests.support.plain_program"
local queues = require "skein.queues"

describe("the catalog", function()
  local asked, stored, now, real_now

  -- The answer of a store that knows these tasks { name =, queue =, priority =, fields of the template } and queues.
  local function answer_of(tasks, known_queues, moves)
    local parts = { core.pack("i", #tasks) }
    for _, task in ipairs(tasks) do
      local template = core.record { task = task.name, queue = task.queue, unique = task.unique, limit = task.limit,
        meta = task.meta }
      parts[#parts + 1] = core.pack("ssis", task.name, task.queue, task.priority or 0, template)
    end
    parts[#parts + 1] = core.pack("i", #(known_queues or {}))
    for _, name in ipairs(known_queues or {}) do
      parts[#parts + 1] = core.pack("slblllll", name, 7, core.OVERFLOW.block, 1500, 0, 0, 0, 0)
    end
    parts[#parts + 1] = core.pack("i", moves or 0)
    return table.concat(parts)
  end

  before_each(function()
    asked, stored, now, real_now = 0, answer_of {}, 1000, core.now
    core.now = function() return now end
    client.set_transport {
      call = function(operation)
        assert.equal(core.OP.TASKS, operation)
        asked = asked + 1
        if not stored then return "unavailable", "it is away" end
        return "ok", stored
      end,
    }
    client.begin_enqueue()
  end)

  after_each(function()
    core.now = real_now
    client.set_transport(nil)
  end)

  it("takes a task of this process without a request", function()
    local name = plain_program.declare { queue = "own", priority = 1 }
    local task = catalog.task(name)
    assert.same({ "own", 1, 0 }, { task.queue, task.priority, asked })
    assert.is_true(catalog.knows(name))
  end)

  it("asks the store for any other task, with its queue, lock, limit and the meta that it passes along", function()
    stored = answer_of {
      { name = "far", queue = "mail", priority = 2, unique = "reject;5000;arg:1", limit = "3;0;0;0;any;task",
        meta = '{"_pass":["tenant"]}' },
      { name = "plain", queue = "default" },
    }
    local task = catalog.task "far"
    assert.same({ "mail", 2 }, { task.queue, task.priority })
    assert.same({ mode = "reject", ttl_ms = 5000, key = 1 }, task.lock)
    assert.same({ 3, 0, "any" }, { task.limit.concurrency, task.limit.rate, task.limit.order })
    assert.same({ "tenant" }, task.pass)
    local plain = catalog.task "plain"
    assert.same({ queue = "default", priority = 0 }, plain)
    assert.equal(1, asked)
  end)

  it("takes a task that nobody has declared for one of the default queue, and says that it is unknown", function()
    local task = catalog.task "nobody"
    assert.same({ queue = "default", priority = 0 }, task)
    assert.is_false(catalog.knows "nobody")
  end)

  it("asks again after 5 seconds, and at once when the clock was set back", function()
    catalog.task "far"
    now = now + 5
    catalog.task "far"
    assert.equal(1, asked)
    stored = answer_of { { name = "far", queue = "mail" } }
    now = now + 0.1
    assert.equal("mail", catalog.task("far").queue)
    assert.equal(2, asked)
    now = now - 1
    catalog.task "far"
    assert.equal(3, asked)
  end)

  it("asks again on another connection, and forgets the tasks of the former store", function()
    stored = answer_of { { name = "far", queue = "mail" } }
    catalog.task "far"
    local t = client.set_transport(nil)
    client.set_transport(t)
    stored = answer_of {}
    assert.is_false(catalog.knows "far")
    assert.equal(2, asked)
  end)

  it("keeps what it knows while the store does not answer", function()
    stored = answer_of { { name = "far", queue = "mail" } }
    catalog.task "far"
    now, stored = now + 10, nil
    client.begin_enqueue()
    assert.equal("mail", catalog.task("far").queue)
    local ok, err = catalog.refresh()
    assert.same({ nil, "unavailable", "it is away" }, { ok, err.code, tostring(err) })
    assert.equal("mail", catalog.task("far").queue)
  end)

  it("does not ask twice in one enqueue, and asks in the next, while the store does not answer", function()
    stored = nil
    catalog.task "far"
    catalog.task "other"
    assert.equal(1, asked)
    client.begin_enqueue()
    catalog.task "far"
    assert.equal(2, asked)
    now = now + 1.5
    catalog.task "far"
    assert.equal(3, asked)
  end)

  it("keeps the tasks and queues known before the store went back in time, until the next request", function()
    stored = answer_of({ { name = "far", queue = "mail" }, { name = "both", queue = "old" } }, { "tight" }, 1)
    catalog.refresh()
    stored = answer_of({ { name = "both", queue = "new" } }, {}, 2)
    catalog.refresh()
    assert.same({ "mail", "new" }, { catalog.task("far").queue, catalog.task("both").queue })
    assert.equal(7, catalog.queue("tight").max_len)
    catalog.refresh()
    assert.is_false(catalog.knows "far")
    assert.is_nil(catalog.queue "tight")
  end)

  it("takes a queue of this process first, then one of an engine, else none", function()
    stored = answer_of({}, { "tight", "own" })
    queues.by_name.own = { name = "own", max_len = 1 }
    finally(function() queues.by_name.own = nil end)
    assert.equal(1, catalog.queue("own").max_len)
    assert.equal(0, asked)
    local tight = catalog.queue "tight"
    assert.same({ "tight", 7, "block", 1500 }, { tight.name, tight.max_len, tight.overflow, tight.block_ms })
    assert.is_nil(catalog.queue "wide")
  end)

  it("names the tasks that the store knew when it was asked last", function()
    stored = answer_of { { name = "far", queue = "mail" }, { name = "near", queue = "mail" } }
    catalog.refresh()
    local names = {}
    for name in pairs(catalog.names()) do names[#names + 1] = name end
    table.sort(names)
    assert.same({ "far", "near" }, names)
  end)
end)
