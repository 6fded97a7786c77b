-- Ends are bounded: TERM, a second TERM and QUIT end an engine in their time, whatever its store does; and what a stop does to jobs.
local H = require "tests.system.harness"
local uv = require "luv"

local files, process = H.files, H.process

local SLOW = [[ skein.task("slow", { retries = 0, keep = 60 }, function(job, s) fx("start") skein.sleep(s) fx("end") return 1 end) ]]

-- Makes the store answer nobody; returns what makes it answer again.
local HANG = {
  -- Another process holds the write lock.
  sqlite = function(t)
    local child = t:start_client(([[
      local ffi = require "ffi"
      ffi.cdef "int sqlite3_open(const char *, void **); int sqlite3_exec(void *, const char *, void *, void *, char **); int pause(void);"
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
