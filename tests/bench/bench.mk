# The bench: what the engine does, beside yardsticks in the same run.
STORE ?=
ROUNDS ?= 5
PART ?=
BENCH_SRC := $(wildcard tests/bench/*.c)
BENCH_BIN := $(BENCH_SRC:tests/bench/%.c=$(OUT)/tests/bench/%)

$(OUT)/tests/bench/%: tests/bench/%.c $(OUT)/libskein.a
	@mkdir -p $(@D)
	@echo '  CC    $<'
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $< $(OUT)/libskein.a $(LIBS)

.PHONY: bench
bench: build $(BENCH_BIN) $(OUT)/tests/support/proxy ## Measure the engine against its budgets (STORE=sqlite|memory|redis, ROUNDS=5)
	@SKEIN='$(abspath $(OUT)/skein)' LUA_PATH="./?.lua;./lua/?.lua;./lua/?/init.lua;./tests/bench/scripts/lib/?.lua;;" LUA_CPATH="$(abspath $(OUT))/lua/?.so;;" \
	  luajit tests/bench/$(if $(filter redis,$(STORE)),redis_bench.lua,bench.lua) "$(abspath $(OUT))" $(ROUNDS) $(filter-out redis,$(STORE)) $(PART)
