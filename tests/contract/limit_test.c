/* limit_test.c - store.h, GROUPS: slots, tokens, strict order, turns, a queue's own limit, and what they cost. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "contract.h"

#define ONE(group) "1;0;0;0;any;=" group
#define TWO(group) "2;0;0;0;any;=" group
#define STRICT(group) "1;0;0;0;strict;=" group
#define ONE_A_SECOND(group) "0;1;1000;1;any;=" group

/* -- slots --------------------------------------------------------------------------------------------------------- */

static void no_more_of_a_group_run_than_it_has_slots(void **ctx) {
  struct world *w = *ctx;
  struct handle *a = open_engine(w, "e1"), *b = open_engine(w, "e2");
  for (const char *id = "a\0b\0c\0d\0"; *id; id += 2) put(a, .id = id, .limit = TWO("g"));
  struct sk_fetch_op *held = take(a, 9, "q", NULL);
  assert_string_equal(ids_of(w, held), "a b");
  assert_false(held->has_more);
  assert_int_equal(take(b, 9, "q", NULL)->jobs_n, 0);
  settle(a, &held->jobs[1], .kind = SK_SETTLE_DONE);
  struct sk_fetch_op *next = take(b, 0, "q", NULL);
  assert_true(next->has_more);
  assert_string_equal(ids_of(w, take(b, 9, "q", NULL)), "c");
  settle(a, &held->jobs[0], .kind = SK_SETTLE_DONE);
  assert_string_equal(ids_of(w, take(a, 9, "q", NULL)), "d");
}

static void jobs_behind_those_held_back_are_taken(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a1", .limit = ONE("a"), .priority = 2);
  put(h, .id = "a2", .limit = ONE("a"), .priority = 2);
  put(h, .id = "b1", .limit = ONE("b"), .priority = 1);
  put(h, .id = "p", .priority = -1);
  assert_string_equal(ids_of(w, take(h, 9, "q", NULL)), "a1 b1 p");
}

static void a_group_is_one_for_all_queues(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "x1", .queue = "x", .limit = ONE("g"));
  put(h, .id = "y1", .queue = "y", .limit = ONE("g"));
  struct sk_fetch_op *held = take(h, 9, "y", "x", NULL);
  assert_string_equal(ids_of(w, held), "y1");
  assert_int_equal(take(h, 9, "x", NULL)->jobs_n, 0);
  settle(h, &held->jobs[0], .kind = SK_SETTLE_DONE);
  assert_string_equal(ids_of(w, take(h, 9, "x", "y", NULL)), "x1");
}

static void groups_are_told_apart(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a", .limit = ONE("g"));
  put(h, .id = "b", .limit = ONE("G"));
  put(h, .id = "c", .limit = ONE("g "));
  put(h, .id = "d", .limit = ONE("g"));
  assert_string_equal(ids_of(w, take(h, 9, "q", NULL)), "a b c");
}

static void a_slot_is_given_back_however_a_job_ends_or_when_it_waits_again(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  const struct fate fates[] = {
    { .kind = SK_SETTLE_DONE },
    { .kind = SK_SETTLE_DONE, .keep_ms = 1000 },
    { .kind = SK_SETTLE_DEAD },
    { .kind = SK_SETTLE_DROP },
    { .kind = SK_SETTLE_CANCELLED },
    { .kind = SK_SETTLE_CANCELLED, .keep_ms = 1000 },
    { .kind = SK_SETTLE_RETRY, .delay_ms = 1000 },
    { .kind = SK_SETTLE_SNOOZE, .delay_ms = 1000 },
  };
  const char *const ids[] = { "a", "b", "c", "d", "e", "f", "g", "h" };
  for (size_t i = 0; i < 8; i++) put(h, .id = ids[i], .limit = ONE("g"));
  for (size_t i = 0; i < 8; i++) {
    struct sk_fetched *held = take_job(h, ids[i]);
    assert_int_equal(take(h, 9, "q", NULL)->jobs_n, 0);
    assert_code(settle_one(h, held, fates[i]), SK_OK);
  }
  world_advance(w, 1000);
  assert_string_equal(ids_of(w, take(h, 9, "q", NULL)), "g");
}

static void a_slot_is_given_back_once(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  for (const char *id = "a\0b\0c\0"; *id; id += 2) put(h, .id = id, .limit = ONE("g"));
  assert_code(put(h, .id = "a", .limit = ONE("g")), SK_EEXISTS);
  struct sk_fetched *held = take_job(h, "a");
  assert_code(settle(h, held, .kind = SK_SETTLE_DONE, .keep_ms = 1000), SK_OK);
  assert_code(settle(h, held, .kind = SK_SETTLE_DONE, .keep_ms = 1000), SK_ESTALE);
  assert_code(change(h, SK_VERB_DELETE, "a", 0), SK_OK);
  assert_string_equal(ids_of(w, take(h, 9, "q", NULL)), "b");
}

static void an_item_that_is_twice_in_a_settle_gives_one_slot_back(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "last", .limit = ONE("alone"));
  for (const char *id = "a\0b\0c\0d\0"; *id; id += 2) put(h, .id = id, .limit = "2;0;0;0;any;=g");
  struct sk_fetch_op *op = take(h, 9, "q", NULL);
  assert_int_equal(op->jobs_n, 3); /* last, a, b */
  for (size_t i = 0; i < 2; i++) {
    struct sk_settle_item items[2];
    for (int k = 0; k < 2; k++)
      items[k] = (struct sk_settle_item){
        .id = op->jobs[i].id, .queue = op->jobs[i].queue, .fence = op->jobs[i].fence, .kind = SK_SETTLE_DONE
      };
    struct sk_settle_op twice = { .items = items, .items_n = 2 };
    assert_code(run_settle(h, &twice), SK_OK);
    assert_code(items[0].status, SK_OK);
    assert_code(items[1].status, SK_ESTALE);
    sk_op_fini(&twice.op);
  }
  assert_string_equal(ids_of(w, take(h, 9, "q", NULL)), "c");
}

