# Skein: `make help` lists the targets.
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LUADIR ?= $(PREFIX)/share/lua/5.1
LIBDIR ?= $(PREFIX)/lib/lua/5.1
SHAREDIR ?= $(PREFIX)/share/skein
CC ?= cc
BUILD ?= build
VARIANT ?= release

SHELL := /bin/bash
# `make V=1` shows the commands.
Q := $(if $(V),,@)
.DEFAULT_GOAL := build

# -- flags ------------------------------------------------------------------------------------------------------------
# Fields that an initialiser leaves out are zero on purpose: no warning of clang's for them.
WARN := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wswitch-enum -Wvla -Wformat=2 \
	-Wno-missing-field-initializers -Werror
HARDEN := -fstack-protector-strong
OPT_release := -O2 -g -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
OPT_asan := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
OPT_tsan := -O1 -g -fno-omit-frame-pointer -fsanitize=thread
OPT_clang := $(OPT_release)
OPT := $(OPT_$(VARIANT))
PKGS := luajit libuv sqlite3 hiredis openssl
# Library headers are not ours to warn about: -isystem.
SYSINC = $(patsubst -I%,-isystem %,$(shell pkg-config --cflags-only-I $(PKGS)))
CFLAGS = -std=c11 -D_GNU_SOURCE -fPIC -fvisibility=hidden -MMD -MP $(WARN) $(HARDEN) $(OPT) -Icore -I$(OUT)/gen $(SYSINC)
LDFLAGS = -Wl,-z,relro,-z,now -Wl,-E $(if $(filter asan,$(VARIANT)),-fsanitize=address$(comma)undefined) $(if $(filter tsan,$(VARIANT)),-fsanitize=thread)
LIBS = $(shell pkg-config --libs $(PKGS) yaml-0.1) -llua5.1-luv -lpthread -lm -ldl
comma := ,
OUT := $(BUILD)/$(VARIANT)

