/* utf8_test.c - characters, controls, and text made fit for terminals and JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/utf8.h"

static void a_character_has_one_to_four_bytes_and_no_other_encoding(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    size_t n;
  } cases[] = {
    { "a", 1 },
    { "\xc3\xa9", 2 },
    { "\xe2\x82\xac", 3 },
    { "\xf0\x9f\x98\x80", 4 },
    { "\xc3", 0 },     /* cut */
    { "\xa9", 0 },     /* a continuation alone */
    { "\xc0\xaf", 0 }, /* overlong */
    { "\xe0\x80\xaf", 0 },
    { "\xf0\x80\x80\xaf", 0 },
    { "\xed\xa0\x80", 0 },     /* a surrogate */
    { "\xf4\x90\x80\x80", 0 }, /* past U+10FFFF */
    { "\xff", 0 },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    assert_int_equal(sk_utf8_length(sk_str_c(cases[i].bytes)), cases[i].n);
}

static void assert_text(struct sk_buf *b, const char *expected) {
  assert_int_equal(b->n, strlen(expected));
  assert_memory_equal(b->p, expected, b->n);
  sk_buf_fini(b);
}

static void a_terminal_gets_no_control_and_no_byte_that_is_no_utf8(void **state) {
  (void)state;
  struct sk_buf b = { 0 };
  sk_utf8_add_clean(&b, SK_STR_LIT("a\x1b[1m\xc2\x9bm\x7f\xff\n\tb"), false);
  assert_text(&b, "a [1m m \xef\xbf\xbd  b");
  sk_utf8_add_clean(&b, SK_STR_LIT("a\n\tb\r"), true);
  assert_text(&b, "a\n\tb ");
}

static void a_json_string_is_valid_whatever_it_holds(void **state) {
  (void)state;
  struct sk_buf b = { 0 };
  sk_utf8_add_json(&b, SK_STR_LIT("\"\\\n\r\t\x01\x7f\xc2\x80\xc3\xa9\xff"));
  assert_text(&b, "\"\\\"\\\\\\n\\r\\t\\u0001\\u007f\\u0080\xc3\xa9\xef\xbf\xbd\"");
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_character_has_one_to_four_bytes_and_no_other_encoding),
    cmocka_unit_test(a_terminal_gets_no_control_and_no_byte_that_is_no_utf8),
    cmocka_unit_test(a_json_string_is_valid_whatever_it_holds),
  };
  return cmocka_run_group_tests_name("utf8", tests, NULL, NULL);
}
