-- Unknown names in scripts, found without running them (lua/skein/scan.lua).
local scan = require "skein.scan"

local MODULE = {
  task = print, enqueue = print, sleep = print, null = false,
  admin = { pause = print, jobs = print },
}

-- "line: message" of each finding.
local function told(list)
  local texts = {}
  for i, one in ipairs(list) do texts[i] = one.line .. ": " .. one.message end
  return texts
end

describe("scan.fields", function()
  local function found(source) return told(scan.fields(source, MODULE)) end

  local UNKNOWN = '1: skein has no "enqeue" (did you mean "enqueue"?)'

  it("names line and field, and suggests the nearest", function()
    assert.same({ '3: skein has no "enqeue" (did you mean "enqueue"?)', '4: skein has no "frobnicate"' },
      found 'local skein = require "skein"\nskein.enqueue()\nskein.enqeue()\nskein.frobnicate()\n')
  end)

  it("knows the module in every way that a script gets it", function()
    for _, source in ipairs {
      'require "skein".enqeue()', "require('skein').enqeue()", "require [[skein]].enqeue()",
      "local s = require 'skein' s.enqeue()", "s = require('skein'); s.enqeue()",
      "local a, s = f(1, { 2, 3 }), require 'skein' s.enqeue()", "local s, a = require 'skein', 1 return s . enqeue",
    } do
      assert.same({ source, UNKNOWN }, { source, found(source)[1] })
    end
  end)

  it("looks into skein.admin", function()
    assert.same({ '2: skein.admin has no "pauze" (did you mean "pause"?)' },
      found 'local skein = require "skein"\nskein.admin.pauze("q")\nskein.admin.pause("q")')
  end)

  it("knows a field whose value is false", function()
    assert.same({}, found 'return require("skein").null')
  end)

  it("leaves alone text, comments, other tables, and fields that the script sets", function()
    for _, source in ipairs {
      'local skein = require "skein" -- skein.enqeue()', 'local skein = require "skein" --[[ skein.enqeue()\n ]]',
      'local skein = require "skein" return "skein.enqeue()"',
      'local skein = require "skein" return [==[skein.enqeue]==]',
      'local skein = require "skein" return my.skein.enqeue', 'local skein = require "skein" skein.enqeue = 1',
      'local other = require "other" other.enqeue()', 'local skein = require "skein".enqueue skein.enqeue()',
      "skein.enqeue()",
    } do
      assert.same({ source }, { source, found(source)[1] })
    end
  end)

  it("leaves alone a name that the script declares for something else as well", function()
    for _, source in ipairs {
      'local s = require "skein" local function f(s) s.enqeue() end',
      'local s = require "skein" for _, s in f() do s.enqeue() end',
      'local s = require "skein" do local s = {} s.enqeue() end',
    } do
      assert.same({ source }, { source, found(source)[1] })
    end
  end)

  it("counts the lines of long strings and comments", function()
    assert.same({ '5: skein has no "enqeue" (did you mean "enqueue"?)' },
      found 'local skein = require "skein" --[[\n]] local t = [[\n\n]] .. "a\\\nb" skein.enqeue()')
  end)

  it("reads to the end a text that no Lua is", function()
    for _, source in ipairs {
      'require "skein', "[[", "--[==[", '"\\', "local = require 'skein'", "local require 'skein'.",
    } do
      assert.same({}, found(source))
    end
  end)
end)

describe("scan.globals", function()
  local globals = { print = print, string = string, require = require }

  local function found(...)
    local chunks = {}
    for i, source in ipairs { ... } do chunks[i] = { file = i .. ".lua", fn = assert(loadstring(source)) } end
    local list = scan.globals(chunks, globals)
    for _, one in ipairs(list) do one.message = one.file .. " " .. one.message end
    return told(list)
  end

  it("names file, line and global that is called or indexed, and suggests the nearest", function()
    assert.same({ '2: 1.lua no global is named "pirnt" (did you mean "print"?)' }, found "print(1)\npirnt(2)")
    assert.same({ '1: 1.lua no global is named "stirng" (did you mean "string"?)' }, found "return stirng.format")
    assert.same({ '1: 2.lua no global is named "frobnicate"' }, found("", "return frobnicate[1]"))
  end)

  it("finds every form of a call and of an index", function()
    for _, source in ipairs {
      "lost()", "lost(1)", "return lost(1, 2)", "local a = lost() return a", "f = lost(print())",
      "return lost(print())",
      "return lost.a", "return lost[1]", "local k = 'a' return lost[k]", "lost.a.b = 1", "lost:method()",
    } do
      assert.same({ source, '1: 1.lua no global is named "lost"' }, { source, found(source)[1] })
    end
  end)

  it("looks into functions inside functions", function()
    assert.same({ '3: 1.lua no global is named "lost"' },
      found "return function()\n  return function()\n    lost()\n  end\nend")
  end)

  it("leaves alone a global that any of the scripts sets", function()
    assert.same({}, found("helper()", "function helper() end"))
  end)

  it("leaves alone a global that the script tests, or only reads", function()
    assert.same({}, found "if ngx then ngx.say('x') end")
    assert.same({}, found "local a = lost return a")
    assert.same({}, found "print(lost)")
  end)

  it("says nothing where the global table has a metatable, since names may come from it", function()
    globals = setmetatable({ print = print }, {})
    finally(function() globals = { print = print, string = string, require = require } end)
    assert.same({}, found "pirnt(2)")
  end)
end)
