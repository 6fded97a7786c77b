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
      n = schema.integer(-2, 2), s = schema.seconds, b = schema.boolean,
      w = schema.one_of { full = true, normal = true },
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

describe("a field that a table does not have", function()
  it("is named with the nearest field that the table has", function()
    assert.equal('skein has no "enqeue" (did you mean "enqueue"?)',
      schema.unknown_field("skein", "enqeue", { enqueue = 1 }))
    assert.equal('skein has no "x"', schema.unknown_field("skein", "x", { enqueue = 1, [1] = 1 }))
  end)

  it("gets the first by name of the fields that are equally near", function()
    for _ = 1, 5 do assert.equal("bat", schema.nearest("at", { cat = 1, bat = 1, hat = 1 })) end
  end)
end)

describe("a value in a message", function()
  it("is one line, quoted when it is a text, and cut after 80 bytes", function()
    assert.same({ '"a"', "1.5", "nil", "true" },
      { schema.show "a", schema.show(1.5), schema.show(nil), schema.show(true) })
    assert.equal('"a?b?"', schema.show "a\nb\127")
    assert.equal('"' .. ("x"):rep(80) .. '"', schema.show(("x"):rep(80)))
    assert.equal('"' .. ("x"):rep(80) .. '..."', schema.show(("x"):rep(81)))
    assert.equal("a table", schema.show(setmetatable({}, { __tostring = function() return {} end })))
  end)
end)

describe("options inside of an option", function()
  local SCHEMA = { limit = schema.fields({ rate = schema.integer(1, 9) }, "a table of a limit") }
  local function said(options) return schema.check("thing", options, SCHEMA) end

  it("are named by their path", function()
    assert.is_nil(said { limit = { rate = 9 } })
    assert.is_nil(said { limit = {} })
    assert.equal("thing: option limit is 5, expected a table of a limit", said { limit = 5 })
    assert.equal("thing: option limit.rate is 10, expected a whole number from 1 to 9", said { limit = { rate = 10 } })
    assert.equal('thing: unknown option "limit.rat" (did you mean "limit.rate"?)', said { limit = { rat = 1 } })
    assert.equal("thing: unknown option limit.1", said { limit = { 5 } })
  end)
end)

describe("names", function()
  it("are 1 to 200 bytes of letters, digits and some marks", function()
    local name = schema.name()
    for _, good in ipairs { "a", "mail.send_2:x-Y", ("n"):rep(200), "a" } do assert.is_nil(name(good)) end
    for _, wrong in ipairs { "", "a b", "a/b", "\195\164", ("n"):rep(201), 5, {} } do
      assert.equal("a name of 1 to 200 bytes of [A-Za-z0-9_.:-]", name(wrong))
    end
    assert.is_string(name(nil))
  end)

  it("are checked the same however many there are", function()
    local name = schema.name()
    for i = 1, 2001 do assert.is_nil(name("n" .. i)) end
    assert.is_nil(name "n1")
    assert.is_string(name "n 1")
  end)

  it("may be one or a list, which has no holes and no other keys", function()
    local names = schema.names()
    for _, good in ipairs { "a", { "a" }, { "a", "b" } } do assert.is_nil(names(good)) end
    for _, wrong in ipairs { "a b", 5, {}, { "a", "b c" }, { "a", 5 }, { [1] = "a", [3] = "b" }, { "a", x = "b" } } do
      assert.matches("^a name, or a list of names, of 1 to 200 bytes", names(wrong))
    end
  end)
end)
