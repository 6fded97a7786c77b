/* look_test.c - store.h, "looking": get, list, count, progress, tasks. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "contract.h"
#include "store/check.h"

static void get_answers_in_the_order_asked(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_client(w);
  put(h, .id = "a", .priority = 2);
  put(h, .id = "b", .queue = "z", .delay_ms = 9);
  const struct sk_str ids[] = { text("b"), text("nope"), text("a"), text("b") };
  struct sk_get_op op = { .ids = ids, .ids_n = 4 };
  assert_code(run_get(h, &op), SK_OK);
  for (size_t i = 0; i < 4; i++) assert_true(sk_str_eq(op.views[i].id, ids[i]));
  assert_int_equal(op.views[0].state, SK_STATE_SCHEDULED);
  assert_int_equal(op.views[1].state, SK_STATE_NONE);
  assert_int_equal(op.views[1].record.n, 0);
  assert_int_equal(op.views[2].state, SK_STATE_READY);
  assert_int_equal(op.views[2].priority, 2);
  assert_int_equal(op.views[2].percent, -1);
  assert_int_equal(op.views[2].progress_text.n, 0);
  assert_int_equal(op.views[2].engine.n, 0);
  assert_true(sk_str_eq_c(op.views[3].queue, "z"));
  assert_true(sk_str_eq_c(decoded(op.views[3].record).id, "b"));
  sk_op_fini(&op.op);
}

/* One job in each state, and some more.  Queue "q" but for z1 and z2. */
static void fill(struct handle *h) {
  const char *dies[] = { "dead1", "dead2", "done1", "done2", "cancel1", "cancel2", "retry9", "retry5", "run1", "run2" };
  for (size_t i = 0; i < 10; i++) put(h, .id = dies[i], .task = i % 2 ? "odd" : "even");
  struct sk_fetch_op *op = take(h, 10, "q", NULL);
  for (size_t i = 0; i < 2; i++) settle(h, &op->jobs[i], .kind = SK_SETTLE_DEAD);
  for (size_t i = 2; i < 4; i++) settle(h, &op->jobs[i], .kind = SK_SETTLE_DONE, .keep_ms = 1000);
  for (size_t i = 4; i < 6; i++) settle(h, &op->jobs[i], .kind = SK_SETTLE_CANCELLED, .keep_ms = 1000);
  settle(h, &op->jobs[6], .kind = SK_SETTLE_RETRY, .delay_ms = 9);
  settle(h, &op->jobs[7], .kind = SK_SETTLE_RETRY, .delay_ms = 5);
  put(h, .id = "z1", .queue = "z");
  put(h, .id = "z2", .queue = "z", .priority = 1);
  put(h, .id = "ready", .queue = "q");
  put(h, .id = "later8", .delay_ms = 8);
  put(h, .id = "later7", .queue = "z", .delay_ms = 7);
}

static void list_shows_states_in_their_order(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  fill(h);
  assert_string_equal(listed(h, .state = SK_STATE_NONE),
                      "later7 later8 ready z2 z1 run1 run2 retry5 retry9 done2 done1 dead2 dead1 cancel2 cancel1");
}

static void list_filters_by_state_queue_and_task(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  fill(h);
  assert_string_equal(listed(h, .state = SK_STATE_DEAD), "dead2 dead1");
  assert_string_equal(listed(h, .queue = text("z")), "later7 z2 z1");
  assert_string_equal(listed(h, .task = text("odd")), "run2 retry5 done2 dead2 cancel2");
  assert_string_equal(listed(h, .task = text("odd"), .state = SK_STATE_DONE, .queue = text("q")), "done2");
  assert_string_equal(listed(h, .task = text("odd"), .queue = text("z")), "");
  assert_string_equal(listed(h, .queue = text("nowhere")), "");
}

