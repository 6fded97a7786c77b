/* enqueue_test.c - store.h, "enqueue". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "contract.h"

static enum sk_code enqueue_all(struct handle *h, struct sk_enqueue_item *items, size_t n) {
  struct sk_enqueue_op op = { .items = items, .items_n = n };
  enum sk_code code = run_enqueue(h, &op);
  sk_op_fini(&op.op);
  return code;
}

static void jobs_are_ready_in_the_order_they_came(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  struct sk_enqueue_item items[] = { item(w, .id = "b"), item(w, .id = "a"), item(w, .id = "c") };
  assert_code(enqueue_all(h, items, 3), SK_OK);
  assert_code(put(h, .id = "0"), SK_OK);
  assert_string_equal(ids_of(w, take(h, 10, "q", NULL)), "b a c 0");
}

enum { MANY = 40 };

/* Ids f00, f01, ... that no store has seen; two queues, three priorities. */
static void make_fresh(struct world *w, struct sk_enqueue_item items[MANY]) {
  for (int i = 0; i < MANY; i++) {
    char id[16];
    snprintf(id, sizeof id, "f%02d", i);
    items[i] = item(w, .id = id, .queue = i % 8 < 4 ? "q" : "other", .priority = i % 3 - 1);
    items[i].fresh = true;
  }
}

static void many_fresh_jobs_are_as_others(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1"), *other = open_engine(w, "e2");
  struct sk_enqueue_item items[MANY];
  make_fresh(w, items);
  put(h, .id = "first");
  int changed = other->changed;
  assert_code(enqueue_all(h, items, MANY), SK_OK);
  for (int i = 0; i < MANY; i++) assert_code(items[i].status, SK_OK);
  world_await_count(w, &other->changed, changed + 1);
  assert_int_equal(count_state(h, "q", SK_STATE_READY), MANY / 2 + 1);
  assert_int_equal(count_state(h, "other", SK_STATE_READY), MANY / 2);
  assert_int_equal(count(h)->counters.enqueued, MANY + 1);
  assert_true(sk_str_eq(view(h, "f07")->record, items[7].record));
  assert_string_equal(ids_of(w, take(other, MANY, "q", NULL)),
                      "f02 f08 f11 f17 f26 f32 f35 first f01 f10 f16 f19 f25 f34 f00 f03 f09 f18 f24 f27 f33");
  make_fresh(w, items);
  for (int i = 0; i < MANY; i++) items[i].fresh = false;
  assert_code(enqueue_all(h, items, MANY), SK_OK);
  for (int i = 0; i < MANY; i++) assert_code(items[i].status, SK_EEXISTS);
  assert_int_equal(count(h)->counters.enqueued, MANY + 1);
}

static void many_fresh_jobs_respect_bounds_delays_and_locks(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  struct sk_enqueue_item items[MANY];
  make_fresh(w, items);
  bind_queue(h, .name = text("q"), .max_len = 5);
  assert_code(enqueue_all(h, items, MANY), SK_OK);
  for (int i = 0, in_q = 0; i < MANY; i++) assert_code(items[i].status, i % 8 < 4 && ++in_q > 5 ? SK_ELIMIT : SK_OK);
  assert_int_equal(count_state(h, "q", SK_STATE_READY), 5);
  assert_int_equal(count_state(h, "other", SK_STATE_READY), MANY / 2);
  assert_string_equal(state_of(h, "f09"), "unknown");
  bind_queue(h, .name = text("q"), .max_len = 0);
  struct sk_enqueue_item others[MANY];
  for (int i = 0; i < MANY; i++) {
    char id[16];
    snprintf(id, sizeof id, "g%02d", i);
    others[i] = item(w, .id = id, .delay_ms = i == 20 ? 500 : 0, .lock = i == 7 || i == 30 ? "reject;0;=k" : NULL);
    others[i].fresh = true;
  }
  assert_code(enqueue_all(h, others, MANY), SK_OK);
  for (int i = 0; i < MANY; i++) assert_code(others[i].status, i == 30 ? SK_EEXISTS : SK_OK);
  assert_string_equal(listed(h, .state = SK_STATE_SCHEDULED), "g20");
}

