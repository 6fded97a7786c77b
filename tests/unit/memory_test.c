/* memory_test.c - what the memory store keeps of groups, locks and bounds when their jobs are gone: nothing
 * (store.h, GROUPS, LOCKS); and its table of many jobs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "io/loop.h"
#include "store/memory/memory.h"

struct world {
  struct sk_loop *loop;
  struct sk_store *store;
  struct mem *mem;
  int64_t now_ms;
  bool done;
};

static int64_t read_clock(void *ctx) { return ((struct world *)ctx)->now_ms; }
static void on_answer(struct sk_op *op, void *ctx) {
  assert_int_equal(op->status, SK_OK);
  ((struct world *)ctx)->done = true;
}
static void on_closed(void *ctx) { ((struct world *)ctx)->done = true; }

static void await(struct world *w) {
  while (!w->done) sk_loop_turn(w->loop, true);
  w->done = false;
}

#define RUN(w, verb, operation)                                                                                        \
  do {                                                                                                                 \
    (operation).op.cb = on_answer;                                                                                     \
    (operation).op.ctx = (w);                                                                                          \
    ((w)->store->ops->verb)((w)->store, &(operation));                                                                 \
    await(w);                                                                                                          \
  } while (0)

static int setup(void **state) {
  static struct world w;
  w = (struct world){ .loop = sk_loop_new(NULL), .now_ms = 1000000 };
  const struct sk_store_options options = {
    .url = SK_STR_LIT("memory:"),
    .engine = SK_STR_LIT("e1"),
    .lease_ms = 10000,
    .clock = { .wall_ms = read_clock, .mono_ms = read_clock, .ctx = &w },
  };
  struct sk_err err = { 0 };
  if (sk_store_open(w.loop, &options, NULL, &w.store, &err) != SK_OK) return -1;
  w.mem = SK_CONTAINER(w.store, struct mem_handle, store)->mem;
  *state = &w;
  return 0;
}

static int teardown(void **state) {
  struct world *w = *state;
  w->store->ops->close(w->store, on_closed, w);
  await(w);
  sk_loop_free(w->loop);
  return 0;
}

/* A job of its own group, with a lock of its own, in one of seven queues. */
static void put(struct world *w, int i, enum sk_lock_mode mode, int64_t rate) {
  char id[16], queue[16];
  snprintf(id, sizeof id, "j%d", i);
  snprintf(queue, sizeof queue, "q%d", i % 7);
  struct sk_enqueue_item one = {
    .id = sk_str_c(id),
    .queue = sk_str_c(queue),
    .task = SK_STR_LIT("t"),
    .lock = { .mode = mode, .key = sk_str_c(id), .ttl_ms = 500 },
    .limit = { .group = sk_str_c(id),
               .concurrency = 1,
               .rate = rate,
               .per_ms = rate ? 1000 : 0,
               .burst = rate ? 1 : 0 },
  };
  struct sk_enqueue_op op = { .items = &one, .items_n = 1 };
  RUN(w, enqueue, op);
  assert_int_equal(one.status, SK_OK);
  sk_op_fini(&op.op);
}

/* Takes all there is and ends it; returns how many. */
static size_t finish_all(struct world *w) {
  static struct sk_fetch_queue queues[] = { { SK_STR_LIT("q0"), 1000 }, { SK_STR_LIT("q1"), 1000 },
                                            { SK_STR_LIT("q2"), 1000 }, { SK_STR_LIT("q3"), 1000 },
                                            { SK_STR_LIT("q4"), 1000 }, { SK_STR_LIT("q5"), 1000 },
                                            { SK_STR_LIT("q6"), 1000 } };
  struct sk_fetch_op fetch = { .queues = queues, .queues_n = 7, .want = SK_FETCH_BATCH_MAX };
  RUN(w, fetch, fetch);
  for (size_t i = 0; i < fetch.jobs_n; i++) {
    const struct sk_fetched *held = &fetch.jobs[i];
    struct sk_settle_item one = { .id = held->id, .queue = held->queue, .fence = held->fence, .kind = SK_SETTLE_DONE };
    struct sk_settle_op settle = { .items = &one, .items_n = 1 };
    RUN(w, settle, settle);
    assert_int_equal(one.status, SK_OK);
    sk_op_fini(&settle.op);
  }
  size_t n = fetch.jobs_n;
  sk_op_fini(&fetch.op);
  return n;
}

static void beat(struct world *w) {
  struct sk_beat_op op = { .recovered = 0 };
  RUN(w, beat, op);
  sk_op_fini(&op.op);
}

static void groups_and_locks_go_with_their_jobs(void **state) {
  struct world *w = *state;
  for (int i = 0; i < 500; i++) put(w, i, SK_LOCK_REJECT, 0);
  assert_int_equal(HASH_COUNT(w->mem->groups), 500);
  assert_int_equal(finish_all(w), 500);
  assert_null(w->mem->groups);
  assert_null(w->mem->lanes);
  assert_null(w->mem->locks);
}

