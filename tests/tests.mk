# How each kind of test is built.  A test file's own name is its target; new files are found by wildcard.

# Unit tests: one cmocka program per tests/unit/*_test.c.
UNIT_SRC := $(wildcard tests/unit/*_test.c)
UNIT_BIN := $(UNIT_SRC:tests/unit/%.c=$(OUT)/tests/unit/%)

$(OUT)/tests/unit/%: tests/unit/%.c $(OUT)/libskein.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $< $(OUT)/libskein.a -lcmocka $(LIBS)

.PHONY: unit
unit: $(UNIT_BIN) ## Run the unit tests
	@set -e; for t in $(UNIT_BIN); do $$t; done

# Contract tests: one program, run once per store.
CONTRACT_SRC := $(wildcard tests/contract/*.c)
$(OUT)/tests/contract/contract: $(CONTRACT_SRC) $(wildcard tests/contract/*.h) $(OUT)/libskein.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -Itests $(LDFLAGS) -o $@ $(CONTRACT_SRC) $(OUT)/libskein.a -lcmocka $(LIBS)

.PHONY: contract
contract: $(OUT)/tests/contract/contract ## Run the store contract on memory and sqlite
	$< memory
	$< sqlite

-include tests/lint.mk
-include tests/spec/spec.mk
-include tests/support/support.mk
-include tests/system/system.mk
-include tests/fuzz/fuzz.mk
-include tests/bench/bench.mk
