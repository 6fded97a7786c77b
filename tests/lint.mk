# Lint: the checks that a compiler does not make.
# Folders and files that tests/lint_calls.lua passes over until they are clean.  The list only shrinks, and ends empty.
LINT_NOT_YET := core/store/redis/embed_scripts.lua core/store/redis/scripts

.PHONY: lint
lint: ## Check Lua files (luacheck), shell scripts (shellcheck), the format of the C files, includes, circles of calls, lengths
	@find core tests -name '*.[ch]' | xargs clang-format --dry-run -Werror
	@luacheck --no-color --quiet lua scripts tests core/lua core/store/redis
	@tests/lint_includes.sh
	@luajit tests/lint_calls.lua . $(LINT_NOT_YET)
	@shellcheck tests/*.sh tests/bench/peers/*.sh .ci/run

.PHONY: format
format: ## Format the C files as .clang-format says
	@find core tests -name '*.[ch]' | xargs clang-format -i
