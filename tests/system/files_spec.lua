-- The files of a sqlite store: who may use them, to whom they belong, where they are.  The other users are real, so the
-- tests need root.
local H = require "tests.system.harness"
local uv = require "luv"

local files = H.files

local ALICE, BOB, GROUP = 5001, 5002, 6000

local helpers = {}

--- Runs a shell command that must succeed; its output.
function helpers.sh(t, text, ...)
  local result = t:cli({ "-c", text:format(...) }, { program = "sh" })
  if result.code ~= 0 then error(("%s: %d %s"):format(text:format(...), result.code, result.err), 2) end
  return (result.out:gsub("\n$", ""))
end

--- A skein command as another user, of that group too: { code, out, err }.
function helpers.as(t, user, ...)
  local args = { "--reuid=" .. user, "--regid=" .. user, "--groups=" .. GROUP, t.dir .. "/skein", ... }
  return t:cli(args, { program = "setpriv" })
end

--- "owner:group mode" of a file; "" when it is not there.
function helpers.owner(t, path) return t:sh("stat -c '%%u:%%g %%a' '%s' 2>/dev/null || true", path) end

--- A store in a folder of alice's, in which a job waits: its path and its URL.
function helpers.store_of_alice(t, mode)
  t:sh("mkdir '%s/a' && chown %d '%s/a' && chmod %s '%s/a'", t.dir, ALICE, t.dir, mode or "755", t.dir)
  local path = t.dir .. "/a/jobs.db"
  local made = t:as(ALICE, "enqueue", "x", "-s", "sqlite:" .. path)
  assert.equal(0, made.code, made.err)
  return path, "sqlite:" .. path
end

-- A test in a folder that everybody may enter, with a copy of the binary that everybody may run.
local function it(name, fn)
  H.it_on("sqlite", name, function(t)
    if not ("\n" .. files.read "/proc/self/status"):find "\nUid:\t0\t" then pending "needs root" end
    for key, helper in pairs(helpers) do t[key] = helper end
    t:sh("chmod 755 '%s' && cp '%s' '%s/skein' && chmod 755 '%s/skein'", t.dir, H.skein, t.dir, t.dir)
    fn(t)
  end)
end

describe("a new store", function()
  it("is its owner's alone, whatever the umask", function(t)
    t:sh("mkdir '%s/a' && chown %d '%s/a'", t.dir, ALICE, t.dir)
    local made = t:cli({ "-c",
      ("umask 000; exec setpriv --reuid=%d --regid=%d --clear-groups '%s/skein' enqueue x -s sqlite:%s/a/new/jobs.db")
      :format(ALICE, ALICE, t.dir, t.dir) }, { program = "sh" })
    assert.equal(0, made.code, made.err)
    assert.equal("5001:5001 700", t:owner(t.dir .. "/a/new"))
    assert.equal("5001:5001 600", t:owner(t.dir .. "/a/new/jobs.db"))
    assert.equal("5001:5001 600", t:owner(t.dir .. "/a/new/jobs.db-lock"))
  end)

  it("is the group's in a folder whose setgid bit says so", function(t)
    t:sh("mkdir '%s/g' && chgrp %d '%s/g' && chmod 2770 '%s/g'", t.dir, GROUP, t.dir, t.dir)
    local path = t.dir .. "/g/jobs.db"
    for _, user in ipairs { ALICE, BOB, 0, ALICE } do
      local made = t:as(user, "enqueue", "x", "-s", "sqlite:" .. path)
      assert.equal(0, made.code, made.err)
      assert.equal("5001:6000 660", t:owner(path))
      assert.equal("5001:6000 660", t:owner(path .. "-lock"))
    end
  end)
end)

