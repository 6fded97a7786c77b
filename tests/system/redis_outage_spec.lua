-- Redis away, in every way there is, while an engine has work: it rides it out, quietly, and settles what finished
-- meanwhile; a client gets an answer within its timeout that says what is known.  SKEIN_TEST_OUTAGE_S: how long (5;
-- issue: 30).
local H = require "tests.system.harness"

local files, process, wait = H.files, H.process, H.wait

local OUTAGE_S = tonumber(os.getenv "SKEIN_TEST_OUTAGE_S" or "") or 5
local TIMEOUT_S = 2       -- of the store, so that OUTAGE_S is long
local JOBS = 200          -- running when it begins
local CLIENT_TIMEOUT_S = 2 * TIMEOUT_S + 0.5 -- it waits for a connection, and then for an answer
local CPU_SHARE_MAX = 0.05 -- of one CPU, while Redis is away

local SCRIPT = [[
  skein.task("hold", { retries = 0 }, function(job, n, s) fx("start", n) skein.sleep(s) fx("end", n) end)
  skein.task("ping", { retries = 0 }, function(job, n) fx("ping", n) end)]]

-- Connects while all is well, then waits for the word to enqueue one job, and says how that went.
local CLIENT = [[
local skein = require "skein"
local ffi = require "ffi"
ffi.cdef "int poll(void *, unsigned long, int);"
assert(skein.connect())
assert(skein.enqueue({ task = "ping", queue = "default" }, "before"))
io.write("connected\n") io.flush()
while not io.open(%q) do ffi.C.poll(nil, 0, 10) end
local from = skein.now()
local h, err = skein.enqueue({ task = "ping", queue = "default", id = "meanwhile" }, "meanwhile")
io.write(("%%s %%.3f %%s\n"):format(h and "accepted" or err.code, skein.now() - from, h and "" or err.message))]]

-- CPU that the core used per second from now until stop() is called.
local function cpu_meter(engine)
  local from, used = H.now(), process.cpu_s(engine.child.pid)
  return function() return (process.cpu_s(engine.child.pid) - used) / (H.now() - from) end
end

local function distinct(effects)
  local seen, n = {}, 0
  for _, f in ipairs(effects) do
    if not seen[f[1]] then seen[f[1]], n = true, n + 1 end
  end
  return n
end