static void a_job_that_was_handed_back_keeps_its_slot_and_stands_before_the_others(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1"), *b = open_engine(w, "e2");
  put(h, .id = "a", .limit = ONE("g"));
  put(h, .id = "b", .limit = ONE("g"));
  settle(h, take_job(h, "a"), .kind = SK_SETTLE_RELEASE);
  put(h, .id = "p");
  struct sk_fetch_op *op = take(b, 9, "q", NULL);
  assert_string_equal(ids_of(w, op), "a p");
  settle(b, &op->jobs[0], .kind = SK_SETTLE_DONE);
  assert_string_equal(ids_of(w, take(h, 9, "q", NULL)), "b");
}

static void a_job_that_keeps_its_slot_is_listed_at_the_place_it_had(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a");
  put(h, .id = "b");
  put(h, .id = "c", .limit = ONE("g"));
  struct sk_fetch_op *op = take(h, 2, "q", NULL); /* turns: one of those without a group, and c */
  size_t at = sk_str_eq_c(op->jobs[0].id, "c") ? 0 : 1;
  assert_true(sk_str_eq_c(op->jobs[at].id, "c") && sk_str_eq_c(op->jobs[1 - at].id, "a"));
  settle(h, &op->jobs[at], .kind = SK_SETTLE_RELEASE);
  assert_string_equal(listed(h, .state = SK_STATE_READY), "b c");
}

static void one_that_keeps_its_slot_gives_it_back_when_it_is_deleted_or_cancelled_by_hand(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a", .limit = ONE("g"));
  put(h, .id = "b", .limit = ONE("g"));
  put(h, .id = "c", .limit = ONE("g"));
  settle(h, take_job(h, "a"), .kind = SK_SETTLE_RELEASE);
  assert_code(change(h, SK_VERB_DELETE, "a", 0), SK_OK);
  settle(h, take_job(h, "b"), .kind = SK_SETTLE_RELEASE);
  assert_code(change(h, SK_VERB_CANCEL, "b", 1000), SK_OK);
  take_job(h, "c");
}

static void a_crash_leaks_no_slot(void **ctx) {
  struct world *w = *ctx;
  struct handle *a = open_engine(w, "e1"), *b = open_engine(w, "e2");
  for (const char *id = "a\0b\0c\0"; *id; id += 2) put(a, .id = id, .limit = TWO("g"));
  struct sk_fetch_op *lost = take(a, 9, "q", NULL);
  assert_string_equal(ids_of(w, lost), "a b");
  assert_int_equal(outlive(b)->recovered, 2);
  struct sk_fetch_op *again = take(b, 9, "q", NULL);
  assert_string_equal(ids_of(w, again), "a b");
  assert_code(settle(a, &lost->jobs[0], .kind = SK_SETTLE_DONE), SK_ESTALE);
  assert_int_equal(take(b, 9, "q", NULL)->jobs_n, 0);
  settle(b, &again->jobs[0], .kind = SK_SETTLE_DONE);
  settle(b, &again->jobs[1], .kind = SK_SETTLE_RETRY, .delay_ms = 1000);
  struct sk_fetch_op *last = take(b, 9, "q", NULL);
  assert_string_equal(ids_of(w, last), "c");
  close_handle(b);
  assert_string_equal(ids_of(w, take(a, 9, "q", NULL)), "c");
  world_advance(w, 1000);
  assert_string_equal(ids_of(w, take(a, 9, "q", NULL)), "b");
  put(a, .id = "d", .limit = TWO("g"));
  assert_int_equal(take(a, 9, "q", NULL)->jobs_n, 0);
}

static void the_numbers_are_those_of_the_job_that_was_enqueued_last(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  for (const char *id = "a\0b\0c\0d\0"; *id; id += 2) put(h, .id = id, .limit = ONE("g"));
  struct sk_fetched *a = take_job(h, "a");
  put(h, .id = "e", .delay_ms = 100000, .limit = "3;0;0;0;any;=g");
  struct sk_fetch_op *op = take(h, 9, "q", NULL);
  assert_string_equal(ids_of(w, op), "b c");
  assert_code(put(h, .id = "e", .limit = "9;0;0;0;any;=g"), SK_EEXISTS); /* not enqueued, so its numbers do not count */
  assert_int_equal(take(h, 9, "q", NULL)->jobs_n, 0);
  put(h, .id = "f", .limit = ONE("g"));
  settle(h, a, .kind = SK_SETTLE_DONE);
  settle(h, &op->jobs[0], .kind = SK_SETTLE_DONE);
  assert_int_equal(take(h, 9, "q", NULL)->jobs_n, 0);
  settle(h, &op->jobs[1], .kind = SK_SETTLE_DONE);
  assert_string_equal(ids_of(w, take(h, 9, "q", NULL)), "d");
}

static void a_follow_up_takes_its_place_in_its_group(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a", .limit = ONE("g"));
  struct sk_enqueue_item follow[] = { item(w, .id = "b", .limit = ONE("g")), item(w, .id = "c", .limit = ONE("g")) };
  settle(h, take_job(h, "a"), .kind = SK_SETTLE_DONE, .callbacks = follow, .callbacks_n = 2);
  assert_string_equal(ids_of(w, take(h, 9, "q", NULL)), "b");
}

static void a_replaced_or_deleted_job_leaves_its_line(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a", .limit = ONE("g"));
  put(h, .id = "b", .limit = ONE("g"), .lock = "replace;0;=k");
  put(h, .id = "c", .limit = ONE("g"));
  put(h, .id = "d", .limit = ONE("g"), .lock = "replace;0;=k");
  struct sk_fetched *a = take_job(h, "a");
  change(h, SK_VERB_DELETE, "c", 0);
  settle(h, a, .kind = SK_SETTLE_DONE);
  settle(h, take_job(h, "d"), .kind = SK_SETTLE_DONE);
  assert_false(take(h, 9, "q", NULL)->has_more);
}

