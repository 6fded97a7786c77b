/* limit_test.c - store.h, GROUPS: slots, strict order, and a queue's own limit (rate_test.c: tokens; turns_test.c:
 * turns, cost). */
#include <string.h>

#include "contract.h"

#define ONE(group) "1;0;0;0;any;=" group
#define TWO(group) "2;0;0;0;any;=" group
#define STRICT(group) "1;0;0;0;strict;=" group

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

static const struct CMUnitTest tests[] = {
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
  cmocka_unit_test(a_queues_slots_count_all_its_running_jobs),
  cmocka_unit_test(a_queues_rate_holds_it_back_as_a_whole),
  cmocka_unit_test(a_queues_token_is_due_only_when_something_could_be_taken_then),
  cmocka_unit_test(a_queue_may_be_bound_before_its_first_job),
};
const struct suite limit_suite = SUITE("limits", tests);
