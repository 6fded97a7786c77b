-- luacheck for everything Lua in the house: the module, the scripts, the tests.
std = "luajit"
max_line_length = 140
codes = true

-- worker.lua replaces these for scripts: print goes to the log, coroutines let waits of the job pass through them.
files["lua/skein/worker.lua"] = {
  globals = { "print", "coroutine.resume", "coroutine.wrap", "coroutine.yield", "coroutine.running" },
}

-- A handler names what it is given, used or not.
files["scripts"] = { unused_args = false }

files["tests"] = { std = "+busted", max_line_length = false }
