-- harness.lua - one test against the real binary: a temporary directory, a store, scripts, engines and commands as
-- children.
--
--   H.it("runs a job", function(t)
--     t:script("a.lua", [[ skein.task("add", function(job, a, b) fx("added", a + b) return a + b end) ]])
--     t:run { "-w", "1" }
--     t:enqueue("add", 1, 2)
--     assert.same({ { "3" } }, t:wait_effects("added", 1))
--   end)
--
-- Jobs leave effects: fx(name, ...) in a script appends one line of tab-separated fields to a file, with one write, so
-- that what ran is counted without trusting the engine.  `skein` and `fx` are local in every script that t:script
-- writes. A test's processes are killed at its end, passed or failed; the directory stays when it failed, with the
-- engines' logs.
--
-- SKEIN names the binary (build/release/skein), SKEIN_TEST_STORE the store (sqlite).
local cjson = require "cjson"
local uv = require "luv"
local files = require "tests.support.files"
local process = require "tests.support.process"
local proxy = require "tests.support.proxy"
local redis = require "tests.support.redis"
local wait = require "tests.support.wait"

local busted = require "busted"
local H = { files = files, process = process, redis = redis, wait = wait, null = cjson.null }

H.root = assert(uv.fs_realpath(debug.getinfo(1, "S").source:match "^@(.*)/tests/system/[^/]*$" or "."))
H.skein = os.getenv "SKEIN" or (H.root .. "/build/release/skein")
H.lua_module = H.skein:match "^(.*)/[^/]*$" .. "/lua"
H.store = os.getenv "SKEIN_TEST_STORE" or "sqlite"

-- One Redis for the whole run; each test has a database of its own.
local DATABASES = 10000
local shared_redis, tests_n = nil, 0

local function redis_url(t)
  if not shared_redis then
    local dir = files.temp_dir()
    shared_redis = redis.start { dir = dir, config = { "databases " .. DATABASES, "maxmemory-policy noeviction" } }
    busted.subscribe({ "suite", "end" }, function()
      shared_redis:close()
      files.remove(dir)
      return nil, true
    end)
  end
  tests_n = tests_n + 1
  t.redis, t.db = shared_redis, tests_n
  return shared_redis:url(t.db)
end

local STORE_URLS = {
  sqlite = function(t) return "sqlite:" .. t.dir .. "/jobs.db" end,
  redis = redis_url,
}

-- Every process of a test inherits this variable, with the test's directory as its value.
local MARK = "SKEIN_TEST_DIR"

-- Nothing of the caller's environment may change what a test sees.
local OURS = { "SKEIN_STORE", "REDIS_URL", "WORKERS", "QUEUES", "SKEIN_CONCURRENCY", "SKEIN_HTTP",
  "SKEIN_SHUTDOWN_TIMEOUT",
               "LOG_LEVEL", "LOG_FORMAT", "LUA_PATH", "LUA_CPATH", "LUA_INIT" }

local function environment(extra)
  local env = uv.os_environ()
  for _, name in ipairs(OURS) do env[name] = nil end
  for name, value in pairs(extra or {}) do env[name] = value or nil end
  return env
end

--- Wall-clock seconds, as skein.now() in a script.
function H.now()
  local s, us = uv.gettimeofday()
  return s + us / 1e6
end

--- A TCP port of the loopback address that nobody listens on.
H.free_port = redis.free_port

-- -- log lines -------------------------------------------------------------------------------------------------------

--- { at, level, message, facts, text } of a text log line; nil for what is none.
function H.parse_log(line)
  local y, mo, d, h, mi, s, level, rest = line:match "^(%d+)-(%d+)-(%d+)T(%d+):(%d+):([%d.]+)Z (%u+) +(.*)$"
  if not y then return nil end
  local facts = {}
  for key, value in rest:gmatch ' ([%w_]+)=(%b"")' do facts[key] = value:sub(2, -2) end
  for key, value in rest:gmatch ' ([%w_]+)=([^%s"]+)' do facts[key] = facts[key] or value end
  local noon = os.time { year = y, month = mo, day = d, hour = 12 }
  local shift = os.difftime(noon, os.time(os.date("!*t", noon)))
  local at = os.time { year = y, month = mo, day = d, hour = h, min = mi, sec = 0, isdst = false } + shift + tonumber(s)
  return { at = at, level = level, message = rest:gsub(" [%w_]+=.*$", ""), facts = facts, text = line }
