-- Several hosts in a URL: silent ones at the head of the list, sentinels with a password of their own, a slot that is
-- half moved.
local H = require "tests.system.harness"

local uv = require "luv"
local process = H.process

local TASK = [[skein.task("note", { keep = 0 }, function(_, n) fx("note", n) end)]]

-- A port that takes connections and never says a word.
local function silent_port(t)
  local listener = uv.new_tcp()
  assert(listener:bind("127.0.0.1", 0))
  assert(listener:listen(128, function() end))
  t.at_end[#t.at_end + 1] = function() listener:close() end
  return listener:getsockname().port
end

local function start(t, port, args, sentinel)
  local dir = t.dir .. "/" .. port
  H.files.make_dirs(dir)
  local argv = sentinel and { dir .. "/sentinel.conf", "--sentinel" } or {}
  if sentinel then H.files.write(dir .. "/sentinel.conf", sentinel) end
  for _, arg in ipairs { "--port", tostring(port), "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--loglevel",
    "warning" } do argv[#argv + 1] = arg end
  for _, arg in ipairs(args or {}) do argv[#argv + 1] = arg end
  local server = process.start("redis-server", { args = argv, env = uv.os_environ(), cwd = dir, name = "redis-server "
    .. port })
  t.children[#t.children + 1] = server
end

local function ask(t, port, ...) return t:cli({ "-p", tostring(port), ... }, { program = "redis-cli" }).out end

describe("Redis Sentinel:", function()
  H.it_on("redis",
    "sentinels have a password of their own, and a silent one at the head costs a part of the time only", function(t)
    local master, sentinel, dead = H.free_port(), H.free_port(), silent_port(t)
    start(t, master, { "--requirepass", "mastersecret" })
    start(t, sentinel, {},
      ("sentinel monitor mymaster 127.0.0.1 %d 1\nsentinel auth-pass mymaster mastersecret\n"):format(master)
        .. "requirepass sentinelsecret\n")
    t:wait_for("the sentinel", 10, function()
      return ask(t, sentinel, "-a", "sentinelsecret", "sentinel", "get-master-addr-by-name",
        "mymaster"):find(tostring(master), 1, true)
    end)
    local function url(hosts, rest) return ("redis+sentinel://:mastersecret@%s/mymaster%s"):format(hosts, rest
      or "") end
    local live = "127.0.0.1:" .. sentinel
    local silent = "127.0.0.1:" .. dead
    for _, rest in ipairs { "", "?sentinel_password=wrong" } do
      local said = t:cli { "stats", "-s", url(live, rest) }
      assert.equal(69, said.code)
      assert.is_truthy(said.err:find("sentinel_password", 1, true), said.err)
      assert.is_nil(said.err:find("mastersecret", 1, true) or said.err:find("wrong", 1, true))
    end
    local rest = "?sentinel_password=sentinelsecret&timeout=3"
    for _, hosts in ipairs { live, live .. "," .. silent, silent .. "," .. live } do
      local said = t:cli { "enqueue", "note", "1", "-s", url(hosts, rest) }
      assert.equal(0, said.code, hosts .. ": " .. said.err)
    end
    t.env.SKEIN_STORE = url(silent .. "," .. live, rest)
    t:script("a.lua", TASK)
    local engine = t:run { "-w", "1" }
    t:wait_effects("note", 3)
    assert.equal(0, engine:stop())
  end)
end)

describe("Redis Cluster:", function()
  H.it_on("redis", "while a slot is half moved clients and starting engines wait for as long as their timeout says",
    function(t)
    local ports = {}
    for _ = 1, 2 do
      repeat ports[#ports + 1] = H.free_port() until ports[#ports] < 50000 or not table.remove(ports)
    end
    for _, port in ipairs(ports) do start(t, port, { "--cluster-enabled", "yes", "--appendonly", "no" }) end
    for _, port in ipairs(ports) do t:wait_for("node " .. port, 10,
      function() return ask(t, port, "ping"):find "PONG" end) end
    local slot = ask(t, ports[1], "cluster", "keyslot", "{skein}"):match "%d+"
    ask(t, ports[1], "cluster", "addslotsrange", "0", "16383")
    ask(t, ports[1], "cluster", "meet", "127.0.0.1", tostring(ports[2]))
    t:wait_for("the cluster", 20, function()
      for _, port in ipairs(ports) do
        if not ask(t, port, "cluster", "info"):find "cluster_state:ok"
          or not ask(t, port, "cluster", "info"):find "known_nodes:2" then return false end
      end
      return true
    end)
    t.env.SKEIN_STORE = ("redis+cluster://127.0.0.1:%d,127.0.0.1:%d?timeout=20"):format(ports[1], ports[2])
    t:script("a.lua", TASK)
    t:enqueue("note", 1)
    local ids = {}
    for i, port in ipairs(ports) do ids[i] = ask(t, port, "cluster", "myid"):match "%w+" end
    ask(t, ports[2], "cluster", "setslot", slot, "importing", ids[1])
    ask(t, ports[1], "cluster", "setslot", slot, "migrating", ids[2])
    -- the others stay
    ask(t, ports[1], "migrate", "127.0.0.1", tostring(ports[2]), "", "0", "5000", "keys", "{skein}:jobs")
    local client = t:start { "enqueue", "note", "2" }
    local quick = t:cli { "enqueue", "note", "3", "-s", (t.env.SKEIN_STORE:gsub("timeout=20", "timeout=1")) }
    assert.equal(69, quick.code)
    assert.is_truthy(quick.err:find "TRYAGAIN" or quick.err:find "ASK", quick.err)
    local engine = t:run({ "-w", "1" }, { ready = false })
    H.wait.poll(2, function() return not client:running() or not engine.child:running() end)
    assert.is_true(client:running() and engine.child:running())
    repeat
      local keys = {}
      for key in ask(t, ports[1], "cluster", "getkeysinslot", slot, "100"):gmatch "[^\n]+" do keys[#keys + 1] = key end
      if #keys > 0 then ask(t, ports[1], "migrate", "127.0.0.1", tostring(ports[2]), "", "0", "5000", "keys",
        unpack(keys)) end
    until #keys == 0
    for _, port in ipairs { ports[2], ports[1] } do ask(t, port, "cluster", "setslot", slot, "node", ids[2]) end
    assert.equal(0, client:wait(10), client.stderr)
    t:wait_effects("note", 2)
    assert.equal(0, engine:stop())
  end)
end)

-- What went through a proxy, both ways.
local function bytes(p)
  local stats = p:stats()
  return stats.to_target_bytes + stats.from_target_bytes
end

describe("Redis at the end of a thin line:", function()
  H.it_on("redis", "a server that takes bytes is alive, and each outcome goes over the line once", function(t)
    t:own_redis()
    local p = t:proxy()
    t:script("a.lua", [[skein.task("fails", { retries = 0 }, function() error "on purpose" end)]])
    for i = 1, 60 do t:client(([[assert(require "skein".enqueue("fails", ("x"):rep(100000), %d))]]):format(i)) end
    p:upload(1e6)
    t.env.SKEIN_STORE = p:url(0) .. "?timeout=1"
    local engine = t:run { "-w", "1", "-c", "60" }
    local before = bytes(p)
    t:wait_for("60 dead jobs", 30, function() return t.redis:call("ZCARD", "{skein}:dead") == 60 end)
    assert.equal(0, #engine:logged "settling jobs failed")
    H.say("%.1f MB for 6 MB of jobs, each way", (bytes(p) - before) / 1e6)
    assert.is_true(bytes(p) - before < 2.5 * 6.1e6)
    p:upload(0)
    assert.equal(0, engine:stop())
  end)
end)
