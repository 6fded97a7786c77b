-- Programs that jobs start: the environment that they find; and they end with their job, their worker, their engine.
local H = require "tests.system.harness"

-- Scripts tell the pids of programs with fx("pid", ...).
-- tree(): the path of a shell script that tells its pid and those of a child and of a daemon in a session of its own,
-- and goes on; and a function that waits until it has, and passes them to the test.
local START = ([[
  local uv = require "luv"
  local function tree()
    local script, file = os.tmpname(), os.tmpname()
    local f = io.open(script, "w")
    f:write(("echo $$ >>%s; sleep 600 & echo $! >>%s; "):format(file, file),
      ("setsid sh -c 'echo $$ >>%s; exec sleep 600' & while :; do sleep 600; done"):format(file))
    f:close()
    return script, function()
      local pids = {}
      while #pids < 3 do
        pids = {}
        for line in io.lines(file) do pids[#pids + 1] = line end
        if #pids < 3 then uv.sleep(5) end
      end
      os.remove(file)
      os.remove(script)
      fx("pid", unpack(pids))
    end
  end ]]):gsub("%s*\n%s*", " ")

-- What /proc says of those of the n-th tree that are still there: the first two, or with the daemon, which has left
-- their group.
local function pids_of(t, n, daemon)
  local stats, pids = {}, t:wait_effects("pid", n)[n]
  for i = 1, daemon and 3 or 2 do stats[#stats + 1] = H.process.stat(tonumber(pids[i])) end
  return stats
end

-- What /proc says of the guard of the engine whose workers have that mark; nil: there is none.
local function guard_of(token)
  for _, pid in ipairs(H.process.all()) do
    local line = H.files.read(("/proc/%d/cmdline"):format(pid)) or ""
    if line:find("worker%zguard%z" .. token) then return H.process.stat(pid) end
  end
end

local function ended(t, stats, timeout_s)
  t:wait_for("the programs to end", timeout_s or 2, function()
    for _, stat in ipairs(stats) do
      if H.still_there(stat) then return false end
    end
    return true
  end)
end

describe("a program that a job starts", function()
  H.it("finds signals as in a shell, and the descriptors 0 to 2 only", function(t)
    t:script("a.lua", [[
      local uv = require "luv"
      skein.task("pipe", { retries = 0 }, function() return os.execute "while :; do echo y; done | head -1 >/dev/null"
        end)
      local LIST = "exec ls /proc/self/fd"
      local function lines_of(file)
        local list = {}
        for line in io.lines(file) do list[#list + 1] = line end
        return table.concat(list, " ")
      end
      skein.task("fds", { retries = 0 }, function()
        local leaks, file, said = { io.open "/dev/zero", io.open "/dev/null" }, os.tmpname(), {}
        os.execute(LIST .. " >" .. file)
        said[1] = lines_of(file)
        local pipe = io.popen(LIST)
        said[2] = pipe:read "*a":gsub("\n$", ""):gsub("\n", " ")
        pipe:close()
        local over = false
        uv.spawn("sh", { args = { "-c", LIST .. " >" .. file } }, function() over = true end)
        while not over do skein.sleep(0.01) end
        said[3] = lines_of(file)
        os.remove(file)
        return said, leaks
      end)
      skein.task("signals", { retries = 0 }, function()
        local pipe = io.popen "grep -E '^Sig(Blk|Ign)' /proc/self/status"
        local text = pipe:read "*a"
        pipe:close()
        return text
      end)
      skein.task("status", { retries = 0 }, function()
        return { os.execute "exit 3", os.execute "kill -9 $$", os.execute "no_such_program_here 2>/dev/null",
          os.execute() ~= 0 }
      end)]])
    t:run { "-w", "1" }
    local function result_of(task) return t:wait_state(t:enqueue(task), "done", 10).result end
    assert.equal(0, result_of "pipe")
    for _, said in ipairs(result_of "fds") do assert.equal("0 1 2 3", said) end -- 3 is how ls reads them
    for bits in result_of "signals":gmatch "Sig%a+:%s*(%x+)" do
      assert.equal(0, tonumber(bits, 16) % 2 ^ 31) -- beyond are the C library's own
    end
    assert.same({ 768, 9, 127 * 256, true }, result_of "status")
  end)

  H.it("ends with its job, however that ends", function(t)
    t:script("a.lua", START .. [[
      local function start() local script, told = tree() uv.spawn("sh", { args = { script } }, function() end) told()
        end
      skein.task("done", { retries = 0 }, function() start() end)
      skein.task("failed", { retries = 0 }, function() start() error "x" end)
      skein.task("late", { retries = 0, timeout = 0.3 }, function() start() skein.sleep(60) end)
      skein.task("cancelled", { retries = 0 }, function() start() fx("runs") skein.sleep(60) end)
      skein.task("background", { retries = 0 }, function()
        local script, told = tree()
        os.execute("sh " .. script .. " &")
        told()
      end)
      local pipes = {}
      skein.task("popen", { retries = 0 }, function()
        local script, told = tree()
        pipes[#pipes + 1] = io.popen("sh " .. script .. "; true")
        told()
      end)
      skein.task("neighbour", { retries = 0 }, function()
        local _, other = uv.spawn("sleep", { args = { "600" } }, function() end)
        pipes[#pipes + 1] = io.popen "echo $$ && exec sleep 600"
        fx("neighbour", pipes[#pipes]:read "*n")
        fx("neighbour", other)
        skein.sleep(60)
      end)]])
    local engine = t:run { "-w", "1" }
    t:enqueue "neighbour"
    local neighbours = {}
    for i, effect in ipairs(t:wait_effects("neighbour", 2)) do neighbours[i] = H.process.stat(tonumber(effect[1])) end
    for i, task in ipairs { "done", "failed", "late", "background", "popen" } do
      t:enqueue(task)
      ended(t, pids_of(t, i))
    end
    local id = t:enqueue "cancelled"
    local stats = pids_of(t, 6)
    t:wait_effects("runs", 1)
    t:ok("cancel", id)
    ended(t, stats)
    assert.is_true(H.still_there(neighbours[1]) and H.still_there(neighbours[2]), "another job's program was killed")
    assert.equal(0, #engine:logged "worker died")
  end)

  for name, how in pairs {
    ["that is past its hard timeout"] = { options = "timeout = 0.1", code = "told() while true do end" },
    ["that exits"] = { code = "told() os.exit(3)" },
    ["that crashes"] = { code = 'told() ffi.cdef "int raise(int);" ffi.C.raise(11)' },
    ["that takes too much memory"] = {
      code = [[told() ffi.cdef "void *malloc(size_t); void *memset(void *, int, size_t);"
        while true do ffi.C.memset(ffi.C.malloc(1e7), 1, 1e7) end]], config = '{ memory_max = "100M" }' },
  } do
    H.it("ends, with all that it has started, with a worker " .. name, function(t)
      if how.config then t:config(how.config) end
      t:script("a.lua", START .. ([[
        skein.task("tree", { retries = 0, %s }, function()
          local script, told = tree()
          uv.spawn("sh", { args = { script }, env = { "PATH=" .. os.getenv "PATH", "OF=its own" } }, function() end)
          told()
          script, told = tree()
          os.execute("sh " .. script .. " &")
          told()
          script, told = tree()
          io.popen("sh " .. script)
          %s
        end)]]):format(how.options or "", how.code))
      local engine = t:run { "-w", "1" }
      t:enqueue "tree"
      local stats = {}
      for i = 1, 3 do
        for _, stat in ipairs(pids_of(t, i, true)) do stats[#stats + 1] = stat end
      end
      engine:wait_log("worker died", 10)
      ended(t, stats)
    end)
  end

  for name, how in pairs {
    ["is killed"] = function(engine) engine:kill_core() end,
    ["is stopped"] = function(engine)
      engine:stop()
    end,
    ["is stopped at once"] = function(engine)
      engine.may_end = true
      engine:signal "sigquit"
      engine:wait_exit()
    end,
  } do
    H.it("ends, with all that it has started, when its engine " .. name, function(t)
      t:script("a.lua", START .. [[
        skein.task("tree", function()
          local script, told = tree()
          os.execute("sh " .. script .. " &")
          told()
          skein.sleep(60)
        end)]])
      local engine = t:run { "-w", "1", "-t", "1" }
      t:enqueue "tree"
      local stats = pids_of(t, 1, true)
      how(engine)
      ended(t, stats)
    end)
  end

  H.it("ends when its engine is killed though the guard was killed before", function(t)
    t:script("a.lua", START .. [[
      skein.task("tree", function()
        local script, told = tree()
        os.execute("sh " .. script .. " &")
        told()
        fx("mark", (os.getenv "SKEIN_WORKER":gsub("%..*", "")))
        skein.sleep(60)
      end)]])
    local engine = t:run { "-w", "1" }
    t:enqueue "tree"
    local stats, token = pids_of(t, 1, true), t:wait_effects("mark", 1)[1][1]
    local first = guard_of(token)
    H.process.kill_same(first)
    engine:wait_log("the guard, which ends the programs of dead workers, was gone; started another", 10)
    t:wait_for("another guard", 10, function()
      local now = guard_of(token)
      return now and now.pid ~= first.pid
    end)
    H.process.signal(engine:workers()[1], "sigkill")
    ended(t, stats)
    t:wait_effects("mark", 2, 10)
    stats = pids_of(t, 2, true)
    engine:kill_core()
    ended(t, stats)
  end)

  H.it("ends with a worker that dies while the guard is gone", function(t)
    t:script("a.lua", START .. [[
      skein.task("tree", { retries = 0 }, function()
        local script, told = tree()
        os.execute("sh " .. script .. " &")
        told()
        fx("mark", (os.getenv "SKEIN_WORKER":gsub("%..*", "")))
        skein.sleep(60)
      end)]])
    local engine = t:run { "-w", "1" }
    t:enqueue "tree"
    local stats, token = pids_of(t, 1, true), t:wait_effects("mark", 1)[1][1]
    local worker = engine:workers()[1]
    H.process.kill_same(guard_of(token))
    H.process.signal(worker, "sigkill")
    ended(t, stats, 10)
  end)

  H.it("has no terminal that it could wait for", function(t)
    t:script("a.lua", [[
      skein.task("tty", { retries = 0 }, function() return os.execute "exec </dev/tty" end)
      skein.task("session", { retries = 0 }, function()
        local stat = io.open "/proc/self/stat":read "*a":gsub("^.*%) ", "")
        local _, _, group, session = stat:match "(%S+) (%S+) (%S+) (%S+)"
        return { tonumber(group), tonumber(session), pid }
      end)]])
    t:run { "-w", "1" }
    assert.is_true(t:wait_state(t:enqueue "tty", "done").result ~= 0)
    local ids = t:wait_state(t:enqueue "session", "done").result
    assert.same({ ids[3], ids[3] }, { ids[1], ids[2] })
  end)
end)
