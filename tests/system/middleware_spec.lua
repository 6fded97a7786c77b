-- Functions of the scripts that run beside jobs: middleware, handlers, events, callbacks; and the meta that travels
-- with jobs. Clients are LuaJIT programs that have no script loaded.
local H = require "tests.system.harness"

describe("middleware", function()
  H.it("goes around every job, the first outermost, and sees result and error", function(t)
    t:script("a.lua", [[
      skein.use(function(job, next)
        fx("order", "outer", job.id and "id")
        local ok, result = pcall(next)
        fx("saw", ok, type(result) == "table" and result.sum or result)
        if not ok then error(result, 0) end
        return result
      end)
      skein.use(function(job, next) fx("order", "inner", job.args[1]) return next() end)
      skein.task("add", function(job, a, b) return { sum = a + b } end)
      skein.task("bad", { retries = 0 }, function() error "no luck" end)]])
    t:run { "-w", "1" }
    local id = t:enqueue("add", 1, 2)
    t:wait_effects("saw", 1)
    assert.same({ { "outer", "id" }, { "inner", "1" } }, t:effects "order")
    assert.same({ "true", "3" }, t:effects "saw"[1])
    assert.equal(3, t:wait_state(id, "done").result.sum)
    local job = t:wait_state(t:enqueue "bad", "dead")
    assert.matches("a%.lua:10: no luck", job.error.message)
    assert.matches("^false", t:effects "saw"[2][1])
  end)

  H.it("may change args and result, swallow errors, retry, wait, and answer itself", function(t)
    t:script("a.lua", [[
      skein.use(function(job, next) return next(job.args[1] * 10) + 1 end, { tasks = "times" })
      skein.task("times", function(job, n) return n end)
      skein.use(function(job, next)
        for i = 1, 3 do
          local ok, result = pcall(next)
          if ok then return result end
          skein.sleep(0.01)
        end
      end, { tasks = { "flaky" } })
      local runs = 0
      skein.task("flaky", { retries = 0 }, function(job) runs = runs + 1 if runs < 3 then error "x" end
        return { runs = runs, attempt = job.attempt } end)
      skein.use(function() return "cached" end, { tasks = "never" })
      skein.task("never", function() fx("ran") end)]])
    t:run { "-w", "1" }
    assert.equal(51, t:wait_state(t:enqueue("times", 5), "done").result)
    assert.same({ runs = 3, attempt = 1 }, t:wait_state(t:enqueue "flaky", "done").result)
    assert.equal("cached", t:wait_state(t:enqueue "never", "done").result)
    assert.equal(0, t:count "ran")
  end)

  H.it("fails the job with its own error, at its own line", function(t)
    t:script("a.lua", [[skein.use(function(job, next)
      next()
      error "late"
      end)
      skein.task("ok", { retries = 0 }, function() fx("ran") return 1 end)]])
    t:run { "-w", "1" }
    local job = t:wait_state(t:enqueue "ok", "dead")
    assert.matches("a%.lua:3: late", job.error.message)
    assert.equal(1, t:count "ran")
  end)

  H.it("is for the queues it names", function(t)
    t:script("a.lua", [[skein.use(function(job, next) fx("around", job.queue) return next() end, { queues = "mail" })
      skein.task("any", function(job) fx("ran", job.queue) end)]])
    t:run { "-w", "1", "-q", "default,mail" }
    t:enqueue "any"
    t:enqueue("any", { flags = { "--queue", "mail" } })
    t:wait_effects("ran", 2)
    assert.same({ { "mail" } }, t:effects "around")
  end)

  H.it("for a task that there is not is an error with file and line before anything runs", function(t)
    t:script("a.lua", [[skein.task("adder", function() end)
      skein.use(function(job, next) return next() end, { tasks = "addr" })]])
    local result = t:cli { "check", t.scripts }
    assert.equal(1, result.code)
    assert.matches('a%.lua:2: skein%.use: no script declares the task "addr" %(did you mean "adder"%?%)', result.err)
  end)

  H.it("of enqueueing works in jobs, for one, many and callbacks", function(t)
    t:script("a.lua", [[
      skein.use_enqueue(function(sig, next)
        skein.sleep(0.01)
        if sig.task == "spam" then return end
        sig.meta.by = "middleware"
        return next(sig)
      end)
      skein.task("start", function(job)
        assert(skein.enqueue({ task = "note", on_success = { task = "note", args = { "callback" } } }, "one"))
        local hs, refused = skein.enqueue_many { { task = "note", args = { "many" } }, "spam" }
        fx("many", type(hs[1]), hs[2], refused[2].code)
      end)
      skein.task("note", function(job, what) fx("note", what, job.meta.by) end)
      skein.task("spam", function() fx("spam") end)]])
    t:run { "-w", "1" }
    t:enqueue "start"
    t:wait_effects("note", 3)
    local notes = t:effects "note"
    table.sort(notes, function(a, b) return a[1] < b[1] end)
    assert.same({ { "callback", "middleware" }, { "many", "middleware" }, { "one", "middleware" } }, notes)
    assert.same({ { "table", "false", "dropped" } }, t:effects "many")
    assert.equal(0, t:count "spam")
  end)
end)

