-- Jobs run when they are due: to the millisecond, and whatever happens to the wall clock.
local H = require "tests.system.harness"
local uv = require "luv"

local NOISE_MAX_S = 0.00045

-- The limits here are for a machine that is idle otherwise.  Watches how late a timer without work is meanwhile (p99,
-- in seconds).
local function noise()
  local timer, late, last = uv.new_timer(), {}, H.wait.seconds()
  timer:start(1, 1, function()
    local now = H.wait.seconds()
    late[#late + 1], last = now - last - 0.001, now
  end)
  return function()
    timer:close()
    return math.max(0, H.percentile(late, 0.99))
  end
end

-- Fails unless value < limit; on a machine that is not idle it can't be told.
local function assert_under(value, limit, noise_s)
  if value >= limit and noise_s > NOISE_MAX_S then
    pending(("the machine is not idle: a timer without work is %.2f ms late"):format(noise_s * 1000))
  end
  assert.is_true(value < limit, ("%.2f ms, the limit is %.2f ms"):format(value * 1000, limit * 1000))
end

describe("timers", function()
  H.it("2,000 jobs due at random milliseconds of 5 s: none early, p99 lateness under 5 ms", function(t)
    t:script("a.lua", [[
      skein.task("tick", function(job, due) fx("tick", due, skein.now() - due) end)
      skein.task("plan", function()
        local start, threads = math.ceil(skein.now()) + 2, {}
        math.randomseed(4711)
        for i = 1, 2000 do
          local due = start + math.random(0, 4999) / 1000
          threads[i] = skein.spawn(function() assert(skein.enqueue_at(due, "tick", due)) end)
        end
        for _, thread in ipairs(threads) do assert(thread:wait() == nil) end
        fx("planned", start - skein.now())
      end)]])
    t:run { "-w", "1" }
    t:enqueue "plan"
    local spare = tonumber(t:wait_effects("planned", 1)[1][1])
    assert.is_true(spare > 0, "planning took too long: " .. spare)
    local late, stop_noise = {}, noise()
    local ticks = t:wait_effects("tick", 2000, 10)
    local noise_s = stop_noise()
    for i, f in ipairs(ticks) do
      late[i] = tonumber(f[2])
      -- A due time is stored in whole milliseconds.
      assert.is_true(late[i] > -0.001, "early by " .. late[i])
    end
    local p50, p99, worst = H.percentile(late, 0.5), H.percentile(late, 0.99), H.percentile(late, 1)
    H.say("lateness of 2,000 jobs: p50 %.2f ms, p99 %.2f ms, worst %.2f ms; the machine's noise %.2f ms", p50 * 1000,
      p99 * 1000, worst * 1000,
      noise_s * 1000)
    assert.equal(2000, #late)
    t:wait_for("an empty store", 5, function() return #t:json "jobs" == 0 end)
    assert.equal(2000, t:count "tick")
    assert_under(p99, 0.005, noise_s)
  end)

  H.it("a job that becomes due earlier than the one waited for is not late", function(t)
    t:script("a.lua", [[skein.task("tick", function(job, due) fx("tick", due and skein.now() - due or 0) end)]])
    t:run { "-w", "1" }
    t:enqueue("tick", { flags = { "--in", "1h" } })
    local at = math.ceil(H.now()) + 1
    t:enqueue("tick", at, { flags = { "--at", tostring(at) } })
    local stop_noise = noise()
    local late = tonumber(t:wait_effects("tick", 1)[1][1])
    assert.is_true(late > -0.001, "early by " .. late)
    assert_under(late, 0.02, stop_noise())
  end)

  H.it("a job that is due while no engine runs is run by the next one, at once", function(t)
    t:script("a.lua", [[skein.task("tick", function() fx("tick", skein.now()) end)]])
    local id = t:enqueue("tick", { flags = { "--in", "0.2" } })
    local due = H.now() + 0.25
    H.wait.wait_for("its time", 2, function() return H.now() > due end)
    assert.equal("scheduled", t:job(id).state)
    t:run { "-w", "1" }
    t:wait_effects("tick", 1)
  end)

  H.it("sleeps in a job end in time", function(t)
    t:script("a.lua", [[skein.task("nap", function(job, s) local t0 = skein.now() skein.sleep(s)
      fx("nap", skein.now() - t0 - s) end)]])
    t:run { "-w", "1", "-c", "50" }
    for i = 1, 40 do t:enqueue("nap", i / 100) end
    local late, stop_noise = {}, noise()
    for i, f in ipairs(t:wait_effects("nap", 40)) do
      late[i] = tonumber(f[1])
      assert.is_true(late[i] > -0.0015, "early by " .. late[i])
    end
    assert_under(H.percentile(late, 0.9), 0.005, stop_noise())
  end)
end)

-- The engine, its workers and the clients all see a wall clock that the test sets, through libfaketime.
describe("the wall clock", function()
  local LIBRARY
  for _, path in ipairs { "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1" } do
    if H.files.exists(path) then LIBRARY = path end
  end

  local function set_clock(t, offset)
    -- Renamed into place: no process may read half of it.
    H.files.write(t.dir .. "/clock.new", offset .. "\n")
    assert(os.rename(t.dir .. "/clock.new", t.dir .. "/clock"))
  end

  local function with_clock(t)
    if not LIBRARY then pending "libfaketime is not installed" end
    set_clock(t, "+0")
    for name, value in pairs { LD_PRELOAD = LIBRARY, FAKETIME_TIMESTAMP_FILE = t.dir .. "/clock",
      FAKETIME_NO_CACHE = "1",
                               DONT_FAKE_MONOTONIC = "1", FAKETIME_DONT_FAKE_MONOTONIC = "1" } do
      t.env[name] = value
    end
  end

  H.it_on("redis", "of a producer may be wrong: `expires` is a span by the store's clock", function(t)
    if not LIBRARY then pending "libfaketime is not installed" end
    t:script("a.lua", [[
      skein.task("long", { expires = 300 }, function(job, from) fx("long", from, job.enqueued_at - os.time()) end)
      skein.task("short", { expires = 1 }, function(job, from) fx("short", from) end)]])
    local function from(offset) return { env = { LD_PRELOAD = LIBRARY, FAKETIME = offset } } end
    local function producers(task, expires)
      for _, offset in ipairs { "-10m", "+10m" } do
        assert.equal(0, t:cli({ "enqueue", task, H.encode(offset) }, from(offset)).code)
        H.files.write(t.dir .. "/producer.lua", ([[local skein = require "skein"
          assert(skein.enqueue(%q, %q))
          assert(skein.enqueue({ task = %q, args = { %q }, expires = %d }))]]):format(task, offset, task, offset,
            expires))
        local options = t.client_options(from(offset))
        options.env.LD_PRELOAD = LIBRARY
        local client = t:cli({ t.dir .. "/producer.lua" }, options)
        assert.equal("", client.err)
      end
    end
    t:run { "-w", "1" }
    producers("long", 300)
    local ran = t:wait_effects("long", 6)
    for _, effect in ipairs(ran) do assert.is_true(math.abs(effect[2]) < 30) end
    t:ok("pause", "default")
    producers("short", 1)
    H.wait.wait_for("the span to be over", 5,
      (function(at) return function() return H.now() - at > 1.2 end end)(H.now()))
    t:ok("resume", "default")
    t:wait_for("all to be dead", 10, function() return t:counters().dead >= 6 end)
    assert.equal(0, t:count "short")
  end)

  H.it_on("redis",
    "of a machine that looks into the store may be wrong: what is ago and what is in future goes by the store's clock",
    function(t)
    if not LIBRARY then pending "libfaketime is not installed" end
    local waits, due = t:enqueue "waits", t:ok("enqueue", "due", "--in", "5m")
    for _, offset in ipairs { "-3h", "+3h" } do
      local function shown(...)
        local result = t:cli({ ... }, { env = { LD_PRELOAD = LIBRARY, FAKETIME = offset } })
        assert.same({ 0, "" }, { result.code, result.err })
        return result.out
      end
      assert.matches("enqueued +[^\n]* %([%w.]+s ago%)", shown("job", waits))
      assert.matches("due +[^\n]* %(in [45]m%)", shown("job", due))
      assert.matches("; enqueued [^\n]* %([%w.]+s ago%)", shown("explain", waits))
      assert.matches("is scheduled to run at [^\n]* %(in [45]m%)", shown("explain", due))
      local list = shown "jobs"
      assert.matches(waits .. "[^\n]* [%w.]+s ago", list)
      assert.matches(due .. "[^\n]* in [45]m", list)
    end
  end)

  local SCRIPT = [[
    skein.task("long", { timeout = 60, retries = 0 }, function(job, n) fx("long start", n) released("long")
      fx("long end", n) end)
    skein.task("later", { retries = 0, timeout = 60 }, function(job, name, n) fx(name, n) end)
    skein.task("flaky", { backoff = { 1.5 } }, function(job, n) fx("flaky", n) if job.attempt == 1 then error "once"
      end end)
    skein.task("plan", function(job, n)
      for i = 1, n do
        assert(skein.enqueue("long", i))
        assert(skein.enqueue("flaky", i))
        assert(skein.enqueue_in(1.5, "later", "soon", i))
        assert(skein.enqueue_in(1800, "later", "half an hour", i))
      end
      fx("planned")
    end)]]

  -- Every effect of this name is there once for each of 1..n.
  local function once_each(t, name, n, times)
    local counts = {}
    for _, f in ipairs(t:effects(name)) do counts[f[1]] = (counts[f[1]] or 0) + 1 end
    for i = 1, n do assert.equal(times or 1, counts[tostring(i)], name .. " " .. i) end
  end

  H.it_on("sqlite", "set forward an hour loses no job and runs none twice", function(t)
    with_clock(t)
    t:script("a.lua", t:released() .. SCRIPT)
    local engine = t:run { "-w", "2", "-c", "50" }
    t:enqueue("plan", 20)
    t:wait_effects("long start", 20)
    t:wait_effects("flaky", 20)
    t:wait_effects("planned", 1)
    set_clock(t, "+3600")
    t:wait_effects("soon", 20, 10)
    t:wait_effects("flaky", 40, 10)
    t:wait_effects("half an hour", 20, 10)
    t:enqueue("later", "new", 1)
    t:wait_effects("new", 1)
    t:release "long"
    t:wait_effects("long end", 20)
    t:wait_for("an empty store", 10, function() return #t:json "jobs" == 0 end)
    for _, name in ipairs { "long start", "long end", "soon", "half an hour" } do once_each(t, name, 20) end
    once_each(t, "flaky", 20, 2)
    assert.equal(0, t:counters().dead)
    assert.equal(0, #engine:logged "worker died")
    assert.equal(0, engine:stop())
  end)

  H.it_on("sqlite", "set back an hour loses no job and runs none twice", function(t)
    with_clock(t)
    t:script("a.lua", t:released() .. SCRIPT)
    local engine = t:run { "-w", "2", "-c", "50" }
    t:enqueue("plan", 20)
    t:wait_effects("long start", 20)
    t:wait_effects("flaky", 20)
    t:wait_effects("planned", 1)
    set_clock(t, "-3600")
    -- What is enqueued now runs now, and what is due soon by the new clock runs soon.
    t:enqueue("later", "new", 1)
    t:wait_effects("new", 1, 5)
    t:enqueue("later", "new soon", 1, { flags = { "--in", "0.3" } })
    t:wait_effects("new soon", 1, 10)
    t:release "long"
    t:wait_effects("long end", 20)
    -- The clock is right again: all that waited for it runs, once.
    set_clock(t, "+0")
    t:wait_effects("soon", 20, 10)
    t:wait_effects("flaky", 40, 10)
    set_clock(t, "+1800")
    t:wait_effects("half an hour", 20, 10)
    t:wait_for("an empty store", 10, function() return #t:json "jobs" == 0 end)
    for _, name in ipairs { "long start", "long end", "soon", "half an hour" } do once_each(t, name, 20) end
    once_each(t, "flaky", 20, 2)
    assert.equal(0, t:counters().dead)
    assert.equal(0, engine:stop())
  end)

  H.it("set back while a job runs gives it no negative age and no timeout", function(t)
    with_clock(t)
    t:script("a.lua", t:released() .. [[ skein.task("long", { timeout = 60, retries = 0 }, function(job)
      fx("start") released("long") fx("end", job:active(), job:remaining() > 30 and job:remaining() <= 60) end)]])
    t:run { "-w", "1" }
    t:enqueue "long"
    t:wait_effects("start", 1)
    set_clock(t, "-3600")
    t:release "long"
    assert.same({ { "true", "true" } }, t:wait_effects("end", 1))
  end)
end)
