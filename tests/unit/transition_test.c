/* transition_test.c - what becomes of a job when an attempt ends: every row of the table in transition.h, and the
 * options. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/limits.h"
#include "logic/transition.h"

enum { NOW = 1000000, STARTED = 999000 };

static const struct sk_policy POLICY = { .crashes_max = 3, .unknown_max = 10, .unknown_delay_ms = 5000 };

static struct sk_job a_job(void) {
  struct sk_job job;
  sk_job_init(&job);
  job.id = SK_STR_LIT("id");
  job.task = SK_STR_LIT("task");
  job.queue = SK_STR_LIT("mail");
  job.enqueued_ms = 900000;
  return job;
}

static struct sk_job a_template(void) {
  struct sk_job t;
  sk_job_init(&t);
  t.task = SK_STR_LIT("task");
  return t;
}

static struct sk_decision end(struct sk_job *job, const struct sk_job *task, struct sk_outcome o) {
  if (o.started_ms == 0) o.started_ms = STARTED;
  return sk_transition(job, task, &o, &POLICY, NOW, 42);
}

/* The counts of a job, so that a row can say which one of them moved. */
static void assert_counts(const struct sk_job *job, int64_t attempts, int64_t crashes, int64_t unknowns) {
  assert_int_equal(job->attempts, attempts);
  assert_int_equal(job->crashes, crashes);
  assert_int_equal(job->unknowns, unknowns);
}

#define ENDED(kind_, ...) ((struct sk_outcome){ .ending = kind_, .delay_ms = SK_UNSET, ##__VA_ARGS__ })

#define DELAYED(kind_, ms) ((struct sk_outcome){ .ending = kind_, .delay_ms = ms })

static void returned_is_done_and_an_attempt(void **state) {
  (void)state;
  struct sk_job job = a_job();
  job.attempts = 2;
  job.error_kind = SK_KIND_ERROR;
  job.error = SK_STR_LIT("before");
  job.traceback = SK_STR_LIT("there");
  struct sk_decision d = end(&job, NULL, ENDED(SK_END_RETURNED, .result = SK_STR_LIT("[1]")));
  assert_int_equal(d.kind, SK_SETTLE_DONE);
  assert_counts(&job, 3, 0, 0);
  assert_true(sk_str_eq_c(job.result, "[1]"));
  assert_int_equal(job.error_kind, SK_KIND_NONE);
  assert_int_equal(job.error.n + job.traceback.n, 0);
  assert_int_equal(job.started_ms, STARTED);
  assert_int_equal(job.finished_ms, NOW);
}

static void a_done_job_is_kept_as_it_says_else_its_task_else_for_its_result(void **state) {
  (void)state;
  const struct {
    int64_t own, task;
    const char *result;
    int64_t keep_ms;
  } cases[] = {
    { SK_UNSET, SK_UNSET, "", 0 }, { SK_UNSET, SK_UNSET, "1", SK_KEEP_DEFAULT_MS },
    { SK_UNSET, 0, "1", 0 },       { SK_UNSET, 7000, "", 7000 },
    { 5000, 7000, "", 5000 },      { 0, 7000, "1", 0 },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct sk_job job = a_job(), task = a_template();
    job.keep_ms = cases[i].own;
    task.keep_ms = cases[i].task;
    assert_int_equal(end(&job, &task, ENDED(SK_END_RETURNED, .result = sk_str_c(cases[i].result))).keep_ms,
                     cases[i].keep_ms);
  }
}

static void failed_is_retried_until_its_retries_are_used_up(void **state) {
  (void)state;
  struct sk_job job = a_job(), task = a_template();
  task.retries = 2;
  task.backoff = SK_STR_LIT("constant");
  for (int64_t attempt = 1; attempt <= 2; attempt++) {
    struct sk_decision d =
        end(&job, &task, ENDED(SK_END_FAILED, .message = SK_STR_LIT("oh"), .traceback = SK_STR_LIT("at 1")));
    assert_int_equal(d.kind, SK_SETTLE_RETRY);
    assert_true(d.delay_ms > 0);
    assert_int_equal(d.to_queue.n, 0);
    assert_counts(&job, attempt, 0, 0);
    assert_int_equal(job.error_kind, SK_KIND_ERROR);
    assert_true(sk_str_eq_c(job.error, "oh") && sk_str_eq_c(job.traceback, "at 1"));
    assert_int_equal(job.finished_ms, 0);
  }
  struct sk_decision d = end(&job, &task, ENDED(SK_END_FAILED));
  assert_int_equal(d.kind, SK_SETTLE_DEAD);
  assert_counts(&job, 3, 0, 0);
  assert_int_equal(job.finished_ms, NOW);
}

