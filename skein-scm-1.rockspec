rockspec_format = "3.0"
package = "skein"
version = "scm-1"
source = {
  url = "git://localhost/skein.git",
}
description = {
  summary = "Background jobs and workflows, scripted in Lua",
  detailed = [[
    A background-job and workflow engine in C that embeds LuaJIT: the `skein` binary runs a folder of Lua files,
    the Lua module `skein` enqueues and looks after jobs from any LuaJIT program.
  ]],
  license = "MIT",
}
dependencies = {
  "lua == 5.1", -- LuaJIT 2.1
}
external_dependencies = {
  LIBUV = { header = "uv.h" },
  HIREDIS = { header = "hiredis/hiredis.h" },
  OPENSSL = { header = "openssl/ssl.h" },
  SQLITE = { header = "sqlite3.h" },
}
build = {
  type = "make",
  build_target = "build",
  install_target = "install",
  build_variables = {
    CC = "$(CC)",
  },
  install_variables = {
    PREFIX = "$(PREFIX)",
    BINDIR = "$(BINDIR)",
    LUADIR = "$(LUADIR)",
    LIBDIR = "$(LIBDIR)",
    SHAREDIR = "$(PREFIX)/share/skein",
  },
}
