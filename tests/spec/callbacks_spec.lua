-- Callbacks of a job (lua/skein/callbacks.lua): on_success and on_error, as the record of the job stores them.
local plain_program = require "tests.support.plain_program"
local skein = require "skein"

local declare, read_callbacks, record_of = plain_program.declare, plain_program.read_callbacks, plain_program.record_of
local refused = plain_program.refused

before_each(plain_program.open)
after_each(plain_program.close)

describe("callbacks", function()
  it("are made with the job: ids, queues, delays, callbacks of their own", function()
    local name = declare { queue = "calls", priority = 1, unique = { key = 1 } }
    local r = record_of(assert(skein.enqueue({
      task = "spec.any", immutable = true, on_error = "alert",
      on_success = {
        { task = name, args = { 1 }, delay = 5 },
        { task = "next", on_success = { task = "last", args = { "x" } } },
      },
    }, 7)))
    assert.same({ 1, "[7]" }, { r.immutable, r.args })
    local done, dead = read_callbacks(r.on_success), read_callbacks(r.on_error)
    assert.same({ 2, 1, "alert" }, { #done, #dead, dead[1].task })
    assert.same({ name, "calls", 1, "[1]", 5000, "reject;0;=" .. name .. "/1" },
      { done[1].task, done[1].queue, done[1].priority, done[1].args, done[1].delay_ms, done[1].unique })
    assert.equal(26, #done[1].id)
    assert.equal("last", read_callbacks(done[2].on_success)[1].task)
  end)

  it("are refused in a circle, and past their size", function()
    local circle = { task = "round" }
    circle.on_success = circle
    refused("callbacks of callbacks, more than 16 deep", function()
      skein.enqueue(circle)
    end)
    refused("option on_error comes to %d+ bytes, the limit is 262144", function()
      skein.enqueue { task = "big", on_error = { task = "big", args = { ("x"):rep(262144) } } }
    end)
    assert(skein.enqueue { task = "big", on_error = { task = "big", args = { ("x"):rep(260000) } } })
  end)

  it("are a hundred at the most", function()
    local many = {}
    for i = 1, 100 do many[i] = { task = "one" } end
    assert(skein.enqueue { task = "many", on_success = many, on_error = many })
    many[101] = { task = "one" }
    refused("option on_error has 101 callbacks, the limit is 100", function()
      skein.enqueue { task = "many", on_error = many }
    end)
  end)
end)
