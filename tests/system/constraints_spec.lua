-- Constraints on jobs: unique keys, limits, bounded queues, and their check by `skein check`; cancel and logs of a job
-- that runs. Clients are LuaJIT programs that have no script loaded.
local H = require "tests.system.harness"

describe("a unique job", function()
  H.it("is refused while one waits or runs, and let in when that has ended, however it ends", function(t)
    t:script("a.lua", t:released() .. [[
      skein.task("one", { unique = { key = 1 }, retries = 0 }, function(job, key, how)
        fx("started", key)
        released(key)
        if how == "die" then error "x" end
      end)]])
    t:run { "-w", "1" }
    t:wait_known("one")
    local script = [[
      local key, how = %q, %q
      local h, err = skein.enqueue("one", key, how)
      print(h and "taken" or err.code, h and h.id or err.handle.id)]]
    for _, how in ipairs { "end", "die" } do
      local first = t:client_lines(script:format(how, how))
      local kind, id = first[1]:match "(%S+)\t(%S+)"
      assert.equal("taken", kind)
      t:wait_for("it runs", 5, function() return t:job(id).state == "running" end)
      assert.equal("exists\t" .. id, t:client_lines(script:format(how, how))[1])
      t:release(how)
      t:wait_for("it has ended", 5, function()
        local job = t:find(id)
        return not job or job.state == "dead"
      end)
      assert.matches("^taken", t:client_lines(script:format(how, how))[1])
    end
  end)

  H.it("with a key function is refused where the script is not loaded, with what to do", function(t)
    t:script("a.lua", [[skein.task("mine", { unique = { key = function(user) return user.id end } }, function(job)
      fx("ran") end)
      skein.task("start", function() local a, b = skein.enqueue("mine", { id = 7 }),
        select(2, skein.enqueue("mine", { id = 7, x = 1 })) fx("got", a ~= nil, b and b.code) end)]])
    t:run { "-w", "1" }
    t:wait_known("mine")
    local out = t:client_lines([[
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
    t:wait_known("save", "ping")
    t:client_lines([[for n = 1, 20 do assert(skein.enqueue("save", "doc", n)) end
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
    t:wait_known("call")
    t:client_lines([[local list = {}
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
    t:wait_known("send")
    t:client_lines([[for _ = 1, 15 do assert(skein.enqueue "send") end]])
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
    t:wait_known("step")
    t:client_lines([[for n = 1, 5 do for _, key in ipairs { "a", "b" } do skein.enqueue("step", key, n) end end]])
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
    t:wait_known("work")
    t:client_lines([[for _ = 1, 8 do skein.enqueue "work" end]])
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
    t:wait_known("patient")
    local out = t:client_lines([[
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
    t:wait_known("patient")
    local out = t:client_lines([[
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
    local out = t:client_lines(([[
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
    local out = t:client_lines(([[
      local h = skein.handle %q
      local log = h:log()
      print(#log, log[1].text, log[#log].text, math.abs(log[1].at - skein.now()) < 60)
      for _, e in ipairs(h:info().history) do print(e.event, math.abs(e.at - skein.now()) < 60) end]]):format(id))
    assert.equal("100\tline 21\tline 120\ttrue", out[1])
    assert.is_true(#out >= 3, "no history")
    assert.matches("\ttrue$", out[2])
  end)
end)
