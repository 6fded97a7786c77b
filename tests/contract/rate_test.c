/* rate_test.c - store.h, GROUPS: the tokens of a group with a rate. */
#include "contract.h"

#define ONE_A_SECOND(group) "0;1;1000;1;any;=" group

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
  cmocka_unit_test(a_rate_lets_one_start_at_a_time),
  cmocka_unit_test(a_burst_starts_at_once_and_the_rest_at_the_rate),
  cmocka_unit_test(a_step_that_is_no_whole_millisecond_is_waited_for_in_full),
  cmocka_unit_test(what_is_handed_back_keeps_its_token_and_what_waits_again_needs_another),
  cmocka_unit_test(a_bucket_is_remembered_while_it_is_not_full),
  cmocka_unit_test(the_next_token_is_due_unless_something_else_holds_the_job_back),
  cmocka_unit_test(the_earliest_token_of_many_groups_is_due),
  cmocka_unit_test(no_window_sees_more_starts_than_the_rate),
};
const struct suite rate_suite = SUITE("rates", tests);
