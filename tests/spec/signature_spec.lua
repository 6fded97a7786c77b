-- Signatures (lua/skein/signature.lua): checks of the jobs that a program enqueues.
local core = require "skein.core"
local plain_program = require "tests.support.plain_program"
local skein = require "skein"
local signature = require "skein.signature"

local ARGS_MAX, ID_BYTES_MAX = core.LIMITS.args, core.LIMITS.id_bytes
local refused = plain_program.refused

describe("a wrong option of a signature", function()
  before_each(plain_program.open)
  after_each(plain_program.close)

  it("is named by its path", function()
    for wanted, options in pairs {
      ["option limit is true, expected a table"] = { limit = true },
      ["option block is %-1, expected a number of seconds"] = { block = -1 },
      ["option immutable is 1, expected true or false"] = { immutable = 1 },
      ["option on_success is 5, expected a signature"] = { on_success = 5 },
      ["option on_error is function"] = { on_error = print },
      ["on_success%[2%]: .*unknown option \"dealy\" %(did you mean \"delay\"%?%)"] =
        { on_success = { "a", { task = "b", dealy = 1 } } },
      ["on_success%[1%]: .*name is missing"] = { on_success = { args = {} } },
      ["on_error%[1%]%.args%[1%]: a function"] = { on_error = { task = "b", args = { print } } },
      ["job: on_success%[1%]%.on_error%[2%]%.args%[1%]%.x: a function"] =
        { on_success = { task = "b", on_error = { "a", { task = "c", args = { { x = print } } } } } },
      ["job: on_success%[1%]%.on_success%[1%]: option retries is %-1, expected"] =
        { on_success = { task = "b", on_success = { task = "c", retries = -1 } } },
      ["option meta is table.*, expected a table without the key \"_pass\""] = { meta = { _pass = 1 } },
      ["option debounce%.wait is missing"] = { debounce = { key = "x" } },
    } do
      options.task = "spec.any"
      refused(wanted, function()
        skein.enqueue(options)
      end)
    end
    refused("job: a task's name or a signature %(a table%) is expected, not nil", function()
      skein.enqueue()
    end)
    local wanted = "skein%.enqueue_many: %[2%]: job: a task's name or a signature %(a table%) is expected, not number"
    refused(wanted, function()
      skein.enqueue_many { "a", 5 }
    end)
    refused('the key function of unique of task spec%.any returned nan, expected a text', function()
      skein.enqueue { task = "spec.any", unique = { key = function() return 0 / 0 end } }
    end)
    assert.equal(0, skein.admin.stats().counters.enqueued)
  end)
end)

describe("a signature by itself", function()
  local function problem(fields)
    fields.task = fields.task or "t"
    return signature.problem(fields)
  end

  it("needs the name of its task", function()
    assert.is_nil(signature.problem { task = "t" })
    assert.equal("job: the task's name is missing", signature.problem {})
    assert.matches("^job: option task is \"a b\", expected a name of ", signature.problem { task = "a b" })
    assert.equal("job: a task's name or a signature (a table) is expected, not boolean", signature.problem(true))
  end)

  it("has one time at most, and no function for a back-off", function()
    assert.is_nil(problem { at = 5 })
    assert.is_nil(problem { delay = 5 })
    assert.equal("job: the options at and delay exclude each other", problem { at = 5, delay = 5 })
    assert.is_nil(problem { backoff = { 1, 2 } })
    assert.equal("job: a function as backoff belongs to skein.task", problem { backoff = function() end })
  end)

  it("has a list of args, whose n may count nils at its end", function()
    for _, good in ipairs { {}, { 1, nil, 3 }, { n = 0 }, { n = 3, "a" } } do assert.is_nil(problem { args = good }) end
    assert.matches("expected a list of args %(it has the key \"x\"%)$", problem { args = { x = 1 } })
    assert.matches("expected a list of args %(it has the key 0%)$", problem { args = { [0] = 1 } })
    assert.matches("expected a list of args %(it has the key 1%.5%)$", problem { args = { [1.5] = 1 } })
    for _, n in ipairs { 1, -1, 2.5, "2", 0 / 0 } do
      assert.matches("expected a list of args whose n is their number$", problem { args = { "a", "b", n = n } })
    end
    assert.is_nil(problem { args = { n = ARGS_MAX } })
    assert.matches(("expected at most %d args, not %d$"):format(ARGS_MAX, ARGS_MAX + 1),
      problem { args = { n = ARGS_MAX + 1 } })
  end)

  it("has an id of letters, digits and some marks, up to its longest", function()
    for _, good in ipairs { "1", "a.b:c-d_E", ("i"):rep(ID_BYTES_MAX) } do assert.is_nil(problem { id = good }) end
    for _, wrong in ipairs { "", "a b", "a/b", ("i"):rep(ID_BYTES_MAX + 1), 5 } do
      assert.matches(("^job: option id is .*, expected 1 to %d bytes of "):format(ID_BYTES_MAX), problem { id = wrong })
    end
  end)

  it("counts its args by their last one, or by n", function()
    for wanted, args in pairs { [0] = {}, [3] = { 1, nil, 3 }, [5] = { n = 5, "a" } } do
      assert.equal(wanted, signature.count_args(args))
    end
  end)

  it("is copied with one option set; a name becomes a signature, and other values stay", function()
    local before = { task = "t", args = { 1 } }
    local after = signature.with(before, "delay", 5)
    assert.same({ task = "t", args = { 1 } }, before)
    assert.same({ task = "t", args = { 1 }, delay = 5 }, after)
    assert.equal(before.args, after.args)
    assert.same({ task = "t", at = 1 }, signature.with("t", "at", 1))
    assert.equal(5, signature.with(5, "at", 1))
    assert.is_nil(signature.with(nil, "at", 1))
  end)
end)
