/* clock_test.c - the clocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"

static void monotonic_clocks_do_not_go_back_and_units_agree(void **state) {
  (void)state;
  int64_t last = sk_clock_mono_us();
  for (int i = 0; i < 1000; i++) {
    int64_t now = sk_clock_mono_us();
    assert_true(now >= last);
    last = now;
  }
  int64_t ms = sk_clock_wall_ms(), us = sk_clock_wall_us();
  assert_true(us / 1000 - ms >= 0 && us / 1000 - ms < 10000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(monotonic_clocks_do_not_go_back_and_units_agree),
  };
  return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