static void timed_out_counts_like_failed_with_its_kind(void **state) {
  (void)state;
  struct sk_job job = a_job();
  assert_int_equal(end(&job, NULL, ENDED(SK_END_FAILED, .kind = SK_KIND_TIMEOUT)).kind, SK_SETTLE_RETRY);
  assert_int_equal(job.error_kind, SK_KIND_TIMEOUT);
  assert_counts(&job, 1, 0, 0);
}

static void without_an_option_there_are_27_retries(void **state) {
  (void)state;
  struct sk_job job = a_job();
  for (int i = 0; i < 27; i++) assert_int_equal(end(&job, NULL, ENDED(SK_END_FAILED)).kind, SK_SETTLE_RETRY);
  assert_int_equal(end(&job, NULL, ENDED(SK_END_FAILED)).kind, SK_SETTLE_DEAD);
}

static void the_jobs_own_options_win_over_the_tasks(void **state) {
  (void)state;
  struct sk_job job = a_job(), task = a_template();
  task.retries = 5;
  job.retries = 0;
  assert_int_equal(end(&job, &task, ENDED(SK_END_FAILED)).kind, SK_SETTLE_DEAD);
  assert_int_equal(sk_job_retries(&job, &task), 0);
  task.timeout_ms = 1000;
  assert_int_equal(sk_job_timeout_ms(&job, &task), 1000);
  job.timeout_ms = 0;
  assert_int_equal(sk_job_timeout_ms(&job, &task), 0);
  assert_int_equal(sk_job_timeout_ms(&job, NULL), 0);
}

static void a_handler_that_asks_for_a_delay_gets_it(void **state) {
  (void)state;
  struct sk_job job = a_job(), task = a_template();
  task.retries = 1;
  struct sk_decision d = end(&job, &task, DELAYED(SK_END_FAILED, 0));
  assert_int_equal(d.kind, SK_SETTLE_RETRY);
  assert_int_equal(d.delay_ms, 0);
  assert_int_equal(end(&job, &task, DELAYED(SK_END_FAILED, 77)).kind, SK_SETTLE_DEAD); /* none is left */
  job = a_job();
  assert_int_equal(end(&job, &task, DELAYED(SK_END_FAILED, 77)).delay_ms, 77);
}

static void retries_go_to_the_retry_queue_and_the_job_lives_there(void **state) {
  (void)state;
  struct sk_job job = a_job(), task = a_template();
  task.retry_queue = SK_STR_LIT("slow");
  assert_true(sk_str_eq_c(end(&job, &task, ENDED(SK_END_FAILED)).to_queue, "slow"));
  assert_true(sk_str_eq_c(job.queue, "slow"));
  job = a_job();
  job.retry_queue = SK_STR_LIT("slower");
  assert_true(sk_str_eq_c(end(&job, &task, ENDED(SK_END_FAILED)).to_queue, "slower"));
}

static void skein_fail_is_dead_at_once_and_an_attempt(void **state) {
  (void)state;
  struct sk_job job = a_job();
  assert_int_equal(end(&job, NULL, ENDED(SK_END_FATAL, .message = SK_STR_LIT("no"))).kind, SK_SETTLE_DEAD);
  assert_counts(&job, 1, 0, 0);
  assert_int_equal(job.error_kind, SK_KIND_FAIL);
  assert_int_equal(job.finished_ms, NOW);
}

static void a_discarded_job_is_gone_and_counts_nothing(void **state) {
  (void)state;
  struct sk_job job = a_job();
  assert_int_equal(end(&job, NULL, ENDED(SK_END_DISCARDED)).kind, SK_SETTLE_DROP);
  assert_counts(&job, 0, 0, 0);
}

static void a_snoozed_job_is_scheduled_again_and_counts_nothing(void **state) {
  (void)state;
  struct sk_job job = a_job();
  struct sk_decision d = end(&job, NULL, DELAYED(SK_END_SNOOZED, 1234));
  assert_int_equal(d.kind, SK_SETTLE_SNOOZE);
  assert_int_equal(d.delay_ms, 1234);
  assert_int_equal(d.to_queue.n, 0);
  assert_counts(&job, 0, 0, 0);
}

