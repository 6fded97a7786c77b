-- The commands that look into a store and change it, as real processes, without an engine.  What an engine does to jobs
-- that they enqueue is in tests/system.
local H = require "tests.system.harness"

local UNKNOWN = "01ARZ3NDEKTSV4RRFFQ69G5FAV"

local function refused(t, code, pattern, ...)
  local result = t:cli { ... }
  assert.equal(code, result.code, result.out .. result.err)
  assert.matches(pattern, result.err)
  assert.equal("", result.out)
end

describe("skein enqueue", function()
  H.it("prints the id of a job that has the given arguments", function(t)
    local id = t:ok("enqueue", "email.welcome", '"bob"', '{"a": [1, null]}', "-5", "--queue", "mail",
      "--priority", "2", "--retries", "3")
    assert.matches("^%w+$", id)
    local job = t:job(id)
    assert.same({ "email.welcome", "mail", "ready", 2, 3 },
      { job.task, job.queue, job.state, job.priority, job.retries })
    assert.same({ "bob", { a = { 1, H.null } }, -5 }, job.args)
    assert.same({ 0, H.null, H.null, H.null }, { job.attempts, job.due_at, job.error, job.result })
    assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ$", job.enqueued_at)
  end)

  H.it("makes a job wait with --in and --at", function(t)
    local job = t:job(t:ok("enqueue", "add", "--at", "2100-06-01T12:00:00+02:00"))
    assert.same({ "scheduled", "2100-06-01T10:00:00.000Z" }, { job.state, job.due_at })
    assert.equal("scheduled", t:job(t:ok("enqueue", "add", "--in", "5m")).state)
    assert.equal("ready", t:job(t:ok("enqueue", "add", "--at", "1000000000")).state)
  end)

  H.it("refuses what is wrong, names it, and makes no store", function(t)
    refused(t, 64, [[argument 2: "bob" is not JSON %(a string needs quotes: '"bob"'%)]], "enqueue", "add", "1", "bob")
    refused(t, 64, "argument 1: {\"a\":", "enqueue", "add", '{"a":')
    refused(t, 64, '%-%-in "soon": expected seconds or a duration', "enqueue", "add", "--in", "soon")
    refused(t, 64, '%-%-at "2026%-02%-30"', "enqueue", "add", "--at", "2026-02-30")
    refused(t, 64, "exclude each other", "enqueue", "add", "--in", "1", "--at", "1")
    refused(t, 64, '%-%-priority "3": expected a whole number from %-2 to 2', "enqueue", "add", "--priority", "3")
    refused(t, 64, 'queue "a/b"', "enqueue", "add", "--queue", "a/b")
    refused(t, 64, "did you mean %-%-queue", "enqueue", "add", "--queu", "a")
    assert.is_false(H.files.exists(t.dir .. "/jobs.db"))
  end)

  H.it("--wait notices that someone else cancels or deletes the job", function(t)
    t:enqueue "other"
    local function waiting(task)
      local child = t:start { "enqueue", task, "--wait" }
      local id
      t:wait_for("the job of " .. task, 5, function()
        local job = t:json("jobs", "--task", task)[1]
        id = job and job.id
        return id
      end)
      return child, id
    end
    local child, id = waiting "slow"
    t:ok("cancel", id)
    assert.equal(1, child:wait(5))
    assert.matches("job " .. id .. " is cancelled", child.stderr)
    assert.equal("", child.stdout)
    child, id = waiting "gone"
    t:ok("delete", id)
    assert.equal(0, child:wait(5))
    assert.equal("null\n", child.stdout)
  end)

  H.it("--wait --timeout gives up, the job goes on", function(t)
    local result = t:cli { "enqueue", "add", "--wait", "--timeout", "50ms" }
    assert.equal(1, result.code)
    assert.matches("is still ready after 50ms", result.err)
    assert.equal("ready", t:json("jobs")[1].state)
  end)
end)

