-- luacheck for everything Lua in the house: the module, the scripts, the tests.
std = "luajit"
max_line_length = 140
codes = true

-- worker.lua replaces these for scripts: print goes to the log, coroutines let waits of the job pass through them.
files["lua/skein/worker.lua"] = {
  globals = { "print", "coroutine.resume", "coroutine.wrap", "coroutine.yield", "coroutine.running" },
}

-- The scripts of the Redis store run in Redis's Lua 5.1 (core/store/redis/embed_scripts.lua).
stds.redis = { read_globals = { "KEYS", "ARGV", "redis", "struct" } }
files["core/store/redis/scripts"] = { std = "lua51+redis", max_line_length = 160 }

-- A handler names what it is given, used or not.
files["scripts"] = { unused_args = false }
files["scripts/*/spec"] = { std = "+busted" }

files["tests"] = { std = "+busted", max_line_length = false }