static void an_id_that_is_there_changes_nothing(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  assert_code(put(h, .id = "a"), SK_OK);
  struct sk_enqueue_item items[] = { item(w, .id = "b"), item(w, .id = "a", .queue = "other", .delay_ms = 1000),
                                     item(w, .id = "b") };
  assert_code(enqueue_all(h, items, 3), SK_OK);
  assert_code(items[0].status, SK_OK);
  assert_code(items[1].status, SK_EEXISTS);
  assert_code(items[2].status, SK_EEXISTS);
  assert_string_equal(listed(h, .state = SK_STATE_NONE), "a b");
  assert_true(sk_str_eq_c(view(h, "a")->queue, "q"));
  assert_int_equal(count(h)->counters.enqueued, 2);
}

static void an_id_exists_in_every_state(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  for (const char *id = "runs\0retry\0done\0dead\0snooze\0"; *id; id += strlen(id) + 1) put(h, .id = id);
  take_job(h, "runs");
  settle(h, take_job(h, "retry"), .kind = SK_SETTLE_RETRY, .delay_ms = 50);
  settle(h, take_job(h, "done"), .kind = SK_SETTLE_DONE, .keep_ms = 50);
  settle(h, take_job(h, "dead"), .kind = SK_SETTLE_DEAD);
  settle(h, take_job(h, "snooze"), .kind = SK_SETTLE_SNOOZE, .delay_ms = 50);
  for (const char *id = "runs\0retry\0done\0dead\0snooze\0"; *id; id += strlen(id) + 1)
    assert_code(put(h, .id = id), SK_EEXISTS);
}

static void an_id_that_is_gone_may_come_again(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "a");
  settle(h, take_job(h, "a"), .kind = SK_SETTLE_DONE);
  assert_code(put(h, .id = "a"), SK_OK);
  take_job(h, "a");
}

static void delay_and_due_make_a_job_scheduled(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "delay", .delay_ms = 500);
  put(h, .id = "due", .due_ms = WALL_START_MS + 300);
  put(h, .id = "past", .due_ms = WALL_START_MS - 5);
  put(h, .id = "now", .due_ms = WALL_START_MS);
  put(h, .id = "both", .due_ms = WALL_START_MS + 100, .delay_ms = 900);
  put(h, .id = "both_past", .due_ms = WALL_START_MS - 100, .delay_ms = 700);
  assert_string_equal(listed(h, .state = SK_STATE_READY), "past now");
  assert_string_equal(listed(h, .state = SK_STATE_SCHEDULED), "due delay both_past both");
  assert_int_equal(view(h, "delay")->due_ms, WALL_START_MS + 500);
  assert_int_equal(view(h, "both")->due_ms, WALL_START_MS + 900);
  assert_int_equal(view(h, "past")->due_ms, 0);
}

static void far_delays_do_not_overflow(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "far", .delay_ms = INT64_MAX);
  put(h, .id = "century", .delay_ms = SK_SECONDS_MAX * 1000);
  assert_string_equal(listed(h, .state = SK_STATE_SCHEDULED), "century far");
  assert_int_equal(take(h, 1, "q", NULL)->due_in_ms, SK_SECONDS_MAX * 1000);
}

static void higher_priority_runs_first(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put(h, .id = "m2", .priority = -2);
  put(h, .id = "z1");
  put(h, .id = "p2", .priority = 2);
  put(h, .id = "m1", .priority = -1);
  put(h, .id = "p1", .priority = 1);
  put(h, .id = "z2");
  const struct sk_fetch_op *op = take(h, 10, "q", NULL);
  assert_string_equal(ids_of(w, op), "p2 p1 z1 z2 m1 m2");
  assert_int_equal(op->jobs[0].priority, 2);
  assert_int_equal(op->jobs[5].priority, -2);
}

static void a_batch_at_the_limit_is_taken_and_one_past_it_is_not(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_client(w);
  size_t n = SK_ENQUEUE_BATCH_MAX + 1;
  struct sk_enqueue_item *items = calloc(n, sizeof *items);
  assert_non_null(items);
  for (size_t i = 0; i < n; i++) {
    char id[16];
    snprintf(id, sizeof id, "j%04zu", i);
    items[i] = item(w, .id = id);
  }
  assert_code(enqueue_all(h, items, n), SK_ELIMIT);
  assert_int_equal(count(h)->counters.enqueued, 0);
  assert_string_equal(state_of(h, "j0000"), "unknown");
  assert_code(enqueue_all(h, items, n - 1), SK_OK);
  assert_int_equal(count_queue(h, "q")->states[SK_STATE_READY], SK_ENQUEUE_BATCH_MAX);
  free(items);
}

