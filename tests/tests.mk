# How each kind of test is built.  A test file's own name is its target; new files are found by wildcard.

# Unit tests: one cmocka program per tests/unit/*_test.c.  Engine tests, tests/engine/*_test.c, are the same, and start the binary's
# workers.
UNIT_BIN := $(patsubst %.c,$(OUT)/%,$(wildcard tests/unit/*_test.c))
ENGINE_BIN := $(patsubst %.c,$(OUT)/%,$(wildcard tests/engine/*_test.c))

$(UNIT_BIN) $(ENGINE_BIN): $(OUT)/tests/%: tests/%.c $(OUT)/libskein.a
	@mkdir -p $(@D)
	@echo '  CC    $<'
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $< $(OUT)/libskein.a -lcmocka $(LIBS)

-include $(UNIT_BIN:=.d) $(ENGINE_BIN:=.d)

# Runs each of these programs; fails when one of them does.
define run_each
set -o pipefail; status=0; for t in $(1); do $$t 2>&1 | $(call shorten,$${t##$(OUT)/tests/}) || status=1; done; exit $$status
endef

.PHONY: unit engine
unit: $(OUT)/skein $(UNIT_BIN) $(ENGINE_BIN) ## Run the unit tests, those of the engine too
	@$(call run_each,$(UNIT_BIN) $(ENGINE_BIN))
engine: $(OUT)/skein $(ENGINE_BIN) ## Run the tests that start an engine with workers
	@$(call run_each,$(ENGINE_BIN))

# The filter for the output of a cmocka program; `make V=1` shows the whole output.
shorten = $(if $(V),cat,awk -v name=$(1) -f tests/cmocka.awk)

# Contract tests: one program, run once per store.
CONTRACT_SRC := $(wildcard tests/contract/*.c)
$(OUT)/tests/contract/contract: $(CONTRACT_SRC) $(wildcard tests/contract/*.h) $(OUT)/libskein.a
	@mkdir -p $(@D)
	@echo '  CC    tests/contract'
	$(Q)$(CC) $(CFLAGS) -Itests $(LDFLAGS) -o $@ $(CONTRACT_SRC) $(OUT)/libskein.a -lcmocka $(LIBS)

# Redis's Lua compares strings by the server's locale.  The server gets one that is not "C", so that a script that relies on the
# order of bytes fails.
$(OUT)/locale/en_US.UTF-8:
	@mkdir -p $(@D)
	$(Q)localedef -i en_US -f UTF-8 $(abspath $@)

.PHONY: contract contract-memory contract-sqlite contract-redis
contract: contract-memory contract-sqlite contract-redis ## Run the store contract on memory, sqlite and redis
contract-memory contract-sqlite contract-redis: contract-%: $(OUT)/tests/contract/contract $(OUT)/locale/en_US.UTF-8
	@set -o pipefail; $(if $(filter redis,$*),LOCPATH='$(abspath $(OUT)/locale)' LC_ALL=en_US.UTF-8) $< $* 2>&1 | $(call shorten,contract-$*)

.PHONY: test-programs
test-programs: $(UNIT_BIN) $(ENGINE_BIN) $(OUT)/tests/contract/contract
	@:

-include tests/lint.mk
-include tests/spec/spec.mk
.PHONY: examples
examples: build ## Run every folder of scripts/
	@tests/examples.sh $(OUT)/skein

-include tests/support/support.mk
-include tests/system/system.mk
-include tests/fuzz/fuzz.mk
-include tests/bench/bench.mk
-include tests/chaos/chaos.mk
