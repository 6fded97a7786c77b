/* values_test.c - numbers, durations, sizes and times as people type them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <time.h>

#include "app/values.c" /* the library has no application code */

static int in_berlin(void **state) {
  (void)state;
  setenv("TZ", "Europe/Berlin", 1);
  tzset();
  return 0;
}

static void durations(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int64_t ms;
  } good[] = {
    { "0", 0 },        { "1.5", 1500 },    { "250ms", 250 }, { "10s", 10000 }, { "5m", 300000 },
    { "2h", 7200000 }, { "1d", 86400000 }, { ".5s", 500 },   { "1M", 60000 },  { "3153600000", 3153600000000 }
  };
  int64_t ms;
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    assert_int_equal(sk_value_duration(sk_str_c(good[i].text), &ms, NULL), SK_OK);
    assert_int_equal(ms, good[i].ms);
  }
  static const char *const bad[] = { "",    "s",   "-1",   "1x",    "1 s",        "1e3",
                                     "inf", "nan", "0x10", "1.2.3", "3153600001", "1mss" };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_int_equal(sk_value_duration(sk_str_c(bad[i]), &ms, NULL), SK_EINVAL);
}

static void sizes(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int64_t bytes;
  } good[] = { { "0", 0 },
               { "1000", 1000 },
               { "512KB", 524288 },
               { "256MB", 268435456 },
               { "256m", 268435456 },
               { "1.5GiB", 1610612736 } };
  int64_t bytes;
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    assert_int_equal(sk_value_bytes(sk_str_c(good[i].text), &bytes, NULL), SK_OK);
    assert_int_equal(bytes, good[i].bytes);
  }
  static const char *const bad[] = { "", "MB", "-1", "1TB", "many", "9999999999GB" };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_int_equal(sk_value_bytes(sk_str_c(bad[i]), &bytes, NULL), SK_EINVAL);
}

static void points_in_time(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int64_t ms;
  } good[] = {
    { "1795298400", 1795298400000 },
    { "1795298400.25", 1795298400250 },
    { "2026-11-21T22:00:00Z", 1795298400000 },
    { "2026-11-21T22:00:00.25Z", 1795298400250 },
    { "2026-11-22T00:00+02:00", 1795298400000 },
    { "2026-11-21T14:30:00-0730", 1795298400000 },
    { "2026-11-21 23:00", 1795298400000 },    /* Berlin, winter */
    { "2026-07-01T12:00:00", 1782900000000 }, /* Berlin, summer */
    { "2026-11-22", 1795302000000 },
  };
  int64_t ms;
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    assert_int_equal(sk_value_time(sk_str_c(good[i].text), &ms, NULL), SK_OK);
    assert_int_equal(ms, good[i].ms);
  }
  static const char *const bad[] = { "",
                                     "tomorrow",
                                     "2026-02-30",
                                     "2026-13-01",
                                     "2026-11-21T25:00Z",
                                     "2026-11-21T",
                                     "2026-11-21 22:60",
                                     "2026-11-21T22:00:00+",
                                     "2026-1-1",
                                     "2026-11-21T22:00:00Zx",
                                     "9999-01-01",
                                     "9999999999",
                                     "1969-12-31" };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_int_equal(sk_value_time(sk_str_c(bad[i]), &ms, NULL), SK_EINVAL);
}

static void whole_numbers(void **state) {
  (void)state;
  int64_t v;
  assert_int_equal(sk_value_int(SK_STR_LIT("-2"), -2, 2, &v, NULL), SK_OK);
  assert_int_equal(v, -2);
  static const char *const bad[] = { "", "-", "3", "-3", "1.0", "1x", "99999999999999999999999999" };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_int_equal(sk_value_int(sk_str_c(bad[i]), -2, 2, &v, NULL), SK_EINVAL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(durations),
    cmocka_unit_test(sizes),
    cmocka_unit_test(points_in_time),
    cmocka_unit_test(whole_numbers),
  };
  return cmocka_run_group_tests_name("values", tests, in_berlin, NULL);
}
