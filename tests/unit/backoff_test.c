/* backoff_test.c - delays between attempts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "logic/backoff.h"

#define MAX_MS (SK_SECONDS_MAX * 1000)

static int64_t delay(const char *text, int64_t n) { return sk_backoff_delay_ms(sk_str_c(text), n, 0); }

static uint64_t seed = 1;
static uint64_t next_random(void) {
  uint64_t high = (seed = seed * 6364136223846793005u + 1442695040888963407u) >> 32;
  return high << 32 | (seed = seed * 6364136223846793005u + 1442695040888963407u) >> 32;
}

static void the_default_is_20_plus_a_random_share_plus_the_fourth_power(void **state) {
  (void)state;
  for (int64_t n = 0; n < 30; n++)
    for (uint64_t r = 0; r < 20; r++) {
      int64_t expected = (20 + (int64_t)r * (n + 1) + n * n * n * n) * 1000;
      assert_int_equal(sk_backoff_delay_ms(SK_STR_LIT("exponential"), n, r), expected);
      assert_int_equal(sk_backoff_delay_ms(sk_str(NULL, 0), n, r + 20 * 12345), expected);
    }
}

static void each_kind_follows_its_sequence(void **state) {
  (void)state;
  const struct {
    const char *text;
    int64_t seconds[6];
  } cases[] = {
    { "exponential;base=2", { 2, 4, 8, 16, 32, 64 } },
    { "fibonacci", { 1, 2, 3, 5, 8, 13 } },
    { "fibonacci;base=10", { 10, 20, 30, 50, 80, 130 } },
    { "linear", { 10, 20, 30, 40, 50, 60 } },
    { "linear;base=3", { 3, 6, 9, 12, 15, 18 } },
    { "constant", { 10, 10, 10, 10, 10, 10 } },
    { "constant;base=0", { 0, 0, 0, 0, 0, 0 } },
    { "list;1;5;30", { 1, 5, 30, 30, 30, 30 } },
    { "list;0", { 0, 0, 0, 0, 0, 0 } },
    { "exponential;base=2;max=10", { 2, 4, 8, 10, 10, 10 } },
    { "linear;max=25", { 10, 20, 25, 25, 25, 25 } },
    { "exponential;max=21", { 20, 21, 21, 21, 21, 21 } },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_int_equal(sk_backoff_check(sk_str_c(cases[i].text), NULL), SK_OK);
    for (int n = 0; n < 6; n++) assert_int_equal(delay(cases[i].text, n), cases[i].seconds[n] * 1000);
  }
}

static void decimals_count_to_the_millisecond(void **state) {
  (void)state;
  assert_int_equal(delay("constant;base=0.25", 0), 250);
  assert_int_equal(delay("constant;base=1.5", 0), 1500);
  assert_int_equal(delay("list;0.001;0.0004;0.0005", 0), 1);
  assert_int_equal(delay("list;0.001;0.0004;0.0005", 1), 0);
  assert_int_equal(delay("list;0.001;0.0004;0.0005", 2), 1);
  assert_int_equal(delay("fibonacci;base=0.123456", 1), 247);
}

static void nothing_overflows_or_is_negative(void **state) {
  (void)state;
  const char *texts[] = { "",
                          "exponential;base=2",
                          "exponential;base=0.000001",
                          "exponential;base=3153600000",
                          "fibonacci",
                          "fibonacci;base=3153600000",
                          "linear",
                          "linear;base=3153600000;jitter=1",
                          "exponential;jitter=1" };
  const int64_t counts[] = { INT64_MIN,      -1,        0,        1, 50, 61, 62, 63, 64, 80, 237, 238, 300, 301,
                             SK_RETRIES_MAX, INT32_MAX, INT64_MAX };
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++)
      for (int round = 0; round < 20; round++) {
        int64_t ms = sk_backoff_delay_ms(sk_str_c(texts[i]), counts[k], round ? next_random() : UINT64_MAX);
        assert_true(ms >= 0 && ms <= MAX_MS);
      }
  assert_int_equal(delay("exponential;base=0.000001", SK_RETRIES_MAX), MAX_MS);
  assert_int_equal(delay("linear", INT64_MAX), MAX_MS);
  assert_int_equal(delay("exponential;base=0", INT64_MAX), 0);
  assert_int_equal(delay("", -5), delay("", 0));
}

static void delays_without_jitter_never_fall_as_failures_go_on(void **state) {
  (void)state;
  const char *texts[] = { "exponential", "exponential;base=0.5", "fibonacci", "linear", "constant", "list;1;2;3" };
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    for (int64_t n = 0; n < 400; n++) assert_true(delay(texts[i], n + 1) >= delay(texts[i], n));
}

static void jitter_spreads_both_ways_within_its_fraction_and_never_past_max(void **state) {
  (void)state;
  int64_t low = INT64_MAX, high = 0, sum = 0;
  for (int i = 0; i < 10000; i++) {
    int64_t ms = sk_backoff_delay_ms(SK_STR_LIT("constant;base=100;jitter=0.1"), 0, next_random());
    assert_true(ms >= 90000 && ms <= 110000);
    if (ms < low) low = ms;
    if (ms > high) high = ms;
    sum += ms;
    assert_true(sk_backoff_delay_ms(SK_STR_LIT("constant;base=100;jitter=0.1;max=100"), 0, next_random()) <= 100000);
  }
  assert_true(low < 90500 && high > 109500);
  assert_true(sum / 10000 > 99500 && sum / 10000 < 100500);
}

static void a_list_holds_64_numbers_and_not_65(void **state) {
  (void)state;
  char text[400] = "list";
  for (int i = 0; i < SK_BACKOFF_STEPS_MAX; i++) snprintf(text + strlen(text), sizeof text - strlen(text), ";%d", i);
  assert_int_equal(sk_backoff_check(sk_str_c(text), NULL), SK_OK);
  assert_int_equal(delay(text, 1000), 63000);
  strcat(text, ";7");
  assert_int_equal(sk_backoff_check(sk_str_c(text), NULL), SK_ELIMIT);
}

static void numbers_reach_a_hundred_years_and_no_further(void **state) {
  (void)state;
  assert_int_equal(delay("constant;base=3153600000", 0), MAX_MS);
  assert_int_equal(sk_backoff_check(SK_STR_LIT("constant;base=3153600000"), NULL), SK_OK);
  assert_int_equal(sk_backoff_check(SK_STR_LIT("constant;base=3153600000.000001"), NULL), SK_ELIMIT);
  assert_int_equal(sk_backoff_check(SK_STR_LIT("list;99999999999999999999999999"), NULL), SK_ELIMIT);
}

static void what_is_no_backoff_is_refused_by_name_and_counts_as_the_default(void **state) {
  (void)state;
  const char *bad[] = { "quadratic",
                        "Exponential",
                        "exponential ",
                        ";",
                        "list",
                        "list;",
                        "list;;1",
                        "list;-1",
                        "list;1e3",
                        "list;1;base=2",
                        "constant;",
                        "constant;base=",
                        "constant;base=-1",
                        "constant;base=1.",
                        "constant;base=.5",
                        "constant;base=1.1234567",
                        "constant;base=1;base=2",
                        "constant;jitter=1.1",
                        "constant;1",
                        "list;1;max=2;3",
                        "constant;base=nan",
                        "constant;Base=1" };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct sk_err err = { 0 };
    assert_int_equal(sk_backoff_check(sk_str_c(bad[i]), &err), SK_EINVAL);
    assert_memory_equal(err.message, "backoff \"", 9);
    assert_non_null(strstr(err.message, "expected "));
    assert_int_equal(delay(bad[i], 3), delay("", 3));
  }
  struct sk_err err;
  sk_backoff_check(SK_STR_LIT("constant;jitter=2"), &err);
  assert_string_equal(err.message, "backoff \"jitter=2\": expected a fraction from 0 to 1");
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(the_default_is_20_plus_a_random_share_plus_the_fourth_power),
    cmocka_unit_test(each_kind_follows_its_sequence),
    cmocka_unit_test(decimals_count_to_the_millisecond),
    cmocka_unit_test(nothing_overflows_or_is_negative),
    cmocka_unit_test(delays_without_jitter_never_fall_as_failures_go_on),
    cmocka_unit_test(jitter_spreads_both_ways_within_its_fraction_and_never_past_max),
    cmocka_unit_test(a_list_holds_64_numbers_and_not_65),
    cmocka_unit_test(numbers_reach_a_hundred_years_and_no_further),
    cmocka_unit_test(what_is_no_backoff_is_refused_by_name_and_counts_as_the_default),
  };
  return cmocka_run_group_tests_name("backoff", tests, NULL, NULL);
}
