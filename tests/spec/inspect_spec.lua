-- The processes that inspect a folder (lua/skein/inspect.lua): `skein check` and the reader of config.lua. Each call is
-- a program of its own, since the module takes stdout, print and the store away from the scripts.
local core = require "skein.core"
local files = require "tests.support.files"

describe("skein.inspect", function()
  local dir

  before_each(function() dir = files.temp_dir() end)
  after_each(function() files.remove(dir) end)

  -- Returns exit status, stdout and stderr of inspect[name]; the folder is "DIR" in them.
  local function run(name)
    files.write(dir .. ".program.lua", ("os.exit(require('skein.inspect').%s(%q, function(file) "
      .. "return true, file end))"):format(name, dir))
    local pipe = assert(io.popen(("luajit %s.program.lua 2>%s.err; echo $?"):format(dir, dir)))
    local out = pipe:read "*a"
    pipe:close()
    local err = files.read(dir .. ".err")
    files.remove(dir .. ".program.lua")
    files.remove(dir .. ".err")
    local text, status = out:match "^(.-)(%d+)\n$"
    local function short(s) return (s:gsub(dir:gsub("%p", "%%%0"), "DIR")) end
    return tonumber(status), short(text), short(err)
  end

  local function script(text) files.write(dir .. "/a.lua", text) end

  local DECLARES = "local skein = require 'skein'\n"
    .. "skein.task('add', { queue = 'math', priority = 1 }, print)\n"
    .. "skein.queue('math', { max_len = 5, overflow = 'block', block = 2, "
    .. "limit = { concurrency = 3, rate = 10, per = 60, burst = 2 } })\n"

  it("check prints tasks, queues and their settings, and the number of scripts", function()
    script(DECLARES)
    files.write(dir .. "/b.lua", "")
    local status, out, err = run "check"
    assert.same({ 0, "" }, { status, err })
    assert.matches("^task add +queue math +DIR/a%.lua:2\n", out)
    assert.matches("\nqueue math +max_len 5 block, concurrency 3, rate 10 per 60 s DIR/a%.lua:3\n", out)
    assert.matches("\n2 scripts, 1 task\n$", out)
  end)

  it("check reports every mistake once, and has no other output then", function()
    script("local skein = require 'skein'\nskein.task('a', { retires = 1 }, print)\nskein.queue('q', { max_len = 0 })\n"
      .. "skein.task('b', function() skein.enqeue('a') end)\npirnt()\n")
    files.write(dir .. "/b.lua", "local =")
    local status, out, err = run "check"
    assert.same({ 1, "" }, { status, out })
    for _, part in ipairs {
      'DIR/a%.lua:2: skein%.task "a": unknown option "retires"', "DIR/a%.lua:3: .*max_len is 0",
      'DIR/a%.lua:4: skein has no "enqeue"', "DIR/a%.lua:5: attempt to call global 'pirnt'", "DIR/b%.lua:1: ",
    } do
      assert.matches(part, err)
    end
    assert.equal(5, select(2, err:gsub("\n", "")))
  end)

  it("check reads the modules in lib too, and what scripts print goes to stderr", function()
    script "print('hello') io.write('there')"
    files.write(dir .. "/lib/m.lua", "return require('skein').slep")
    local status, out, err = run "check"
    assert.same({ 1, "" }, { status, out })
    assert.matches("hello\n", err)
    assert.matches("there", err)
    assert.matches('DIR/lib/m%.lua:1: skein has no "slep" %(did you mean "sleep"%?%)', err)
  end)

  it("check refuses requests of scripts to the store", function()
    script "require('skein').enqueue('add')"
    local status, _, err = run "check"
    assert.equal(1, status)
    assert.matches("DIR/a%.lua:1: jobs can be enqueued and looked at inside a job, not while scripts load", err)
  end)

  it("check_json prints the same as one object", function()
    script(DECLARES)
    local status, out, err = run "check_json"
    assert.same({ 0, "" }, { status, err })
    assert.same({
      scripts = { "DIR/a.lua" },
      tasks = { { name = "add", queue = "math", priority = 1, declared_at = "DIR/a.lua:2" } },
      queues = { { name = "math", max_len = 5, overflow = "block", block = 2, concurrency = 3, rate = 10, per = 60,
        burst = 2, declared_at = "DIR/a.lua:3" } },
    }, core.decode(out))
  end)

  it("check_json prints empty lists as arrays", function()
    local _, out = run "check_json"
    for _, key in ipairs { "scripts", "tasks", "queues" } do assert.matches('"' .. key .. '":%[%]', out) end
  end)

  describe("config", function()
    local function config(text)
      files.write(dir .. "/config.lua", text)
      return { run "config" }
    end

    it("prints the settings as lines, sorted by name", function()
      assert.same({ 0, "drain\ttrue\nlease\t2.5\nstore\tmemory:\nworkers\t4\n", "" },
        config "return { workers = 4, store = 'memory:', lease = 2.5, drain = true }")
    end)

    it("prints nothing for a folder without the file", function()
      assert.same({ 0, "", "" }, { run "config" })
    end)

    it("writes queues as skein run -q takes them", function()
      assert.same({ 0, "queues\tmail,default:2\n", "" }, config "return { queues = { 'mail', 'default:2' } }")
      assert.same({ 0, "queues\ta:1,b:3\n", "" }, config "return { queues = { b = 3, a = 1 } }")
      assert.same({ 0, "queues\tmail,a:1\n", "" }, config "return { queues = { 'mail', a = 1 } }")
    end)

    it("refuses what no setting can be, and names file, setting, value and expectation", function()
      for text, expected in pairs {
        ["return 5"] = "it must return a table of settings, not number",
        ["return { [1] = 'x' }"] = "a setting's name is 1, a string is expected",
        ["return { workers = print }"] = "setting workers is a function, a string or number is expected",
        ["return { workers = {} }"] = "setting workers is a table, a string or number is expected",
        ["return { store = 'a\\nb' }"] = "setting store holds a tab or a newline",
        ["return { ['a\\tb'] = 1 }"] = 'the setting\'s name "a?b" holds a tab or a newline',
        ["return { queues = { 1 } }"] = "setting queues: [1] is a number, a name is expected",
        ["return { queues = { a = 'x' } }"] = "setting queues: a is a string, a weight is expected",
        ["return { queues = { a = 0 / 0 } }"] = "setting queues: a is nan, a weight is expected",
        ["return { queues = { a = math.huge } }"] = "setting queues: a is inf, a weight is expected",
        ["return { queues = { 'a', [3] = 'c' } }"] =
          "setting queues: a list of names, or a table name = weight, is expected",
      } do
        local status, out, err = unpack(config(text))
        assert.same({ text, 1, "" }, { text, status, out })
        assert.equal("DIR/config.lua: " .. expected .. "\n", (err:gsub("is %-nan", "is nan")))
      end
    end)

    it("reports a mistake in the file with its line", function()
      assert.same({ 1, "", "DIR/config.lua:2: oops\n" }, config "\nerror 'oops'")
    end)
  end)
end)
