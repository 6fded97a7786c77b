/* rules_test.c - every row of the tables of rules.h.  tests/contract/rules_test.c holds the stores to the same
 * functions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "logic/rules.h"

static void scheduled_ready_and_retry_jobs_wait(void **state) {
  (void)state;
  static const bool WAITS[SK_STATES] = {
    [SK_STATE_SCHEDULED] = true, [SK_STATE_READY] = true, [SK_STATE_RETRY] = true
  };
  int64_t states[SK_STATES], sum = 0;
  for (int s = 0; s < SK_STATES; s++) {
    assert_int_equal(sk_state_waits((enum sk_state)s), WAITS[s]);
    states[s] = (int64_t)1 << s;
    if (WAITS[s]) sum += states[s];
  }
  assert_int_equal(sk_states_waiting(states), sum);
}

static void a_verb_takes_the_states_of_its_row(void **state) {
  (void)state;
  /* none, scheduled, ready, running, retry, done, dead, cancelled */
  static const bool TAKES[SK_VERBS][SK_STATES] = {
    [SK_VERB_CANCEL] = { 0, 1, 1, 1, 1, 0, 0, 0 },
    [SK_VERB_DELETE] = { 0, 1, 1, 0, 1, 1, 1, 1 },
    [SK_VERB_RETRY] = { 0, 0, 0, 0, 1, 0, 1, 1 },
    [SK_VERB_PROMOTE] = { 0, 1, 0, 0, 1, 0, 0, 0 },
  };
  for (int v = 0; v < SK_VERBS; v++)
    for (int s = 0; s < SK_STATES; s++) assert_int_equal(sk_verb_takes((enum sk_verb)v, (enum sk_state)s), TAKES[v][s]);
}

static void a_settle_counts_deletes_and_yields_to_a_stop_as_its_kind_says(void **state) {
  (void)state;
  struct sk_counters c = { 0 };
  const struct {
    int64_t *counter;
    bool deletes_unkept, deletes_kept, refused;
  } rows[SK_SETTLE_KINDS] = {
    [SK_SETTLE_DONE] = { &c.done, true, false, false },
    [SK_SETTLE_RETRY] = { &c.retried, false, false, true },
    [SK_SETTLE_SNOOZE] = { NULL, false, false, true },
    [SK_SETTLE_DEAD] = { &c.dead, false, false, true },
    [SK_SETTLE_DROP] = { &c.discarded, true, true, false },
    [SK_SETTLE_CANCELLED] = { &c.cancelled, true, false, false },
    [SK_SETTLE_RELEASE] = { NULL, false, false, false },
  };
  for (int k = 0; k < SK_SETTLE_KINDS; k++) {
    enum sk_settle_kind kind = (enum sk_settle_kind)k;
    assert_ptr_equal(sk_settle_counter(&c, kind), rows[k].counter);
    assert_int_equal(sk_settle_deletes(kind, 0), rows[k].deletes_unkept);
    assert_int_equal(sk_settle_deletes(kind, -1), rows[k].deletes_unkept);
    assert_int_equal(sk_settle_deletes(kind, 1), rows[k].deletes_kept);
    assert_int_equal(sk_settle_refused_when_stopping(kind), rows[k].refused);
    for (int crashed = 0; crashed < 2; crashed++) {
      struct sk_counters before = c;
      sk_settle_count(&c, kind, crashed);
      int64_t sum = c.done + c.retried + c.dead + c.cancelled + c.discarded;
      int64_t sum_before = before.done + before.retried + before.dead + before.cancelled + before.discarded;
      assert_int_equal(sum - sum_before, rows[k].counter != NULL);
      assert_int_equal(c.crashed - before.crashed, crashed);
    }
  }
}