static void list_takes_offset_and_limit(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  fill(h);
  const struct sk_filter all = { 0 };
  assert_string_equal(listed_ids(h, all, 0, 3), "later7 later8 ready");
  assert_string_equal(listed_ids(h, all, 3, 4), "z2 z1 run1 run2");
  assert_string_equal(listed_ids(h, all, 13, 9), "cancel2 cancel1");
  assert_string_equal(listed_ids(h, all, 15, 9), "");
  assert_string_equal(listed_ids(h, all, 99, 9), "");
  assert_string_equal(listed_ids(h, all, 0, 0), "");
  assert_string_equal(listed_ids(h, (struct sk_filter){ .state = SK_STATE_DONE }, 1, 9), "done1");
  struct sk_list_op op = { .limit = SK_LIST_LIMIT_MAX + 1 };
  assert_code(run_list(h, &op), SK_ELIMIT);
  sk_op_fini(&op.op);
  op.limit = SK_LIST_LIMIT_MAX;
  assert_code(run_list(h, &op), SK_OK);
  assert_int_equal(op.views_n, 15);
  sk_op_fini(&op.op);
}

static void a_listing_that_takes_more_than_it_may_is_refused(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a");
  put(h, .id = "b");
  struct sk_list_op op = { .limit = SK_LIST_LIMIT_MAX };
  assert_code(run_list(h, &op), SK_OK);
  size_t bytes = 0;
  for (size_t i = 0; i < op.views_n; i++) assert_int_equal(sk_check_listed(&op, &op.views[i], &bytes, NULL), SK_OK);
  sk_op_fini(&op.op);
  op.bytes_max = bytes;
  assert_code(run_list(h, &op), SK_OK);
  assert_int_equal(op.views_n, 2);
  sk_op_fini(&op.op);
  op.bytes_max = bytes - 1;
  assert_code(run_list(h, &op), SK_ELIMIT);
  sk_op_fini(&op.op);
}

static void a_listed_job_says_what_get_says(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a", .priority = -1);
  take_job(h, "a");
  struct sk_list_op op = { .limit = 1 };
  assert_code(run_list(h, &op), SK_OK);
  const struct sk_view *a = view(h, "a"), *b = &op.views[0];
  assert_true(sk_str_eq(a->record, b->record) && sk_str_eq(a->queue, b->queue) && sk_str_eq(a->engine, b->engine));
  assert_int_equal(a->state, b->state);
  assert_int_equal(a->priority, b->priority);
  assert_int_equal(a->running_since_ms, b->running_since_ms);
  assert_int_equal(a->percent, b->percent);
  sk_op_fini(&op.op);
}

static void count_shows_queues_by_name_with_their_states(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  assert_int_equal(count(h)->queues_n, 0);
  fill(h);
  set_paused(h, "b", true);
  const struct sk_count_op *op = count(h);
  assert_int_equal(op->queues_n, 3);
  assert_true(sk_str_eq_c(op->queues[0].name, "b") && op->queues[0].paused);
  assert_true(sk_str_eq_c(op->queues[1].name, "q") && !op->queues[1].paused);
  assert_true(sk_str_eq_c(op->queues[2].name, "z") && !op->queues[2].paused);
  const int64_t q[SK_STATES] = { 0, 1, 1, 2, 2, 2, 2, 2 }, z[SK_STATES] = { 0, 1, 2, 0, 0, 0, 0, 0 };
  assert_memory_equal(op->queues[1].states, q, sizeof q);
  assert_memory_equal(op->queues[2].states, z, sizeof z);
  assert_int_equal(op->counters.enqueued, 15);
  assert_int_equal(op->counters.done, 2);
  assert_int_equal(op->counters.dead, 2);
  assert_int_equal(op->counters.cancelled, 2);
  assert_int_equal(op->counters.retried, 2);
  assert_int_equal(op->counters.discarded, 0);
}

