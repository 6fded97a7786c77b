/* text_test.c - times and spans as people read them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <time.h>

#include "app/text.c" /* the library has no application code */

static void times_and_spans_read_well(void **state) {
  (void)state;
  char text[SK_TIME_BYTES];
  static const struct {
    int64_t ms;
    const char *text;
  } spans[] = { { 0, "0ms" },     { 999, "999ms" },     { 1500, "1.5s" },     { 59999, "59s" },
                { 120000, "2m" }, { 3600000, "1h00m" }, { 7800000, "2h10m" }, { 259200000, "3d" } };
  for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) {
    sk_text_span(spans[i].ms, text);
    assert_string_equal(text, spans[i].text);
  }
  sk_text_when(5000, 0, text);
  assert_string_equal(text, "in 5.0s");
  sk_text_when(600000, 30, text);
  assert_string_equal(text, "in 10m");
  sk_text_when(0, 180000, text);
  assert_string_equal(text, "3m ago");
  sk_text_time(-1, true, text);
  assert_string_equal(text, "1969-12-31T23:59:59.999Z");
  sk_text_time(INT64_MAX, true, text); /* beyond any calendar */
  assert_string_equal(text, "9223372036854775807");
}

static void times_are_local_with_their_offset_unless_utc_is_asked_for(void **state) {
  (void)state;
  char text[SK_TIME_BYTES];
  static const struct {
    const char *zone, *text;
  } cases[] = { { "Europe/Berlin", "2026-11-21T23:08:34.123+01:00" },
                { "America/St_Johns", "2026-11-21T18:38:34.123-03:30" },
                { "UTC", "2026-11-21T22:08:34.123+00:00" } };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    setenv("TZ", cases[i].zone, 1);
    tzset();
    sk_text_time(1795298914123, false, text);
    assert_string_equal(text, cases[i].text);
    sk_text_time(1795298914123, true, text);
    assert_string_equal(text, "2026-11-21T22:08:34.123Z");
  }
}

static void width_counts_characters_and_the_first_line_ends_before_its_newline(void **state) {
  (void)state;
  assert_int_equal(sk_text_width(SK_STR_LIT("")), 0);
  assert_int_equal(sk_text_width(SK_STR_LIT("\xc3\xa9t\xc3\xa9")), 3);
  assert_true(sk_str_eq_c(sk_text_first_line(SK_STR_LIT("one\ntwo")), "one"));
  assert_true(sk_str_eq_c(sk_text_first_line(SK_STR_LIT("one")), "one"));
  assert_int_equal(sk_text_first_line(SK_STR_LIT("\n")).n, 0);
  assert_int_equal(sk_text_first_line(sk_str(NULL, 0)).n, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(times_and_spans_read_well),
    cmocka_unit_test(times_are_local_with_their_offset_unless_utc_is_asked_for),
    cmocka_unit_test(width_counts_characters_and_the_first_line_ends_before_its_newline),
  };
  return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
