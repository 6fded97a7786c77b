/* change_test.c - store.h, "changing by hand": each verb in each state, by id and by filter; pause and resume. */
#include <string.h>

#include "contract.h"

static const char *const names[SK_STATES] = { "none",  "scheduled", "ready", "running",
                                              "retry", "done",      "dead",  "cancelled" };

/* One job in each state, called like it, all in queue "q". */
static void one_in_each_state(struct handle *h) {
  struct world *w = h->world;
  const char *taken[] = { "running", "retry", "done", "dead", "cancelled" };
  for (size_t i = 0; i < 5; i++) put(h, .id = taken[i]);
  struct sk_fetch_op *op = take(h, 5, "q", NULL);
  settle(h, &op->jobs[1], .kind = SK_SETTLE_RETRY, .delay_ms = 1000,
         .record = record_with(w, op->jobs[1].record, 4, 2));
  settle(h, &op->jobs[2], .kind = SK_SETTLE_DONE, .keep_ms = 100000);
  settle(h, &op->jobs[3], .kind = SK_SETTLE_DEAD, .record = record_with(w, op->jobs[3].record, 4, 2));
  settle(h, &op->jobs[4], .kind = SK_SETTLE_CANCELLED, .keep_ms = 100000,
         .record = record_with(w, op->jobs[4].record, 4, 2));
  put(h, .id = "ready");
  put(h, .id = "scheduled", .delay_ms = 500);
}

/* The verb on a job of each state: those in `takes` become `becomes`, the others stay as they are. */
static void check_verb(struct world *w, enum sk_verb verb, const char *takes, const char *becomes) {
  struct handle *h = open_engine(w, "e1");
  one_in_each_state(h);
  for (enum sk_state s = SK_STATE_SCHEDULED; s < SK_STATES; s++) {
    bool taken = strstr(takes, names[s]) != NULL;
    assert_code(change(h, verb, names[s], 5000), taken ? SK_OK : SK_ESTATE);
    assert_string_equal(state_of(h, names[s]), taken ? becomes : names[s]);
  }
  assert_code(change(h, verb, "nobody", 5000), SK_ENOTFOUND);
}

static void cancel_ends_what_waits_and_takes_what_runs(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  one_in_each_state(h);
  for (enum sk_state s = SK_STATE_SCHEDULED; s < SK_STATES; s++) {
    bool waits = s == SK_STATE_SCHEDULED || s == SK_STATE_READY || s == SK_STATE_RETRY, runs = s == SK_STATE_RUNNING;
    assert_code(change(h, SK_VERB_CANCEL, names[s], 5000), waits || runs ? SK_OK : SK_ESTATE);
    assert_string_equal(state_of(h, names[s]), waits ? "cancelled" : names[s]);
  }
  assert_code(change(h, SK_VERB_CANCEL, "nobody", 5000), SK_ENOTFOUND);
}
static void delete_takes_all_but_running(void **ctx) {
  check_verb(*ctx, SK_VERB_DELETE, "scheduled ready retry done dead cancelled", "unknown");
}
static void retry_takes_dead_retry_and_cancelled(void **ctx) {
  check_verb(*ctx, SK_VERB_RETRY, "dead retry cancelled", "ready");
}
static void promote_takes_scheduled_and_retry(void **ctx) {
  check_verb(*ctx, SK_VERB_PROMOTE, "scheduled retry", "ready");
}

static void by_filter_other_states_are_passed_over(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  one_in_each_state(h);
  put(h, .id = "other", .queue = "z");
  const struct sk_filter q = { .queue = text("q") };
  assert_int_equal(change_all(h, SK_VERB_PROMOTE, q, 0), 2);
  assert_int_equal(change_all(h, SK_VERB_CANCEL, q, 5000), 4); /* one of them runs on, to be stopped */
  assert_int_equal(count_queue(h, "q")->states[SK_STATE_CANCELLED], 4);
  assert_int_equal(change_all(h, SK_VERB_RETRY, (struct sk_filter){ .state = SK_STATE_DEAD }, 0), 1);
  assert_int_equal(change_all(h, SK_VERB_RETRY, (struct sk_filter){ .state = SK_STATE_DONE }, 0), 0);
  assert_int_equal(change_all(h, SK_VERB_DELETE, q, 0), 6);
  assert_string_equal(listed(h, .state = SK_STATE_NONE), "other running");
  assert_int_equal(change_all(h, SK_VERB_DELETE, (struct sk_filter){ .task = text("t"), .queue = text("z") }, 0), 1);
}