static void a_queue_that_is_empty_again_stays_in_the_count(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a");
  settle(h, take_job(h, "a"), .kind = SK_SETTLE_DROP);
  const int64_t none[SK_STATES] = { 0 };
  assert_memory_equal(count_queue(h, "q")->states, none, sizeof none);
}

static void progress_as(struct handle *h, const struct sk_fetched *held, uint64_t fence, int32_t percent,
                        const char *note) {
  struct sk_progress_item one = {
    .id = held->id, .queue = held->queue, .fence = fence, .percent = percent, .progress_text = text(note)
  };
  struct sk_progress_op op = { .items = &one, .items_n = 1 };
  assert_code(run_progress(h, &op), SK_OK);
  sk_op_fini(&op.op);
}

static void progress_is_seen_and_a_stale_one_is_not(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1"), *b = open_engine(w, "e2");
  put(h, .id = "a");
  struct sk_fetched *held = take_job(h, "a");
  assert_int_equal(view(h, "a")->percent, -1);
  progress_as(h, held, held->fence, 40, "half way");
  assert_int_equal(view(b, "a")->percent, 40);
  assert_true(sk_str_eq_c(view(b, "a")->progress_text, "half way"));
  progress_as(h, held, held->fence + 1, 50, "x");
  progress_as(b, held, held->fence, 60, "y");
  assert_int_equal(view(b, "a")->percent, 40);
  progress_as(h, held, held->fence, 0, "");
  assert_int_equal(view(b, "a")->percent, 0);
  assert_int_equal(view(b, "a")->progress_text.n, 0);
  progress_as(h, held, held->fence, 99, "nearly");
  settle(h, held, .kind = SK_SETTLE_RELEASE);
  progress_as(h, held, held->fence, 100, "late");
  held = take_job(h, "a");
  assert_int_equal(view(b, "a")->percent, -1);
  assert_int_equal(view(b, "a")->progress_text.n, 0);
}

static void a_log_is_seen_while_the_attempt_runs(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1"), *b = open_engine(w, "e2");
  put(h, .id = "a");
  struct sk_fetched *held = take_job(h, "a");
  assert_int_equal(view(b, "a")->log.n, 0);
  struct sk_progress_item one = { .id = held->id, .queue = held->queue, .fence = held->fence, .percent = -1 };
  one.log = text("1 first\n2 second");
  struct sk_progress_op op = { .items = &one, .items_n = 1 };
  assert_code(run_progress(h, &op), SK_OK);
  sk_op_fini(&op.op);
  assert_true(sk_str_eq_c(view(b, "a")->log, "1 first\n2 second"));
  assert_int_equal(view(b, "a")->percent, -1);
  one.fence++;
  one.log = text("stale");
  assert_code(run_progress(h, &op), SK_OK);
  sk_op_fini(&op.op);
  assert_true(sk_str_eq_c(view(b, "a")->log, "1 first\n2 second"));
  settle(h, held, .kind = SK_SETTLE_RELEASE);
  assert_int_equal(view(b, "a")->log.n, 0);
  held = take_job(h, "a");
  assert_int_equal(view(b, "a")->log.n, 0);
  one.fence = held->fence;
  assert_code(run_progress(h, &op), SK_OK);
  sk_op_fini(&op.op);
  settle(h, held, .kind = SK_SETTLE_DONE, .keep_ms = 60000);
  assert_int_equal(view(b, "a")->log.n, 0);
}

static void a_log_at_the_limit_is_seen_whole(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a");
  struct sk_fetched *held = take_job(h, "a");
  char *log = sk_arena_alloc(&w->arena, SK_JOB_LOG_BYTES_MAX);
  memset(log, 'x', SK_JOB_LOG_BYTES_MAX);
  struct sk_progress_item one = {
    .id = held->id, .queue = held->queue, .fence = held->fence, .log = sk_str(log, SK_JOB_LOG_BYTES_MAX)
  };
  struct sk_progress_op op = { .items = &one, .items_n = 1 };
  assert_code(run_progress(h, &op), SK_OK);
  sk_op_fini(&op.op);
  assert_true(sk_str_eq(view(h, "a")->log, one.log));
}

