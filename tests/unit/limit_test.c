/* limit_test.c - the text forms of locks and limits, and the bucket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* cmocka needs those before it. */
#include <cmocka.h>

#include "base/limits.h"
#include "logic/limit.h"
#include "logic/lock.h"

static void a_lock_is_read(void **state) {
  (void)state;
  struct sk_lock lock;
  assert_int_equal(sk_lock_parse(SK_STR_LIT("replace;600000;=mail:a;b"), &lock, NULL), SK_OK);
  assert_int_equal(lock.mode, SK_LOCK_REPLACE);
  assert_int_equal(lock.ttl_ms, 600000);
  assert_true(sk_str_eq_c(lock.key, "mail:a;b"));
  assert_int_equal(sk_lock_parse(sk_str(NULL, 0), &lock, NULL), SK_OK);
  assert_int_equal(lock.mode, SK_LOCK_NONE);
}

static void a_lock_that_makes_no_sense_is_refused(void **state) {
  (void)state;
  static const char *const bad[] = { "reject",
                                     "reject;",
                                     "reject;1",
                                     "reject;1;",
                                     "reject;1;=",
                                     "reject;1;args",
                                     "reject;-1;=k",
                                     "reject;;=k",
                                     "debounce;1;=k",
                                     "other;1;=k",
                                     "throttle;0;=k",
                                     "reject;1x;=k",
                                     ";;",
                                     "reject;9999999999999999999;=k" };
  struct sk_lock lock;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_int_equal(sk_lock_parse(sk_str_c(bad[i]), &lock, NULL), SK_EINVAL);
    assert_int_equal(lock.mode, SK_LOCK_NONE);
  }
  assert_int_equal(sk_lock_parse(SK_STR_LIT("reject;3153600000001;=k"), &lock, NULL), SK_ELIMIT);
}

static void a_key_may_have_so_many_bytes_and_no_more(void **state) {
  (void)state;
  char text[64 + SK_KEY_BYTES_MAX + 1];
  struct sk_lock lock;
  struct sk_limit limit;
  const struct sk_str lock_head = SK_STR_LIT("reject;0;="), limit_head = SK_STR_LIT("1;0;0;0;any;=");
  memset(text, 'k', sizeof text);
  memcpy(text, lock_head.p, lock_head.n);
  assert_int_equal(sk_lock_parse(sk_str(text, lock_head.n + SK_KEY_BYTES_MAX), &lock, NULL), SK_OK);
  assert_int_equal(sk_lock_parse(sk_str(text, lock_head.n + SK_KEY_BYTES_MAX + 1), &lock, NULL), SK_ELIMIT);
  memcpy(text, limit_head.p, limit_head.n);
  assert_int_equal(sk_limit_parse(sk_str(text, limit_head.n + SK_KEY_BYTES_MAX), &limit, NULL), SK_OK);
  assert_int_equal(sk_limit_parse(sk_str(text, limit_head.n + SK_KEY_BYTES_MAX + 1), &limit, NULL), SK_ELIMIT);
}

static void a_limit_is_read(void **state) {
  (void)state;
  struct sk_limit l;
  assert_int_equal(sk_limit_parse(SK_STR_LIT("5;100;60000;10;any;=tenant;1"), &l, NULL), SK_OK);
  assert_int_equal(l.concurrency, 5);
  assert_int_equal(l.rate, 100);
  assert_int_equal(l.per_ms, 60000);
  assert_int_equal(l.burst, 10);
  assert_false(l.strict);
  assert_true(sk_str_eq_c(l.group, "tenant;1"));
  assert_int_equal(sk_limit_parse(SK_STR_LIT("1;0;0;0;strict;=k"), &l, NULL), SK_OK);
  assert_true(l.strict);
  static const char *const bad[] = { "1",
                                     "1;0;0;0;any",
                                     "1;0;0;0;any;=",
                                     "1;0;0;0;any;task",
                                     "2;0;0;0;strict;=k",
                                     "1;5;0;1;any;=k",
                                     "1;5;1;0;any;=k",
                                     "1;0;1;0;any;=k",
                                     "1;0;0;0;some;=k",
                                     ";0;0;0;any;=k",
                                     "-1;0;0;0;any;=k" };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_int_equal(sk_limit_parse(sk_str_c(bad[i]), &l, NULL), SK_EINVAL);
    assert_int_equal(l.group.n, 0);
  }
  assert_int_equal(sk_limit_parse(SK_STR_LIT("1000000001;0;0;0;any;=k"), &l, NULL), SK_ELIMIT);
}