static void a_cancelled_job_is_kept_and_says_when_it_ended(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a");
  put(h, .id = "s", .delay_ms = 5);
  put(h, .id = "gone");
  world_advance(w, 3);
  assert_code(change(h, SK_VERB_CANCEL, "a", 1000), SK_OK);
  assert_code(change(h, SK_VERB_CANCEL, "s", 2000), SK_OK);
  assert_code(change(h, SK_VERB_CANCEL, "gone", 0), SK_OK);
  assert_string_equal(state_of(h, "gone"), "unknown");
  assert_int_equal(decoded(view(h, "a")->record).finished_ms, WALL_START_MS + 3);
  assert_int_equal(count(h)->counters.cancelled, 3);
  world_advance(w, 1000);
  beat(h);
  assert_string_equal(listed(h, .state = SK_STATE_NONE), "s");
  world_advance(w, 1000);
  beat(h);
  assert_string_equal(listed(h, .state = SK_STATE_NONE), "");
  assert_int_equal(take(h, 9, "q", NULL)->jobs_n, 0);
}

static void retried_by_hand_goes_to_the_end_and_counts_from_zero(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  one_in_each_state(h);
  assert_code(change(h, SK_VERB_RETRY, "retry", 0), SK_OK);
  assert_code(change(h, SK_VERB_RETRY, "dead", 0), SK_OK);
  assert_code(change(h, SK_VERB_RETRY, "cancelled", 0), SK_OK);
  struct sk_fetch_op *op = take(h, 9, "q", NULL);
  assert_string_equal(ids_of(w, op), "ready retry dead cancelled");
  assert_int_equal(decoded(op->jobs[1].record).attempts, 4);
  assert_int_equal(decoded(op->jobs[1].record).crashes, 2);
  for (int i = 2; i < 4; i++) {
    struct sk_job job = decoded(op->jobs[i].record);
    assert_int_equal(job.attempts, 0);
    assert_int_equal(job.crashes, 0);
    assert_int_equal(job.finished_ms, 0);
  }
  /* No longer among the kept: their time over, they stay. */
  world_advance(w, 200000);
  beat(h);
  assert_string_equal(state_of(h, "cancelled"), "running");
}

static void cancelled_then_retried_clears_its_end(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a");
  change(h, SK_VERB_CANCEL, "a", 1000);
  change(h, SK_VERB_RETRY, "a", 0);
  world_advance(w, 2000);
  beat(h);
  assert_int_equal(decoded(take_job(h, "a")->record).finished_ms, 0);
}

static void retried_by_hand_has_its_time_to_expire_again(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  one_in_each_state(h);
  struct sk_enqueue_item one = item(w, .id = "short");
  struct sk_job job = decoded(one.record);
  job.expires_ms = job.enqueued_ms + 2000;
  one.record = record_of(w, &job);
  struct sk_enqueue_op op = { .items = &one, .items_n = 1 };
  assert_code(run_enqueue(h, &op), SK_OK);
  sk_op_fini(&op.op);
  settle(h, take_job(h, "ready"), .kind = SK_SETTLE_DROP);
  struct sk_fetched *held = take_job(h, "short");
  settle(h, held, .kind = SK_SETTLE_DEAD, .record = record_with(w, held->record, 1, 0));
  world_advance(w, 60000);
  assert_code(change(h, SK_VERB_RETRY, "short", 0), SK_OK);
  assert_code(change(h, SK_VERB_RETRY, "dead", 0), SK_OK);
  assert_code(change(h, SK_VERB_RETRY, "retry", 0), SK_OK);
  struct sk_job again = decoded(view(h, "short")->record);
  assert_int_equal(again.enqueued_ms, WALL_START_MS + 60000);
  assert_int_equal(again.expires_ms, WALL_START_MS + 62000);
  assert_int_equal(again.attempts, 0);
  again =
      decoded(view(h, "dead")->record); /* its task's span, of which the store knows nothing, counts from the enqueue */
  assert_int_equal(again.enqueued_ms, WALL_START_MS + 60000);
  assert_int_equal(again.expires_ms, SK_UNSET);
  again = decoded(view(h, "retry")->record);
  assert_int_equal(again.enqueued_ms, WALL_START_MS + 60000);
  assert_int_equal(again.attempts, 4);
}