static void a_dead_job_that_is_retried_by_hand_stands_in_its_group_again(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a", .limit = ONE("g"));
  settle(h, take_job(h, "a"), .kind = SK_SETTLE_DEAD);
  put(h, .id = "b", .limit = ONE("g"));
  struct sk_fetched *b = take_job(h, "b");
  assert_code(change(h, SK_VERB_RETRY, "a", 0), SK_OK);
  assert_int_equal(take(h, 9, "q", NULL)->jobs_n, 0);
  settle(h, b, .kind = SK_SETTLE_DONE);
  take_job(h, "a");
}

/* -- the order within a group -------------------------------------------------------------------------------------- */

static void a_groups_line_is_in_the_order(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "f1", .limit = ONE("g"));
  put(h, .id = "f2", .limit = ONE("g"));
  put(h, .id = "high", .limit = ONE("g"), .priority = 1);
  put(h, .id = "s20", .limit = ONE("g"), .delay_ms = 20);
  put(h, .id = "s10", .limit = ONE("g"), .delay_ms = 10);
  world_advance(w, 30);
  const char *const order[] = { "high", "s10", "s20", "f1", "f2" };
  for (int i = 0; i < 5; i++) {
    struct sk_fetched *held = take_job(h, order[i]);
    assert_int_equal(held->late_ms, i == 1 ? 20 : i == 2 ? 10 : 0);
    settle(h, held, .kind = SK_SETTLE_DONE);
  }
}

static void a_strict_group_holds_its_slot_while_a_job_waits_for_its_retry(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a", .limit = STRICT("g"));
  put(h, .id = "b", .limit = STRICT("g"));
  put(h, .id = "p");
  struct sk_fetch_op *op = take(h, 9, "q", NULL);
  assert_int_equal(op->jobs_n, 2);
  const struct sk_fetched *a = sk_str_eq_c(op->jobs[0].id, "a") ? &op->jobs[0] : &op->jobs[1];
  settle(h, a, .kind = SK_SETTLE_RETRY, .delay_ms = 1000);
  assert_int_equal(take(h, 9, "q", NULL)->jobs_n, 0);
  world_advance(w, 1000);
  op = take(h, 9, "q", NULL);
  assert_string_equal(ids_of(w, op), "a");
  settle(h, &op->jobs[0], .kind = SK_SETTLE_SNOOZE, .delay_ms = 500, .to_queue = "slow");
  assert_int_equal(take(h, 9, "q", "slow", NULL)->jobs_n, 0);
  world_advance(w, 500);
  op = take(h, 9, "q", "slow", NULL);
  assert_string_equal(ids_of(w, op), "a");
  settle(h, &op->jobs[0], .kind = SK_SETTLE_RETRY);
  op = take(h, 9, "q", "slow", NULL);
  assert_string_equal(ids_of(w, op), "a");
  settle(h, &op->jobs[0], .kind = SK_SETTLE_DEAD);
  assert_string_equal(ids_of(w, take(h, 9, "q", "slow", NULL)), "b");
}

static void strict_order_is_kept_through_crashes(void **ctx) {
  struct world *w = *ctx;
  struct handle *a = open_engine(w, "e1"), *b = open_engine(w, "e2");
  const char *const ids[] = { "j1", "j2", "j3" };
  for (int i = 0; i < 3; i++) put(a, .id = ids[i], .limit = STRICT("g"));
  for (int i = 0; i < 3; i++) {
    assert_string_equal(ids_of(w, take(a, 9, "q", NULL)), ids[i]);
    assert_int_equal(outlive(b)->recovered, 1);
    struct sk_fetch_op *op = take(b, 9, "q", NULL);
    assert_string_equal(ids_of(w, op), ids[i]);
    settle(b, &op->jobs[0], .kind = SK_SETTLE_RETRY, .delay_ms = 100);
    assert_int_equal(take(b, 9, "q", NULL)->jobs_n, 0);
    world_advance(w, 100);
    op = take(b, 9, "q", NULL);
    assert_string_equal(ids_of(w, op), ids[i]);
    settle(b, &op->jobs[0], .kind = SK_SETTLE_RELEASE);
    op = take(b, 9, "q", NULL);
    assert_string_equal(ids_of(w, op), ids[i]);
    settle(b, &op->jobs[0], .kind = SK_SETTLE_DONE);
  }
}

static void a_retrying_job_of_a_strict_group_gives_its_slot_back_when_it_goes_by_hand(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  for (const char *id = "a\0c\0d\0"; *id; id += 2)
    put(h, .id = id, .limit = STRICT("g"), .lock = *id == 'd' ? "replace;0;=k" : NULL);
  settle(h, take_job(h, "a"), .kind = SK_SETTLE_RETRY, .delay_ms = 1000);
  assert_code(change(h, SK_VERB_CANCEL, "a", 1000), SK_OK);
  settle(h, take_job(h, "c"), .kind = SK_SETTLE_SNOOZE, .delay_ms = 1000);
  assert_code(change(h, SK_VERB_DELETE, "c", 0), SK_OK);
  settle(h, take_job(h, "d"), .kind = SK_SETTLE_RETRY, .delay_ms = 1000);
  put(h, .id = "e", .limit = STRICT("g"), .lock = "replace;0;=k");
  take_job(h, "e");
}

static void a_retrying_job_of_a_strict_group_that_is_put_forward_by_hand_runs_first(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a", .limit = STRICT("g"));
  put(h, .id = "b", .limit = STRICT("g"));
  settle(h, take_job(h, "a"), .kind = SK_SETTLE_RETRY, .delay_ms = 1000);
  assert_code(change(h, SK_VERB_PROMOTE, "a", 0), SK_OK);
  struct sk_fetch_op *op = take(h, 9, "q", NULL);
  assert_string_equal(ids_of(w, op), "a");
  settle(h, &op->jobs[0], .kind = SK_SETTLE_RETRY, .delay_ms = 1000);
  assert_code(change(h, SK_VERB_RETRY, "a", 0), SK_OK);
  op = take(h, 9, "q", NULL);
  assert_string_equal(ids_of(w, op), "a");
  settle(h, &op->jobs[0], .kind = SK_SETTLE_DONE);
  take_job(h, "b");
}

