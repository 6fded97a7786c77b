# Programs that tests and benches start beside the engine.
$(OUT)/tests/support/%: tests/support/%.c
	@mkdir -p $(@D)
	@echo '  CC    $<'
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $< -luv

# A library to be preloaded.
$(OUT)/tests/support/%.so: tests/support/%.c
	@mkdir -p $(@D)
	@echo '  CC    $<'
	$(Q)$(CC) $(CFLAGS) -shared $(LDFLAGS) -o $@ $<

system: $(OUT)/tests/support/proxy
