-- `skein check` finds the mistakes of scripts, with file and line, also in code that only jobs run; and it always ends.
local H = require "tests.system.harness"

local function check(t, options) return t:cli({ "check", t.scripts }, options) end

local function lines_of(text)
  local lines = {}
  for line in text:gmatch "[^\n]+" do lines[#lines + 1] = line:gsub("^[^:]*/scripts/", "") end
  table.sort(lines)
  return lines
end

describe("skein check", function()
  H.it("lists every mistake of every script", function(t)
    t:file("a.lua", [[
local skein = require "skein"
skein.task("one", { retires = 1 }, function() end)
skein.task("two", { timeout = -1 }, function() end)
skein.queue("q", { overflow = "drop" })
skein.on("deth", function() end)
error "at the end"
]])
    t:file("b.lua", "x = = 1\n")
    t:file("c.lua",
      'require("skein").task("one", function() end) local s = require "skein" s.task("one", function() end)')
    local result = check(t)
    assert.equal(1, result.code)
    assert.equal("", result.out)
    local lines = lines_of(result.err)
    local expected = { "^a.lua:2: .*retires.*did you mean", "^a.lua:3: .*timeout is %-1", "^a.lua:4: .*overflow",
      "^a.lua:5: .*deth",
      "^a.lua:6: at the end", "^b.lua:1: ", "^c.lua:1: .*declared already" }
    assert.equal(#expected, #lines, result.err)
    for i, pattern in ipairs(expected) do assert.matches(pattern, lines[i]) end
  end)

  H.it("knows the fields of skein, and looks into what only jobs run and into lib/", function(t)
    t:file("a.lua", [[
local queue, skein = require "lib1", require "skein"
local other = { skein = { enqeue = print } }
skein.task("x", function(job)
  skein.enqeue("y") -- skein.nothing
  skein.admin.pauze("q")
  local text = "skein.nothing" .. other.skein.enqeue
  return text, skein["nothing"], queue, skein.admin.jobs {}, skein.null
end)
]])
    t:file("lib/lib1.lua",
      'local s = require("skein")\nreturn function() return s.slep(1), require "skein".emqueue end\n')
    t:file("b.lua", "local function f(skein) return skein.anything end\nlocal skein = require 'skein'\nreturn f\n")
    local result = check(t)
    assert.equal(1, result.code)
    local lines = lines_of(result.err)
    assert.same({
      'a.lua:4: skein has no "enqeue" (did you mean "enqueue"?)',
      'a.lua:5: skein.admin has no "pauze" (did you mean "pause"?)',
      'lib/lib1.lua:2: skein has no "emqueue" (did you mean "enqueue"?)',
      'lib/lib1.lua:2: skein has no "slep" (did you mean "sleep"?)',
    }, lines)
  end)

  H.it("knows global names that are called or indexed and that nobody makes", function(t)
    t:file("a.lua", [[
local skein = require "skein"
function helper() return 1 end
skein.task("x", function()
  pirnt("x")
  helper() later()
  if ngx then ngx.log("x") end
  return stirng.format("%s", 1), json:encode(1), tostring(2)
end)
]])
    t:file("b.lua", "function later() end\n")
    local result = check(t)
    assert.equal(1, result.code)
    assert.same({
      'a.lua:4: no global is named "pirnt" (did you mean "print"?)',
      'a.lua:7: no global is named "json"',
      'a.lua:7: no global is named "stirng" (did you mean "string"?)',
    }, lines_of(result.err))
  end)

  H.it("ends on scripts that loop, even where they catch the error, names them, and looks at the others", function(t)
    t:file("a.lua", "local n = 0\nwhile true do\n  n = n + 1\nend\n")
    t:file("b.lua", "while true do\n  pcall(function() while true do end end)\nend\n")
    t:file("c.lua", "local function f() return f() end\nf()\n")
    t:file("d.lua", "error 'seen'\n")
    local result = check(t, { timeout = 40 })
    assert.equal(1, result.code)
    local lines = lines_of(result.err)
    assert.equal(4, #lines, result.err)
    assert.matches("^a.lua:[23]: the script has been loading for 4 s", lines[1])
    assert.matches("^b.lua:2: the script catches the error that ends it", lines[2])
    assert.matches("^c.lua:1: the script has been loading", lines[3])
    assert.matches("^d.lua:1: seen", lines[4])
  end)

  H.it("ends on a script that waits outside of Lua, and on a config.lua that loops", function(t)
    assert.equal(0, t:cli({ t.dir .. "/fifo" }, { program = "mkfifo" }).code)
    t:file("a.lua", ("io.open(%q)\n"):format(t.dir .. "/fifo")) -- nobody opens its other end
    local result = check(t, { timeout = 30 })
    assert.equal(1, result.code)
    assert.matches("a%.lua: the script has been loading for", result.err)
    t:file("a.lua", "")
    t:file("config.lua", "\nwhile true do end\n")
    result = check(t, { timeout = 30 })
    assert.equal(1, result.code)
    assert.matches("config%.lua:2: ", result.err)
  end)

  H.it("finds nothing wrong with the scripts that come with Skein", function(t)
    for _, name in ipairs(H.files.list(H.root .. "/scripts")) do
      if not name:find "%." then assert.equal(0, t:cli({ "check", H.root .. "/scripts/" .. name }).code, name) end
    end
  end)
end)

describe("a misspelt function of skein", function()
  H.it("is an error that suggests the right one, while scripts load and in a job", function(t)
    t:file("a.lua", 'local skein = require "skein"\n\nskein.enqeue("x")\n')
    local result = t:cli { "run", t.scripts, "-w", "1" }
    assert.equal(78, result.code)
    assert.matches('a%.lua:3: skein has no "enqeue" %(did you mean "enqueue"%?%)', result.err)
    t:file("a.lua",
      'local skein = require "skein"\nskein.task("x", { retries = 0 }, function()\n  skein.admin.jbos {}\nend)\n')
    t:enqueue "x"
    t:drain { "-w", "1" }
    local job = t:json("jobs", "--state", "dead")[1]
    assert.matches('a%.lua:3: skein.admin has no "jbos" %(did you mean "jobs"%?%)', job.error.message)
  end)
end)
