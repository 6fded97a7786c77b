-- `skein enqueue`, and the words of the commands for jobs with a lock, a limit or meta: flags, refusals, exit codes.
local H = require "tests.system.harness"

local SCRIPT = [[
  skein.queue("few", { max_len = 1, limit = { rate = 9, per = 2 } })
  skein.task("keyed", { unique = { key = function(x) return x end }, limit = { concurrency = 1, key = function(x)
    return x end } },
    function() end)
  skein.task("rarely", { throttle = 60 }, function() end)
  skein.task("plain", { keep = 60 }, function(job) return job.meta end)
  skein.task("parent", { pass_meta = { "tenant" } }, function(job) return skein.enqueue("plain"):wait(5) end)
  skein.task("one", { limit = { concurrency = 1 } }, function(_, file)
    while file and not io.open(file) do skein.sleep(0.01) end
  end)
  skein.task("slowly", { limit = { rate = 1, per = 3600 } }, function() end)]]

local function refused(t, exit_code, pattern, ...)
  local result = t:cli { "enqueue", ... }
  assert.equal(exit_code, result.code, result.err)
  assert.matches(pattern, result.err)
  assert.equal("", result.out)
end

describe("skein enqueue", function()
  H.it("passes meta, with what the task marks of it", function(t)
    t:script("a.lua", SCRIPT)
    t:run { "-w", "1" }
    local passed = t:json("enqueue", "parent", "--meta", '{"tenant": "a", "other": [1, 2]} ', "--wait")
    assert.same({ tenant = "a" }, passed.result)
    assert.same({ tenant = "a", other = { 1, 2 } }, passed.meta) -- nothing of Skein's own in it
    assert.matches('\nmeta        {"tenant":"a","other":%[1, 2%]}\n', t:ok("job", passed.id))
    assert.same({}, t:json("enqueue", "parent", "--meta", " {} ", "--wait").meta)
    assert.equal(1, t:json("enqueue", "plain", "--meta", '{"n":1}', "--wait").result.n)
    refused(t, 64, "%-%-meta '%[1%]': expected a JSON object", "plain", "--meta", "[1]")
    refused(t, 64, "%-%-meta '{': JSON ends at byte 1", "plain", "--meta", "{")
    refused(t, 64, "%-%-meta '': ", "plain", "--meta", "")
    refused(t, 64, "the key _pass is Skein's own", "plain", "--meta", '{"_pass":["a"]}')
    refused(t, 64, "meta: 65545 bytes of JSON, expected at most 65536", "plain", "--meta",
      ('{"a":"%s"}'):format(("x"):rep(65537)))
  end)

  H.it("adds all of many lists of many jobs, each once and in order", function(t)
    t:script("a.lua", 'skein.task("any", { keep = 0 }, function() end)')
    t:run { "-w", "1", "-q", "other" }
    local said = t:client([[
      local skein = require "skein"
      local n, seen, sum = 0, {}, 0
      for list = 1, 40 do
        local sigs = {}
        for i = 1, 1000 do
          local queue = i % 100 == 0 and "second" or nil
          sigs[i] = list % 2 == 0 and { task = "any", args = { list, i }, queue = queue }
            or { task = "any", args = { { list = list }, i }, queue = queue }
        end
        for _, h in ipairs(assert(skein.enqueue_many(sigs))) do
          if not seen[h.id] then n = n + 1 end
          seen[h.id] = true
        end
      end
      local first = skein.admin.jobs { state = "ready", queue = "second", limit = 400 }
      for i, view in ipairs(first) do
        local list = type(view.args[1]) == "table" and view.args[1].list or view.args[1]
        if list == math.ceil(i / 10) and view.args[2] == (i - 1) % 10 * 100 + 100 then sum = sum + 1 end
      end
      print(n, skein.admin.stats().ready, sum)]])
    assert.equal("40000\t40000\t400\n", said.out, said.err)
  end)

  H.it("tells of a list which jobs a full queue has refused, and takes what makes room", function(t)
    t:script("a.lua", [[
      skein.queue("few", { max_len = 5 })
      skein.queue("waits", { max_len = 5, overflow = "block", block = 10 })
      skein.task("any", { keep = 0, queue = "few" }, function() end)
      skein.task("other", { keep = 0, queue = "waits" }, function(_, i) fx("other", i) end)]])
    t:run { "-w", "1", "-q", "none" }
    local said = t:client([[
      local skein = require "skein"
      local sigs = {}
      for i = 1, 30 do sigs[i] = { task = "any", args = { i }, queue = i == 9 and "elsewhere" or nil } end
      local hs, refused = skein.enqueue_many(sigs)
      local good, bad, codes = {}, 0, {}
      for i = 1, 30 do
        if hs[i] then good[#good + 1] = i .. ":" .. hs[i]:info().args[1]
          else bad = bad + 1 codes[refused[i].code] = true end
      end
      print(table.concat(good, " "), bad, next(codes), skein.admin.stats().ready)]])
    assert.equal("1:1 2:2 3:3 4:4 5:5 9:9\t24\tlimit\t6\n", said.out, said.err)
    local client = t:start_client [[
      local skein = require "skein"
      local sigs = {}
      for i = 1, 30 do sigs[i] = { task = "other", args = { i } } end
      print(#assert(skein.enqueue_many(sigs)))]]
    t:wait_for("five in the queue", 5, function() return t:json("stats").states.ready == 11 end)
    t:run { "-w", "1", "-q", "waits" }
    assert.equal(0, client:wait(10))
    assert.equal("30\n", client.stdout)
    t:wait_effects("other", 30)
  end)

  H.it("takes keys in place of those that a function of the script makes", function(t)
    t:script("a.lua", SCRIPT)
    t:run { "-w", "1" }
    refused(t, 64, "task keyed makes the key of its unique with a function .*%-%-unique KEY", "keyed", "1")
    refused(t, 64, "task keyed makes the key of its limit with a function .*%-%-limit%-key KEY", "keyed", "1",
      "--unique", "k")
    local id = t:ok("enqueue", "keyed", "1", "--unique", "k", "--limit-key", "l", "--in", "1h")
    refused(t, 1, "job " .. id .. " has the same unique key: nothing was added", "keyed", "2", "--unique", "k",
      "--limit-key", "l")
    t:ok("enqueue", "keyed", "2", "--unique", "other", "--limit-key", "l", "--in", "1h")
    id = t:ok("enqueue", "plain", "--unique", "k", "--in", "1h") -- another task's key
    refused(t, 1, "job " .. id .. " has the same unique key", "plain", "--unique", "k")
    t:ok("cancel", id)
    t:ok("enqueue", "plain", "--unique", "k")
    refused(t, 64, '%-%-unique "": expected a key of 1 byte or more', "plain", "--unique", "")
    refused(t, 64, '%-%-limit%-key "": expected a key', "plain", "--limit-key", "")
  end)

  H.it("says why nothing was added", function(t)
    t:script("a.lua", SCRIPT)
    t:run { "-w", "1", "-q", "default" }
    local id = t:ok("enqueue", "rarely", "1")
    refused(t, 1, "throttled: job " .. id .. " was added less than 60 s ago: nothing was added", "rarely", "1")
    t:ok("enqueue", "plain", "-q", "few")
    refused(t, 1, "queue few is full", "plain", "-q", "few")
    assert.matches("few .*max_len 1 reject, rate 9 per 2 s", t:ok "queues")
    local bounds = {}
    for _, queue in ipairs(t:json "queues") do bounds[queue.name] = { queue.max_len, queue.overflow } end
    assert.same({ few = { 1, "reject" }, default = { H.null, H.null } }, bounds)
    assert.matches("exit code 1 when .*\nnothing was added", t:ok("enqueue", "--help"))
  end)
end)

describe("skein job", function()
  H.it("says what holds a job back, and tells its history in parts", function(t)
    t:script("a.lua", SCRIPT)
    t:run { "-w", "1" }
    t:wait_state(t:enqueue("one", t.effects_dir .. "/release-one"), "running")
    local held = t:enqueue "one"
    assert.equal("concurrency", t:wait_for("it is held back", 5, function()
      local why = t:job(held).held_back
      return why ~= H.null and why
    end))
    assert.matches("\nheld back   by a concurrency limit\n", t:ok("job", held))
    t:enqueue "slowly"
    local slow = t:enqueue "slowly"
    t:wait_for("it is held back", 5, function() return t:job(slow).held_back == "rate" end)
    t:release "one"
    t:wait_for("it is over", 5, function() return not t:find(held) end)
    local done = t:wait_state(t:enqueue "plain", "done")
    assert.equal(H.null, done.held_back)
    assert.equal("started", done.history[1].event)
    assert.matches("^engine=%w+ worker=1 attempt=1$", done.history[1].detail)
  end)
end)