static void a_job_starts_with_a_task_and_before_it_expires(void **state) {
  (void)state;
  struct sk_job job, task;
  sk_job_init(&job);
  sk_job_init(&task);
  job.enqueued_ms = 1000;
  assert_int_equal(sk_start_refusal(&job, NULL, 2000), SK_REFUSAL_UNKNOWN_TASK);
  assert_int_equal(sk_start_refusal(&job, &task, 2000), SK_REFUSAL_NONE);
  task.expires_ms = 500;
  assert_int_equal(sk_start_refusal(&job, &task, 1500), SK_REFUSAL_NONE);
  assert_int_equal(sk_start_refusal(&job, &task, 1501), SK_REFUSAL_EXPIRED);
  job.expires_ms = 1900; /* its own moment goes before its task's time */
  assert_int_equal(sk_start_refusal(&job, &task, 1900), SK_REFUSAL_NONE);
  assert_int_equal(sk_start_refusal(&job, &task, 1901), SK_REFUSAL_EXPIRED);
  assert_int_equal(sk_start_refusal(&job, NULL, 1901), SK_REFUSAL_UNKNOWN_TASK);
}

static void a_verdict_stands_for_an_ending_unless_the_job_was_cancelled(void **state) {
  (void)state;
  static const enum sk_ending ENDINGS[SK_VERDICTS] = {
    [SK_VERDICT_RETRY] = SK_END_FAILED,        [SK_VERDICT_DEAD] = SK_END_FATAL,
    [SK_VERDICT_DISCARD] = SK_END_DISCARDED,   [SK_VERDICT_SNOOZE] = SK_END_SNOOZED,
    [SK_VERDICT_STOPPED] = SK_END_HANDED_BACK,
  };
  for (int v = 0; v < SK_VERDICTS; v++)
    for (int k = 0; k < SK_KINDS; k++)
      assert_int_equal(sk_ending_of((enum sk_verdict)v, (enum sk_error_kind)k),
                       k == SK_KIND_CANCELLED ? SK_END_CANCELLED : ENDINGS[v]);
}

/* -- admission ----------------------------------------------------------------------------------------------------- */

#define FACTS(...) (&(struct sk_admission_facts){ __VA_ARGS__ })
#define ADMITTED ((struct sk_admission){ .status = SK_OK })

static void assert_admission(const struct sk_admission_facts *facts, struct sk_admission expected) {
  struct sk_admission a = sk_admission(facts);
  assert_int_equal(a.status, expected.status);
  assert_int_equal(a.refused_by_lock, expected.refused_by_lock);
  assert_int_equal(a.replaces_holder, expected.replaces_holder);
  assert_int_equal(a.drops_oldest, expected.drops_oldest);
}

static void an_id_that_is_there_is_refused_before_anything_else(void **state) {
  (void)state;
  assert_admission(FACTS(.id_there = true), (struct sk_admission){ .status = SK_EEXISTS });
  assert_admission(FACTS(.id_there = true, .lock_mode = SK_LOCK_REPLACE, .lock_held = true,
                         .holder_state = SK_STATE_READY, .max_len = 1, .waiting = 1, .ready = 1),
                   (struct sk_admission){ .status = SK_EEXISTS });
}

static void a_held_lock_refuses_or_replaces_as_its_mode_and_the_holder_say(void **state) {
  (void)state;
  for (int s = 0; s < SK_STATES; s++) {
    enum sk_state holder = (enum sk_state)s;
    assert_admission(FACTS(.lock_mode = SK_LOCK_NONE, .lock_held = true, .holder_state = holder), ADMITTED);
    assert_admission(FACTS(.lock_mode = SK_LOCK_REJECT, .lock_held = true, .holder_state = holder),
                     (struct sk_admission){ .status = SK_EEXISTS, .refused_by_lock = true });
    assert_admission(FACTS(.lock_mode = SK_LOCK_THROTTLE, .lock_held = true, .holder_state = holder),
                     (struct sk_admission){ .status = SK_EEXISTS, .refused_by_lock = true });
    assert_admission(FACTS(.lock_mode = SK_LOCK_REPLACE, .lock_held = true, .holder_state = holder),
                     (struct sk_admission){ .status = SK_OK, .replaces_holder = sk_state_waits(holder) });
  }
  for (int m = 0; m <= SK_LOCK_THROTTLE; m++) assert_admission(FACTS(.lock_mode = (enum sk_lock_mode)m), ADMITTED);
}

