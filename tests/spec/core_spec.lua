-- The C module skein.core (core/lua): packing, records, items of a request, ids.
local core = require "skein.core"

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
    assert.has_error(function() core.record { timeout_ms = 2 ^ 63 } end,
      "record.timeout_ms: a whole number is expected")
    assert.has_error(function() core.record { timeout_ms = 0 / 0 } end, "record.timeout_ms: a whole number is expected")
    assert.has_error(function() core.record { priority = 2 ^ 31 } end, "record.priority: a whole number is expected")
    assert.has_error(function() core.record { task = {} } end, "record.task: a string is expected")
    assert.has_error(function() core.item({ task = 1 }, 0, 0, nil) end, "record.task: a string is expected")
    assert.has_error(function() core.item({ timeout_ms = 0 / 0 }, 0, 0, nil) end,
      "record.timeout_ms: a whole number is expected")
  end)

  it("makes of a job what a request has of it: the record, checked, and when it is due", function()
    local item, id = core.item({ task = "add", queue = "math", priority = 2, retries = 0 }, 12, 34, nil, 1, "two", nil)
    local record, due_ms, delay_ms, after = core.unpack("sll", item)
    assert.same({ 12, 34, #item + 1 }, { due_ms, delay_ms, after })
    local job = core.job(record)
    assert.same({ id, "add", "math", 2, 0, '[1,"two",null]' },
      { job.id, job.task, job.queue, job.priority, job.retries, job.args })
    assert.is_true(math.abs(job.enqueued_ms / 1000 - core.now()) < 60)
    local _, own = core.item({ task = "add", queue = "math", id = "mine" }, 0, 0, nil)
    assert.equal("mine", own)
    local function refused(fields, ...) return select(2, core.item(fields, 0, 0, ...)) end
    assert.equal("args: 12 bytes of JSON, expected at most 11",
      refused({ task = "add", queue = "math" }, 11, "12345678"))
    assert.equal("args[1]: a function cannot be stored", refused({ task = "add", queue = "math" }, nil, print))
    assert.is_truthy(refused({ task = "a b", queue = "math" }):find("task", 1, true))
    local problem = refused { task = "add", queue = "math", meta = "[1]" }
    assert.is_truthy(problem:find("meta: expected a JSON object", 1, true))
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
