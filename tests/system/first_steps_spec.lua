-- From a folder of Lua files to finished jobs: the command, the settings, and the rules for loading scripts.
local cjson = require "cjson"
local H = require "tests.system.harness"

local ADD = [[skein.task("add", function(job, a, b)
  fx("added", a, b, a + b)
  return a + b
end)]]

describe("skein run and skein enqueue", function()
  H.it("run a job with its args and print the result that --wait waits for", function(t)
    t:script("a.lua", ADD)
    t:run { "-w", "1" }
    assert.equal("5", t:ok("enqueue", "add", "2", "3", "--wait"):match "[^\n]*$")
    assert.same({ { "2", "3", "5" } }, t:effects "added")
  end)

  H.it("pass every kind of JSON arg to the handler and its result back", function(t)
    t:script("a.lua", [[skein.task("echo", function(job, ...) return { ... } end)]])
    t:run { "-w", "1" }
    local out = t:ok("enqueue", "echo", "1.5", '"a b"', "true", "null", "[]", "{}", '{"k":[1,{"l":"ü"}]}',
      "--wait"):match "[^\n]*$"
    assert.equal('[1.5,"a b",true,null,[],{},{"k":[1,{"l":"ü"}]}]', out)
  end)

  H.it("print the id of the job, under which it can be looked at", function(t)
    t:script("a.lua", ADD)
    local id = t:enqueue("add", 1, 2)
    assert.matches("^%w+$", id)
    local job = t:job(id)
    assert.equal(id, job.id)
    assert.equal("add", job.task)
    assert.equal("default", job.queue)
    assert.equal("ready", job.state)
    assert.same({ 1, 2 }, job.args)
  end)

  H.it("run what was enqueued while no engine was there", function(t)
    t:script("a.lua", ADD)
    for i = 1, 5 do t:enqueue("add", i, i) end
    assert.equal(0, (t:drain { "-w", "2" }))
    assert.equal(5, t:count "added")
  end)

  H.it("fail with --wait when the job died, saying why", function(t)
    t:script("a.lua", [[skein.task("bad", { retries = 0 }, function() error("no such luck") end)]])
    t:run { "-w", "1" }
    local result = t:cli { "enqueue", "bad", "--wait" }
    assert.equal(1, result.code)
    assert.matches("a%.lua:1: no such luck", result.err)
  end)

  H.it("end a --drain with 0 when all is done", function(t)
    t:script("a.lua", ADD)
    t:enqueue("add", 1, 1)
    assert.equal(0, (t:drain()))
    assert.equal(0, (t:drain()))
  end)

  H.it("end a --drain with 1 when a job died", function(t)
    t:script("a.lua", ADD .. [[ skein.task("bad", { retries = 0 }, function() error("x") end)]])
    t:enqueue("add", 1, 1)
    t:enqueue "bad"
    assert.equal(1, (t:drain()))
    assert.equal(1, t:count "added")
  end)

  H.it("drain jobs that jobs enqueue, and retries", function(t)
    t:script("a.lua", [[
      skein.task("first", function() skein.enqueue("second") end)
      skein.task("second", { retries = 2, backoff = { 0.05 } }, function(job)
        if job.attempt < 3 then error("again") end
        fx("second", job.attempt)
      end)]])
    t:enqueue "first"
    assert.equal(0, (t:drain()))
    assert.same({ { "3" } }, t:effects "second")
  end)

  H.it("hold a job back for --in, and until --at", function(t)
    t:script("a.lua", [[skein.task("now", function(job, name) fx(name, skein.now()) end)]])
    t:run { "-w", "1" }
    local before = H.now()
    local id = t:enqueue("now", "in", { flags = { "--in", "0.5" } })
    assert.equal("scheduled", t:job(id).state)
    local at = math.ceil(H.now()) + 1
    t:enqueue("now", "at", { flags = { "--at", tostring(at) } })
    local after_in = tonumber(t:wait_effects("in", 1)[1][1]) - before
    assert.is_true(after_in >= 0.5 and after_in < 1, "ran after " .. after_in)
    local late = tonumber(t:wait_effects("at", 1)[1][1]) - at
    assert.is_true(late >= 0 and late < 0.1, "late by " .. late)
  end)

  H.it("understand units in --in", function(t)
    t:script("a.lua", ADD)
    for _, text in ipairs { "10s", "5m", "2h", "1d" } do
      local id = t:enqueue("add", 1, 2, { flags = { "--in", text } })
      assert.equal("scheduled", t:job(id).state)
    end
    local result = t:cli { "enqueue", "add", "--in", "soon" }
    assert.equal(64, result.code)
    assert.matches("soon", result.err)
  end)

  H.it("put a job into the queue that --queue names", function(t)
    t:script("a.lua", [[skein.task("where", function(job) fx("where", job.queue) end)]])
    t:run { "-w", "1", "-q", "default,other" }
    t:enqueue("where", { flags = { "--queue", "other" } })
    assert.same({ { "other" } }, t:wait_effects("where", 1))
  end)

  H.it("use .skein/jobs.db in the working directory when nobody names a store", function(t)
    t:script("a.lua", ADD)
    t.env.SKEIN_STORE = nil
    t:enqueue("add", 1, 2)
    assert.is_true(H.files.exists(t.dir .. "/.skein/jobs.db"))
    assert.equal(0, (t:drain()))
    assert.equal(1, t:count "added")
  end)

  H.it("run on the memory store", function(t)
    t:script("a.lua", ADD)
    local engine = t:run { "-s", "memory:", "-w", "1" }
    assert.equal(0, engine:stop())
  end)
end)