static void an_empty_batch_is_fine(void **ctx) {
  struct handle *h = open_client(*ctx);
  assert_code(enqueue_all(h, NULL, 0), SK_OK);
  assert_int_equal(count(h)->queues_n, 0);
}

static void ids_queues_tasks_and_records_are_bytes(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  struct sk_enqueue_item items[3];
  items[0] = item(w, .id = "x");
  items[0].id = sk_str("a\0b", 3);
  items[0].task = sk_str("t\0\xff", 3);
  items[1] = items[0];
  items[1].id = sk_str("a\0c", 3);
  items[2] = items[0];
  items[2].id = sk_str("a", 1);
  char bytes[256];
  for (int i = 0; i < 256; i++) bytes[i] = (char)i;
  for (int i = 0; i < 3; i++) items[i].queue = sk_str("q\0'\"%", 5), items[i].record = sk_str(bytes, sizeof bytes);
  assert_code(enqueue_all(h, items, 3), SK_OK);
  for (int i = 0; i < 3; i++) assert_code(items[i].status, SK_OK);

  struct sk_fetch_queue queues[] = { { sk_str("q", 1), 9 }, { sk_str("q\0'\"%", 5), 9 } };
  struct sk_fetch_op fetch = { .queues = queues, .queues_n = 2, .want = 9 };
  assert_code(run_fetch(h, &fetch), SK_OK);
  assert_int_equal(fetch.jobs_n, 3);
  for (size_t i = 0; i < 3; i++) {
    assert_true(sk_str_eq(fetch.jobs[i].id, items[i].id));
    assert_true(sk_str_eq(fetch.jobs[i].queue, items[i].queue));
    assert_true(sk_str_eq(fetch.jobs[i].record, sk_str(bytes, sizeof bytes)));
  }
  struct sk_list_op list = { .filter = { .task = sk_str("t\0\xff", 3), .queue = sk_str("q\0'\"%", 5) }, .limit = 9 };
  assert_code(run_list(h, &list), SK_OK);
  assert_int_equal(list.views_n, 3);
  assert_true(sk_str_eq(list.views[0].record, sk_str(bytes, sizeof bytes)));
  sk_op_fini(&fetch.op);
  sk_op_fini(&list.op);
}

static void put_items(struct handle *h, struct sk_enqueue_item *items, size_t n) {
  struct sk_enqueue_op op = { .items = items, .items_n = n };
  assert_code(run_enqueue(h, &op), SK_OK);
  for (size_t i = 0; i < n; i++) assert_code(items[i].status, SK_OK);
  sk_op_fini(&op.op);
}

/* A producer's clock may say anything. */
static void a_record_gets_the_times_of_the_stores_clock(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  const int64_t behind[] = { 600000, -600000, 0, WALL_START_MS - 1, -WALL_START_MS * 200, 600000 };
  enum { N = sizeof behind / sizeof *behind };
  struct sk_enqueue_item items[N];
  static char names[N][16];
  for (int i = 0; i < N; i++) {
    snprintf(names[i], sizeof names[i], "t%d", i);
    items[i] = item(w, .id = names[i]);
    struct sk_job job = decoded(items[i].record);
    job.enqueued_ms = WALL_START_MS - behind[i];
    if (i < N - 1) job.expires_ms = job.enqueued_ms + 300000;
    job.retries = 7;
    job.result = text("after it");
    items[i].record = record_of(w, &job);
  }
  items[1].delay_ms = 1000; /* the span counts from the enqueue all the same */
  put_items(h, items, N);
  for (int i = 0; i < N; i++) {
    struct sk_job job = decoded(view(h, names[i])->record);
    assert_int_equal(job.enqueued_ms, WALL_START_MS);
    assert_int_equal(job.expires_ms, i < N - 1 ? WALL_START_MS + 300000 : SK_UNSET);
    assert_int_equal(job.retries, 7);
    assert_true(sk_str_eq_c(job.result, "after it") && sk_str_eq_c(job.id, names[i]) && sk_str_eq_c(job.args, "[1,2]"));
  }
}

