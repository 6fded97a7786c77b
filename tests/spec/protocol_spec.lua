-- docs/PROTOCOL.md says of the record, the keys and the limits what the code says.
local core = require "skein.core"
local files = require "tests.support.files"

local PAGE = assert(files.read "docs/PROTOCOL.md")

-- The rows of the table whose head begins with `head`, each a list of cells; backquotes are taken off.
local function rows_of(head)
  local at = assert(PAGE:find("\n" .. head, 1, true), head)
  local rows = {}
  for line in PAGE:sub(at + 1):gmatch "([^\n]*)\n" do
    if line:sub(1, 1) ~= "|" then break end
    local cells = {}
    for cell in line:gmatch "|%s*([^|]-)%s*%f[|]" do cells[#cells + 1] = (cell:gsub("^`(.*)`$", "%1")) end
    rows[#rows + 1] = cells
  end
  return { unpack(rows, 3) }
end

local function quoted(text)
  local list = {}
  for word in text:gmatch '"([^"]*)"' do list[#list + 1] = word end
  return list
end

local function column(rows, i)
  local list = {}
  for n, row in ipairs(rows) do list[n] = row[i] end
  return list
end

describe("docs/PROTOCOL.md", function()
  local fields = rows_of "| tag | field |"

  it("lists the fields of core/logic/record.c, all of them, by tag and type", function()
    local TYPES = { TEXT = "text", INT64 = "number", INT32 = "number", ZIGZAG32 = "zigzag", KIND = "number" }
    local source = assert(files.read "core/logic/record.c"):match "FIELDS%[%] = (%b{})"
    local n = 0
    for kind, name in source:gmatch "F%((%w+), ([%w_]+)," do
      n = n + 1
      local row = assert(fields[n], name .. " is not documented")
      local stored = (row[3] == "json" or row[3] == "bytes") and "text" or row[3]
      assert.same({ tostring(n), name, TYPES[kind] }, { row[1], row[2], stored })
    end
    assert.is_true(n > 20)
    assert.equal(n, #fields)
  end)

  it("describes the bytes that the encoder writes and reads", function()
    local function record(tag, value) return "S\1" .. string.char(tag, #value) .. value end
    for _, row in ipairs(fields) do
      local tag, name, kind = tonumber(row[1]), row[2], row[3]
      if name == "error_kind" then -- only engines write it
        assert.equal("timeout", core.job(record(tag, "\2"))[name])
      elseif kind == "zigzag" then
        assert.equal(record(tag, "\3"), core.record { [name] = -2 })
        assert.equal(record(tag, "\4"), core.record { [name] = 2 })
      elseif kind == "number" then
        assert.equal(record(tag, "\44\1"), core.record { [name] = 300 })
        assert.equal(300, core.job(record(tag, "\44\1"))[name])
      else
        assert.equal(record(tag, "[1]"), core.record { [name] = "[1]" })
        assert.equal("[1]", core.job(record(tag, "[1]"))[name])
      end
    end
    assert.equal("S\1\8\0", core.record { retries = 0 })
    local long = ("x"):rep(300)
    assert.equal("S\1\4\172\2" .. long, core.record { args = long })
  end)

  it("names the kinds of errors", function()
    local kinds = rows_of "| error_kind |"
    for _, row in ipairs(kinds) do
      assert.equal(row[2], core.job("S\1\22\1" .. string.char(tonumber(row[1]))).error_kind)
    end
    assert.is_nil(core.job("S\1\22\1" .. string.char(#kinds + 1)).error_kind:match("^" .. kinds[#kinds][2] .. "$"))
    assert.equal("error", core.job("S\1\22\1" .. string.char(#kinds + 1)).error_kind) -- as every unknown one
  end)

  it("names the keys in the order of core/store/redis/command.c", function()
    local source = assert(files.read "core/store/redis/command.c")
    local keys = rows_of "| KEYS | key | type | holds |\n|---|---|---|---|\n| 1 |"
    assert.same(quoted(source:match "store_keys%[%] = (%b{})"), column(keys, 2))
    keys = rows_of "| KEYS | key | type | holds |\n|---|---|---|---|\n| +1 |"
    assert.same(quoted(source:match "queue_keys%[%] = (%b{})"), column(keys, 2))
  end)

  it("describes the format that core/store/redis/redis.h writes", function()
    local format = assert(files.read "core/store/redis/redis.h"):match 'RD_FORMAT "(%d+)"'
    assert.equal(format, PAGE:match "This page describes format `(%d+)`")
  end)

  it("gives the limits of core/base/limits.h", function()
    local source = assert(files.read "core/base/limits.h")
    local limits = rows_of "| limit |"
    assert.is_true(#limits > 5)
    for _, row in ipairs(limits) do
      local define = "#define " .. row[3]
      local text = assert(source:match(define .. " (%b())") or source:match(define .. " (%d+)"), row[3])
      local value = assert(loadstring("return " .. text))()
      assert.equal(tonumber(row[1]), value, row[3])
    end
  end)
end)