static void a_full_queue_refuses_or_drops_its_oldest(void **state) {
  (void)state;
  const struct sk_admission full = { .status = SK_ELIMIT }, drops = { .status = SK_OK, .drops_oldest = true };
  for (int o = 0; o < SK_OVERFLOWS; o++) {
    enum sk_overflow overflow = (enum sk_overflow)o;
    bool may_drop = overflow == SK_OVERFLOW_DROP_OLDEST;
    assert_admission(FACTS(.overflow = overflow, .waiting = 1000, .ready = 1000), ADMITTED); /* unbounded */
    assert_admission(FACTS(.overflow = overflow, .max_len = 3, .waiting = 2, .ready = 2), ADMITTED);
    assert_admission(FACTS(.overflow = overflow, .max_len = 3, .waiting = 3, .ready = 1), may_drop ? drops : full);
    assert_admission(FACTS(.overflow = overflow, .max_len = 3, .waiting = 4, .ready = 1), may_drop ? drops : full);
    assert_admission(FACTS(.overflow = overflow, .max_len = 3, .waiting = 3, .ready = 0), full);
    assert_admission(FACTS(.overflow = overflow, .max_len = 3, .waiting = 3, .ready = 1, .is_callback = true),
                     ADMITTED);
  }
}

static void a_replaced_job_leaves_room_in_its_own_queue_only(void **state) {
  (void)state;
  struct sk_admission_facts f = { .lock_mode = SK_LOCK_REPLACE,
                                  .lock_held = true,
                                  .holder_state = SK_STATE_READY,
                                  .holder_in_queue = true,
                                  .max_len = 2,
                                  .waiting = 2,
                                  .ready = 1 };
  const struct sk_admission replaces = { .status = SK_OK, .replaces_holder = true };
  assert_admission(&f, replaces);
  f.holder_in_queue = false;
  assert_admission(&f, (struct sk_admission){ .status = SK_ELIMIT });
  f.overflow = SK_OVERFLOW_DROP_OLDEST;
  assert_admission(&f, (struct sk_admission){ .status = SK_OK, .replaces_holder = true, .drops_oldest = true });
  f.holder_in_queue = true; /* over its max_len: a smaller one was declared; the only READY job goes already */
  f.waiting = 3;
  assert_admission(&f, (struct sk_admission){ .status = SK_ELIMIT });
  f.holder_state = SK_STATE_SCHEDULED;
  assert_admission(&f, (struct sk_admission){ .status = SK_OK, .replaces_holder = true, .drops_oldest = true });
  f.holder_state = SK_STATE_RUNNING; /* it stays, and counts against no max_len */
  f.waiting = 2;
  assert_admission(&f, (struct sk_admission){ .status = SK_OK, .drops_oldest = true });
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(scheduled_ready_and_retry_jobs_wait),
    cmocka_unit_test(a_verb_takes_the_states_of_its_row),
    cmocka_unit_test(a_settle_counts_deletes_and_yields_to_a_stop_as_its_kind_says),
    cmocka_unit_test(a_job_starts_with_a_task_and_before_it_expires),
    cmocka_unit_test(a_verdict_stands_for_an_ending_unless_the_job_was_cancelled),
    cmocka_unit_test(an_id_that_is_there_is_refused_before_anything_else),
    cmocka_unit_test(a_held_lock_refuses_or_replaces_as_its_mode_and_the_holder_say),
    cmocka_unit_test(a_full_queue_refuses_or_drops_its_oldest),
    cmocka_unit_test(a_replaced_job_leaves_room_in_its_own_queue_only),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
