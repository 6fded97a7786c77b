-- Skein is a good process: with closed standard streams, as PID 1 or as a subreaper, with workers that write to stdout
-- and stderr.
local cjson = require "cjson"
local H = require "tests.system.harness"

local ADD = [[skein.task("add", function(job, a, b) fx("added", a, b) return a + b end)]]

local function sh(t, command, options)
  return t:cli({ "-c", command }, { program = "sh", env = options and options.env, timeout = options
    and options.timeout })
end

describe("closed standard streams", function()
  for _, closed in ipairs { "<&-", ">&-", "2>&-", "<&- >&-", ">&- 2>&-", "<&- >&- 2>&-" } do
    H.it("harm no command and no engine: " .. closed, function(t)
      t:script("a.lua", ADD .. [[ skein.task("loud", { retries = 0 }, function()
        io.write("to stdout\n") io.stdout:flush() io.stderr:write("to stderr\n")
        os.execute("echo from a program; echo and so >&2") error "bad" end)]])
      local skein = ("%s"):format(H.skein)
      assert.equal(0, sh(t, ("exec %s enqueue add 1 2 %s"):format(skein, closed)).code)
      assert.equal(0, sh(t, ("exec %s enqueue loud %s"):format(skein, closed)).code)
      assert.equal(1, sh(t, ("exec %s run %s -w 2 --drain %s"):format(skein, t.scripts, closed)).code)
      assert.same({ { "1", "2" } }, t:effects "added")
      for _, command in ipairs { "jobs", "queues", "stats", "check " .. t.scripts, "--help", "pause mail", "nosuch" } do
        local result = sh(t, ("exec %s %s %s"):format(skein, command, closed))
        assert.equal(command == "nosuch" and 64 or 0, result.code, command)
        assert.equal(0, t:cli({ "jobs" }).code)
      end
      assert.equal(1, t:counters().dead)
    end)
  end
end)

describe("an init", function()
  -- A job's program leaves one behind that ends later: its parent is gone then.
  local ORPHAN = [[skein.task("orphan", function()
    os.execute("sh -c 'echo $$ >%s/pid; exec sleep 0.05' >/dev/null 2>&1 &")
    while not released "it" do end
  end)]]
  local SUBREAPER = [[import ctypes, os, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])]]

  local function orphan_of(t)
    return tonumber(t:wait_for("the program's pid", 5, function()
      local text = H.files.exists(t.effects_dir .. "/pid") and H.files.read(t.effects_dir .. "/pid")
      return text and text:match "%d+"
    end))
  end

  H.it("reaps the orphans of jobs, passes TERM on and ends with the engine's exit code", function(t)
    t:script("a.lua", t:released() .. ORPHAN:format(t.effects_dir))
    local engine = t:run({ "-w", "1" }, { program = "python3", wrap = function(argv)
      return { "-c", SUBREAPER, H.skein, unpack(argv) }
    end, ready = false })
    engine:wait_log "serving 1 task"
    t:enqueue "orphan"
    local pid = orphan_of(t)
    t:wait_for("the orphan to be reaped", 5, function() return H.process.stat(pid) == nil end)
    t:release "it"
    t:wait_for("the job's end", 5, function() return t:counters().done == 1 end)
    assert.equal(0, engine:stop())
    assert.equal(1, #engine:logged "stopped: 1 done")
  end)

  H.it("ends with 1 when a job of a drain died, and 78 when the engine does not start", function(t)
    t:script("a.lua", [[skein.task("bad", { retries = 0 }, function() error "x" end)]])
    t:enqueue "bad"
    local function run(...)
      return t:cli({ "-c", SUBREAPER, H.skein, "run", t.scripts, "-w", "1", ... }, { program = "python3" }).code
    end
    assert.equal(1, run "--drain")
    assert.equal(78, run("-s", "redis://h/x/y"))
  end)
end)

describe("what a worker writes to stdout and stderr", function()
  local BAD = [[local bad = "a\27[31m\194\155m\155\"\\ b"]]

  H.it("is a line of the log, whoever writes it", function(t)
    t:script("a.lua", [[skein.task("loud", function()
      io.write("to stdout\n") io.stdout:flush() io.stderr:write("to stderr\n") io.stderr:write("without an end")
      os.execute("echo from a program") end)]])
    t:enqueue "loud"
    local _, engine = t:drain { "-w", "1" }
    assert.equal("", engine.child.stdout)
    for text, level in pairs { ["to stdout"] = "INFO", ["to stderr"] = "WARN", ["without an end"] = "WARN",
      ["from a program"] = "INFO" } do
      local line = engine:logged(text)[1]
      assert.same({ level, "1" }, { line.level, line.facts.worker })
    end
  end)

  H.it("leaves --log-format json one valid object a line", function(t)
    t:script("a.lua", BAD .. [[ print(bad) io.stderr:write(bad, "\n", ("x"):rep(20000), "\n")
      skein.task("bad", { retries = 0 }, function(job)
        print(bad) job:log("%s", bad) io.stderr:write(bad, "\n") io.write(bad) error("oops " .. bad) end)
      skein.task("die", { retries = 0 }, function() io.stderr:write(bad,
        "\n") io.stderr:write(bad) require("ffi").C.abort() end)
      require("ffi").cdef "void abort(void);"
      skein.on("death", function() error(bad) end)]])
    t:enqueue "bad"
    t:enqueue "die"
    local engine = t:run({ "-w", "2", "--log-format", "json", "--drain" }, { ready = false })
    assert.equal(1, engine:wait_exit(20))
    local failed, n = nil, 0
    for line in engine.child.stderr:gmatch "([^\n]*)\n" do
      n = n + 1
      local entry = cjson.decode(line)
      assert.is_nil(line:find "[%z\1-\31\127]")
      assert.is_nil(line:find "\194[\128-\159]")
      assert.equal("string", type(entry.message))
      for _, key in ipairs { "worker", "pid", "attempt", "jobs" } do
        if entry[key] ~= nil then assert.equal("number", type(entry[key])) end
      end
      if entry.task == "bad" and entry.kind == "error" then failed = entry end
    end
    assert.is_true(n > 10)
    assert.equal(1, failed.attempt)
    assert.matches("oops a", failed.error)
    assert.matches("stack traceback:", failed.traceback)
    assert.equal("\n", engine.child.stderr:sub(-1))
  end)

  H.it("a script that does not load is one JSON object, too", function(t)
    t:file("a.lua", "local x = \"\27[31m\155\194\155\nx")
    local result = t:cli { "run", t.scripts, "--log-format", "json" }
    assert.equal(78, result.code)
    local n = 0
    for line in result.err:gmatch "([^\n]*)\n" do
      cjson.decode(line)
      n = n + 1
    end
    assert.is_true(n > 1)
    assert.matches("a%.lua:1:", result.err)
    for _, args in ipairs { { t.scripts .. "/nowhere" }, { t.scripts, "-s", "redis://h/x/y" },
      { t.scripts, "-w", "many" } } do
      local wrong = t:cli({ "run", unpack(args) }, { env = { LOG_FORMAT = "json", WORKERS = args[3] and nil or "0" } })
      assert.is_true(wrong.code == 78 or wrong.code == 64)
      assert.equal("error", cjson.decode(wrong.err:match "([^\n]*)\n$").level)
    end
  end)
end)
