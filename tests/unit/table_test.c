/* table_test.c - columns, their alignment, and bytes that a terminal must not obey. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "app/table.c" /* the library has no application code */
#include "app/text.c"

static void assert_text(struct sk_buf *b, const char *expected) {
  assert_int_equal(b->n, strlen(expected));
  assert_memory_equal(b->p, expected, b->n);
  sk_buf_fini(b);
}

static void a_table_is_aligned_and_harmless(void **state) {
  (void)state;
  static const char *const heads[] = { "NAME", ">N", "NOTE" };
  struct sk_table t;
  sk_table_init(&t, heads, 3);
  sk_table_add(&t, SK_STR_LIT("\xc3\xa9t\xc3\xa9"));
  sk_table_add_int(&t, 12345);
  sk_table_add(&t, SK_STR_LIT("red \x1b[31m\xc2\x9b alarm\xff"));
  sk_table_add(&t, SK_STR_LIT("longer"));
  sk_table_add_int(&t, -1);
  sk_table_add(&t, SK_STR_LIT("0123456789012345678901234567890123456789012345678901234567890"));
  sk_table_add(&t, SK_STR_LIT("x"));
  sk_table_add_int(&t, 0);
  sk_table_add(&t, SK_STR_LIT(""));
  struct sk_buf out = { 0 };
  sk_table_print(&t, &out);
  sk_table_fini(&t);
  assert_text(&out, "NAME        N  NOTE\n"
                    "\xc3\xa9t\xc3\xa9     12345  red  [31m  alarm\xef\xbf\xbd\n"
                    "longer     -1  012345678901234567890123456789012345678901234567890123456...\n"
                    "x           0\n");
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_table_is_aligned_and_harmless),
  };
  return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