describe("a store of somebody else", function()
  it("is not touched by a look that is refused", function(t)
    local path, url = t:store_of_alice "777" -- bob could make files here
    local before = t:sh("ls -ln '%s/a'", t.dir)
    local look = t:as(BOB, "jobs", "-s", url)
    assert.equal(69, look.code)
    assert.matches("jobs.db: Permission denied", look.err)
    assert.equal(before, t:sh("ls -ln '%s/a'", t.dir))
    t:sh("chmod 644 '%s'", path)
    assert.equal(0, t:as(BOB, "jobs", "-s", url).code)
    assert.equal(69, t:as(BOB, "enqueue", "x", "-s", url).code)
    assert.equal("", t:owner(path .. "-wal"))
    assert.equal("", t:owner(path .. "-shm"))
    assert.equal(0, t:as(ALICE, "enqueue", "x", "-s", url).code)
  end)

  it("is left to its owner by root", function(t)
    local path, url = t:store_of_alice()
    t:sh("rm '%s-lock'", path) -- as a backup is restored
    assert.equal(0, t:as(0, "stats", "-s", url).code)
    assert.equal("5001:5001 600", t:owner(path .. "-lock"))
    t:script("a.lua", [[ skein.task("y", function() end) ]])
    t:use(url)
    t:run { "-w", "1" }
    for _, suffix in ipairs { "-wal", "-shm", "-lock" } do assert.equal("5001:5001 600", t:owner(path .. suffix)) end
    assert.equal(0, t:as(ALICE, "enqueue", "x", "-s", url).code)
  end)

  it("keeps its group when a member opens it first", function(t)
    local path, url = t:store_of_alice "777" -- no setgid bit
    t:sh("chgrp %d '%s' '%s-lock' && chmod 660 '%s' '%s-lock'", GROUP, path, path, path, path)
    local hold = t:start({ "--reuid=" .. BOB, "--regid=" .. BOB, "--groups=" .. GROUP, t.dir .. "/skein", "run",
      t.scripts, "-s", url, "-w", "1" },
      { program = "setpriv" })
    t:sh("chmod -R a+rX '%s'", t.scripts)
    t:wait_for("the log", 5, function() return t:owner(path .. "-shm") ~= "" end)
    for _, suffix in ipairs { "-wal", "-shm", "-lock" } do assert.matches("^%d+:6000 660$", t:owner(path .. suffix)) end
    assert.equal(0, t:as(ALICE, "enqueue", "x", "-s", url).code)
    hold:stop_hard()
  end)
end)

describe("who may only read", function()
  -- stats, jobs, job and queues of a user who can't write, as long as the state of the files lasts.
  local function check_reads(t, url, enqueued)
    local id
    for _, verb in ipairs { "stats", "queues", "jobs" } do
      local said = t:as(BOB, verb, "-s", url, "--json")
      assert.equal(0, said.code, verb .. ": " .. said.err)
      if verb == "stats" then assert.equal(enqueued, tonumber(said.out:match '"enqueued": ?(%d+)')) end
      id = id or said.out:match '"id": ?"(%w+)"'
    end
    assert.equal(0, t:as(BOB, "job", id, "-s", url).code)
    for _, verb in ipairs { "enqueue", "cancel" } do
      local refused = t:as(BOB, verb, "x", "-s", url)
      assert.equal(69, refused.code)
      assert.matches("this user may only read the store: .*jobs%.db: Permission denied", refused.err)
    end
  end

  it("reads a store that nobody has open, one that lives, and what a crash leaves", function(t)
    local path, url = t:store_of_alice()
    t:sh("chmod 644 '%s'", path)
    check_reads(t, url, 1)
    t:script("a.lua", [[ skein.task("held", function() skein.sleep(60) end) ]])
    t:use(url)
    local engine = t:run { "-w", "1" }
    t:enqueue "held"
    check_reads(t, url, 2)
    engine:kill_core()
    assert.not_equal("", t:owner(path .. "-wal"))
    check_reads(t, url, 2)
    t:sh("rm '%s-shm'", path)
    local before = t:sh("ls -ln '%s/a'", t.dir)
    check_reads(t, url, 2)
    assert.equal(before, t:sh("ls -ln '%s/a'", t.dir))
  end)

  it("is told which file it can't read", function(t)
    local path, url = t:store_of_alice()
    t:script("a.lua", [[ skein.task("y", function() end) ]])
    t:use(url)
    t:run { "-w", "1" }
    t:sh("chmod 644 '%s'", path)
    local refused = t:as(BOB, "stats", "-s", url)
    assert.equal(69, refused.code)
    assert.matches("jobs%.db%-wal: Permission denied", refused.err)
  end)
end)

describe("a symbolic link to a store", function()
  it("is the same store: one lock, one log, also where there was none", function(t)
    files.make_dirs(t.dir .. "/real")
    files.make_dirs(t.dir .. "/links")
    t:sh("ln -s ../real/jobs.db '%s/links/a.db' && ln -s a.db '%s/links/b.db'", t.dir, t.dir)
    t:script("a.lua", [[ skein.task("x", function() fx("ran") end) ]])
    t:use("sqlite:" .. t.dir .. "/links/b.db")
    t:run { "-w", "1" }
    local started = H.now()
    for i, url in ipairs { "/real/jobs.db", "/links/a.db", "/links/../links/b.db" } do
      t:use("sqlite:" .. t.dir .. url)
      t:enqueue "x"
      t:wait_effects("ran", i, 2) -- woken, not found by the safety poll
    end
    assert.is_true(H.now() - started < 4)
    assert.equal("a.db\nb.db", t:sh("ls '%s/links'", t.dir))
    assert.equal("jobs.db\njobs.db-lock\njobs.db-shm\njobs.db-wal", t:sh("ls '%s/real'", t.dir))
  end)
end)