static void a_bucket_stays_until_it_is_full_and_a_throttle_until_its_time(void **state) {
  struct world *w = *state;
  for (int i = 0; i < 500; i++) put(w, i, SK_LOCK_THROTTLE, 1);
  assert_int_equal(finish_all(w), 500);
  assert_null(w->mem->lanes);
  assert_int_equal(HASH_COUNT(w->mem->groups), 500);
  assert_int_equal(HASH_COUNT(w->mem->locks), 500);
  w->now_ms += 500;
  beat(w);
  assert_int_equal(HASH_COUNT(w->mem->groups), 500);
  assert_null(w->mem->locks);
  w->now_ms += 501;
  beat(w);
  assert_null(w->mem->groups);
  assert_int_equal(w->mem->idle.n, 0);
  assert_int_equal(w->mem->throttles.n, 0);
}

static void no_line_is_left_in_a_queue(void **state) {
  struct world *w = *state;
  for (int i = 0; i < 50; i++) put(w, i, SK_LOCK_NONE, 1);
  assert_int_equal(finish_all(w), 50);
  for (const struct mem_queue *queue = w->mem->queues; queue != NULL; queue = queue->hh.next) {
    assert_int_equal(queue->lanes, 0);
    assert_int_equal(queue->tokens.n, 0);
    for (int i = 0; i < SK_PRIORITIES; i++) assert_true(sk_list_empty(&queue->turns[i]));
  }
}

/* More than fit into small pages; taken out in another order than they came. */
static void a_table_finds_each_of_many_jobs_and_no_other(void **state) {
  (void)state;
  enum { MANY = 60000, STEP = 7919 /* prime to MANY */ };
  static char ids[MANY][16];
  struct mem_job *jobs = calloc(MANY, sizeof *jobs);
  assert_non_null(jobs);
  struct mem_table table;
  sk_mem_table_init(&table);
  for (size_t i = 0; i < MANY; i++) {
    snprintf(ids[i], sizeof ids[i], "j%zu", i);
    jobs[i].id = sk_str_c(ids[i]);
    sk_mem_table_prefetch(&table, jobs[i].id);
    assert_null(sk_mem_table_find(&table, jobs[i].id));
    assert_true(sk_mem_table_add(&table, &jobs[i]));
  }
  assert_true(table.cap * sizeof *table.slots >= 2 << 20);
  for (size_t i = 0, at = 0; i < MANY; i++, at = (at + STEP) % MANY) {
    assert_ptr_equal(sk_mem_table_find(&table, jobs[at].id), &jobs[at]);
    sk_mem_table_remove(&table, &jobs[at]);
    assert_null(sk_mem_table_find(&table, jobs[at].id));
  }
  assert_int_equal(table.n, 0);
  sk_mem_table_fini(&table);
  free(jobs);
}

/* Adds and removes at random, so that jobs are looked for, and removed, at every state of every growth. */
static void a_table_grows_a_little_with_each_add(void **state) {
  (void)state;
  enum { MANY = 40000 };
  static char ids[MANY][16];
  static bool there[MANY];
  struct mem_job *jobs = calloc(MANY, sizeof *jobs);
  assert_non_null(jobs);
  struct mem_table table;
  sk_mem_table_init(&table);
  uint64_t random = 12345;
  size_t n = 0, grew = 0, between = 0;
  for (size_t i = 0; i < MANY; i++) {
    snprintf(ids[i], sizeof ids[i], "j%zu", i);
    jobs[i].id = sk_str_c(ids[i]);
    size_t cap = table.cap;
    assert_true(sk_mem_table_add(&table, &jobs[i]));
    there[i] = true;
    n++;
    if (table.cap > cap && cap > 0) {
      grew++;
      assert_non_null(table.old); /* not all moved at once */
    }
    if (table.old != NULL) between++;
    for (int k = 0; k < 4; k++) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      size_t at = (size_t)(random >> 33) % (i + 1);
      assert_ptr_equal(sk_mem_table_find(&table, jobs[at].id), there[at] ? &jobs[at] : NULL);
      if (k > 0 || !there[at]) continue;
      sk_mem_table_remove(&table, &jobs[at]);
      there[at] = false;
      n--;
    }
    assert_int_equal(table.n, n);
  }
  assert_true(grew > 5 && between > 1000);
  size_t seen = 0, at = 0;
  for (struct mem_job *job; (job = sk_mem_table_next(&table, &at)) != NULL; seen++) assert_true(there[job - jobs]);
  assert_int_equal(seen, n);
  sk_mem_table_fini(&table);
  free(jobs);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(groups_and_locks_go_with_their_jobs, setup, teardown),
    cmocka_unit_test_setup_teardown(a_bucket_stays_until_it_is_full_and_a_throttle_until_its_time, setup, teardown),
    cmocka_unit_test_setup_teardown(no_line_is_left_in_a_queue, setup, teardown),
    cmocka_unit_test(a_table_finds_each_of_many_jobs_and_no_other),
    cmocka_unit_test(a_table_grows_a_little_with_each_add),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
