-- The end of a job: its callbacks, handlers that run in another worker, its history and its log.
local H = require "tests.system.harness"

local TELL = [[
  skein.task("tell", { keep = 60 }, function(job, ...)
    local words = { ... }
    for i, v in ipairs(words) do words[i] = v == skein.null and "null" or v end
    fx("told", unpack(words))
  end) ]]

local function sorted(rows)
  local lines = {}
  for i, row in ipairs(rows) do lines[i] = table.concat(row, " ") end
  table.sort(lines)
  return lines
end

describe("callbacks", function()
  H.it("get the result behind their own args, the error before them; an immutable job's get neither", function(t)
    t:script("a.lua", TELL .. [[
      local function tell(...) return { task = "tell", args = { ... } } end
      skein.task("twice", function(job, n) return n * 2 end)
      skein.task("fail", { retries = 0 }, function() error("broken", 0) end)
      skein.task("go", function()
        skein.enqueue({ task = "twice", on_success = { tell("a"), tell("b") }, on_error = { tell("never") } }, 21)
        skein.enqueue({ task = "twice", on_success = { tell("as it is") }, immutable = true }, 21)
        skein.enqueue({ task = "fail", on_success = { tell("never") }, on_error = { tell("c", "d") } })
      end)]])
    t:run { "-w", "2" }
    t:enqueue "go"
    assert.same({ "a 42", "as it is", "b 42", "broken c d" }, sorted(t:wait_effects("told", 4)))
  end)

  H.it("have callbacks of their own", function(t)
    t:script("a.lua", TELL .. [[
      skein.task("add", function(job, a, b) return a + b end)
      skein.task("go", function()
        skein.enqueue({ task = "add", on_success = { { task = "add", args = { 10 },
          on_success = { { task = "tell", args = {} } } } } }, 1, 2)
      end)]])
    t:run { "-w", "1" }
    t:enqueue "go"
    assert.same({ { "13" } }, t:wait_effects("told", 1))
  end)

  H.it("are enqueued once with the job's end, whatever the core's fate", function(t)
    t:script("a.lua", TELL .. [[
      skein.task("work", function(job, n) return n end)
      skein.task("go", function()
        for i = 1, 300 do skein.enqueue({ task = "work", on_success = { { task = "tell", args = {} } } }, i) end
      end)]])
    local engine = t:run { "-w", "2" }
    t:enqueue "go"
    t:wait_for("some callbacks", 5, function() return t:count "told" >= 20 end)
    engine:kill_core()
    assert.equal(0, (t:drain()))
    local seen, n = {}, 0
    for _, row in ipairs(t:effects "told") do
      if not seen[row[1]] then n = n + 1 end
      seen[row[1]] = true
    end
    assert.is_true(n >= 300)
  end)

  H.it("are not sent for a job that is cancelled or discarded", function(t)
    t:script("a.lua", TELL .. [[
      skein.task("sleep", { keep = 60 }, function() fx("start") skein.sleep(30) end)
      skein.task("drop", function() fx("start") skein.discard("enough") end)
      skein.task("go", function()
        local all = { { task = "tell", args = { "never" } } }
        fx("id", skein.enqueue({ task = "sleep", on_success = all, on_error = all }).id)
        skein.enqueue({ task = "drop", on_success = all, on_error = all })
      end)]])
    t:run { "-w", "1" }
    t:enqueue "go"
    t:wait_effects("start", 2)
    local id = t:effects "id"[1][1]
    t:ok("cancel", id)
    t:wait_state(id, "cancelled")
    t:enqueue("tell", "last")
    t:wait_effects("told", 1)
    assert.same({ { "last" } }, t:effects "told")
  end)
end)

describe("handlers of a job whose worker died", function()
  H.it("run in another worker before the job is dead", function(t)
    t:script("a.lua", [[
      skein.task("crash", { on_death = function(job, err) fx("death", job.id, err.kind, pid) end }, function()
        fx("start", pid)
        os.exit(3)
      end)]])
    t:run { "-w", "1" }
    local id = t:enqueue "crash"
    t:wait_state(id, "dead")
    local death = t:effects("death")[1]
    assert.same({ id, "crash" }, { death[1], death[2] })
    assert.equal(1, t:count "death")
    assert.equal(3, t:count "start")
    for _, start in ipairs(t:effects "start") do assert.not_equal(start[1], death[3]) end
  end)

  H.it("see a hard timeout that will be retried as an error, and the last one as a death", function(t)
    t:script("a.lua", [[
      skein.on("error", function(job, err) fx("error", err.kind, job.attempt) end)
      skein.on("death", function(job, err) fx("death", err.kind, job.attempt) end)
      skein.task("loop", { timeout = 0.1, retries = 1, backoff = { 0.1 } }, function() while true do end end)]])
    t:run { "-w", "1" }
    local id = t:enqueue "loop"
    t:wait_state(id, "dead", 20)
    assert.same({ { "timeout", "1" } }, t:effects "error")
    assert.same({ { "timeout", "2" } }, t:effects "death")
    assert.equal(2, t:job(id).attempts)
  end)
end)

describe("a job's life", function()
  H.it("is kept: where it started, how it failed, and what it said", function(t)
    t:script("a.lua", [[
      skein.task("t", { keep = 60, retries = 1, backoff = { 0.01 } }, function(job)
        job:log("attempt %d", job.attempt)
        if job.attempt == 1 then error("no luck", 0) end
        fx("said")
        skein.sleep(0.2)
      end)]])
    t:run { "-w", "1" }
    local id = t:enqueue "t"
    t:wait_effects("said", 1)
    t:wait_for("its second line, while it runs", 5, function() return #t:job(id).log == 2 end)
    local job = t:wait_state(id, "done")
    assert.equal("attempt 1", job.log[1].text)
    assert.equal("attempt 2", job.log[2].text)
    local events = {}
    for i, e in ipairs(job.history) do
      events[i] = (e.detail == H.null and e.event or e.event .. " " .. e.detail):gsub("engine=%S+ ", "")
    end
    assert.same({ "started worker=1 attempt=1", "failed error no luck", "retry in 0.01 s",
      "started worker=1 attempt=2", "done" }, events)
    assert.matches("  failed error no luck\n", t:ok("job", id))
    assert.matches("  attempt 2", t:ok("job", id))
  end)

  H.it("tells of an engine that went away", function(t)
    t:script("a.lua", ([[skein.task("t", { keep = 60 }, function() fx("start") if not io.open(%q) then skein.sleep(30)
      end end)]])
      :format(t.effects_dir .. "/release-go"))
    t.env.SKEIN_LEASE = "1"
    local engine = t:run { "-w", "1" }
    local id = t:enqueue "t"
    t:wait_effects("start", 1)
    t:release "go"
    engine:kill_core()
    t:run { "-w", "1" }
    local job = t:wait_state(id, "done", 10)
    assert.same({ "recovered", "1" }, { job.history[1].event, job.history[1].detail })
  end)
end)
