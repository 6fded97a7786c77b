/* stop_test.c - store.h, STOPS: running jobs that are told to stop. */
#include "contract.h"

static void a_running_job_that_is_cancelled_is_in_every_fetch_of_its_engine_until_it_is_settled(void **ctx) {
  struct world *w = *ctx;
  struct handle *a = open_engine(w, "e1"), *b = open_engine(w, "e2"), *c = open_client(w);
  put(c, .id = "x");
  put(c, .id = "y");
  put(c, .id = "z");
  struct sk_fetch_op *held = take(a, 3, "q", NULL);
  assert_int_equal(held->stops_n, 0);
  assert_code(change(c, SK_VERB_CANCEL, "z", 1000), SK_OK);
  assert_code(change(c, SK_VERB_CANCEL, "x", 1000), SK_OK);
  assert_string_equal(stops_of(w, take(a, 0, "q", NULL)), "x z");
  assert_string_equal(stops_of(w, take(a, 1, NULL)), "x z");
  assert_string_equal(stops_of(w, take(b, 1, "q", NULL)), "");
  assert_string_equal(state_of(c, "x"), "running");
  assert_int_equal(count(c)->counters.cancelled, 0);
  assert_code(settle(a, &held->jobs[0], .kind = SK_SETTLE_CANCELLED, .keep_ms = 1000), SK_OK);
  assert_int_equal(count(c)->counters.cancelled, 1);
  assert_string_equal(stops_of(w, take(a, 0, "q", NULL)), "z");
  assert_code(settle(a, &held->jobs[2], .kind = SK_SETTLE_CANCELLED), SK_OK);
  assert_string_equal(stops_of(w, take(a, 0, "q", NULL)), "");
  assert_string_equal(listed(c, .state = SK_STATE_NONE), "y x");
}

static void to_stop_it_again_is_nothing_more(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a");
  take_job(h, "a");
  assert_code(change(h, SK_VERB_CANCEL, "a", 1000), SK_OK);
  assert_code(change(h, SK_VERB_CANCEL, "a", 0), SK_OK);
  assert_string_equal(stops_of(w, take(h, 0, "q", NULL)), "a");
  assert_string_equal(state_of(h, "a"), "running");
}

static void a_stop_is_heard_by_the_others(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1"), *c = open_client(w);
  put(h, .id = "a");
  take_job(h, "a");
  int before = h->changed;
  change(c, SK_VERB_CANCEL, "a", 1000);
  world_await_count(w, &h->changed, before + 1);
}

static void a_view_says_that_it_is_stopping(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a");
  put(h, .id = "b");
  struct sk_fetched *held = take_job(h, "a");
  assert_false(view(h, "a")->stopping);
  change(h, SK_VERB_CANCEL, "a", 1000);
  assert_true(view(h, "a")->stopping);
  assert_false(view(h, "b")->stopping);
  settle(h, held, .kind = SK_SETTLE_RELEASE);
  assert_string_equal(state_of(h, "a"), "ready");
  assert_true(view(h, "a")->stopping);
  settle(h, take_job(h, "a"), .kind = SK_SETTLE_CANCELLED, .keep_ms = 1000);
  assert_false(view(h, "a")->stopping);
}

static void it_is_neither_retried_nor_dead(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a", .lock = "reject;0;=k", .limit = "1;0;0;0;any;=g");
  struct sk_fetched *held = take_job(h, "a");
  change(h, SK_VERB_CANCEL, "a", 1000);
  const enum sk_settle_kind kinds[] = { SK_SETTLE_RETRY, SK_SETTLE_SNOOZE, SK_SETTLE_DEAD };
  for (int i = 0; i < 3; i++) {
    struct sk_enqueue_item follow = item(w, .id = "follow");
    struct fate fate = { .kind = kinds[i],
                         .crashed = true,
                         .callbacks = &follow,
                         .callbacks_n = 1,
                         .record = record_with(w, held->record, 9, 9) };
    assert_code(settle_one(h, held, fate), SK_ESTATE);
    assert_string_equal(state_of(h, "a"), "running");
    assert_string_equal(state_of(h, "follow"), "unknown");
  }
  assert_int_equal(decoded(view(h, "a")->record).attempts, 0);
  assert_int_equal(count(h)->counters.retried + count(h)->counters.dead + count(h)->counters.crashed, 0);
  assert_string_equal(refused_by(h, .id = "b", .lock = "reject;0;=k"), "a");
  assert_code(settle(h, held, .kind = SK_SETTLE_CANCELLED, .keep_ms = 1000), SK_OK);
  assert_string_equal(state_of(h, "a"), "cancelled");
}

static void what_is_done_or_dropped_stands(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a");
  put(h, .id = "b");
  struct sk_fetch_op *op = take(h, 2, "q", NULL);
  change_all(h, SK_VERB_CANCEL, (struct sk_filter){ .state = SK_STATE_RUNNING }, 1000);
  assert_string_equal(stops_of(w, take(h, 0, "q", NULL)), "a b");
  assert_code(settle(h, &op->jobs[0], .kind = SK_SETTLE_DONE, .keep_ms = 1000), SK_OK);
  assert_code(settle(h, &op->jobs[1], .kind = SK_SETTLE_DROP), SK_OK);
  assert_string_equal(state_of(h, "a"), "done");
  assert_int_equal(count(h)->counters.cancelled, 0);
  assert_int_equal(take(h, 0, "q", NULL)->stops_n, 0);
}

