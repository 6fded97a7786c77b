-- The parts of the Lua module that need no store: option checks, suggestions, back-off forms, errors, declarations.
local schema = require "skein.schema"
local backoff = require "skein.backoff"
local errors = require "skein.errors"
local core = require "skein.core"

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
    local SCHEMA = { n = schema.integer(-2, 2), s = schema.seconds, b = schema.boolean, w = schema.one_of { full = true, normal = true } }
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

describe("a back-off", function()
  it("has a text for each of its forms", function()
    for text, form in pairs {
      exponential = "exponential", fibonacci = "fibonacci", ["constant"] = { "constant" }, [""] = print,
      ["constant;base=2;max=60;jitter=0.1"] = { "constant", base = 2, max = 60, jitter = 0.1 },
      ["list;1;5.5;30"] = { 1, 5.5, 30 }, ["list;0"] = { 0 }, ["list;1;5;max=3;jitter=0.5"] = { 1, 5, max = 3, jitter = 0.5 },
      ["linear;base=0.000001"] = { "linear", base = 0.000001 },
    } do
      assert.equal(text, backoff.text(form))
    end
  end)

  it("is refused with what was expected", function()
    for _, wrong in ipairs {
      "exponental", "", 5, true, {}, { "constant", 5 }, { "constant", bas = 1 }, { "constant", base = "1" }, { 1, "2" }, { -1 }, { 1 / 0 },
      { 0 / 0 }, { 1, base = 2 }, { 1, x = 2 }, { [1] = 1, [3] = 3 }, { "constant", jitter = 2 }, { 1, [0.5] = 1 },
    } do
      local text, expected = backoff.text(wrong)
      assert.is_nil(text)
      assert.matches("^\"exponential\", \"fibonacci\"", expected)
    end
    local _, expected = backoff.text { 1, base = 2 }
    assert.matches("%(.*base", expected)
  end)

  it("takes 64 numbers and not 65", function()
    local list = {}
    for i = 1, 64 do list[i] = i end
    assert.is_string(backoff.text(list))
    list[65] = 65
    assert.is_nil(backoff.text(list))
  end)
end)

describe("an error value", function()
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
    assert.equal("error value of type table, whose __tostring fails", errors.text(setmetatable({}, { __tostring = function() return 1 end })))
    local broken = setmetatable({}, { __tostring = true, __index = function() error "no" end })
    assert.equal("error value of type table, whose __tostring fails", errors.text(broken))
    assert.equal("m", errors.text(setmetatable({ message = "m" }, { __tostring = function() error "no" end })))
  end)
end)

