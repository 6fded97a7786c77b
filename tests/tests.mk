# How each kind of test is built.  A test file's own name is its target; new files are found by wildcard.

# Unit tests: one cmocka program per tests/unit/*_test.c; those of the engine start the binary's workers.
UNIT_SRC := $(wildcard tests/unit/*_test.c)
UNIT_BIN := $(UNIT_SRC:tests/unit/%.c=$(OUT)/tests/unit/%)

$(OUT)/tests/unit/%: tests/unit/%.c $(OUT)/libskein.a
	@mkdir -p $(@D)
	@echo '  CC    $<'
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $< $(OUT)/libskein.a -lcmocka $(LIBS)

-include $(UNIT_BIN:=.d)

.PHONY: unit
unit: $(OUT)/skein $(UNIT_BIN) ## Run the unit tests
	@set -o pipefail; status=0; for t in $(UNIT_BIN); do $$t 2>&1 | $(call shorten,$${t##*/}) || status=1; done; exit $$status

# What to pipe the output of a cmocka program through; `make V=1` shows it whole.
shorten = $(if $(V),cat,awk -v name=$(1) -f tests/cmocka.awk)

# Contract tests: one program, run once per store.
CONTRACT_SRC := $(wildcard tests/contract/*.c)
$(OUT)/tests/contract/contract: $(CONTRACT_SRC) $(wildcard tests/contract/*.h) $(OUT)/libskein.a
	@mkdir -p $(@D)
	@echo '  CC    tests/contract'
	$(Q)$(CC) $(CFLAGS) -Itests $(LDFLAGS) -o $@ $(CONTRACT_SRC) $(OUT)/libskein.a -lcmocka $(LIBS)

# Redis's Lua compares strings as its locale says, and so would a script that forgot it: the server gets one that is not C's.
$(OUT)/locale/en_US.UTF-8:
	@mkdir -p $(@D)
	$(Q)localedef -i en_US -f UTF-8 $(abspath $@)

.PHONY: contract contract-memory contract-sqlite contract-redis
contract: contract-memory contract-sqlite contract-redis ## Run the store contract on memory, sqlite and redis
contract-memory contract-sqlite contract-redis: contract-%: $(OUT)/tests/contract/contract $(OUT)/locale/en_US.UTF-8
	@set -o pipefail; $(if $(filter redis,$*),LOCPATH='$(abspath $(OUT)/locale)' LC_ALL=en_US.UTF-8) $< $* 2>&1 | $(call shorten,contract-$*)

.PHONY: test-programs
test-programs: $(UNIT_BIN) $(OUT)/tests/contract/contract
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
