# Specs: the Lua module in a plain LuaJIT program, and the commands without an engine.  `make spec T=client` runs one group.
.PHONY: spec
spec: build ## Run the specs of the Lua module and of the commands (T=name for one group)
	@SKEIN='$(abspath $(OUT)/skein)' LUA_PATH='lua/?.lua;lua/?/init.lua;;' LUA_CPATH='$(OUT)/lua/?.so;;' \
		busted --lua=luajit $(if $(wildcard tests/report.lua),--output=tests/report.lua) --pattern='$(T).*_spec%.lua$$' tests/spec