# -- sources: each layer is a folder; app/ is the binary, the others are the library -------------------------------------
LIB_SRC := $(wildcard core/base/*.c core/logic/*.c core/io/*.c core/store/*.c core/store/*/*.c core/engine/*.c core/lua/*.c)
APP_SRC := $(wildcard core/app/*.c)
LIB_OBJ := $(LIB_SRC:%.c=$(OUT)/%.o)
APP_OBJ := $(APP_SRC:%.c=$(OUT)/%.o)
LUA_SRC := $(shell find lua -name '*.lua' | LC_ALL=C sort)
# The scripts that run inside Redis are text for the store, not Lua modules.
REDIS_SRC := $(sort $(wildcard core/store/redis/scripts/*.lua))

# The scripts as Redis gets them, each assembled from its parts: for clients in other languages.
REDIS_OUT := $(REDIS_SRC:core/store/redis/scripts/%=$(OUT)/redis/%)
REDIS_PARTS := $(wildcard core/store/redis/scripts/lib/*.lua) core/store/redis/embed_scripts.lua

include tests/tests.mk

# -- build ------------------------------------------------------------------------------------------------------------
.PHONY: build
build: $(OUT)/skein $(OUT)/lua/skein/core.so $(REDIS_OUT) ## Build the binary (build/release/skein) and the Lua module
	@:

$(OUT)/skein: $(APP_OBJ) $(OUT)/libskein.a
	@echo '  LD    $@'
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

$(OUT)/libskein.a: $(LIB_OBJ)
	$(Q)rm -f $@ && ar rcs $@ $^

# The Lua C module: the same objects, of which only luaopen_* is visible.  The program that loads it brings Lua's symbols.
$(OUT)/lua/skein/core.so: $(OUT)/libskein.a
	@mkdir -p $(@D)
	@echo '  LD    $@'
	$(Q)$(CC) -shared $(LDFLAGS) -o $@ -Wl,--whole-archive $^ -Wl,--no-whole-archive $(shell pkg-config --libs $(filter-out luajit,$(PKGS))) -llua5.1-luv -lpthread -lm

$(OUT)/%.o: %.c
	@mkdir -p $(@D)
	@echo '  CC    $<'
	$(Q)$(CC) $(CFLAGS) -c -o $@ $<

# The Lua module is embedded in the binary as one C table.
$(OUT)/gen/lua_embedded.h: $(LUA_SRC) core/lua/embed.lua
	@mkdir -p $(@D)
	$(Q)luajit core/lua/embed.lua $(LUA_SRC) > $@.tmp && mv $@.tmp $@
$(OUT)/core/lua/vm.o: $(OUT)/gen/lua_embedded.h

$(OUT)/gen/redis_scripts.h: $(REDIS_SRC) $(REDIS_PARTS)
	@mkdir -p $(@D)
	$(Q)luajit core/store/redis/embed_scripts.lua $(REDIS_SRC) > $@.tmp && mv $@.tmp $@
$(patsubst %.c,$(OUT)/%.o,$(wildcard core/store/redis/*.c)): $(OUT)/gen/redis_scripts.h

$(OUT)/redis/%.lua: core/store/redis/scripts/%.lua $(REDIS_PARTS)
	@mkdir -p $(@D)
	$(Q)luajit core/store/redis/embed_scripts.lua --text $< > $@.tmp && mv $@.tmp $@

-include $(LIB_OBJ:.o=.d) $(APP_OBJ:.o=.d)

.PHONY: deps
deps: ## Install the Debian packages of packages.txt that are missing
	@tests/deps.sh

.PHONY: run
run: deps ## Build, and run scripts/hello on an embedded store: the first thing to try
	@$(MAKE) --no-print-directory -j$$(nproc) build
	@rm -rf $(BUILD)/hello && mkdir -p $(BUILD)/hello
	@$(OUT)/skein enqueue hello.start -s sqlite:$(BUILD)/hello/jobs.db
	@$(OUT)/skein run scripts/hello -s sqlite:$(BUILD)/hello/jobs.db --drain

.PHONY: test
test: deps ## Run every test there is, from a bare machine
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory -j$$(nproc) build test-programs
	@tests/run-all.sh

.PHONY: check
check: ## Lint, unit, spec and contract tests (memory and sqlite): under a minute
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory -j$$(nproc) build test-programs
	@$(MAKE) --no-print-directory -j2 -Otarget unit spec contract-memory contract-sqlite

.PHONY: asan
asan: ## Run the unit and contract tests under the address and undefined-behaviour sanitizers
	@$(MAKE) --no-print-directory VARIANT=asan build test-programs
	@$(MAKE) --no-print-directory VARIANT=asan unit contract

.PHONY: tsan
tsan: ## Run the contract tests of the stores with threads under the thread sanitizer
	@$(MAKE) --no-print-directory VARIANT=tsan $(BUILD)/tsan/tests/contract/contract
	@$(MAKE) --no-print-directory VARIANT=tsan contract-memory contract-sqlite

.PHONY: clang
clang: ## Build everything with clang, the fuzz targets too; warnings are errors
	@$(MAKE) --no-print-directory VARIANT=clang CC=clang build test-programs fuzz-programs

.PHONY: install
install: build ## Install the binary, the Lua module and the Redis scripts (PREFIX=/usr/local)
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(LUADIR) $(DESTDIR)$(LIBDIR)/skein $(DESTDIR)$(SHAREDIR)/redis
	install -m 755 -s $(OUT)/skein $(DESTDIR)$(BINDIR)/skein
	install -m 644 $(OUT)/lua/skein/core.so $(DESTDIR)$(LIBDIR)/skein/core.so
	install -m 644 $(REDIS_OUT) $(DESTDIR)$(SHAREDIR)/redis
	cd lua && for f in $$(find . -name '*.lua'); do install -D -m 644 $$f $(DESTDIR)$(LUADIR)/$$f; done

.PHONY: clean
clean: ## Remove everything built
	rm -rf $(BUILD)

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | LC_ALL=C sort | awk -F'\t' '{printf "  make %-12s %s\n", $$1, $$2}'
