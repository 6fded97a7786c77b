-- tests/lint_includes.sh and tests/lint_calls.lua find the mistakes that they are there for.
local files = require "tests.support.files"

describe("lint_includes.sh", function()
  local dir

  before_each(function() dir = files.temp_dir() end)
  after_each(function() files.remove(dir) end)

  local function said()
    local pipe = assert(io.popen(("tests/lint_includes.sh %s 2>&1; echo exit $?"):format(dir)))
    local text = pipe:read "*a"
    pipe:close()
    return text
  end

  it("takes includes that point downward or sideways", function()
    files.write(dir .. "/core/app/main.c", '#include <stdio.h>\n#include "base/str.h"\n#include "lua/worker.h"\n')
    files.write(dir .. "/core/io/loop.c", '#include <uv.h>\n#include "io/loop.h"\n#include "logic/job.h"\n')
    files.write(dir .. "/core/store/sqlite/db.c", "#include <sqlite3.h>\n")
    files.write(dir .. "/core/lua/vm.c", "#include <lua.h>\n#include <lauxlib.h>\n")
    assert.equal("exit 0\n", said())
  end)

  it("names file and line of one that points upward, and of a library's header outside of its rooms", function()
    files.write(dir .. "/core/base/buf.c", '#include "base/buf.h"\n# include "logic/job.h"\n')
    files.write(dir .. "/core/engine/a.c", '#include <uv.h>\n#include "lua/vm.h"\n#include <lua.h>\n')
    files.write(dir .. "/core/store/memory/memory.c", "\n#include <sqlite3.h>\n#include <hiredis/hiredis.h>\n")
    files.write(dir .. "/core/misc/x.c", "")
    local text = said()
    assert.matches("core/base/buf%.c:2: base includes logic, which is above it\n", text)
    assert.matches("core/engine/a%.c:1: uv", text)
    assert.matches("core/engine/a%.c:2: engine includes lua, which is above it\n", text)
    assert.matches("core/engine/a%.c:3: ", text)
    assert.matches("core/store/memory/memory%.c:2: sqlite3", text)
    assert.matches("core/store/memory/memory%.c:3: hiredis", text)
    assert.matches("core/misc/: not a layer", text)
    assert.matches("7 mistakes\nexit 1\n", text)
  end)

  it("counts lines: 799 are fine, 800 are not", function()
    files.write(dir .. "/core/base/a.c", ("\n"):rep(799))
    assert.equal("exit 0\n", said())
    files.write(dir .. "/core/base/a.c", ("\n"):rep(800))
    assert.matches("core/base/a%.c:800: 800 lines", said())
  end)
end)

describe("lint_calls.lua", function()
  local dir

  before_each(function() dir = files.temp_dir() end)
  after_each(function() files.remove(dir) end)

  local function said(...)
    local args = table.concat({ dir, ... }, " ")
    local pipe = assert(io.popen(("luajit tests/lint_calls.lua %s 2>&1; echo exit $?"):format(args)))
    local text = pipe:read "*a"
    pipe:close()
    return text
  end

  local function write(path, ...) files.write(dir .. "/" .. path, table.concat({ ... }, "\n") .. "\n") end

  local function c_function(name, lines_n, call)
    return ("void %s(void) {\n%s%s}"):format(name, ("\n"):rep(lines_n - 3), call and "  " .. call .. "();\n" or "\n")
  end

  it("takes calls that go one way, also around a folder, and names of functions in comments and strings", function()
    write("core/base/a.c", c_function("sk_a_go", 5, "sk_b_go"), "/* sk_c_go() calls this. */")
    write("core/base/b.c", c_function("sk_b_go", 5, "sk_c_go"), "static const char *text = \"sk_a_go()\";")
    write("core/base/c.c", c_function("sk_c_go", 5))
    write("core/logic/d.c", c_function("sk_d_go", 5, "sk_a_go"))
    assert.equal("exit 0\n", said())
  end)

  it("names the files and the calls of a circle", function()
    write("core/engine/a.c", c_function("sk_a_go", 5, "sk_b_go"))
    write("core/engine/b.c", c_function("sk_b_go", 5, "sk_c_go"))
    write("core/engine/c.c", c_function("sk_c_go", 5, "sk_a_back"), c_function("sk_c_back", 5))
    write("core/engine/d.c", c_function("sk_d_go", 5, "sk_a_go"))
    local before = assert(files.read(dir .. "/core/engine/a.c"))
    files.write(dir .. "/core/engine/a.c", before .. c_function("sk_a_back", 3) .. "\n")
    local text = said()
    assert.matches("core/engine: 3 files call each other in a circle:\n", text)
    assert.matches("    a%.c to b%.c: sk_a_go %-> sk_b_go\n", text)
    assert.matches("    c%.c to a%.c: sk_c_go %-> sk_a_back\n", text)
    assert.is_nil(text:find("d.c", 1, true))
    assert.matches("1 mistakes\nexit 1\n", text)
  end)

  it("finds a circle inside a store, and none between two", function()
    write("core/store/memory/a.c", c_function("sk_a_go", 5, "sk_b_go"))
    write("core/store/sqlite/b.c", c_function("sk_b_go", 5, "sk_a_go"))
    assert.equal("exit 0\n", said())
    write("core/store/memory/b.c", c_function("sk_b_go", 5, "sk_a_go"))
    os.remove(dir .. "/core/store/sqlite/b.c")
    assert.matches("core/store/memory: 2 files call each other", said())
  end)

  it("counts the lines of a function: 60 are fine, 61 are not", function()
    write("core/io/a.c", c_function("sk_a_go", 60))
    assert.equal("exit 0\n", said())
    write("core/io/a.c", "", c_function("sk_a_go", 61))
    assert.matches("core/io/a%.c:2: sk_a_go has 61 lines, at most 60\n.*exit 1\n", said())
  end)

  it("counts columns, a character of several bytes as one: 120 are fine, 121 are not", function()
    write("lua/a.lua", "-- " .. ("é"):rep(117))
    assert.equal("exit 0\n", said())
    write("lua/a.lua", "", "-- " .. ("é"):rep(118))
    assert.matches("lua/a%.lua:2: 121 columns, at most 120\n.*exit 1\n", said())
    os.remove(dir .. "/lua/a.lua")
    write("tests/unit/a_test.c", "/* " .. ("x"):rep(118) .. " */")
    assert.matches("tests/unit/a_test%.c:1: 124 columns", said())
  end)

  it("counts the lines of a file in every folder: 799 are fine, 800 are not", function()
    write("tests/a.lua", ("\n"):rep(798))
    assert.equal("exit 0\n", said())
    write("tests/a.lua", ("\n"):rep(799))
    assert.matches("tests/a%.lua:800: 800 lines;.*exit 1\n", said())
  end)

  it("counts the lines of a Redis script with its parts: 600 are fine, 601 are not", function()
    write("core/store/redis/embed_scripts.lua", [[ io.write(io.open(arg[2]):read "*a", ("\n"):rep(598)) ]])
    write("core/store/redis/scripts/a.lua", "return 1", "")
    assert.equal("exit 0\n", said())
    write("core/store/redis/scripts/a.lua", "return 1", "", "")
    assert.matches("scripts/a%.lua:1: 601 lines when assembled, at most 600\n.*exit 1\n", said())
  end)

  it("says nothing of the folders that it is told to pass over", function()
    write("core/io/a.c", c_function("sk_a_go", 61))
    assert.matches("exit 1\n", said("core/i", "core/engine"))
    assert.equal("exit 0\n", said("core/engine", "core/io"))
  end)
end)
