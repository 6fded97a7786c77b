-- Signatures (lua/skein/signature.lua): checks of the jobs that a program enqueues.
local plain_program = require "tests.support.plain_program"
local skein = require "skein"

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