describe("skein jobs", function()
  H.it("pages with --limit and --offset, and says on stderr that there are more", function(t)
    for i = 1, 5 do t:enqueue("add", i) end
    local first = t:cli { "jobs", "--limit", "2", "--json" }
    assert.matches("there are more", first.err)
    assert.same({ { 3 }, { 4 } }, (function()
      local list = {}
      for _, job in ipairs(t:json("jobs", "--limit", "2", "--offset", "2")) do list[#list + 1] = job.args end
      return list
    end)())
    assert.equal("", t:cli({ "jobs", "-n5" }).err)
  end)

  H.it("prints an aligned table, or that there is none", function(t)
    t:ok("enqueue", "email.welcome", "--queue", "mail")
    local head, row = t:ok("jobs"):match "^([^\n]+)\n([^\n]+)$"
    assert.equal(head:find "TASK", (row:find("email.welcome", 1, true)))
    assert.equal(head:find "QUEUE", (row:find("mail ", 1, true)))
    t:ok("enqueue", "later", "--at", "2100-06-01T14:00:00+02:00")
    local later = t:ok("jobs", "--task", "later", "--utc")
    assert.matches("2100%-06%-01T12:00:00%.000Z  in %d+d", later)
    local none = t:cli { "jobs", "--state", "dead" }
    assert.same({ 0, "", "skein jobs: none\n" }, { none.code, none.out, none.err })
    assert.equal("[]", t:ok("jobs", "--state", "dead", "--json"))
  end)

  H.it("ends quietly when its reader goes away, and not quietly when the disk is full", function(t)
    t:enqueue("add", ("x"):rep(100000))
    local command = ('("%s" jobs --json; echo "code $?" >&2) | head -c1'):format(H.skein)
    local piped = t:cli({ "-c", command }, { program = "sh" })
    assert.same({ "[", "code 0\n" }, { piped.out, piped.err })
    local full = t:cli({ "-c", ('"%s" jobs --json >/dev/full'):format(H.skein) }, { program = "sh" })
    assert.equal(1, full.code)
    assert.matches("stdout: No space left", full.err)
  end)
end)

describe("skein explain", function()
  H.it("says what a job waits for", function(t)
    local first = t:enqueue "add"
    local second = t:enqueue "add"
    local later = t:enqueue("add", { flags = { "--in", "1h" } })
    assert.matches("is the next of queue default", t:ok("explain", first))
    assert.matches("No engine has declared task add", t:ok("explain", first))
    assert.matches("No job of queue default is running", t:ok("explain", first))
    assert.matches("1 job of queue default comes before it", t:ok("explain", second))
    assert.matches("scheduled to run at %S+ %(in 1h00m%)", t:ok("explain", later))
    t:ok("pause", "default")
    assert.matches("Queue default is paused", t:ok("explain", first))
    local json = t:json("explain", second)
    assert.same({ second, "ready" }, { json.id, json.state })
    assert.matches("paused", table.concat(json.reasons, "|"))
    t:ok("cancel", first)
    assert.matches("was cancelled", t:ok("explain", first))
  end)

  H.it("exits 1 for an unknown id", function(t)
    t:enqueue "add"
    refused(t, 1, "no job " .. UNKNOWN, "explain", UNKNOWN)
  end)
end)

describe("changing jobs", function()
  H.it("by id: a line for each that could not be changed, and a count", function(t)
    local a, b = t:enqueue "add", t:enqueue "add"
    t:ok("cancel", a)
    local result = t:cli { "cancel", a, b, UNKNOWN }
    assert.equal(1, result.code)
    assert.equal("cancelled 1 job\n", result.out)
    assert.matches(a .. " is cancelled: cancel works on scheduled, ready, running and retry jobs", result.err)
    assert.matches("no job " .. UNKNOWN, result.err)
    assert.equal("retried 2 jobs", t:ok("retry", a, b))
    assert.equal("ready", t:job(a).state)
    assert.same({ changed = 2, failed = 0 }, t:json("delete", a, b))
    assert.same({}, t:json "jobs")
  end)

  H.it("by filter", function(t)
    for _, queue in ipairs { "a", "a", "b" } do t:ok("enqueue", "add", "--in", "1h", "--queue", queue) end
    assert.equal("promoted 2 jobs", t:ok("promote", "--queue", "a"))
    assert.equal(2, #t:json("jobs", "--state", "ready"))
    assert.equal("cancelled 1 job", t:ok("cancel", "--state", "scheduled", "--task", "add"))
    assert.equal("deleted 0 jobs", t:ok("delete", "--queue", "nothing"))
  end)

  H.it("refuses to guess which", function(t)
    t:enqueue "add"
    refused(t, 64, "which jobs", "delete")
    refused(t, 64, "exclude each other", "delete", "x", "--queue", "a")
    refused(t, 64, "retry works on dead, retry and cancelled jobs", "retry", "--state", "done")
    assert.equal(1, #t:json "jobs")
  end)

  H.it("pauses and resumes a queue", function(t)
    t:ok("enqueue", "add", "--queue", "mail")
    t:ok("pause", "mail")
    assert.is_true(t:json("queues")[1].paused)
    assert.matches("mail .*paused", t:ok "queues")
    t:ok("resume", "mail")
    assert.is_false(t:json("queues")[1].paused)
    refused(t, 64, 'queue "a b"', "pause", "a b")
  end)
end)

describe("the store of a command", function()
  H.it("sqlite takes a path after the colon: only an absolute one may have two slashes more", function(t)
    local relative = t:cli({ "enqueue", "add", "-s", "sqlite://folder/jobs.db" }, { cwd = t.dir })
    assert.same({ 78, 'skein enqueue: store URL "sqlite://...": expected sqlite:PATH, without "//"\n' },
      { relative.code, relative.err })
    assert.is_false(H.files.exists(t.dir .. "/folder"))
    assert.equal(0, t:cli({ "enqueue", "add", "-s", "sqlite://" .. t.dir .. "/absolute.db" }).code)
    assert.is_true(H.files.exists(t.dir .. "/absolute.db"))
  end)

  H.it("is the flag's, else SKEIN_STORE's, else REDIS_URL's, else the working directory's", function(t)
    local function jobs(env, ...) return t:cli({ "jobs", "--json", ... }, { env = env, cwd = t.dir }) end
    local function store(name) return "sqlite:" .. t.dir .. "/" .. name end
    t:ok("enqueue", "flag", "-s", store "a.db")
    t:ok("enqueue", "skein_store", "-s", store "b.db")
    t:ok("enqueue", "redis_url", "-s", store "c.db")
    assert.equal(0, t:cli({ "enqueue", "default" }, { env = { SKEIN_STORE = "" }, cwd = t.dir }).code)
    assert.is_true(H.files.exists(t.dir .. "/.skein/jobs.db"))
    local both = { SKEIN_STORE = store "b.db", REDIS_URL = store "c.db" }
    assert.matches('"task":"flag"', jobs(both, "--store=" .. store "a.db").out)
    assert.matches('"task":"skein_store"', jobs(both).out)
    assert.matches('"task":"redis_url"', jobs({ SKEIN_STORE = "", REDIS_URL = store "c.db" }).out)
    assert.matches('"task":"default"', jobs({ SKEIN_STORE = "" }).out)
  end)

  H.it("must be there for all but enqueue", function(t)
    for _, args in ipairs {
      { "jobs" }, { "job", "x" }, { "explain", "x" }, { "stats" }, { "queues" }, { "pause", "q" }, { "resume", "q" },
      { "retry", "x" }, { "cancel", "x" }, { "delete", "x" }, { "promote", "x" },
    } do
      refused(t, 69, "no store at sqlite:.*jobs%.db: run an engine or enqueue a job first", unpack(args))
    end
    assert.is_false(H.files.exists(t.dir .. "/jobs.db"))
  end)

  H.it("can't be memory:, nor what this build does not know; a password is not shown", function(t)
    refused(t, 69, "memory: lives inside one engine", "jobs", "-s", "memory:")
    refused(t, 78, "gopher", "jobs", "-s", "gopher://bob:secret@host")
    assert.not_matches("secret", t:cli({ "jobs", "-s", "gopher://bob:secret@host" }).err)
    refused(t, 78, "no scheme", "jobs", "-s", "jobs.db")
  end)
end)

describe("the command line", function()
  H.it("suggests the nearest command and option", function(t)
    refused(t, 64, 'unknown command "enqeue"; did you mean enqueue', "enqeue", "add")
    refused(t, 64, "unknown option %-%-jsno; did you mean %-%-json", "jobs", "--jsno")
    refused(t, 64, "options come after", "-s", "memory:", "jobs")
  end)

  H.it("explains every command it lists", function(t)
    local commands = t:ok("--help"):match "commands:\n(.-)\n\n"
    local n = 0
    for name in ("\n" .. commands):gmatch "\n  (%w+)" do
      local help = t:ok(name, "--help")
      assert.matches("^usage: skein " .. name, help)
      assert.matches("\nexamples:\n  skein " .. name, help)
      assert.equal(help, t:ok("help", name))
      n = n + 1
    end
    assert.is_true(n >= 14)
  end)
end)
