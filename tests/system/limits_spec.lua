-- The promises of limits, unique keys, callbacks, bounded queues and cancels, with three engines that are busy, killed
-- and frozen.  The jobs themselves write down the facts that are counted here; tests/chaos does the same for longer and
-- with more jobs.
local H = require "tests.system.harness"
local left_over = require "tests.support.left_over"

local LEASE_S = 1
local RATE_REACHED = 900 -- of 1,000/s

local function client(t, text)
  local result = t:client('local skein = require "skein" ' .. text)
  if result.code ~= 0 then error(("client: exit code %d\n%s"):format(result.code, result.err), 2) end
  return result.out
end

local function three_engines(t, args)
  t:config(('{ lease = "%gs" }'):format(LEASE_S))
  local engines = {}
  for k = 1, 3 do engines[k] = t:run(args or { "-w", "1", "-c", "20" }) end
  return engines
end

-- Stops an engine's core, but not while it is writing to SQLite: then all others would wait for it, as they must.
local function freeze(t, engine)
  t:wait_for("a moment at which nobody writes", 10, function()
    engine:signal "sigstop"
    if t.redis then return true end
    local free = t:cli({ "-cmd", ".timeout 200", t.dir .. "/jobs.db", "BEGIN IMMEDIATE; ROLLBACK" },
      { program = "sqlite3" }).code == 0
    if not free then engine:signal "sigcont" end
    return free
  end)
end

-- Waits until the store has nothing but what may stay.
local function wait_clean(t)
  local left
  local ok = pcall(t.wait_for, t, "", 6, function()
    left = t.redis and left_over.redis(t.redis, t.db) or left_over.sqlite(t.dir .. "/jobs.db")
    return #left == 0
  end)
  assert(ok, "left in the store: " .. table.concat(left, ", "))
end

local function wait_done(t, n, timeout_s)
  t:wait_for(n .. " jobs are done", timeout_s or 20, function() return t:counters().done >= n end)
end

-- What the jobs of SPANS wrote: runs { key, n, core, from, to }.
local SPANS = [[
  ffi.cdef "int getppid(void);"
  local function span(job, key, n, seconds)
    local run = ("%s.%d.%.6f"):format(job.id, pid, skein.now())
    fx("span", "in", run, key, n, ffi.C.getppid(), skein.now())
    skein.sleep(seconds)
    fx("span", "out", run, key, n, ffi.C.getppid(), skein.now())
  end ]]