describe("the size of a store", function()
  local PLAN = [[
    skein.task("x", { queue = "xs" }, function() end)
    skein.task("plan", function(job, n)
      for i = 1, n do
        local sigs = {}
        for k = 1, 1000 do sigs[k] = { task = "x", args = { i, k, ("y"):rep(200) } } end
        assert(skein.enqueue_many(sigs))
      end
    end) ]]

  local function bytes(path) return (assert(uv.fs_stat(path))).size end

  H.it_on("sqlite", "goes down again when its jobs are done, while the engine runs and at its end", function(t)
    t:script("a.lua", PLAN)
    local path = t.url:match "^sqlite:(.*)$"
    t:enqueue("plan", 50)
    t:drain { "-w", "1", "-q", "default" }
    local full = bytes(path)
    assert.is_true(full > 16e6)
    local engine = t:run { "-w", "1" }
    t:wait_for("the end of the jobs", 30, function() return t:counters().done == 50001 end)
    t:wait_for("a small file", 20, function() return bytes(path) < 6e6 end)
    assert.equal(0, engine:stop())
    t:enqueue("plan", 50)
    t:drain { "-w", "1" }
    assert.is_true(bytes(path) < 8e6)
  end)

  H.it_on("sqlite", "has a log that stays small while several write and others read all the time", function(t)
    t:script("a.lua", [[ skein.task("again", function(job, text) skein.enqueue("again", text) end) ]])
    t:config '{ durability = "normal" }'
    for _ = 1, 3 do t:run { "-w", "1", "-c", "20" } end
    t.env.SKEIN_STORE = t.url
    for _ = 1, 40 do t:enqueue("again", ("y"):rep(3000)) end
    local log, most = t.url:match "^sqlite:(.*)$" .. "-wal", 0
    local from = t:counters().done
    t:wait_for("many jobs", 60, function()
      t:ok("jobs", "--limit", "1000")
      most = math.max(most, bytes(log))
      return t:counters().done > from + 20000
    end)
    H.say("log: %.1f MB at most", most / 1e6)
    assert.is_true(most < 24e6)
  end)
end)

describe("skein backup", function()
  it("copies a store that is in use, for its owner alone, and overwrites nothing", function(t)
    t:script("a.lua", [[
      skein.task("again", function(job, n) skein.enqueue("again", n + 1) end)
      skein.task("held", function() skein.sleep(60) end) ]])
    t:run { "-w", "1" }
    t:enqueue("again", 0)
    local held = t:enqueue "held"
    t:wait_state(held, "running")
    local copy = t.dir .. "/copy.db"
    assert.matches("copy%.db: %d+ bytes", t:ok("backup", copy))
    assert.matches(" 600$", t:owner(copy))
    assert.equal("", t:owner(copy .. ".part"))
    local refused = t:cli { "backup", copy }
    assert.equal(1, refused.code)
    assert.matches("it is there already, and is not overwritten", refused.err)
    -- It is a whole store: what ran is running in it, and an engine takes it over.
    t:use("sqlite:" .. copy)
    local stats = t:json "stats"
    assert.equal("running", t:job(held).state)
    assert.is_true(stats.counters.done > 0 and stats.states.ready + stats.states.running >= 2)
    t:run { "-w", "1" }
    t:wait_for("a job of the copy", 5, function() return t:counters().done > stats.counters.done end)
  end)

  it("is refused for a store that is no file, and needs no right to write", function(t)
    local redis = t:cli { "backup", t.dir .. "/b.db", "-s", "redis://127.0.0.1:1" }
    assert.equal(69, redis.code)
    local path, url = t:store_of_alice()
    t:sh("chmod 644 '%s' && chmod 777 '%s'", path, t.dir)
    local made = t:as(BOB, "backup", t.dir .. "/b.db", "-s", url)
    assert.equal(0, made.code, made.err)
    assert.equal("5002:5002 600", t:owner(t.dir .. "/b.db"))
    local look = t:as(BOB, "stats", "-s", "sqlite:" .. t.dir .. "/b.db", "--json")
    assert.matches('"enqueued": ?1', look.out)
  end)
end)