describe("an idle engine", function()
  local NOTE = [[skein.task("note", function(job, t0) fx("start", skein.now() - (t0 or job.enqueued_at)) end)]]

  local function p50(t, n)
    local list = {}
    for i, fields in ipairs(t:wait_effects("start", n)) do list[i] = tonumber(fields[1]) end
    return H.percentile(list, 0.5), H.percentile(list, 1)
  end

  H.it("starts a job of another process's command within 20 ms", function(t)
    t:script("a.lua", NOTE)
    t:run { "-w", "1" }
    for i = 1, 15 do
      t:enqueue "note"
      t:wait_effects("start", i)
    end
    local median, worst = p50(t, 15)
    H.say("enqueue by command to start: p50 %.1f ms, worst %.1f ms", median * 1000, worst * 1000)
    assert.is_true(median < 0.02)
  end)

  H.it("starts a job of a LuaJIT program within 20 ms of the call of enqueue", function(t)
    t:script("a.lua", NOTE)
    t:run { "-w", "1" }
    local result = t:client(([[
      local skein = require "skein"
      skein.connect(%q)
      local ffi = require "ffi"
      ffi.cdef "int poll(void *, unsigned long, int);"
      for i = 1, 31 do
        assert(skein.enqueue("note", skein.now()))
        ffi.C.poll(nil, 0, 20)
      end]]):format(t.url))
    assert.equal(0, result.code, result.err)
    local median, worst = p50(t, 31)
    H.say("enqueue by program to start: p50 %.1f ms, worst %.1f ms", median * 1000, worst * 1000)
    assert.is_true(median < 0.02)
  end)
end)

