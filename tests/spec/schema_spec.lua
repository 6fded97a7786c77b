-- Checks of tables of options (lua/skein/schema.lua).
local schema = require "skein.schema"

local function fails_to_print() return setmetatable({}, { __tostring = function() error "no" end }) end

describe("an unknown option", function()
  local KNOWN = { retries = 1, retry_queue = 1, backoff = 1, delay = 1, dead = 1, at = 1, id = 1, queue = 1 }

  it("is answered with the nearest known one", function()
    for misspelt, wanted in pairs {
      retires = "retries", backof = "backoff", back_off = "backoff", dealy = "delay", quue = "queue", Queue = "queue",
      retryqueue = "retry_queue", deed = "dead", ad = "at",
    } do
      assert.equal(wanted, schema.nearest(misspelt, KNOWN), misspelt)
    end
  end)

  it("gets no suggestion when none is near", function()
    for _, name in ipairs { "x", "xx", "colour", "", ("q"):rep(1e6) } do assert.is_nil(schema.nearest(name, KNOWN)) end
  end)

  it("is named, whatever it is", function()
    local check = function(options) return schema.check("thing", options, { retries = schema.integer(0, 9) }) end
    assert.equal('thing: unknown option "retires" (did you mean "retries"?)', check { retires = 1 })
    assert.equal("thing: unknown option 1", check { "retries" })
    assert.equal("thing: unknown option true", check { [true] = 1 })
    assert.equal("thing: unknown option a table", check { [fails_to_print()] = 1 })
    assert.equal('thing: unknown option "a??b"', check { ["a\0\nb"] = 1 })
  end)
end)

describe("a check of options", function()
  it("names the key, the value and what was expected", function()
    local SCHEMA = {
      n = schema.integer(-2, 2), s = schema.seconds, b = schema.boolean, w = schema.one_of { full = true, normal = true },
    }
    local function said(options) return schema.check("thing", options, SCHEMA) end
    assert.is_nil(said { n = -2, s = 0.5, b = false, w = "full" })
    assert.equal("thing: a table of options is expected, not nil", said(nil))
    assert.equal("thing: option n is 3, expected a whole number from -2 to 2", said { n = 3 })
    assert.equal("thing: option n is 0.5, expected a whole number from -2 to 2", said { n = 0.5 })
    assert.equal('thing: option n is "1", expected a whole number from -2 to 2', said { n = "1" })
    assert.equal("thing: option b is 1, expected true or false", said { b = 1 })
    assert.equal('thing: option w is "ful", expected "full", "normal"', said { w = "ful" })
    assert.equal("thing: option s is a table, expected a number of seconds, 0 or more", said { s = fails_to_print() })
    assert.is_true(#said { n = ("x"):rep(1e6) } < 300)
  end)

  it("takes seconds up to 100 years, and times up to 2169", function()
    local year = 31536000
    assert.is_nil(schema.seconds(0))
    assert.is_nil(schema.seconds(100 * year))
    for _, wrong in ipairs { -1, 100 * year + 1, 0 / 0, 1 / 0, "1", {} } do assert.is_string(schema.seconds(wrong)) end
    assert.is_string(schema.positive_seconds(0))
    assert.is_nil(schema.positive_seconds(1e-9))
    assert.is_nil(schema.moment(os.time { year = 2150, month = 1, day = 1 }))
    assert.is_string(schema.moment(201 * year))
  end)

  it("takes whatever can be called for a function", function()
    assert.is_nil(schema.callable(print))
    assert.is_nil(schema.callable(setmetatable({}, { __call = print })))
    local locked = setmetatable({}, { __metatable = "locked" })
    for _, wrong in ipairs { "print", {}, locked, 42 } do assert.equal("a function", schema.callable(wrong)) end
  end)
end)
