-- `skein enqueue` and what the commands say of jobs with a lock, a limit or meta: flags, refusals, exit codes.
local H = require "tests.system.harness"

local SCRIPT = [[
  skein.queue("few", { max_len = 1, limit = { rate = 9, per = 2 } })
  skein.task("keyed", { unique = { key = function(x) return x end }, limit = { concurrency = 1, key = function(x) return x end } },
    function() end)
  skein.task("rarely", { throttle = 60 }, function() end)
  skein.task("plain", { keep = 60 }, function(job) return job.meta end)
  skein.task("parent", { pass_meta = { "tenant" } }, function(job) return skein.enqueue("plain"):wait(5) end)
  skein.task("one", { limit = { concurrency = 1 } }, function(_, file)
    while file and not io.open(file) do skein.sleep(0.01) end
  end)
  skein.task("slowly", { limit = { rate = 1, per = 3600 } }, function() end)]]

local function refused(t, exit_code, pattern, ...)
  local result = t:cli { "enqueue", ... }
  assert.equal(exit_code, result.code, result.err)
  assert.matches(pattern, result.err)
  assert.equal("", result.out)
end

describe("skein enqueue", function()
  H.it("passes meta, with what the task marks of it", function(t)
    t:script("a.lua", SCRIPT)
    t:run { "-w", "1" }
    local passed = t:json("enqueue", "parent", "--meta", '{"tenant": "a", "other": [1, 2]} ', "--wait")
    assert.same({ tenant = "a" }, passed.result)
    assert.same({ tenant = "a", other = { 1, 2 } }, passed.meta) -- nothing of Skein's own in it
    assert.matches('\nmeta        {"tenant":"a","other":%[1, 2%]}\n', t:ok("job", passed.id))
    assert.same({}, t:json("enqueue", "parent", "--meta", " {} ", "--wait").meta)
    assert.equal(1, t:json("enqueue", "plain", "--meta", '{"n":1}', "--wait").result.n)
    refused(t, 64, "%-%-meta '%[1%]': expected a JSON object", "plain", "--meta", "[1]")
    refused(t, 64, "%-%-meta '{': JSON ends at byte 1", "plain", "--meta", "{")
    refused(t, 64, "%-%-meta '': ", "plain", "--meta", "")
    refused(t, 64, "the key _pass is Skein's own", "plain", "--meta", '{"_pass":["a"]}')
    refused(t, 64, "meta: 65545 bytes of JSON, expected at most 65536", "plain", "--meta", ('{"a":"%s"}'):format(("x"):rep(65537)))
  end)

  H.it("takes keys in place of those that a function of the script makes", function(t)
    t:script("a.lua", SCRIPT)
    t:run { "-w", "1" }
    refused(t, 64, "task keyed makes the key of its unique with a function .*%-%-unique KEY", "keyed", "1")
    refused(t, 64, "task keyed makes the key of its limit with a function .*%-%-limit%-key KEY", "keyed", "1", "--unique", "k")
    local id = t:ok("enqueue", "keyed", "1", "--unique", "k", "--limit-key", "l", "--in", "1h")
    refused(t, 1, "job " .. id .. " has the same unique key: nothing was added", "keyed", "2", "--unique", "k", "--limit-key", "l")
    t:ok("enqueue", "keyed", "2", "--unique", "other", "--limit-key", "l", "--in", "1h")
    id = t:ok("enqueue", "plain", "--unique", "k", "--in", "1h") -- another task's key
    refused(t, 1, "job " .. id .. " has the same unique key", "plain", "--unique", "k")
    t:ok("cancel", id)
    t:ok("enqueue", "plain", "--unique", "k")
    refused(t, 64, '%-%-unique "": expected a key of 1 byte or more', "plain", "--unique", "")
    refused(t, 64, '%-%-limit%-key "": expected a key', "plain", "--limit-key", "")
  end)

  H.it("says why nothing was added", function(t)
    t:script("a.lua", SCRIPT)
    t:run { "-w", "1", "-q", "default" }
    local id = t:ok("enqueue", "rarely", "1")
    refused(t, 1, "throttled: job " .. id .. " was added less than 60 s ago: nothing was added", "rarely", "1")
    t:ok("enqueue", "plain", "-q", "few")
    refused(t, 1, "queue few is full", "plain", "-q", "few")
    assert.matches("few .*max_len 1 reject, rate 9 per 2 s", t:ok "queues")
    local bounds = {}
    for _, queue in ipairs(t:json "queues") do bounds[queue.name] = { queue.max_len, queue.overflow } end
    assert.same({ few = { 1, "reject" }, default = { H.null, H.null } }, bounds)
    assert.matches("exit code 1 when .*\nnothing was added", t:ok("enqueue", "--help"))
  end)
end)

describe("skein job", function()
  H.it("says what holds a job back, and tells its trail in parts", function(t)
    t:script("a.lua", SCRIPT)
    t:run { "-w", "1" }
    t:wait_state(t:enqueue("one", t.effects_dir .. "/release-one"), "running")
    local held = t:enqueue "one"
    assert.equal("concurrency", t:wait_for("it is held back", 5, function()
      local why = t:job(held).held_back
      return why ~= H.null and why
    end))
    assert.matches("\nheld back   by a concurrency\n", t:ok("job", held))
    t:enqueue "slowly"
    local slow = t:enqueue "slowly"
    t:wait_for("it is held back", 5, function() return t:job(slow).held_back == "rate" end)
    t:release "one"
    t:wait_for("it is over", 5, function() return not t:find(held) end)
    local done = t:wait_state(t:enqueue "plain", "done")
    assert.equal(H.null, done.held_back)
    assert.equal("started", done.trail[1].event)
    assert.matches("^engine=%w+ worker=1 attempt=1$", done.trail[1].detail)
  end)
end)