static void a_crash_is_ready_again_twice_and_dead_the_third_time(void **state) {
  (void)state;
  struct sk_job job = a_job();
  for (int64_t crash = 1; crash <= 2; crash++) {
    assert_int_equal(end(&job, NULL, ENDED(SK_END_CRASHED, .message = SK_STR_LIT("signal 9"))).kind, SK_SETTLE_RELEASE);
    assert_counts(&job, 0, crash, 0);
    assert_int_equal(job.error_kind, SK_KIND_CRASH);
    assert_int_equal(job.finished_ms, 0);
  }
  assert_int_equal(end(&job, NULL, ENDED(SK_END_CRASHED)).kind, SK_SETTLE_DEAD);
  assert_counts(&job, 0, 3, 0);
  assert_int_equal(job.finished_ms, NOW);
}

static void an_unknown_task_is_put_back_until_unknown_max(void **state) {
  (void)state;
  struct sk_job job = a_job();
  for (int64_t n = 1; n < 10; n++) {
    struct sk_decision d = end(&job, NULL, ENDED(SK_END_UNKNOWN_TASK));
    assert_int_equal(d.kind, SK_SETTLE_SNOOZE);
    assert_int_equal(d.delay_ms, 5000);
    assert_counts(&job, 0, 0, n);
  }
  assert_int_equal(end(&job, NULL, ENDED(SK_END_UNKNOWN_TASK)).kind, SK_SETTLE_DEAD);
  assert_int_equal(job.error_kind, SK_KIND_UNKNOWN_TASK);
  assert_counts(&job, 0, 0, 10);
}

static void an_expired_job_is_dead_and_counts_nothing(void **state) {
  (void)state;
  struct sk_job job = a_job();
  struct sk_outcome never = ENDED(SK_END_EXPIRED);
  assert_int_equal(sk_transition(&job, NULL, &never, &POLICY, NOW, 1).kind, SK_SETTLE_DEAD);
  assert_counts(&job, 0, 0, 0);
  assert_int_equal(job.error_kind, SK_KIND_EXPIRED);
  assert_int_equal(job.started_ms, 0); /* it never started */
}

static void the_error_of_an_attempt_stays_when_the_job_expires_before_the_next(void **state) {
  (void)state;
  struct sk_job job = a_job();
  struct sk_outcome late = ENDED(SK_END_EXPIRED, .message = SK_STR_LIT(SK_EXPIRED_TEXT));
  struct sk_outcome boom = ENDED(SK_END_FAILED, .kind = SK_KIND_ERROR, .message = SK_STR_LIT("boom"));
  sk_transition(&job, NULL, &boom, &POLICY, NOW, 1);
  assert_int_equal(sk_transition(&job, NULL, &late, &POLICY, NOW, 1).kind, SK_SETTLE_DEAD);
  assert_int_equal(job.error_kind, SK_KIND_ERROR);
  assert_true(sk_str_eq_c(job.error, "boom"));
  job = a_job();
  job.error_kind = SK_KIND_CANCELLED; /* no attempt's */
  sk_transition(&job, NULL, &late, &POLICY, NOW, 1);
  assert_int_equal(job.error_kind, SK_KIND_EXPIRED);
}

static void it_expires_past_its_own_time_or_its_tasks_after_the_enqueue(void **state) {
  (void)state;
  struct sk_job job = a_job(), task = a_template();
  assert_false(sk_job_is_expired(&job, &task, INT64_MAX));
  assert_false(sk_job_is_expired(&job, NULL, INT64_MAX));
  task.expires_ms = 100; /* a duration in a template, */
  assert_false(sk_job_is_expired(&job, &task, job.enqueued_ms + 100));
  assert_true(sk_job_is_expired(&job, &task, job.enqueued_ms + 101));
  job.expires_ms = 950000; /* ... a moment in a job */
  assert_false(sk_job_is_expired(&job, &task, 950000));
  assert_true(sk_job_is_expired(&job, NULL, 950001));
}

static void a_cancelled_job_is_kept_a_while_and_counts_nothing(void **state) {
  (void)state;
  struct sk_job job = a_job(), task = a_template();
  struct sk_decision d = end(&job, &task, ENDED(SK_END_CANCELLED));
  assert_int_equal(d.kind, SK_SETTLE_CANCELLED);
  assert_int_equal(d.keep_ms, SK_CANCELLED_KEEP_MS);
  assert_counts(&job, 0, 0, 0);
  assert_int_equal(job.error_kind, SK_KIND_CANCELLED);
  assert_int_equal(job.finished_ms, NOW);
  task.keep_ms = 9000;
  assert_int_equal(end(&job, &task, ENDED(SK_END_CANCELLED)).keep_ms, 9000);
}

