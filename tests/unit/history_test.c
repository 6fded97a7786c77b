/* history_test.c - what has happened to a job, and what it has logged: lines, bounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/limits.h"
#include "logic/history.h"

static size_t count_lines(struct sk_str s) {
  size_t n = 0;
  for (size_t i = 0; i < s.n; i++) n += s.p[i] == '\n';
  return n;
}

static struct sk_job job_with(const char *error, enum sk_error_kind kind) {
  struct sk_job job;
  sk_job_init(&job);
  job.error = sk_str_c(error);
  job.error_kind = kind;
  return job;
}

#define assert_history(job, end, text)                                                                                 \
  do {                                                                                                                 \
    struct sk_buf out_ = { 0 };                                                                                        \
    sk_history_extend(&(job), &(end), &out_);                                                                          \
    sk_buf_add_byte(&out_, '\0');                                                                                      \
    assert_string_equal(out_.p, text);                                                                                 \
    sk_buf_fini(&out_);                                                                                                \
  } while (0)

static void an_attempt_is_told_from_its_start_to_what_becomes_of_the_job(void **state) {
  (void)state;
  struct sk_decision retry = { .kind = SK_SETTLE_RETRY, .delay_ms = 1500 }, dead = { .kind = SK_SETTLE_DEAD },
                     done = { .kind = SK_SETTLE_DONE };
  struct sk_history_end end = {
    .engine = SK_STR_LIT("E"), .worker = 2, .started_ms = 10, .now_ms = 20, .ending = SK_END_FAILED, .decision = &retry
  };
  struct sk_job job = job_with("oh\tno\nsecond line", SK_KIND_ERROR);
  job.attempts = 1;
  assert_history(job, end, "10 started engine=E worker=2 attempt=1\n20 failed error oh no\n20 retry in 1.5 s\n");
  job.history = SK_STR_LIT("5 done\n");
  job.error_kind = SK_KIND_EXPIRED;
  end = (struct sk_history_end){ .now_ms = 20, .ending = SK_END_EXPIRED, .decision = &dead };
  assert_history(job, end, "5 done\n20 failed expired oh no\n20 dead\n");
  job = job_with("", SK_KIND_NONE);
  job.attempts = 3;
  end = (struct sk_history_end){
    .engine = SK_STR_LIT("E"), .worker = 1, .started_ms = 7, .now_ms = 8, .ending = SK_END_RETURNED, .decision = &done
  };
  assert_history(job, end, "7 started engine=E worker=1 attempt=3\n8 done\n");
}

static void each_way_to_end_has_its_words(void **state) {
  (void)state;
  const struct {
    enum sk_ending ending;
    struct sk_decision decision;
    const char *text;
  } cases[] = {
    { SK_END_SNOOZED, { .kind = SK_SETTLE_SNOOZE, .delay_ms = 3000 }, "9 snoozed 3 s\n" },
    { SK_END_CRASHED, { .kind = SK_SETTLE_RELEASE }, "9 crashed why\n" },
    { SK_END_CRASHED, { .kind = SK_SETTLE_DEAD }, "9 crashed why\n9 dead\n" },
    { SK_END_UNKNOWN_TASK, { .kind = SK_SETTLE_SNOOZE, .delay_ms = 5000 }, "9 failed error why\n9 snoozed 5 s\n" },
    { SK_END_FATAL, { .kind = SK_SETTLE_DEAD }, "9 failed error why\n9 dead\n" },
    { SK_END_CANCELLED, { .kind = SK_SETTLE_CANCELLED }, "9 cancelled\n" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct sk_job job = job_with("why", SK_KIND_ERROR);
    struct sk_history_end end = { .now_ms = 9, .ending = cases[i].ending, .decision = &cases[i].decision };
    assert_history(job, end, cases[i].text);
  }
}

static void a_take_over_is_told_once(void **state) {
  (void)state;
  struct sk_decision done = { .kind = SK_SETTLE_DONE };
  struct sk_history_end end = { .now_ms = 9, .ending = SK_END_RETURNED, .decision = &done };
  struct sk_job job = job_with("", SK_KIND_NONE);
  job.recoveries = 2;
  assert_history(job, end, "9 recovered 2\n9 done\n");
  job.history = SK_STR_LIT("3 recovered 2\n");
  assert_history(job, end, "3 recovered 2\n9 done\n");
}

static void the_oldest_events_go_first(void **state) {
  (void)state;
  struct sk_buf history = { 0 }, out = { 0 };
  for (int i = 0; i < SK_HISTORY_EVENTS_MAX; i++) sk_buf_addf(&history, "%d done\n", i);
  struct sk_decision done = { .kind = SK_SETTLE_DONE };
  struct sk_history_end end = { .now_ms = 99, .ending = SK_END_RETURNED, .decision = &done };
  struct sk_job job = job_with("", SK_KIND_NONE);
  job.history = sk_buf_str(&history);
  sk_history_extend(&job, &end, &out);
  assert_int_equal(count_lines(sk_buf_str(&out)), SK_HISTORY_EVENTS_MAX);
  assert_true(sk_str_starts(sk_buf_str(&out), "1 done\n2 done\n"));
  sk_buf_fini(&history);
  sk_buf_fini(&out);
}

static void lines_are_kept_whole_within_their_bytes(void **state) {
  (void)state;
  struct sk_str old = SK_STR_LIT("1 aaaa\n2 bbbb\n"), new = SK_STR_LIT("3 cccc\n");
  const struct {
    size_t lines_max, bytes_max;
    const char *text;
  } cases[] = {
    { 9, 21, "1 aaaa\n2 bbbb\n3 cccc\n" },
    { 9, 20, "2 bbbb\n3 cccc\n" },
    { 2, 99, "2 bbbb\n3 cccc\n" },
    { 1, 99, "3 cccc\n" },
    { 0, 99, "" },
    { 9, 6, "" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct sk_buf out = { 0 };
    sk_lines_tail(old, new, cases[i].lines_max, cases[i].bytes_max, &out);
    sk_buf_add_byte(&out, '\0');
    assert_string_equal(out.p, cases[i].text);
    sk_buf_fini(&out);
  }
}

static void a_text_is_as_many_lines_as_it_has(void **state) {
  (void)state;
  struct sk_buf out = { 0 };
  sk_lines_add(&out, 5, SK_STR_LIT("one\n\x01two\n"), 3);
  sk_lines_add(&out, 6, SK_STR_LIT("three"), 3);
  struct sk_str rest = sk_buf_str(&out), text;
  int64_t ms;
  const char *const expected[] = { "one", " tw", "thr" };
  for (size_t i = 0; i < 3; i++) {
    assert_true(sk_lines_next(&rest, &ms, &text));
    assert_true(sk_str_eq_c(text, expected[i]));
    assert_int_equal(ms, i < 2 ? 5 : 6);
  }
  assert_false(sk_lines_next(&rest, &ms, &text));
  sk_buf_fini(&out);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(an_attempt_is_told_from_its_start_to_what_becomes_of_the_job),
    cmocka_unit_test(each_way_to_end_has_its_words),
    cmocka_unit_test(a_take_over_is_told_once),
    cmocka_unit_test(the_oldest_events_go_first),
    cmocka_unit_test(lines_are_kept_whole_within_their_bytes),
    cmocka_unit_test(a_text_is_as_many_lines_as_it_has),
  };
  return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
