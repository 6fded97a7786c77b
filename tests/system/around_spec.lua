-- Everything around a job, with the real binary: middleware, handlers, callbacks, meta, unique jobs, limits, bounded
-- queues, cancel of what runs, logs.  Clients are LuaJIT programs that have no script loaded.
local H = require "tests.system.harness"

-- Runs a LuaJIT program with the module as `skein`; what it prints, a line each.
local function client(t, text)
  local result = t:client('local skein = require "skein" ' .. text)
  if result.code ~= 0 then error(("client: exit code %d\n%s"):format(result.code, result.err), 2) end
  local lines = {}
  for line in result.out:gmatch "([^\n]*)\n" do lines[#lines + 1] = line end
  return lines
end

-- Waits until a client without scripts can see that task's declaration.
local function known(t, ...)
  for _, name in ipairs { ... } do
    t:wait_for("task " .. name .. " is declared", 5, function()
      return client(t, ([[print(require("skein.catalog").knows(%q))]]):format(name))[1] == "true"
    end)
  end
end

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
    client(t, [[
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
      client(t, ([[skein.enqueue { task = "%s", on_error = { task = "alert", args = { "%s" } },
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
    known(t, "first")
    client(t, [[skein.enqueue { task = "first", meta = { tenant = "acme", trace = 7 } } skein.enqueue "plain"]])
    local seen = t:wait_effects("meta", 4)
    table.sort(seen, function(a, b) return a[1] < b[1] end)
    assert.same({ { "callback", "acme", "nil", "nil" }, { "first", "acme", "7", "nil" },
      { "second", "acme", "nil", "1" },
      { "third", "acme", "nil", "nil" } }, seen)
    assert.same({ { "table", "nil" } }, t:wait_effects("plain", 1))
  end)
end)

describe("a unique job", function()
  H.it("is refused while one waits or runs, and let in when that has ended, however it ends", function(t)
    t:script("a.lua", t:released() .. [[
      skein.task("one", { unique = { key = 1 }, retries = 0 }, function(job, key, how)
        fx("started", key)
        released(key)
        if how == "die" then error "x" end
      end)]])
    t:run { "-w", "1" }
    known(t, "one")
    local script = [[
      local key, how = %q, %q
      local h, err = skein.enqueue("one", key, how)
      print(h and "taken" or err.code, h and h.id or err.handle.id)]]
    for _, how in ipairs { "end", "die" } do
      local first = client(t, script:format(how, how))
      local kind, id = first[1]:match "(%S+)\t(%S+)"
      assert.equal("taken", kind)
      t:wait_for("it runs", 5, function() return t:job(id).state == "running" end)
      assert.equal("exists\t" .. id, client(t, script:format(how, how))[1])
      t:release(how)
      t:wait_for("it has ended", 5, function()
        local job = t:find(id)
        return not job or job.state == "dead"
      end)
      assert.matches("^taken", client(t, script:format(how, how))[1])
    end
  end)

  H.it("with a key function is refused where the script is not loaded, with what to do", function(t)
    t:script("a.lua", [[skein.task("mine", { unique = { key = function(user) return user.id end } }, function(job)
      fx("ran") end)
      skein.task("start", function() local a, b = skein.enqueue("mine", { id = 7 }),
        select(2, skein.enqueue("mine", { id = 7, x = 1 })) fx("got", a ~= nil, b and b.code) end)]])
    t:run { "-w", "1" }
    known(t, "mine")
    local out = client(t, [[
      local ok, err = pcall(skein.enqueue, "mine", { id = 7 })
      print(ok, err)
      print((skein.enqueue({ task = "mine", unique = { key = "7" } }, { id = 7 })) ~= nil)]])
    assert.matches('false\t.*function of its script.*give the key in the signature, unique = { key = "%.%.%." }',
      out[1])
    assert.equal("true", out[2])
    t:wait_effects("ran", 1)
    t:enqueue "start"
    assert.same({ { "true", "exists" } }, t:wait_effects("got", 1))
  end)

  H.it("with debounce runs once, after the last of many, and with throttle once, at the first", function(t)
    t:script("a.lua", [[
      skein.task("save", { debounce = { wait = 0.5, key = 1 } }, function(job, doc, n) fx("saved", doc, n) end)
      skein.task("ping", { throttle = 60 }, function(job) fx("pinged") end)]])
    t:run { "-w", "1" }
    known(t, "save", "ping")
    client(t, [[for n = 1, 20 do assert(skein.enqueue("save", "doc", n)) end
      for n = 1, 20 do skein.enqueue("ping") end]])
    assert.same({ { "doc", "20" } }, t:wait_effects("saved", 1))
    t:drain { "-w", "1" }
    assert.same({ 1, 1 }, { t:count "saved", t:count "pinged" })
  end)
end)

describe("a limit", function()
  H.it("of concurrency is kept across engines and workers, by key", function(t)
    t:script("a.lua", [[
      skein.task("call", { limit = { concurrency = 2, key = 1 } }, function(job, tenant)
        fx("span", tenant, skein.now(), "in")
        skein.sleep(0.02)
        fx("span", tenant, skein.now(), "out")
      end)]])
    t:run { "-w", "2", "-c", "20" }
    t:run { "-w", "1", "-c", "20" }
    known(t, "call")
    client(t, [[local list = {}
      for i = 1, 60 do list[i] = { task = "call", args = { i % 3 == 0 and "small" or "big" } } end
      assert(skein.enqueue_many(list))]])
    local spans = t:wait_effects("span", 120, 20)
    table.sort(spans, function(a, b) return tonumber(a[2]) < tonumber(b[2]) end)
    local now, most = {}, {}
    for _, s in ipairs(spans) do
      now[s[1]] = (now[s[1]] or 0) + (s[3] == "in" and 1 or -1)
      most[s[1]] = math.max(most[s[1]] or 0, now[s[1]])
    end
    assert.same({ big = 2, small = 2 }, most)
  end)

  H.it("of rate is kept in every window", function(t)
    t:script("a.lua", [[skein.task("send", { limit = { rate = 5, per = 0.5 } }, function(job) fx("sent", skein.now())
      end)]])
    t:run { "-w", "1" }
    known(t, "send")
    client(t, [[for _ = 1, 15 do assert(skein.enqueue "send") end]])
    local sent = t:wait_effects("sent", 15, 10)
    local times = {}
    for i, s in ipairs(sent) do times[i] = tonumber(s[1]) end
    table.sort(times)
    for i = 1, #times - 5 do
      assert.is_true(times[i + 5] - times[i] > 0.45, ("%d to %d in %.3f s"):format(i, i + 5, times[i + 5] - times[i]))
    end
    assert.is_true(times[15] - times[1] < 3, "too slow")
  end)

  H.it("with strict order keeps first in, first out for each key, also past a retry", function(t)
    t:script("a.lua", [[
      skein.task("step", { limit = { order = "strict", key = 1 }, backoff = { 0.1 } }, function(job, key, n)
        if n == 2 and job.attempt == 1 then error "again" end
        fx("step", key, n)
      end)]])
    t:run { "-w", "2", "-c", "10" }
    known(t, "step")
    client(t, [[for n = 1, 5 do for _, key in ipairs { "a", "b" } do skein.enqueue("step", key, n) end end]])
    local order = { a = "", b = "" }
    for _, s in ipairs(t:wait_effects("step", 10, 10)) do order[s[1]] = order[s[1]] .. s[2] end
    assert.same({ a = "12345", b = "12345" }, order)
  end)

  H.it("of a queue holds back all that is in it", function(t)
    t:script("a.lua", [[
      skein.queue("slow", { limit = { concurrency = 1 } })
      skein.task("work", { queue = "slow" }, function(job)
        fx("in", skein.now()) skein.sleep(0.02) fx("out", skein.now())
      end)]])
    t:run { "-w", "2", "-q", "slow" }
    known(t, "work")
    client(t, [[for _ = 1, 8 do skein.enqueue "work" end]])
    local out, into = t:wait_effects("out", 8, 10), t:effects "in"
    table.sort(out, function(a, b) return tonumber(a[1]) < tonumber(b[1]) end)
    table.sort(into, function(a, b) return tonumber(a[1]) < tonumber(b[1]) end)
    for i = 1, 7 do assert.is_true(tonumber(into[i + 1][1]) >= tonumber(out[i][1]), "two at once") end
  end)
end)

describe("a bounded queue", function()
  local TASKS = [[
    skein.queue("tight", { max_len = 3 })
    skein.queue("newest", { max_len = 3, overflow = "drop_oldest" })
    skein.queue("patient", { max_len = 3, overflow = "block", block = 20 })
    for _, q in ipairs { "tight", "newest", "patient" } do skein.task(q, { queue = q }, function(job, n) fx(q, n) end)
      end]]

  H.it("refuses what is too much, or lets the oldest go", function(t)
    t:script("a.lua", TASKS)
    t:run { "-w", "1", "-q", "other" }
    known(t, "patient")
    local out = client(t, [[
      for n = 1, 4 do
        local h, err = skein.enqueue("tight", n)
        print(h and "ok" or err.code .. " " .. err.queue .. " " .. err.max_len .. " " .. tostring(err))
      end
      local hs, refused = skein.enqueue_many { { task = "newest", args = { 1 } }, { task = "newest", args = { 2 } },
        { task = "newest", args = { 3 } }, { task = "newest", args = { 4 } } }
      print(refused == nil, #hs)]])
    assert.same({ "ok", "ok", "ok", 'limit tight 3 queue "tight" is full: 3 jobs wait in it, its max_len', "true\t4" },
      out)
    t:drain { "-w", "1", "-q", "tight,newest" }
    local ran = {}
    for i, f in ipairs(t:effects "newest") do ran[i] = f[1] end
    assert.same({ "2", "3", "4" }, ran)
    assert.equal(3, t:count "tight")
  end)

  H.it("that blocks makes the producer wait for room, for so long", function(t)
    t:script("a.lua", TASKS)
    t:run { "-w", "1", "-q", "other" }
    known(t, "patient")
    local out = client(t, [[
      for n = 1, 3 do assert(skein.enqueue("patient", n)) end
      local from = skein.now()
      local h, err = skein.enqueue({ task = "patient", block = 0.1 }, 4)
      print(h, err.code, skein.now() - from >= 0.1, skein.now() - from < 2)]])
    assert.same({ "nil\tlimit\ttrue\ttrue" }, out)
    local producer = t:start_client [[
      local skein = require "skein"
      assert(skein.enqueue("patient", 5))
      print "added"]]
    t:run { "-w", "1", "-q", "patient" }
    assert.equal(0, producer:wait(10))
    t:wait_effects("patient", 4)
  end)
end)

describe("the check of scripts", function()
  H.it("lists the queues that are bound", function(t)
    t:script("a.lua", [[skein.queue("mail", { max_len = 10, overflow = "block", block = 2,
      limit = { concurrency = 3, rate = 5, per = 60 } })
      skein.task("x", { queue = "mail" }, function() end)]])
    assert.matches("queue mail +max_len 10 block, concurrency 3, rate 5 per 60 s +%S*a%.lua:1",
      t:ok("check", t.scripts))
    local queue = t:json("check", t.scripts).queues[1]
    assert.same({ "mail", 10, "block", 2, 3, 5, 60, 1 },
      { queue.name, queue.max_len, queue.overflow, queue.block, queue.concurrency, queue.rate, queue.per, queue.burst })
  end)

  H.it("and a run refuse a queue that is declared twice", function(t)
    t:script("a.lua", 'skein.queue("mail", { max_len = 1 })')
    t:script("b.lua", 'skein.queue("mail", { max_len = 2 })')
    local result = t:cli { "check", t.scripts }
    assert.equal(1, result.code)
    assert.matches('b%.lua:1: skein%.queue "mail" is declared already, at %S*a%.lua:1', result.err)
  end)
end)

describe("a job that runs", function()
  H.it("is told to stop by cancel, and is cancelled, neither retried nor dead", function(t)
    t:script("a.lua", [[
      skein.on("error", function() fx("handler") end)
      skein.on("death", function() fx("handler") end)
      skein.task("long", function(job)
        fx("started", job.id)
        local ok, err = pcall(skein.sleep, 60)
        fx("stopped", ok, err.code, job:active(), skein.now())
        skein.sleep(60)
      end)]])
    t:run { "-w", "1" }
    t:enqueue "long"
    local id = t:wait_effects("started", 1)[1][1]
    local out = client(t, ([[
      local h = skein.handle %q
      print(skein.now(), h:cancel())
      local _, err = h:wait(5)
      print(err.code)]]):format(id))
    local stopped = t:wait_effects("stopped", 1)[1]
    assert.same({ "false", "cancelled", "false" }, { stopped[1], stopped[2], stopped[3] })
    local asked = tonumber((out[1]:match "^(%S+)\ttrue$"))
    assert.is_true(tonumber(stopped[4]) - asked < 1, "it took " .. tonumber(stopped[4]) - asked)
    assert.equal("cancelled", out[2])
    assert.equal("cancelled", t:job(id).state)
    assert.equal(0, t:count "handler")
  end)

  H.it("is seen to be cancelled by handlers of events", function(t)
    t:script("a.lua", [[
      skein.on("event", function(e) fx("event", e.from, e.to) end)
      skein.task("long", function(job) fx("started", job.id) skein.sleep(60) end)]])
    t:run { "-w", "1" }
    t:enqueue "long"
    t:ok("cancel", t:wait_effects("started", 1)[1][1])
    assert.same({ { "ready", "running" }, { "running", "cancelled" } }, t:wait_effects("event", 2))
  end)

  H.it("leaves its log and its history", function(t)
    t:script("a.lua", [[skein.task("talk", { keep = 60, backoff = { 0.01 } }, function(job)
      job:log("attempt %d", job.attempt)
      if job.attempt == 1 then error "not yet" end
      for i = 1, 120 do job:log("line %d", i) end
    end)]])
    t:run { "-w", "1" }
    local id = t:enqueue "talk"
    t:wait_state(id, "done")
    local out = client(t, ([[
      local h = skein.handle %q
      local log = h:log()
      print(#log, log[1].text, log[#log].text, math.abs(log[1].at - skein.now()) < 60)
      for _, e in ipairs(h:info().history) do print(e.event, math.abs(e.at - skein.now()) < 60) end]]):format(id))
    assert.equal("100\tline 21\tline 120\ttrue", out[1])
    assert.is_true(#out >= 3, "no history")
    assert.matches("\ttrue$", out[2])
  end)
end)
