-- `skein enqueue` (lua/skein/enqueue_command.lua): from the request of the command line to the code and the sentences.
local build = require "skein.build"
local client = require "skein.client"
local command = require "skein.enqueue_command"
local core = require "skein.core"
local plain_program = require "tests.support.plain_program"
local skein = require "skein"

local CODE = core.CODE

describe("enqueue_command", function()
  before_each(plain_program.open)

  after_each(function()
    plain_program.close()
    client.set_default(nil)
    build.args_bytes_max = nil
  end)

  local function run(request)
    request.args = request.args or "[]"
    return command.run(request)
  end

  it("adds one job, and returns its id, its queue and a note on a task that no engine has declared", function()
    local code, message, id, queue, note = run { task = "add", args = "[1,2]" }
    assert.same({ CODE.ok, nil, "default" }, { code, message, queue })
    assert.equal("note: no engine has declared task add: the job waits for one that does", note)
    local job = skein.admin.job(id)
    assert.same({ "add", { 1, 2 }, "ready" }, { job.task, { unpack(job.args) }, job.state })
  end)

  it("gives the job the options of the request", function()
    local code, _, id, queue = run { task = "add", queue = "math", priority = 2, retries = 4, keep_ms = 1500,
      delay_ms = 60000, meta = '{"a":1}' }
    assert.same({ CODE.ok, "math" }, { code, queue })
    local job = skein.admin.job(id)
    assert.same({ "math", 2, 4, { a = 1 }, "scheduled" }, { job.queue, job.priority, job.retries, job.meta, job.state })
    assert.equal(1500, plain_program.record_of(job).keep_ms)
    local _, _, due = run { task = "add", due_ms = 4e12 }
    assert.equal(4e9, skein.admin.job(due).due_at)
  end)

  it("stores args and meta as the user wrote them", function()
    local args, meta = '[ 1.0, {"b":1,"a":2} ]', '{ "z": 1, "a": 1e2 }'
    local _, _, id = run { task = "add", args = args, meta = meta }
    local record = plain_program.record_of { id = id }
    assert.same({ args, meta }, { record.args, record.meta })
  end)

  it("takes queue, lock and the meta that is passed along from a declared task, and has no note then", function()
    local name = plain_program.declare { queue = "math", debounce = { wait = 5, key = 1 }, pass_meta = { "tenant" } }
    local code, _, id, queue, note = run { task = name, unique_key = "k", meta = '{"tenant":"acme"}' }
    assert.same({ CODE.ok, "math", nil }, { code, queue, note })
    local record = plain_program.record_of { id = id }
    assert.equal("replace;0;=" .. name .. "/k", record.unique)
    assert.equal('{"tenant":"acme","_pass":["tenant"]}', record.meta)
    assert.equal("scheduled", skein.admin.job(id).state)
    assert.equal("{}", plain_program.record_of({ id = select(3, run { task = name, meta = "{}" }) }).meta)
  end)

  it("names the job that has the same key, and adds nothing", function()
    local _, _, id = run { task = "add", unique_key = "k" }
    local code, message = run { task = "add", unique_key = "k" }
    assert.same({ CODE.exists, ("job %s has the same unique key: nothing was added"):format(id) }, { code, message })
    assert.equal(1, skein.admin.stats().ready)
  end)

  it("names the job that throttles it, and the time", function()
    local name = plain_program.declare { throttle = { per = 60, key = 1 } }
    local _, _, id = run { task = name, args = "[1]" }
    local code, message = run { task = name, args = "[1]" }
    assert.same({ CODE.exists, ("throttled: job %s was added less than 60 s ago: nothing was added"):format(id) },
      { code, message })
  end)

  it("returns no code and a sentence for a mistake of the user", function()
    local code, message = run { task = "a b" }
    assert.same({ nil, 'option task is "a b", expected a name of 1 to 200 bytes of [A-Za-z0-9_.:-]' },
      { code, message })
    code, message = run { task = "add", args = '["123456"]', args_bytes_max = 9 }
    assert.same({ nil, "args: 10 bytes of JSON, expected at most 9" }, { code, message })
  end)

  describe("with a store that fails", function()
    local answers, sent

    before_each(function()
      answers, sent = {}, 0
      client.set_transport {
        call = function(operation)
          if operation == core.OP.TASKS then
            if answers.tasks then return unpack(answers.tasks) end
            return "ok", core.pack("ii", 0, 0)
          end
          sent = sent + 1
          return unpack(table.remove(answers, 1))
        end,
      }
    end)

    it("says why the tasks cannot be asked for, and sends no job", function()
      answers.tasks = { "unavailable", "it is away" }
      local code, message = run { task = "add" }
      assert.same({ CODE.unavailable, "it is away", 0 }, { code, message, sent })
    end)

    it("repeats a request whose fate is unknown, and takes a repeat that finds the job for success", function()
      answers = { { "unknown_fate", "lost" }, { "ok", string.char(CODE.exists) .. core.pack("s", "") } }
      local code, message, id = run { task = "add" }
      assert.same({ CODE.ok, nil, 2, 26 }, { code, message, sent, #id })
    end)

    it("tries three times, and then says how to learn whether the job was added", function()
      for i = 1, 4 do answers[i] = { "unknown_fate", "the answer got lost" } end
      local code, message = run { task = "add" }
      assert.equal(3, sent)
      assert.equal(CODE.unknown_fate, code)
      assert.matches("^job %w+ %(`skein job` tells whether it was added%): the answer got lost$", message)
    end)

    it("keeps the first error when a repeat fails in another way, since the job may be there", function()
      answers = { { "unknown_fate", "lost" }, { "unavailable", "it is away" } }
      local code, message = run { task = "add" }
      assert.same({ CODE.unknown_fate, 2 }, { code, sent })
      assert.matches("lost$", message)
    end)

    it("does not repeat a request that was refused", function()
      answers = { { "unavailable", "it is away" } }
      local code, message = run { task = "add" }
      assert.same({ CODE.unavailable, "it is away", 1 }, { code, message, sent })
    end)

    it("says that a queue is full", function()
      answers = { { "ok", string.char(CODE.limit) } }
      local code, message = run { task = "add", queue = "tight" }
      assert.same({ CODE.limit, "queue tight is full" }, { code, message })
    end)
  end)
end)
