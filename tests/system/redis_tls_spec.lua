-- Redis behind TLS: alone, with its sentinels, as a cluster.
local H = require "tests.system.harness"

local uv = require "luv"
local process = H.process

local TASK = [[skein.task("note", { keep = 0 }, function(_, n) fx("note", n) end)]]
local BUS_PORT_MAX = 65535 - 10000 -- a cluster's nodes talk on the port 10000 above theirs

local function openssl(t, ...)
  local said = t:cli({ ... }, { program = "openssl" })
  assert.equal(0, said.code, said.err)
end

-- Makes NAME.crt and NAME.key in the test's directory, signed by its authority, which is ca.crt.
local function certificate(t, name, extensions)
  local path = t.dir .. "/" .. name
  H.files.write(path .. ".ext", extensions)
  openssl(t, "req", "-newkey", "rsa:2048", "-nodes", "-keyout", path .. ".key", "-out", path .. ".csr",
    "-subj", "/CN=" .. name)
  openssl(t, "x509", "-req", "-in", path .. ".csr", "-CA", t.dir .. "/ca.crt", "-CAkey", t.dir .. "/ca.key",
    "-CAcreateserial", "-days", "2", "-extfile", path .. ".ext", "-out", path .. ".crt")
end

-- The authority, the servers' certificate for those names, and a client's.
local function certificates(t, names)
  openssl(t, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", t.dir .. "/ca.key",
    "-out", t.dir .. "/ca.crt", "-days", "2", "-subj", "/CN=test authority")
  certificate(t, "server", "subjectAltName=" .. names)
  certificate(t, "client", "extendedKeyUsage=clientAuth")
end

local function free_port()
  local port
  repeat port = H.free_port() until port <= BUS_PORT_MAX
  return port
end

-- A server that speaks nothing but TLS, and asks clients for a certificate.  sentinel: the text of its configuration.
local function start(t, args, sentinel)
  local port = free_port()
  local dir = t.dir .. "/" .. port
  H.files.make_dirs(dir)
  if sentinel then H.files.write(dir .. "/sentinel.conf", sentinel) end
  local argv = sentinel and { dir .. "/sentinel.conf", "--sentinel" } or {}
  for _, arg in ipairs { "--port", "0", "--tls-port", tostring(port), "--bind", "127.0.0.1", "--dir", dir, "--save", "",
    "--loglevel", "warning", "--tls-cert-file", t.dir .. "/server.crt", "--tls-key-file", t.dir .. "/server.key",
    "--tls-ca-cert-file", t.dir .. "/ca.crt" } do argv[#argv + 1] = arg end
  for _, arg in ipairs(args) do argv[#argv + 1] = arg end
  local name = "redis-server " .. port
  t.children[#t.children + 1] = process.start("redis-server",
    { args = argv, env = uv.os_environ(), cwd = dir, name = name })
  return port
end

local function ask(t, port, ...)
  return t:cli({ "-p", tostring(port), "--tls", "--cacert", t.dir .. "/ca.crt", "--cert", t.dir .. "/client.crt",
    "--key", t.dir .. "/client.key", ... }, { program = "redis-cli" }).out
end

local function wait_up(t, port)
  t:wait_for("port " .. port, 10, function() return ask(t, port, "ping"):find "PONG" end)
end

-- The parameters of a URL: the authority, and a client's certificate.
local function parameters(t)
  local ca = "?ca=" .. t.dir .. "/ca.crt"
  return ca, ca .. "&cert=" .. t.dir .. "/client.crt&key=" .. t.dir .. "/client.key"
end

local function run_jobs(t, url)
  t:use(url)
  t:script("a.lua", TASK)
  local engine = t:run { "-w", "1" }
  for n = 1, 20 do t:enqueue("note", n) end
  t:enqueue("note", ("x"):rep(100000))
  t:wait_effects("note", 21)
  assert.equal(0, engine:stop())
end

describe("TLS:", function()
  H.it_on("redis", "the server's certificate is verified, a client's is shown", function(t)
    certificates(t, "DNS:localhost")
    local port = start(t, {})
    wait_up(t, port)
    local ca, shown = parameters(t)
    local function stats(url) return t:cli { "stats", "-s", url } end
    local base = "rediss://localhost:" .. port
    assert.is_truthy(stats(base).err:find "certificate: .*self%-signed")
    assert.is_truthy(stats("rediss://127.0.0.1:" .. port .. shown).err:find "IP address mismatch")
    assert.equal(69, stats(base .. ca).code)
    assert.equal(78, stats(base .. "?ca=/nowhere.pem").code)
    run_jobs(t, base .. shown)
  end)

  H.it_on("redis", "sentinels are asked over it, and the master that they name is too", function(t)
    certificates(t, "IP:127.0.0.1")
    local master = start(t, {})
    wait_up(t, master)
    local sentinel = start(t, { "--tls-replication", "yes" },
      ("sentinel monitor mymaster 127.0.0.1 %d 1\n"):format(master))
    wait_up(t, sentinel)
    local ca, shown = parameters(t)
    local base = ("rediss+sentinel://127.0.0.1:%d/mymaster"):format(sentinel)
    local unverified = t:cli { "stats", "-s", base }
    assert.equal(69, unverified.code)
    assert.is_truthy(unverified.err:find "certificate: .*self%-signed", unverified.err)
    assert.equal(69, t:cli({ "stats", "-s", base .. ca .. "&timeout=2" }).code)
    local plain = t:cli { "stats", "-s", (base:gsub("^rediss", "redis")) .. "?timeout=2" }
    assert.equal(69, plain.code)
    run_jobs(t, base .. shown)
  end)

  H.it_on("redis", "a cluster is reached over it, also the node that the first one names", function(t)
    certificates(t, "IP:127.0.0.1")
    local ports = {}
    for i = 1, 2 do ports[i] = start(t, { "--cluster-enabled", "yes", "--tls-cluster", "yes" }) end
    for _, port in ipairs(ports) do wait_up(t, port) end
    local slot = tonumber(ask(t, ports[1], "cluster", "keyslot", "{skein}"):match "%d+")
    -- The second node has the slot of the store, the URL names the first.
    ask(t, ports[2], "cluster", "addslots", tostring(slot))
    if slot > 0 then ask(t, ports[1], "cluster", "addslotsrange", "0", tostring(slot - 1)) end
    if slot < 16383 then ask(t, ports[1], "cluster", "addslotsrange", tostring(slot + 1), "16383") end
    ask(t, ports[1], "cluster", "set-config-epoch", "1")
    ask(t, ports[2], "cluster", "set-config-epoch", "2")
    ask(t, ports[1], "cluster", "meet", "127.0.0.1", tostring(ports[2]))
    t:wait_for("the cluster", 20, function()
      for _, port in ipairs(ports) do
        if not ask(t, port, "cluster", "info"):find "cluster_state:ok" then return false end
      end
      return true
    end)
    local ca, shown = parameters(t)
    local base = "rediss+cluster://127.0.0.1:" .. ports[1]
    assert.equal(69, t:cli({ "stats", "-s", base }).code)
    assert.equal(69, t:cli({ "stats", "-s", base .. ca .. "&timeout=2" }).code)
    run_jobs(t, base .. shown)
  end)
end)
