-- No call that others wait for: with very many jobs in the store no script of Redis runs long, and other jobs go on
-- meanwhile. `make system T=bounded SKEIN_TEST_STORE=redis`.  BOUNDED_JOBS (100,000) sets how many: no bound here
-- depends on it.
--
-- SLOWLOG has wall time, which on a busy machine is longer than the work.  So the bound is on the median of the slowest
-- twenty calls of a kind, times how much longer all scripts took than the CPU time that Redis used meanwhile; before
-- they were cut into steps they took seconds.
local H = require "tests.system.harness"

local JOBS = tonumber(os.getenv "BOUNDED_JOBS") or 100000
local SLOW_US = 20000

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

-- The calls of Redis that took longest since the last time, us; and how often each script was called.
local function slowest(server)
  local script = [[local out = {} for _, e in ipairs(redis.call("SLOWLOG", "GET", 100000)) do
    if e[4][1]:upper() == "EVALSHA" or e[4][1]:upper() == "EVAL" then out[#out + 1] = e[3] end end
    redis.call("SLOWLOG", "RESET") table.sort(out, function(a, b) return a > b end)
      return table.concat(out, " ", 1, math.min(#out, 20))]]
  local list = {}
  for us in server:call("EVAL", script, "0"):gmatch "%d+" do list[#list + 1] = tonumber(us) end
  return list
end

-- CPU time that Redis has used, and wall time that its scripts took, us.
local used = {}
local function usage(server)
  local wall = server:call("INFO", "commandstats"):match "cmdstat_evalsha:calls=%d+,usec=(%d+)"
  return (server:info "used_cpu_user" + server:info "used_cpu_sys") * 1e6, tonumber(wall or 0)
end

-- No kind of call that was made since the last look is slow.
local function assert_short(server, what)
  local list = slowest(server)
  local cpu, wall = usage(server)
  local before = used[server] or { 0, 0 }
  local busy = math.max(1, (wall - before[2]) / math.max(1, cpu - before[1]))
  used[server] = { cpu, wall }
  if #list == 0 then return end
  local median = list[math.ceil(#list / 2)] / busy
  H.say("%s: %d calls over 1 ms among the slowest, median %.1f ms, worst %.1f ms", what, #list, median / 1000,
    list[1] / 1000)
  assert.is_true(median < SLOW_US, ("%s: the slowest scripts took %s us"):format(what, table.concat(list, " ")))
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
    fill(t, "a", JOBS, 3)
    slowest(server)
    assert.equal(0, #t:json("jobs", "--task", "nosuch"))
    assert_short(server, "list")
    local cancel = t:start_client([[local n = 0 local skein = require "skein"
      print(skein.admin.cancel({ task = "a1" }))]], { timeout = 300 })
    local pings = 0
    repeat
      pings = pings + 1
      t:enqueue("ping", pings)
      t:wait_effects("ping", pings, 10)
    until not cancel:running()
    assert.truthy(cancel.stdout:find(tostring(JOBS / 2), 1, true), cancel.stdout .. cancel.stderr)
    assert.is_true(pings > 2, pings .. " other jobs ran meanwhile")
    assert_short(server, "cancel")
    assert.equal(JOBS / 2, left_in(t, "ready"))
    t:ok("retry", "--state", "cancelled", "--task", "a1")
    assert_short(server, "retry")
    assert.equal(JOBS, left_in(t, "ready"))
    t:ok("delete", "--task", "a0")
    assert_short(server, "delete")
    assert.equal(JOBS / 2, left_in(t, "ready"))
    assert.equal(0, left_in(t, "cancelled"))
  end)

  H.it_on("redis", "that come due at one moment is made ready in short steps", function(t)
    local server = own_redis(t)
    t:script("a.lua", [[for i = 0, 1 do skein.task("d" .. i, { queue = "q0" }, function() end) end]])
    fill(t, "d", JOBS, 1, os.time() + 3)
    slowest(server)
    local code = t:drain({ "-w", "1", "-c", "50" }, 120)
    assert.equal(0, type(code) == "table" and code.code or code or 0)
    assert.equal(JOBS, t:counters().done)
    assert_short(server, "fetch of due jobs")
  end)

  H.it_on("redis", "that a dead engine held is taken over in short steps", function(t)
    local server = own_redis(t)
    t:script("a.lua", t:released() .. [[for i = 0, 1 do
      skein.task("h" .. i, { queue = "q0" }, function() while not released("all") do skein.sleep(1) end end) end]])
    local first = t:run { "-w", "1", "-c", "6000" }
    fill(t, "h", 6000, 1)
    t:wait_for("6,000 running jobs", 30, function() return server:call("HLEN", "{skein}:held") == 6000 end)
    first:kill_core()
    slowest(server)
    t:run { "-w", "1", "-c", "1" }
    t:wait_for("the takeover", 30, function() return t:counters().recovered == 6000 end)
    assert_short(server, "recovery")
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
