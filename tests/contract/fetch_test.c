/* fetch_test.c - store.h, "fetch" and the order. */
#include <string.h>

#include "base/limits.h"
#include "contract.h"

static void a_fetched_job_is_running_and_held(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  struct sk_enqueue_item one = item(w, .id = "a");
  put(h, .id = "a");
  world_advance(w, 77);
  const struct sk_fetched *held = take_job(h, "a");
  assert_true(sk_str_eq(held->record, one.record));
  assert_true(sk_str_eq_c(held->queue, "q"));
  assert_int_equal(held->late_ms, 0);
  assert_true(held->fence > 0);
  const struct sk_view *v = view(h, "a");
  assert_int_equal(v->state, SK_STATE_RUNNING);
  assert_true(sk_str_eq_c(v->engine, "e1"));
  assert_int_equal(v->running_since_ms, WALL_START_MS + 77);
  assert_int_equal(take(h, 10, "q", NULL)->jobs_n, 0);
}

static void each_fetch_gives_a_greater_fence(void **ctx) {
  struct world *w = *ctx;
  struct handle *a = open_engine(w, "e1"), *b = open_engine(w, "e2");
  put(a, .id = "a");
  uint64_t last = 0;
  for (int i = 0; i < 6; i++) {
    struct handle *h = i % 2 ? a : b;
    struct sk_fetched *held = take_job(h, "a");
    assert_true(held->fence > last);
    last = held->fence;
    assert_code(settle(h, held, .kind = i % 3 ? SK_SETTLE_RELEASE : SK_SETTLE_RETRY), SK_OK);
  }
}

static void no_job_is_given_twice(void **ctx) {
  struct world *w = *ctx;
  struct handle *a = open_engine(w, "e1"), *b = open_engine(w, "e2");
  for (const char *id = "a\0b\0c\0d\0"; *id; id += 2) put(a, .id = id);
  assert_string_equal(ids_of(w, take(a, 1, "q", NULL)), "a");
  assert_string_equal(ids_of(w, take(b, 2, "q", NULL)), "b c");
  assert_string_equal(ids_of(w, take(a, 9, "q", NULL)), "d");
}

static void due_jobs_go_to_the_front_the_earlier_first(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "f1");
  put(h, .id = "s30", .delay_ms = 30);
  put(h, .id = "s10", .delay_ms = 10);
  put(h, .id = "s20", .delay_ms = 20);
  put(h, .id = "s99", .delay_ms = 99);
  put(h, .id = "p10", .delay_ms = 10, .priority = 1);
  put(h, .id = "f2");
  world_advance(w, 40);
  assert_string_equal(ids_of(w, take(h, 9, "q", NULL)), "p10 s10 s20 s30 f1 f2");
}

static void a_job_is_due_at_its_time_and_not_before(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "s", .delay_ms = 10);
  world_advance(w, 9);
  const struct sk_fetch_op *op = take(h, 1, "q", NULL);
  assert_int_equal(op->jobs_n, 0);
  assert_int_equal(op->due_in_ms, 1);
  world_advance(w, 1);
  op = take(h, 1, "q", NULL);
  assert_int_equal(op->jobs_n, 1);
  assert_int_equal(op->jobs[0].late_ms, 0);
}

static void those_that_came_due_earlier_stay_before_those_that_came_due_later(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "f");
  put(h, .id = "s10", .delay_ms = 10);
  put(h, .id = "s20", .delay_ms = 20);
  world_advance(w, 15);
  take(h, 0, "q", NULL);
  world_advance(w, 15);
  take(h, 0, "q", NULL);
  assert_string_equal(ids_of(w, take(h, 9, "q", NULL)), "s10 s20 f");
}

static void equal_due_times_go_in_the_order_they_were_given(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  struct sk_enqueue_item items[5];
  const char *ids[] = { "c", "a", "e", "b", "d" };
  for (int i = 0; i < 5; i++) items[i] = item(w, .id = ids[i], .delay_ms = 10);
  struct sk_enqueue_op op = { .items = items, .items_n = 5 };
  assert_code(run_enqueue(h, &op), SK_OK);
  sk_op_fini(&op.op);
  assert_string_equal(listed(h, .state = SK_STATE_SCHEDULED), "c a e b d");
  world_advance(w, 10);
  assert_string_equal(ids_of(w, take(h, 9, "q", NULL)), "c a e b d");
}

static void lateness_counts_from_the_due_time(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "s", .delay_ms = 10);
  put(h, .id = "f");
  world_advance(w, 45);
  const struct sk_fetch_op *op = take(h, 2, "q", NULL);
  assert_string_equal(ids_of(w, op), "s f");
  assert_int_equal(op->jobs[0].late_ms, 35);
  assert_int_equal(op->jobs[1].late_ms, 0);
}

