-- docs/PROTOCOL.md, tried: its examples, and a client in Python that was written from it
-- (tests/clients/skein_client.py), against a real Redis and real engines.  `make system T=protocol
-- SKEIN_TEST_STORE=redis`.
local cjson = require "cjson"
local H = require "tests.system.harness"
local resp = require "tests.support.resp"

local SCRIPTS = H.skein:match "^(.*)/[^/]*$" .. "/redis"
local STORE_KEYS = { "head", "jobs", "held", "leases", "engines", "queues", "counts", "notes", "done", "dead",
  "cancelled", "kept", "fences",
                     "stops", "logs", "locks", "expires", "bounds", "groups", "lines", "places", "ring", "tokens" }
local QUEUE_KEYS = { "later", "front", "tombstones", "ready:0", "ready:1", "ready:2", "ready:3", "ready:4" }

-- -- Python ----------------------------------------------------------------------------------------------------------

local PRELUDE = [[
import json, os, time
from skein_client import *
def open_store(): return Skein(os.environ["SKEIN_STORE"], os.environ["SCRIPTS"])
def say(value): print(json.dumps(value), flush=True)
skein = open_store()
]]

local function start_python(t, text)
  t.programs_n = (t.programs_n or 0) + 1
  local path = ("%s/program-%d.py"):format(t.dir, t.programs_n)
  H.files.write(path, PRELUDE .. text)
  local env = { PYTHONPATH = H.root .. "/tests/clients", PYTHONDONTWRITEBYTECODE = "1", SCRIPTS = SCRIPTS }
  return t:start({ path }, { program = "python3", env = env })
end

