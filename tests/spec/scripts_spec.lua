-- The scripts of a folder (lua/skein/scripts.lua): which files they are, their order, and the mistakes in them.
local files = require "tests.support.files"
local middleware = require "skein.middleware"
local scripts = require "skein.scripts"
local uv = require "luv"

describe("scripts", function()
  local dir, path_before

  before_each(function()
    dir, path_before = files.temp_dir(), package.path
    _G.LOADED = {}
  end)

  after_each(function()
    files.remove(dir)
    package.path, _G.LOADED = path_before, nil
    middleware.reset()
  end)

  local function script(name, text)
    files.write(dir .. "/" .. name, text or ("LOADED[#LOADED + 1] = %q"):format(name))
  end

  -- The names of files without the folder.
  local function names(list)
    local short = {}
    for i, file in ipairs(list) do short[i] = file:sub(#dir + 2) end
    return short
  end

  local ALL = { "a.lua", "b/lib/x.lua", "b/spec/y.lua", "c.lua" }

  local function folder()
    for _, name in ipairs(ALL) do script(name) end
    for _, name in ipairs { "lib/z.lua", "spec/z_spec.lua", "config.lua", "_off.lua", ".hidden.lua", "_old/z.lua",
      "readme.txt", "z.lua.bak" } do
      script(name, "error 'it must not be loaded'")
    end
  end

  it("are the .lua files of the folder and its subfolders, in the order of names, without lib, spec and config.lua at "
    .. "the top and without names that begin with _ or .", function()
    folder()
    assert.same(ALL, names(assert(scripts.load(dir))))
    assert.same(ALL, _G.LOADED)
  end)

  it("are found in a path with a slash at its end", function()
    folder()
    assert.same(ALL, names(assert(scripts.load(dir .. "//"))))
  end)

  it("are found through links, and a link to a folder above is not followed", function()
    script "real/a.lua"
    assert(uv.fs_symlink(dir .. "/real", dir .. "/also"))
    assert(uv.fs_symlink(dir, dir .. "/real/up"))
    assert(uv.fs_symlink(dir .. "/none", dir .. "/dangling.lua"))
    assert.same({ "also/a.lua", "real/a.lua" }, names(assert(scripts.load(dir))))
  end)

  it("may be a single file, whose folder is where its modules are", function()
    script("one.lua", "LOADED[1] = require 'beside' LOADED[2] = require 'inside'")
    script("beside.lua", "return 'beside'")
    script("lib/inside.lua", "return 'inside'")
    finally(function() package.loaded.beside, package.loaded.inside = nil, nil end)
    assert.same({ "one.lua" }, names(assert(scripts.load(dir .. "/one.lua"))))
    assert.same({ "beside", "inside" }, _G.LOADED)
  end)

  it("of an empty folder are none, and a folder that is missing is an error that names it", function()
    assert.same({}, scripts.load(dir))
    local list, problem = scripts.load(dir .. "/none")
    assert.is_nil(list)
    assert.matches(dir .. "/none: ENOENT", problem, 1, true)
  end)

  it("with a mistake are nil and a message that begins with file and line", function()
    local function problem(text)
      script("a.lua", text)
      local list, message = scripts.load(dir)
      assert.is_nil(list)
      assert.equal(dir .. "/a.lua:", message:sub(1, #dir + 7))
      return message:sub(#dir + 8)
    end
    assert.matches("^2: .*'=' expected", problem "\nlocal x = 1 y")
    assert.equal("3: oops", problem "\n\nerror 'oops'")
    assert.equal("2: oops", problem "\nerror({ message = 'oops' })")
    assert.equal('1: skein.task "x": unknown option "retires" (did you mean "retries"?)',
      problem "require('skein').task('x', { retires = 1 }, print)")
  end)

  it("end at the first mistake", function()
    script("a.lua", "error 'oops'")
    script "b.lua"
    assert.is_nil((scripts.load(dir)))
    assert.same({}, _G.LOADED)
  end)

  it("must declare the tasks that their middleware names", function()
    script("a.lua", "require('skein').use(print, { tasks = 'nobody.declares.this' })")
    local list, problem = scripts.load(dir)
    assert.is_nil(list)
    assert.matches('a%.lua:1: skein%.use: no script declares the task "nobody%.declares%.this"', problem)
  end)

  it("and the modules in lib are the sources of a check", function()
    folder()
    script "lib/deep/w.lua"
    assert.same({ "a.lua", "b/lib/x.lua", "b/spec/y.lua", "c.lua", "lib/deep/w.lua", "lib/z.lua" },
      names(scripts.sources(dir)))
    assert.same({ "a.lua", "lib/deep/w.lua", "lib/z.lua" }, names(scripts.sources(dir .. "/a.lua")))
  end)
end)

describe("scripts.load_each", function()
  local dir, path_before, notes

  before_each(function() dir, path_before, notes = files.temp_dir(), package.path, {} end)

  after_each(function()
    files.remove(dir)
    package.path, _G.LOADED = path_before, nil
    middleware.reset()
  end)

  local function note(text) notes[#notes + 1] = text:gsub("^" .. dir:gsub("%p", "%%%0") .. "/", "") end

  it("goes on after a script with a mistake, and notes each", function()
    files.write(dir .. "/a.lua", "error 'oops'")
    files.write(dir .. "/b.lua", "local =")
    files.write(dir .. "/c.lua", "LOADED = true")
    files.write(dir .. "/d.lua", "require('skein').use(print, { tasks = 'nobody.declares.this' })")
    local begun = {}
    local list = scripts.load_each(dir, function(file)
      begun[#begun + 1] = file and file:sub(#dir + 2) or "end"
      return true
    end, note)
    assert.same({ 4, 3, true }, { #list, #notes, _G.LOADED })
    assert.equal("a.lua:1: oops", notes[1])
    assert.matches("^b%.lua:1: ", notes[2])
    assert.matches('^d%.lua:1: skein%.use: no script declares the task "nobody%.declares%.this"', notes[3])
    assert.same({ "a.lua", "end", "b.lua", "end", "c.lua", "end", "d.lua", "end" }, begun)
  end)

  it("ends when there is no time left, and names the script that was not looked at", function()
    files.write(dir .. "/a.lua", "LOADED = 'a'")
    files.write(dir .. "/b.lua", "LOADED = 'b'")
    scripts.load_each(dir, function(file) return file ~= dir .. "/b.lua" end, note)
    assert.same({ "b.lua: not looked at: the scripts before it took too long to load" }, notes)
    assert.equal("a", _G.LOADED)
  end)

  it("leaves a script that was left in the middle, and says where", function()
    files.write(dir .. "/a.lua", "coroutine.yield()")
    scripts.load_each(dir, function(file) return file and true, not file and "a.lua:7" end, note)
    assert.same({ "a.lua:7: the script catches the error that ends it and never ends: it must not loop while it "
      .. "loads" }, notes)
  end)

  it("notes a folder that is missing", function()
    assert.same({}, scripts.load_each(dir .. "/none", function() return true end, note))
    assert.matches("^none: ENOENT", notes[1])
  end)
end)

describe("scripts.read", function()
  local dir

  before_each(function() dir = files.temp_dir() end)
  after_each(function() files.remove(dir) end)

  local function read(text, fn)
    files.write(dir .. "/config.lua", text)
    local value, problem = scripts.read(dir .. "/config.lua", fn or function(v) return v end)
    return value, problem and problem:gsub(dir:gsub("%p", "%%%0") .. "/", "")
  end

  it("returns what the reader makes of the file's value", function()
    assert.equal(14, (read("return 7", function(v) return v * 2 end)))
  end)

  it("returns nil and a message for a mistake in the file, and for one that the reader finds", function()
    assert.same({ nil, "config.lua:2: oops" }, { read "\nerror 'oops'" })
    assert.matches("^config%.lua:1: ", select(2, read "return ="))
    assert.same({ nil, "config.lua: it must return a table" },
      { read("return 7", function() error("config.lua: it must return a table", 0) end) })
  end)
end)

describe("scripts.install_print", function()
  it("makes print write one line, with tabs, of the texts of its values", function()
    local before, lines = print, {}
    finally(function() _G.print = before end)
    scripts.install_print(function(line) lines[#lines + 1] = line end)
    print("a", nil, 1.5, true)
    print()
    assert.has_error(function() print(setmetatable({}, { __tostring = function() return 1 end })) end)
    _G.print = before
    assert.same({ "a\tnil\t1.5\ttrue", "" }, lines)
  end)
end)