/* -- tokens -------------------------------------------------------------------------------------------------------- */

static void a_rate_lets_one_start_at_a_time(void **ctx) {
  struct world *w = *ctx;
  struct handle *a = open_engine(w, "e1"), *b = open_engine(w, "e2");
  for (const char *id = "a\0b\0c\0"; *id; id += 2) put(a, .id = id, .limit = "0;4;1000;1;any;=g");
  struct sk_fetch_op *op = take(a, 9, "q", NULL);
  assert_string_equal(ids_of(w, op), "a");
  assert_false(op->has_more);
  assert_int_equal(op->due_in_ms, 250);
  settle(a, &op->jobs[0], .kind = SK_SETTLE_DONE);
  world_advance(w, 249);
  op = take(b, 9, "q", NULL);
  assert_int_equal(op->jobs_n, 0);
  assert_int_equal(op->due_in_ms, 1);
  world_advance(w, 1);
  assert_true(take(a, 0, "q", NULL)->has_more);
  op = take(b, 9, "q", NULL);
  assert_string_equal(ids_of(w, op), "b");
  world_advance(w, 5000);
  op = take(b, 9, "q", NULL);
  assert_string_equal(ids_of(w, op), "c");
  assert_int_equal(op->due_in_ms, -1);
}

static void a_burst_starts_at_once_and_the_rest_at_the_rate(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  for (const char *id = "a\0b\0c\0d\0e\0f\0g\0"; *id; id += 2) put(h, .id = id, .limit = "0;10;1000;3;any;=g");
  assert_string_equal(ids_of(w, take(h, 9, "q", NULL)), "a b c");
  world_advance(w, 100);
  assert_string_equal(ids_of(w, take(h, 9, "q", NULL)), "d");
  world_advance(w, 250);
  struct sk_fetch_op *op = take(h, 9, "q", NULL);
  assert_string_equal(ids_of(w, op), "e f");
  assert_int_equal(op->due_in_ms, 50);
}

static void a_step_that_is_no_whole_millisecond_is_waited_for_in_full(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  for (const char *id = "a\0b\0c\0"; *id; id += 2) put(h, .id = id, .limit = "0;3;1000;1;any;=g");
  assert_int_equal(take(h, 9, "q", NULL)->due_in_ms, 334);
  world_advance(w, 333);
  struct sk_fetch_op *op = take(h, 9, "q", NULL);
  assert_int_equal(op->jobs_n, 0);
  assert_int_equal(op->due_in_ms, 1);
  world_advance(w, 1);
  assert_int_equal(take(h, 9, "q", NULL)->jobs_n, 1);
}

static void what_is_handed_back_keeps_its_token_and_what_waits_again_needs_another(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1"), *b = open_engine(w, "e2");
  put(h, .id = "a", .limit = ONE_A_SECOND("g"));
  settle(h, take_job(h, "a"), .kind = SK_SETTLE_RELEASE);
  take_job(h, "a");
  close_handle(h);
  settle(b, take_job(b, "a"), .kind = SK_SETTLE_RETRY);
  struct sk_fetch_op *op = take(b, 9, "q", NULL);
  assert_int_equal(op->jobs_n, 0);
  assert_int_equal(op->due_in_ms, 1000);
  world_advance(w, 1000);
  take_job(b, "a");
}

static void a_bucket_is_remembered_while_it_is_not_full(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a", .limit = ONE_A_SECOND("g"));
  settle(h, take_job(h, "a"), .kind = SK_SETTLE_DONE);
  world_advance(w, 400);
  beat(h);
  put(h, .id = "b", .limit = ONE_A_SECOND("g"));
  struct sk_fetch_op *op = take(h, 9, "q", NULL);
  assert_int_equal(op->jobs_n, 0);
  assert_int_equal(op->due_in_ms, 600);
  change(h, SK_VERB_DELETE, "b", 0);
  put(h, .id = "c", .limit = ONE_A_SECOND("g"));
  assert_int_equal(take(h, 9, "q", NULL)->jobs_n, 0);
  world_advance(w, 600);
  take_job(h, "c");
}

static void the_next_token_is_due_unless_something_else_holds_the_job_back(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a", .limit = "1;1;1000;1;any;=g");
  put(h, .id = "b", .limit = "1;1;1000;1;any;=g");
  struct sk_fetch_op *op = take(h, 9, "q", NULL);
  assert_string_equal(ids_of(w, op), "a");
  assert_int_equal(op->due_in_ms, -1); /* it has no slot either */
  put(h, .id = "s", .delay_ms = 5000);
  assert_int_equal(take(h, 0, "q", NULL)->due_in_ms, 5000);
  world_advance(w, 300);
  settle(h, &op->jobs[0], .kind = SK_SETTLE_DONE);
  op = take(h, 9, "q", NULL);
  assert_int_equal(op->jobs_n, 0);
  assert_int_equal(op->due_in_ms, 700);
  assert_int_equal(take(h, 0, "other", NULL)->due_in_ms, -1);
  set_paused(h, "q", true);
  assert_int_equal(take(h, 0, "q", NULL)->due_in_ms, 4700);
  set_paused(h, "q", false);
  world_advance(w, 700);
  take_job(h, "b");
}

static void the_earliest_token_of_many_groups_is_due(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  const char *const limits[] = { "0;1;3000;1;any;=x", "0;1;1000;1;any;=y", "0;1;2000;1;any;=z" };
  for (int i = 0; i < 6; i++) {
    char id[16];
    snprintf(id, sizeof id, "j%d", i);
    put(h, .id = id, .limit = limits[i % 3]);
  }
  struct sk_fetch_op *op = take(h, 9, "q", NULL);
  assert_int_equal(op->jobs_n, 3);
  assert_int_equal(op->due_in_ms, 1000);
  world_advance(w, 1000);
  op = take(h, 9, "q", NULL);
  assert_string_equal(ids_of(w, op), "j4");
  assert_int_equal(op->due_in_ms, 1000);
  change(h, SK_VERB_DELETE, "j5", 0);
  assert_int_equal(take(h, 9, "q", NULL)->due_in_ms, 2000);
}