describe("handlers", function()
  H.it("hear of success, of each failure, and of the last one", function(t)
    t:script("a.lua", [[
      skein.on("success", function(job, result) fx("heard", "success", job.task, result) end)
      skein.on("error", function(job, err) fx("heard", "error", err.attempt, err.kind, err.message:match "luck %d") end)
      skein.on("death", function(job, err) fx("heard", "death", err.attempt, err.kind, err.traceback ~= "") end)
      skein.task("good", { on_success = function(job, result) fx("heard", "own", job.task, result) end }, function()
        return 42 end)
      skein.task("bad", { retries = 2, backoff = { 0.01 } }, function(job) error("luck " .. job.attempt) end)]])
    t:run { "-w", "1" }
    t:wait_state(t:enqueue "good", "done")
    t:wait_state(t:enqueue "bad", "dead")
    assert.same({
      { "own", "good", "42" }, { "success", "good", "42" }, { "error", "1", "error", "luck 1" },
        { "error", "2", "error", "luck 2" },
      { "death", "3", "error", "true" },
    }, t:effects "heard")
  end)

  H.it("that fail are logged with file and line, and lose nothing", function(t)
    t:script("a.lua", [[
      skein.on("success", function() error "oops" end)
      skein.on("death", function() error "ouch" end)
      skein.on("death", function() fx("second") end)
      skein.task("good", function() return 1 end)
      skein.task("bad", { retries = 0 }, function() error "x" end)]])
    local engine = t:run { "-w", "1" }
    assert.equal(1, t:wait_state(t:enqueue "good", "done").result)
    t:wait_state(t:enqueue "bad", "dead")
    engine:wait_log "the success handler failed: .*a%.lua:1: oops"
    engine:wait_log "the death handler failed: .*a%.lua:2: ouch"
    t:wait_effects("second", 1)
  end)

  H.it("hear of a death by crash in another worker", function(t)
    t:script("a.lua", [[
      skein.on("error", function(job, err) fx("error", err.kind) end)
      skein.on("death", function(job, err) fx("death", job.args[1], err.kind, err.message ~= "", pid) end)
      skein.task("crash", function(job) fx("ran", pid) os.exit(3) end)]])
    t:run { "-w", "2" }
    local id = t:enqueue("crash", "arg")
    local death = t:wait_effects("death", 1, 10)[1]
    assert.same({ "arg", "crash", "true" }, { death[1], death[2], death[3] })
    for _, ran in ipairs(t:effects "ran") do assert.is_true(ran[1] ~= death[4], "the same worker") end
    assert.equal(3, t:count "ran")
    assert.equal("crash", t:wait_state(id, "dead").error.kind)
  end)

  H.it("hear of a hard timeout, of a job that expired, and of a task that nobody has", function(t)
    t:script("a.lua", [[
      skein.on("error", function(job, err) fx("heard", "error", job.task, err.kind) end)
      skein.on("death", function(job, err) fx("heard", "death", job.task, err.kind) end)
      skein.task("stuck", { timeout = 0.1, retries = 0 }, function() while true do end end)
      skein.task("late", { expires = 0.05 }, function() fx("ran late") end)]])
    t:config "{ unknown_max = 1 }"
    local before = H.now()
    t:enqueue "late"
    t:wait_for("it to expire", 2, function() return H.now() > before + 0.2 end)
    t:run { "-w", "1" }
    t:enqueue "stuck"
    t:enqueue "nobody"
    local heard = t:wait_effects("heard", 3, 20)
    table.sort(heard, function(a, b) return table.concat(a) < table.concat(b) end)
    assert.same({ { "death", "late", "expired" }, { "death", "nobody", "unknown_task" },
      { "death", "stuck", "timeout" } },
      heard)
    assert.equal(0, t:count "ran late")
  end)

  H.it("of events hear of a job's life", function(t)
    t:script("a.lua", [[
      skein.on("event", function(e) fx("event", e.task, e.from, e.to, e.attempt, e.error and e.error.kind) end)
      skein.task("start", function() skein.enqueue "flaky" end)
      skein.task("flaky", { backoff = { 0.01 } }, function(job) if job.attempt == 1 then error "x" end end)]])
    t:run { "-w", "1" }
    t:enqueue "start"
    local mine = {}
    t:wait_for("the events", 5, function()
      mine = {}
      for _, e in ipairs(t:effects "event") do if e[1] == "flaky" then mine[#mine + 1] = table.concat(e, " ", 2) end end
      return #mine >= 5
    end)
    assert.same({ "nil ready 0 nil", "ready running 1 nil", "running retry 1 error", "ready running 2 nil",
      "running done 2 nil" }, mine)
  end)
end)

describe("events of a job", function()
  H.it("whose workers die tell of that too", function(t)
    t:script("a.lua", [[
      skein.on("event", function(e) fx("event", e.from, e.to, e.error and e.error.kind) end)
      skein.task("crash", function() os.exit(3) end)]])
    t:run { "-w", "2" }
    local id = t:enqueue "crash"
    t:wait_state(id, "dead", 10)
    local events = t:effects "event"
    assert.same({ "running", "dead", "crash" }, events[#events])
  end)

  H.it("that is snoozed, discarded or failed say so", function(t)
    t:script("a.lua", [[
      skein.on("event", function(e) if e.from == "running" then fx("event", e.task, e.to, e.error and e.error.kind) end
        end)
      local snoozed
      skein.task("a.snooze", function(job) if not snoozed then snoozed = true job:snooze(0.01) end end)
      skein.task("b.discard", function() skein.discard "no" end)
      skein.task("c.fail", function() skein.fail "no" end)
      skein.task("d.retry", { retries = 1 }, function(job) if job.attempt == 1 then skein.retry_in(0.01, "later") end
        end)]])
    t:run { "-w", "1" }
    for _, name in ipairs { "a.snooze", "b.discard", "c.fail", "d.retry" } do t:enqueue(name) end
    local events = t:wait_effects("event", 6)
    table.sort(events, function(a, b) return a[1] < b[1] end)
    for i, e in ipairs(events) do events[i] = table.concat(e, " ") end
    assert.same({ "b.discard discarded nil", "c.fail dead fail" }, { events[3], events[4] })
    local rest = { events[1], events[2], events[5], events[6] }
    table.sort(rest)
    assert.same({ "a.snooze done nil", "a.snooze scheduled nil", "d.retry done nil", "d.retry retry error" }, rest)
  end)
end)

describe("callbacks", function()
  H.it("of success get the result behind their args, unless the parent is immutable", function(t)
    t:script("a.lua", [[
      skein.task("add", function(job, a, b) return a + b end)
      skein.task("nothing", function() end)
      skein.task("note", function(job, ...) fx("note", select("#", ...), ...) end)]])
    t:run { "-w", "1" }
    t:client_lines([[
      local note = function(...) return { task = "note", args = { ... } } end
      skein.enqueue({ task = "add", on_success = { note("plain"), "note" } }, 1, 2)
      skein.enqueue({ task = "add", immutable = true, on_success = note("immutable") }, 1, 2)
      skein.enqueue({ task = "nothing", on_success = note("null") })
      skein.enqueue({ task = "add", on_success = { task = "add", args = { 10 }, on_success = note("chain") } }, 1, 2)]])
    local notes = t:wait_effects("note", 5)
    table.sort(notes, function(a, b) return table.concat(a, " ") < table.concat(b, " ") end)
    assert.same({ "1", "3" }, notes[1])
    assert.same({ "1", "immutable" }, notes[2])
    assert.same({ "2", "chain", "13" }, notes[3])
    assert.same({ "2", "null" }, { notes[4][1], notes[4][2] })
    assert.same({ "2", "plain", "3" }, notes[5])
  end)

  H.it("of death get the error's text before their args, once, also when nothing is kept", function(t)
    t:script("a.lua", [[
      skein.task("bad", { retries = 1, backoff = { 0.01 } }, function(job) error("luck " .. job.attempt) end)
      skein.task("dropped", { retries = 0, dead = false }, function(job) error("gone") end)
      skein.task("crash", function() os.exit(1) end)
      skein.task("alert", function(job, text, who) fx("alert", who, text) end)
      skein.task("note", function() fx("note") end)]])
    t:run { "-w", "2" }
    local function enqueue(name)
      t:client_lines(([[skein.enqueue { task = "%s", on_error = { task = "alert", args = { "%s" } },
        on_success = "note" }]]):format(name, name))
    end
    enqueue "bad"
    enqueue "dropped"
    t:wait_effects("alert", 2)
    enqueue "crash" -- which takes its neighbours' attempts down, too
    local alerts = t:wait_effects("alert", 3, 10)
    table.sort(alerts, function(a, b) return a[1] < b[1] end)
    assert.same({ "bad", "crash", "dropped" }, { alerts[1][1], alerts[2][1], alerts[3][1] })
    assert.matches("a%.lua:1: luck 2", alerts[1][2])
    assert.matches("a%.lua:2: gone", alerts[3][2])
    t:drain { "-w", "1" }
    assert.same({ 3, 0 }, { t:count "alert", t:count "note" })
  end)
end)

describe("meta", function()
  H.it("that is marked goes along, from job to job and to callbacks, and nothing else does", function(t)
    t:script("a.lua", [[
      skein.task("first", { pass_meta = { "tenant" } }, function(job)
        fx("meta", "first", job.meta.tenant, job.meta.trace, job.meta._pass)
        skein.enqueue { task = "second", meta = { own = 1 }, on_success = { task = "note", args = { "callback" } } }
      end)
      skein.task("second", function(job)
        fx("meta", "second", job.meta.tenant, job.meta.trace, job.meta.own)
        skein.enqueue("note", "third")
      end)
      skein.task("note", function(job, what) fx("meta", what, job.meta.tenant, job.meta.trace, job.meta.own) end)
      skein.task("plain", function(job) fx("plain", type(job.meta), next(job.meta)) end)]])
    t:run { "-w", "1" }
    t:wait_known("first")
    t:client_lines([[skein.enqueue { task = "first", meta = { tenant = "acme", trace = 7 } } skein.enqueue "plain"]])
    local seen = t:wait_effects("meta", 4)
    table.sort(seen, function(a, b) return a[1] < b[1] end)
    assert.same({ { "callback", "acme", "nil", "nil" }, { "first", "acme", "7", "nil" },
      { "second", "acme", "nil", "1" },
      { "third", "acme", "nil", "nil" } }, seen)
    assert.same({ { "table", "nil" } }, t:wait_effects("plain", 1))
  end)
end)