static void promoted_goes_to_the_front(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "f");
  put(h, .id = "s5", .delay_ms = 5);
  put(h, .id = "s900", .delay_ms = 900);
  put(h, .id = "s800", .delay_ms = 800);
  world_advance(w, 10);
  assert_code(change(h, SK_VERB_PROMOTE, "s900", 0), SK_OK);
  world_advance(w, 10);
  assert_code(change(h, SK_VERB_PROMOTE, "s800", 0), SK_OK);
  struct sk_fetch_op *op = take(h, 9, "q", NULL);
  assert_string_equal(ids_of(w, op), "s5 s900 s800 f");
  assert_int_equal(op->due_in_ms, -1);
  assert_int_equal(op->jobs[1].late_ms, 10);
}

static void many_ids_have_a_status_each(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  one_in_each_state(h);
  const struct sk_str ids[] = { text("ready"), text("nobody"), text("running"), text("dead"), text("ready") };
  struct sk_change_op op = { .verb = SK_VERB_DELETE, .ids = ids, .ids_n = 5, .filter = { .state = SK_STATE_DONE } };
  assert_code(run_change(h, &op), SK_OK);
  const enum sk_code want[] = { SK_OK, SK_ENOTFOUND, SK_ESTATE, SK_OK, SK_ENOTFOUND };
  for (int i = 0; i < 5; i++) assert_code(op.statuses[i], want[i]);
  assert_int_equal(op.changed, 2);
  assert_string_equal(state_of(h, "done"), "done");
  sk_op_fini(&op.op);
}

static void a_cancelled_job_is_not_fetched(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a");
  put(h, .id = "b");
  put(h, .id = "c");
  change(h, SK_VERB_CANCEL, "b", 1000);
  change(h, SK_VERB_DELETE, "a", 0);
  struct sk_fetch_op *op = take(h, 9, "q", NULL);
  assert_string_equal(ids_of(w, op), "c");
  assert_false(op->has_more);
}

static void a_released_job_can_be_deleted_at_the_front(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a");
  put(h, .id = "b");
  settle(h, take_job(h, "a"), .kind = SK_SETTLE_RELEASE);
  assert_code(change(h, SK_VERB_DELETE, "a", 0), SK_OK);
  take_job(h, "b");
}

static void pause_and_resume_are_seen_and_may_be_repeated(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1"), *c = open_client(w);
  put(c, .id = "a");
  set_paused(c, "q", true);
  set_paused(c, "q", true);
  assert_true(count_queue(h, "q")->paused);
  assert_int_equal(take(h, 9, "q", NULL)->jobs_n, 0);
  set_paused(c, "q", false);
  set_paused(c, "q", false);
  assert_false(count_queue(h, "q")->paused);
  take_job(h, "a");
}

static void a_queue_may_be_paused_before_its_first_job(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  set_paused(h, "q", true);
  put(h, .id = "a");
  assert_int_equal(take(h, 9, "q", NULL)->jobs_n, 0);
  assert_true(count_queue(h, "q")->paused);
  assert_int_equal(count_queue(h, "q")->states[SK_STATE_READY], 1);
}

static void a_job_held_from_a_paused_queue_can_be_settled(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a");
  struct sk_fetched *held = take_job(h, "a");
  set_paused(h, "q", true);
  assert_code(settle(h, held, .kind = SK_SETTLE_DONE), SK_OK);
}

static const struct CMUnitTest tests[] = {
  cmocka_unit_test(cancel_ends_what_waits_and_takes_what_runs),
  cmocka_unit_test(delete_takes_all_but_running),
  cmocka_unit_test(retry_takes_dead_retry_and_cancelled),
  cmocka_unit_test(promote_takes_scheduled_and_retry),
  cmocka_unit_test(by_filter_other_states_are_passed_over),
  cmocka_unit_test(a_cancelled_job_is_kept_and_says_when_it_ended),
  cmocka_unit_test(retried_by_hand_goes_to_the_end_and_counts_from_zero),
  cmocka_unit_test(cancelled_then_retried_clears_its_end),
  cmocka_unit_test(retried_by_hand_has_its_time_to_expire_again),
  cmocka_unit_test(promoted_goes_to_the_front),
  cmocka_unit_test(many_ids_have_a_status_each),
  cmocka_unit_test(a_cancelled_job_is_not_fetched),
  cmocka_unit_test(a_released_job_can_be_deleted_at_the_front),
  cmocka_unit_test(pause_and_resume_are_seen_and_may_be_repeated),
  cmocka_unit_test(a_queue_may_be_paused_before_its_first_job),
  cmocka_unit_test(a_job_held_from_a_paused_queue_can_be_settled),
};
const struct suite change_suite = SUITE("change", tests);
