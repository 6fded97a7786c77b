-- The store goes back in time while engines and clients live: Redis restores an older dump, is emptied, fails over to a
-- replica that lagged.  Engines and clients start anew on it, and nothing stays stuck.
local H = require "tests.system.harness"

local uv = require "luv"
local wait, process = H.wait, H.process

local function start_redis(t)
  local args = { "--port", "0", "--unixsocket", t.dir .. "/redis.sock", "--dir", t.dir, "--save", "", "--loglevel",
    "warning" }
  t.redis = process.start("redis-server", { args = args, env = uv.os_environ(), cwd = t.dir, name = "redis-server" })
  t.children[#t.children + 1] = t.redis
  local ok = wait.poll(5, function() return t:redis_cli("ping"):find "PONG" end)
  if not ok then error("redis-server does not answer: " .. t.redis.stdout .. t.redis.stderr, 0) end
end

local function redis_cli(t, ...) return t:cli({ "-s", t.dir .. "/redis.sock", ... }, { program = "redis-cli" }).out end

-- Back to the last SAVE.
local function go_back(t)
  t.redis:stop_hard()
  t:start_redis()
end

local function it_alone(name, fn)
  H.it_on("redis", name, function(t)
    t.start_redis, t.redis_cli, t.go_back = start_redis, redis_cli, go_back
    t:start_redis()
    t.url = "redis+unix://" .. t.dir .. "/redis.sock"
    t.env.SKEIN_STORE = t.url
    fn(t)
  end)
end

local GOES_ON = { head = 1, queues = 1, counts = 1, tasks = 1, templates = 1, leases = 1, engines = 1, bounds = 1 }

local function keys_left(t)
  local left = {}
  for key in t:redis_cli("--scan"):gmatch "[^\n]+" do
    if not GOES_ON[key:match "^{skein}:(.*)$"] then left[#left + 1] = key end
  end
  return table.concat(left, " ")
end

local function count_text(text, what)
  local n = 0
  for _ in text:gmatch(what) do n = n + 1 end
  return n
end

local STARTS_ANEW = "is not where it was left"

describe("a store that went back in time", function()
  it_alone("retries a job that ran in the dump and failed after it", function(t)
    t:script("a.lua", [[ skein.task("sleepy", { backoff = { 0.2 }, limit = { concurrency = 1 }, unique = true },
      function(job)
      fx("start", job.attempt)
      skein.sleep(0.5)
      if job.attempt == 1 then error "no" end
      fx("done")
    end) ]])
    local engine = t:run { "-w", "1" }
    t:enqueue "sleepy"
    t:wait_effects("start", 1)
    t:redis_cli "save"
    engine:wait_log "job failed, retry"
    t:go_back()
    engine:wait_log(STARTS_ANEW)
    t:wait_effects("done", 1)
    t:wait_for("nothing left but counters", 5, function() return keys_left(t) == "" end)
    assert.equal(1, count_text(engine.child.stderr, STARTS_ANEW))
    assert.equal(0, engine:stop())
  end)

  -- The engine loses the answer of its first fetch after it has started anew, on a store that gives fences out for the
  -- second time.
  it_alone("strands no job whose fetch was answered to nobody", function(t)
    t:own_redis()
    local p = t:proxy()
    t:script("a.lua", [[ skein.task("work", { limit = { concurrency = 2 }, unique = { key = 1 } }, function(_, n)
      fx("work", n) end) ]])
    t:config '{ lease = 3 }'
    local direct = { env = { SKEIN_STORE = t.redis:url(0) } }
    t:use(p:url(0))
    local engine = t:run { "-w", "1" }
    local dump = t.dir .. "/dump"
    assert(t.redis:call "SAVE")
    t.redis:copy_data(dump)
    for n = 1, 20 do t:enqueue("work", n) end
    t:wait_effects("work", 20)
    t.redis:kill()
    t.redis:restore_data(dump)
    t.redis:restart()
    engine:wait_log(STARTS_ANEW)
    p:lose "stranded"
    assert.equal(0, t:cli({ "enqueue", "work", '"stranded"' }, direct).code)
    t:wait_for("a fetch whose answer is lost", 5, function() return p:stats().lost == 1 end)
    t:wait_effects("work", 21, 8)
    assert.equal("stranded", t:effects("work")[21][1])
    t:wait_for("nothing left but counters", 5, function() return #require("tests.support.left_over").redis(t.redis,
      0) == 0 end)
    assert.equal(0, engine:stop())
  end)

  -- Failover by hand to a replica that had stopped to replicate a while ago; the address stays, as with a virtual IP.
  it_alone("is a replica that lagged when it was made the master", function(t)
    t:own_redis()
    local p = t:proxy()
    local replica = H.redis.start { dir = t.dir .. "/replica", config = { "replicaof 127.0.0.1 " .. t.redis.port,
      "repl-diskless-sync-delay 0" } }
    t.at_end[#t.at_end + 1] = function() replica:close() end
    t:use(p:url(0))
    t:script("a.lua", t:released() .. [[
      skein.task("hold", { limit = { concurrency = 1 }, unique = true }, function() fx("hold") released("hold")
        fx("held") end)
      skein.task("work", { queue = "works", unique = { key = 1 } }, function(_, n) fx("work", n) end) ]])
    local one, two = t:run { "-w", "1" }, t:run { "-w", "1" }
    t:enqueue "hold"
    t:wait_effects("hold", 1)
    t:wait_for("the replica to have what the master has", 10, function()
      return replica:info "master_link_status" == "up"
        and replica:info "master_repl_offset" == t.redis:info "master_repl_offset"
    end)
    assert(replica:call("REPLICAOF", "NO", "ONE"))
    -- What the replica never hears of: the end of the job, and others.
    t:release "hold"
    t:wait_effects("held", 1)
    for n = 1, 20 do t:enqueue("work", n) end
    t:wait_effects("work", 20)
    p:target(replica.port)
    p:cut()
    t.redis:kill()
    one:wait_log(STARTS_ANEW)
    two:wait_log(STARTS_ANEW)
    t:wait_effects("held", 2)
    for n = 21, 40 do t:enqueue("work", n) end
    t:wait_effects("work", 40)
    local left_over = require "tests.support.left_over"
    t:wait_for("nothing left but counters", 5, function() return #left_over.redis(replica, 0) == 0 end)
    assert.equal(2, t:count "hold")
    assert.equal(0, one:stop())
    assert.equal(0, two:stop())
  end)

  it_alone("knows all tasks and queues again with the next contact, not the next beat", function(t)
    t:config '{ lease = 300 }'
    t:redis_cli "save"
    t:script("a.lua", [[ skein.task("mail", { queue = "mails", limit = { concurrency = 1 }, unique = true }, function()
      fx("mail") end)
      skein.queue("bound", { max_len = 3 }) ]])
    local engine = t:run { "-w", "1" }
    t:wait_for("the declaration", 5, function() return t:redis_cli("hget", "{skein}:tasks", "mail"):find "mails" end)
    for _, how in ipairs { "dump", "flush" } do
      if how == "dump" then t:go_back() else t:redis_cli "flushall" end
      t:wait_for("the declaration after " .. how, 8, function()
        return t:redis_cli("hget", "{skein}:tasks", "mail"):find "mails"
          and t:redis_cli("hget", "{skein}:bounds", "=bound"):find "3"
      end)
    end
    t:enqueue "mail"
    t:wait_effects("mail", 1)
    assert.equal(2, count_text(engine.child.stderr, STARTS_ANEW))
    assert.equal(0, engine:stop())
  end)

  it_alone("takes no end of an attempt of before for the one of after", function(t)
    t:script("a.lua", t:released() .. [[ skein.task("hold", { keep = 60 }, function(job)
      fx("start")
      local n = tonumber(io.open(os.getenv "FX_COUNT" , "r") and 2 or 1)
      if n == 1 then io.open(os.getenv "FX_COUNT", "w"):close() released("first") return "first" end
      released("second")
      return "second"
    end) ]])
    t.env.FX_COUNT = t.dir .. "/count"
    local id = t:enqueue "hold"
    t:redis_cli "save"
    local engine = t:run { "-w", "1", "-c", "4" }
    t:wait_effects("start", 1)
    t:go_back()
    t:wait_effects("start", 2)
    t:release "first"
    engine:wait_log "does not count"
    assert.equal("running", t:json("job", id).state)
    t:release "second"
    t:wait_state(id, "done")
    assert.equal("second", t:json("job", id).result)
    assert.equal(0, engine:stop())
  end)

  it_alone("is noticed by each of two engines, whichever comes first", function(t)
    t:script("a.lua", [[ skein.task("work", { limit = { concurrency = 3, key = 1 }, unique = { key = "args" } },
      function(_, k, n)
      skein.sleep(0.05)
      fx("work", k, n)
    end) ]])
    local one, two = t:run { "-w", "1", "-c", "5" }, t:run { "-w", "1", "-c", "5" }
    local function put(from, to)
      local out = t:client(([[ local skein = require "skein"
        for n = %d, %d do assert(skein.enqueue("work", "k" .. n %% 4, n)) end ]]):format(from, to),
          { env = { SKEIN_STORE = t.url } })
      assert.equal(0, out.code, out.err)
    end
    put(1, 60)
    t:redis_cli "save"
    t:wait_effects("work", 30)
    t:go_back()
    one:wait_log(STARTS_ANEW)
    two:wait_log(STARTS_ANEW)
    put(1001, 1040)
    t:wait_for("all jobs", 20, function() return #t:json "jobs" == 0 end)
    local seen = {}
    for _, f in ipairs(t:effects "work") do seen[tonumber(f[2])] = true end
    for n = 1, 60 do assert(seen[n], n) end
    for n = 1001, 1040 do assert(seen[n], n) end
    t:wait_for("nothing left but counters", 5, function() return keys_left(t) == "" end)
    assert.equal(0, one:stop())
    assert.equal(0, two:stop())
  end)

  it_alone("sends a client's jobs where they belong, also when it comes back before the engines", function(t)
    assert.equal(0, t:cli({ "enqueue", "other" }).code) -- the store is there, and has an epoch
    t:redis_cli "save"
    t:script("a.lua", [[ skein.task("mail", { queue = "mails" }, function() fx("mail") end) ]])
    local engine = t:run { "-w", "1" }
    t:wait_for("the declaration", 5, function() return t:redis_cli("hget", "{skein}:tasks", "mail"):find "mails" end)
    local client = t:start_client([[
      local skein = require "skein"
      assert(skein.enqueue("mail"))
      io.open(arg[0] .. ".first", "w"):close()
      while not io.open(arg[0] .. ".go") do os.execute("sleep 0.01") end
      os.execute("sleep 5.1") -- what it knows of tasks is old then (catalog.lua)
      local h
      repeat h = skein.enqueue("mail") until h -- Redis may be starting yet
      io.open(arg[0] .. ".second", "w"):close() ]], { env = { SKEIN_STORE = t.url } })
    local function there(name) local f = io.open(("%s/client-1.lua%s"):format(t.dir,
      name)) if f then f:close() return true end end
    t:wait_for("the client's first job", 5, function() return there ".first" end)
    t:wait_effects("mail", 1)
    engine:signal "sigstop"
    t:go_back()
    io.open(t.dir .. "/client-1.lua.go", "w"):close()
    t:wait_for("the client's second job", 15, function() return there ".second" end)
    assert.is_truthy(t:redis_cli("hkeys", "{skein}:queues"):find "mails")
    engine:signal "sigcont"
    t:wait_effects("mail", 2)
    client:stop_hard()
    assert.equal(0, engine:stop())
  end)
end)

-- An embedded store whose files are changed under a running engine.
local function it_ends(name, change)
  H.it_on("sqlite", name, function(t)
    t:config '{ lease = 3 }'
    t:script("a.lua", [[ skein.task("note", function() fx("note") end) ]])
    local path = t.dir .. "/jobs.db"
    t.url, t.env.SKEIN_STORE = "sqlite:" .. path, "sqlite:" .. path
    local engine = t:run { "-w", "1" }
    t:enqueue "note"
    t:wait_effects("note", 1)
    change(t, path)
    assert.not_equal(0, engine:wait_exit(10))
    assert.is_truthy(engine.child.stderr:find("while this process had it open", 1, true), engine.child.stderr)
  end)
end

describe("an engine on sqlite ends loudly when", function()
  it_ends("its database is removed", function(_, path) os.remove(path) end)
  it_ends("its lock file is removed", function(_, path) os.remove(path .. "-lock") end)
  it_ends("its database is replaced by another one, which stays as it is", function(t, path)
    local other = t.dir .. "/other.db"
    assert.equal(0, t:cli({ "enqueue", "note" }, { env = { SKEIN_STORE = "sqlite:" .. other } }).code)
    assert(os.rename(other, path))
  end)

  H.it_on("sqlite", "not before it begins: a database with a second name is refused", function(t)
    local path = t.dir .. "/jobs.db"
    assert.equal(0, t:cli({ "enqueue", "note" }, { env = { SKEIN_STORE = "sqlite:" .. path } }).code)
    assert(uv.fs_link(path, t.dir .. "/second.db"))
    local said = t:cli({ "enqueue", "note" }, { env = { SKEIN_STORE = "sqlite:" .. t.dir .. "/second.db" } })
    assert.equal(69, said.code)
    assert.is_truthy(said.err:find("hard links", 1, true), said.err)
  end)
end)
