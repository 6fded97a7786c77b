-- Values in Redis that no client should have written: each costs itself, never a batch, a fetch or an engine.
local H = require "tests.system.harness"

local SCRIPTS = H.skein:match "^(.*)/[^/]*$" .. "/redis"
local STORE_KEYS = { "head", "jobs", "held", "leases", "engines", "queues", "counts", "notes", "done", "dead",
  "cancelled", "kept", "fences",
                     "stops", "logs", "locks", "expires", "bounds", "groups", "lines", "places", "ring", "tokens" }
local QUEUE_KEYS = { "later", "front", "tombstones", "ready:0", "ready:1", "ready:2", "ready:3", "ready:4" }

local function field(tag, value)
  local n, length = #value, ""
  while n > 127 do
    length, n = length .. string.char(n % 128 + 128), math.floor(n / 128)
  end
  return string.char(tag) .. length .. string.char(n) .. value
end

-- A record of task echo; more: its fields behind the args.
local function record(id, queue, more)
  return "S\1" .. field(1, id) .. field(2, "echo") .. field(3, queue) .. field(4, "[7]") .. (more or "")
end

local function value(queue, bytes) return "r2" .. string.char(#queue) .. queue .. "\4echo" .. bytes end

local function connect(t)
  local redis = assert(t.redis:connect())
  assert(redis:call("SELECT", t.db))
  return redis
end

-- Runs a script as a client in another language does: its reply, or nil and the error.
local function run_script(redis, name, queues, ...)
  local keys, arguments = {}, { "", "me", "{skein}:wake", "", "0", #queues }
  for _, key in ipairs(STORE_KEYS) do keys[#keys + 1] = "{skein}:" .. key end
  for _, queue in ipairs(queues) do
    arguments[#arguments + 1] = queue
    for _, key in ipairs(QUEUE_KEYS) do keys[#keys + 1] = "{skein}:" .. key .. ":" .. queue end
  end
  local call = { "EVAL", assert(H.files.read(SCRIPTS .. "/" .. name .. ".lua")), #keys, unpack(keys) }
  for _, list in ipairs { arguments, { ... } } do
    for _, argument in ipairs(list) do call[#call + 1] = argument end
  end
  return redis:call(unpack(call))
end

-- Puts a job where a script would, but as it is.
local function smuggle(redis, queue, id, bytes)
  assert(redis:call("HSET", "{skein}:jobs", id, bytes))
  assert(redis:call("RPUSH", "{skein}:ready:2:" .. queue, id))
  assert(redis:call("HINCRBY", "{skein}:counts", "2:" .. queue, 1))
  if redis:call("HSETNX", "{skein}:queues", queue, "0") == 1 then assert(redis:call("HINCRBY", "{skein}:queues", "",
    1)) end
end

local ECHO = [[
skein.task("echo", { retries = 1, backoff = { 0.01 }, keep = 60 }, function(job, n)
  if job.meta and job.meta.fail then error "on purpose" end
  fx("echo", job.id)
  return n
end)]]

local function dead_one(t, id, why)
  local job = t:wait_state(id, "dead")
  if why then assert.is_truthy(job.error.message:find(why, 1, true), H.encode(job.error)) end
end

-- Nothing runs any more, and no count says otherwise.
local function nothing_runs(t, redis)
  t:wait_for("nothing held", 5, function() return redis:call("EXISTS", "{skein}:held") == 0 end)
  for _, queue in ipairs(t:json "queues") do assert.equal(0, queue.running or queue.states.running, H.encode(queue)) end
end

describe("what another client has put into Redis:", function()
  H.it_on("redis", "scripts refuse ids, queues and values that make no sense, and do nothing", function(t)
    local redis, long = connect(t), ("q"):rep(201)
    assert.equal("1", run_script(redis, "open", {}, "1", "0"))
    local wrong = {
      { "default", "a b", value("default", record("a b", "default")), "id" },
      { "default", "", value("default", record("x", "default")), "id" },
      { "default", ("i"):rep(65), value("default", record("x", "default")), "id" },
      { long, "x", value(long, record("x", long)), "queue" },
      { "my queue", "x", value("my queue", record("x", "my queue")), "queue" },
      { "default", "x", value("other", record("x", "other")), "value" },
      { "default", "x", "r1" .. value("default", ""):sub(3), "value" },
      { "default", "x", "s" .. value("default", ""):sub(2), "value" },
      { "default", "x", "r2\7default\255echo", "value" },
      { "default", "x", "hello", "value" },
      { "default", "x", "", "value" },
    }
    for _, case in ipairs(wrong) do
      local queue, id, bytes, what = unpack(case)
      for _, call in ipairs { { "3", 1, id, bytes }, { "3", 2, "good", value(queue, record("good", queue)), id,
        bytes }, { "3*", 1, id, bytes, "", "" } } do
        local reply, why = run_script(redis, "enqueue", { queue }, "0", unpack(call))
        assert.is_nil(reply)
        assert.is_truthy(tostring(why):find("ERR enqueue: .*" .. what), tostring(why))
      end
    end
    for _, call in ipairs { { "3", 5, "x", value("default", record("x", "default")) }, { "3", -1, "x", "y" } } do
      assert.is_nil((run_script(redis, "enqueue", { "default" }, "0", unpack(call))))
    end
    assert.is_nil((run_script(redis, "pause", { long }, "1")))
    assert.equal(0, redis:call("EXISTS", "{skein}:jobs", "{skein}:queues"))
    redis:close()
  end)

  H.it_on("redis", "a retry_queue that is too long kills its job, with the reason, and holds up no other", function(t)
    local redis = connect(t)
    t:script("a.lua", ECHO)
    assert.equal("1", run_script(redis, "open", {}, "1", "0"))
    local fails = field(5, '{"fail":true}')
    assert.equal("", run_script(redis, "enqueue", { "default" }, "0",
      "3", 1, "toolong", value("default", record("toolong", "default", fails .. field(14, ("r"):rep(201))))))
    assert.equal("", run_script(redis, "enqueue", { "default" }, "0",
      "3", 1, "spaced", value("default", record("spaced", "default", field(14, "slow lane")))))
    assert.equal("", run_script(redis, "enqueue", { "default" }, "0",
      "3", 1, "backoff", value("default", record("backoff", "default", fails .. field(13, "nonsense;1")))))
    local engine = t:run { "-w", "1" }
    for _ = 1, 20 do t:enqueue("echo", 1) end
    t:wait_effects("echo", 20)
    dead_one(t, "toolong", "retry_queue")
    dead_one(t, "spaced", "retry_queue")
    dead_one(t, "backoff", "backoff")
    nothing_runs(t, redis)
    assert.equal(0, engine:stop())
    redis:close()
  end)

  H.it_on("redis", "a callback that no store takes kills its job only", function(t)
    local redis = connect(t)
    t:script("a.lua", ECHO)
    local function u32(n) return string.char(n % 256, math.floor(n / 256), 0, 0) end
    local callback = record("later", ("c"):rep(230))
    assert.equal("1", run_script(redis, "open", {}, "1", "0"))
    assert.equal("", run_script(redis, "enqueue", { "default" }, "0", "3", 1, "calls",
      value("default", record("calls", "default", field(15, u32(#callback) .. callback .. ("\0"):rep(16))))))
    local engine = t:run { "-w", "1" }
    t:enqueue("echo", 1)
    t:wait_effects("echo", 1)
    dead_one(t, "calls")
    nothing_runs(t, redis)
    assert.equal(0, engine:stop())
    redis:close()
  end)

  H.it_on("redis", "queues of names that none may have are passed over by fetches, listings, changes and recovery",
    function(t)
    local redis = connect(t)
    t:script("a.lua", ECHO)
    assert.equal("1", run_script(redis, "open", {}, "1", "0"))
    for _, queue in ipairs { ("q"):rep(201), ("q"):rep(255), ("q"):rep(3000), "my queue", "a\nb" } do
      smuggle(redis, queue, "in-" .. #queue, value(queue:sub(1, 255), record("in-" .. #queue, "x")))
    end
    local engine = t:run { "-w", "1" }
    t:enqueue("echo", 1)
    t:wait_effects("echo", 1)
    engine:wait_log("are not served", 5)
    t:ok("jobs")
    t:ok("queues")
    t:ok("stats")
    t:ok("cancel", "--state", "ready", "--task", "other")
    engine:kill_core()
    t:run { "-w", "1" }
    t:enqueue("echo", 2)
    t:wait_effects("echo", 2)
    redis:close()
  end)

  H.it_on("redis",
    "an id with a space, no id, garbage, a job of another queue: each is dead, the others of its fetch run", function(t)
    local redis = connect(t)
    t:script("a.lua", ECHO)
    assert.equal("1", run_script(redis, "open", {}, "1", "0"))
    local good = 0
    local function add_good()
      good = good + 1
      smuggle(redis, "default", "good-" .. good, value("default", record("good-" .. good, "default")))
    end
    local bad = { ["a b"] = true, [" "] = true, [""] = true, ["x  y"] = true, garbage = "hello", empty = "",
      cut = "r2\200default",
                  stray = value("elsewhere", record("stray", "elsewhere")), done = "d" .. ("\0"):rep(16)
                    .. "2\7default\4echo" .. record("done", "default"),
                  ["sp ace"] = "hello" }
    for id, bytes in pairs(bad) do
      add_good()
      smuggle(redis, "default", id, bytes == true and value("default", record("x", "default")) or bytes)
      add_good()
    end
    redis:call("RPUSH", "{skein}:ready:2:default", "nobody") -- there is no such job
    redis:call("HINCRBY", "{skein}:counts", "2:default", 1)
    add_good()
    local engine = t:run { "-w", "1" }
    t:wait_effects("echo", good)
    for id in pairs(bad) do
      t:wait_for("the death of " .. id, 5, function() return (redis:call("HGET", "{skein}:jobs", id)):sub(1,
        1) == "x" end)
    end
    nothing_runs(t, redis)
    assert.equal(10, redis:call("ZCARD", "{skein}:dead"))
    assert.equal("10", redis:call("HGET", "{skein}:counts", "6:default"))
    t:ok("jobs", "--state", "dead")
    t:ok("delete", "--state", "dead")
    assert.equal(0, redis:call("ZCARD", "{skein}:dead"))
    assert.equal(0, engine:stop())
    redis:close()
  end)

  H.it_on("redis", "an engine that died over such jobs is recovered from, and others start", function(t)
    local redis = connect(t)
    t:config '{ lease = "1s" }'
    t:script("a.lua", ECHO)
    t:enqueue("echo", 1)
    local function hold(id, bytes, fence)
      redis:call("HSET", "{skein}:jobs", id, bytes)
      redis:call("HSET", "{skein}:held", id, fence)
      redis:call("HSET", "{skein}:fences", fence, "1 GONE", fence .. ":ids", id, fence .. ":left", 1)
      redis:call("HINCRBY", "{skein}:counts", "3:default", 1)
    end
    hold("stray", value("elsewhere", record("stray", "elsewhere")), 1)
    hold("garbage", "hello", 2)
    hold("cut", "r2\200default", 3)
    redis:call("HSET", "{skein}:head", "fence", 3)
    redis:call("ZADD", "{skein}:leases", 1, "GONE")
    redis:call("HSET", "{skein}:engines", "GONE", "nonsense") -- not "mark lease process"
    redis:call("CONFIG", "RESETSTAT")
    local engine = t:run { "-w", "1" }
    t:wait_effects("echo", 2) -- the job of a queue that nobody knew, too
    for _, id in ipairs { "garbage", "cut" } do
      t:wait_for("the death of " .. id, 5, function() return (redis:call("HGET", "{skein}:jobs", id)):sub(1,
        1) == "x" end)
    end
    t:wait_for("nothing held", 5, function() return redis:call("EXISTS", "{skein}:held") == 0 end)
    assert.is_true(tonumber(t.redis:info "total_commands_processed") < 2000)
    assert.equal(0, engine:stop())
    redis:close()
  end)
end)