static uint64_t next_random(uint64_t *seed) { return *seed = *seed * 6364136223846793005u + 1442695040888963407u; }
static int drawn(uint64_t *seed, int n) { return (int)((next_random(seed) >> 33) % (uint64_t)n); }

/* Starts of the group in any window of `per` are at most `rate`, whoever fetches. */
static void no_window_sees_more_starts_than_the_rate(void **ctx) {
  struct world *w = *ctx;
  enum { RATE = 7, PER_MS = 1000, JOBS = 200 };
  struct handle *engines[3] = { open_engine(w, "e1"), open_engine(w, "e2"), open_engine(w, "e3") };
  for (int i = 0; i < JOBS; i++) {
    char id[16];
    snprintf(id, sizeof id, "j%d", i);
    put(engines[0], .id = id, .limit = "0;7;1000;1;any;=g");
  }
  int64_t starts[JOBS];
  int n = 0;
  uint64_t seed = 7;
  while (n < JOBS) {
    struct handle *h = engines[drawn(&seed, 3)];
    struct sk_fetch_op *op = take(h, 1 + (size_t)drawn(&seed, 5), "q", NULL);
    for (size_t i = 0; i < op->jobs_n; i++) {
      starts[n++] = atomic_load(&w->wall_ms);
      settle(h, &op->jobs[i], .kind = drawn(&seed, 2) ? SK_SETTLE_DONE : SK_SETTLE_DROP);
    }
    world_advance(w, drawn(&seed, 200));
    for (int i = 0; i < 3; i++) beat(engines[i]);
  }
  for (int i = RATE; i < n; i++) assert_true(starts[i] - starts[i - RATE] >= PER_MS);
}

/* -- turns --------------------------------------------------------------------------------------------------------- */

/* How many of the first n held jobs have ids that begin with c. */
static int begin_with(const struct sk_fetch_op *op, size_t n, char c) {
  int found = 0;
  for (size_t i = 0; i < n && i < op->jobs_n; i++) found += op->jobs[i].id.p[0] == c;
  return found;
}

static void put_many(struct handle *h, const char *prefix, int n, const char *limit, int32_t priority) {
  struct sk_enqueue_item items[100];
  for (int i = 0; i < n;) {
    size_t batch = 0;
    for (; batch < 100 && i < n; batch++, i++) {
      char id[32];
      snprintf(id, sizeof id, "%s%d", prefix, i);
      items[batch] = item(h->world, .id = id, .limit = limit, .priority = priority);
    }
    struct sk_enqueue_op op = { .items = items, .items_n = batch };
    assert_code(run_enqueue(h, &op), SK_OK);
    sk_op_fini(&op.op);
  }
}

static void a_tenant_with_many_jobs_does_not_starve_one_with_few(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put_many(h, "a", 1000, "0;1000000;1000;1000;any;=a", 0);
  put_many(h, "b", 10, "0;1000000;1000;1000;any;=b", 0);
  struct sk_fetch_op *op = take(h, 22, "q", NULL);
  assert_int_equal(begin_with(op, 22, 'b'), 10);
  assert_int_equal(begin_with(op, 22, 'a'), 12);
}

static void groups_and_jobs_without_one_take_turns(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put_many(h, "p", 40, NULL, 0);
  put_many(h, "a", 40, "100;0;0;0;any;=a", 0);
  put_many(h, "b", 40, "100;0;0;0;any;=b", 0);
  struct sk_fetch_op *op = take(h, 60, "q", NULL);
  for (size_t n = 0; n <= 60; n++) {
    int p = begin_with(op, n, 'p'), a = begin_with(op, n, 'a'), b = begin_with(op, n, 'b');
    assert_true(abs(p - a) <= 1 && abs(p - b) <= 1 && abs(a - b) <= 1);
  }
  assert_int_equal(take(h, 60, "q", NULL)->jobs_n, 60);
}

static void turns_go_on_from_fetch_to_fetch(void **ctx) {
  struct world *w = *ctx;
  struct handle *a = open_engine(w, "e1"), *b = open_engine(w, "e2");
  put_many(a, "p", 20, NULL, 0);
  put_many(a, "x", 20, "100;0;0;0;any;=x", 0);
  put_many(a, "y", 20, "100;0;0;0;any;=y", 0);
  int taken[128] = { 0 };
  for (int i = 0; i < 30; i++) {
    struct sk_fetch_op *op = take(i % 2 ? a : b, 1, "q", NULL);
    taken[(int)op->jobs[0].id.p[0]]++;
  }
  assert_int_equal(taken['p'], 10);
  assert_int_equal(taken['x'], 10);
  assert_int_equal(taken['y'], 10);
}

/* More groups than a fetch takes jobs, of which some have few jobs or few slots. */
static void many_groups_take_turns_in_the_order_in_which_they_came(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put_many(h, "a", 3, "100;0;0;0;any;=a", 0);
  put_many(h, "b", 1, "100;0;0;0;any;=b", 0);
  put_many(h, "c", 3, "2;0;0;0;any;=c", 0);
  put_many(h, "d", 3, "0;1;1000;1;any;=d", 0);
  put_many(h, "e", 6, "100;0;0;0;any;=e", 0);
  assert_string_equal(ids_of(w, take(h, 3, "q", NULL)), "a0 b0 c0");
  assert_string_equal(ids_of(w, take(h, 4, "q", NULL)), "d0 e0 a1 c1");
  put_many(h, "f", 2, "100;0;0;0;any;=f", 0);
  assert_string_equal(ids_of(w, take(h, 3, "q", NULL)), "e1 a2 f0");
  assert_string_equal(ids_of(w, take(h, 9, "q", NULL)), "e2 f1 e3 e4 e5");
}

