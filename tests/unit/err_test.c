/* err_test.c - codes and sentences of errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/err.h"

static void errors_carry_code_and_sentence_and_can_be_wrapped(void **state) {
  (void)state;
  struct sk_err err;
  assert_int_equal(sk_err_set(&err, SK_ELIMIT, "args: %d bytes", 5), SK_ELIMIT);
  assert_int_equal(sk_err_wrap(&err, "job \"%s\"", "x"), SK_ELIMIT);
  assert_string_equal(err.message, "job \"x\": args: 5 bytes");
  assert_string_equal(sk_code_name(err.code), "limit");
  assert_int_equal(sk_err_set(NULL, SK_ESTALE, "nobody listens"), SK_ESTALE);
}

static void a_sentence_too_long_is_cut_not_overrun(void **state) {
  (void)state;
  struct sk_err err;
  static char text[2000];
  memset(text, 'y', sizeof text - 1);
  sk_err_set(&err, SK_EINVAL, "%s", text);
  assert_int_equal(strlen(err.message), sizeof err.message - 1);
  sk_err_wrap(&err, "%s", text);
  sk_err_wrap(&err, "cause");
  assert_memory_equal(err.message, "cause: yyy", 10);
  assert_int_equal(strlen(err.message), sizeof err.message - 1);
}

static void every_code_has_a_name_of_its_own(void **state) {
  (void)state;
  for (int a = SK_OK; a <= SK_ESYS; a++)
    for (int b = SK_OK; b < a; b++)
      assert_string_not_equal(sk_code_name((enum sk_code)a), sk_code_name((enum sk_code)b));
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(errors_carry_code_and_sentence_and_can_be_wrapped),
    cmocka_unit_test(a_sentence_too_long_is_cut_not_overrun),
    cmocka_unit_test(every_code_has_a_name_of_its_own),
  };
  return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