/* ... in a batch that Redis takes in a transaction, with locks and limits, and as a follow-up. */
static void all_ways_in_give_a_record_the_stores_times(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  enum { N = 40 };
  static char names[N][16];
  struct sk_enqueue_item items[N];
  for (int i = 0; i < N; i++) {
    snprintf(names[i], sizeof names[i], "m%02d", i);
    items[i] =
        item(w, .id = names[i], .lock = i == 1 ? "reject;0;=k" : NULL, .limit = i == 2 ? "1;0;0;0;any;=g" : NULL);
    struct sk_job job = decoded(items[i].record);
    job.enqueued_ms -= 5000;
    job.expires_ms = job.enqueued_ms + 1;
    items[i].record = record_of(w, &job);
    items[i].fresh = true;
  }
  struct sk_enqueue_item follow = items[N - 1];
  put_items(h, items, 3);
  put_items(h, items + 3, N - 4);
  settle(h, take_job(h, names[0]), .kind = SK_SETTLE_DROP, .callbacks = &follow, .callbacks_n = 1);
  for (int i = 1; i < N; i++) {
    struct sk_job job = decoded(view(h, names[i])->record);
    assert_int_equal(job.enqueued_ms, WALL_START_MS);
    assert_int_equal(job.expires_ms, WALL_START_MS + 1);
  }
  assert_int_equal(h->store->ops->now_ms(h->store), WALL_START_MS);
}

static void a_large_record_comes_back_whole(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  char *big = malloc(SK_RECORD_BYTES_MAX);
  assert_non_null(big);
  for (size_t i = 0; i < SK_RECORD_BYTES_MAX; i++) big[i] = (char)(i * 31 >> 3);
  struct sk_enqueue_item one = item(w, .id = "big");
  one.record = sk_str(big, SK_RECORD_BYTES_MAX);
  assert_code(enqueue_all(h, &one, 1), SK_OK);
  assert_true(sk_str_eq(take_job(h, "big")->record, one.record));
  free(big);
}

/* -- what makes no sense ------------------------------------------------------------------------------------------- */

static char long_name[SK_KEY_BYTES_MAX + 2];

static struct sk_enqueue_item plain_item(void) {
  return (struct sk_enqueue_item){ .id = text("odd"), .queue = text("q"), .task = text("t"), .record = text("r") };
}

/* Refused as a whole, with that sentence; the good job beside it is not added either. */
static void assert_nonsense(struct handle *h, struct sk_enqueue_item odd, enum sk_code code, const char *sentence) {
  struct sk_enqueue_item good = plain_item();
  good.id = text("good");
  struct sk_enqueue_item items[] = { good, odd };
  struct sk_enqueue_op op = { .items = items, .items_n = 2 };
  assert_code(run_enqueue(h, &op), code);
  if (strstr(op.op.err.message, sentence) == NULL) fail_msg("\"%s\" does not hold \"%s\"", op.op.err.message, sentence);
  sk_op_fini(&op.op);
  assert_string_equal(state_of(h, "good"), "unknown");
}

