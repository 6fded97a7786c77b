-- Faults that only Redis has: it is killed, restarted with and without its data, hangs without closing, and refuses in
-- all its ways.
local H = require "tests.system.harness"

local uv = require "luv"
local wait, process = H.wait, H.process

-- Starts the test's own redis-server (again) on the socket redis.sock in its directory; returns its process once it
-- answers.
local function start_redis(t, args)
  local argv = { "--port", "0", "--unixsocket", t.dir .. "/redis.sock", "--dir", t.dir, "--save", "", "--loglevel",
    "warning" }
  for _, arg in ipairs(args or {}) do argv[#argv + 1] = arg end
  t.redis = process.start("redis-server", { args = argv, env = uv.os_environ(), cwd = t.dir, name = "redis-server" })
  t.children[#t.children + 1] = t.redis
  local ok = wait.poll(5, function() return t:redis_cli("ping"):find "PONG" end)
  if not ok then error("redis-server does not answer: " .. t.redis.stdout .. t.redis.stderr, 0) end
  return t.redis
end

-- What redis-cli prints.
local function redis_cli(t, ...) return t:cli({ "-s", t.dir .. "/redis.sock", ... }, { program = "redis-cli" }).out end

-- A test with a redis-server of its own, which it may stop, freeze and misconfigure.
local function it_alone(name, fn)
  H.it_on("redis", name, function(t)
    t.start_redis, t.redis_cli = start_redis, redis_cli
    t:start_redis()
    t.url = "redis+unix://" .. t.dir .. "/redis.sock"
    t.env.SKEIN_STORE = t.url
    fn(t)
  end)
end

-- plan(n) enqueues n jobs `note`, each with its number, a batch at a time, until they are all taken.
local NOTES = [[
skein.task("note", { keep = 0 }, function(_, n) fx("note", n) end)
skein.task("slow", { keep = 0 }, function(_, n) skein.sleep(0.05) fx("note", n) end)
skein.task("plan", { keep = 0, priority = 2, retries = 50, backoff = { 0.1 } }, function(_, n, task)
  for from = 1, n, 100 do
    local sigs = {}
    for i = from, math.min(n, from + 99) do sigs[#sigs + 1] = { task = task, args = { i } } end
    assert(skein.enqueue_many(sigs))
  end
  fx("planned", n)
end) ]]

local function distinct(effects)
  local seen, n = {}, 0
  for _, f in ipairs(effects) do
    if not seen[f[1]] then seen[f[1]] = true n = n + 1 end
  end
  return n
end

local function stop_redis(t)
  t.redis:stop_hard()
end

local function empty(t) return #t:json "jobs" == 0 end

-- All keys but those that every store has.
local function keys_left(t)
  local left = {}
  for key in t:redis_cli("--scan"):gmatch "[^\n]+" do
    local name = key:match "^{skein}:(.*)$"
    if not ({ head = 1, queues = 1, counts = 1, tasks = 1, templates = 1, leases = 1,
      engines = 1 })[name] then left[#left + 1] = key end
  end
  return table.concat(left, " ")
end

describe("Redis", function()
  it_alone("leaves no key behind but counters, and says in CLIENT LIST who we are", function(t)
    t:script("a.lua", NOTES)
    local engine = t:run { "-w", "1" }
    t:enqueue("plan", 500, "note")
    t:wait_effects("note", 500)
    t:wait_for("an empty store", 5, function() return empty(t) end)
    assert.is_truthy(t:redis_cli("client", "list"):find("name=skein", 1, true))
    assert.equal(0, engine:stop())
    assert.equal("", keys_left(t))
    assert.equal("", (t:redis_cli("hgetall", "{skein}:engines"):gsub("%s", "")))
  end)

  it_alone("nor does it leave one of locks, groups, throttles and buckets", function(t)
    t:config '{ lease = "1s" }'
    t:script("a.lua", [[
      local skein = require "skein"
      skein.task("slots", { limit = { concurrency = 2, key = 1 } }, function() fx("ran") end)
      skein.task("strict", { limit = { key = 1, order = "strict" }, backoff = { 0.02 } }, function(job)
        if job.attempt == 1 then error "again" end
        fx("ran")
      end)
      skein.task("rate", { limit = { rate = 100, burst = 20 } }, function() fx("ran") end)
      skein.task("unique", { unique = { key = 1, on_conflict = "replace" } }, function() fx("unique") end)
      skein.task("seldom", { throttle = 0.3 }, function() fx("seldom") end)
      skein.task("late", { debounce = 0.1 }, function() fx("late") end)
      skein.task("plan", function()
        for n = 1, 100 do
          for _, task in ipairs { "slots", "strict", "rate" } do assert(skein.enqueue(task, n % 10)) end
          assert(skein.enqueue("unique", n % 7))
          skein.enqueue("seldom", n)
          assert(skein.enqueue("late", n))
        end
      end)]])
    local engine = t:run { "-w", "1" }
    t:enqueue "plan"
    t:wait_effects("ran", 300)
    t:wait_effects("late", 1)
    t:wait_for("nothing left but counters", 10, function() return empty(t) and keys_left(t) == "" end)
    assert.equal(300, t:count "ran")
    assert.equal(0, engine:stop())
    assert.equal("", keys_left(t))
  end)

  it_alone("an idle engine asks less than once a second", function(t)
    t:script("a.lua", NOTES)
    t:run { "-w", "1" }
    t:enqueue("note", 1)
    t:wait_effects("note", 1)
    t:redis_cli("config", "resetstat")
    local from = wait.seconds()
    wait.poll(4, function() return false end)
    local calls = tonumber(t:redis_cli("info", "commandstats"):match "cmdstat_evalsha:calls=(%d+)" or 0)
    local a_second = calls / (wait.seconds() - from)
    H.say("%.2f scripts a second", a_second)
    assert.is_true(a_second < 1)
  end)

  it_alone("two applications share a server under prefixes", function(t)
    t:script("a.lua", NOTES)
    local url = t.url
    t.env.SKEIN_STORE = url .. "?prefix=one"
    t:enqueue("note", 1)
    t.env.SKEIN_STORE = url .. "?prefix=two"
    t:enqueue("note", 2)
    assert.equal(0, (t:drain {}))
    assert.same({ { "2" } }, t:effects "note")
    t.env.SKEIN_STORE = url .. "?prefix=one"
    assert.equal(1, #t:json "jobs")
  end)

  it_alone("a wrong URL, password or database is said without the password", function(t)
    local function refused(url, pattern, code)
      local result = t:cli { "stats", "-s", url }
      assert.equal(code, result.code, result.err)
      assert.is_truthy(result.err:find(pattern), result.err)
      assert.is_nil(result.err:find("hunter2", 1, true))
    end
    refused(t.url .. "?prefix=a%20b", 'prefix "a b": expected', 78)
    refused(t.url .. "?perfix=a", 'parameter "perfix": expected prefix', 78)
    refused(t.url .. "?db=x", 'db "x": expected a number', 78)
    refused(t.url .. "?db=99", "SELECT: ERR DB index is out of range", 69)
    refused("redis://:hunter2@127.0.0.1:1/0", "127.0.0.1:1: [Cc]onnection refused", 69)
    refused("redis://host.invalid", "host.invalid", 69)
    t:redis_cli("config", "set", "requirepass", "secret")
    refused(t.url, "NOAUTH", 69)
  end)

  it_alone("a policy that throws keys away is warned of", function(t)
    t:script("a.lua", NOTES)
    t:redis_cli("config", "set", "maxmemory-policy", "allkeys-lru")
    t:run():wait_log 'maxmemory%-policy is "allkeys%-lru"'
  end)
end)

describe("an outage of Redis:", function()
  -- An engine in the middle of 3,000 jobs, on a server whose file survives kill -9.
  local function loaded(t, n)
    stop_redis(t)
    t:start_redis { "--appendonly", "yes", "--appendfsync", "always" }
    t.env.SKEIN_STORE = t.url .. "?timeout=1"
    t:script("a.lua", NOTES)
    local engine = t:run { "-w", "2", "-c", "20" }
    t:enqueue("plan", n, "slow", { flags = { "--queue", "default" } })
    t:wait_effects("planned", 1)
    t:wait_effects("note", 20)
    return engine
  end

  local function all_done(t, engine, n)
    t:wait_for("an empty store", 30, function()
      local result = t:cli { "jobs", "--json" }
      return result.code == 0 and result.out:find "^%s*%[%s*%]"
    end)
    local notes = t:effects "note"
    H.say("%d jobs: %d ran, %d ran twice; %d lines of warnings and errors", n, distinct(notes),
      #notes - distinct(notes),
      #engine:logged " WARN " + #engine:logged " ERROR ")
    assert.equal(n, distinct(notes))
    assert.equal(0, t:counters().dead)
    assert.equal("0", (t:redis_cli("hlen", "{skein}:held"):gsub("%s", "")))
  end

  it_alone("killed and restarted 10 times under load with its data: every job runs", function(t)
    local engine = loaded(t, 2000)
    for i = 1, 10 do
      local so_far = t:count "note"
      stop_redis(t)
      wait.poll(0.05 * i, function() return false end)
      t:start_redis { "--appendonly", "yes", "--appendfsync", "always" }
      t:wait_for("progress", 10, function() return t:count "note" > so_far + 20 or t:count "note" >= 2000 end)
    end
    all_done(t, engine, 2000)
    assert.is_true(#engine:logged "store: .* failed" <= 12)
  end)

  it_alone("away for 5 s: said once, what finished meanwhile is settled, and no second is lost", function(t)
    local engine = loaded(t, 1000)
    stop_redis(t)
    wait.poll(5, function() return false end)
    local cpu = H.process.stat(engine.child.pid)
    assert.is_truthy(cpu)
    t:start_redis { "--appendonly", "yes", "--appendfsync", "always" }
    local back = wait.seconds()
    engine:wait_log("store: works again", 7)
    H.say("works again %.2f s after the server", wait.seconds() - back)
    all_done(t, engine, 1000)
    assert.is_true(#engine:logged "store: .* failed" <= 2) -- a second time when the server answers LOADING in between
  end)

  it_alone("a client's enqueue says so within its timeout", function(t)
    t:enqueue("note", 1)
    t.redis:signal_with "sigstop"
    local from = wait.seconds()
    local result = t:cli { "enqueue", "note", "1" }
    local took = wait.seconds() - from
    t.redis:signal_with "sigcont"
    assert.equal(69, result.code)
    assert.is_truthy(result.err:find "no answer within")
    assert.is_true(took < 7, "took " .. took)
  end)

  it_alone("hanging for 4 s without closing: noticed by the timeout, every job runs", function(t)
    local engine = loaded(t, 1000)
    t.redis:signal_with "sigstop"
    engine:wait_log("no answer within 1.0 s", 5)
    wait.poll(3, function() return false end)
    t.redis:signal_with "sigcont"
    all_done(t, engine, 1000)
  end)

  it_alone("restarted without its data: the engine goes on with what comes", function(t)
    t:script("a.lua", NOTES)
    local engine = t:run { "-w", "1" }
    t:enqueue("note", 1)
    t:wait_effects("note", 1)
    stop_redis(t)
    t:start_redis()
    t:wait_for("an enqueue", 10, function() return t:cli({ "enqueue", "note", "2" }).code == 0 end)
    t:wait_effects("note", 2, 10)
    assert.equal(0, engine:stop())
  end)

  it_alone("SCRIPT FLUSH in between goes unnoticed", function(t)
    t:script("a.lua", NOTES)
    local engine = t:run { "-w", "1" }
    for i = 1, 5 do
      t:redis_cli("script", "flush")
      t:enqueue("note", i)
      t:wait_effects("note", i)
    end
    assert.equal(0, #engine:logged " ERROR ")
  end)

  it_alone("out of memory: enqueue is refused, but what is there is worked off", function(t)
    t:script("a.lua", NOTES)
    t:run { "-w", "1" }
    t:cli { "pause", "default" }
    t:enqueue("plan", 1000, "note", { flags = { "--queue", "other" } })
    t:wait_effects("planned", 1)
    t:redis_cli("config", "set", "maxmemory", "1")
    local result = t:cli { "enqueue", "note", "0" }
    assert.equal(69, result.code)
    assert.is_truthy(result.err:find "OOM")
    t:ok("resume", "default")
    t:wait_effects("note", 1000, 10)
    t:wait_for("an empty store", 5, function() return t:redis_cli("hlen", "{skein}:jobs"):find "^0" end)
    t:redis_cli("config", "set", "maxmemory", "0")
    t:enqueue("note", 1001)
    t:wait_effects("note", 1001, 10)
  end)

  -- Its group would be moved first, since its token is there now.
  it_alone("out of memory: a job with a limit is refused too", function(t)
    t:script("a.lua", NOTES)
    t:run { "-w", "1" }
    t:ok("pause", "other")
    local function enqueue(queue, n)
      return t:client(([[
        local skein = require "skein"
        local h, err = skein.enqueue { task = "note", args = { %d }, queue = "%s",
          limit = { rate = 1, per = 1, key = "k" } }
        print(h and h.id or err.message)]]):format(n, queue)).out:gsub("\n$", "")
    end
    local waiting = enqueue("other", 2)
    enqueue("default", 1)
    t:wait_effects("note", 1)
    t:wait_for("its token", 10, function() return t:job(waiting).held_back == H.null end)
    t:redis_cli("config", "set", "maxmemory", "1")
    assert.matches("OOM", enqueue("other", 3))
    t:ok("resume", "other")
    t:wait_effects("note", 2, 10)
  end)

  it_alone("out of memory: what is kept is kept", function(t)
    t:script("a.lua", NOTES .. [[ skein.task("result", { keep = 60 }, function(_, n) fx("note", n) return n end) ]])
    t:run { "-w", "1" }
    t:cli { "pause", "default" }
    t:enqueue("plan", 500, "result", { flags = { "--queue", "other" } })
    t:wait_effects("planned", 1)
    t:redis_cli("config", "set", "maxmemory", "1")
    t:ok("resume", "default")
    t:wait_effects("note", 500, 10)
    t:wait_for("500 results", 5, function() return t:redis_cli("zcard", "{skein}:kept"):find "^500" end)
    assert.matches("^500", t:redis_cli("zcard", "{skein}:done"))
    assert.matches("^0", t:redis_cli("hlen", "{skein}:held"))
  end)

  it_alone("a job that somebody has deleted while it ran leaves nothing, and the others of its batch their results",
    function(t)
    t:script("a.lua", t:released() .. [[
      skein.task("result", { keep = 60 }, function(job, n)
        fx("started", n)
        job:log("started")
        released "all"
        return n
      end) ]])
    t:run { "-w", "1" }
    local ids = {}
    for i = 1, 5 do ids[i] = t:enqueue("result", i) end
    t:wait_effects("started", 5)
    t:wait_for("their logs", 5, function() return t:redis_cli("hlen", "{skein}:logs"):find "^5" end)
    assert.matches("^1", t:redis_cli("hdel", "{skein}:jobs", ids[3]))
    t:release "all"
    t:wait_for("no job that runs", 5, function() return t:redis_cli("hlen", "{skein}:held"):find "^0" end)
    assert.equal(5, t:counters().done)
    for _, key in ipairs { "done", "kept" } do assert.matches("^4", t:redis_cli("zcard", "{skein}:" .. key)) end
    assert.matches("^4", t:redis_cli("hlen", "{skein}:jobs"))
    assert.matches("^0", t:redis_cli("exists", "{skein}:logs"))
    for i = 1, 5 do
      if i ~= 3 then assert.equal(i, t:job(ids[i]).result) end
    end
  end)

  it_alone("full while many jobs come at once (OOM): none of a batch is half in", function(t)
    t:script("a.lua", NOTES)
    t:redis_cli("config", "set", "maxmemory", "1")
    local refused = t:client([[
      local skein = require "skein"
      local sigs = {}
      for i = 1, 1000 do sigs[i] = { task = "note", args = { i } } end
      local hs, err = skein.enqueue_many(sigs)
      print(hs, err.code, err.added, (err.message:match "OOM"))]])
    assert.equal("nil\tunavailable\t0\tOOM\n", refused.out)
    assert.matches("^0", t:redis_cli("hlen", "{skein}:jobs"))
    t:redis_cli("config", "set", "maxmemory", "0")
    t:redis_cli("config", "resetstat")
    t:client [[
      local skein = require "skein"
      local sigs = {}
      for i = 1, 1000 do sigs[i] = { task = "note", args = { i } } end
      assert(#skein.enqueue_many(sigs) == 1000)]]
    -- four parts, and one to try whether it may
    assert.matches("cmdstat_exec:calls=5,", t:redis_cli("info", "commandstats"))
    assert.matches("^1000", t:redis_cli("hlen", "{skein}:jobs"))
    t:drain({ "-w", "1", "-q", "default" }, 20)
    t:wait_effects("note", 1000)
    assert.matches("^0", t:redis_cli("hlen", "{skein}:jobs"))
  end)

  it_alone("a replica for a while (READONLY): ridden out", function(t)
    local engine = loaded(t, 1000)
    t:redis_cli("replicaof", "127.0.0.1", "1")
    engine:wait_log("READONLY", 5)
    wait.poll(1, function() return false end)
    t:redis_cli("replicaof", "no", "one")
    all_done(t, engine, 1000)
  end)

  it_alone("busy with another's script (BUSY): ridden out", function(t)
    local engine = loaded(t, 1000)
    t:redis_cli("config", "set", "busy-reply-threshold", "20")
    local other = t:start({ "-s", t.dir .. "/redis.sock", "eval", "while true do end", "0" }, { program = "redis-cli" })
    engine:wait_log("BUSY", 5)
    wait.poll(1, function() return false end)
    t:redis_cli("script", "kill")
    other:wait(5)
    all_done(t, engine, 1000)
  end)

  it_alone("reading its file for a while (LOADING): ridden out", function(t)
    local engine = loaded(t, 1000)
    stop_redis(t)
    t.redis = H.process.start("redis-server", { args = { "--port", "0", "--unixsocket", t.dir .. "/redis.sock",
      "--dir", t.dir, "--save", "",
      "--appendonly", "yes", "--appendfsync", "always", "--key-load-delay", "1000",
        "--loading-process-events-interval-bytes", "1024" },
      env = uv.os_environ(), cwd = t.dir, name = "redis-server" })
    t.children[#t.children + 1] = t.redis
    all_done(t, engine, 1000)
  end)

  it_alone("an engine frozen past its lease: its jobs run elsewhere, and what it settles late changes nothing",
    function(t)
    t:config "{ lease = 1 }"
    t:script("a.lua", t:released() .. [[ skein.task("hold", { keep = 60 }, function(job)
      fx("start", pid)
      released("all")
      return pid
    end)]])
    local frozen = t:run { "-w", "1" }
    local workers = frozen:workers()
    local id = t:enqueue "hold"
    t:wait_effects("start", 1)
    frozen:signal "sigstop"
    t:run { "-w", "1" }
    t:wait_effects("start", 2, 5)
    frozen:signal "sigcont"
    t:release "all"
    frozen:wait_log("this engine's lease had ended", 5)
    local job = t:wait_state(id, "done", 5)
    assert.is_true(tostring(job.result) ~= tostring(workers[1]))
    frozen:wait_log("was given to another engine", 5)
    assert.equal(1, t:counters().recovered)
    assert.equal(1, t:counters().done)
  end)

  it_alone("an engine killed with -9: another one of the machine takes its jobs over at its next beat", function(t)
    t:script("a.lua", t:released() .. [[ skein.task("hold", { keep = 0 }, function()
      fx("start", pid)
      released("all")
    end)]])
    local first = t:run { "-w", "1" }
    t:enqueue "hold"
    t:wait_effects("start", 1)
    first:kill_core()
    local from = wait.seconds()
    t:run { "-w", "1" }
    t:wait_effects("start", 2, 5)
    H.say("running again after %.2f s", wait.seconds() - from)
    assert.equal(1, t:counters().recovered)
    t:release "all"
    t:wait_for("an empty store", 5, function() return empty(t) end)
  end)
end)