--- An outage in the middle of work.  case: begin(t), finish(t), fate (what the client may be told, a set), lost = true
-- when the data is gone, quiet = true when the engine's own work goes on, so that it has nothing to say.
local function ride_out(t, case)
  t:script("a.lua", SCRIPT)
  local direct = t.url
  if case.network then t.network = t:proxy() end
  t:use((t.network or t.redis):url() .. "?timeout=" .. TIMEOUT_S)
  local engine = t:run { "-w", "2", "-c", "150" }
  local client = t:start_client(CLIENT:format(t.dir .. "/go"))
  t:use(direct)
  wait.wait_for("the client", 5, function() return client.stdout:find "connected" end)
  t:wait_effects("ping", 1)
  local filled = t:client(([[local skein, sigs = require "skein", {}
    for i = 1, %d do sigs[i] = { task = "hold", args = { i, %g * (0.2 + 0.6 * i / %d) } } end
    assert(skein.enqueue_many(sigs))]]):format(JOBS, OUTAGE_S, JOBS))
  assert.equal(0, filled.code, filled.err)
  t:wait_effects("start", JOBS)

  local stop_meter = cpu_meter(engine)
  case.begin(t)
  local from = H.now()
  files.write(t.dir .. "/go", "")
  -- Its jobs end while nobody can be told.
  t:wait_effects("end", JOBS, OUTAGE_S + 2)
  wait.wait_for("the client's answer", CLIENT_TIMEOUT_S, function() return not client:running() end)
  local told, took = client.stdout:match "connected\n(%S+) ([%d.]+)"
  assert(told, client.stdout .. client.stderr)
  wait.poll(OUTAGE_S - (H.now() - from), function() t:check_engines() return false end)
  local share = stop_meter()
  case.finish(t)
  local back = H.now()

  -- All is well again: what finished is settled, once, and new work is done.
  if not case.lost then
    t:wait_for("the settles", 12, function() return t:counters().done >= JOBS + 1 end)
  end
  H.say("client: %s after %.2f s; core's CPU %.1f %%; settled %.1f s after the end", told, tonumber(took), share * 100,
    H.now() - back)
  local after = t:cli({ "enqueue", "ping", '"after"', "--queue", "default" })
  assert.equal(0, after.code, after.err)
  local function pinged(what)
    for _, f in ipairs(t:effects "ping") do
      if f[1] == what then return true end
    end
  end
  t:wait_for("the job that came after", 8, function() return pinged "after" end)
  t:wait_for("an empty store", 8, function() return #t:json "jobs" == 0 end)
  assert.equal(JOBS, t:count "start")
  assert.equal(JOBS, distinct(t:effects "end"))
  if not case.lost then
    assert.equal(JOBS + 2 + (pinged "meanwhile" and 1 or 0), t:counters().done)
  end
  -- The client was told what is true.
  assert.is_true(case.fate[told], "the client was told " .. told)
  assert.is_true(tonumber(took) < CLIENT_TIMEOUT_S)
  if told == "accepted" then assert.is_true(pinged "meanwhile")
  elseif told ~= "unknown_fate" then assert.is_nil(pinged "meanwhile") end
  -- It neither span nor raved.
  assert.is_true(share < CPU_SHARE_MAX, ("used %.0f %% of a CPU"):format(share * 100))
  local said, failed = {}, engine:logged "trying again until it works"
  for _, line in ipairs(failed) do
    local chore = line.text:match "store: (.-) failed"
    assert.is_nil(said[chore], "said twice: " .. line.text)
    said[chore] = true
  end
  assert.is_true(#failed > 0 or case.quiet, "the log says nothing")
  if #failed > 0 then engine:wait_log("store: works again", 12) end -- the lease's renewal has a slow pace of its own
  assert.equal(#failed > 0 and 1 or 0, #engine:logged "store: works again")
  assert.equal(0, engine:stop())
end

local UNAVAILABLE = { unavailable = true }
local EITHER = { unavailable = true, unknown_fate = true }
local AOF = { "appendonly yes", "appendfsync always" }

describe("an engine and a client ride it out when Redis", function()
  H.it_on("redis", "is stopped and started again with its data", function(t)
    t:own_redis(AOF)
    ride_out(t, {
      begin = function() t.redis:stop() end,
      finish = function() t.redis:restart() end,
      fate = EITHER,
    })
  end)

  H.it_on("redis", "is killed and started again with its data", function(t)
    t:own_redis(AOF)
    ride_out(t, {
      begin = function() t.redis:kill() end,
      finish = function() t.redis:restart() end,
      fate = EITHER,
    })
  end)

  H.it_on("redis", "is killed and comes back without its data", function(t)
    t:own_redis(AOF)
    ride_out(t, {
      lost = true,
      begin = function() t.redis:kill() end,
      finish = function()
        t.redis:lose_data()
        t.redis:restart()
      end,
      fate = EITHER,
    })
  end)

  H.it_on("redis", "is frozen", function(t)
    t:own_redis(AOF)
    ride_out(t, {
      begin = function() t.redis:freeze() end,
      finish = function() t.redis:thaw() end,
      fate = { unknown_fate = true },
    })
  end)

  H.it_on("redis", "answers LOADING", function(t)
    local server = t:own_redis(AOF)
    ride_out(t, {
      begin = function()
        for first = 1, 5000, 500 do
          local pairs_ = {}
          for i = first, first + 499 do
            pairs_[#pairs_ + 1] = "ballast:" .. i
            pairs_[#pairs_ + 1] = i
          end
          assert(server:call("MSET", unpack(pairs_)))
        end
        assert(server:call "BGREWRITEAOF")
        t:wait_for("the AOF", 10, function()
          return server:info "aof_rewrite_in_progress" == "0" and server:info "aof_rewrite_scheduled" == "0"
        end)
        server:kill()
        server.config[#server.config + 1] = "loading-process-events-interval-bytes 1024"
        server.config[#server.config + 1] = ("key-load-delay %d"):format(OUTAGE_S * 1e6 / 5000)
        server:restart { wait = false }
        t:wait_for("LOADING", 5, function()
          local _, why = server:call("GET", "x")
          return why and why:find "^LOADING"
        end)
      end,
      finish = function() server:wait_up(OUTAGE_S + 10) end,
      fate = EITHER,
    })
  end)

  H.it_on("redis", "has no memory left", function(t)
    t:own_redis(AOF)
    ride_out(t, {
      quiet = true, -- what frees memory is never refused
      begin = function() assert(t.redis:call("CONFIG", "SET", "maxmemory", "1mb")) end,
      finish = function() assert(t.redis:call("CONFIG", "SET", "maxmemory", "0")) end,
      fate = UNAVAILABLE,
    })
  end)

  H.it_on("redis", "is read-only, a replica of nobody", function(t)
    t:own_redis(AOF)
    ride_out(t, {
      begin = function() assert(t.redis:call("REPLICAOF", "127.0.0.1", "1")) end,
      finish = function() assert(t.redis:call("REPLICAOF", "NO", "ONE")) end,
      fate = UNAVAILABLE,
    })
  end)

  H.it_on("redis", "is busy with somebody's endless script", function(t)
    local server = t:own_redis { "busy-reply-threshold 50" }
    local other
    ride_out(t, {
      begin = function()
        other = assert(server:connect())
        other:send("EVAL", "while true do end", 0)
        t:wait_for("BUSY", 5, function()
          local _, why = server:call("GET", "x")
          return why and why:find "^BUSY"
        end)
      end,
      finish = function()
        assert(server:call("SCRIPT", "KILL"))
        other:close()
      end,
      fate = UNAVAILABLE,
    })
  end)

  H.it_on("redis", "sits behind a network that swallows bytes without closing", function(t)
    t:own_redis(AOF)
    ride_out(t, {
      network = true,
      begin = function() t.network:swallow() end,
      finish = function() t.network:pass() end,
      fate = { unknown_fate = true },
    })
  end)

  H.it_on("redis", "sits behind a network that cuts and refuses connections", function(t)
    t:own_redis(AOF)
    ride_out(t, {
      network = true,
      begin = function()
        t.network:refuse()
      end,
      finish = function() t.network:pass() end,
      fate = EITHER,
    })
  end)

  H.it_on("redis", "forgets its scripts: nobody notices", function(t)
    t:own_redis()
    t:script("a.lua", SCRIPT)
    local engine = t:run { "-w", "1" }
    for i = 1, 5 do
      assert(t.redis:call("SCRIPT", "FLUSH"))
      t:enqueue("ping", i)
      t:wait_effects("ping", i)
    end
    t:wait_for("the settles", 5, function() return t:counters().done == 5 end)
    assert.equal(0, #engine:logged "store:")
  end)
end)

describe("without a Redis", function()
  H.it_on("redis", "an engine and a command say so, with exit code 69", function(t)
    t:script("a.lua", SCRIPT)
    t:use("redis://127.0.0.1:" .. H.redis.free_port())
    for _, args in ipairs { { "run", t.scripts }, { "enqueue", "ping", "1" }, { "jobs" } } do
      local result = t:cli(args, { timeout = 10 })
      assert.equal(69, result.code)
      assert.matches("127.0.0.1", result.err)
    end
    local result = t:client [[
      local skein = require "skein"
      local h, err = skein.enqueue("ping", 1)
      print(h, err.code)]]
    assert.equal("nil\tunavailable\n", result.out)
  end)
end)