static void priorities_go_before_turns(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put_many(h, "p", 5, NULL, 0);
  put_many(h, "a", 5, "100;0;0;0;any;=a", 1);
  put_many(h, "b", 5, "100;0;0;0;any;=b", 0);
  struct sk_fetch_op *op = take(h, 5, "q", NULL);
  assert_int_equal(begin_with(op, 5, 'a'), 5);
}

static void within_its_turns_a_group_goes_first_in_first_out(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put_many(h, "a", 5, "100;0;0;0;any;=a", 0);
  put_many(h, "b", 5, "100;0;0;0;any;=b", 0);
  struct sk_fetch_op *op = take(h, 10, "q", NULL);
  int next[2] = { 0, 0 };
  for (size_t i = 0; i < op->jobs_n; i++)
    assert_int_equal(op->jobs[i].id.p[1] - '0', next[op->jobs[i].id.p[0] - 'a']++);
}

static void quotas_hold_with_groups(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  for (const char *id = "a\0b\0c\0"; *id; id += 2) put(h, .id = id, .queue = "x", .limit = TWO("g"));
  put(h, .id = "d", .queue = "y", .limit = TWO("g"));
  put(h, .id = "e", .queue = "y");
  struct sk_fetch_queue queues[] = { { text("x"), 1 }, { text("y"), 1 } };
  struct sk_fetch_op op = { .queues = queues, .queues_n = 2, .want = 9 };
  assert_code(run_fetch(h, &op), SK_OK);
  assert_int_equal(op.jobs_n, 3);
  assert_true(sk_str_eq_c(op.jobs[0].id, "a"));
  assert_true(sk_str_eq_c(op.jobs[1].queue, "y"));
  assert_false(op.has_more);
  sk_op_fini(&op.op);
}

/* -- a queue's own limit ------------------------------------------------------------------------------------------- */

static void a_queues_slots_count_all_its_running_jobs(void **ctx) {
  struct world *w = *ctx;
  struct handle *a = open_engine(w, "e1"), *b = open_engine(w, "e2");
  bind_queue(a, .name = text("q"), .limit = { .concurrency = 2 });
  put(a, .id = "a", .limit = ONE("g"));
  for (const char *id = "b\0c\0d\0"; *id; id += 2) put(a, .id = id);
  put(a, .id = "z", .queue = "z");
  struct sk_fetch_op *op = take(a, 9, "q", NULL);
  assert_int_equal(op->jobs_n, 2);
  assert_false(op->has_more);
  assert_string_equal(ids_of(w, take(b, 9, "q", "z", NULL)), "z");
  settle(a, &op->jobs[0], .kind = SK_SETTLE_RETRY, .delay_ms = 1000);
  assert_true(take(b, 0, "q", NULL)->has_more);
  struct sk_fetch_op *next = take(b, 9, "q", NULL);
  assert_int_equal(next->jobs_n, 1);
  outlive(a);
  assert_int_equal(take(a, 9, "q", NULL)->jobs_n, 1);
  bind_queue(b, .name = text("q"), .limit = { .concurrency = 3 });
  assert_int_equal(take(a, 9, "q", NULL)->jobs_n, 1);
  bind_queue(b, .name = text("q"));
  assert_int_equal(take(a, 9, "q", NULL)->jobs_n, 1);
}

static void a_queues_rate_holds_it_back_as_a_whole(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  bind_queue(h, .name = text("q"), .limit = { .rate = 2, .per_ms = 1000, .burst = 2 });
  put(h, .id = "a");
  put(h, .id = "b", .priority = 2);
  put(h, .id = "c", .limit = ONE("g"));
  put(h, .id = "z", .queue = "z");
  struct sk_fetch_op *op = take(h, 9, "q", "z", NULL);
  assert_int_equal(op->jobs_n, 3);
  assert_true(sk_str_eq_c(op->jobs[0].id, "b"));
  assert_false(op->has_more);
  assert_int_equal(op->due_in_ms, 500);
  world_advance(w, 499);
  assert_int_equal(take(h, 9, "q", NULL)->jobs_n, 0);
  world_advance(w, 1);
  op = take(h, 9, "q", NULL);
  assert_int_equal(op->jobs_n, 1);
  assert_int_equal(op->due_in_ms, -1);
}

static void a_queues_token_is_due_only_when_something_could_be_taken_then(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  bind_queue(h, .name = text("q"), .limit = { .concurrency = 1, .rate = 1, .per_ms = 1000, .burst = 1 });
  put(h, .id = "a", .limit = "0;1;3000;1;any;=g");
  put(h, .id = "b", .limit = "0;1;3000;1;any;=g");
  struct sk_fetch_op *op = take(h, 9, "q", NULL);
  assert_string_equal(ids_of(w, op), "a");
  assert_int_equal(op->due_in_ms, -1);
  settle(h, &op->jobs[0], .kind = SK_SETTLE_DONE);
  assert_int_equal(take(h, 9, "q", NULL)->due_in_ms, 3000); /* the later of the queue's and the group's */
  put(h, .id = "c");
  assert_int_equal(take(h, 9, "q", NULL)->due_in_ms, 1000);
}

static void a_queue_may_be_bound_before_its_first_job(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  bind_queue(h, .name = text("q"), .limit = { .concurrency = 1 });
  put(h, .id = "a");
  put(h, .id = "b");
  assert_int_equal(take(h, 9, "q", NULL)->jobs_n, 1);
}

/* -- many ---------------------------------------------------------------------------------------------------------- */

enum { TENANTS = 200, TENANT_JOBS = 5, TENANT_SLOTS = 2 };

struct drain {
  struct world *w;
  struct handle *engines[3];
  struct sk_fetched *jobs[3][64]; /* copies in the arena */
  size_t jobs_n[3];
  int running[TENANTS];
  int ended;
  uint64_t seed;
};

static int tenant_of(struct sk_str id) { return atoi(id.p + 1); }