static void a_template_is_declared_and_replaced_with_its_task(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1"), *c = open_client(w);
  struct sk_task_item one = { .name = text("mail"), .queue = text("q"), .template = sk_str("S\x01\0t", 4) };
  struct sk_declare_op declare = { .items = &one, .items_n = 1 };
  assert_code(run_declare(h, &declare), SK_OK);
  sk_op_fini(&declare.op);
  struct sk_tasks_op op = { 0 };
  assert_code(run_tasks(c, &op), SK_OK);
  assert_int_equal(op.items_n, 1);
  assert_true(sk_str_eq(op.items[0].template, one.template));
  sk_op_fini(&op.op);
  one.template = text(NULL);
  assert_code(run_declare(h, &declare), SK_OK);
  sk_op_fini(&declare.op);
  assert_code(run_tasks(c, &op), SK_OK);
  assert_int_equal(op.items_n, 1);
  assert_int_equal(op.items[0].template.n, 0);
  assert_int_equal(op.queues_n, 0);
  sk_op_fini(&op.op);
}

static void a_view_says_what_holds_a_ready_job_back(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  bind_queue(h, .name = text("slow"), .limit = { .rate = 1, .per_ms = 1000, .burst = 1 });
  bind_queue(h, .name = text("few"), .limit = { .concurrency = 1 });
  const char *const limits[] = { "1;0;0;0;any;=c", "0;1;1000;1;any;=r" };
  put(h, .id = "c1", .limit = limits[0]);
  put(h, .id = "c2", .limit = limits[0]);
  put(h, .id = "r1", .limit = limits[1]);
  put(h, .id = "r2", .limit = limits[1]);
  put(h, .id = "s1", .queue = "slow");
  put(h, .id = "s2", .queue = "slow");
  put(h, .id = "f1", .queue = "few");
  put(h, .id = "f2", .queue = "few");
  put(h, .id = "plain", .queue = "other");
  assert_int_equal(view(h, "c2")->blocked_by, SK_BLOCKED_BY_NOTHING);
  assert_int_equal(take(h, 9, "q", "slow", "few", NULL)->jobs_n, 4);
  assert_int_equal(view(h, "c1")->blocked_by, SK_BLOCKED_BY_NOTHING);
  assert_int_equal(view(h, "c2")->blocked_by, SK_BLOCKED_BY_CONCURRENCY);
  assert_int_equal(view(h, "r2")->blocked_by, SK_BLOCKED_BY_RATE);
  assert_int_equal(view(h, "s2")->blocked_by, SK_BLOCKED_BY_RATE);
  assert_int_equal(view(h, "f2")->blocked_by, SK_BLOCKED_BY_CONCURRENCY);
  assert_int_equal(view(h, "plain")->blocked_by, SK_BLOCKED_BY_NOTHING);
  world_advance(w, 1000);
  assert_int_equal(view(h, "r2")->blocked_by, SK_BLOCKED_BY_NOTHING);
  assert_int_equal(view(h, "s2")->blocked_by, SK_BLOCKED_BY_NOTHING);
}

