-- Programs that load the module and then fork, as servers with several processes do, or close their descriptors, as
-- daemons do.
local H = require "tests.system.harness"

local HOST = [[
local skein, ffi = require "skein", require "ffi"
ffi.cdef "int fork(void); int waitpid(int, int *, int); int getpid(void);"
ffi.cdef "int close(int); int setsid(void); int setuid(int);"
local C = ffi.C
local function fork(fn)
  local pid = C.fork()
  if pid > 0 then return pid end
  local ok, err = pcall(fn)
  if not ok then io.stderr:write(tostring(err), "\n") end
  os.exit(ok and 0 or 1, true) -- closes the Lua state
end
local function join(pid)
  local status = ffi.new "int[1]"
  assert(C.waitpid(pid, status, 0) == pid)
  assert(status[0] == 0, "a child ended with status " .. status[0])
end
assert(skein.connect(os.getenv "SKEIN_STORE"))
]]

local function host(t, text)
  local result = t:client(HOST .. text)
  assert.same({ 0, "" }, { result.code, result.err })
  return result.out
end

local function queue(t) t:script("a.lua", [[skein.task("add", { keep = 600 }, function(_, a, b) return a + b end)]]) end

describe("a program that forks after it has connected", function()
  H.it("goes on, as do its children and theirs: nothing of what they enqueue is lost", function(t)
    host(t, [[
      assert(skein.enqueue("add", 0, 0))
      local children = {}
      for c = 1, 4 do
        children[c] = fork(function()
          for i = 1, 30 do assert(skein.enqueue("add", c, i)) end
          assert(skein.enqueue_many { { task = "add", args = { c, 31 } }, { task = "add", args = { c, 32 } } })
          join(fork(function()
            assert(skein.enqueue("add", c, 33))
            skein.close()
            assert(skein.enqueue("add", c, 34))
          end))
          assert(skein.enqueue("add", c, 35))
        end)
        assert(skein.enqueue("add", 0, c))
      end
      for i = 1, 30 do assert(skein.enqueue("add", 0, 4 + i)) end
      for _, pid in ipairs(children) do join(pid) end
      assert(skein.enqueue("add", 0, 35))]])
    local seen = {}
    for _, job in ipairs(t:json("jobs", "--limit", "1000")) do seen[job.args[1] .. "," .. job.args[2]] = true end
    for c = 0, 4 do
      for i = 1, 35 do assert.is_true(seen[c .. "," .. i], c .. "," .. i) end
    end
    assert.equal(176, t:counters().enqueued)
  end)

  H.it("waits for results in the parent and in the children", function(t)
    queue(t)
    t:run { "-w", "1" }
    assert.equal("42\n", host(t, [[
      local children = {}
      for c = 1, 3 do children[c] = fork(function() assert(assert(skein.enqueue("add", c, c)):wait(10) == 2 * c) end)
        end
      assert(assert(skein.enqueue("add", 20, 2)):wait(10) == 22)
      for _, pid in ipairs(children) do join(pid) end
      print((assert(skein.enqueue("add", 40, 2):wait(10))))]]))
  end)

  H.it("has children that only close their Lua state, and goes on at once", function(t)
    host(t, [[
      for i = 1, 5 do
        join(fork(function() end))
        join(fork(function() skein.close() end))
        local from = skein.now()
        assert(skein.enqueue("add", i, i))
        assert(skein.now() - from < 1, "the parent has waited")
      end]])
    assert.equal(5, t:counters().enqueued)
  end)

  H.it("may fork while it makes the jobs of a list", function(t)
    host(t, [[
      local forked
      skein.use_enqueue(function(signature, next)
        if not forked and signature.args[1] == 700 then
          forked = true
          join(fork(function() end))
        end
        return next(signature)
      end)
      local list = {}
      for i = 1, 1500 do list[i] = { task = "add", args = { i, 1 } } end
      assert(skein.enqueue_many(list))]])
    assert.equal(1500, t:counters().enqueued)
  end)

  H.it_on("redis", "says nothing to the server in the name of its parent, and leaves no connection behind", function(t)
    t:own_redis()
    host(t, [[
      local function clients() return #skein.admin.jobs {} end
      for _ = 1, 3 do join(fork(function() assert(skein.enqueue("add", 1, 1)) end)) end
      assert(clients() == 3)]])
    local connection = assert(t.redis:connect())
    t:wait_for("the connections to end", 5, function()
      local _, n = connection:call("CLIENT", "LIST"):gsub("name=skein", "")
      return n == 0
    end)
    connection:close()
  end)

  H.it("may become a daemon: the child closes every descriptor before it first uses the module", function(t)
    host(t, [[
      join(fork(function()
        assert(C.setsid() > 0)
        for fd = 0, 255 do C.close(fd) end
        local log = assert(io.open("daemon.log", "w")) -- as descriptor 0
        assert(skein.enqueue("add", 1, 2))
        log:write "what only the log may get"
        log:close()
        assert(skein.enqueue("add", 3, 4))
      end))
      assert(skein.enqueue("add", 5, 6))
      assert(io.open "daemon.log":read "*a" == "what only the log may get")]])
    assert.equal(3, t:counters().enqueued)
  end)
end)

describe("a program that has closed its standard streams", function()
  H.it("connects and enqueues, and what it prints goes nowhere", function(t)
    local result = t:client [[
      local ffi = require "ffi"
      ffi.cdef "int close(int);"
      local skein = require "skein"
      for fd = 0, 2 do ffi.C.close(fd) end
      assert(skein.connect(os.getenv "SKEIN_STORE"))
      print "lost" io.stderr:write "lost" io.stdout:flush()
      assert(skein.enqueue("add", 1, 2))
      print "lost" io.stdout:flush()
      assert(skein.enqueue("add", 1, 2))]]
    assert.same({ 0, "", "" }, { result.code, result.out, result.err })
    assert.equal(2, t:counters().enqueued)
  end)
end)