static void drain_take(struct drain *d, int e) {
  struct sk_fetch_op *op = take(d->engines[e], 1 + (size_t)drawn(&d->seed, 20), "q", NULL);
  for (size_t i = 0; i < op->jobs_n; i++) {
    if (d->jobs_n[e] == 64) {
      settle(d->engines[e], &op->jobs[i], .kind = SK_SETTLE_RELEASE);
      continue;
    }
    d->jobs[e][d->jobs_n[e]++] = &op->jobs[i];
    assert_true(++d->running[tenant_of(op->jobs[i].id)] <= TENANT_SLOTS);
  }
}

static void drain_settle(struct drain *d, int e) {
  if (d->jobs_n[e] == 0) return;
  size_t at = (size_t)drawn(&d->seed, (int)d->jobs_n[e]);
  struct sk_fetched *held = d->jobs[e][at];
  d->jobs[e][at] = d->jobs[e][--d->jobs_n[e]];
  int dice = drawn(&d->seed, 10);
  struct fate fate = { .kind = dice < 6   ? SK_SETTLE_DONE
                               : dice < 8 ? SK_SETTLE_RELEASE
                               : dice < 9 ? SK_SETTLE_RETRY
                                          : SK_SETTLE_DROP };
  if (fate.kind == SK_SETTLE_RETRY) fate.delay_ms = drawn(&d->seed, 50);
  assert_code(settle_one(d->engines[e], held, fate), SK_OK);
  d->running[tenant_of(held->id)]--;
  if (fate.kind == SK_SETTLE_DONE || fate.kind == SK_SETTLE_DROP) d->ended++;
}

/* The engine is given up: what it held is the others' to take. */
static void drain_crash(struct drain *d, int e) {
  for (int round = 0; round <= SK_BEATS_PER_LEASE; round++) {
    for (int i = 0; i < 3; i++)
      if (i != e) beat(d->engines[i]);
    world_advance(d->w, LEASE_MS / SK_BEATS_PER_LEASE + 1);
  }
  for (size_t i = 0; i < d->jobs_n[e]; i++) d->running[tenant_of(d->jobs[e][i]->id)]--;
  d->jobs_n[e] = 0;
}

static void three_engines_and_many_groups_stay_within_every_limit_to_the_end(void **ctx) {
  struct drain *d = calloc(1, sizeof *d);
  assert_non_null(d);
  d->w = *ctx;
  d->seed = 11;
  const char *const names[] = { "e1", "e2", "e3" };
  for (int e = 0; e < 3; e++) d->engines[e] = open_engine(d->w, names[e]);
  for (int t = 0; t < TENANTS; t++) {
    char prefix[16], limit[32];
    snprintf(prefix, sizeof prefix, "t%d.", t);
    snprintf(limit, sizeof limit, "%d;0;0;0;any;=tenant%d", TENANT_SLOTS, t);
    put_many(d->engines[0], prefix, TENANT_JOBS, limit, t % 3 - 1);
  }
  for (int step = 0; d->ended < TENANTS * TENANT_JOBS; step++) {
    if (step > 50000) fail_msg("%d of %d jobs have ended: a slot is lost", d->ended, TENANTS * TENANT_JOBS);
    int e = drawn(&d->seed, 3), dice = drawn(&d->seed, 300);
    if (dice < 100)
      drain_take(d, e);
    else if (dice < 290)
      drain_settle(d, e);
    else if (dice < 299)
      world_advance(d->w, drawn(&d->seed, 50));
    else
      drain_crash(d, e);
  }
  assert_int_equal(take(d->engines[0], 9, "q", NULL)->jobs_n, 0);
  assert_string_equal(listed(d->engines[0], .state = SK_STATE_NONE), "");
  free(d);
}

/* -- what it costs ------------------------------------------------------------------------------------------------- */

enum { HELD_BACK = 100000, COST_GROUPS = 10000, TRIES = 60 };

/* The least time of many that a job takes from its enqueue to its end. */
static int64_t least_us_of_a_job(struct handle *h, const char *queue) {
  int64_t least = INT64_MAX;
  for (int i = 0; i < TRIES; i++) {
    char id[32];
    snprintf(id, sizeof id, "probe.%s.%d", queue, i);
    int64_t start = sk_clock_mono_us();
    put(h, .id = id, .queue = queue);
    struct sk_fetch_op *op = take(h, 1, queue, NULL);
    assert_string_equal(ids_of(h->world, op), id);
    assert_code(settle(h, &op->jobs[0], .kind = SK_SETTLE_DONE), SK_OK);
    int64_t took = sk_clock_mono_us() - start;
    if (took < least) least = took;
  }
  return least;
}

/* HELD_BACK jobs of COST_GROUPS groups in queue "q", of each group one more than it may start. */
static void fill_with_groups(struct handle *h, const char *numbers) {
  for (int i = 0; i < HELD_BACK;) {
    struct sk_enqueue_item items[SK_ENQUEUE_BATCH_MAX];
    for (int j = 0; j < SK_ENQUEUE_BATCH_MAX; j++, i++) {
      char id[32], limit[64];
      snprintf(id, sizeof id, "g%d", i);
      snprintf(limit, sizeof limit, "%s;any;=group%d", numbers, i % COST_GROUPS);
      items[j] = item(h->world, .id = id, .limit = limit);
    }
    struct sk_enqueue_op op = { .items = items, .items_n = SK_ENQUEUE_BATCH_MAX };
    assert_code(run_enqueue(h, &op), SK_OK);
    sk_op_fini(&op.op);
    world_forget(h->world);
  }
  int started = 0;
  for (struct sk_fetch_op *op = take(h, 1000, "q", NULL); op->jobs_n; op = take(h, 1000, "q", NULL)) {
    started += (int)op->jobs_n;
    world_forget(h->world);
  }
  assert_int_equal(started, COST_GROUPS);
}

