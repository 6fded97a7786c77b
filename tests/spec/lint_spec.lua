-- tests/lint_includes.sh finds what it is there for.
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
