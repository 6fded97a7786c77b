-- The module in a plain LuaJIT program, against a real sqlite store in a temporary directory, without an engine.
-- What needs an engine (waiting for results) is in tests/system.
local files = require "tests.support.files"
local skein = require "skein"
local client = require "skein.client"
local core = require "skein.core"

describe("a program with a store", function()
  local dir

  before_each(function()
    dir = files.temp_dir()
    assert(skein.connect("sqlite:" .. dir .. "/jobs.db", { durability = "normal" }))
  end)

  after_each(function()
    skein.close()
    files.remove(dir)
  end)

  local function info(handle) return assert(handle:info()) end

  local function misuse(pattern, fn)
    local ok, err = pcall(fn)
    assert.is_false(ok, "it was taken: " .. pattern)
    assert.matches(pattern, tostring(err))
    assert.matches("tests/spec/client_spec%.lua:%d+: ", tostring(err))
  end

  it("enqueues by name, by signature, with args and options", function()
    local job = info(assert(skein.enqueue("add", 1, "two", { three = 3 })))
    assert.same({ "add", "ready", "default", 0, 0 }, { job.task, job.state, job.queue, job.priority, job.attempts })
    assert.same({ 1, "two", { three = 3 } }, { unpack(job.args) })
    assert.is_true(math.abs(job.enqueued_at - skein.now()) < 5)
    job = info(assert(skein.enqueue { task = "add", args = { 4, 5 }, queue = "math", priority = 2, retries = 3,
      meta = { who = "me" } }))
    assert.same({ "math", 2, 3, { who = "me" } }, { job.queue, job.priority, job.retries, job.meta })
    assert.same({ 4, 5 }, { unpack(job.args) })
    assert.equal("mine", assert(skein.enqueue({ task = "add", id = "mine" })).id)
  end)

  it("gives nil in args as null, wherever it is", function()
    local args = info(skein.enqueue("add", nil, 1, nil)).args
    assert.same({ 3, true, 1, true }, { #args, args[1] == skein.null, args[2], args[3] == skein.null })
    args = info(skein.enqueue { task = "add", args = { nil, 1, n = 3 } }).args
    assert.same({ 3, true, 1, true }, { #args, args[1] == skein.null, args[2], args[3] == skein.null })
    args = info(skein.enqueue { task = "add", args = { 1, nil, 3 } }).args
    assert.same({ 3, true }, { #args, args[2] == skein.null })
    assert.equal(0, #info(skein.enqueue { task = "add", args = {} }).args)
  end)

  it("keeps 64-bit integers", function()
    local least = -9223372036854775807LL - 1
    local args = info(skein.enqueue("add", 9223372036854775807LL, least, 18446744073709551615ULL, 42LL)).args
    assert.equal("9223372036854775807LL", tostring(args[1]))
    assert.equal("-9223372036854775808LL", tostring(args[2]))
    assert.equal("18446744073709551615ULL", tostring(args[3]))
    assert.equal(42, args[4])
  end)

  it("leaves a signature as it was, so that it can be used again", function()
    local signature = { task = "add", args = { 1 }, meta = { a = 1 } }
    local copy = { task = "add", args = { 1 }, meta = { a = 1 } }
    local a, b = skein.enqueue(signature), skein.enqueue_in(5, signature)
    assert.same(copy, signature)
    assert.same({ "ready", "scheduled" }, { a:state(), b:state() })
    assert.equal("scheduled", skein.enqueue_at(os.time() + 60, signature):state())
    assert.equal("ready", skein.enqueue_at(1, signature):state())
    assert.is_true(a.id ~= b.id)
  end)

  it("takes a time up to 2169", function()
    local at = os.time { year = 2150, month = 1, day = 1 }
    assert.equal(at, info(assert(skein.enqueue_at(at, "add"))).due_at)
    misuse('time is 10000000000, expected a time', function()
      skein.enqueue_at(1e10, "add")
    end)
  end)

  it("says what is wrong with a signature, at the caller's line, and adds nothing", function()
    local function refused(pattern, ...)
      local n, values = select("#", ...), { ... }
      misuse(pattern, function()
        skein.enqueue(unpack(values, 1, n))
      end)
    end
    refused("not nil")
    refused("not number", 42)
    refused("name is missing", {})
    refused('unknown option "dealy" %(did you mean "delay"%?%)', { task = "add", dealy = 1 })
    refused("at and delay exclude each other", { task = "add", delay = 1, at = 1 })
    refused("function as backoff belongs to skein%.task", { task = "add", backoff = print })
    refused("args is a? ?t?a?b?l?e?.*has the key \"x\"", { task = "add", args = { 1, x = 2 } })
    refused("has the key 0%.5", { task = "add", args = { [0.5] = 2 } })
    refused("n is their number", { task = "add", args = { 1, 2, n = 1 } })
    refused("at most 200 args, not 1000000", { task = "add", args = { [1000000] = 1 } })
    refused("args%[2%]%.f: a function cannot be stored", "add", 1, { f = print })
    refused("args%[1%]: a function", { task = "add", args = { print } })
    refused("meta%.f: a function", { task = "add", meta = { f = print } })
    refused("id is \"\"", { task = "add", id = "" })
    refused("id is \"x+%.%.%.\"", { task = "add", id = ("x"):rep(100) })
    assert.equal(0, skein.admin.stats().counters.enqueued)
  end)

  it("enqueues many: 10,000 in order, whatever their size", function()
    local signatures = {}
    for i = 1, 10000 do signatures[i] = { task = "add", args = { i } } end
    local hs, refused = assert(skein.enqueue_many(signatures))
    assert.same({ 10000, nil }, { #hs, refused })
    assert.equal(10000, skein.admin.stats().ready)
    assert.equal(7777, info(hs[7777]).args[1])
    for i = 1, 30 do signatures[i] = { task = "add", args = { ("x"):rep(1000000), i } } end
    for i = 31, #signatures do signatures[i] = nil end
    hs = assert(skein.enqueue_many(signatures))
    assert.equal(30, info(hs[30]).args[2])
    assert.same({}, skein.enqueue_many {})
  end)

  it("enqueues plain signatures as it does all others", function()
    local plain = {
      "add", { task = "add" }, { task = "add", args = { 1, "two", { three = { 4 } }, core.null } },
      { task = "add", queue = "q", priority = -2 },
      { task = "add", id = "named", retries = 3, keep = 0.25, timeout = 0.0001 },
      { task = "add", delay = 60 }, { task = "add", at = 1 },
      { task = "add", at = 4e9, args = { n = 2 } }, { task = "add", args = { 1, nil, 3 } },
      { task = "add", meta = { a = 1 } },
    }
    local function view(h)
      local v = h:info()
      v.id, v.enqueued_at, v.due_at = nil, nil, v.due_at and math.floor(v.due_at / 10)
      return v
    end
    local hs = assert(skein.enqueue_many(plain))
    for i, signature in ipairs(plain) do
      local there = hs[i]:info()
      assert.equal(i == 5 and "named" or 26, i == 5 and there.id or #there.id)
      hs[i] = view(hs[i])
      if i == 5 then assert(skein.admin.delete("named")) end
      assert.same(view(assert(skein.enqueue(signature))), hs[i])
    end
    assert.same({ -2, "q", 3 }, { hs[4].priority, hs[4].queue, hs[5].retries })
  end)

  it("enqueues what a finalizer does while a list is encoded, and that list as it is", function()
    local nested = {}
    local armed = true
    local function arm()
      getmetatable(newproxy(true)).__gc = function()
        if not armed then return end
        local inner = { { task = "inner", args = { #nested } }, { task = "inner", args = { "x" } } }
        for _, h in ipairs(assert(skein.enqueue_many(inner))) do
          nested[#nested + 1] = h
        end
        arm()
      end
    end
    finally(function() armed = false end)
    for _ = 1, 20 do arm() end
    for round = 1, 20 do
      local signatures = {}
      for i = 1, 500 do signatures[i] = { task = "t" .. i % 40, args = { round, round % 2 == 0 and i or { i } } } end
      local hs = assert(skein.enqueue_many(signatures))
      for i, h in ipairs(hs) do
        local job = info(h)
        assert.same({ "t" .. i % 40, signatures[i].args }, { job.task, job.args })
      end
    end
    assert.is_true(#nested > 0)
    assert.equal(20 * 500 + #nested, skein.admin.stats().ready)
    for i = 1, #nested, 2 do assert.same({ i - 1 }, info(nested[i]).args) end
  end)

  it("survives a connection that is closed while many calls are made on it", function()
    local other = assert(core.client "memory:")
    local count = ""
    local function close()
      other:close()
      return count
    end
    local ok, err = pcall(other.call_many, other, core.OP.COUNT, { count, close, count })
    assert.same({ false, "this connection is closed" }, { ok, err })
    assert.has_error(function() other:call(core.OP.COUNT, count) end, "this connection is closed")
  end)

  it("says of many what the store has taken when it fails in between", function()
    local hs = {}
    local before = client.set_transport {
      call_many = function(operation, payloads)
        assert.equal(core.OP.ENQUEUE, operation)
        local codes, answers = {}, {}
        for i, payload in ipairs(payloads) do
          local _, _, n = core.unpack("lbi", payload)
          hs[i] = n
          codes[i], answers[i] = "ok", ("\0"):rep(n)
        end
        codes[2], answers[2] = "unavailable", "it is away"
        codes[3], answers[3] = "unknown_fate", "who knows"
        answers[4] = "\4" .. answers[4]:sub(2)
        codes[5], answers[5] = nil, nil
        return codes, answers
      end,
      call = function() return "ok", core.pack("ii", 0, 0) end,
    }
    finally(function() client.set_transport(before) end)
    local signatures = {}
    for i = 1, 1250 do signatures[i] = { task = "add", args = { i } } end
    local handles, err = skein.enqueue_many(signatures)
    assert.is_nil(handles)
    assert.same({ 5, 1250 }, { #hs, hs[1] + hs[2] + hs[3] + hs[4] + hs[5] })
    assert.same({ "unknown_fate", hs[1] + hs[4] - 1 }, { err.code, err.added })
  end)

  it("enqueues none of many when one is wrong, and says which", function()
    for pattern, many in pairs {
      ["%[2%]: args%[1%]: a function"] = { "add", { task = "add", args = { print } } },
      ["%[2%]: .*not boolean"] = { "add", false },
      ["%[2%]: .*queue is \"no such\""] = { "add", { task = "add", queue = "no such" } },
      ["%[1%]: .*timeout is 0"] = { { task = "add", timeout = 0 } },
      ["%[1%]: .*exclude each other"] = { { task = "add", at = 1, delay = 1 } },
      ["%[1%]: .*retries is 0.5"] = { { task = "add", retries = 0.5 } },
      ["%[1%]: .*a list of args"] = { { task = "add", args = { a = 1 } } },
      ["%[1%]: .*name is missing"] = { { args = { 1 } } },
      ["%[1%]: .*task is \"no such\""] = { { task = "no such" } },
      ["%[1%]: .*unknown option \"retires\""] = { { task = "add", retires = 1 } },
      ["not string"] = "add",
      ["it has the key \"task\""] = { task = "add" },
      ["it has the key 1.5"] = { "add", [1.5] = "add" },
    } do
      misuse("skein%.enqueue_many: .*" .. pattern, function()
        skein.enqueue_many(many)
      end)
    end
    assert.equal(0, skein.admin.stats().counters.enqueued)
  end)

  it("refuses an id that is there already, in one and in many", function()
    assert(skein.enqueue { task = "add", id = "same" })
    local h, err = skein.enqueue { task = "add", id = "same" }
    assert.is_nil(h)
    assert.same({ "exists", "same", "job same is in the store already" }, { err.code, err.id, tostring(err) })
    local hs, refused = skein.enqueue_many { { task = "add" }, { task = "add", id = "same" }, { task = "add" } }
    assert.same({ 3, false, "exists" }, { #hs, hs[2], refused[2].code })
    assert.equal("ready", hs[3]:state())
  end)

  it("cancels what waits, once, and waits for the end of it", function()
    local h = skein.enqueue_in(60, "add")
    assert.equal("scheduled", h:state())
    assert.is_true(h:cancel())
    assert.equal("cancelled", h:state())
    local value, err = h:wait(5)
    assert.same({ nil, "cancelled" }, { value, err.code })
    local ok, why = h:cancel()
    assert.same({ nil, "state" }, { ok, why.code })
    assert.matches(h.id .. " can't be cancelled: it has ended", tostring(why))
  end)

  it("waits no longer than asked", function()
    local h, from = skein.enqueue "add", skein.now()
    local value, err = h:wait(0.05)
    assert.same({ nil, "timeout" }, { value, err.code })
    local took = skein.now() - from
    assert.is_true(took >= 0.05 and took < 0.5, "took " .. took)
    assert.equal("timeout", select(2, h:wait(0)).code)
    for _, wrong in ipairs { -1, "1", 0 / 0 } do
      misuse("handle:wait: the timeout is", function()
        h:wait(wrong)
      end)
    end
  end)

  it("sees the end that another connection brings about while it waits", function()
    local h = skein.enqueue_in(60, "add")
    local program = os.getenv "SKEIN" or "build/release/skein"
    local other = ("SKEIN_STORE=sqlite:%s/jobs.db %s cancel %s"):format(dir, program, h.id)
    os.execute("(sleep 0.05; " .. other .. " >/dev/null) &")
    local from = skein.now()
    local value, err = h:wait(10)
    assert.same({ nil, "cancelled" }, { value, err.code })
    assert.is_true(skein.now() - from < 2)
  end)

  it("gives a handle for any id, and nil for what the store does not know", function()
    local h = skein.handle "no-such-job"
    assert.is_nil(h:state())
    assert.is_nil(h:info())
    assert.is_nil(h:progress())
    assert.is_nil(h:wait(1))
    local ok, err = h:cancel()
    assert.same({ nil, "not_found" }, { ok, err.code })
    assert.equal("skein job no-such-job", tostring(h))
    local real = skein.enqueue "add"
    assert.equal("ready", skein.handle(real.id):state())
  end)

  it("manages jobs and queues", function()
    local ids = {}
    local signatures = { { task = "a", queue = "q1" }, { task = "b", queue = "q2" }, { task = "b", delay = 60 } }
    for i, h in ipairs(skein.enqueue_many(signatures)) do
      ids[i] = h.id
    end
    local queues = skein.admin.queues()
    local names = {}
    for i, q in ipairs(queues) do names[i] = q.name end
    table.sort(names)
    assert.same({ "default", "q1", "q2" }, names)
    assert.same({ 2, 1 }, { skein.admin.stats().ready, skein.admin.stats().scheduled })
    assert.equal(2, #skein.admin.jobs { task = "b" })
    assert.equal(1, #skein.admin.jobs { limit = 1 })
    assert.equal(ids[1], skein.admin.jobs { queue = "q1" }[1].id)
    assert.is_true(skein.admin.promote(ids[3]))
    assert.equal("ready", skein.admin.job(ids[3]).state)
    assert.equal(2, skein.admin.cancel { task = "b" })
    assert.equal(2, skein.admin.retry { state = "cancelled" })
    assert.is_true(skein.admin.delete(ids[1]))
    local ok, err = skein.admin.delete(ids[1])
    assert.same({ nil, "not_found" }, { ok, err.code })
    assert.is_true(skein.admin.pause "q2")
    for _, q in ipairs(skein.admin.queues()) do assert.equal(q.name == "q2", q.paused) end
    assert.is_true(skein.admin.resume "q2")
  end)

  it("keeps its connection when another can't be opened, and says why", function()
    local ok, err = skein.connect "sqlite:/dev/null/jobs.db"
    assert.is_nil(ok)
    assert.is_string(err.code)
    assert.matches("/dev/null/jobs%.db", tostring(err))
    ok, err = skein.connect "nonsense://x"
    assert.is_nil(ok)
    assert.matches("nonsense", tostring(err))
    assert.equal("ready", assert(skein.enqueue "add"):state())
  end)

  it("uses the store of the environment once it has closed its own", function()
    skein.close()
    skein.close()
    local name = "SKEIN_STORE"
    local ffi = require "ffi"
    ffi.cdef "int setenv(const char *, const char *, int);"
    local before = os.getenv(name)
    ffi.C.setenv(name, "sqlite:" .. dir .. "/other.db", 1)
    local h = skein.enqueue "add"
    ffi.C.setenv(name, before or "", 1)
    assert.equal("ready", h:state())
    assert.is_true(files.exists(dir .. "/other.db"))
  end)

  it("says that its store is gone", function()
    skein.close()
    files.write(dir .. "/jobs.db", ("garbage "):rep(1000))
    local ok, err = skein.connect("sqlite:" .. dir .. "/jobs.db")
    assert.is_nil(ok)
    assert.matches("jobs%.db", tostring(err))
    assert.equal("corrupt", err.code)
  end)

  it("is closed by the collector, and a closed connection says so", function()
    local c = assert(core.client("sqlite:" .. dir .. "/third.db"))
    c:close()
    c:close()
    assert.has_error(function() c:call(core.OP.COUNT, "") end, "this connection is closed")
    for _ = 1, 20 do assert(core.client("sqlite:" .. dir .. "/third.db")) end
    collectgarbage()
    collectgarbage()
    local open = 0
    for _, fd in ipairs(files.list "/proc/self/fd") do
      local target = require("luv").fs_readlink("/proc/self/fd/" .. fd)
      if target and target:find("third.db", 1, true) then open = open + 1 end
    end
    assert.equal(0, open)
  end)
end)
