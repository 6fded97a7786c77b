-- An engine ends in time: on TERM, on a second TERM and on QUIT, whatever its store does.  The jobs of an engine that
-- stops are handed back.
local H = require "tests.system.harness"
local uv = require "luv"

local files, process = H.files, H.process

local SLOW = [[ skein.task("slow", { retries = 0, keep = 60 }, function(job, s) fx("start") skein.sleep(s) fx("end")
  return 1 end) ]]

-- Makes the store answer nobody; returns what makes it answer again.
local HANG = {
  -- Another process holds the write lock.
  sqlite = function(t)
    local child = t:start_client(([[
      local ffi = require "ffi"
      ffi.cdef "int sqlite3_open(const char *, void **); int pause(void);"
      ffi.cdef "int sqlite3_exec(void *, const char *, void *, void *, char **);"
      local sqlite, db = ffi.load "libsqlite3.so.0", ffi.new "void *[1]"
      assert(sqlite.sqlite3_open(%q, db) == 0)
      while sqlite.sqlite3_exec(db[0], "BEGIN IMMEDIATE", nil, nil, nil) ~= 0 do end
      io.stdout:write "held\n" io.stdout:flush()
      ffi.C.pause()]]):format(t.url:match "^sqlite:(.*)$"))
    t:wait_for("the lock", 5, function() return child.stdout:find "held" end)
    return function() child:stop_hard() end
  end,
  redis = function(t)
    t.redis:freeze()
    t.at_end[#t.at_end + 1] = function() t.redis:thaw() end
    return function() t.redis:thaw() end
  end,
}

-- An engine with a job that runs for `s` seconds, whose store then hangs.
local function hanging(t, timeout, s)
  if H.store == "redis" then t:own_redis() end
  t:script("a.lua", SLOW)
  local engine = t:run { "-w", "1", "-t", timeout }
  local id = t:enqueue("slow", s)
  t:wait_effects("start", 1)
  return engine, id, HANG[H.store](t)
end

-- Seconds from a signal to the end of the engine.
local function ends_within(engine, max_s, signal)
  local from = H.now()
  engine:signal(signal)
  assert.equal(0, engine:wait_exit(max_s + 5))
  local took = H.now() - from
  assert.is_true(took < max_s, ("ended after %.2f s"):format(took))
  return took
end

describe("an engine whose store hangs ends", function()
  H.it("within shutdown_timeout + 1 s of a TERM, and says what was not settled", function(t)
    local engine, id, go_on = hanging(t, "2", 1)
    ends_within(engine, 3, "sigterm")
    assert.equal(1, t:count "end")
    local refused, unknown = engine:logged "did not take 1 outcomes", engine:logged "did not answer for 1 outcomes"
    assert.equal(1, #refused + #unknown)
    go_on()
    t:run { "-w", "1" }
    if #refused == 1 then t:wait_effects("end", 2) end -- it was not settled, and is not later
    t:wait_state(id, "done")
  end)

  H.it("at once of a second TERM", function(t)
    local engine = hanging(t, "30", 60)
    engine:signal "sigterm"
    engine:wait_log "stopping %(TERM%)"
    ends_within(engine, 1, "sigterm")
  end)

  H.it("at once of QUIT", function(t) ends_within(hanging(t, "30", 60), 1, "sigquit") end)
end)

describe("TERM while the store is opened", function()
  H.it("is heard at once when it does not answer", function(t)
    if H.store == "redis" then t:own_redis() end
    t:script("a.lua", SLOW)
    t:run({ "-w", "1" }):stop()
    HANG[H.store](t)
    local engine = t:run({ "-w", "1" }, { ready = false })
    engine:wait_log "skein .* runs"
    ends_within(engine, 1, "sigterm")
    assert.equal(1, #engine:logged "stopping %(TERM%): the store was still being opened")
  end)

  H.it("is heard by an engine as its first word", function(t)
    t:script("a.lua", SLOW)
    for _ = 1, 20 do
      local engine = t:run({ "-w", "1" }, { ready = false })
      engine:wait_log "skein .* runs"
      ends_within(engine, 2, "sigterm")
    end
  end)
end)

describe("a job that fails while its engine is being stopped", function()
  H.it("costs no attempt, and no handler hears of it", function(t)
    t:script("a.lua", t:released() .. [[
      skein.on("death", function() fx "death" end)
      skein.on("error", function() fx "error" end)
      skein.task("fails", { keep = 60 }, function(job, verdict)
        fx("start", job.id)
        released "all"
        if verdict == "fail" then skein.fail "on purpose" end
        if verdict == "retry_in" then skein.retry_in(60, "on purpose") end
        error "since all ends"
      end)]])
    local engine = t:run { "-w", "1" }
    local plain, last = t:enqueue "fails", t:enqueue("fails", { flags = { "--retries", "0" } })
    local fails, again = t:enqueue("fails", "fail"), t:enqueue("fails", "retry_in")
    t:wait_effects("start", 4)
    engine:signal "sigterm"
    engine:wait_log "stopping %(TERM%)"
    t:release "all"
    assert.equal(0, engine:wait_exit(5))
    assert.equal(2, #engine:logged "costs no attempt")
    for _, id in ipairs { plain, last } do
      local job = t:job(id)
      assert.same({ "ready", 0 }, { job.state, job.attempts })
    end
    assert.equal("dead", t:job(fails).state)
    assert.same({ "retry", 1 }, { t:job(again).state, t:job(again).attempts })
    assert.same({ 1, 1 }, { t:count "death", t:count "error" }) -- of those that meant it
  end)

  H.it("costs no attempt when the terminal's Ctrl-C has ended its child", function(t)
    t:script("a.lua", [[
      skein.task("child", { retries = 0, keep = 60 }, function(job, file)
        fx("start", pid)
        if io.open(file) then return 1 end
        if os.execute "exec sleep 30" ~= 0 then error "the child was ended" end
      end)]])
    local wrap = function(argv) return { H.skein, unpack(argv) } end
    local engine = t:run({ "-w", "1" }, { program = "setsid", wrap = wrap })
    local id = t:enqueue("child", t.effects_dir .. "/second")
    local worker = process.stat(tonumber(t:wait_effects("start", 1)[1][1]))
    t:wait_for("the child", 5, function() return #process.children(worker.pid) == 1 end)
    local child = process.children(worker.pid)[1]
    uv.kill(-worker.ppid, "sigint") -- the foreground process group
    engine:wait_log "stopping %(INT%)"
    if process.alive(child) then uv.kill(child, "sigterm") end -- not in that group: as a service manager does
    assert.equal(0, engine:wait_exit(5))
    assert.equal(1, #engine:logged "costs no attempt")
    local job = t:job(id)
    assert.same({ "ready", 0 }, { job.state, job.attempts })
    files.write(t.effects_dir .. "/second", "")
    t:run { "-w", "1" }
    t:wait_state(id, "done")
  end)
end)

describe("a client keeps the time it was given", function()
  -- Lua that runs f() and says what came of it: result, code, id, whether there is a handle, seconds.
  local TIMED = [[
    local skein, uv = require "skein", require "luv"
    local function timed(f)
      local from = uv.hrtime()
      local value, err = f()
      print(value and "ok" or "nil", err and err.code or "-", err and err.id or "-", err and err.ids and #err.ids or 0,
        (uv.hrtime() - from) / 1e9)
    end
    local function many()
      local list = {}
      for i = 1, 3000 do list[i] = { task = "x", args = { i } } end
      return skein.enqueue_many(list)
    end ]]

  local function said(child)
    local rows = {}
    for line in child.stdout:gmatch "[^\n]+" do
      local row = {}
      for field in line:gmatch "[^\t]+" do row[#row + 1] = field end
      rows[#rows + 1] = row
    end
    return rows
  end

  -- Waits for n rows of a client that goes on when files "go-1", "go-2" appear.
  local GO = [[ local function go(n) while not io.open("%s/go-" .. n) do uv.sleep(5) end end ]]

  H.it("in the commands: looks and an enqueue with its opening", function(t)
    if H.store == "redis" then t:own_redis() end
    t:enqueue "x"
    t.env.SKEIN_STORE = t.url .. "?timeout=1"
    HANG[H.store](t)
    local from = H.now()
    local added = t:cli { "enqueue", "x" }
    local took = H.now() - from
    assert.equal(69, added.code)
    assert.is_true(took > 0.9 and took < 1.8, ("%.2f s"):format(took))
    from = H.now()
    local looked = t:cli { "stats" }
    assert.equal(H.store == "redis" and 69 or 0, looked.code) -- sqlite can be read while another writes
    assert.is_true(H.now() - from < 1.8)
  end)

  H.it("in a program: an enqueue as a whole, with a connection, without one, and in a list", function(t)
    if H.store == "redis" then t:own_redis() end
    t:enqueue "x"
    t.env.SKEIN_STORE = t.url .. "?timeout=1"
    local child = t:start_client(TIMED .. GO:format(t.effects_dir) .. [[
      assert(skein.enqueue "x")
      print "connected" io.stdout:flush()
      go(1)
      timed(function() return skein.enqueue("unheard.of", 1) end)
      timed(many)
      skein.close()
      timed(function() return skein.enqueue("unheard.of", 1) end)
      io.stdout:flush()
      go(2)
      timed(function() return skein.enqueue("x", 1) end) ]])
    t:wait_for("the client", 5, function() return #said(child) == 1 end)
    local go_on = HANG[H.store](t)
    files.write(t.effects_dir .. "/go-1", "")
    t:wait_for("its calls", 15, function() return #said(child) == 4 end)
    go_on()
    files.write(t.effects_dir .. "/go-2", "")
    assert.equal(0, child:wait(5), child.stderr)
    local rows = said(child)
    for i = 2, 4 do
      assert.equal("nil", rows[i][1])
      assert.is_true(rows[i][2] == "unavailable" or rows[i][2] == "unknown_fate", rows[i][2])
      assert.is_true(tonumber(rows[i][5]) < 1.8, ("call %d: %s s"):format(i, rows[i][5]))
    end
    assert.equal("ok", rows[5][1])
  end)

  H.it_on("redis", "and an error of an unknown fate names the jobs, so that one can ask", function(t)
    t:own_redis()
    t:script("a.lua", [[ skein.task("x", { keep = 60 }, function() end) ]])
    t:run { "-w", "1" }
    t.env.SKEIN_STORE = t.url .. "?timeout=1"
    local child = t:start_client(TIMED .. GO:format(t.effects_dir) .. [[
      assert(skein.enqueue "x")
      print "connected" io.stdout:flush()
      go(1)
      local h, err = skein.enqueue("x", 1)
      print(err.code, err.id, err.handle.id == err.id, tostring(err)) io.stdout:flush()
      go(2)
      local state
      repeat state = err.handle:state() until state == "done" or state == nil
      print(state or "not added", (skein.enqueue { task = "x", id = err.id }) and "added"
        or "was there") io.stdout:flush()
      go(3)
      timed(many) ]])
    t:wait_for("the client", 5, function() return #said(child) == 1 end)
    t.redis:freeze()
    files.write(t.effects_dir .. "/go-1", "")
    t:wait_for("the error", 5, function() return #said(child) == 2 end)
    t.redis:thaw()
    files.write(t.effects_dir .. "/go-2", "")
    t:wait_for("the answer", 5, function() return #said(child) == 3 end)
    t.redis:freeze()
    files.write(t.effects_dir .. "/go-3", "")
    assert.equal(0, child:wait(5), child.stderr)
    t.redis:thaw()
    local rows = said(child)
    assert.equal("unknown_fate", rows[2][1])
    assert.equal("true", rows[2][3])
    assert.same({ rows[3][1] == "done" and "done" or "not added", rows[3][1] == "done" and "was there" or "added" },
      rows[3])
    assert.equal("unknown_fate", rows[4][2])
    assert.equal(3000, tonumber(rows[4][4]))
  end)

  H.it_on("redis", "also when that is longer than the default, and a refused connection is told at once", function(t)
    t:own_redis()
    t:enqueue "x"
    t.env.SKEIN_STORE = t.url .. "?timeout=20"
    t.redis:freeze()
    local look = t:start { "stats" }
    local since = H.now()
    t:wait_for("more than the default", 10, function() return H.now() - since > 5.5 end)
    assert.is_true(look:running())
    t.redis:thaw()
    assert.equal(0, look:wait(5))
    local from = H.now()
    local refused = t:cli { "stats", "-s", "redis://127.0.0.1:" .. H.free_port() .. "?timeout=20" }
    assert.equal(69, refused.code)
    assert.matches("Connection refused", refused.err)
    assert.is_true(H.now() - from < 1)
  end)
end)
