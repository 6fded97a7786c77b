/* lease_test.c - when an engine counts as gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/limits.h"
#include "logic/lease.h"
#include "store/watch.h"

enum { LEASE = 15000, BEAT = LEASE / SK_BEATS_PER_LEASE };

static bool look_at(struct sk_watches *w, int64_t now_ms, uint64_t mark) {
  sk_watches_begin(w, now_ms, LEASE);
  bool gone = sk_watches_look(w, SK_STR_LIT("other"), mark, LEASE);
  sk_watches_end(w);
  return gone;
}

static void an_engine_whose_mark_stands_still_for_a_lease_is_gone(void **state) {
  (void)state;
  struct sk_watches w = { 0 };
  for (int i = 0; i < SK_BEATS_PER_LEASE; i++) assert_false(look_at(&w, i * BEAT, 7));
  assert_true(look_at(&w, LEASE, 7));
  sk_watches_fini(&w);
}

static void one_whose_mark_moves_lives(void **state) {
  (void)state;
  struct sk_watches w = { 0 };
  for (int i = 0; i < 100; i++) assert_false(look_at(&w, i * BEAT, (uint64_t)i / 3));
  sk_watches_fini(&w);
}

static void a_judge_that_missed_its_own_lease_begins_anew(void **state) {
  (void)state;
  struct sk_watches w = { 0 };
  int64_t at = 0;
  for (int i = 0; i < 3; i++, at += BEAT) assert_false(look_at(&w, at, 7));
  at += LEASE;
  for (int i = 0; i < SK_BEATS_PER_LEASE; i++, at += BEAT) assert_false(look_at(&w, at, 7));
  assert_true(look_at(&w, at, 7));
  sk_watches_fini(&w);
}

static void a_long_gap_counts_as_one_beat(void **state) {
  (void)state;
  bool missed;
  assert_int_equal(sk_lease_counts(LEASE - 1, LEASE, &missed), BEAT);
  assert_false(missed);
  assert_int_equal(sk_lease_counts(BEAT - 1, LEASE, &missed), BEAT - 1);
  assert_int_equal(sk_lease_counts(LEASE, LEASE, &missed), 0);
  assert_true(missed);
  assert_int_equal(sk_lease_counts(-1, LEASE, &missed), 0);
  assert_true(missed);
}

static void each_engine_has_a_lease_of_its_own_length(void **state) {
  (void)state;
  struct sk_watches w = { 0 };
  for (int i = 0; i < 3; i++) {
    sk_watches_begin(&w, i * BEAT, LEASE);
    assert_int_equal(sk_watches_look(&w, SK_STR_LIT("short"), 1, 2 * BEAT), i == 2);
    assert_false(sk_watches_look(&w, SK_STR_LIT("long"), 1, 100 * BEAT));
    assert_int_equal(sk_watches_look(&w, SK_STR_LIT("short"), 1, 2 * BEAT), i == 2); /* once a round counts */
    sk_watches_end(&w);
  }
  sk_watches_fini(&w);
}

static void an_engine_that_was_forgotten_is_new(void **state) {
  (void)state;
  struct sk_watches w = { 0 };
  for (int i = 0; i < 3; i++) assert_false(look_at(&w, i * BEAT, 7));
  sk_watches_begin(&w, 3 * BEAT, LEASE); /* a round that does not name it */
  sk_watches_end(&w);
  assert_false(look_at(&w, 4 * BEAT, 7));
  sk_watches_fini(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(an_engine_whose_mark_stands_still_for_a_lease_is_gone),
    cmocka_unit_test(one_whose_mark_moves_lives),
    cmocka_unit_test(a_judge_that_missed_its_own_lease_begins_anew),
    cmocka_unit_test(a_long_gap_counts_as_one_beat),
    cmocka_unit_test(each_engine_has_a_lease_of_its_own_length),
    cmocka_unit_test(an_engine_that_was_forgotten_is_new),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
