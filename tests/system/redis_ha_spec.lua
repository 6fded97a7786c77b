-- Redis Sentinel and Redis Cluster, for real: a failover under load, a slot that moves under load.
local H = require "tests.system.harness"

local uv = require "luv"
local wait, process = H.wait, H.process

local NOTES = [[
skein.task("slow", { keep = 0 }, function(_, n) skein.sleep(0.02) fx("note", n) end)
skein.task("plan", { keep = 0, priority = 2 }, function(_, n)
  for from = 1, n, 100 do
    local sigs = {}
    for i = from, math.min(n, from + 99) do sigs[#sigs + 1] = { task = "slow", args = { i } } end
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

-- A redis-server on a port and in a folder of its own; returns its process, with .port.
local function start(t, port, args, mode)
  local dir = t.dir .. "/" .. port
  H.files.make_dirs(dir)
  local argv = mode == "sentinel" and { dir .. "/sentinel.conf", "--sentinel" } or {}
  for _, arg in ipairs { "--port", tostring(port), "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--loglevel",
    "warning",
    "--repl-diskless-sync-delay", "0" } do argv[#argv + 1] = arg end
  for _, arg in ipairs(args or {}) do argv[#argv + 1] = arg end
  local server = process.start("redis-server", { args = argv, env = uv.os_environ(), cwd = dir, name = "redis-server "
    .. port })
  t.children[#t.children + 1] = server
  server.port = port
  return server
end

local function ask(t, port, ...) return t:cli({ "-p", tostring(port), ... }, { program = "redis-cli" }).out end

local function is_free(port)
  local socket = uv.new_tcp()
  local free = socket:bind("127.0.0.1", port) == 0 and socket:listen(1, function() end) == 0
  socket:close()
  uv.run "nowait"
  return free
end

-- Each with its neighbour 10000 above, where the nodes of a cluster talk.
local function free_ports(n)
  local ports, port = {}, 20000 + uv.hrtime() % 20000
  while #ports < n do
    port = port + 1
    if is_free(port) and is_free(port + 10000) then ports[#ports + 1] = port end
  end
  return ports
end

local function load_it(t, url, n)
  t.env.SKEIN_STORE = url .. "?timeout=2"
  t:script("a.lua", NOTES)
  local engine = t:run { "-w", "2", "-c", "10" }
  t:enqueue("plan", n)
  t:wait_effects("planned", 1, 10)
  t:wait_effects("note", 50, 10)
  return engine
end

-- A failover may lose what the dead master had not sent to its replica yet: replication is asynchronous.
local function all_done(t, n, engine)
  t:wait_effects("note", n, 40)
  local notes = t:effects "note"
  H.say("%d jobs: %d ran, %d ran twice", n, distinct(notes), #notes - distinct(notes))
  assert.equal(n, distinct(notes))
  t:wait_for("an empty store", 10, function()
    local result = t:cli { "jobs", "--json" }
    return result.code == 0 and result.out:find "^%s*%[%s*%]"
  end)
  assert.equal(0, engine:stop())
end

describe("Redis Sentinel:", function()
  H.it_on("redis", "the master is found, and a failover followed", function(t)
    local ports = free_ports(3)
    local master = start(t, ports[1])
    start(t, ports[2], { "--replicaof", "127.0.0.1 " .. ports[1] })
    t:wait_for("the replica", 10, function()
      return ask(t, ports[2], "info", "replication"):find "master_link_status:up"
        and ask(t, ports[1], "info", "replication"):find "state=online"
    end)
    H.files.write(t.dir .. "/" .. ports[3] .. "/sentinel.conf",
      ("sentinel monitor mymaster 127.0.0.1 %d 1\nsentinel down-after-milliseconds mymaster 500\n" ..
      "sentinel failover-timeout mymaster 3000\n"):format(ports[1]))
    start(t, ports[3], {}, "sentinel")
    t:wait_for("the sentinel", 10, function() return ask(t, ports[3], "sentinel", "replicas",
      "mymaster"):find(tostring(ports[2]), 1, true) end)
    local wrong = t:cli { "stats", "-s", ("redis+sentinel://127.0.0.1:%d/nobody"):format(ports[3]) }
    assert.equal(69, wrong.code)
    assert.is_truthy(wrong.err:find "does not know a master of that name")
    local engine = load_it(t, ("redis+sentinel://127.0.0.1:1,127.0.0.1:%d/mymaster"):format(ports[3]), 1000)
    t:wait_for("the replica to have what the master has", 10,
      function() return ask(t, ports[2], "hlen", "{skein}:jobs"):find "[1-9]" end)
    master:stop_hard()
    local from, so_far = wait.seconds(), t:count "note"
    t:wait_for("progress after the failover", 20, function() return t:count "note" > so_far + 60 end)
    H.say("going on %.1f s after the master's death", wait.seconds() - from)
    all_done(t, 1000, engine)
  end)
end)

describe("Redis Cluster:", function()
  H.it_on("redis", "a slot that moves and a master that dies under load", function(t)
    local ports, nodes = free_ports(6), {}
    for i, port in ipairs(ports) do
      nodes[i] = start(t, port, { "--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--appendonly", "no" })
    end
    for _, port in ipairs(ports) do t:wait_for("node " .. port, 10,
      function() return ask(t, port, "ping"):find "PONG" end) end
    local create = { "--cluster", "create" }
    for _, port in ipairs(ports) do create[#create + 1] = "127.0.0.1:" .. port end
    for _, arg in ipairs { "--cluster-replicas", "1", "--cluster-yes" } do create[#create + 1] = arg end
    local made = t:cli(create, { program = "redis-cli", timeout = 60 })
    assert.equal(0, made.code, made.out)
    t:wait_for("the cluster", 20, function()
      for _, port in ipairs(ports) do
        if not ask(t, port, "cluster", "info"):find "cluster_state:ok" then return false end
      end
      return true
    end)
    for _, port in ipairs(ports) do
      t:wait_for("replicas", 20, function()
        local info = ask(t, port, "info", "replication")
        return info:find "master_link_status:up" or info:find "slave0:.*state=online"
      end)
    end
    local url = ("redis+cluster://127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d"):format(ports[1], ports[2], ports[3])
    local engine = load_it(t, url, 1500)

    local slot = ask(t, ports[1], "cluster", "keyslot", "{skein}"):match "%d+"
    local function owner()
      for line in ask(t, ports[4], "cluster", "nodes"):gmatch "[^\n]+" do
        local id, port, flags, rest = line:match "^(%S+) 127.0.0.1:(%d+)@%d+%S* (%S+) (.*)$"
        if flags and flags:find "master" and not flags:find "fail" then
          for from, to in (rest .. " "):gmatch "(%d+)%-?(%d*) " do
            if tonumber(from) <= tonumber(slot) and tonumber(slot) <= tonumber(to ~= "" and to or from)
              and rest:find "connected" then
              if #rest:match "connected(.*)$" > 0 and (rest:match "connected(.*)$" .. " "):find("%f[%d]" .. from
                .. "%f[^%d]") then return id, tonumber(port) end
            end
          end
        end
      end
    end
    local source_id, source_port = owner()
    assert.is_truthy(source_port)
    local target_port = source_port == ports[1] and ports[2] or ports[1]
    local target_id = ask(t, target_port, "cluster", "myid"):match "%w+"
    local so_far = t:count "note"
    ask(t, target_port, "cluster", "setslot", slot, "importing", source_id)
    ask(t, source_port, "cluster", "setslot", slot, "migrating", target_id)
    repeat
      local keys = {}
      for key in ask(t, source_port, "cluster", "getkeysinslot", slot,
        "100"):gmatch "[^\n]+" do keys[#keys + 1] = key end
      if #keys > 0 then
        local answer = ask(t, source_port, "migrate", "127.0.0.1", tostring(target_port), "", "0", "5000", "keys",
          unpack(keys))
        assert.is_truthy(answer:find "OK" or answer:find "NOKEY", answer)
      end
    until #keys == 0
    for _, port in ipairs { target_port, source_port } do ask(t, port, "cluster", "setslot", slot, "node",
      target_id) end
    t:wait_for("progress after the slot has moved", 10, function() return t:count "note" > so_far + 50 end)
    H.say("slot %s moved after %d jobs", slot, so_far)

    so_far = t:count "note"
    for _, node in ipairs(nodes) do
      if node.port == target_port then node:stop_hard() end
    end
    t:wait_for("progress after the failover", 20, function() return t:count "note" > so_far + 50 end)
    H.say("failed over after %d jobs", so_far)
    all_done(t, 1500, engine)
  end)
end)
