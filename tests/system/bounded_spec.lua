-- No call that others wait for: with very many jobs in the store no script of Redis runs long, and other jobs go on
-- meanwhile. `make system T=bounded SKEIN_TEST_STORE=redis`.  BOUNDED_JOBS (100,000) sets how many: no bound here
-- depends on it.
--
-- Every call of a script is judged, by its time in SLOWLOG.  That is wall time: a call that the machine gave to another
-- process meanwhile is longer than its work.  So what a test does is repeated when a call was too long, twice at most,
-- and of each kind of script the shortest of those rounds' longest calls counts: work that takes too long does so in
-- each round.
local H = require "tests.system.harness"

local JOBS = tonumber(os.getenv "BOUNDED_JOBS") or 100000
local SLOW_US = 20000
local ROUNDS = 3
local BUILT = assert(os.getenv "SKEIN"):match "^(.*)/"

local FILL = [[
local skein = require "skein"
local task, n, queues, due = %q, %d, %d, %d
for first = 1, n, 1000 do
  local sigs = {}
  for i = first, math.min(first + 999, n) do
    sigs[#sigs + 1] = { task = task .. i %% 2, queue = "q" .. i %% queues, at = due > 0 and due or nil }
  end
  assert(skein.enqueue_many(sigs))
end]]

local function fill(t, task, n, queues, due)
  local result = t:client(FILL:format(task, n, queues, due or 0), { timeout = 120 })
  if result.code ~= 0 then error(result.out .. result.err, 2) end
end

-- The scripts by their SHA-1, which EVALSHA has; EVAL has the text.
local KINDS = {}
for name in io.popen("ls " .. BUILT .. "/redis"):read "*a":gmatch "(%w+)%.lua" do
  local path = BUILT .. "/redis/" .. name .. ".lua"
  local sums = assert(io.popen("sha1sum " .. path))
  KINDS[sums:read "*a":match "^%x+"] = name
  sums:close()
end
local TEXT_KIND = "as text" -- stored, rights

-- Of each kind of script, the time of its longest call since the last time, us, and how many calls there are.
local function longest_calls(server)
  local longest, calls = {}, {}
  for _, entry in ipairs(server:call("SLOWLOG", "GET", 1000000)) do
    local command, script = entry[4][1]:upper(), entry[4][2]
    local kind = command == "EVAL" and TEXT_KIND or command == "EVALSHA" and KINDS[script]
    if kind then
      longest[kind] = math.max(longest[kind] or 0, tonumber(entry[3]))
      calls[kind] = (calls[kind] or 0) + 1
    end
  end
  server:call("SLOWLOG", "RESET")
  return longest, calls
end

local function said(longest)
  local kinds, words = {}, {}
  for kind in pairs(longest) do kinds[#kinds + 1] = kind end
  table.sort(kinds)
  for i, kind in ipairs(kinds) do words[i] = ("%s %.1f"):format(kind, longest[kind] / 1000) end
  return table.concat(words, ", ")
end

-- No script that round(i) has run is slow.  Returns how often each kind was logged in the last round.
local function assert_short(server, what, round)
  local least = {}
  for i = 1, ROUNDS do
    server:call("SLOWLOG", "RESET")
    round(i)
    local longest, calls = longest_calls(server)
    local slow = false
    for kind, us in pairs(longest) do
      least[kind] = math.min(least[kind] or us, us)
      if least[kind] >= SLOW_US then slow = true end
    end
    H.say("%s: longest calls in ms: %s", what, said(longest))
    if not slow then return calls end
  end
  error(("%s: of %d rounds the shortest longest calls in ms: %s"):format(what, ROUNDS, said(least)), 2)
end

local function own_redis(t)
  local server = t:own_redis()
  server:call("CONFIG", "SET", "slowlog-log-slower-than", 1000)
  server:call("CONFIG", "SET", "slowlog-max-len", 100000)
  return server
end

local function left_in(t, state) return t:json("stats").states[state] end

describe("a store of very many jobs", function()
  H.it_on("redis", "is listed, cancelled, retried and deleted by filter in short steps, while other jobs run",
    function(t)
    local server = own_redis(t)
    t:script("a.lua", [[skein.task("ping", { queue = "ping" }, function(job, n) fx("ping", n) end)]])
    t:run { "-q", "ping" }
    fill(t, "a", JOBS, 1000)
    assert_short(server, "list", function() assert.equal(0, #t:json("jobs", "--task", "nosuch")) end)
    local pings = 0
    assert_short(server, "cancel", function(round)
      if round > 1 then t:ok("retry", "--state", "cancelled", "--task", "a1") end
      server:call("SLOWLOG", "RESET")
      local cancel = t:start_client([[local skein = require "skein"
        print(skein.admin.cancel({ task = "a1" }))]], { timeout = 300 })
      local before = pings
      repeat
        pings = pings + 1
        t:enqueue("ping", pings)
        t:wait_effects("ping", pings, 10)
      until not cancel:running()
      assert.truthy(cancel.stdout:find(tostring(JOBS / 2), 1, true), cancel.stdout .. cancel.stderr)
      assert.is_true(pings - before > 2, pings - before .. " other jobs ran meanwhile")
    end)
    assert.equal(JOBS / 2, left_in(t, "ready"))
    assert_short(server, "retry", function(round)
      if round > 1 then t:ok("cancel", "--task", "a1") end
      t:ok("retry", "--state", "cancelled", "--task", "a1")
    end)
    assert.equal(JOBS, left_in(t, "ready"))
    local rounds
    assert_short(server, "delete", function(round)
      rounds = round
      if round > 1 then fill(t, "a", JOBS, 1000) end
      t:ok("delete", "--task", "a0")
    end)
    assert.equal(rounds * JOBS / 2, left_in(t, "ready"))
    assert.equal(0, #t:json("jobs", "--task", "a0"))
    assert.equal(0, left_in(t, "cancelled"))
  end)

  H.it_on("redis", "that wait for their time in 1,000 queues are listed to the last page and moved in short steps",
    function(t)
    local server = own_redis(t)
    fill(t, "s", JOBS, 1000, os.time() + 36000)
    assert_short(server, "list", function()
      assert.equal(0, #t:json("jobs", "--task", "nosuch"))
      local page = { "jobs", "--state", "scheduled", "--offset", tostring(JOBS - 100), "--limit", "200" }
      assert.equal(100, #t:json(unpack(page)))
      assert.equal(10, #t:json("jobs", "--limit", "10", "--task", "s1"))
    end)
    assert_short(server, "promote", function(round)
      if round > 1 then return end
      local result = t:client([[print(require "skein".admin.promote({ task = "s1" }))]], { timeout = 120 })
      assert.equal(0, result.code, result.err)
    end)
    assert_short(server, "cancel of what waits", function(round)
      if round > 1 then fill(t, "s", JOBS, 1000, os.time() + 36000) end
      t:ok("cancel", "--task", "s0")
    end)
  end)

  H.it_on("redis", "that come due at one moment is made ready in short steps", function(t)
    local server = own_redis(t)
    t:script("a.lua", [[for i = 0, 1 do skein.task("d" .. i, { queue = "q0" }, function() end) end]])
    assert_short(server, "fetch of due jobs", function(round)
      fill(t, "d", JOBS, 1, os.time() + 3)
      local code = t:drain({ "-w", "1", "-c", "50" }, 120)
      assert.equal(0, type(code) == "table" and code.code or code or 0)
      assert.equal(JOBS * round, t:counters().done)
    end)
  end)

  H.it_on("redis", "that a dead engine held is taken over in short steps", function(t)
    local server = own_redis(t)
    t:script("a.lua", t:released() .. [[for i = 0, 1 do
      skein.task("h" .. i, { queue = "q0" }, function() while not released("all") do skein.sleep(1) end end) end]])
    fill(t, "h", 6000, 1)
    local engine = t:run { "-w", "1", "-c", "6000" }
    assert_short(server, "recovery", function(round)
      t:wait_for("6,000 running jobs", 30, function() return server:call("HLEN", "{skein}:held") == 6000 end)
      engine:kill_core()
      server:call("SLOWLOG", "RESET")
      engine = t:run { "-w", "1", "-c", "6000" }
      t:wait_for("the takeover", 30, function() return t:counters().recovered == 6000 * round end)
    end)
  end)

  H.it_on("redis", "is used in all ways that there are, and no kind of script runs long", function(t)
    local server = own_redis(t)
    server:call("CONFIG", "SET", "slowlog-log-slower-than", 0)
    local declared = [[for i = 0, 1 do skein.task("u" .. i, function() end) end
      skein.task("kept", { keep = 1 }, function() fx("kept") return 1 end)
      skein.task("bound", { limit = { key = 1, concurrency = %d } }, function(job, k) end)
      skein.task("locked", { unique = true }, function(job) end)
      skein.task("nap", function(job) job:progress(50, "half") fx("nap") skein.sleep(60) end)]]
    fill(t, "u", JOBS, 1000, os.time() + 36000)
    server:call("SLOWLOG", "RESET")
    local seen = assert_short(server, "every kind of script", function(round)
      t:script("a.lua", declared:format(round * 2))
      local dies = t:run { "-w", "1", "-c", "1" }
      t:enqueue "nap"
      t:wait_for("its progress", 10, function() return server:call("EXISTS", "{skein}:notes") == 1 end)
      dies:kill_core()
      local engine = t:run { "-w", "1", "-c", "50" }
      for i = 1, 5 do t:enqueue("kept", i) end
      t:wait_effects("kept", 5 * round, 20)
      local result = t:client([[local skein = require "skein"
        local sigs = {}
        for i = 1, 500 do sigs[i] = { task = "bound", args = { i % 7 } } end
        assert(skein.enqueue_many(sigs))
        local h = assert(skein.enqueue { task = "locked", delay = 3600 })
        assert(skein.admin.job(h.id))
        skein.admin.cancel(h.id)]], { timeout = 60 })
      assert.equal(0, result.code, result.err)
      t:ok("pause", "q7")
      t:ok("resume", "q7")
      t:json "stats"
      t:json("jobs", "--limit", "10")
      t:script("a.lua", declared:format(round * 2 + 1))
      engine:signal "sighup"
      t:wait_for("the kept jobs to be dropped", 30, function() return left_in(t, "done") == 0 end)
      t:ok("cancel", "--task", "nap")
      t:wait_for("the cancelled job's end", 10, function() return left_in(t, "running") == 0 end)
      engine:stop()
    end)
    for _, kind in ipairs { "enqueue", TEXT_KIND, "fetch", "settle", "beat", "list", "get", "change", "count", "pause",
      "recover", "progress", "open", "declare", "tasks" } do
      assert.is_true((seen[kind] or 0) > 0, "no call of " .. kind)
    end
  end)

  H.it("in more queues than were ever served at once is drained to its end, and the next new queue is served at once",
    function(t)
    t:script("a.lua", [[for i = 0, 1 do skein.task("d" .. i, function() end) end
      skein.task("ping", function(job, n) fx("ping", n) end)]])
    fill(t, "d", 3000, 1500)
    assert.equal(0, (t:drain({ "-w", "1" }, 60)))
    assert.equal(3000, t:counters().done)
    t:run { "-w", "1" }
    for i = 1, 20 do
      t:enqueue("ping", i, { flags = { "--queue", "new" .. i } })
      t:wait_effects("ping", i, 3)
    end
  end)

  H.it("that wait for their time in many queues start when it has come", function(t)
    t:script("a.lua", [[for i = 0, 1 do skein.task("d" .. i, function(job, n) fx("late", skein.now()) end) end]])
    local due = os.time() + 4
    fill(t, "d", 200, 200, due)
    t:run { "-w", "1", "-c", "50" }
    t:wait_effects("late", 200, 15)
    for _, f in ipairs(t:effects "late") do
      local at = tonumber(f[1])
      assert.is_true(at >= due - 0.01 and at < due + 1, ("started %.3f s after its time"):format(at - due))
    end
  end)

  H.it_on("redis", "costs Redis little for each job, with six engines and 200 queues", function(t)
    local server = own_redis(t)
    t:script("a.lua", [[for i = 0, 1 do skein.task("d" .. i, function(job) fx("d") end) end]])
    fill(t, "d", 400, 200)
    for _ = 1, 6 do t:run { "-w", "1" } end
    t:wait_for("an empty store", 20, function() return t:counters().done == 400 end)
    local function cpu_ms() return (server:info "used_cpu_user" + server:info "used_cpu_sys") * 1000 end
    local before = cpu_ms()
    local result = t:client([[local skein = require "skein"
      for i = 1, 500 do assert(skein.enqueue { task = "d1", queue = "q" .. i % 200 }) end]], { timeout = 60 })
    assert.equal(0, result.code, result.err)
    t:wait_for("500 more jobs", 20, function() return t:counters().done == 900 end)
    local cost = (cpu_ms() - before) / 500
    H.say("six engines, 200 queues: %.2f ms of Redis's CPU a job", cost)
    assert.is_true(cost < 1.5, ("%.2f ms a job"):format(cost)) -- it was 6.6 ms when each wake-up named no queue
  end)

  H.it_on("redis", "in queues that were emptied long ago leave no name behind", function(t)
    local server = own_redis(t)
    t:script("a.lua", [[for i = 0, 1 do skein.task("d" .. i, function(job) end) end
      skein.queue("bound", { max_len = 5 })]])
    fill(t, "d", 300, 300)
    assert.equal(0, (t:drain({ "-w", "1" }, 30)))
    t:ok("pause", "q7")
    t:enqueue("elsewhere", { flags = { "--queue", "q8" } })
    assert.is_true(#t:json "queues" >= 300)
    for i = 0, 299 do server:call("HSET", "{skein}:counts", "i:q" .. i, 1000) end -- empty since 1970
    server:call("HDEL", "{skein}:counts", "i")
    t:run({ "-w", "1" }, { env = { SKEIN_LEASE = "2" } })
    t:wait_for("most queues to be forgotten", 20, function() return #t:json "queues" < 10 end)
    local left = {}
    for _, q in ipairs(t:json "queues") do left[q.name] = true end
    assert.is_true(left.q7 and left.q8)
  end)
end)
