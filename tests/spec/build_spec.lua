-- Jobs from signatures (lua/skein/build.lua): the record with what the task declares, and when the job is due.
local build = require "skein.build"
local core = require "skein.core"
local plain_program = require "tests.support.plain_program"

local declare = plain_program.declare

before_each(plain_program.open)
after_each(plain_program.close)

-- The parts of a built item: { record as a table, due_ms, delay_ms }.
local function read(item)
  local record, due_ms, delay_ms, after = core.unpack("sll", item)
  assert.equal(#item + 1, after)
  return core.job(record), due_ms, delay_ms
end

describe("build.item", function()
  local function built(signature, n, ...)
    local item, id = build.item(signature, nil, 0, n or 0, ...)
    assert.is_string(item, id)
    local record, due_ms, delay_ms = read(item)
    assert.equal(id, record.id)
    return record, due_ms, delay_ms
  end

  it("takes queue and priority of the task, and the signature's own before them", function()
    local name = declare { queue = "math", priority = 1, retries = 3 }
    local record = built { task = name }
    assert.same({ name, "math", 1, "[]" }, { record.task, record.queue, record.priority, record.args })
    assert.is_nil(record.retries) -- the template has it
    record = built { task = name, queue = "own", priority = -2, retries = 0, timeout = 1.5, keep = 2, dead = false,
      retry_queue = "slow", backoff = "linear" }
    assert.same({ "own", -2, 0, 1500, 2000, 0, "slow", "linear" }, { record.queue, record.priority, record.retries,
      record.timeout_ms, record.keep_ms, record.keep_dead, record.retry_queue, record.backoff })
  end)

  it("takes the args of the call before those of the signature", function()
    assert.equal("[1,null]", built({ task = "any", args = { 1, n = 2 } }).args)
    assert.equal("[3,null]", built({ task = "any", args = { 1 } }, 2, 3, nil).args)
    assert.equal("[null]", built({ task = "any", args = { 1, 2 } }, 1, nil).args)
  end)

  it("is due at a time or after a delay, in ms", function()
    assert.same({ 1500, 0 }, { select(2, built { task = "any", at = 1.5 }) })
    assert.same({ 0, 250 }, { select(2, built { task = "any", delay = 0.25 }) })
    assert.same({ 0, 0 }, { select(2, built { task = "any" }) })
  end)

  it("expires a number of seconds after now", function()
    local from = core.now()
    local expires_ms = built({ task = "any", expires = 60 }).expires_ms
    assert.is_true(expires_ms >= (from + 60) * 1000 - 1 and expires_ms <= (core.now() + 60) * 1000)
    assert.is_nil(built({ task = "any" }).expires_ms)
  end)

  it("has the task's lock and limit with their keys, the signature's own before them, and none for false", function()
    local name = declare { unique = { key = 1, ttl = 5 }, limit = { concurrency = 2, key = 1 } }
    local record = built({ task = name }, 1, "k")
    assert.same({ "reject;5000;=" .. name .. "/k", "2;0;0;0;any;=" .. name .. "/k" }, { record.unique, record.limit })
    record = built({ task = name, unique = { key = "mine" }, limit = { concurrency = 7, key = "mine" } }, 1, "k")
    assert.same({ "reject;5000;=" .. name .. "/mine", "7;0;0;0;any;=" .. name .. "/mine" },
      { record.unique, record.limit })
    record = built({ task = name, unique = false, limit = false }, 1, "k")
    assert.same({}, { record.unique, record.limit })
  end)

  it("is delayed by debounce, unless the signature says when it is due", function()
    local name = declare { debounce = { wait = 10, key = 1 } }
    assert.same({ 0, 10000 }, { select(2, built({ task = name }, 1, "k")) })
    assert.same({ 0, 2000 }, { select(2, built({ task = name, delay = 2 }, 1, "k")) })
    assert.same({ 3000, 0 }, { select(2, built({ task = name, at = 3 }, 1, "k")) })
  end)

  it("joins its meta with the inherited one", function()
    local item = assert(build.item({ task = "any", meta = { own = 1 } },
      { values = { tenant = "acme" }, pass = { "tenant" } }, 0, 0))
    assert.same({ own = 1, tenant = "acme", _pass = { "tenant" } }, core.decode(read(item).meta))
    assert.is_nil(built({ task = "any" }).meta)
  end)

  it("has callbacks only when the signature has some, and the mark of one that takes no result", function()
    local record = built { task = "any", on_success = "next", immutable = true }
    assert.same({ "next", 1 }, { plain_program.read_callbacks(record.on_success)[1].task, record.immutable })
    record = built { task = "any" }
    assert.same({}, { record.on_success, record.on_error, record.immutable })
  end)

  it("says what is wrong, and where", function()
    local function problem(signature, ...) return select(2, build.item(signature, nil, 0, select("#", ...), ...)) end
    assert.equal("job: a task's name or a signature (a table) is expected, not nil", problem(nil))
    assert.equal('job: option priority is 3, expected a whole number from -2 to 2',
      problem { task = "a", priority = 3 })
    assert.equal("args[2]: a function cannot be stored", problem({ task = "a" }, 1, print))
    assert.equal("args[1].deep: a function cannot be stored", problem { task = "a", args = { { deep = print } } })
    assert.equal("meta.f: a function cannot be stored", problem { task = "a", meta = { f = print } })
    assert.equal("job: the options unique, debounce and throttle exclude each other",
      problem { task = "a", unique = true, throttle = 5 })
    assert.equal("job: option limit: a concurrency, a rate or a key is expected in it",
      problem { task = "a", limit = { order = "any" } })
    assert.equal('job: on_error[1]: option priority is 3, expected a whole number from -2 to 2',
      problem { task = "a", on_error = { task = "b", priority = 3 } })
    assert.equal("job: a function as backoff belongs to skein.task", problem { task = "a", backoff = function() end })
  end)

  it("keeps args within the limit that is set, to the byte", function()
    finally(function() build.args_bytes_max = nil end)
    build.args_bytes_max = 5
    assert.equal('["x"]', built({ task = "any" }, 1, "x").args)
    local item, problem = build.item({ task = "any" }, nil, 0, 1, "xy")
    assert.same({ nil, "args: 6 bytes of JSON, expected at most 5" }, { item, problem })
  end)
end)

describe("build.job", function()
  it("has room for the outcome, and says whether its id is new and how long it waits for room", function()
    local job = assert(build.job({ task = "any", block = 0.5 }, nil, 0))
    assert.same({ 500, true, false }, { job.block_ms, job.fresh, job.result })
    assert.equal(job.id, read(job.item).id)
    job = assert(build.job({ task = "any", id = "mine" }, nil, 0))
    assert.same({ "mine", 0, false }, { job.id, job.block_ms, job.fresh })
  end)

  it("is nil and a sentence when the signature is wrong", function()
    local job, problem = build.job({ task = "a b" }, nil, 0)
    assert.is_nil(job)
    assert.equal('job: option task is "a b", expected a name of 1 to 200 bytes of [A-Za-z0-9_.:-]', problem)
  end)
end)

describe("build.copy", function()
  it("is for middleware to change: args, meta and queue are there, and the original stays as it is", function()
    local name = declare { queue = "math" }
    local signature = { task = name, args = { 1, nil, 3 }, delay = 5, meta = { a = 1 } }
    local copy = build.copy(signature, nil, 0)
    assert.same({ task = name, args = { 1, core.null, 3 }, delay = 5, meta = { a = 1 }, queue = "math" }, copy)
    copy.args[1], copy.meta.a = 2, 2
    assert.same({ task = name, args = { 1, nil, 3 }, delay = 5, meta = { a = 1 } }, signature)
    copy = build.copy({ task = "any" }, nil, 0)
    assert.same({ task = "any", args = {}, meta = {}, queue = "default" }, copy)
  end)

  it("has the args of the call, with null for nil, and the signature's own queue", function()
    local copy = build.copy({ task = "any", args = { 1 }, queue = "own" }, nil, 2, nil, 7)
    assert.same({ core.null, 7 }, copy.args)
    assert.equal("own", copy.queue)
  end)

  it("has what it inherits", function()
    local copy = build.copy({ task = "any" }, { values = { tenant = "acme" }, pass = { "tenant" } }, 0)
    assert.same({ { tenant = "acme" }, { "tenant" } }, { copy.meta, copy.pass_meta })
  end)
end)
