-- Declarations of tasks (lua/skein/tasks.lua): checks of their options and their record.
local core = require "skein.core"
local plain_program = require "tests.support.plain_program"
local skein = require "skein"
local tasks = require "skein.tasks"

local line_of_caller, refused = plain_program.line_of_caller, plain_program.refused

describe("misuse", function()
  it("in a declaration names task, option and value", function()
    for wanted, declare in pairs {
      ["skein.task: the name must be a string, not number"] = function()
        skein.task(42, function() end)
      end,
      ["task \"two words\""] = function()
        skein.task("two words", function() end)
      end,
      ['skein.task "x": the handler must be a function, not nil'] = function()
        skein.task("x")
      end,
      ['skein.task "x": the handler must be a function, not table'] = function()
        skein.task("x", { retries = 1 }, {})
      end,
      ['skein.task "x": unknown option "retires" (did you mean "retries"?)'] = function()
        skein.task("x", { retires = 1 }, function() end)
      end,
      ['skein.task "x": option priority is 3, expected a whole number from -2 to 2'] = function()
        skein.task("x", { priority = 3 }, function() end)
      end,
      ['skein.task "x": option on_error is "print", expected a function'] = function()
        skein.task("x", { on_error = "print" }, function() end)
      end,
    } do
      local err = line_of_caller(declare)
      assert.equal(wanted, err:sub(1, #wanted))
    end
  end)

  it("a second task of a name says where the first is", function()
    skein.task("spec.twin", function() end) local line = debug.getinfo(1, "l").currentline
    local wanted = ('skein.task "spec.twin" is declared already, at tests/spec/tasks_spec.lua:%d'):format(line)
    assert.equal(wanted, line_of_caller(function()
      skein.task("spec.twin", nil, function() end)
    end))
  end)

  it("a task takes no options, nil for options, and a callable table for a handler", function()
    skein.task("spec.plain", function() end)
    skein.task("spec.nil", nil, function() end)
    skein.task("spec.callable", setmetatable({}, { __call = function() end }))
  end)
end)

describe("times of a task", function()
  it("are whole milliseconds, and never nothing for a little", function()
    assert.same({ 1500, 1, 1, 0 }, { tasks.ms(1.5), tasks.ms(0.0006), tasks.ms(1e-9), tasks.ms(0) })
    assert.is_nil(tasks.ms(nil))
  end)

  it("reach the record that the core gets", function()
    local options = { timeout = 0.0001, keep = 2, expires = 0.25, retries = 0, dead = false, backoff = { 1 } }
    tasks.declare("spec.times", options, function() end)
    local r = core.job(tasks.by_name["spec.times"].record)
    assert.same({ 1, 2000, 250, 0, 0, "list;1", "default" },
      { r.timeout_ms, r.keep_ms, r.expires_ms, r.retries, r.keep_dead, r.backoff, r.queue })
  end)
end)

describe("a wrong option of a task", function()
  it("is named by its path", function()
    for wanted, options in pairs {
      ["option unique%.ttl is %-1, expected a number of seconds, more than 0"] = { unique = { ttl = -1 } },
      ['option unique%.on_conflict is "repace", expected "reject", "replace"'] =
        { unique = { on_conflict = "repace" } },
      ['unknown option "unique%.tll" %(did you mean "unique%.ttl"%?%)'] = { unique = { tll = 1 } },
      ["option unique is 5, expected true, false or"] = { unique = 5 },
      ['option unique%.key is "mine", expected "args", the number of an arg'] = { unique = { key = "mine" } },
      ["option unique%.key is 0, expected"] = { unique = { key = 0 } },
      ["option unique%.key is 201, expected"] = { unique = { key = 201 } },
      ["option debounce is 0, expected a number of seconds, more than 0, or { wait =, key = }"] = { debounce = 0 },
      ["option debounce%.wait is missing"] = { debounce = { key = 1 } },
      ["option throttle%.per is true, expected"] = { throttle = { per = true } },
      ["the options unique, debounce and throttle exclude each other"] = { unique = true, throttle = 1 },
      ["debounce and throttle exclude"] = { debounce = 1, throttle = 1 },
      ['unknown option "limit%.concurency" %(did you mean "limit%.concurrency"%?%)'] = { limit = { concurency = 1 } },
      ["option limit%.concurrency is 0, expected a whole number from 1 to 1000000000"] =
        { limit = { concurrency = 0 } },
      ["option limit%.rate is 0%.5, expected a whole number"] = { limit = { rate = 0.5 } },
      ["option limit%.per needs limit%.rate"] = { limit = { concurrency = 1, per = 1 } },
      ["option limit%.burst needs limit%.rate"] = { limit = { concurrency = 1, burst = 1 } },
      ["option limit: a concurrency, a rate or a key is expected in it"] = { limit = {} },
      ['option limit%.concurrency is 2, expected 1 with order = "strict"'] =
        { limit = { concurrency = 2, order = "strict" } },
      ["option on_success is table.*, expected a function"] = { on_success = { task = "x" } },
      ["option pass_meta is \"tenant\", expected a list of keys of meta"] = { pass_meta = "tenant" },
      ["option pass_meta%[2%] is 2, expected a key of meta"] = { pass_meta = { "a", 2 } },
      ["option pass_meta%[1%] is \"_pass\""] = { pass_meta = { "_pass" } },
    } do
      refused('skein%.task "spec%.bad": .*' .. wanted, function()
        skein.task("spec.bad", options, function() end)
      end)
    end
  end)
end)
