-- Cancelling jobs that run, from anywhere: the command line, another program, another job, another engine's job.
local H = require "tests.system.harness"

-- From the call to the job's end, on a machine that does other things too.
local SOON_S = 0.1

local SCRIPT = [[
  skein.on("error", function(job, err) fx("handler", err.kind) end)
  skein.on("death", function(job, err) fx("handler", err.kind) end)
  skein.task("sleep", { keep = 60, retries = 3 }, function(job)
    fx("start")
    while job:active() do skein.sleep(30) end
  end)
  skein.task("keep_on", { keep = 60 }, function(job)
    fx("start")
    while true do pcall(skein.sleep, 30) end
  end)
  skein.task("loop", { keep = 60 }, function() fx("loop") while true do end end)
  skein.task("good", { keep = 60 }, function() fx("good") skein.sleep(6.5) end)
  skein.task("clean_up", { keep = 60 }, function(job)
    fx("start")
    local ok, err = pcall(skein.sleep, 30)
    fx("cleaned", ok, err.code, job:active())
    error(err, 0)
  end)
  skein.task("cancel", function(job, id) assert(skein.handle(id):cancel()) end)]]

local function running(t, task)
  local id = t:enqueue(task)
  t:wait_state(id, "running")
  t:wait_effects("start", 1)
  return id
end

-- How long the state takes to be there, measured with the store's own times.
local function since_cancel(t, id, cancel)
  local from = H.now()
  cancel()
  local job = t:wait_state(id, "cancelled", 5)
  return job, H.now() - from
end

describe("a running job that is cancelled", function()
  H.it("stops at its next wait; it is neither retried nor dead, and no handler hears of it", function(t)
    t:script("a.lua", SCRIPT)
    t:run { "-w", "1" }
    local id = running(t, "sleep")
    t:ok("cancel", id)
    local job = t:wait_state(id, "cancelled")
    assert.equal("cancelled", job.error.kind)
    assert.equal(0, job.attempts)
    assert.equal("cancelled", job.history[#job.history].event)
    assert.equal(0, t:count "handler")
    assert.equal(1, t:counters().cancelled)
  end)

  H.it("is cancelled within 100 ms of the call of another program", function(t)
    t:script("a.lua", SCRIPT)
    t:run { "-w", "1" }
    local ids = {}
    for i = 1, 5 do ids[i] = t:enqueue "sleep" end
    t:wait_effects("start", 5)
    local client = t:client(([[
      local skein = require "skein"
      local ids = { %s }
      for _, id in ipairs(ids) do
        local h = skein.handle(id)
        local from = skein.now()
        assert(h:cancel())
        local value, err = h:wait(5)
        print(err and err.code, skein.now() - from)
      end]]):format('"' .. table.concat(ids, '", "') .. '"'))
    assert.equal(0, client.code, client.err)
    local times = {}
    for code, s in client.out:gmatch "(%S+)%s+(%S+)\n" do
      assert.equal("cancelled", code)
      times[#times + 1] = tonumber(s)
    end
    table.sort(times)
    assert.equal(5, #times)
    assert.is_true(times[3] < SOON_S, "it took " .. table.concat(times, ", ") .. " s")
  end)

  H.it("of an engine that is full", function(t)
    t:script("a.lua", SCRIPT)
    t:run { "-w", "1", "-c", "1" }
    local id = running(t, "sleep")
    for _ = 1, 20 do t:enqueue "sleep" end
    local _, s = since_cancel(t, id, function() t:ok("cancel", id) end)
    assert.is_true(s < 1)
    t:wait_effects("start", 2)
  end)

  H.it("by another job, in this or another engine", function(t)
    t:script("a.lua", SCRIPT)
    t:run { "-w", "1" }
    t:run { "-w", "1" }
    local ids = { t:enqueue "sleep", t:enqueue "sleep" }
    t:wait_effects("start", 2)
    for _, id in ipairs(ids) do t:enqueue("cancel", id) end
    for _, id in ipairs(ids) do t:wait_state(id, "cancelled") end
  end)

  H.it("may clean up, and its job is not active any more", function(t)
    t:script("a.lua", SCRIPT)
    t:run { "-w", "1" }
    local id = running(t, "clean_up")
    t:ok("cancel", id)
    t:wait_state(id, "cancelled")
    assert.same({ { "false", "cancelled", "false" } }, t:effects "cleaned")
  end)

  H.it("can't swallow it for ever", function(t)
    t:script("a.lua", SCRIPT)
    local engine = t:run { "-w", "1" }
    local id = running(t, "keep_on")
    local workers = engine:workers()
    t:ok("cancel", id)
    t:wait_state(id, "cancelled")
    assert.same(workers, engine:workers())
  end)

  H.it("in a tight loop is shown as cancelling, then killed; its neighbours run again", function(t)
    t:script("a.lua", SCRIPT)
    t:run { "-w", "1" }
    local good = t:enqueue "good"
    t:wait_effects("good", 1)
    local id = t:enqueue "loop"
    t:wait_effects("loop", 1)
    t:ok("cancel", id)
    assert.matches("\nstate +cancelling\n", t:ok("job", id))
    assert.is_true(t:job(id).stopping)
    assert.matches("told to stop", t:ok("explain", id))
    t:wait_state(id, "cancelled", 10)
    t:wait_effects("good", 2)
    assert.equal(1, t:count "loop")
    assert.equal(0, t:job(good).crashes)
  end)
end)