static void tasks_are_declared_and_replaced_by_name(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1"), *c = open_client(w);
  const struct sk_task_item first[] = { { .name = text("mail"), .queue = text("slow"), .priority = 1 },
                                        { .name = text("add"), .queue = text("math"), .priority = -2 } };
  struct sk_declare_op declare = { .items = first, .items_n = 2 };
  assert_code(run_declare(h, &declare), SK_OK);
  sk_op_fini(&declare.op);
  const struct sk_task_item second[] = { { .name = text("mail"), .queue = text("default"), .priority = 0 },
                                         { .name = text("zip"), .queue = text("z"), .priority = 2 } };
  declare.items = second;
  assert_code(run_declare(h, &declare), SK_OK);
  sk_op_fini(&declare.op);
  struct sk_tasks_op op = { 0 };
  assert_code(run_tasks(c, &op), SK_OK);
  assert_int_equal(op.items_n, 3);
  assert_true(sk_str_eq_c(op.items[0].name, "add") && sk_str_eq_c(op.items[0].queue, "math"));
  assert_int_equal(op.items[0].priority, -2);
  assert_true(sk_str_eq_c(op.items[1].name, "mail") && sk_str_eq_c(op.items[1].queue, "default"));
  assert_int_equal(op.items[1].priority, 0);
  assert_true(sk_str_eq_c(op.items[2].name, "zip"));
  sk_op_fini(&op.op);
}

static bool is_counted(struct handle *h, const char *queue) {
  const struct sk_count_op *op = count(h);
  for (size_t i = 0; i < op->queues_n; i++)
    if (sk_str_eq_c(op->queues[i].name, queue)) return true;
  return false;
}

static void a_queue_that_held_nothing_for_ten_minutes_is_forgotten(void **ctx) {
  struct world *w = *ctx;
  if (strcmp(w->kind->name, "sqlite") == 0) return; /* does not forget queues yet */
  enum { ROUNDS = 13, ROUND_MS = 61000 };
  struct handle *h = open_engine(w, "e1");
  const char *const queues[] = { "empty", "used", "paused", "configured" };
  for (int i = 0; i < 4; i++) assert_code(put(h, .id = queues[i], .queue = queues[i]), SK_OK);
  set_paused(h, "paused", true);
  bind_queue(h, .name = text("configured"), .max_len = 10);
  for (int i = 0; i < 4; i++) assert_code(change(h, SK_VERB_DELETE, queues[i], 0), SK_OK);
  uint64_t version = count(h)->queues_version;
  for (int round = 0; round < ROUNDS; round++) {
    assert_true(round > 9 || is_counted(h, "empty"));
    if (round == 5) assert_code(put(h, .id = "again", .queue = "used"), SK_OK);
    beat(h);
    if (round == 6) assert_code(change(h, SK_VERB_DELETE, "again", 0), SK_OK);
    world_advance(w, ROUND_MS);
  }
  assert_false(is_counted(h, "empty"));
  for (int i = 1; i < 4; i++) assert_true(is_counted(h, queues[i]));
  assert_true(count(h)->queues_version != version);
  assert_code(put(h, .id = "new", .queue = "empty"), SK_OK);
  assert_string_equal(ids_of(w, take(h, 1, "empty", NULL)), "new");
}

static const struct CMUnitTest tests[] = {
  cmocka_unit_test(get_answers_in_the_order_asked),
  cmocka_unit_test(list_shows_states_in_their_order),
  cmocka_unit_test(list_filters_by_state_queue_and_task),
  cmocka_unit_test(list_takes_offset_and_limit),
  cmocka_unit_test(a_listing_that_takes_more_than_it_may_is_refused),
  cmocka_unit_test(a_listed_job_says_what_get_says),
  cmocka_unit_test(count_shows_queues_by_name_with_their_states),
  cmocka_unit_test(a_queue_that_is_empty_again_stays_in_the_count),
  cmocka_unit_test(progress_is_seen_and_a_stale_one_is_not),
  cmocka_unit_test(a_log_is_seen_while_the_attempt_runs),
  cmocka_unit_test(a_log_at_the_limit_is_seen_whole),
  cmocka_unit_test(tasks_are_declared_and_replaced_by_name),
  cmocka_unit_test(a_template_is_declared_and_replaced_with_its_task),
  cmocka_unit_test(a_view_says_what_holds_a_ready_job_back),
  cmocka_unit_test(a_queue_that_held_nothing_for_ten_minutes_is_forgotten),
};
const struct suite look_suite = SUITE("look", tests);