static void check_cost(struct world *w, const char *numbers) {
  struct handle *h = open_engine(w, "e1");
  fill_with_groups(h, numbers);
  int64_t alone = least_us_of_a_job(h, "other"), among = least_us_of_a_job(h, "q");
  if (among > 5 * alone + 200)
    fail_msg("a job takes %lld us among held back ones, %lld us alone", (long long)among, (long long)alone);
}

static void a_hundred_thousand_jobs_held_back_by_concurrency_cost_the_others_nothing(void **ctx) {
  check_cost(*ctx, "1;0;0;0");
}
static void a_hundred_thousand_jobs_held_back_by_rate_cost_the_others_nothing(void **ctx) {
  check_cost(*ctx, "0;1;1000000000;1");
}

/* What was counted by a clock that went ahead ends by the one that is right. */
static void a_rate_goes_on_after_the_clock_was_set_back(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  bind_queue(h, .name = text("bound"), .limit = { .rate = 10, .per_ms = 1000, .burst = 1 });
  for (const char *id = "a\0b\0c\0"; *id; id += 2) put(h, .id = id, .limit = "0;10;1000;1;any;=g");
  for (const char *id = "x\0y\0z\0"; *id; id += 2) put(h, .id = id, .queue = "bound");
  put(h, .id = "s", .queue = "slow", .limit = "0;1;60000;1;any;=slow");
  put(h, .id = "t", .queue = "slow", .limit = "0;1;60000;1;any;=slow");
  beat(h);
  assert_string_equal(ids_of(w, take(h, 9, "q", "bound", "slow", NULL)), "a x s");
  atomic_fetch_sub(&w->wall_ms, 3600 * 1000);
  beat(h);
  for (const char *want = "b y\0c z\0"; *want; want += 4) {
    assert_int_equal(take(h, 9, "q", "bound", NULL)->jobs_n, 0);
    world_advance(w, 200);
    assert_string_equal(ids_of(w, take(h, 9, "q", "bound", "slow", NULL)), want);
  }
  world_advance(w, 120000);
  assert_string_equal(ids_of(w, take(h, 9, "slow", NULL)), "t");
}

static const struct CMUnitTest tests[] = {
  cmocka_unit_test(a_rate_goes_on_after_the_clock_was_set_back),
  cmocka_unit_test(no_more_of_a_group_run_than_it_has_slots),
  cmocka_unit_test(jobs_behind_those_held_back_are_taken),
  cmocka_unit_test(a_group_is_one_for_all_queues),
  cmocka_unit_test(groups_are_told_apart),
  cmocka_unit_test(a_slot_is_given_back_however_a_job_ends_or_when_it_waits_again),
  cmocka_unit_test(a_slot_is_given_back_once),
  cmocka_unit_test(an_item_that_is_twice_in_a_settle_gives_one_slot_back),
  cmocka_unit_test(a_job_that_was_handed_back_keeps_its_slot_and_stands_before_the_others),
  cmocka_unit_test(a_job_that_keeps_its_slot_is_listed_at_the_place_it_had),
  cmocka_unit_test(one_that_keeps_its_slot_gives_it_back_when_it_is_deleted_or_cancelled_by_hand),
  cmocka_unit_test(a_crash_leaks_no_slot),
  cmocka_unit_test(the_numbers_are_those_of_the_job_that_was_enqueued_last),
  cmocka_unit_test(a_follow_up_takes_its_place_in_its_group),
  cmocka_unit_test(a_replaced_or_deleted_job_leaves_its_line),
  cmocka_unit_test(a_dead_job_that_is_retried_by_hand_stands_in_its_group_again),
  cmocka_unit_test(a_groups_line_is_in_the_order),
  cmocka_unit_test(a_strict_group_holds_its_slot_while_a_job_waits_for_its_retry),
  cmocka_unit_test(strict_order_is_kept_through_crashes),
  cmocka_unit_test(a_retrying_job_of_a_strict_group_gives_its_slot_back_when_it_goes_by_hand),
  cmocka_unit_test(a_retrying_job_of_a_strict_group_that_is_put_forward_by_hand_runs_first),
  cmocka_unit_test(a_rate_lets_one_start_at_a_time),
  cmocka_unit_test(a_burst_starts_at_once_and_the_rest_at_the_rate),
  cmocka_unit_test(a_step_that_is_no_whole_millisecond_is_waited_for_in_full),
  cmocka_unit_test(what_is_handed_back_keeps_its_token_and_what_waits_again_needs_another),
  cmocka_unit_test(a_bucket_is_remembered_while_it_is_not_full),
  cmocka_unit_test(the_next_token_is_due_unless_something_else_holds_the_job_back),
  cmocka_unit_test(the_earliest_token_of_many_groups_is_due),
  cmocka_unit_test(no_window_sees_more_starts_than_the_rate),
  cmocka_unit_test(a_tenant_with_many_jobs_does_not_starve_one_with_few),
  cmocka_unit_test(groups_and_jobs_without_one_take_turns),
  cmocka_unit_test(turns_go_on_from_fetch_to_fetch),
  cmocka_unit_test(many_groups_take_turns_in_the_order_in_which_they_came),
  cmocka_unit_test(priorities_go_before_turns),
  cmocka_unit_test(within_its_turns_a_group_goes_first_in_first_out),
  cmocka_unit_test(quotas_hold_with_groups),
  cmocka_unit_test(a_queues_slots_count_all_its_running_jobs),
  cmocka_unit_test(a_queues_rate_holds_it_back_as_a_whole),
  cmocka_unit_test(a_queues_token_is_due_only_when_something_could_be_taken_then),
  cmocka_unit_test(a_queue_may_be_bound_before_its_first_job),
  cmocka_unit_test(three_engines_and_many_groups_stay_within_every_limit_to_the_end),
  cmocka_unit_test(a_hundred_thousand_jobs_held_back_by_concurrency_cost_the_others_nothing),
  cmocka_unit_test(a_hundred_thousand_jobs_held_back_by_rate_cost_the_others_nothing),
};
const struct suite limit_suite = SUITE("limits", tests);