/* Returns how long ten times `rate` starts take.  Each start happens as soon as there is a token and somebody looks,
 * which is up to late_us later. */
static int64_t start_all(const struct sk_limit *l, int64_t late_us) {
  static int64_t starts[50000];
  int64_t full = 0, now = 1000000000, wait;
  size_t rate = (size_t)l->rate, n = 10 * rate, i = 0;
  for (; i<n; now += wait> 0 ? wait + late_us * (int64_t)(i % 7) / 6 : 0) {
    wait = sk_limit_wait_us(l, full, now);
    if (wait > 0) continue;
    full = sk_limit_take(l, full, now);
    starts[i++] = now;
  }
  for (i = rate; i < n; i++) assert_true(starts[i] - starts[i - rate] >= l->per_ms * 1000);
  return starts[n - 1] - starts[0];
}

static void a_bucket_of_one_never_lets_more_than_the_rate_into_a_window(void **state) {
  (void)state;
  const struct sk_limit few = { .rate = 7, .per_ms = 1000, .burst = 1 },
                        many = { .rate = 1000, .per_ms = 1000, .burst = 1 };
  const struct sk_limit short_one = { .rate = 30, .per_ms = 10, .burst = 1 };
  assert_true(start_all(&few, 0) < 9860000); /* and not slower than that */
  assert_true(start_all(&many, 0) < 10250000);
  assert_true(start_all(&short_one, 0) < 105000);
}

static void a_bucket_of_one_loses_little_when_tokens_are_taken_late(void **state) {
  (void)state;
  const int64_t rates[] = { 50, 200, 1000, 5000 };
  for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
    const struct sk_limit l = { .rate = rates[i], .per_ms = 1000, .burst = 1 };
    assert_true(start_all(&l, 8000) < 10500000);
  }
}

static void a_burst_is_let_in_at_once_and_fills_up_again(void **state) {
  (void)state;
  const struct sk_limit l = { .rate = 10, .per_ms = 1000, .burst = 5 };
  int64_t full = 0, now = 5000000;
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < 5; i++) {
      assert_int_equal(sk_limit_wait_us(&l, full, now), 0);
      full = sk_limit_take(&l, full, now);
    }
    assert_int_equal(sk_limit_wait_us(&l, full, now), 100000);
    now = full; /* full again: 500 ms later */
  }
  assert_int_equal(now, 6000000);
}

static void numbers_are_accepted_at_their_limit_and_refused_one_past_it(void **state) {
  (void)state;
  const long long concurrency = SK_LIMIT_CONCURRENCY_MAX, rate = SK_LIMIT_RATE_MAX, per_ms = SK_SECONDS_MAX * 1000;
  const long long numbers[][4] = {
    { concurrency, rate, per_ms, rate }, /* each at its limit; then one of them one past it */
    { concurrency + 1, rate, per_ms, rate }, { concurrency, rate + 1, per_ms, rate },
    { concurrency, rate, per_ms + 1, rate }, { concurrency, rate, per_ms, rate + 1 },
  };
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    const long long *n = numbers[i];
    char text[120];
    struct sk_limit limit;
    snprintf(text, sizeof text, "%lld;%lld;%lld;%lld;any;=g", n[0], n[1], n[2], n[3]);
    assert_int_equal(sk_limit_parse(sk_str_c(text), &limit, NULL), i == 0 ? SK_OK : SK_ELIMIT);
    assert_int_equal(limit.group.n, i == 0 ? 1 : 0);
  }
}

