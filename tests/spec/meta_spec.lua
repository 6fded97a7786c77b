-- The meta of a job (lua/skein/meta.lua): values of the signature, and values that the job
-- inherits and passes along.
local client = require "skein.client"
local core = require "skein.core"
local meta = require "skein.meta"
local plain_program = require "tests.support.plain_program"
local skein = require "skein"
local tasks = require "skein.tasks"

local declare, read_callbacks, record_of = plain_program.declare, plain_program.read_callbacks, plain_program.record_of

before_each(plain_program.open)
after_each(plain_program.close)

describe("meta", function()
  it("that another client has filled with anything passes nothing along", function()
    local passed = meta.passed
    assert.same({ values = { a = 1 }, pass = { "a" } }, passed({ a = 1 }, { "a" }))
    for _, pass in ipairs { 5, "a", true, core.null } do assert.is_nil(passed({ a = 1 }, pass)) end
    assert.is_nil(passed(5, { "a" }))
    assert.is_nil(passed({ a = 1 }, { {}, 7 }))
  end)

  it("is a table of the job, and what is marked is passed on to its callbacks", function()
    local h = assert(skein.enqueue {
      task = "spec.any", meta = { tenant = "acme", trace = 7 }, pass_meta = { "tenant" },
      on_success = { { task = "next", meta = { own = 1 } }, { task = "next", meta = { tenant = "other" } } },
    })
    assert.same({ tenant = "acme", trace = 7 }, h:info().meta)
    local calls = read_callbacks(record_of(h).on_success)
    assert.same({ tenant = "acme", own = 1, _pass = { "tenant" } }, core.decode(calls[1].meta))
    assert.equal("other", core.decode(calls[2].meta).tenant)
    assert.same({}, assert(skein.enqueue "spec.any"):info().meta)
  end)

  it("is marked by the task too", function()
    local name = declare { pass_meta = { "tenant" } }
    local h = assert(skein.enqueue { task = name, meta = { tenant = 1, x = 2 }, on_error = "alert" })
    assert.same({ tenant = 1, _pass = { "tenant" } }, core.decode(read_callbacks(record_of(h).on_error)[1].meta))
    assert.is_nil(record_of(skein.enqueue(name)).meta)
    assert.same({ "tenant" }, core.decode(core.job(tasks.by_name[name].record).meta)._pass)
  end)

  it("of the job that runs goes to all that it enqueues, and its own signature wins", function()
    local before = client.passed
    finally(function() client.passed = before end)
    client.passed = function() return { values = { tenant = "acme" }, pass = { "tenant" } } end
    assert.same({ tenant = "acme" }, skein.enqueue("spec.any"):info().meta)
    local own = { task = "spec.any", meta = { tenant = "b", x = 1 } }
    assert.same({ tenant = "b", x = 1 }, skein.enqueue(own):info().meta)
    assert.same({ tenant = "acme" }, skein.enqueue_many({ "spec.any" })[1]:info().meta)
    assert.same({ "tenant" }, core.decode(record_of(skein.enqueue "spec.any").meta)._pass)
  end)
end)