static void one_that_was_handed_back_is_to_be_stopped_in_the_fetch_that_takes_it(void **ctx) {
  struct world *w = *ctx;
  struct handle *a = open_engine(w, "e1"), *b = open_engine(w, "e2");
  put(a, .id = "a");
  struct sk_fetched *held = take_job(a, "a");
  change(a, SK_VERB_CANCEL, "a", 1000);
  settle(a, held, .kind = SK_SETTLE_RELEASE);
  assert_int_equal(take(a, 0, "q", NULL)->stops_n, 0);
  struct sk_fetch_op *op = take(b, 9, "q", NULL);
  assert_string_equal(ids_of(w, op), "a");
  assert_string_equal(stops_of(w, op), "a");
  assert_code(settle(b, &op->jobs[0], .kind = SK_SETTLE_RETRY), SK_ESTATE);
}

static void a_dead_engines_job_is_still_to_be_stopped(void **ctx) {
  struct world *w = *ctx;
  struct handle *a = open_engine(w, "e1"), *b = open_engine(w, "e2");
  put(a, .id = "a");
  take_job(a, "a");
  change(b, SK_VERB_CANCEL, "a", 1000);
  assert_int_equal(outlive(b)->recovered, 1);
  assert_int_equal(take(a, 0, "q", NULL)->stops_n, 0);
  assert_true(view(b, "a")->stopping);
  assert_string_equal(stops_of(w, take(b, 9, "q", NULL)), "a");
}

static void one_that_was_handed_back_can_be_cancelled_at_once(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a");
  struct sk_fetched *held = take_job(h, "a");
  change(h, SK_VERB_CANCEL, "a", 1000);
  settle(h, held, .kind = SK_SETTLE_RELEASE);
  assert_code(change(h, SK_VERB_CANCEL, "a", 1000), SK_OK);
  assert_string_equal(state_of(h, "a"), "cancelled");
  assert_int_equal(take(h, 9, "q", NULL)->stops_n, 0);
}

static void retried_by_hand_it_is_not_to_be_stopped_any_more(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a");
  struct sk_fetched *held = take_job(h, "a");
  change(h, SK_VERB_CANCEL, "a", 1000);
  settle(h, held, .kind = SK_SETTLE_CANCELLED, .keep_ms = 1000);
  assert_code(change(h, SK_VERB_RETRY, "a", 0), SK_OK);
  struct sk_fetch_op *op = take(h, 9, "q", NULL);
  assert_string_equal(ids_of(w, op), "a");
  assert_int_equal(op->stops_n, 0);
  assert_code(settle(h, &op->jobs[0], .kind = SK_SETTLE_RETRY), SK_OK);
}

static void many_are_stopped_at_once(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1"), *c = open_client(w);
  struct sk_enqueue_item items[500];
  for (int i = 0; i < 500; i++) {
    char id[16];
    snprintf(id, sizeof id, "j%03d", i);
    items[i] = item(w, .id = id);
  }
  struct sk_enqueue_op op = { .items = items, .items_n = 500 };
  assert_code(run_enqueue(c, &op), SK_OK);
  sk_op_fini(&op.op);
  struct sk_fetch_op *held = take(h, 400, "q", NULL);
  assert_int_equal(change_all(c, SK_VERB_CANCEL, (struct sk_filter){ .queue = text("q") }, 0), 500);
  assert_int_equal(take(h, 0, NULL)->stops_n, 400);
  for (size_t i = 0; i < 399; i++) settle(h, &held->jobs[i], .kind = SK_SETTLE_CANCELLED);
  assert_string_equal(stops_of(w, take(h, 0, NULL)), "j399");
}

static const struct CMUnitTest tests[] = {
  cmocka_unit_test(a_running_job_that_is_cancelled_is_in_every_fetch_of_its_engine_until_it_is_settled),
  cmocka_unit_test(to_stop_it_again_is_nothing_more),
  cmocka_unit_test(a_stop_is_heard_by_the_others),
  cmocka_unit_test(a_view_says_that_it_is_stopping),
  cmocka_unit_test(it_is_neither_retried_nor_dead),
  cmocka_unit_test(what_is_done_or_dropped_stands),
  cmocka_unit_test(one_that_was_handed_back_is_to_be_stopped_in_the_fetch_that_takes_it),
  cmocka_unit_test(a_dead_engines_job_is_still_to_be_stopped),
  cmocka_unit_test(one_that_was_handed_back_can_be_cancelled_at_once),
  cmocka_unit_test(retried_by_hand_it_is_not_to_be_stopped_any_more),
  cmocka_unit_test(many_are_stopped_at_once),
};
const struct suite stop_suite = SUITE("stops", tests);