static void odd_locks_limits_and_names_are_refused_with_their_whole_batch(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_client(w);
  memset(long_name, 'k', sizeof long_name);
#define NONSENSE(field, value, code, sentence)                                                                         \
  do {                                                                                                                 \
    struct sk_enqueue_item odd = plain_item();                                                                         \
    odd.field = value;                                                                                                 \
    assert_nonsense(h, odd, code, sentence);                                                                           \
  } while (0)
  NONSENSE(queue, sk_str(long_name, SK_NAME_BYTES_MAX + 1), SK_ELIMIT, "201 bytes");
  NONSENSE(task, sk_str(long_name, SK_NAME_BYTES_MAX + 1), SK_ELIMIT, "201 bytes");
  NONSENSE(lock, ((struct sk_lock){ .mode = SK_LOCK_REJECT }), SK_EINVAL, "a key of 0 bytes");
  NONSENSE(lock, ((struct sk_lock){ SK_LOCK_REJECT, sk_str(long_name, SK_KEY_BYTES_MAX + 1), 0 }), SK_EINVAL,
           "a key of 257 bytes");
  NONSENSE(lock, ((struct sk_lock){ SK_LOCK_REJECT, text("k"), -1 }), SK_EINVAL, "a ttl of -1 ms");
  NONSENSE(lock, ((struct sk_lock){ SK_LOCK_THROTTLE, text("k"), 0 }), SK_EINVAL,
           "a ttl of 0 ms, expected more than 0");
  NONSENSE(limit, ((struct sk_limit){ .group = sk_str(long_name, SK_KEY_BYTES_MAX + 1) }), SK_EINVAL, "257 bytes");
  NONSENSE(limit, ((struct sk_limit){ .group = text("g"), .concurrency = -1 }), SK_EINVAL, "concurrency -1");
  NONSENSE(limit, ((struct sk_limit){ .group = text("g"), .rate = 1, .per_ms = 0, .burst = 1 }), SK_EINVAL,
           "rate 1 per 0 ms");
  NONSENSE(limit, ((struct sk_limit){ .group = text("g"), .rate = 1, .per_ms = 1, .burst = 0 }), SK_EINVAL, "burst 0");
  struct sk_enqueue_item widest = plain_item();
  widest.queue = widest.task = sk_str(long_name, SK_NAME_BYTES_MAX);
  widest.lock = (struct sk_lock){ SK_LOCK_REJECT, sk_str(long_name, SK_KEY_BYTES_MAX), 0 };
  widest.limit = (struct sk_limit){ .group = sk_str(long_name, SK_KEY_BYTES_MAX), .concurrency = 1 };
  struct sk_enqueue_op op = { .items = &widest, .items_n = 1 };
  assert_code(run_enqueue(h, &op), SK_OK);
  assert_code(widest.status, SK_OK);
  sk_op_fini(&op.op);
}

static void odd_bounds_of_queues_are_refused(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_client(w);
  memset(long_name, 'k', sizeof long_name);
  const struct sk_queue_settings odd[] = {
    { .name = text("") },
    { .name = sk_str(long_name, SK_NAME_BYTES_MAX + 1), .max_len = 1 },
    { .name = text("q"), .max_len = -1 },
    { .name = text("q"), .limit = { .concurrency = -1 } },
    { .name = text("q"), .limit = { .rate = 1, .per_ms = 0, .burst = 1 } },
  };
  for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
    struct sk_declare_op op = { .queues = &odd[i], .queues_n = 1 };
    enum sk_code code = run_declare(h, &op);
    if (code != SK_EINVAL && code != SK_ELIMIT) fail_msg("bound %zu: %s", i, sk_code_name(code));
    assert_true(op.op.err.message[0] != '\0');
    sk_op_fini(&op.op);
  }
}

static const struct CMUnitTest tests[] = {
  cmocka_unit_test(jobs_are_ready_in_the_order_they_came),
  cmocka_unit_test(many_fresh_jobs_are_as_others),
  cmocka_unit_test(many_fresh_jobs_respect_bounds_delays_and_locks),
  cmocka_unit_test(an_id_that_is_there_changes_nothing),
  cmocka_unit_test(an_id_exists_in_every_state),
  cmocka_unit_test(an_id_that_is_gone_may_come_again),
  cmocka_unit_test(delay_and_due_make_a_job_scheduled),
  cmocka_unit_test(far_delays_do_not_overflow),
  cmocka_unit_test(higher_priority_runs_first),
  cmocka_unit_test(a_batch_at_the_limit_is_taken_and_one_past_it_is_not),
  cmocka_unit_test(an_empty_batch_is_fine),
  cmocka_unit_test(ids_queues_tasks_and_records_are_bytes),
  cmocka_unit_test(a_record_gets_the_times_of_the_stores_clock),
  cmocka_unit_test(all_ways_in_give_a_record_the_stores_times),
  cmocka_unit_test(a_large_record_comes_back_whole),
  cmocka_unit_test(odd_locks_limits_and_names_are_refused_with_their_whole_batch),
  cmocka_unit_test(odd_bounds_of_queues_are_refused),
};
const struct suite enqueue_suite = SUITE("enqueue", tests);