static void declare_in_turn(int declarations, struct sk_buf *past) {
  struct sk_buf next = { 0 };
  for (int i = 1; i < declarations; i++) {
    char before[32], now[32];
    snprintf(before, sizeof before, "%d;0;0;0;any", i);
    snprintf(now, sizeof now, "%d;0;0;0;any", i + 1);
    sk_buf_clear(&next);
    sk_limit_past_add(sk_buf_str(past), sk_str_c(before), sk_str_c(now), &next);
    sk_buf_clear(past);
    sk_buf_add_str(past, sk_buf_str(&next));
  }
  assert_false(past->failed || next.failed);
  sk_buf_fini(&next);
}

/* A task that was declared many times with other numbers knows the last SK_LIMIT_PAST_MAX of them and no older one. */
static void so_many_earlier_limits_of_a_task_are_known_and_no_more(void **state) {
  (void)state;
  enum { DECLARATIONS = SK_LIMIT_PAST_MAX + 3 };
  struct sk_buf past = { 0 };
  declare_in_turn(DECLARATIONS, &past);
  for (int i = 1; i < DECLARATIONS; i++) {
    struct sk_limit limit = { .group = SK_STR_LIT("g"), .concurrency = i };
    bool known = i >= DECLARATIONS - SK_LIMIT_PAST_MAX;
    assert_int_equal(sk_limit_renew(sk_buf_str(&past), &limit), known);
    assert_int_equal(limit.concurrency, known ? DECLARATIONS : i);
  }
  sk_buf_fini(&past);
}

static void absurd_numbers_do_not_overflow(void **state) {
  (void)state;
  const struct sk_limit l = { .rate = 1, .per_ms = SK_SECONDS_MAX * 1000, .burst = SK_LIMIT_RATE_MAX };
  int64_t now = 1800000000000000, full = now;
  for (int i = 0; i < 5000; i++) full = sk_limit_take(&l, full, now);
  assert_true(full == INT64_MAX);
  assert_int_equal(sk_limit_wait_us(&l, full, now), 0);
}

static void without_a_rate_there_is_no_wait(void **state) {
  (void)state;
  const struct sk_limit l = { .concurrency = 1 };
  assert_int_equal(sk_limit_wait_us(&l, INT64_MAX, 0), 0);
  assert_int_equal(sk_limit_take(&l, 42, 1000), 42);
}

static void a_bucket_is_never_further_from_full_than_an_empty_one(void **state) {
  (void)state;
  const struct sk_limit l = { .rate = 10, .per_ms = 1000, .burst = 4 };
  const int64_t hour = 3600LL * 1000 * 1000;
  int64_t full = 0;
  for (int i = 0; i < 4; i++) full = sk_limit_take(&l, full, hour);
  assert_int_equal(sk_limit_wait_us(&l, full, hour), 100000);
  assert_int_equal(sk_limit_clamp(&l, full, hour), full);
  assert_int_equal(sk_limit_clamp(&l, full, hour - 1000000), full); /* a second is no step */
  full = sk_limit_clamp(&l, full, 0);                               /* the clock was set back by an hour */
  assert_int_equal(sk_limit_wait_us(&l, full, 0), 100000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_lock_is_read),
    cmocka_unit_test(a_lock_that_makes_no_sense_is_refused),
    cmocka_unit_test(a_key_may_have_so_many_bytes_and_no_more),
    cmocka_unit_test(a_limit_is_read),
    cmocka_unit_test(a_bucket_of_one_never_lets_more_than_the_rate_into_a_window),
    cmocka_unit_test(a_bucket_of_one_loses_little_when_tokens_are_taken_late),
    cmocka_unit_test(a_burst_is_let_in_at_once_and_fills_up_again),
    cmocka_unit_test(numbers_are_accepted_at_their_limit_and_refused_one_past_it),
    cmocka_unit_test(so_many_earlier_limits_of_a_task_are_known_and_no_more),
    cmocka_unit_test(absurd_numbers_do_not_overflow),
    cmocka_unit_test(without_a_rate_there_is_no_wait),
    cmocka_unit_test(a_bucket_is_never_further_from_full_than_an_empty_one),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
