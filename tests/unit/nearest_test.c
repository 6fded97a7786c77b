/* nearest_test.c - the known name that is nearest to a misspelt one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "logic/nearest.h"

static void suggestions_are_near(void **state) {
  (void)state;
  struct sk_nearest n;
  sk_nearest_init(&n, SK_STR_LIT("enqeue"));
  sk_nearest_try(&n, sk_str_c("run"));
  sk_nearest_try(&n, sk_str_c("queues"));
  sk_nearest_try(&n, sk_str_c("enqueue"));
  assert_true(sk_str_eq_c(n.name, "enqueue"));
  sk_nearest_init(&n, SK_STR_LIT("zz"));
  sk_nearest_try(&n, sk_str_c("run"));
  sk_nearest_try(&n, sk_str_c("job"));
  assert_int_equal(n.name.n, 0);
  sk_nearest_init(&n, SK_STR_LIT("01234567890123456789012345678901234567890123456789"));
  sk_nearest_try(&n, sk_str_c("0123456789012345678901234567890123456789012345678"));
  assert_int_equal(n.name.n, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(suggestions_are_near),
  };
  return cmocka_run_group_tests_name("nearest", tests, NULL, NULL);
}