describe("a LuaJIT program with require \"skein\"", function()
  H.it("enqueues, waits for the result, looks at states and cancels", function(t)
    t:script("a.lua", ADD)
    t:run { "-w", "1" }
    local result = t:client [[
      local skein = require "skein"
      local h = assert(skein.enqueue("add", 20, 22))
      assert(h:wait(5) == 42)
      assert(h:state() == "done")
      local later = assert(skein.enqueue_in(60, "add", 1, 1))
      assert(later:state() == "scheduled")
      assert(later:cancel())
      assert(later:state() == "cancelled")
      local hs = assert(skein.enqueue_many { { task = "add", args = { 1, 2 } }, { task = "add", args = { 3, 4 } } })
      assert(#hs == 2 and hs[1]:wait(5) == 3 and hs[2]:wait(5) == 7)
      print "all well"]]
    assert.equal("all well\n", result.out, result.err)
  end)

  H.it("enqueues into the store while no engine runs", function(t)
    t:script("a.lua", ADD)
    local result = t:client [[assert(require("skein").enqueue("add", 1, 2))]]
    assert.equal(0, result.code, result.err)
    assert.equal(0, (t:drain()))
    assert.equal(1, t:count "added")
  end)
end)

describe("the reading commands", function()
  H.it("list jobs by state, queue and task", function(t)
    t:script("a.lua", ADD)
    local a = t:enqueue("add", 1, 2)
    local b = t:enqueue("other", { flags = { "--queue", "slow" } })
    local c = t:enqueue("add", 5, 6, { flags = { "--in", "1h" } })
    local function ids(...)
      local list = {}
      for _, job in ipairs(t:json("jobs", ...)) do list[#list + 1] = job.id end
      table.sort(list)
      return list
    end
    local function sorted(...) local list = { ... } table.sort(list) return list end
    assert.same(sorted(a, b, c), ids())
    assert.same(sorted(a, b), ids("--state", "ready"))
    assert.same({ b }, ids("--queue", "slow"))
    assert.same(sorted(a, c), ids("--task", "add"))
    assert.same({ c }, ids("--task", "add", "--state", "scheduled"))
    assert.matches(a, t:ok "jobs")
  end)

  H.it("count by queue and in all", function(t)
    t:script("a.lua", ADD .. [[ skein.task("bad", { retries = 0 }, function() error("x") end)]])
    for i = 1, 3 do t:enqueue("add", i, i) end
    t:enqueue "bad"
    t:drain()
    t:enqueue("add", 1, 1, { flags = { "--queue", "slow" } })
    local stats = t:json "stats"
    assert.equal(5, stats.counters.enqueued)
    assert.equal(3, stats.counters.done)
    assert.equal(1, stats.counters.dead)
    assert.equal(1, stats.states.dead)
    assert.equal(1, stats.states.ready)
    local by_name = {}
    for _, queue in ipairs(t:json "queues") do by_name[queue.name] = queue end
    assert.equal(1, by_name.slow.states.ready)
    assert.equal(1, by_name.default.states.dead)
    assert.matches("slow", t:ok "queues")
    assert.matches("5", t:ok "stats")
  end)

  H.it("show a dead job with its error, its kind and its attempts", function(t)
    t:script("a.lua", [[skein.task("bad", { retries = 1, backoff = { 0 } }, function() error("no such luck") end)]])
    local id = t:enqueue "bad"
    t:drain()
    local job = t:job(id)
    assert.equal("dead", job.state)
    assert.equal(2, job.attempts)
    assert.equal("error", job.error.kind)
    assert.matches("a%.lua:1: no such luck", job.error.message)
    assert.matches("a%.lua:1", job.error.traceback)
    assert.matches("no such luck", t:ok("job", id))
  end)

  H.it("say that an id is unknown", function(t)
    t:enqueue "x"
    local result = t:cli { "job", "01ARZ3NDEKTSV4RRFFQ69G5FAV" }
    assert.equal(1, result.code)
    assert.matches("01ARZ3NDEKTSV4RRFFQ69G5FAV", result.err)
  end)
end)

describe("skein check", function()
  H.it("lists the tasks of a directory and exits 0", function(t)
    t:script("a.lua", ADD)
    t:script("b/c.lua", [[skein.task("email.welcome", { queue = "mail" }, function() end)]])
    local out = t:ok("check", t.scripts)
    assert.matches("add", out)
    assert.matches("email%.welcome", out)
    assert.matches("mail", out)
  end)

  H.it("exits 1 with file:line: message for an error at load time", function(t)
    t:script("a.lua", ADD)
    t:script("b.lua", "\n\nerror 'not today'")
    local result = t:cli { "check", t.scripts }
    assert.equal(1, result.code)
    assert.matches("b%.lua:3: not today", result.err .. result.out)
  end)

  H.it("needs no store", function(t)
    t:script("a.lua", ADD)
    t:ok("check", t.scripts)
    assert.is_false(H.files.exists(t.dir .. "/jobs.db"))
  end)
end)

describe("the command line", function()
  H.it("prints help on stdout and exits 0", function(t)
    for _, args in ipairs { { "--help" }, { "run", "--help" }, { "enqueue", "--help" }, { "jobs", "--help" } } do
      local result = t:cli(args)
      assert.equal(0, result.code)
      assert.matches("skein", result.out)
      assert.equal("", result.err)
    end
    for _, verb in ipairs { "run", "enqueue", "jobs", "job", "stats", "queues", "check" } do
      assert.matches(verb, t:ok "--help")
    end
  end)

  H.it("prints its version", function(t) assert.matches("%d+%.%d+", t:ok "--version") end)

  H.it("exits 64 for what it does not understand, naming it", function(t)
    t:script("a.lua", ADD)
    local wrong = {
      { { "frobnicate" }, "frobnicate" }, { { "run" }, "DIR" }, { { "run", t.scripts, "--frob" }, "%-%-frob" },
      { { "run", t.scripts, "-w", "many" }, "many" }, { { "run", t.scripts, "-w", "-1" }, "%-1" },
      { { "run", t.scripts, "-c", "none" }, "none" }, { { "enqueue" }, "TASK" },
        { { "enqueue", "add", "{bad" }, "{bad" },
      { { "jobs", "--state", "tired" }, "tired" }, { { "enqueue", "no spaces allowed" }, "no spaces allowed" },
      { {}, "skein" },
    }
    for _, case in ipairs(wrong) do
      local result = t:cli(case[1])
      local what = "skein " .. table.concat(case[1], " ")
      assert.equal(64, result.code, what .. ": " .. result.out .. result.err)
      assert.matches(case[2], result.err, what)
    end
  end)

  H.it("exits 69 when the store can't be reached", function(t)
    t:script("a.lua", ADD)
    local missing = "sqlite:" .. t.dir .. "/jobs.db/none/jobs.db"
    H.files.write(t.dir .. "/jobs.db", "")
    for _, args in ipairs { { "jobs", "-s", missing }, { "run", t.scripts, "-s", missing },
      { "enqueue", "add", "-s", missing } } do
      local result = t:cli(args)
      assert.equal(69, result.code, args[1] .. ": " .. result.err)
      assert.matches("jobs%.db/none", result.err)
    end
  end)

  H.it("exits 78 for a wrong configuration, naming file, setting and value", function(t)
    t:script("a.lua", ADD)
    local wrong = {
      { "{ workers = 'many' }", "workers", "many" }, { "{ wokers = 2 }", "wokers", "workers" },
        { "{ concurrency = 0 }", "concurrency", "0" },
      { "{ durability = 'maybe' }", "durability", "maybe" }, { "{", "config%.lua", ":%d+:" },
        { "42", "config%.lua", "table" },
      { "{ log_level = 'loud' }", "log_level", "loud" },
    }
    for _, case in ipairs(wrong) do
      t:config(case[1])
      local result = t:cli { "run", t.scripts, "--drain" }
      assert.equal(78, result.code, case[1] .. ": " .. result.err)
      assert.matches("config%.lua", result.err)
      assert.matches(case[2], result.err)
      assert.matches(case[3], result.err)
    end
  end)

  H.it("exits 78 for a wrong environment variable and 78 for a store URL it does not know", function(t)
    t:script("a.lua", ADD)
    local result = t:cli({ "run", t.scripts, "--drain" }, { env = { WORKERS = "several" } })
    assert.equal(78, result.code, result.err)
    assert.matches("WORKERS", result.err)
    result = t:cli({ "run", t.scripts, "--drain" }, { env = { SKEIN_STORE = "gopher://x" } })
    assert.equal(78, result.code, result.err)
    assert.matches("gopher", result.err)
  end)

  H.it("names a directory of scripts that is not there", function(t)
    local result = t:cli { "run", t.dir .. "/nowhere" }
    assert.is_true(result.code == 64 or result.code == 78)
    assert.matches("nowhere", result.err)
  end)
end)

describe("settings", function()
  -- Each worker that has loaded the scripts leaves a line.
  local function check_workers(t, n, args, env)
    local before = t:count "loads"
    local engine = t:run(args, { env = env })
    t:wait_effects("loads", before + n)
    assert.equal(n, #engine:workers())
    assert.equal(0, engine:stop())
    assert.equal(before + n, t:count "loads")
  end

  H.it("come from config.lua, over it the environment, over that the flag", function(t)
    t:script("a.lua", [[fx("loads", pid) skein.task("x", function() end)]])
    t:config "{ workers = 3 }"
    check_workers(t, 3, {})
    check_workers(t, 4, {}, { WORKERS = "4" })
    check_workers(t, 1, { "-w", "1" }, { WORKERS = "4" })
  end)

  H.it("come from config.yml as well, which says where it is wrong", function(t)
    t:script("a.lua", [[fx("loads", pid) skein.task("x", function() end)
      skein.task("y", { queue = "b" }, function() fx("y") end)]])
    t:file("config.yml", "# settings\nworkers: 3\nqueues: [a, b]\n")
    check_workers(t, 3, {})
    check_workers(t, 1, { "-w", "1" })
    t:file("config.yml", "queues:\n  a: 3\n  b: 1\nshutdown_timeout: 5s\n")
    t:enqueue "y"
    t:drain()
    assert.equal(1, t:count "y")
    local function refused(text, message)
      t:file("config.yml", text)
      local result = t:cli { "run", t.scripts }
      assert.equal(78, result.code)
      assert.is_truthy(result.err:find(message, 1, true), result.err)
    end
    refused("workers: 1\nwokers: 2\n", 'config.yml:2: unknown setting "wokers"; did you mean workers?')
    refused("workers: [1, 2]\n", "config.yml:1: expected a number or a text")
    refused("- workers\n", "config.yml:1: expected a mapping from settings to values")
    refused("workers: 1\n  queues: [\n", "config.yml:2:")
    refused("queues: [[a]]\n", "config.yml:1: expected a name")
    t:config "{}"
    refused("workers: 1\n", "expected only one of them")
  end)

  H.it("name the store in config.lua, over it the environment, over that -s", function(t)
    local function url(name) return "sqlite:" .. t.dir .. "/" .. name end
    local function made(name) return H.files.exists(t.dir .. "/" .. name) end
    t:script("a.lua", ADD)
    t:config(("{ store = %q }"):format(url "config.db"))
    t.env.SKEIN_STORE = nil
    t:drain()
    assert.is_true(made "config.db")
    t.env.SKEIN_STORE = url "env.db"
    t:drain { "-s", url "flag.db" }
    assert.is_true(made "flag.db" and not made "env.db")
    t:drain()
    assert.is_true(made "env.db")
  end)

  H.it("set how many jobs run at once, by -c and SKEIN_CONCURRENCY", function(t)
    t:script("a.lua", [[skein.task("busy", function() fx("in") skein.sleep(0.15) fx("out") end)]])
    local function most_at_once(args, env)
      for _ = 1, 9 do t:enqueue "busy" end
      local at_in, at_out, most = t:count "in", t:count "out", 0
      local engine = t:run(args, { env = env })
      t:wait_for("all done", 5, function()
        local outs = t:count "out"
        most = math.max(most, t:count "in" - at_in - (outs - at_out))
        return outs - at_out == 9
      end)
      engine:stop()
      return most
    end
    assert.equal(3, most_at_once { "-w", "1", "-c", "3" })
    assert.equal(2, most_at_once({ "-w", "1" }, { SKEIN_CONCURRENCY = "2" }))
  end)

  H.it("choose queues, by -q and QUEUES", function(t)
    t:script("a.lua", [[skein.task("where", function(job) fx("where", job.queue) end)]])
    for _, queue in ipairs { "a", "b", "c" } do t:enqueue("where", { flags = { "--queue", queue } }) end
    t:drain { "-q", "a" }
    assert.same({ { "a" } }, t:effects "where")
    t.env.QUEUES = "b,c"
    t:drain { "-w", "1", "-c", "1" }
    assert.same({ { "a" }, { "b" }, { "c" } }, t:effects "where")
  end)

  H.it("choose level and form of the log, by LOG_LEVEL and LOG_FORMAT", function(t)
    t:script("a.lua", [[skein.task("talk", function() print("hello there") end)]])
    t.env.LOG_FORMAT = "json"
    t:enqueue "talk"
    local _, engine = t:drain()
    local found
    for line in engine.child.stderr:gmatch "[^\n]+" do
      local entry = cjson.decode(line)
      found = found or entry.message:find "hello there"
    end
    assert.is_truthy(found)
    t.env.LOG_FORMAT, t.env.LOG_LEVEL = nil, "error"
    _, engine = t:drain()
    assert.equal("", engine.child.stderr)
  end)
end)

describe("loading scripts", function()
  H.it("takes every *.lua in name order, below folders too", function(t)
    for _, name in ipairs { "b.lua", "a.lua", "sub/c.lua", "sub/deep/d.lua", "z.lua" } do
      t:script(name, ("fx('loaded', pid, %q) skein.task(%q, function() end)"):format(name, (name:gsub("/", "."))))
    end
    t:ok("check", t.scripts)
    local by_pid = {}
    for _, fields in ipairs(t:effects "loaded") do by_pid[fields[1]] = (by_pid[fields[1]] or "") .. fields[2] .. " " end
    local _, order = next(by_pid)
    assert.equal("a.lua b.lua sub/c.lua sub/deep/d.lua z.lua ", order)
  end)

  H.it("leaves out lib/, spec/, config.lua, other files, and names that begin with _ or a dot", function(t)
    t:script("a.lua", ADD)
    t:config "{}"
    for _, name in ipairs { "lib/l.lua", "spec/s.lua", "_x.lua", ".hidden.lua", "_sub/x.lua", ".git/x.lua",
      "notes.txt", "a.lua.bak" } do
      t:file(name, "error 'must not be loaded'")
    end
    local out = t:ok("check", t.scripts)
    assert.matches("add", out)
  end)

  H.it("takes folders named lib and spec further down", function(t)
    t:script("mail/lib/a.lua", ADD)
    assert.matches("add", t:ok("check", t.scripts))
  end)

  H.it("has DIR/?.lua and DIR/lib/?.lua on package.path", function(t)
    t:file("_shared.lua", "return { base = 40 }")
    t:file("lib/tools/sum.lua", "return function(a, b) return a + b end")
    t:script("a.lua", [[
      local shared, sum = require "_shared", require "tools.sum"
      skein.task("sum", function(job, n) return sum(shared.base, n) end)]])
    t:run { "-w", "1" }
    assert.equal("42", t:ok("enqueue", "sum", "2", "--wait"):match "[^\n]*$")
  end)

  H.it("works for a directory given relative to the working directory", function(t)
    t:script("a.lua", ADD)
    t:enqueue("add", 1, 2)
    local engine = t:run({ "--drain" }, { dir = "scripts" })
    assert.equal(0, engine:wait_exit())
    assert.equal(1, t:count "added")
  end)

  H.it("needs nothing beside the binary: it runs from any working directory", function(t)
    t:script("a.lua", ADD)
    H.files.make_dirs(t.dir .. "/empty")
    t:enqueue("add", 1, 2)
    local engine = t:run({ "--drain" }, { cwd = t.dir .. "/empty" })
    assert.equal(0, engine:wait_exit())
  end)
end)
