# Lint: what a compiler does not see.
.PHONY: lint
lint: ## Check Lua files (luacheck), shell scripts (shellcheck), the format of the C files, the layers' includes, the length of files
	@find core tests -name '*.[ch]' | xargs clang-format --dry-run -Werror
	@luacheck --no-color --quiet lua scripts tests core/lua core/store/redis
	@tests/lint_includes.sh
	@shellcheck tests/*.sh tests/bench/peers/*.sh .ci/run

.PHONY: format
format: ## Format the C files as .clang-format says
	@find core tests -name '*.[ch]' | xargs clang-format -i
