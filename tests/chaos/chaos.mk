# The chaos run: real engines, clients and a Redis, killed and frozen at random, and every job accounted for at the end.
# AROUND=0 leaves out limits, unique keys, callbacks and what else is around a job.
# `make chaos SECONDS=600 SEED=7 STORE=redis`; a run that failed prints how to run it again.
SECONDS ?= 60
SEED ?=
JOBS ?=
CHAOS_STORE = $(or $(STORE),$(SKEIN_TEST_STORE),redis)
CHAOS = SKEIN='$(abspath $(OUT)/skein)' $(SYSTEM_ENV_$(VARIANT)) SEED=$(SEED) JOBS=$(JOBS)

.PHONY: chaos chaos-short
chaos: build $(OUT)/tests/support/clock.so ## Kill and freeze everything at random: make chaos SECONDS=600 SEED=n STORE=redis|sqlite
	@$(CHAOS) STORE=$(CHAOS_STORE) SECONDS=$(SECONDS) luajit tests/chaos/chaos.lua

chaos-short: build $(OUT)/tests/support/clock.so ## The chaos runs of make test: Redis, whose own faults come too, and SQLite
	@$(CHAOS) STORE=redis SECONDS=14 luajit tests/chaos/chaos.lua
	@$(CHAOS) STORE=sqlite SECONDS=6 luajit tests/chaos/chaos.lua
