# System tests: the real binary as real processes.  `make system T=survive` runs one group, SKEIN_TEST_STORE chooses the store.
T ?=
.PHONY: system
system: build ## Run the system tests (T=name for one group)
	SKEIN=$(abspath $(OUT)/skein) busted --lua=luajit --output=tests/report.lua --pattern='$(T).*_spec%.lua$$' tests/system
