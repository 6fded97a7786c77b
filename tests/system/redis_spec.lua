-- What only a store that engines share can show: several engines at once, engines that die, freeze or lose their
-- network, a slow Redis, what it costs to be idle, and that nothing grows.  `make system T=redis
-- SKEIN_TEST_STORE=redis`.
local H = require "tests.system.harness"

local process, wait = H.process, H.wait

-- A client program that enqueues n jobs of a task, each with its number, in batches.
local FILL = [[
local skein = require "skein"
local task, n, payload = %q, %d, ("x"):rep(%d)
for first = 1, n, 1000 do
  local sigs = {}
  for i = first, math.min(first + 999, n) do sigs[#sigs + 1] = { task = task,
    args = { i, payload ~= "" and payload or nil } } end
  assert(skein.enqueue_many(sigs))
end]]

local function fill(t, task, n, payload_bytes)
  local result = t:client(FILL:format(task, n, payload_bytes or 0), { timeout = 60 })
  if result.code ~= 0 then error(result.out .. result.err, 2) end
end

local function distinct(effects, field)
  local seen, n = {}, 0
  for _, f in ipairs(effects) do
    if not seen[f[field]] then seen[f[field]], n = true, n + 1 end
  end
  return n, seen
end

local function wait_empty(t, timeout_s)
  t:wait_for("an empty store", timeout_s or 10, function() return #t:json "jobs" == 0 end)
end

-- A task that says when it starts and ends, and waits in between until it is released (by the name "all").
local function hold_task(t, options)
  return t:released() .. ([[ffi.cdef "int getppid(void);" local core = ffi.C.getppid()
    skein.task("hold", { retries = 0%s }, function(job, n)
      fx("start", n, core, skein.now())
      released("all")
      fx("end", n, core)
    end) skein.task("ping", function(job, n) fx("ping", n, core) end)]]):format(options or ""):gsub("\n%s*", " ")
end

local function started_by(t, core)
  local n = 0
  for _, f in ipairs(t:effects "start") do
    if f[2] == tostring(core) then n = n + 1 end
  end
  return n
end

describe("engines that share a Redis", function()
  H.it_on("redis", "never run a job twice while all is well: 20,000 jobs, three engines", function(t)
    t:script("a.lua", [[ffi.cdef "int getppid(void);" local core = ffi.C.getppid()
      skein.task("note", { retries = 0 }, function(job, n) fx("note", n, core) if n % 10 == 0 then skein.sleep(0.005)
        end end)]])
    for _ = 1, 3 do t:run { "-w", "1", "-c", "20" } end
    fill(t, "note", 20000)
    local notes = t:wait_effects("note", 20000, 60)
    wait_empty(t)
    assert.equal(20000, t:count "note")
    assert.equal(20000, (distinct(notes, 1)))
    local engines = distinct(t:effects "note", 2)
    H.say("%d engines had a share", engines)
    assert.equal(3, engines)
    assert.equal(20000, t:counters().done)
  end)

  H.it_on("redis", "come and go while 100,000 jobs wait: each job runs once", function(t)
    local JOBS = 100000
    t:script("a.lua", [[skein.task("note", { retries = 0 }, function(job, n) fx("note", n) end)]])
    fill(t, "note", JOBS)
    assert.equal(JOBS, t:json("stats").states.ready)
    local args, engines = { "-w", "1", "-c", "50" }, {}
    local function some_more()
      local target = math.min(JOBS, t:count "note" + 4000)
      t:wait_for("progress", 30, function() return t:count "note" >= target end)
    end
    for round = 1, 9 do
      if #engines == 3 then assert.equal(0, table.remove(engines, 1):stop()) end
      engines[#engines + 1] = t:run(args)
      if round < 9 then some_more() end
    end
    t:wait_effects("note", JOBS, 120)
    wait_empty(t)
    assert.equal(JOBS, t:count "note")
    assert.equal(JOBS, (distinct(t:effects "note", 1)))
    for _, engine in ipairs(engines) do assert.equal(0, engine:stop()) end
  end)

  H.it_on("redis", "start a job that another process enqueued within 20 ms", function(t)
    t:script("a.lua", [[skein.task("at", function(job, sent) fx("at", skein.now() - sent) end)]])
    t:run { "-w", "1" }
    local result = t:client([[
      local skein = require "skein"
      local ffi = require "ffi" ffi.cdef "int poll(void *, unsigned long, int);"
      for i = 1, 50 do assert(skein.enqueue({ task = "at", queue = "default" }, skein.now())) ffi.C.poll(nil, 0, 20)
        end]])
    assert.equal(0, result.code, result.err)
    local waits = {}
    for _, f in ipairs(t:wait_effects("at", 50)) do waits[#waits + 1] = tonumber(f[1]) end
    H.say("enqueue to start: p50 %.2f ms, p95 %.2f ms", H.percentile(waits, 0.5) * 1000,
      H.percentile(waits, 0.95) * 1000)
    assert.is_true(H.percentile(waits, 0.95) < 0.02)
  end)
end)

describe("an engine's jobs run elsewhere", function()
  H.it_on("redis", "at once when it was killed and is started again on the same machine", function(t)
    t:script("a.lua", hold_task(t))
    local engine = t:run { "-w", "1", "-c", "50" }
    fill(t, "hold", 50)
    t:wait_effects("start", 50)
    engine:kill_core()
    local at = H.now()
    local heir = t:run { "-w", "1", "-c", "50" }
    t:wait_effects("start", 100, 5)
    H.say("all run again %.0f ms after the kill", (H.now() - at) * 1000)
    assert.equal(50, started_by(t, heir.child.pid))
    t:release "all"
    wait_empty(t)
    assert.equal(50, (distinct(t:effects "end", 1)))
    assert.equal(50, t:counters().done)
    assert.equal(50, t:counters().recovered)
  end)

  H.it_on("redis", "soon when it was killed and another one runs on the same machine", function(t)
    t:config '{ lease = "3s" }'
    t:script("a.lua", hold_task(t))
    local engine = t:run { "-w", "1", "-c", "50" }
    fill(t, "hold", 20)
    t:wait_effects("start", 20)
    local heir = t:run { "-w", "1", "-c", "50" }
    engine:kill_core()
    local at = H.now()
    t:wait_effects("start", 40, 6)
    H.say("all run again %.2f s after the kill, with a lease of 3 s", H.now() - at)
    assert.equal(20, started_by(t, heir.child.pid))
    t:release "all"
    wait_empty(t)
    assert.equal(20, t:counters().done)
  end)

  -- The engine is away for longer than its lease and comes back; meanwhile `heir` has its jobs.
  local function away_and_back(t, begin, finish)
    t:config '{ lease = "1s" }'
    t:script("a.lua", hold_task(t))
    local engine = begin.engine(t)
    fill(t, "hold", 30)
    t:wait_effects("start", 30)
    assert.equal(30, started_by(t, engine.child.pid))
    local heir = t:run { "-w", "1", "-c", "50" }
    begin.away(t, engine)
    local at = H.now()
    t:wait_effects("start", 60, 10)
    H.say("all run elsewhere after %.2f s, with a lease of 1 s", H.now() - at)
    assert.is_true(H.now() - at < 3)
    assert.equal(30, started_by(t, heir.child.pid))
    -- Both have them now.  The first one's settles come late.
    t:release "all"
    t:wait_for("the heir's ends", 5, function() return distinct(t:effects "end", 1) == 30 end)
    wait_empty(t)
    assert.equal(30, t:counters().done)
    finish(t, engine)
    t:wait_effects("end", 60, 10)
    t:wait_for("word of 30 late settles", 10,
      function() return #engine:logged "was given to another engine meanwhile" == 30 end)
    assert.equal(30, t:counters().done)
    assert.equal(30, t:counters().recovered)
    -- It is an engine like any other again.
    assert.equal(0, heir:stop())
    t:enqueue("ping", 1)
    assert.equal(tostring(engine.child.pid), t:wait_effects("ping", 1, 10)[1][2])
    wait_empty(t)
    assert.equal(31, t:counters().done)
    assert.equal(0, engine:stop())
  end

  H.it_on("redis", "after its lease when it is frozen; when it is continued its late settles change nothing",
    function(t)
    away_and_back(t, {
      engine = function() return t:run { "-w", "1", "-c", "50" } end,
      away = function(_, engine)
        for _, pid in ipairs(engine:workers()) do process.signal(pid, "sigstop") end
        engine:signal "sigstop"
      end,
    }, function(_, engine)
      engine:signal "sigcont"
      for _, pid in ipairs(engine:workers()) do process.signal(pid, "sigcont") end
    end)
  end)

  for _, how in ipairs { "swallows bytes without closing", "cuts its connections" } do
    H.it_on("redis", "after its lease when the network " .. how .. "; afterwards its late settles change nothing",
      function(t)
      local network
      away_and_back(t, {
        engine = function()
          network = t:proxy()
          local direct = t.url
          t:use(network:url(t.db))
          local engine = t:run { "-w", "1", "-c", "50" }
          t:use(direct)
          return engine
        end,
        away = function()
          if how:find "swallows" then
            network:swallow()
          else
            network:refuse()
          end
        end,
      }, function()
        network:pass()
      end)
    end)
  end
end)

describe("a slow Redis", function()
  local JOBS = 6000

  local function rate(t, network, delay_ms)
    network:delay(delay_ms)
    local before, from = t:count "note", H.now()
    fill(t, "note", JOBS)
    t:wait_effects("note", before + JOBS, 60)
    return JOBS / (H.now() - from)
  end

  H.it_on("redis", "1 and 5 ms away costs far less than the latency grows", function(t)
    t:script("a.lua", [[skein.task("note", { retries = 0 }, function(job, n) fx("note", n) end)]])
    local network = t:proxy()
    local direct = t.url
    t:use(network:url(t.db))
    t:run { "-w", "2" }
    t:use(direct)
    local at_0, at_1, at_5 = rate(t, network, 0), rate(t, network, 1), rate(t, network, 5)
    H.say("%.0f jobs/s through the proxy; with 1 ms each way %.0f, with 5 ms %.0f", at_0, at_1, at_5)
    assert.is_true(at_1 > at_0 / 4)
    assert.is_true(at_5 > at_0 / 10)
    wait_empty(t)
    assert.equal(3 * JOBS, t:counters().done)
  end)
end)

describe("an idle engine", function()
  H.it_on("redis", "asks Redis less than once a second", function(t)
    t:own_redis()
    t:script("a.lua", [[skein.task("ping", function(job, n) fx("ping", n) end)]])
    t:run { "-w", "2" }
    t:enqueue("ping", 1)
    t:wait_effects("ping", 1)
    wait_empty(t)
    -- What it was asked for; what scripts call inside of Redis is not an operation of ours.
    local function asked()
      local stats, n = assert(t.redis:call("INFO", "commandstats")), 0
      for name, calls in stats:gmatch "cmdstat_([%w|]+):calls=(%d+)" do
        if name == "evalsha" or name == "eval" or name == "ping" or name == "subscribe"
          or name:find "^hello" then n = n + tonumber(calls) end
      end
      return n, tonumber(t.redis:info "total_commands_processed")
    end
    local before, all_before = asked()
    wait.poll(10, function() return false end)
    local after, all_after = asked()
    H.say("%d operations in 10 s (%d commands with those inside scripts)", after - before, all_after - all_before)
    assert.is_true(after - before < 10)
  end)
end)

describe("memory", function()
  H.it_on("redis", "of Redis and of the engine does not grow with finished jobs", function(t)
    local server = t:own_redis()
    t:script("a.lua", [[skein.task("note", { retries = 0 }, function(job, n) if n % 20 == 0 then error("x") end
      fx("note", n) end)
      skein.task("flaky", { retries = 3, backoff = { 0 } }, function(job, n) if job.attempt < 2 then error("x") end
        fx("note", n) end)]])
    t:config '{ log_level = "error" }'
    local engine = t:run({ "-w", "1", "-c", "50" }, { ready = false })
    local total = 0
    local function batch(n)
      fill(t, "flaky", n)
      total = total + n
      t:wait_effects("note", total, 60)
      wait_empty(t)
      return tonumber(server:info "used_memory"), process.rss(engine.child.pid)
    end
    batch(5000)
    local used_1, rss_1 = batch(5000)
    local keys_1 = #server:keys()
    batch(20000)
    local used_2, rss_2 = batch(5000)
    H.say("after 10,000 and 35,000 jobs: Redis %.2f and %.2f MB, core %.1f and %.1f MB", used_1 / 1e6, used_2 / 1e6,
      rss_1 / 1e6, rss_2 / 1e6)
    assert.equal(keys_1, #server:keys())
    assert.is_true(used_2 - used_1 < 300e3)
    assert.is_true(rss_2 - rss_1 < 3e6)
  end)

  H.it_on("redis", "of a waiting job with a 200-byte payload is less than 600 bytes", function(t)
    local server = t:own_redis()
    local before = tonumber(server:info "used_memory")
    fill(t, "nobody", 20000, 200)
    local bytes = (tonumber(server:info "used_memory") - before) / 20000
    H.say("%.0f bytes a waiting job", bytes)
    assert.is_true(bytes < 600)
  end)

  H.it_on("redis", "is all given back: finished jobs leave counters and registries only", function(t)
    local server = t:own_redis()
    t:script("a.lua", hold_task(t) .. [[ skein.task("kept", { keep = 1 }, function() return 1 end)
      skein.task("flaky", { retries = 1, backoff = { 0.1 } }, function(job)
        if job.attempt == 1 then job:progress(5, "x") error("x") end end)]])
    t:release "all"
    local engine = t:run { "-w", "1" }
    for _, task in ipairs { "hold", "ping", "kept", "flaky" } do
      for i = 1, 20 do t:enqueue(task, i, { flags = { "--in", i % 2 == 0 and "0s" or "200ms" } }) end
    end
    wait_empty(t, 30)
    assert.equal(0, engine:stop())
    local left = {}
    for _, key in ipairs(server:keys()) do left[#left + 1] = key.name:match "[^:]*$" end
    H.say("left: %s", table.concat(left, " "))
    local ALLOWED = { head = true, queues = true, counts = true, tasks = true, templates = true }
    for _, name in ipairs(left) do assert.is_true(ALLOWED[name], name) end
  end)
end)
