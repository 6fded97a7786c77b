# System tests: the real binary as real processes.  `make system T=survive` runs one group, SKEIN_TEST_STORE chooses the store.
T ?=
# Sanitized: luajit gets the runtime from outside; a worker's death is noticed by the clock, so nothing may take its time at exit.
SYSTEM_ENV_asan = SKEIN_TEST_PRELOAD=$(shell $(CC) -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0:handle_segv=0
# Their files are in memory where that is possible: what a noisy disk does to latencies is for the bench to say.
SYSTEM_TMPDIR = $(or $(TMPDIR),$(shell test -w /dev/shm && echo /dev/shm || echo /tmp))
.PHONY: system
system: build ## Run the system tests (T=name for one group)
	@TMPDIR='$(SYSTEM_TMPDIR)' SKEIN='$(abspath $(OUT)/skein)' $(SYSTEM_ENV_$(VARIANT)) \
	  busted --lua=luajit --output=tests/report.lua --pattern='$(T).*_spec%.lua$$' tests/system

.PHONY: docs
docs: ## Run the examples of README.md and docs/
	@$(MAKE) --no-print-directory system T=docs