static void a_job_that_is_handed_back_is_as_it_was(void **state) {
  (void)state;
  struct sk_job job = a_job();
  job.attempts = 1;
  job.error_kind = SK_KIND_ERROR;
  job.error = SK_STR_LIT("before");
  struct sk_outcome o = ENDED(SK_END_HANDED_BACK);
  assert_int_equal(sk_transition(&job, NULL, &o, &POLICY, NOW, 1).kind, SK_SETTLE_RELEASE);
  assert_counts(&job, 1, 0, 0);
  assert_int_equal(job.error_kind, SK_KIND_ERROR);
  assert_int_equal(job.finished_ms + job.started_ms, 0);
}

static void dead_false_drops_what_dies_however_it_dies(void **state) {
  (void)state;
  static const enum sk_ending deaths[] = { SK_END_FATAL, SK_END_EXPIRED, SK_END_FAILED, SK_END_CRASHED,
                                           SK_END_UNKNOWN_TASK };
  for (size_t i = 0; i < sizeof deaths / sizeof *deaths; i++) {
    struct sk_job job = a_job(), task = a_template();
    task.keep_dead = 0;
    job.retries = 0;
    job.crashes = 2;
    job.unknowns = 9;
    assert_int_equal(end(&job, &task, ENDED(deaths[i])).kind, SK_SETTLE_DROP);
    assert_int_equal(job.finished_ms, NOW);
    assert_int_not_equal(job.error_kind, SK_KIND_NONE);
    job = a_job();
    job.retries = 0;
    job.crashes = 2;
    job.unknowns = 9;
    job.keep_dead = 1; /* the job's own wish wins */
    assert_int_equal(end(&job, &task, ENDED(deaths[i])).kind, SK_SETTLE_DEAD);
  }
}

static void long_errors_are_cut(void **state) {
  (void)state;
  static char text[SK_TRACEBACK_BYTES_MAX + 1];
  memset(text, 'x', sizeof text);
  struct sk_job job = a_job();
  end(&job, NULL, ENDED(SK_END_FAILED, .message = sk_str(text, sizeof text), .traceback = sk_str(text, sizeof text)));
  assert_int_equal(job.error.n, SK_ERROR_BYTES_MAX);
  assert_int_equal(job.traceback.n, SK_TRACEBACK_BYTES_MAX);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(returned_is_done_and_an_attempt),
    cmocka_unit_test(a_done_job_is_kept_as_it_says_else_its_task_else_for_its_result),
    cmocka_unit_test(failed_is_retried_until_its_retries_are_used_up),
    cmocka_unit_test(timed_out_counts_like_failed_with_its_kind),
    cmocka_unit_test(without_an_option_there_are_27_retries),
    cmocka_unit_test(the_jobs_own_options_win_over_the_tasks),
    cmocka_unit_test(a_handler_that_asks_for_a_delay_gets_it),
    cmocka_unit_test(retries_go_to_the_retry_queue_and_the_job_lives_there),
    cmocka_unit_test(skein_fail_is_dead_at_once_and_an_attempt),
    cmocka_unit_test(a_discarded_job_is_gone_and_counts_nothing),
    cmocka_unit_test(a_snoozed_job_is_scheduled_again_and_counts_nothing),
    cmocka_unit_test(a_crash_is_ready_again_twice_and_dead_the_third_time),
    cmocka_unit_test(an_unknown_task_is_put_back_until_unknown_max),
    cmocka_unit_test(an_expired_job_is_dead_and_counts_nothing),
    cmocka_unit_test(the_error_of_an_attempt_stays_when_the_job_expires_before_the_next),
    cmocka_unit_test(it_expires_past_its_own_time_or_its_tasks_after_the_enqueue),
    cmocka_unit_test(a_cancelled_job_is_kept_a_while_and_counts_nothing),
    cmocka_unit_test(a_job_that_is_handed_back_is_as_it_was),
    cmocka_unit_test(dead_false_drops_what_dies_however_it_dies),
    cmocka_unit_test(long_errors_are_cut),
  };
  return cmocka_run_group_tests_name("transition", tests, NULL, NULL);
}