describe("misuse", function()
  local skein = require "skein"

  -- The line of the caller, however deep the mistake is found, and with what was wrong.
  local function line_of_caller(call)
    local line = debug.getinfo(call, "S").linedefined + 1
    local ok, err = pcall(call)
    assert.is_false(ok)
    assert.is_string(err)
    assert.equal(("tests/spec/module_spec.lua:%d: "):format(line), err:match("^.-:%d+: "), err)
    return err:gsub("^.-:%d+: ", "")
  end

  it("is an error at the caller's line", function()
    assert.equal('skein.on: unknown event nil, expected "error", "death", "success" or "event"', line_of_caller(function()
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
    assert.equal('skein.admin.retry: option state is "daed", expected a state: scheduled, ready, running, retry, done, dead or cancelled',
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
    assert.equal(('skein.task "spec.twin" is declared already, at tests/spec/module_spec.lua:%d'):format(line), line_of_caller(function()
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
  local tasks = require "skein.tasks"

  it("are whole milliseconds, and never nothing for a little", function()
    assert.same({ 1500, 1, 1, 0 }, { tasks.ms(1.5), tasks.ms(0.0006), tasks.ms(1e-9), tasks.ms(0) })
    assert.is_nil(tasks.ms(nil))
  end)

  it("reach the record that the core gets", function()
    tasks.declare("spec.times", { timeout = 0.0001, keep = 2, expires = 0.25, retries = 0, dead = false, backoff = { 1 } }, function() end)
    local r = core.job(tasks.by_name["spec.times"].record)
    assert.same({ 1, 2000, 250, 0, 0, "list;1", "default" },
      { r.timeout_ms, r.keep_ms, r.expires_ms, r.retries, r.keep_dead, r.backoff, r.queue })
  end)
end)

describe("the C module", function()
  it("packs numbers within their range only", function()
    assert.same({ 255, -1, "s", -2 ^ 53, 19 }, { core.unpack("bisl", core.pack("bisl", 255, -1, "s", -2 ^ 53)) })
    assert.equal(4294967295, core.unpack("i", core.pack("i", 4294967295)) % 2 ^ 32)
    for fmt, value in pairs { b = 256, i = 2 ^ 32, l = 2 ^ 54 } do
      assert.has_error(function() core.pack(fmt, value) end, "pack: value 1 is out of range")
      assert.has_error(function() core.pack(fmt, 0 / 0) end, "pack: value 1 is out of range")
    end
    assert.has_error(function() core.pack("b", -1) end, "pack: value 1 is out of range")
    assert.has_error(function() core.pack("bb", 1) end, "pack: value 2 is missing")
    assert.has_error(function() core.unpack("l", "1234") end, "unpack: the bytes end too early")
    assert.has_error(function() core.unpack("b", "1", 3) end, "unpack: offset is past the end")
    assert.has_error(function() core.unpack("b", "1", 0) end, "unpack: offset is past the end")
  end)

  it("refuses record numbers that no field can hold", function()
    assert.has_error(function() core.record { timeout_ms = 2 ^ 63 } end, "record.timeout_ms: a whole number is expected")
    assert.has_error(function() core.record { timeout_ms = 0 / 0 } end, "record.timeout_ms: a whole number is expected")
    assert.has_error(function() core.record { priority = 2 ^ 31 } end, "record.priority: a whole number is expected")
    assert.has_error(function() core.record { task = {} } end, "record.task: a string is expected")
    assert.has_error(function() core.item({ task = 1 }, 0, 0, nil) end, "record.task: a string is expected")
    assert.has_error(function() core.item({ timeout_ms = 0 / 0 }, 0, 0, nil) end, "record.timeout_ms: a whole number is expected")
  end)

  it("makes of a job what a request has of it: the record, checked, and when it is due", function()
    local item, id = core.item({ task = "add", queue = "math", priority = 2, retries = 0 }, 12, 34, nil, 1, "two", nil)
    local record, due_ms, delay_ms, after = core.unpack("sll", item)
    assert.same({ 12, 34, #item + 1 }, { due_ms, delay_ms, after })
    local job = core.job(record)
    assert.same({ id, "add", "math", 2, 0, '[1,"two",null]' }, { job.id, job.task, job.queue, job.priority, job.retries, job.args })
    assert.is_true(math.abs(job.enqueued_ms / 1000 - core.now()) < 60)
    local _, own = core.item({ task = "add", queue = "math", id = "mine" }, 0, 0, nil)
    assert.equal("mine", own)
    local function refused(fields, ...) return select(2, core.item(fields, 0, 0, ...)) end
    assert.equal("args: 12 bytes of JSON, expected at most 11", refused({ task = "add", queue = "math" }, 11, "12345678"))
    assert.equal("args[1]: a function cannot be stored", refused({ task = "add", queue = "math" }, nil, print))
    assert.is_truthy(refused({ task = "a b", queue = "math" }):find("task", 1, true))
    assert.is_truthy(refused({ task = "add", queue = "math", meta = "[1]" }):find("meta: expected a JSON object", 1, true))
  end)

  it("gives ids that ascend", function()
    local last = ""
    for _ = 1, 1000 do
      local id = core.id()
      assert.equal(26, #id)
      assert.is_true(id > last)
      last = id
    end
  end)
end)
