-- Error values, their text, and misuse that is reported at the line of the caller (lua/skein/errors.lua).
local errors = require "skein.errors"
local plain_program = require "tests.support.plain_program"
local skein = require "skein"

local line_of_caller = plain_program.line_of_caller

local function fails_to_print() return setmetatable({}, { __tostring = function() error "no" end }) end

describe("an error value", function()
  it("keeps the table of its further fields, with code and message from its own arguments", function()
    local more = { code = "old", message = "old", id = 7 }
    local e = errors.new("gone", "job 7 is gone", more)
    assert.equal(more, e)
    assert.same({ "gone", "job 7 is gone", 7 }, { e.code, e.message, e.id })
    assert.is_nil(e.traceback)
  end)

  it("has code and message, and prints as its message", function()
    local e = errors.new("timeout", "too late", { id = "x" })
    assert.same({ "timeout", "too late", "x" }, { e.code, e.message, e.id })
    assert.equal("too late", tostring(e))
    assert.equal("it was too late!", "it was " .. e .. "!")
    assert.is_true(errors.is(e))
    for _, other in ipairs { {}, "too late", 42 } do assert.is_false(errors.is(other)) end
    assert.is_false(errors.is_verdict(e))
    assert.is_true(errors.is_verdict(errors.verdict("fail")))
  end)

  it("of any kind has a text, without an error", function()
    assert.equal("plain", errors.text "plain")
    assert.equal("error value nil", errors.text(nil))
    assert.equal("error value of type number (42)", errors.text(42))
    assert.equal("error value of type boolean (false)", errors.text(false))
    assert.equal("m", errors.text { message = "m" })
    assert.equal("T", errors.text(setmetatable({ message = "m" }, { __tostring = function() return "T" end })))
    assert.matches("^error value of type table %(table: 0x", errors.text {})
    assert.matches("^error value of type table %(table: 0x", errors.text { message = print })
    assert.equal('error value of type table ({"code":"gone"})', errors.text { code = "gone" })
    assert.equal("error value of type table ([1,{}])", errors.text { 1, {} })
    assert.equal(200 + #"error value of type table (...)", #errors.text { ("x"):rep(1000) })
    assert.equal("error value of type table, whose __tostring fails", errors.text(fails_to_print()))
    local returns_number = setmetatable({}, { __tostring = function() return 1 end })
    assert.equal("error value of type table, whose __tostring fails", errors.text(returns_number))
    local broken = setmetatable({}, { __tostring = true, __index = function() error "no" end })
    assert.equal("error value of type table, whose __tostring fails", errors.text(broken))
    assert.equal("m", errors.text(setmetatable({ message = "m" }, { __tostring = function() error "no" end })))
  end)
end)

describe("a verdict", function()
  it("carries its delay, and prints as its reason or else as its name", function()
    local verdict = errors.verdict("retry", 5, "the server is busy")
    assert.same({ "retry", 5, "the server is busy" }, { verdict.verdict, verdict.delay, tostring(verdict) })
    assert.equal("discard", tostring(errors.verdict "discard"))
    assert.is_false(errors.is(verdict))
    for _, other in ipairs { {}, { verdict = "fail" }, "fail", 1 } do assert.is_false(errors.is_verdict(other)) end
    assert.is_false(errors.is_verdict(nil))
  end)
end)

describe("the traceback of an error value", function()
  it("is its field of that name when that is a text", function()
    assert.equal("at x", errors.traceback { traceback = "at x" })
    assert.equal("at y", errors.traceback(setmetatable({}, { __index = { traceback = "at y" } })))
    for _, other in ipairs { {}, { traceback = 5 }, "at x", 5 } do assert.is_nil(errors.traceback(other)) end
    assert.is_nil(errors.traceback(nil))
    assert.is_nil(errors.traceback(setmetatable({}, { __index = function() error "no" end })))
  end)
end)

describe("misuse", function()
  it("that is called outside of Skein names the line of its caller", function()
    local function own() errors.misuse "wrong" end
    local ok, err = pcall(own)
    assert.is_false(ok)
    assert.equal(("tests/spec/errors_spec.lua:%d: wrong"):format(debug.getinfo(own, "S").linedefined), err)
  end)

  it("is an error at the caller's line", function()
    assert.equal('skein.on: unknown event nil, expected "error", "death", "success" or "event"',
      line_of_caller(function()
        skein.on(nil, print)
      end))
    assert.equal('skein.on: unknown event "eror", did you mean "error"?', line_of_caller(function()
      skein.on("eror", print)
    end))
    assert.equal("skein.on: a function is expected, not nil", line_of_caller(function()
      skein.on("error")
    end))
    assert.equal("skein.sleep: can only be used inside a job", line_of_caller(function()
      skein.sleep(1)
    end))
    assert.equal("skein.retry_in: the delay is -1, expected a number of seconds, 0 or more", line_of_caller(function()
      skein.retry_in(-1)
    end))
    assert.equal("skein.handle: the id must be a string, not nil", line_of_caller(function()
      skein.handle()
    end))
    assert.equal('skein.admin.jobs: unknown option "sate" (did you mean "state"?)', line_of_caller(function()
      skein.admin.jobs { sate = "dead" }
    end))
    assert.equal('skein.admin.retry: option state is "daed", expected a state: '
      .. "scheduled, ready, running, retry, done, dead or cancelled",
      line_of_caller(function()
        skein.admin.retry { state = "daed" }
      end))
    assert.equal("skein.admin.pause: the queue must be a string, not nil", line_of_caller(function()
      skein.admin.pause()
    end))
    assert.matches("a/b", line_of_caller(function()
      skein.admin.resume "a/b"
    end))
    assert.equal("skein.connect: the url must be a string, not table", line_of_caller(function()
      skein.connect {}
    end))
    assert.equal('skein.connect: option durability is "ful", expected "full", "normal"', line_of_caller(function()
      skein.connect("memory:", { durability = "ful" })
    end))
  end)
end)