-- Runs a program that has the client; returns what it said, a value each line.
local function python(t, text)
  local child = start_python(t, text)
  local code = child:wait(30)
  if code ~= 0 then error(("python3: exit code %d\n%s%s"):format(code, child.stdout, child.stderr), 2) end
  local said = {}
  for line in child.stdout:gmatch "([^\n]+)\n" do said[#said + 1] = cjson.decode("[" .. line .. "]")[1] end
  return said
end

-- -- a script by hand ------------------------------------------------------------------------------------------------

-- A connection to the test's own database.
local function connect(t)
  local redis = assert(t.redis:connect())
  assert(redis:call("SELECT", t.db))
  return redis
end

local function script_call(name, queues, arguments)
  local keys = {}
  for _, key in ipairs(STORE_KEYS) do keys[#keys + 1] = "{skein}:" .. key end
  for _, queue in ipairs(queues) do
    for _, key in ipairs(QUEUE_KEYS) do keys[#keys + 1] = "{skein}:" .. key .. ":" .. queue end
  end
  local call = { "EVAL", assert(H.files.read(SCRIPTS .. "/" .. name .. ".lua")), #keys, unpack(keys) }
  for _, list in ipairs { { "", "me", "{skein}:wake", "", "0", #queues }, queues, arguments } do
    for _, argument in ipairs(list) do call[#call + 1] = argument end
  end
  return call
end

local function run_script(redis, name, queues, arguments) return assert(redis:call(unpack(script_call(name, queues,
  arguments)))) end

-- -- the page's examples ---------------------------------------------------------------------------------------------

local NIL = resp.null

-- One value of a line from `at`: "text" with \xHH, \" and \\; a number; nil; [a, b]; else a bare word.  The value and
-- where it ends.
local function read_value(line, at)
  at = line:find("%S", at)
  local first = line:sub(at, at)
  if first == '"' then
    local out = {}
    at = at + 1
    while line:sub(at, at) ~= '"' do
      local hex = line:match('^\\x(%x%x)', at)
      out[#out + 1] = hex and string.char(tonumber(hex, 16)) or line:match('^\\?(.)', at)
      at = at + (hex and 4 or line:sub(at, at) == "\\" and 2 or 1)
      assert(at <= #line, line)
    end
    return table.concat(out), at + 1
  elseif first == "[" then
    local list = {}
    at = at + 1
    while line:sub(at, at) ~= "]" do
      list[#list + 1], at = read_value(line, at)
      at = line:match("^,?%s*()", at)
    end
    return list, at + 1
  end
  local word, after = line:match("^([^%s,%]]+)()", at)
  if word == "nil" then return NIL, after end
  return tonumber(word) or word, after
end

-- Lines "script (queues) arguments → reply" of the ```example blocks.
local function examples(page)
  local list = {}
  for block in page:gmatch "\n```example\n(.-)```" do
    for line in block:gmatch "([^\n]+)\n" do
      local name, queues, call, reply = line:match "^(%w+) %((.-)%) ?(.-) ?→ (.*)$"
      assert(name, line)
      local e = { line = line, name = name, queues = {}, arguments = {}, reply = (read_value(reply, 1)) }
      for queue in queues:gmatch "[^, ]+" do e.queues[#e.queues + 1] = queue end
      local at = 1
      while call:find("%S", at) do
        e.arguments[#e.arguments + 1], at = read_value(call, at)
      end
      list[#list + 1] = e
    end
  end
  return list
end

describe("docs/PROTOCOL.md", function()
  H.it_on("redis", "has examples that Redis answers as it says", function(t)
    local redis, seen = connect(t), {}
    for _, e in ipairs(examples(assert(H.files.read(H.root .. "/docs/PROTOCOL.md")))) do
      assert.same(e.reply, run_script(redis, e.name, e.queues, e.arguments), e.line)
      seen[e.name] = true
    end
    redis:close()
    for _, name in ipairs { "open", "enqueue", "get", "change", "list", "count",
      "pause" } do assert.is_true(seen[name], name) end
    -- The engine and the commands see the same jobs.
    local jobs = t:json "jobs"
    assert.equal(2, #jobs)
    assert.same({ "J3", "scheduled", -1, "J1", "ready", "math" },
      { jobs[1].id, jobs[1].state, jobs[1].priority, jobs[2].id, jobs[2].state, jobs[2].queue })
    assert.same({ 1, 2 }, t:job("J1").args)
  end)

  H.it_on("redis", "shows how many jobs go in with one transaction", function(t)
    local redis = connect(t)
    run_script(redis, "open", {}, { "1", "0" })
    local function store(ids)
      local hset, rpush = { "HSET", "{skein}:jobs" }, { "RPUSH", "{skein}:ready:2:math" }
      for _, id in ipairs(ids) do
        hset[#hset + 1], hset[#hset + 2] = id, "r2\4math\3addS\1\1\2" .. id .. "\2\3add\3\4math\4\5[1,2]"
        rpush[#rpush + 1] = id
      end
      for _, call in ipairs { { "MULTI" }, hset, rpush, script_call("stored", { "math" },
        { "3", #ids }) } do assert(redis:call(unpack(call))) end
      return assert(redis:call "EXEC")
    end
    assert.same({ 3, 3, "" }, store { "J1", "J2", "J3" })
    local jobs = t:json "jobs"
    assert.same({ 3, "J1", "ready", "math", 2 }, { #jobs, jobs[1].id, jobs[1].state, jobs[1].queue, jobs[3].args[2] })
    assert(redis:call("HSET", "{skein}:bounds", "=elsewhere", "5;reject;0;0;0;0;0"))
    assert.same({ 2, 5, "bounds" }, store { "J4", "J5" })
    assert.equal(3, redis:call("LLEN", "{skein}:ready:2:math"))
    assert.equal(3, #t:json "jobs")
    redis:close()
  end)

  H.it_on("redis", "says that enqueue refuses a list that is none, and does nothing then", function(t)
    local redis = connect(t)
    local value = "r2\4math\3addS\1"
    for _, where in ipairs { "0", "6", "11", "x", "3+", "3*5", "" } do
      local ok, err = pcall(run_script, redis, "enqueue", { "math" },
        { "0", "3", 1, "J1", value, where, 1, "J2", value })
      assert.is_false(ok, where)
      assert.is_truthy(tostring(err):find('where is "' .. where .. '", expected a list from 1 to 5', 1, true), err)
    end
    assert.same({}, redis:call("KEYS", "*"))
    redis:close()
  end)

  H.it_on("redis", "names every key that an engine and its clients leave", function(t)
    local server = t:own_redis()
    t:config '{ lease = "1s" }'
    t:script("a.lua", t:released()
      .. [[ skein.task("hold", { queue = "mail" }, function(job) job:progress(5, "x") fx("start") released("hold")
        fx("over") end)
      skein.task("end", { keep = 60 }, function(job, how) if how == "dead" then skein.fail("x") end return how end)]])
    local engine = t:run { "-w", "1", "-q", "mail,default" }
    t:enqueue "hold"
    t:wait_effects("start", 1)
    t:wait_state(t:enqueue("end", "done"), "done")
    t:wait_state(t:enqueue("end", "dead"), "dead")
    for _, verb in ipairs { "cancel", "promote" } do t:ok(verb,
      t:enqueue("end", 1, { flags = { "--in", "1h", "--queue", "idle" } })) end
    t:enqueue("end", 1, { flags = { "--in", "1h" } })
    t:ok("cancel", t:enqueue("end", 1, { flags = { "--queue", "nobody", "--priority", "2" } }))
    t:enqueue("end", 1, { flags = { "--queue", "nobody", "--priority", "-2" } })
    local documented, types = {}, {}
    for _, name in ipairs(STORE_KEYS) do documented[name] = true end
    for _, name in ipairs(QUEUE_KEYS) do documented[name] = true end
    documented.tasks, documented.templates = true, true
    for _, key in ipairs(server:keys()) do
      local name = key.name:match "^{skein}:(.*)$"
      name = documented[name] and name or name:match "^(ready:%d):" or name:match "^(%w+):"
      assert.is_true(documented[name], key.name)
      types[name] = key.type
    end
    local page = assert(H.files.read(H.root .. "/docs/PROTOCOL.md"))
    for name, kind in pairs(types) do
      if name ~= "tasks" and name ~= "templates" then assert.equal(kind,
        page:match("\n| %+?%d+ | `" .. name .. "` | (%w+) |"), name) end
    end
    t:release "hold"
    t:wait_effects("over", 1)
    assert.equal(0, engine:stop())
    for _, key in ipairs(server:keys()) do assert.is_nil(key.name:match "^{skein}:held$"
      or key.name:match "^{skein}:fences$", key.name) end
  end)
end)

-- -- the client ------------------------------------------------------------------------------------------------------

describe("a client in Python", function()
  H.it_on("redis", "enqueues, and reads states and results: text of any script, 64-bit numbers, nulls, meta",
    function(t)
    t:script("a.lua", [[skein.task("echo", function(job, ...) fx("echo", job.meta.who, ...) return { ... } end)
      skein.task("nothing", { keep = 60 }, function() end)]])
    local said = python(t, [[
job = skein.enqueue("echo", ["grüße 🪿 \0 \"", 2**63 - 1, -2**63, 2**64 - 1, 9007199254740993, 0.1, None, [], {}],
  meta={"who": "Ada Łovelace"})
say(skein.get(job)["state"])
say(job)]])
    assert.equal("ready", said[1])
    t:run { "-w", "1" }
    local seen = t:wait_effects("echo", 1)[1]
    assert.same({ "Ada Łovelace", "grüße 🪿 ? \"", "9223372036854775807LL", "-9223372036854775808LL",
      "18446744073709551615ULL", "9007199254740993LL" },
                { unpack(seen, 1, 6) })
    assert.same({ true, true, cjson.null, "01M8NOSUCHJOB" }, python(t, ([[
job = skein.wait("%s", 10)
say(job["state"] == "done" and job["attempts"] == 1 and job["started_ms"] >= job["enqueued_ms"]
  and job["finished_ms"] >= job["started_ms"])
say(job["result"] == ["grüße 🪿 \0 \"", 2**63 - 1, -2**63, 2**64 - 1, 9007199254740993, 0.1, None, [], {}]
  and job["args"] == job["result"])
say(skein.wait(skein.enqueue("nothing"), 10).get("result"))
assert skein.get("01M8NOSUCHJOB")["state"] is None
say(skein.get("01M8NOSUCHJOB")["id"])]]):format(said[2])))
  end)

  H.it_on("redis", "sets retries, back-off, timeouts and the rest, and reads why a job died", function(t)
    t:script("a.lua", [[skein.task("fail", function(job, n) fx("fail", job.queue, job.attempt) if job.attempt <= n then
      error("no " .. n, 0) end return n end)
      skein.task("slow", function() skein.sleep(30) end)]])
    t:run { "-w", "1" }
    local said = python(t, [[
jobs = [skein.enqueue("fail", [1], queue="a", retry_queue="b", backoff="list;0.02", retries=1),
        skein.enqueue("fail", [9], retries=0),
        skein.enqueue("fail", [9], retries=2, backoff="constant;base=0.01", keep_dead=0),
        skein.enqueue("slow", retries=0, timeout_ms=50),
        skein.enqueue("fail", [0], expires_ms=1000),
        skein.enqueue("unheard_of", delay=3600)]
for job in jobs[:5]:
    job = skein.wait(job, 10)
    say([job["state"], job.get("result"), job.get("attempts"), job.get("error_kind"), job.get("error")])
say(skein.get(jobs[5])["state"])]])
    assert.same({ "done", 1, 2 }, { unpack(said[1], 1, 3) })
    assert.same({ "dead", cjson.null, 1, 1, "no 9" }, said[2])
    assert.equal(cjson.null, said[3][1])
    assert.same({ "dead", 2 }, { said[4][1], said[4][4] })
    assert.same({ "dead", 4 }, { said[5][1], said[5][4] })
    assert.equal("scheduled", said[6])
    local queues = {}
    for _, f in ipairs(t:effects "fail") do queues[#queues + 1] = f[1] .. f[2] end
    table.sort(queues)
    assert.same({ "a1", "b2", "default1", "default1", "default2", "default3" }, queues)
  end)

  H.it_on("redis", "puts jobs where their task was declared to, before other priorities, or where it says itself",
    function(t)
    t:script("a.lua", [[skein.task("note", { queue = "mail", priority = -1 }, function(job, n) fx("note", n, job.queue)
      end)]])
    local engine, redis = t:run { "-w", "1" }, connect(t)
    t:wait_for("its declaration", 5, function() return redis:call("HGET", "{skein}:tasks", "note") == "-1:mail" end)
    redis:close()
    assert.equal(0, engine:stop())
    python(t, [[
for n, options in enumerate([{}, {"priority": -2}, {"priority": 0}, {"priority": 2}, {"priority": 1}, {}]):
    skein.enqueue("note", [n + 1], **options)
skein.enqueue("note", [7], queue="other", priority=2)
assert skein.get(skein.enqueue("never declared", delay=3600))["queue"] == "default"]])
    t:run { "-w", "1", "-c", "1", "-q", "mail,other" }
    local order = {}
    for i, f in ipairs(t:wait_effects("note", 7)) do order[i] = f[1] .. f[2] end
    assert.equal("4mail 5mail 3mail 1mail 6mail 2mail 7other", table.concat(order, " "))
  end)

  H.it_on("redis", "schedules jobs after a delay and for a time", function(t)
    t:script("a.lua", [[skein.task("at", function(job, due) fx("late", skein.now() - due) end)]])
    t:run { "-w", "1" }
    python(t, [[
now = time.time()
jobs = [skein.enqueue("at", [now + 0.4], delay=0.4), skein.enqueue("at", [now + 0.6], at=now + 0.6)]
assert [skein.get(job)["state"] for job in jobs] == ["scheduled", "scheduled"]
skein.enqueue("at", [now], at=now - 60)]])
    for _, f in ipairs(t:wait_effects("late", 3)) do
      assert.is_true(tonumber(f[1]) > -0.002 and tonumber(f[1]) < 1, f[1]) -- a millisecond is rounded
    end
  end)

  H.it_on("redis", "cancels what waits, and hears what can't be cancelled", function(t)
    t:script("a.lua", [[skein.task("ping", { keep = 60 }, function(job, n) fx("ping", n) end)]])
    local said = python(t, [[
jobs = [skein.enqueue("ping", [n], queue="q%d" % n) for n in range(3)] + [skein.enqueue("ping", [3], delay=3600)]
say([skein.cancel(job) for job in (jobs[1], jobs[1], jobs[3], "nobody")])
say(skein.cancel(jobs[2], keep=0))
say([skein.get(job)["state"] for job in jobs])
assert skein.get(jobs[1])["finished_ms"] > 0
say(jobs[0])]])
    assert.same({ "cancelled", "too late", "cancelled", "not found" }, said[1])
    assert.equal("cancelled", said[2])
    assert.same({ "ready", "cancelled", cjson.null, "cancelled" }, said[3])
    t:drain { "-w", "1" }
    assert.same({ { "0" } }, t:effects "ping")
    assert.same({ "too late" }, python(t, ('say(skein.cancel("%s"))'):format(said[4])))
    assert.equal(3, t:counters().cancelled)
  end)

  H.it_on("redis", "waits for a result without polling", function(t)
    t:script("a.lua", t:released()
      .. [[ skein.task("hold", function() fx("start") released("hold") return "held" end)]])
    t:run { "-w", "1" }
    local child = start_python(t, [[
looks, get = [], skein.get
def counted(id):
    looks.append(time.monotonic())
    return get(id)
skein.get = counted
job = skein.enqueue("hold", queue="default")
say(skein.wait(job, 0.3)["state"])
first = len(looks)
say(skein.wait(job, 20)["result"])
say([first, len(looks) - first, time.monotonic() - looks[-1] < 1])]])
    t:wait_effects("start", 1)
    t:wait_for("the first wait's end", 5, function() return child.stdout:find "running" end)
    t:release "hold"
    assert.equal(0, child:wait(10), child.stderr)
    local state, result, looks, more = child.stdout:match '^"(%w+)"\n"(%w+)"\n%[(%d+), (%d+), true%]\n$'
    assert.same({ "running", "held" }, { state, result }, child.stdout)
    H.say("looks: %s in 0.3 s without news, then %s", looks, more)
    assert.is_true(tonumber(looks) <= 4 and tonumber(more) <= 4)
  end)

  H.it_on("redis", "is refused an id that is in the store, in the same batch or twice over", function(t)
    t:script("a.lua", [[skein.task("ping", { keep = 60 }, function(job, n) fx("ping", job.id, n) end)]])
    local ours = t:enqueue("ping", 0)
    local said = python(t, ([[
def refused(**options):
    try: return skein.enqueue("ping", **options)
    except FileExistsError as error: return str(error)
say(refused(id="%s"))
say(refused(id="order:17", queue="a", delay=3600))
say(refused(id="order:17", queue="b"))
batch = [{"task": "ping", "args": [n], "id": "n%%d" %% (n %% 3)} for n in range(4)]
say(skein.enqueue_many(batch))
say(skein.enqueue_many(batch))]]):format(ours))
    assert.same({ ("job %s is in the store already"):format(ours), "order:17", "job order:17 is in the store already",
                  { true, true, true, false }, { false, false, false, false } }, said)
    t:ok("promote", "order:17")
    t:drain { "-w", "1" }
    assert.equal(5, t:count "ping")
    -- And the other way round.
    local lua = t:client [[local h, err = require "skein".enqueue { task = "ping", id = "order:17" } print(h,
      err.code)]]
    assert.equal("nil\texists\n", lua.out, lua.err)
  end)

  H.it_on("redis", "is refused by a lock, replaces its holder in whatever queue, throttles, and hears of a full queue",
    function(t)
    t:script("a.lua", [[skein.queue("small", { max_len = 1 })
      skein.task("ping", function(job, n) fx("ping", n) end)]])
    local engine, redis = t:run { "-w", "1", "-q", "default" }, connect(t)
    t:wait_for("its declaration", 5, function() return redis:call("HEXISTS", "{skein}:bounds", "=small") == 1 end)
    redis:close()
    assert.equal(0, engine:stop())
    local said = python(t, [[
def refused(**options):
    try: return skein.enqueue("ping", **options)
    except Refused as error: return [error.holder, str(error)]
skein.enqueue("ping", [1], id="a", queue="x", unique="reject;0;=k\0\n")
say(refused(id="b", unique="reject;0;=k\0\n"))
say(skein.enqueue("ping", [2], id="c", queue="y", unique="replace;0;=k\0\n"))
say([skein.get(job)["state"] for job in "ac"])
say(skein.enqueue("ping", [3], id="d", unique="throttle;60000;=t"))
say(refused(id="e", unique="throttle;60000;=t")[0])
say([skein.enqueue("ping", id="f", queue="small"), refused(id="g", queue="small")])
say([type(was).__name__ for was in skein.enqueue_many([{"task": "ping", "args": [4], "id": id, "queue": "default",
     "unique": "reject;0;=m"} for id in "hii"])])
for wrong in ["later;0;=k", "reject;0;k", "reject;-1;=k"]:
    try: skein.enqueue("ping", unique=wrong)
    except RuntimeError as error: assert "lock is" in str(error), error
    else: assert False, wrong]])
    assert.equal("a", said[1][1])
    assert.equal("job b is refused: its lock is job a's", said[1][2])
    assert.equal("c", said[2])
    assert.same({ cjson.null, "ready" }, said[3])
    assert.same({ "d", "d" }, { said[4], said[5] })
    assert.same({ "f", { cjson.null, "job g is refused: its queue is full" } }, said[6])
    assert.same({ "bool", "Refused", "Refused" }, said[7])
    t:drain { "-w", "1" }
    local ran = {}
    for i, f in ipairs(t:effects "ping") do ran[i] = f[1] end
    table.sort(ran)
    assert.same({ "2", "3", "4", "nil" }, ran)
  end)

  H.it_on("redis", "puts jobs into groups, which run as many at once as they may", function(t)
    t:script("a.lua", t:released()
      .. [[skein.task("hold", function(job, n) fx("start", n) released("hold") fx("over", n) end)]])
    t:run { "-w", "1", "-c", "10" }
    python(t, [[
skein.enqueue_many([{"task": "hold", "args": [n], "queue": "default", "limit": "1;0;0;0;any;=%d" % (n % 3)}
  for n in range(9)])]])
    t:wait_effects("start", 3)
    assert.same({ 3, "ready" }, python(t, [[
page = [skein.get(id.decode()) for id in skein.redis.call("HKEYS", skein.key("jobs"))]
say(sum(job["state"] == "running" for job in page))
say([job["state"] for job in page if job["state"] != "running"][0])]]))
    t:release "hold"
    t:wait_effects("over", 9)
  end)

  H.it_on("redis", "adds 5,000 jobs in five calls; two engines run each of them once", function(t)
    t:script("a.lua", [[skein.task("note", { retries = 0 }, function(job, n) fx("note", n) end)]])
    for _ = 1, 2 do t:run { "-w", "1", "-c", "20" } end
    python(t, [[
for first in range(0, 5000, 1000):
    jobs = [{"task": "note", "args": [n], "queue": "q%d" % (n % 3), "priority": n % 5 - 2}
      for n in range(first, first + 1000)]
    assert all(skein.enqueue_many(jobs))]])
    local seen, distinct = {}, 0
    for _, f in ipairs(t:wait_effects("note", 5000, 30)) do
      if not seen[f[1]] then seen[f[1]], distinct = true, distinct + 1 end
    end
    assert.same({ 5000, 5000 }, { distinct, t:count "note" })
    t:wait_for("an empty store", 10, function() return #t:json "jobs" == 0 end)
    assert.equal(5000, t:counters().done)
  end)

  H.it_on("redis", "uses the scripts that the engine uses, and goes on when Redis has forgotten them", function(t)
    local server = t:own_redis()
    t:enqueue("nobody", 1)
    assert.same({ 1 }, python(t,
      [[say(skein.redis.call("SCRIPT", "EXISTS", hashlib.sha1(skein.scripts["enqueue"]).hexdigest())[0])]]))
    assert.equal("OK", server:call("SCRIPT", "FLUSH"))
    assert.same({ "ready" }, python(t, [[
job = skein.enqueue("nobody")
skein.redis.call("SCRIPT", "FLUSH")
say(skein.get(job)["state"])
skein.cancel(job)]]))
  end)

  H.it_on("redis", "needs no more rights than the page says", function(t)
    local server = t:own_redis()
    local rule = assert(H.files.read(H.root .. "/docs/PROTOCOL.md")):match "\n    (ACL SETUSER [^\n]+)\n"
    local words = {}
    for word in rule:gmatch "%S+" do words[#words + 1] = word end
    assert.equal("OK", server:call(unpack(words)))
    t:script("a.lua", [[skein.task("add", function(job, a, b) return a + b end)]])
    t:run { "-w", "1" }
    t:use(server:url(0):gsub("//", "//app:secret@") .. "")
    local many = [[
      local skein = require "skein"
      local sigs = {}
      for i = 1, 100 do sigs[i] = { task = "add", args = { i, i } } end
      print(#assert(skein.enqueue_many(sigs)))]]
    local function execs() return tonumber((server:call("INFO", "commandstats"):match "cmdstat_exec:calls=(%d+)")
      or 0) end
    local before = execs()
    assert.equal("100\n", t:client(many).out)
    assert.equal(before + 2, execs()) -- one to try whether it may
    server:call("ACL", "SETUSER", "app", "-@transaction")
    assert.equal("100\n", t:client(many).out)
    assert.equal(before + 2, execs())
    assert.same({ 3, "cancelled", true }, python(t, [[
say(skein.wait(skein.enqueue("add", [1, 2]), 10)["result"])
say(skein.cancel(skein.enqueue("add", delay=60)))
try: skein.redis.call("FLUSHALL")
except RuntimeError as error: say(str(error).startswith("NOPERM"))]]))
  end)

  H.it_on("redis", "loses nothing of a list when the right to transactions is taken away on the way, nor without EVAL",
    function(t)
    local server = t:own_redis()
    local rule = assert(H.files.read(H.root .. "/docs/PROTOCOL.md")):match "\n    (ACL SETUSER [^\n]+)\n"
    local words = {}
    for word in rule:gmatch "%S+" do words[#words + 1] = word end
    assert.equal("OK", server:call(unpack(words)))
    t:enqueue("nobody")
    t:use(server:url(0):gsub("//", "//app:secret@") .. "")
    local taken = ([[
      local skein = require "skein"
      local function many(n, bytes)
        local sigs = {}
        for i = 1, n do sigs[i] = { task = "nobody", args = { ("x"):rep(bytes) } } end
        local hs, err = skein.enqueue_many(sigs)
        return hs and #hs or err.code
      end
      local before = many(100, 1)
      assert(os.execute "redis-cli -u %s acl setuser app -@transaction >/dev/null" == 0)
      print(before, many(250, BYTES), many(100, 1))]]):format(server:url(0))
    for _, bytes in ipairs { 1000, 15000, 15000, 15000, 15000 } do
      server:call("ACL", "SETUSER", "app", "+@transaction")
      local said = t:client((taken:gsub("BYTES", bytes)))
      assert.equal("100\tunknown_fate\t100\n", said.out, said.err)
      assert.equal(server:call("LLEN", "{skein}:ready:2:default"), server:call("HLEN", "{skein}:jobs"))
    end
    assert.equal("OK", server:call("ACL", "SETUSER", "app", "+@transaction", "-eval"))
    local said = t:client [[
      local skein = require "skein"
      local sigs = {}
      for i = 1, 100 do sigs[i] = "nobody" end
      print(#assert(skein.enqueue_many(sigs)))]]
    assert.equal("100\n", said.out, said.err)
  end)

  H.it_on("redis", "and the commands refuse a store of another format and leave it as it is", function(t)
    t:enqueue("nobody", 1)
    local redis = connect(t)
    assert(redis:call("HSET", "{skein}:head", "format", "2"))
    local child = start_python(t, "")
    assert.equal(1, child:wait(10))
    assert.matches("the store is written in format 2, this client knows format 1", child.stderr, 1, true)
    local refused = t:cli { "enqueue", "nobody", "2" }
    assert.equal(69, refused.code)
    assert.matches("format 2", refused.err, 1, true)
    assert.equal("1", redis:call("HGET", "{skein}:head", "enqueued"))
    redis:close()
  end)
end)

describe("an engine", function()
  H.it_on("redis", "gives up a job whose record makes no sense, and leaves one of a newer version", function(t)
    t:script("a.lua", [[skein.task("echo", { retries = 0 }, function(job, ...) return { ... } end)]])
    local redis = connect(t)
    local function enqueue(id, record) assert.equal("", run_script(redis, "enqueue", { "default" },
      { 0, 3, 1, id, "r2\7default\4echo" .. record })) end
    run_script(redis, "open", {}, { 1, 0 })
    enqueue("junk", "not a record")
    enqueue("cut", "S\1\1\9cut")
    enqueue("newer", "S\2\1\5newer")
    enqueue("noargs", 'S\1\1\6noargs\2\4echo\3\7default\4\9{"a": 1}\n')
    enqueue("good", "S\1\1\4good\2\4echo\3\7default\4\3[7]")
    redis:close()
    local engine = t:run { "-w", "1" }
    for _, id in ipairs { "junk", "cut", "noargs" } do t:wait_state(id, "dead") end
    assert.same({ 7 }, t:wait_state("good", "done").result)
    assert.equal("scheduled", t:wait_state("newer", "scheduled").state)
    assert.equal(0, engine:stop())
  end)
end)