local function spans(t, ends)
  local runs, list = {}, {}
  for _, s in ipairs(t:effects "span") do
    if s[1] == "in" then
      local owner_ends = ends[tonumber(s[5])] or math.huge
      runs[s[2]] = { key = s[3], n = tonumber(s[4]), from = tonumber(s[6]), to = owner_ends }
      list[#list + 1] = runs[s[2]]
    else
      local run = runs[s[2]]
      run.to = math.min(run.to, tonumber(s[6]))
    end
  end
  return list
end

-- The most runs of a key at one moment, each job once.
local function most_at_once(list)
  local most = {}
  for _, run in ipairs(list) do
    local jobs, count = {}, 0
    for _, other in ipairs(list) do
      if other.key == run.key and other.from <= run.from and run.from < other.to and not jobs[other.n] then
        jobs[other.n], count = true, count + 1
      end
    end
    most[run.key] = math.max(most[run.key] or 0, count)
  end
  return most
end

describe("a limit with three engines", function()
  H.it("of concurrency or strict order holds, no slot is lost, while engines are killed or frozen for long", function(t)
    t:script("a.lua", SPANS .. [[
      skein.task("two", { limit = { concurrency = 2, key = 1 }, keep = 1 }, function(job, key, n)
        span(job, key, n, 0.05) end)
      skein.task("one", { limit = { order = "strict", key = 1 }, backoff = { 0.1 }, keep = 1 }, function(job, key, n)
        span(job, key, n, 0.05)
        if n % 5 == 0 and job.attempt == 1 then error "again" end
      end)]])
    local engines, ends = three_engines(t), {}
    client(t, [[local list = {}
      for n = 1, 120 do list[n] = { task = "two", args = { n % 2 == 0 and "a" or "b", n },
        limit = { concurrency = 2, key = n % 2 == 0 and "a" or "b" } } end
      for n = 1, 20 do list[#list + 1] = { task = "one", args = { "s", n }, limit = { order = "strict", key = "s" } }
        end
      assert(skein.enqueue_many(list))]])
    t:wait_effects("span", 30)
    engines[1]:kill_core()
    ends[engines[1].child.pid] = H.now()
    t:wait_effects("span", 50, 10)
    local frozen = engines[2]
    freeze(t, frozen)
    ends[frozen.child.pid] = H.now() + LEASE_S * 2 / 3
    t:run { "-w", "1", "-c", "20" }
    wait_done(t, 140)
    frozen:signal "sigcont"
    frozen:wait_log "lease had ended"
    local list = spans(t, ends)
    assert.same({ a = 2, b = 2, s = 1 }, most_at_once(list))
    local last, ran = 0, 0
    table.sort(list, function(x, y) return x.from < y.from end)
    for _, run in ipairs(list) do
      if run.key == "s" then
        assert.is_true(run.n >= last, ("%d began after %d"):format(run.n, last))
        last, ran = run.n, ran + 1
      end
    end
    assert.is_true(last == 20 and ran >= 24, "the strict jobs did not all run")
    wait_clean(t)
  end)

  H.it("of rate is reached at 1,000/s, and no second sees more", function(t)
    t:script("a.lua", [[skein.task("paced", { keep = 0 }, function() fx("at", skein.now()) end)]])
    three_engines(t)
    client(t, [[local list = {}
      for i = 1, 2000 do list[i] = { task = "paced", limit = { rate = 1000, per = 1, key = "k" } } end
      assert(skein.enqueue_many(list))]])
    local at = {}
    for i, line in ipairs(t:wait_effects("at", 2000, 20)) do at[i] = tonumber(line[1]) end
    table.sort(at)
    local rate, least = 1999 / (at[2000] - at[1]), math.huge
    for i = 1, 1000 do least = math.min(least, at[i + 1000] - at[i]) end
    H.say("%.0f/s, 1,001 starts in no less than %.3f s", rate, least)
    assert.is_true(rate > RATE_REACHED and rate < 1050, ("%.0f/s"):format(rate))
    assert.is_true(least > 0.95, ("1,001 starts in %.3f s"):format(least)) -- what a fetch took may start some ms later
  end)

  H.it("is shared by engines: none hoards what others could run", function(t)
    t:script("a.lua", [[skein.task("short", { keep = 0 }, function() fx "short" end)
      skein.task("long", { keep = 0 }, function() fx("long", ffi.C.getpid(), skein.now()) skein.sleep(0.1) end)]])
    three_engines(t, { "-w", "1", "-c", "2" })
    client(t, [[local list = {}
      for i = 1, 2000 do list[i] = "short" end
      for i = 1, 42 do list[#list + 1] = { task = "long", limit = { concurrency = 6, key = "k" } } end
      assert(skein.enqueue_many(list))]])
    local by, first, last = {}, math.huge, 0
    for _, line in ipairs(t:wait_effects("long", 42)) do
      by[line[1]] = (by[line[1]] or 0) + 1
      first, last = math.min(first, tonumber(line[2])), math.max(last, tonumber(line[2]))
    end
    for _, n in pairs(by) do assert.is_true(n >= 8 and n <= 20, "one engine ran " .. n .. " of 42") end
    assert.is_true(last - first < 1.5, ("six at a time took %.2f s, 0.6 s would do"):format(last - first))
  end)
end)

describe("a unique key", function()
  H.it("is free again when its job was killed to death, cancelled while it ran, or its engine was killed", function(t)
    t:script("a.lua", [[
      skein.task("crash", { unique = { key = "args" } }, function() fx "crash" os.exit(3) end)
      skein.task("sleep", { unique = { key = "args" }, keep = 1 }, function() fx "sleep" skein.sleep(60) end)
      skein.task("nap", { unique = { key = "args" }, keep = 1 }, function() fx "nap" skein.sleep(0.3) end)]])
    local engines = three_engines(t)
    local try = [[local h, err = skein.enqueue({ task = %q, unique = { key = "k" } }) print(h and h.id or err.code)]]
    local function enqueue(task) return (client(t, try:format(task)):gsub("\n", "")) end
    local crash, sleep, nap = enqueue "crash", enqueue "sleep", enqueue "nap"
    t:wait_effects("sleep", 1)
    t:wait_effects("nap", 1)
    assert.equal("exists", enqueue "sleep")
    t:ok("cancel", sleep)
    t:wait_state(sleep, "cancelled")
    t:wait_state(crash, "dead", 15)
    engines[1]:kill_core() -- which may have had the nap: then another runs it
    wait_done(t, 1, 10)
    assert.is_true(t:find(nap) == nil or t:find(nap).state == "done")
    wait_clean(t)
    for _, task in ipairs { "crash", "sleep", "nap" } do assert.is_true(enqueue(task) ~= "exists", task) end
  end)

  H.it("with debounce, a thousand times a second, leaves one job and nothing else", function(t)
    t:script("a.lua", [[skein.task("save", { keep = 0 }, function(job, n) fx("saved", n) end)]])
    three_engines(t)
    local N = 2000
    local took = tonumber(client(t, ([[local from = skein.now()
      for n = 1, %d do assert(skein.enqueue({ task = "save", debounce = { wait = 1, key = "doc" } }, n)) end
      print(skein.now() - from)]]):format(N)))
    H.say("%.0f/s", N / took)
    assert.equal(1, t:json("stats").states.scheduled)
    local saved = t:wait_effects("saved", 1)
    wait_done(t, 1)
    assert.same({ { tostring(N) } }, saved)
    local c = t:counters()
    assert.same({ N, 1, N - 1 }, { c.enqueued, c.done, c.discarded })
    wait_clean(t)
  end)
end)

describe("callbacks", function()
  H.it("come once for each parent though engines are killed in the middle of it", function(t)
    t:script("a.lua", [[
      skein.task("parent", { keep = 0, retries = 1, backoff = { 0.01 } }, function(job, n)
        skein.sleep(0.002)
        if n % 4 == 0 then error "never" end
      end)
      skein.task("good", { keep = 0 }, function(job, n) fx("callback", job.id, n, "good") end)
      skein.task("bad", { keep = 0 }, function(job, text, n) fx("callback", job.id, n, "bad") end)]])
    local engines = three_engines(t)
    local N = 600
    client(t, ([[local list = {}
      for n = 1, %d do list[n] = { task = "parent", args = { n }, on_success = { task = "good", args = { n } },
        on_error = { task = "bad", args = { n } } } end
      assert(skein.enqueue_many(list))]]):format(N))
    for k = 1, 2 do
      t:wait_effects("callback", 100 * k, 10)
      engines[k]:kill_core()
    end
    local ids, of, n = {}, {}, 0
    local c
    t:wait_for("all of it is done", 20, function()
      c = t:counters()
      return c.done == N * 3 / 4 + N and c.dead == N / 4
    end)
    for _, line in ipairs(t:effects "callback") do
      if not ids[line[1]] then
        ids[line[1]] = true
        assert.is_nil(of[line[2]], "two callbacks of " .. line[2])
        of[line[2]], n = line[3], n + 1
      end
    end
    assert.equal(N, n)
    for parent, kind in pairs(of) do assert.equal(tonumber(parent) % 4 == 0 and "bad" or "good", kind) end
    assert.equal(2 * N, c.enqueued)
    wait_clean(t)
  end)
end)

describe("a bounded queue", function()
  H.it("lets blocked producers in one by one, none twice, also when one of them and an engine are killed", function(t)
    t:script("a.lua", [[
      skein.queue("tight", { max_len = 5, overflow = "block", block = 20, limit = { concurrency = 3 } })
      skein.task("work", { queue = "tight", keep = 0 }, function(job, who, n) fx("ran", who, n) skein.sleep(0.02)
        end)]])
    local engines = three_engines(t)
    local producers = {}
    for k = 1, 4 do
      producers[k] = t:start_client(([[local skein = require "skein"
        for n = 1, 40 do assert(skein.enqueue({ task = "work", queue = "tight" }, %d, n)) end]]):format(k))
    end
    t:wait_effects("ran", 20, 10)
    producers[4]:stop_hard()
    engines[1]:kill_core()
    local most = 0
    t:wait_for("the other producers are through", 20, function()
      local queue = t:json("queues")
      for _, q in ipairs(queue) do
        if q.name == "tight" then most = math.max(most, (q.ready or 0) + (q.scheduled or 0) + (q.retry or 0)) end
      end
      return not producers[1]:running() and not producers[2]:running() and not producers[3]:running()
    end)
    for k = 1, 3 do assert.equal(0, producers[k].code, producers[k].stderr) end
    t:wait_for("the queue is empty", 10, function()
      local c = t:counters()
      return c.enqueued == c.done
    end)
    assert.is_true(most <= 5 + 3, most .. " waited") -- an engine's end hands its three back, whatever the length
    local ran = {}
    for _, line in ipairs(t:effects "ran") do ran[line[1] .. " " .. line[2]] = true end
    for k = 1, 3 do
      for n = 1, 40 do assert.is_true(ran[k .. " " .. n], ("job %d of producer %d never ran"):format(n, k)) end
    end
    wait_clean(t)
  end)
end)

describe("cancel", function()
  H.it("of running jobs takes less than 100 ms while three engines are busy", function(t)
    t:script("a.lua", [[skein.task("sleep", { keep = 60 }, function() fx "start" skein.sleep(60) end)
      skein.task("busy", { keep = 0 }, function() end)]])
    three_engines(t)
    local out = client(t, [[local hs, busy = {}, {}
      for i = 1, 15 do hs[i] = assert(skein.enqueue "sleep") end
      for i = 1, 1000 do busy[i] = "busy" end
      for i = 1, 15 do
        for _ = 1, 3 do assert(skein.enqueue_many(busy)) end
        while hs[i]:state() ~= "running" do end
        local from = skein.now()
        assert(hs[i]:cancel())
        local _, err = hs[i]:wait(5)
        print(err.code, skein.now() - from)
      end]])
    local times = {}
    for code, s in out:gmatch "(%S+)%s+(%S+)\n" do
      assert.equal("cancelled", code)
      times[#times + 1] = tonumber(s)
    end
    table.sort(times)
    H.say("median %.1f ms, longest %.1f ms", times[8] * 1000, times[15] * 1000)
    assert.is_true(times[8] < 0.1, "it took " .. table.concat(times, ", ") .. " s")
    t:wait_for("the others are done", 20, function() return t:json("stats").states.ready == 0 end)
    wait_clean(t)
  end)
end)

describe("a limit that has changed", function()
  local function script(t, limit)
    t:script("a.lua", ([[
      skein.task("work", { %s }, function(job, key, n)
        if n == 0 then skein.retry_in(600, "later") end
        fx("ran", n)
      end)]]):format(limit))
  end

  local function block(t)
    script(t, 'limit = { order = "strict", key = 1 }')
    local engine = t:run { "-w", "1" }
    t:wait_state(t:enqueue("work", "a", 0), "retry")
    for n = 1, 10 do t:enqueue("work", "a", n) end
    assert.equal(0, t:count "ran")
    return engine
  end

  H.it("holds at once for what waits: removed and reloaded with HUP, it frees its backlog", function(t)
    local engine = block(t)
    script(t, "")
    engine:signal "sighup"
    t:wait_effects("ran", 10)
  end)

  H.it("holds at once for what waits: also when it is removed with a restart, and when it is widened", function(t)
    block(t):stop()
    script(t, "limit = { concurrency = 5, key = 1 }")
    t:run { "-w", "1" }
    t:wait_effects("ran", 10)
  end)
end)

describe("what queues are bound to", function()
  local function bound(t)
    local names = {}
    for _, queue in ipairs(t:json "queues") do
      if type(queue.max_len) == "number" then names[#names + 1] = queue.name end
    end
    table.sort(names)
    return table.concat(names, " ")
  end

  H.it("ends with the deploy, also with a restart, and nobody else's with it", function(t)
    local other = t.dir .. "/other"
    assert(require "luv".fs_mkdir(other, 448))
    H.files.write(other .. "/b.lua", [[local skein = require "skein"
      skein.task("theirs", { queue = "theirs" }, function() end)
      skein.queue("theirs", { max_len = 3 }) skein.queue("shared", { max_len = 3 })]])
    t:script("a.lua", [[
      skein.task("ours", { queue = "ours" }, function() end)
      skein.queue("ours", { max_len = 3 }) skein.queue("shared", { max_len = 3 })]])
    local engine = t:run { "-w", "1" }
    t:run({ "-w", "1" }, { dir = other })
    for _, queue in ipairs { "ours", "theirs", "shared" } do t:ok("pause", queue) end
    assert.equal("ours shared theirs", bound(t))
    engine:stop()
    t:script("a.lua", [[skein.task("ours", { queue = "ours" }, function() end)]])
    t:run { "-w", "1" }
    assert.equal("shared theirs", bound(t))
    for _ = 1, 5 do t:enqueue "ours" end
  end)
end)