static void due_in_ms_is_the_earliest_of_the_queues_asked_for(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  assert_int_equal(take(h, 1, "a", "b", NULL)->due_in_ms, -1);
  put(h, .id = "x", .queue = "a", .delay_ms = 500);
  put(h, .id = "y", .queue = "b", .delay_ms = 200);
  put(h, .id = "z", .queue = "c", .delay_ms = 100);
  assert_int_equal(take(h, 1, "a", "b", NULL)->due_in_ms, 200);
  assert_int_equal(take(h, 1, "a", NULL)->due_in_ms, 500);
  assert_int_equal(take(h, 1, NULL)->due_in_ms, -1);
  set_paused(h, "b", true);
  assert_int_equal(take(h, 1, "a", "b", NULL)->due_in_ms, 200);
  world_advance(w, 200);
  assert_int_equal(take(h, 0, "a", "b", NULL)->due_in_ms, 300);
}

static void queues_are_tried_in_the_order_given(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a1", .queue = "a");
  put(h, .id = "b1", .queue = "b", .priority = 2);
  put(h, .id = "a2", .queue = "a");
  assert_string_equal(ids_of(w, take(h, 9, "nowhere", "b", "a", NULL)), "b1 a1 a2");
}

static struct sk_fetch_op fetch_quotas(struct handle *h, size_t want, size_t a, size_t b, size_t c) {
  struct sk_fetch_queue queues[] = { { text("a"), a }, { text("b"), b }, { text("c"), c } };
  struct sk_fetch_op op = { .queues = queues, .queues_n = 3, .want = want };
  assert_code(run_fetch(h, &op), SK_OK);
  op.queues = NULL;
  return op;
}

static void fill_three_queues(struct handle *h) {
  const char *ids[] = { "a1", "a2", "a3", "a4", "b1", "b2", "b3", "b4", "c1" };
  for (size_t i = 0; i < 9; i++) put(h, .id = ids[i], .queue = i < 4 ? "a" : i < 8 ? "b" : "c");
}

static void a_first_pass_keeps_to_quotas_and_a_second_fills_up(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  fill_three_queues(h);
  struct sk_fetch_op op = fetch_quotas(h, 7, 1, 2, 3);
  assert_string_equal(ids_of(w, &op), "a1 b1 b2 c1 a2 a3 a4");
  assert_true(op.has_more);
  sk_op_fini(&op.op);
}

static void quotas_stop_at_what_is_wanted(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  fill_three_queues(h);
  struct sk_fetch_op op = fetch_quotas(h, 3, 2, 2, 2);
  assert_string_equal(ids_of(w, &op), "a1 a2 b1");
  sk_op_fini(&op.op);
  op = fetch_quotas(h, 3, 0, 0, 1);
  assert_string_equal(ids_of(w, &op), "c1 a3 a4");
  sk_op_fini(&op.op);
}

static void more_says_whether_ready_jobs_are_left(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a", .queue = "a");
  put(h, .id = "b", .queue = "b");
  put(h, .id = "s", .queue = "b", .delay_ms = 10);
  const struct sk_fetch_op *op = take(h, 0, "a", "b", NULL);
  assert_int_equal(op->jobs_n, 0);
  assert_true(op->has_more);
  assert_true(take(h, 1, "a", "b", NULL)->has_more);
  assert_false(take(h, 1, "a", NULL)->has_more);
  assert_false(take(h, 1, "b", NULL)->has_more);
}

static void want_zero_only_promotes(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "s", .delay_ms = 10);
  put(h, .id = "t", .delay_ms = 25);
  world_advance(w, 12);
  const struct sk_fetch_op *op = take(h, 0, "q", NULL);
  assert_int_equal(op->jobs_n, 0);
  assert_true(op->has_more);
  assert_int_equal(op->due_in_ms, 13);
  assert_string_equal(state_of(h, "s"), "ready");
  assert_string_equal(state_of(h, "t"), "scheduled");
}

static void no_queues_give_nothing(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a");
  const struct sk_fetch_op *op = take(h, 5, NULL);
  assert_int_equal(op->jobs_n, 0);
  assert_false(op->has_more);
  assert_int_equal(op->due_in_ms, -1);
}