end

-- -- an engine -------------------------------------------------------------------------------------------------------

local Engine = {}
Engine.__index = Engine

--- The log so far, a parsed line each; lines that continue a message (tracebacks) are added to its text.
function Engine:log()
  local lines = {}
  for line in self.child.stderr:gmatch "([^\n]*)\n" do
    local parsed = H.parse_log(line)
    if parsed then lines[#lines + 1] = parsed
    elseif #lines > 0 then lines[#lines].text = lines[#lines].text .. "\n" .. line end
  end
  return lines
end

--- Log lines whose text matches a Lua pattern.
function Engine:logged(pattern)
  local found = {}
  for _, line in ipairs(self:log()) do
    if line.text:find(pattern) then found[#found + 1] = line end
  end
  return found
end

function Engine:wait_log(pattern, timeout_s)
  return self.test:wait_for("a log line like " .. pattern, timeout_s or 5,
    function() return self:logged(pattern)[1] end)
end

--- pids of its living workers.
function Engine:workers() return process.children(self.child.pid) end

function Engine:signal(name) self.child:signal_with(name) end

--- Waits for its end, which is now expected, and returns the exit code.
function Engine:wait_exit(timeout_s)
  self.may_end = true
  return self.child:wait(timeout_s or 10)
end

--- TERM, and the exit code.
function Engine:stop(timeout_s)
  self.may_end = true
  self:signal "sigterm"
  return self:wait_exit(timeout_s)
end

--- kill -9 of the core alone; returns what /proc said of its workers just before.
function Engine:kill_core()
  self.may_end = true
  local workers = {}
  for _, pid in ipairs(self:workers()) do workers[#workers + 1] = process.stat(pid) end
  self.child:stop_hard()
  return workers
end

local function still_there(stat)
  local now = process.stat(stat.pid)
  return now and now.started == stat.started and now.state ~= "Z"
end
H.still_there = still_there

-- -- a test ----------------------------------------------------------------------------------------------------------

local Test = {}
Test.__index = Test

local EFFECTS = [[
-- Appends one line to %s/NAME, with one write; control bytes become question marks.
return function(name, ...)
  local fields = { ... }
  for i = 1, select("#", ...) do
    fields[i] = type(fields[i]) == "number" and ("%%.17g"):format(fields[i]) or tostring(fields[i]):gsub("%%c", "?")
  end
  local file = assert(io.open("%s/" .. name, "a"))
  file:write(table.concat(fields, "\t") .. "\n")
  file:close()
end
]]

local function new_test()
  local t = setmetatable({ engines = {}, children = {}, effect_files = {}, at_end = {} }, Test)
  t.dir = files.temp_dir()
  t.scripts, t.effects_dir = t.dir .. "/scripts", t.dir .. "/effects"
  files.make_dirs(t.effects_dir)
  files.write(t.scripts .. "/lib/effects.lua", EFFECTS:format(t.effects_dir, t.effects_dir))
  t.url = (STORE_URLS[H.store] or error("SKEIN_TEST_STORE=" .. H.store .. ": no such store"))(t)
  t.env = { SKEIN_STORE = t.url, [MARK] = t.dir }
  return t
end

--- Writes a script whose first line also has the locals skein, fx, ffi and pid, so that line numbers are those of
-- `text`.
function Test:script(name, text)
  self:file(name,
    'local skein, fx, ffi = require "skein", require "effects", require "ffi" ffi.cdef "int getpid(void);" '
    .. "local pid = ffi.C.getpid() local _ = skein, fx, ffi, pid " .. text)
end

--- Writes a file below the scripts' directory as it is.
function Test:file(name, text) files.write(self.scripts .. "/" .. name, text) end

function Test:config(text) self:file("config.lua", "return " .. text) end

-- An engine that ended unasked explains any wait better than the wait's own words.
function Test:check_engines()
  for _, engine in ipairs(self.engines) do
    local child = engine.child
    if not engine.may_end and not child:running() then
      engine.may_end = true
      error(("the engine (pid %d) ended unasked: exit code %d, signal %d"):format(child.pid, child.code, child.signal),
        0)
    end
  end
end

function Test:wait_for(what, timeout_s, predicate)
  return wait.wait_for(what, timeout_s, function()
    local value = predicate()
    if not value then self:check_engines() end
    return value
  end)
end

--- Starts `skein run SCRIPTS args...`; env is added to the environment.  With ready = true (the default unless --drain
-- is
--- given) it returns when a worker has loaded the scripts and the store knows the tasks.
function Test:run(args, options)
  options = options or {}
  args = args or {}
  local argv, drain = { "run", options.dir or self.scripts }, false
  for _, arg in ipairs(args) do
    argv[#argv + 1] = arg
    drain = drain or arg == "--drain"
  end
  local env = environment(self.env)
  for name, value in pairs(options.env or {}) do env[name] = value or nil end
  local child = process.start(options.program or H.skein, {
    args = options.program and options.wrap(argv) or argv, env = env, cwd = options.cwd or self.dir, name = "skein run",
  })
  local engine = setmetatable({ child = child, test = self, may_end = drain or options.may_end }, Engine)
  self.engines[#self.engines + 1] = engine
  if options.ready ~= false and not engine.may_end then engine:wait_log("serving %d+ task", 5) end
  return engine
end

--- Runs an engine with --drain to its end and returns exit code (0, or 1 when a job died) and engine.
function Test:drain(args, timeout_s)
  local argv = { "--drain" }
  for _, arg in ipairs(args or {}) do argv[#argv + 1] = arg end
  local engine = self:run(argv)
  local code = engine:wait_exit(timeout_s or 20)
  if code > 1 then error("skein run --drain: exit code " .. code, 2) end
  return code, engine
end

--- Starts a command without waiting for it.
function Test:start(args, options)
  options = options or {}
  local env = environment(self.env)
  for name, value in pairs(options.env or {}) do env[name] = value or nil end
  local child = process.start(options.program or H.skein, {
    args = args, env = env, cwd = options.cwd or self.dir, stdin = options.stdin,
    name = (options.program or "skein") .. " " .. tostring(args[1]),
  })
  self.children[#self.children + 1] = child
  return child
end

--- Runs a command to its end: { code, out, err }.
function Test:cli(args, options)
  local child = self:start(args, options)
  local code = child:wait(options and options.timeout or 20)
  return { code = code, out = child.stdout, err = child.stderr }
end

--- Runs a command that must succeed and returns its output without the last newline.
function Test:ok(...)
  local result = self:cli { ... }
  if result.code ~= 0 then
    error(("skein %s: exit code %d\n%s%s"):format(table.concat({ ... }, " "), result.code, result.out, result.err), 2)
  end
  return (result.out:gsub("\n$", ""))
end

--- Runs a reading command with --json and returns what it printed, decoded.
function Test:json(...)
  local args = { ... }
  args[#args + 1] = "--json"
  return cjson.decode(self:ok(unpack(args)))
end

--- What has become of jobs since the store was made: enqueued, done, dead, ...
function Test:counters() return self:json("stats").counters end

--- Enqueues through the command and returns the id.  A table as the last argument whose key `flags` is set adds flags.
function Test:enqueue(task, ...)
  local args, values = { "enqueue", task }, { ... }
  local flags = type(values[#values]) == "table" and values[#values].flags
  if flags then values[#values] = nil end
  for _, value in ipairs(values) do args[#args + 1] = type(value) == "table" and cjson.encode(value)
    or H.encode(value) end
  for _, flag in ipairs(flags or {}) do args[#args + 1] = flag end
  return self:ok(unpack(args))
end

function H.encode(value) return (cjson.encode({ value }):gsub("^%[(.*)%]$", "%1")) end

function Test:job(id) return self:json("job", id) end

--- The job in JSON, or nil for an unknown id.
function Test:find(id)
  local result = self:cli { "job", id, "--json" }
  return result.code == 0 and cjson.decode(result.out) or nil
end

function Test:wait_state(id, state, timeout_s)
  local seen
  local ok, job = pcall(self.wait_for, self, "", timeout_s or 5, function()
    local job = self:find(id)
    seen = job and job.state or "nothing"
    return seen == state and job
  end)
  if not ok then error(("job %s is %s, not %s: %s"):format(id, tostring(seen), state, tostring(job)), 2) end
  return job
end

--- The lines that fx(name, ...) has written so far: a list of fields for each.
function Test:effects(name)
  local follower = self.effect_files[name] or files.lines(self.effects_dir .. "/" .. name)
  self.effect_files[name] = follower
  local list = {}
  for i, line in ipairs(follower:all()) do
    local fields = {}
    for field in (line .. "\t"):gmatch "([^\t]*)\t" do fields[#fields + 1] = field end
    list[i] = fields
  end
  return list
end

function Test:count(name)
  local follower = self.effect_files[name] or files.lines(self.effects_dir .. "/" .. name)
  self.effect_files[name] = follower
  return #follower:all()
end

--- Waits until there are n effects of that name (or more) and returns them.
function Test:wait_effects(name, n, timeout_s)
  local ok, err = pcall(self.wait_for, self, "", timeout_s or 5, function() return self:count(name) >= n end)
  if not ok then error(("%d of %d effects \"%s\": %s"):format(self:count(name), n, name, tostring(err)), 2) end
  return self:effects(name)
end

--- Lets jobs that wait on released(name) in a script go on.
function Test:release(name) files.write(self.effects_dir .. "/release-" .. name, "") end

--- Lua for a script: a function released(name) that sleeps in short steps until the test says so.
function Test:released()
  return ([[local function released(name)
    while true do
      local f = io.open("%s/release-" .. name, "r")
      if f then f:close() return true end
      skein.sleep(0.01)
    end
  end ]]):format(self.effects_dir):gsub("%s+", " ") .. ""
end

--- A Redis of the test's own, which it may kill, freeze and configure; the test's store from now on.
function Test:own_redis(config)
  local server = redis.start { dir = self.dir .. "/redis", config = config }
  self.at_end[#self.at_end + 1] = function() server:close() end
  self.redis, self.db = server, 0
  self:use(server:url(0))
  return server
end

--- A network between the test's Redis and the processes that use the proxy's URL.
function Test:proxy()
  local p = proxy.start(self.redis.port)
  self.at_end[#self.at_end + 1] = function() p:stop() end
  return p
end

--- The store of every process that is started from now on.
function Test:use(url) self.url, self.env.SKEIN_STORE = url, url end

--- Starts a LuaJIT program that uses the module from outside of the engine, without waiting for it.
function Test:start_client(text, options)
  self.clients_n = (self.clients_n or 0) + 1
  local path = ("%s/client-%d.lua"):format(self.dir, self.clients_n)
  files.write(path, text)
  return self:start({ path }, Test.client_options(options))
end

-- Environment of a LuaJIT program that finds the module.
function Test.client_options(options)
  options = options or {}
  options.program = "luajit"
  options.env = options.env or {}
  options.env.LUA_PATH = ("%s/lua/?.lua;%s/lua/?/init.lua;;"):format(H.root, H.root)
  options.env.LUA_CPATH = H.lua_module .. "/?.so;;"
  options.env.LD_PRELOAD = os.getenv "SKEIN_TEST_PRELOAD" -- the sanitizer's runtime, which luajit itself does not load
  return options
end

--- Runs such a program to its end: { code, out, err }.
function Test:client(text, options)
  files.write(self.dir .. "/client.lua", text)
  return self:cli({ self.dir .. "/client.lua" }, Test.client_options(options))
end

--- Runs such a program, with the module as `skein`, which must succeed; returns the lines that it printed.
function Test:client_lines(text)
  local result = self:client('local skein = require "skein" ' .. text)
  if result.code ~= 0 then error(("client: exit code %d\n%s"):format(result.code, result.err), 2) end
  local lines = {}
  for line in result.out:gmatch "([^\n]*)\n" do lines[#lines + 1] = line end
  return lines
end

--- Waits until a client without scripts sees the declaration of each of these tasks.
function Test:wait_known(...)
  for _, name in ipairs { ... } do
    self:wait_for("task " .. name .. " is declared", 5, function()
      return self:client_lines(([[print(require("skein.catalog").knows(%q))]]):format(name))[1] == "true"
    end)
  end
end

--- Mounts a file system of a few bytes for the test; nil when this machine does not allow it.
function Test:mount(name, size)
  local dir = self.dir .. "/" .. name
  files.make_dirs(dir)
  if self:cli({ "-t", "tmpfs", "-o", "size=" .. size, "none", dir },
    { program = "mount" }).code ~= 0 then return nil end
  self.at_end[#self.at_end + 1] = function() self:cli({ "-l", dir }, { program = "umount" }) end
  return dir
end

local function log_tails(t)
  local tails = {}
  for i, engine in ipairs(t.engines) do
    files.write(("%s/engine-%d.log"):format(t.dir, i), engine.child.stderr)
    local text = engine.child.stdout .. engine.child.stderr
    tails[#tails + 1] = ("-- end of engine %d's log:\n%s"):format(i, text:sub(-1500))
  end
  return table.concat(tails, "\n", math.max(1, #tails - 1))
end

-- The test's processes that still run, with their descendants.
function Test:left()
  local found = {}
  for _, pid in ipairs(process.all()) do
    local env = process.alive(pid) and files.read(("/proc/%d/environ"):format(pid))
    if env and ("\0" .. env):find("\0" .. MARK .. "=" .. self.dir .. "\0", 1,
      true) then found[#found + 1] = process.stat(pid) end
  end
  return found
end

-- Ends everything that the test has started.  Workers have a second to follow their core; those that do not are killed
-- and named.
function Test:finish(failed)
  for _, engine in ipairs(self.engines) do engine:kill_core() end
  for _, child in ipairs(self.children) do child:stop_hard() end
  wait.poll(1, function() return #self:left() == 0 end)
  local left = self:left()
  for _, stat in ipairs(left) do process.kill_same(stat) end
  for i = #self.at_end, 1, -1 do self.at_end[i]() end
  if failed then return end
  files.remove(self.dir)
  if #left > 0 then error(("%d processes outlived their core, the first with pid %d"):format(#left, left[1].pid), 0) end
end

-- Adds where it failed, the kept directory and the logs to what a failed test says.
local function explain(t, err, where)
  local kind = (debug.getmetatable(err) or {}).__type
  if kind == "pending" then return err, false end
  local context = ("\n%s\nkept: %s\n%s"):format(where, t.dir, log_tails(t))
  if kind == "failure" and type(err.message) == "string" then
    err.message = err.message .. context
    return err, true
  end
  return tostring(err) .. context, true
end

--- A test of one behaviour; fn gets a fresh t.
function H.it(name, fn)
  busted.it(name, function()
    local t = new_test()
    local where
    local ok, err = xpcall(function() fn(t) end, function(e)
      where = debug.traceback("", 2):match "([^\n%s]*_spec%.lua:%d+)" or "?"
      return e
    end)
    if ok then return t:finish(false) end
    local explained, failed = explain(t, err, where)
    t:finish(failed)
    error(explained, 0)
  end)
end

--- A test that makes sense on one store only.
function H.it_on(store, name, fn)
  if H.store == store then H.it(name, fn) end
end

-- -- numbers ---------------------------------------------------------------------------------------------------------

--- The value below which a share p (0..1) of the list lies.
function H.percentile(list, p)
  local sorted = { unpack(list) }
  if #list > 5000 then
    sorted = {}
    for i, v in ipairs(list) do sorted[i] = v end
  end
  table.sort(sorted)
  return sorted[math.max(1, math.ceil(#sorted * p))]
end

--- Says a measured number in the test's output.
function H.say(fmt, ...) io.write("        " .. fmt:format(...) .. "\n") end

return H
