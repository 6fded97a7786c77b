# Lint: what a compiler does not see.
.PHONY: lint
lint: ## Check the Lua files with luacheck, the layers' includes, and the length of files
	@luacheck --no-color --quiet lua scripts tests core/lua/embed.lua
	@tests/lint_includes.sh
