-- The files of a sqlite store: who may use them, whose they are, where they are.  Other users are real ones: the test needs root.
local H = require "tests.system.harness"

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
    local made = t:cli({ "-c", ("umask 000; exec setpriv --reuid=%d --regid=%d --clear-groups '%s/skein' enqueue x -s sqlite:%s/a/new/jobs.db")
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
    local hold = t:start({ "--reuid=" .. BOB, "--regid=" .. BOB, "--groups=" .. GROUP, t.dir .. "/skein", "run", t.scripts, "-s", url, "-w", "1" },
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
