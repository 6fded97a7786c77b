/* str_test.c - slices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/str.h"

static void slices_compare_by_bytes(void **state) {
  (void)state;
  assert_true(sk_str_eq(sk_str("a\0b", 3), sk_str("a\0b", 3)));
  assert_false(sk_str_eq(sk_str("a\0b", 3), sk_str("a\0c", 3)));
  assert_true(sk_str_eq(sk_str(NULL, 0), sk_str("x", 0)));
  assert_true(sk_str_starts(SK_STR_LIT("skein"), "ske"));
  assert_false(sk_str_starts(SK_STR_LIT("sk"), "ske"));
  assert_int_equal(sk_str_head(SK_STR_LIT("skein"), 2).n, 2);
  assert_int_equal(sk_str_head(SK_STR_LIT("skein"), 9).n, 5);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(slices_compare_by_bytes),
  };
  return cmocka_run_group_tests_name("str", tests, NULL, NULL);
}
