-- Every word that is misspelt, out of range, unknown or without effect is reported where it comes in.  No message shows
-- a secret.
local cjson = require "cjson"
local H = require "tests.system.harness"

local ADD = [[skein.task("add", function(job, a, b) return a + b end)]]
local CSI, RAW_CSI = "\194\155", "\155" -- U+009B in UTF-8, and the bare byte

local function has_no_control(text)
  assert.is_nil(text:find "[%z\1-\8\11-\31\127]", text)
  assert.is_nil(text:find "\194[\128-\159]", text)
  local n = 1
  while n <= #text do -- every byte from 0x80 on is part of a UTF-8 character
    local from, to = text:find("^[\194-\244][\128-\191]+", n)
    if text:byte(n) >= 128 then assert.equal(n, from) end
    n = (to or n) + 1
  end
end

describe("what nobody knows", function()
  H.it("a task that no engine has declared is noted by skein enqueue, which adds the job", function(t)
    t:script("a.lua", ADD)
    t:run { "-w", "1" }
    local result = t:cli { "enqueue", "ad", "1" }
    assert.equal(0, result.code)
    assert.equal("ad", t:job(result.out:match "%w+").task)
    assert.matches("no engine has declared task ad: the job waits for one that does %(did you mean add%?%)", result.err)
    assert.equal("", t:cli({ "enqueue", "add", "1", "2" }).err)
  end)

  H.it("a queue that nobody has is noted by pause and resume, which say what they did", function(t)
    t:script("a.lua", [[skein.task("send", { queue = "mail" }, function() end)]])
    t:run { "-w", "1" }
    local first = t:cli { "pause", "mial" }
    assert.same({ 0, "queue mial is paused\n" }, { first.code, first.out })
    assert.matches("no engine has declared queue mial.*did you mean mail", first.err)
    assert.equal("queue mial was paused already: nothing changed", t:ok("pause", "mial"))
    assert.equal("queue mial is running again", t:ok("resume", "mial"))
    assert.equal("queue mail was running already: nothing changed", t:ok("resume", "mail"))
    local known = t:cli { "pause", "mail" }
    assert.same({ "queue mail is paused\n", "" }, { known.out, known.err })
  end)

  H.it("a queue to serve that no script and no store has is warned of at start", function(t)
    t:script("a.lua", [[skein.task("send", { queue = "mail", retry_queue = "later" }, function() end)
      skein.queue("bulk", { max_len = 5 })]])
    t:ok("enqueue", "other", "--queue", "known")
    local engine = t:run { "-w", "1", "-q", "mial,known,later,bulk,default" }
    local line = engine:wait_log 'queue "mial"'
    assert.equal("WARN", line.level)
    assert.matches("no script declares it and the store does not know it %(did you mean mail%?%)", line.text)
    assert.equal(1, #engine:logged "is to be served")
    engine:stop()
    t.env.QUEUES = "mail"
    engine = t:run { "-w", "1" }
    engine:stop()
    assert.equal(0, #engine:logged "is to be served")
  end)

  H.it("what follows a queue's colon is a weight, or the command line is wrong", function(t)
    t:script("a.lua", ADD)
    local said = 'weight "x", expected a whole number from 1 to 1000; '
      .. "a queue whose name has a colon needs a weight, as in a:x:1"
    local flag = t:cli { "run", t.scripts, "-q", "a:x" }
    assert.equal(64, flag.code)
    assert.matches(said, flag.err, 1, true)
    local env = t:cli({ "run", t.scripts }, { env = { QUEUES = "default,a:x" } })
    assert.equal(78, env.code)
    assert.matches(said, env.err, 1, true)
    t:script("a.lua", [[skein.task("far", { queue = "a:x" }, function() fx "far" end)]])
    t:enqueue("far", { flags = { "-q", "a:x" } })
    t:drain { "-w", "1", "-q", "a:x:1" }
    assert.equal(1, t:count "far")
  end)

  H.it("an engine without a task says so at its first start", function(t)
    t:script("a.lua", "")
    local engine = t:run({ "-w", "1" }, { may_end = true })
    assert.matches("serving 0 tasks: no script in .* declares one", engine:wait_log("serving 0 tasks").text)
    engine:stop()
  end)

  H.it("HTTP is refused as long as there is none: by flag, environment and config.lua", function(t)
    t:script("a.lua", ADD)
    local said = "this version has no HTTP yet"
    local flag = t:cli { "run", t.scripts, "--http", "127.0.0.1:7433" }
    assert.equal(78, flag.code)
    assert.matches(said, flag.err)
    local env = t:cli({ "run", t.scripts }, { env = { SKEIN_HTTP = "127.0.0.1:7433" } })
    assert.equal(78, env.code)
    assert.matches("environment SKEIN_HTTP: .*" .. said, env.err)
    t:config [[{ http = "127.0.0.1:7433" }]]
    local file = t:cli { "run", t.scripts }
    assert.equal(78, file.code)
    assert.matches(said, file.err)
  end)
end)

describe("a queue's weight", function()
  for _, bad in ipairs { "mail:-1", "mail:0", "mail:1.5", "mail:1e400", "mail:5x", "a b a", "a/b" } do
    H.it(("%s is refused by the flag, QUEUES and config.lua"):format(bad), function(t)
      t:script("a.lua", ADD)
      assert.equal(64, t:cli({ "run", t.scripts, "-q", bad }).code)
      assert.equal(78, t:cli({ "run", t.scripts }, { env = { QUEUES = bad } }).code)
      t:config(("{ queues = %q }"):format(bad))
      assert.equal(78, t:cli({ "run", t.scripts }).code)
    end)
  end

  H.it("that is no number is refused in config.lua's table", function(t)
    t:script("a.lua", ADD)
    for _, weight in ipairs { "1e400", "0/0", "-1", "0", "1.5", "1001" } do
      t:config(("{ queues = { mail = %s } }"):format(weight))
      assert.equal(78, t:cli({ "run", t.scripts }).code)
    end
  end)
end)

describe("numbers", function()
  H.it("beyond a double are refused where they come in", function(t)
    for _, args in ipairs { { "1e400" }, { "-1e400" }, { "[1,[2e999]]" }, { '{"a":1e309}' },
      { "1", "--meta", '{"a":1e400}' } } do
      local result = t:cli { "enqueue", "add", unpack(args) }
      assert.equal(64, result.code)
      assert.matches("a number that a double can hold", result.err)
    end
    for _, flag in ipairs { "--in", "--at", "--keep", "--priority", "--retries" } do
      assert.equal(64, t:cli({ "enqueue", "add", flag, "1e400" }).code)
    end
    assert.is_false(H.files.exists(t.dir .. "/jobs.db"))
  end)
end)

describe("limits", function()
  H.it("are named by skein enqueue", function(t)
    local args = { "enqueue", "add" }
    for i = 1, 201 do args[#args + 1] = tostring(i) end
    local result = t:cli(args)
    assert.equal(64, result.code)
    assert.matches("args: 201 values, the limit is 200", result.err)
    assert.matches("up to 100 years", t:cli({ "enqueue", "add", "--in", "101y" }).err)
    assert.matches("64", t:cli({ "enqueue", "add", ("["):rep(65) .. ("]"):rep(65) }).err)
    assert.matches("200", t:cli({ "enqueue", ("x"):rep(201) }).err)
  end)

  H.it("are named to scripts", function(t)
    t:script("a.lua", [[
      local many = {}
      for i = 1, 201 do many[i] = i end
      skein.task("try", { retries = 0 }, function(job)
        local function said(fn, ...)
          local ok, err = pcall(fn, ...)
          return tostring(err)
        end
        return {
          snooze = said(job.snooze, job, 1e18), sleep = said(skein.sleep, 1e18), retry_in = said(skein.retry_in, 1e18),
          args = said(skein.enqueue, "x", unpack(many)), list = said(skein.enqueue, { task = "x", args = many }),
          delay = said(skein.enqueue, { task = "x", delay = 1e400 }), at = said(skein.enqueue_at, 1e18, "x"),
          retries = said(skein.enqueue, { task = "x", retries = 1e18 }),
            wait = said(job.remaining and skein.handle("x").wait, skein.handle("x"), 1e18),
          name = said(skein.enqueue, ("x"):rep(201)), id = said(skein.enqueue, { task = "x", id = ("x"):rep(65) }),
          meta = said(skein.enqueue, { task = "x", meta = { a = ("x"):rep(70000) } }),
          list_limit = said(skein.admin.jobs, { limit = 10001 }),
        }
      end)]])
    t:run { "-w", "1" }
    local said = cjson.decode(t:ok("enqueue", "try", "--wait"))
    local expected = {
      snooze = "3153600000", sleep = "3153600000", retry_in = "3153600000", args = "200", list = "200",
        delay = "3153600000",
      at = "6307200000", retries = "1000000", wait = "3153600000", name = "200", id = "64", meta = "65536",
      list_limit = "10000",
    }
    for key, limit in pairs(expected) do assert.matches(limit, said[key], 1, true) end
  end)
end)

describe("a running job", function()
  H.it("shows its attempt in skein jobs, job, explain and to scripts", function(t)
    t:script("a.lua", t:released() .. [[
      skein.task("twice", { retries = 3, backoff = { 0 } }, function(job)
        if job.attempt == 1 then error "once" end
        released "it"
        return skein.handle(job.id):info().attempt
      end)]])
    t:run { "-w", "1" }
    local id = t:enqueue("twice", { flags = { "--keep", "60" } })
    t:wait_for("the second attempt", 5, function() return t:job(id).attempt == 2 end)
    assert.equal(1, t:job(id).attempts)
    assert.matches("running +twice +default +2 ", t:ok "jobs")
    assert.matches("\nattempt +2", t:ok("job", id))
    assert.matches("attempt 2", t:ok("explain", id))
    t:release "it"
    assert.equal(2, t:wait_state(id, "done").result)
  end)
end)

describe("times", function()
  H.it("are local with their offset, and UTC with --utc and in JSON", function(t)
    t.env.TZ = "Asia/Kolkata"
    local id = t:ok("enqueue", "add", "--at", "2100-06-01T12:00:00Z")
    for _, command in ipairs { { "job", id }, { "explain", id }, { "jobs" } } do
      assert.matches("2100-06-01T17:30:00.000+05:30", t:ok(unpack(command)), 1, true)
      command[#command + 1] = "--utc"
      assert.matches("2100-06-01T12:00:00.000Z", t:ok(unpack(command)), 1, true)
    end
    assert.equal("2100-06-01T12:00:00.000Z", t:job(id).due_at)
  end)
end)

describe("a change by filter", function()
  H.it_on("sqlite", "that takes longer than a second says how far it is", function(t)
    for _ = 1, 3 do t:enqueue "add" end
    local lock = t:start({ "-c", [[import signal, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN IMMEDIATE")
print("held", flush=True)
signal.pause()]], t.dir .. "/jobs.db" }, { program = "python3" })
    t:wait_for("the lock", 5, function() return lock.stdout:find "held" end)
    local cancel = t:start { "cancel", "--task", "add" }
    t:wait_for("a word of it", 5, function() return cancel.stderr:find("skein cancel: cancelled 0 jobs so far\n", 1,
      true) end)
    lock:stop_hard()
    assert.equal(0, cancel:wait(5))
    assert.equal("cancelled 3 jobs\n", cancel.stdout)
    local quick = t:cli { "delete", "--task", "add" }
    assert.same({ "deleted 3 jobs\n", "" }, { quick.out, quick.err })
  end)
end)

describe("skein check", function()
  H.it("passes on what scripts write while they load, without terminal controls", function(t)
    t:script("a.lua",
      [[io.write("a\27[31m\194\155 b\n") io.stdout:write("c\27]0;title\7 d\n") io.stderr:write("e\255\27 f\n")
      os.execute("printf 'g\\033[2J h'; printf 'i\\033c j\\n' >&2") ]] .. ADD)
    for _, args in ipairs { { "check", t.scripts }, { "check", t.scripts, "--json" } } do
      local result = t:cli(args)
      assert.equal(0, result.code)
      assert.is_nil((result.out .. result.err):find "[%z\1-\8\11-\31\127]")
      assert.is_nil((result.out .. result.err):find "\194[\128-\159]")
      for _, text in ipairs { "a %[31m  b", "e\239\191\189  f", "i c j" } do assert.matches(text, result.err) end
      for _, text in ipairs { "c %]0;title  d", "g %[2J h" } do assert.matches(text, result.out) end
    end
  end)

  H.it("says which signal ended a script, and waits for no program that one leaves running", function(t)
    t:script("a.lua", ([[os.execute "sleep 30 & echo $! >%s/pid" ]]):format(t.dir) .. ADD)
    local from = H.now()
    assert.equal(0, t:cli({ "check", t.scripts }).code)
    assert.is_true(H.now() - from < 20)
    assert.equal(0, t:cli({ "-c", "kill " .. H.files.read(t.dir .. "/pid") }, { program = "sh" }).code)
    t:script("a.lua", [[local ffi = require "ffi" ffi.cdef "void abort(void);" ffi.C.abort()]])
    local result = t:cli { "check", t.scripts }
    assert.equal(1, result.code)
    assert.matches("skein check: signal 6 %(Aborted%) ended the process that loads the scripts", result.err)
  end)
end)

describe("args that a worker cannot decode", function()
  H.it_on("sqlite", "make the job dead at once", function(t)
    t:script("a.lua", [[skein.task("add", { retries = 5 }, function(job, a) fx("ran") end)
      skein.on("death", function(job, err) fx("death", err.kind, err.message) end)]])
    local id = t:enqueue("add", 123456)
    -- Another client's bytes: the number becomes one that no double holds.
    local change = [[import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
for id, record in db.execute("SELECT n, record FROM job").fetchall():
    db.execute("UPDATE job SET record = ? WHERE n = ?", (bytes(record).replace(b"123456", b"1e9999"), id))
db.commit()]]
    local changed = t:cli({ "-c", change, t.dir .. "/jobs.db" }, { program = "python3" })
    assert.equal(0, changed.code, changed.err)
    t:run { "-w", "1" }
    local job = t:wait_state(id, "dead")
    assert.equal(1, job.attempts)
    assert.matches("args: ", job.error.message)
    assert.equal(0, t:count "ran")
    assert.equal(1, t:count "death")
  end)
end)

describe("terminal escapes", function()
  H.it("of a job reach neither the log nor what commands print, in UTF-8 or not", function(t)
    t:script("a.lua", ([[
      local bad = "a\27[31m%s31m%sb\r\127"
      skein.task("bad", { retries = 0 }, function(job) print(bad) job:log("%%s", bad) job:progress(5, bad)
        error(bad, 0) end)
      skein.task("good", function() return bad end)]]):format(CSI, RAW_CSI))
    local engine = t:run { "-w", "1" }
    local arg = ('"x%s31m%sy"'):format(CSI, RAW_CSI)
    local id = t:ok("enqueue", "bad", arg, "--meta", ('{"k":"%s"}'):format(CSI))
    local waited = t:cli { "enqueue", "good", "--wait" }
    t:wait_state(id, "dead")
    local said = { waited.out, engine.child.stderr }
    for _, args in ipairs { { "jobs" }, { "jobs", "--json" }, { "job", id }, { "job", id, "--json" },
      { "explain", id }, { "queues" } } do
      local result = t:cli(args)
      said[#said + 1] = result.out .. result.err
    end
    said[#said + 1] = t:cli({ "enqueue", "add", CSI .. RAW_CSI .. "\27[31m" }).err
    said[#said + 1] = t:cli({ "job", CSI .. RAW_CSI .. "\27[31m" }).err
    said[#said + 1] = t:cli({ CSI .. RAW_CSI .. "\27[31m" }).err
    for _, text in ipairs(said) do has_no_control(text) end
  end)
end)

describe("TLS", function()
  H.it_on("redis", "where there is none, and none where there is TLS, is said", function(t)
    local key, cert = t.dir .. "/key.pem", t.dir .. "/cert.pem"
    local made = t:cli({ "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-subj",
      "/CN=localhost" },
      { program = "openssl" })
    assert.equal(0, made.code, made.err)
    local port = H.free_port()
    local server = t:own_redis { "tls-port " .. port, "tls-cert-file " .. cert, "tls-key-file " .. key,
      "tls-ca-cert-file " .. cert,
      "tls-auth-clients no" }
    local plain = t:cli { "jobs", "-s", ("rediss://127.0.0.1:%d?timeout=1"):format(server.port) }
    assert.equal(69, plain.code)
    assert.matches("does not answer TLS.*write redis://", plain.err)
    local tls = t:cli { "jobs", "-s", ("redis://127.0.0.1:%d"):format(port) }
    assert.equal(69, tls.code)
    assert.matches("write rediss://", tls.err)
  end)
end)

describe("a password", function()
  H.it("of the store is seen neither in ps nor in a message nor in the log", function(t)
    t:script("a.lua", ADD)
    local secret = "HUSHHUSH"
    local engine = t:run({ "-w", "1", "-s", t.url, "--log-level", "debug" },
      { env = { REDIS_URL = ("redis://:%s@127.0.0.1:1"):format(secret) } })
    assert.is_nil(engine.child.stderr:find(secret, 1, true))
    for _, url in ipairs {
      "redis://:%s@127.0.0.1:1", "redis://u:%s@127.0.0.1:1x", "redis://:%s@ho st", "redis://:a%s#b@h",
        "redis://h:1?password=%s",
      "redis+sentinel://:%s@127.0.0.1:1/m", "redis+unix://:%s@/nowhere", "rediss://%s@127.0.0.1:1",
        "postgres://u:%s@h/d", "u:%s@h",
    } do
      for _, args in ipairs { { "jobs", "-s", url:format(secret) },
        { "enqueue", "add", "--store=" .. url:format(secret) },
                              { "run", t.scripts, "-s" .. url:format(secret) }, { "jobs", url:format(secret) } } do
        local result = t:cli(args)
        assert.is_true(result.code ~= 0)
        if args[2] ~= "u:HUSHHUSH@h" then assert.is_nil((result.err .. result.out):find(secret, 1, true), url) end
      end
    end
    -- A command that waits, with its words as every user of the machine sees them.
    local child = t:start { "enqueue", "add", "1", "--wait", "--timeout", "20", "--meta",
      '{"at":"redis://u:HUSHHUSH@h"}', "-s", t.url }
    local words = t:wait_for("its command line", 5, function()
      local text = H.files.read(("/proc/%d/cmdline"):format(child.pid))
      return text and text:find "redis://u:%*+@h" and text
    end)
    assert.is_nil(words:find(secret, 1, true))
  end)
end)
