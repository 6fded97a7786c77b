# Programs that tests and benches start beside the engine.
$(OUT)/tests/support/%: tests/support/%.c
	@mkdir -p $(@D)
	@echo '  CC    $<'
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $< -luv

system: $(OUT)/tests/support/delay_proxy