static void a_paused_queue_gives_nothing_but_what_is_due_becomes_ready(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "p", .queue = "p");
  put(h, .id = "s", .queue = "p", .delay_ms = 10);
  put(h, .id = "q");
  set_paused(h, "p", true);
  world_advance(w, 10);
  const struct sk_fetch_op *op = take(h, 9, "p", "q", NULL);
  assert_string_equal(ids_of(w, op), "q");
  assert_false(op->has_more);
  assert_int_equal(op->due_in_ms, -1);
  assert_string_equal(state_of(h, "s"), "ready");
  set_paused(h, "p", false);
  assert_string_equal(ids_of(w, take(h, 9, "p", "q", NULL)), "s p");
}

static void queues_version_changes_with_a_new_queue_pause_and_resume(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  uint64_t v0 = take(h, 0, NULL)->queues_version;
  put(h, .id = "a", .queue = "a");
  uint64_t v1 = take(h, 0, NULL)->queues_version;
  assert_int_not_equal(v0, v1);
  put(h, .id = "b", .queue = "a");
  assert_int_equal(take(h, 0, NULL)->queues_version, v1);
  set_paused(h, "a", true);
  uint64_t v2 = count(h)->queues_version;
  assert_int_not_equal(v1, v2);
  assert_int_equal(take(h, 0, "a", NULL)->queues_version, v2);
  set_paused(h, "a", false);
  uint64_t v3 = take(h, 0, NULL)->queues_version;
  assert_int_not_equal(v2, v3);
  settle(h, &take(h, 1, "a", NULL)->jobs[0], .kind = SK_SETTLE_RETRY, .to_queue = "new", .delay_ms = 1);
  assert_int_not_equal(take(h, 0, NULL)->queues_version, v3);
}

static void a_fetch_at_the_limit_is_answered_and_one_past_it_is_not(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a");
  struct sk_fetch_queue q = { text("q"), SK_FETCH_BATCH_MAX };
  struct sk_fetch_op op = { .queues = &q, .queues_n = 1, .want = SK_FETCH_BATCH_MAX + 1 };
  assert_code(run_fetch(h, &op), SK_ELIMIT);
  assert_string_equal(state_of(h, "a"), "ready");
  sk_op_fini(&op.op);
  op.want = SK_FETCH_BATCH_MAX;
  assert_code(run_fetch(h, &op), SK_OK);
  assert_int_equal(op.jobs_n, 1);
  sk_op_fini(&op.op);
}

static void a_clock_set_back_loses_nothing(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "s", .delay_ms = 10);
  put(h, .id = "f");
  atomic_fetch_sub(&w->wall_ms, 3600 * 1000);
  const struct sk_fetch_op *op = take(h, 9, "q", NULL);
  assert_string_equal(ids_of(w, op), "f");
  assert_int_equal(op->due_in_ms, 3600 * 1000 + 10);
  atomic_fetch_add(&w->wall_ms, 2 * 3600 * 1000);
  assert_string_equal(ids_of(w, take(h, 9, "q", NULL)), "s");
  assert_int_equal(take(h, 9, "q", NULL)->jobs_n, 0);
}

static const struct CMUnitTest tests[] = {
  cmocka_unit_test(a_fetched_job_is_running_and_held),
  cmocka_unit_test(each_fetch_gives_a_greater_fence),
  cmocka_unit_test(no_job_is_given_twice),
  cmocka_unit_test(due_jobs_go_to_the_front_the_earlier_first),
  cmocka_unit_test(a_job_is_due_at_its_time_and_not_before),
  cmocka_unit_test(those_that_came_due_earlier_stay_before_those_that_came_due_later),
  cmocka_unit_test(equal_due_times_go_in_the_order_they_were_given),
  cmocka_unit_test(lateness_counts_from_the_due_time),
  cmocka_unit_test(due_in_ms_is_the_earliest_of_the_queues_asked_for),
  cmocka_unit_test(queues_are_tried_in_the_order_given),
  cmocka_unit_test(a_first_pass_keeps_to_quotas_and_a_second_fills_up),
  cmocka_unit_test(quotas_stop_at_what_is_wanted),
  cmocka_unit_test(more_says_whether_ready_jobs_are_left),
  cmocka_unit_test(want_zero_only_promotes),
  cmocka_unit_test(no_queues_give_nothing),
  cmocka_unit_test(a_paused_queue_gives_nothing_but_what_is_due_becomes_ready),
  cmocka_unit_test(queues_version_changes_with_a_new_queue_pause_and_resume),
  cmocka_unit_test(a_fetch_at_the_limit_is_answered_and_one_past_it_is_not),
  cmocka_unit_test(a_clock_set_back_loses_nothing),
};
const struct suite fetch_suite = SUITE("fetch", tests);
