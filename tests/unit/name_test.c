/* name_test.c - which names and ids are accepted, and what the refusals of the others say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "logic/name.h"

static void names_are_letters_digits_and_four_signs(void **state) {
  (void)state;
  assert_int_equal(sk_name_check("queue", SK_STR_LIT("aZ09_.:-"), NULL), SK_OK);
  assert_int_equal(sk_name_check("queue", SK_STR_LIT("x"), NULL), SK_OK);
  for (int c = 0; c < 256; c++) {
    char byte = (char)c;
    bool good = memchr("_.:-", c, 4) || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    assert_int_equal(sk_name_check("queue", sk_str(&byte, 1), NULL), good ? SK_OK : SK_EINVAL);
  }
}

static void a_refused_name_is_shown_printable_and_cut(void **state) {
  (void)state;
  struct sk_err err;
  assert_int_equal(sk_name_check("queue", SK_STR_LIT("a b\n\xff"), &err), SK_EINVAL);
  assert_string_equal(err.message, "queue \"a b??\": byte 2 is 0x20, expected letters, digits or _ . : -");
  assert_int_equal(sk_name_check("task", SK_STR_LIT(""), &err), SK_EINVAL);
  assert_string_equal(err.message, "task \"\": expected a name of 1 to 200 letters, digits or _ . : -");
}

static void names_and_ids_are_accepted_at_their_limit_and_refused_one_past_it(void **state) {
  (void)state;
  char text[SK_NAME_BYTES_MAX + 1];
  struct sk_err err;
  memset(text, 'n', sizeof text);
  assert_int_equal(sk_name_check("task", sk_str(text, SK_NAME_BYTES_MAX), NULL), SK_OK);
  assert_int_equal(sk_name_check("task", sk_str(text, SK_NAME_BYTES_MAX + 1), &err), SK_ELIMIT);
  assert_non_null(strstr(err.message, "201 bytes, expected at most 200"));
  assert_true(strlen(err.message) < 150);
  assert_int_equal(sk_id_check(sk_str(text, SK_ID_BYTES_MAX), NULL), SK_OK);
  assert_int_equal(sk_id_check(sk_str(text, SK_ID_BYTES_MAX + 1), NULL), SK_ELIMIT);
  assert_int_equal(sk_id_check(SK_STR_LIT(""), NULL), SK_EINVAL);
}

/* A wrong byte at any place of a name of any length is found: names are checked some bytes at a time. */
static void a_wrong_byte_is_found_at_every_place(void **state) {
  (void)state;
  char text[SK_ID_BYTES_MAX], expected[48];
  struct sk_err err;
  for (size_t n = 1; n <= sizeof text; n++) {
    for (size_t at = 0; at < n; at++) {
      memset(text, 'n', n);
      text[at] = (char)0x80;
      assert_int_equal(sk_id_check(sk_str(text, n), &err), SK_EINVAL);
      snprintf(expected, sizeof expected, "byte %zu is 0x80,", at + 1);
      assert_non_null(strstr(err.message, expected));
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(names_are_letters_digits_and_four_signs),
    cmocka_unit_test(a_refused_name_is_shown_printable_and_cut),
    cmocka_unit_test(names_and_ids_are_accepted_at_their_limit_and_refused_one_past_it),
    cmocka_unit_test(a_wrong_byte_is_found_at_every_place),
  };
  return cmocka_run_group_tests_name("name", tests, NULL, NULL);
}
