# Fuzzing: each tests/fuzz/*.c is a libFuzzer target, built with clang and its sanitizers over base, logic and the Lua codec.
# `make fuzz T=json S=60` looks for new inputs; `make fuzz-corpus` runs the known ones, in seconds.  An input that crashed a
# target becomes a file of tests/fuzz/corpus/<target>/.
S ?= 60
FUZZ_T = $(or $(T),json)
FUZZ_CC ?= clang
FUZZ_OUT := $(BUILD)/fuzz
FUZZ_TARGETS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/*.c))
FUZZ_LIB := $(wildcard core/base/*.c core/logic/*.c core/lua/json*.c)
FUZZ_FLAGS = -std=c11 -D_GNU_SOURCE $(WARN) -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer,address,undefined \
	-fno-sanitize-recover=undefined -Icore $(SYSINC)

# Further sources and libraries of single targets.
FUZZ_SRC_redis := core/store/redis/call.c
FUZZ_LIBS_redis := -lhiredis
$(FUZZ_OUT)/redis: core/store/redis/call.c core/store/redis/redis.h

# The whole engine without its processes and its clock, which the target plays itself.
FUZZ_SRC_engine := $(wildcard core/engine/*.c core/store/memory/*.c core/store/*.c) core/io/loop.c core/io/pipe.c
FUZZ_LIBS_engine := -luv
FUZZ_NOT_engine := core/base/clock.c
FUZZ_SRC_request := $(addprefix core/engine/,request.c blocked_enqueue.c waits.c) $(filter core/store/%,$(FUZZ_SRC_engine)) core/io/loop.c
FUZZ_LIBS_request := -luv
$(FUZZ_OUT)/engine $(FUZZ_OUT)/request: $(FUZZ_SRC_engine) $(wildcard core/engine/*.h core/io/*.h core/store/*.h core/store/memory/*.h)

$(FUZZ_OUT)/%: tests/fuzz/%.c $(FUZZ_LIB) $(wildcard core/base/*.h core/logic/*.h core/lua/*.h)
	@mkdir -p $(@D)
	@echo '  CC    $<'
	$(Q)$(FUZZ_CC) $(FUZZ_FLAGS) -o $@ $< $(filter-out $(FUZZ_NOT_$*),$(FUZZ_LIB)) $(FUZZ_SRC_$*) $(FUZZ_LIBS_$*) $(shell pkg-config --libs luajit) -lm

.PHONY: fuzz fuzz-programs fuzz-corpus
fuzz: $(FUZZ_OUT)/$(FUZZ_T) ## Fuzz one parser: make fuzz T=callback|constraints|engine|json|lua_json|record|redis|request|url|wire S=seconds
	@mkdir -p $(FUZZ_OUT)/found/$(FUZZ_T) tests/fuzz/corpus/$(FUZZ_T)
	$< -max_total_time=$(S) -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix=$(FUZZ_OUT)/crash-$(FUZZ_T)- \
		$(FUZZ_OUT)/found/$(FUZZ_T) tests/fuzz/corpus/$(FUZZ_T)

fuzz-programs: $(FUZZ_TARGETS:%=$(FUZZ_OUT)/%)
	@:

fuzz-corpus: $(FUZZ_TARGETS:%=$(FUZZ_OUT)/%) ## Run every fuzz target over its corpus
	@set -e; for t in $(FUZZ_TARGETS); do $(FUZZ_OUT)/$$t -runs=0 -timeout=10 tests/fuzz/corpus/$$t 2>&1 | tail -n 1 | sed "s/^/$$t: /"; \
		test $${PIPESTATUS[0]} -eq 0; done
