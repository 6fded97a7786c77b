/* request_test.c - what scripts and programs ask of the store: every operation whole, cut at each byte, and as noise.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "engine/request.h"
#include "io/loop.h"
#include "logic/record.h"
#include "logic/wire.h"
#include "store/store.h"

struct world {
  struct sk_loop *loop;
  struct sk_store *store;
  struct sk_requests *requests;
  int64_t added_in_ms;
  int added;
};

struct answer {
  int n;
  enum sk_code code;
  struct sk_buf bytes;
};

static void on_added(void *ctx, const struct sk_enqueue_item *items, size_t n, int64_t due_in_ms) {
  (void)items, (void)n;
  struct world *w = ctx;
  w->added++;
  w->added_in_ms = due_in_ms;
}

static void set_flag(void *ctx) { *(bool *)ctx = true; }

static int setup(void **state) {
  struct world *w = calloc(1, sizeof *w);
  struct sk_err err;
  w->loop = sk_loop_new(&err);
  struct sk_store_options options = { .url = SK_STR_LIT("memory:") };
  assert_int_equal(sk_store_open(w->loop, &options, NULL, &w->store, &err), SK_OK);
  struct sk_requests_options o = {
    .loop = w->loop, .store = w->store, .args_bytes_max = SK_ARGS_BYTES_MAX, .added = on_added, .ctx = w
  };
  w->requests = sk_requests_new(&o, &err);
  *state = w;
  return 0;
}

static int teardown(void **state) {
  struct world *w = *state;
  sk_requests_stop(w->requests);
  while (!sk_requests_idle(w->requests)) sk_loop_turn(w->loop, true);
  sk_requests_free(w->requests);
  bool closed = false;
  w->store->ops->close(w->store, set_flag, &closed);
  while (!closed) sk_loop_turn(w->loop, true);
  sk_loop_free(w->loop);
  free(w);
  return 0;
}

static void on_answer(void *ctx, enum sk_code code, struct sk_str bytes) {
  struct answer *a = ctx;
  a->n++;
  a->code = code;
  sk_buf_add_str(&a->bytes, bytes);
}

/* Asks and waits; the answer comes once and not inside the call. */
static enum sk_code ask(struct world *w, unsigned operation, struct sk_str payload, struct sk_buf *out) {
  struct answer a = { 0 };
  sk_requests_run(w->requests, 0, operation, payload, on_answer, &a);
  assert_int_equal(a.n, 0);
  while (a.n == 0) sk_loop_turn(w->loop, true);
  assert_int_equal(a.n, 1);
  assert_true(a.code == SK_OK || a.bytes.n > 0); /* a refusal has a sentence */
  if (out)
    *out = a.bytes;
  else
    sk_buf_fini(&a.bytes);
  return a.code;
}

/* -- payloads ------------------------------------------------------------------------------------------------------ */

struct enqueued {
  const char *id, *args;
  int64_t due_ms, delay_ms;
  const char *unique, *on_success;
};

static struct sk_buf block_payload(int64_t block_ms, const struct enqueued *jobs, uint32_t n) {
  struct sk_buf b = { 0 };
  sk_wire_add_i64(&b, block_ms);
  sk_buf_add_byte(&b, 0);
  sk_buf_add_u32(&b, n);
  for (uint32_t i = 0; i < n; i++) {
    struct sk_job job;
    sk_job_init(&job);
    job.id = sk_str_c(jobs[i].id);
    job.task = SK_STR_LIT("t");
    job.queue = SK_STR_LIT("q");
    job.args = sk_str_c(jobs[i].args);
    job.unique = sk_str_c(jobs[i].unique);
    job.on_success = sk_str_c(jobs[i].on_success);
    struct sk_buf record = { 0 };
    sk_record_encode(&job, &record);
    sk_wire_add_str(&b, sk_buf_str(&record));
    sk_wire_add_i64(&b, jobs[i].due_ms);
    sk_wire_add_i64(&b, jobs[i].delay_ms);
    sk_buf_fini(&record);
  }
  return b;
}

static struct sk_buf enqueue_payload(const struct enqueued *jobs, uint32_t n) { return block_payload(0, jobs, n); }

static struct sk_buf sample(unsigned operation) {
  struct sk_buf b = { 0 };
  switch ((enum sk_operation)operation) {
  case SK_OP_ENQUEUE:
    return enqueue_payload((struct enqueued[]){ { "a", "[]", 0, 0, NULL, NULL }, { "b", "[1]", 0, 5000, NULL, NULL } },
                           2);
  case SK_OP_GET:
    sk_buf_add_u32(&b, 2);
    sk_wire_add_str(&b, SK_STR_LIT("a"));
    sk_wire_add_str(&b, SK_STR_LIT("nobody"));
    break;
  case SK_OP_WAIT:
    sk_wire_add_str(&b, SK_STR_LIT("nobody"));
    sk_wire_add_i64(&b, 1000);
    break;
  case SK_OP_LIST:
    sk_buf_add_byte(&b, SK_STATE_READY);
    sk_wire_add_str(&b, SK_STR_LIT("q"));
    sk_wire_add_str(&b, SK_STR_LIT("t"));
    sk_buf_add_u32(&b, 0);
    sk_buf_add_u32(&b, 100);
    break;
  case SK_OP_CHANGE:
    sk_buf_add_byte(&b, SK_VERB_CANCEL);
    sk_wire_add_i64(&b, 1000);
    sk_buf_add_u32(&b, 1);
    sk_wire_add_str(&b, SK_STR_LIT("a"));
    sk_buf_add_byte(&b, 0);
    sk_wire_add_str(&b, sk_str(NULL, 0));
    sk_wire_add_str(&b, sk_str(NULL, 0));
    break;
  case SK_OP_PAUSE:
    sk_wire_add_str(&b, SK_STR_LIT("q"));
    sk_buf_add_byte(&b, 0);
    break;
  case SK_OP_COUNT:
  case SK_OP_TASKS: break;
  }
  return b;
}

static void every_operation_works_whole_and_is_refused_cut(void **state) {
  struct world *w = *state;
  for (unsigned operation = SK_OP_ENQUEUE; operation <= SK_OP_TASKS; operation++) {
    struct sk_buf b = sample(operation);
    for (size_t n = 0; n < b.n; n++) {
      char *part = malloc(n ? n : 1); /* exactly as long, so that a sanitizer sees a read past it */
      memcpy(part, b.p, n);
      if (ask(w, operation, sk_str(part, n), NULL) == SK_OK)
        fail_msg("operation %u takes %zu of %zu bytes", operation, n, b.n);
      free(part);
    }
    assert_int_equal(ask(w, operation, sk_buf_str(&b), NULL), SK_OK);
    sk_buf_add_byte(&b, 0);
    if (operation != SK_OP_COUNT && operation != SK_OP_TASKS)
      assert_int_equal(ask(w, operation, sk_buf_str(&b), NULL), SK_EINVAL);
    sk_buf_fini(&b);
  }
  assert_int_equal(ask(w, 0, sk_str(NULL, 0), NULL), SK_EINVAL);
  assert_int_equal(ask(w, SK_OP_TASKS + 1, sk_str(NULL, 0), NULL), SK_EINVAL);
}

static void noise_is_answered_and_hurts_nothing(void **state) {
  struct world *w = *state;
  unsigned seed = 7;
  for (int i = 0; i < 20000; i++) {
    unsigned operation = (unsigned)rand_r(&seed) % (SK_OP_TASKS + 2);
    struct sk_buf b = sample(operation);
    for (int changes = rand_r(&seed) % 4; changes > 0 && b.n > 0; changes--)
      b.p[(unsigned)rand_r(&seed) % b.n] = (char)rand_r(&seed);
    if (operation == SK_OP_WAIT && b.n >= 8) memset(b.p + b.n - 8, 0, 8); /* not for ever */
    ask(w, operation, sk_buf_str(&b), NULL);
    sk_buf_fini(&b);
  }
}

/* -- enqueue ------------------------------------------------------------------------------------------------------- */

static void args_are_weighed_and_not_read(void **state) {
  struct world *w = *state;
  struct sk_buf b = enqueue_payload(&(struct enqueued){ "x", "{ this is not json", 0, 0, NULL, NULL }, 1);
  assert_int_equal(ask(w, SK_OP_ENQUEUE, sk_buf_str(&b), NULL), SK_OK);
  sk_buf_fini(&b);
  char *big = malloc(SK_ARGS_BYTES_MAX + 2);
  memset(big, '1', SK_ARGS_BYTES_MAX + 1);
  big[SK_ARGS_BYTES_MAX + 1] = '\0';
  b = enqueue_payload(&(struct enqueued){ "y", big, 0, 0, NULL, NULL }, 1);
  assert_int_equal(ask(w, SK_OP_ENQUEUE, sk_buf_str(&b), NULL), SK_ELIMIT);
  sk_buf_fini(&b);
  free(big);
}

static void delays_are_kept_within_their_limit(void **state) {
  struct world *w = *state;
  const int64_t most = SK_SECONDS_MAX * 1000;
  const struct {
    int64_t due_ms, delay_ms;
    enum sk_code code;
  } cases[] = {
    { 0, most, SK_OK },     { 0, most + 1, SK_ELIMIT },     { 0, INT64_MAX, SK_ELIMIT }, { 0, -1, SK_ELIMIT },
    { 2 * most, 0, SK_OK }, { 2 * most + 1, 0, SK_ELIMIT }, { -1, 0, SK_ELIMIT },        { INT64_MIN, 0, SK_ELIMIT },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char id[8];
    snprintf(id, sizeof id, "j%zu", i);
    struct sk_buf b =
        enqueue_payload(&(struct enqueued){ id, "[]", cases[i].due_ms, cases[i].delay_ms, NULL, NULL }, 1);
    assert_int_equal(ask(w, SK_OP_ENQUEUE, sk_buf_str(&b), NULL), cases[i].code);
    sk_buf_fini(&b);
  }
}

static void the_engine_hears_of_the_earliest_of_a_batch(void **state) {
  struct world *w = *state;
  struct sk_buf b = enqueue_payload((struct enqueued[]){ { "a", "[]", 0, 9000, NULL, NULL },
                                                         { "b", "[]", 0, 300, NULL, NULL },
                                                         { "c", "[]", 0, 7000, NULL, NULL } },
                                    3);
  assert_int_equal(ask(w, SK_OP_ENQUEUE, sk_buf_str(&b), NULL), SK_OK);
  assert_int_equal(w->added_in_ms, 300);
  sk_buf_fini(&b);
  b = enqueue_payload((struct enqueued[]){ { "d", "[]", 1, 0, NULL, NULL }, { "e", "[]", 0, 300, NULL, NULL } },
                      2); /* due long ago */
  assert_int_equal(ask(w, SK_OP_ENQUEUE, sk_buf_str(&b), NULL), SK_OK);
  assert_int_equal(w->added_in_ms, 0);
  sk_buf_fini(&b);
}

static void whoever_holds_the_lock_is_named(void **state) {
  struct world *w = *state;
  struct sk_buf out, b = enqueue_payload((struct enqueued[]){ { "a", "[]", 0, 0, "reject;0;=k", NULL },
                                                              { "b", "[]", 0, 0, "reject;0;=k", NULL },
                                                              { "a", "[]", 0, 0, NULL, NULL } },
                                         3);
  assert_int_equal(ask(w, SK_OP_ENQUEUE, sk_buf_str(&b), &out), SK_OK);
  struct sk_reader r = sk_reader(sk_buf_str(&out));
  assert_int_equal(sk_read_u8(&r), SK_OK);
  assert_int_equal(sk_read_u8(&r), SK_EEXISTS);
  assert_int_equal(sk_read_u8(&r), SK_EEXISTS);
  assert_true(sk_str_eq_c(sk_read_str(&r), "a"));
  assert_true(sk_str_eq_c(sk_read_str(&r), "")); /* the id itself */
  assert_true(sk_reader_done(&r));
  sk_buf_fini(&out);
  sk_buf_fini(&b);
}

static void a_callback_that_is_none_is_refused(void **state) {
  struct world *w = *state;
  struct sk_buf b = enqueue_payload(&(struct enqueued){ "a", "[]", 0, 0, NULL, "nonsense" }, 1);
  assert_int_equal(ask(w, SK_OP_ENQUEUE, sk_buf_str(&b), NULL), SK_ECORRUPT);
  sk_buf_fini(&b);
}

/* -- batches ------------------------------------------------------------------------------------------------------- */

/* Watches the enqueues of a store: how many items the last one had, how many of them fresh, and the bytes of the
 * largest. */
static struct {
  const struct sk_store_ops *ops;
  struct sk_store_ops copy;
  size_t items_n, fresh_n, bytes_max;
  int calls, fail_at; /* the call of that number, from 1, fails */
} watched;

static void watch_enqueue(struct sk_store *store, struct sk_enqueue_op *op) {
  size_t bytes = 0;
  watched.calls++;
  watched.items_n = op->items_n;
  watched.fresh_n = 0;
  for (size_t i = 0; i < op->items_n; i++) {
    watched.fresh_n += op->items[i].fresh;
    bytes += op->items[i].record.n;
  }
  if (bytes > watched.bytes_max) watched.bytes_max = bytes;
  if (watched.calls != watched.fail_at) {
    watched.ops->enqueue(store, op);
    return;
  }
  op->op.status = sk_err_set(&op->op.err, SK_EUNAVAILABLE, "the store is away");
  op->op.cb(&op->op, op->op.ctx);
}

static void watch(struct world *w) {
  memset(&watched, 0, sizeof watched);
  watched.ops = w->store->ops;
  watched.copy = *watched.ops;
  watched.copy.enqueue = watch_enqueue;
  w->store->ops = &watched.copy;
}

static void watch_no_more(struct world *w) { w->store->ops = watched.ops; }

enum { LARGE_N = 9 };

/* LARGE_N jobs of almost 1 MiB each; the second and the last have the same lock as the first. */
static struct sk_buf large_payload(int64_t block_ms) {
  static char ids[LARGE_N][16];
  struct enqueued jobs[LARGE_N];
  char *args = malloc(1000000);
  memset(args, ' ', 999999);
  args[0] = '[';
  args[999998] = ']';
  args[999999] = '\0';
  for (int i = 0; i < LARGE_N; i++) {
    snprintf(ids[i], sizeof ids[i], "l%d", i);
    jobs[i] = (struct enqueued){ ids[i], args, 0, 0, NULL, NULL };
  }
  if (block_ms == 0) jobs[0].unique = jobs[1].unique = jobs[LARGE_N - 1].unique = "reject;0;=k";
  struct sk_buf b = block_payload(block_ms, jobs, LARGE_N);
  free(args);
  return b;
}

static void a_large_enqueue_is_cut_into_batches_and_answered_once(void **state) {
  struct world *w = *state;
  struct sk_buf out, b = large_payload(0);
  watch(w);
  assert_int_equal(ask(w, SK_OP_ENQUEUE, sk_buf_str(&b), &out), SK_OK);
  watch_no_more(w);
  assert_int_equal(watched.calls, 3);
  assert_true(watched.bytes_max <= SK_BATCH_BYTES_MAX);
  assert_int_equal(w->added, 3); /* the engine need not wait for the last batch */
  struct sk_reader r = sk_reader(sk_buf_str(&out));
  for (int i = 0; i < LARGE_N; i++) assert_int_equal(sk_read_u8(&r), i == 1 || i == LARGE_N - 1 ? SK_EEXISTS : SK_OK);
  assert_true(sk_str_eq_c(sk_read_str(&r), "l0"));
  assert_true(sk_str_eq_c(sk_read_str(&r), "l0"));
  assert_true(sk_reader_done(&r));
  sk_buf_fini(&out);
  sk_buf_fini(&b);
}

/* The jobs of the first batch are in the store: "unavailable" would tell the client that nothing has happened. */
static void a_batch_that_fails_after_another_one_leaves_the_outcome_unknown(void **state) {
  struct world *w = *state;
  struct sk_buf out, b = large_payload(0);
  watch(w);
  watched.fail_at = 2;
  assert_int_equal(ask(w, SK_OP_ENQUEUE, sk_buf_str(&b), &out), SK_EUNKNOWN);
  watch_no_more(w);
  assert_int_equal(watched.calls, 2);
  assert_true(sk_str_eq_c(sk_buf_str(&out), "the store is away (after 4 of 9 jobs were sent)"));
  sk_buf_fini(&out);
  assert_int_equal(ask(w, SK_OP_ENQUEUE, sk_buf_str(&b), &out), SK_OK); /* a repeat adds the others */
  assert_int_equal(out.p[0], SK_EEXISTS);
  assert_int_equal(out.p[4], SK_OK);
  sk_buf_fini(&out);
  sk_buf_fini(&b);
}

/* -- room ---------------------------------------------------------------------------------------------------------- */

static void on_op(struct sk_op *op, void *ctx) {
  (void)op;
  set_flag(ctx);
}

static void bind_queue(struct world *w, int64_t max_len) {
  bool done = false;
  struct sk_queue_settings queue = {
    .name = SK_STR_LIT("q"), .max_len = max_len, .overflow = SK_OVERFLOW_BLOCK, .block_ms = 1000
  };
  struct sk_declare_op op = { .op = { .cb = on_op, .ctx = &done }, .queues = &queue, .queues_n = 1 };
  w->store->ops->declare(w->store, &op);
  while (!done) sk_loop_turn(w->loop, true);
  sk_op_fini(&op.op);
}

static void start_blocked(struct world *w, struct answer *a, int64_t block_ms, const struct enqueued *jobs,
                          uint32_t n) {
  struct sk_buf b = block_payload(block_ms, jobs, n);
  sk_requests_run(w->requests, 7, SK_OP_ENQUEUE, sk_buf_str(&b), on_answer, a);
  sk_buf_fini(&b);
  for (int i = 0; i < 20; i++) sk_loop_turn(w->loop, false);
}

static void fill(struct world *w) {
  bind_queue(w, 2);
  struct sk_buf b = sample(SK_OP_ENQUEUE); /* jobs a and b */
  assert_int_equal(ask(w, SK_OP_ENQUEUE, sk_buf_str(&b), NULL), SK_OK);
  sk_buf_fini(&b);
}

static void cancel_a(struct world *w) {
  struct sk_buf b = sample(SK_OP_CHANGE);
  assert_int_equal(ask(w, SK_OP_CHANGE, sk_buf_str(&b), NULL), SK_OK);
  sk_buf_fini(&b);
}

static void a_full_queue_refuses_at_once_or_after_the_time_given(void **state) {
  struct world *w = *state;
  fill(w);
  struct answer a = { 0 }, late = { 0 };
  start_blocked(w, &a, 0, &(struct enqueued){ "c", "[]", 0, 0, NULL, NULL }, 1);
  while (a.n == 0) sk_loop_turn(w->loop, true);
  assert_int_equal(a.code, SK_OK);
  assert_int_equal(a.bytes.p[0], SK_ELIMIT);
  int64_t from = sk_clock_mono_ms();
  start_blocked(w, &late, 60, &(struct enqueued){ "c", "[]", 0, 0, NULL, NULL }, 1);
  assert_int_equal(late.n, 0);
  while (late.n == 0) sk_loop_turn(w->loop, true);
  assert_true(sk_clock_mono_ms() - from >= 60);
  assert_int_equal(late.bytes.n, 1);
  assert_int_equal(late.bytes.p[0], SK_ELIMIT);
  sk_buf_fini(&a.bytes);
  sk_buf_fini(&late.bytes);
}

static void what_waits_for_room_gets_it_when_there_is_some(void **state) {
  struct world *w = *state;
  fill(w);
  struct answer a = { 0 };
  start_blocked(w, &a, 60000, (struct enqueued[]){ { "a", "[]", 0, 0, NULL, NULL }, { "c", "[]", 0, 0, NULL, NULL } },
                2);
  assert_int_equal(a.n, 0);
  int64_t from = sk_clock_mono_ms();
  int added = w->added;
  cancel_a(w);
  while (a.n == 0) sk_loop_turn(w->loop, true);
  assert_true(sk_clock_mono_ms() - from < 300); /* it was told, and has not looked by itself */
  assert_int_equal(a.code, SK_OK);
  assert_int_equal(a.bytes.p[0], SK_EEXISTS); /* said by the first try, and kept */
  assert_int_equal(a.bytes.p[1], SK_OK);
  assert_true(w->added > added); /* the engine hears of it */
  sk_buf_fini(&a.bytes);
}

static void what_was_tried_before_is_not_fresh_any_more(void **state) {
  struct world *w = *state;
  fill(w);
  watch(w);
  struct answer a = { 0 };
  struct sk_buf b =
      block_payload(60000, (struct enqueued[]){ { "c", "[]", 0, 0, NULL, NULL }, { "d", "[]", 0, 0, NULL, NULL } }, 2);
  b.p[sizeof(int64_t)] = 1;
  sk_requests_run(w->requests, 7, SK_OP_ENQUEUE, sk_buf_str(&b), on_answer, &a);
  sk_buf_fini(&b);
  assert_int_equal(watched.fresh_n, 2);
  for (int i = 0; i < 20; i++) sk_loop_turn(w->loop, false);
  watched.items_n = 0;
  sk_requests_changed(w->requests);
  assert_int_equal(watched.items_n, 2);
  assert_int_equal(watched.fresh_n, 0);
  bind_queue(w, 0);
  sk_requests_changed(w->requests);
  while (a.n == 0) sk_loop_turn(w->loop, true);
  assert_int_equal(a.bytes.p[0] | a.bytes.p[1], SK_OK);
  sk_buf_fini(&a.bytes);
  watch_no_more(w);
}

static void large_jobs_that_wait_for_room_are_tried_in_batches(void **state) {
  struct world *w = *state;
  fill(w);
  struct answer a = { 0 };
  struct sk_buf b = large_payload(60000);
  sk_requests_run(w->requests, 7, SK_OP_ENQUEUE, sk_buf_str(&b), on_answer, &a);
  sk_buf_fini(&b);
  for (int i = 0; i < 100; i++) sk_loop_turn(w->loop, false);
  assert_int_equal(a.n, 0);
  bind_queue(w, 0);
  watch(w);
  sk_requests_changed(w->requests);
  while (a.n == 0) sk_loop_turn(w->loop, true);
  watch_no_more(w);
  assert_int_equal(watched.calls, 3);
  assert_true(watched.bytes_max <= SK_BATCH_BYTES_MAX);
  assert_int_equal(a.bytes.n, LARGE_N);
  for (int i = 0; i < LARGE_N; i++) assert_int_equal(a.bytes.p[i], SK_OK);
  sk_buf_fini(&a.bytes);
}

static void nobody_waits_for_room_any_more_who_is_gone(void **state) {
  struct world *w = *state;
  fill(w);
  struct answer a = { 0 }, wait = { 0 };
  start_blocked(w, &a, 60000, &(struct enqueued){ "c", "[]", 0, 0, NULL, NULL }, 1);
  struct sk_buf b = { 0 };
  sk_wire_add_str(&b, SK_STR_LIT("b"));
  sk_wire_add_i64(&b, -1);
  sk_requests_run(w->requests, 7, SK_OP_WAIT, sk_buf_str(&b), on_answer, &wait);
  sk_buf_fini(&b);
  sk_requests_abandon(w->requests, 8);
  assert_int_equal(a.n + wait.n, 0);
  sk_requests_abandon(w->requests, 7);
  while (a.n == 0) sk_loop_turn(w->loop, true);
  assert_int_equal(wait.code, SK_ECANCELLED);
  assert_int_equal(a.bytes.p[0], SK_ELIMIT);
  while (!sk_requests_idle(w->requests)) sk_loop_turn(w->loop, true);
  cancel_a(w);
  b = sample(SK_OP_LIST);
  struct sk_buf out;
  assert_int_equal(ask(w, SK_OP_LIST, sk_buf_str(&b), &out), SK_OK);
  assert_int_equal(out.p[0], 0); /* READY: none, so c was not added late */
  sk_buf_fini(&out);
  sk_buf_fini(&b);
  sk_buf_fini(&a.bytes);
  sk_buf_fini(&wait.bytes);
}

static void a_stop_ends_what_waits_for_room(void **state) {
  struct world *w = *state;
  fill(w);
  struct answer a = { 0 };
  start_blocked(w, &a, 60000, &(struct enqueued){ "c", "[]", 0, 0, NULL, NULL }, 1);
  sk_requests_stop(w->requests);
  while (a.n == 0) sk_loop_turn(w->loop, true);
  assert_int_equal(a.bytes.p[0], SK_ELIMIT);
  sk_buf_fini(&a.bytes);
}

/* -- waiting ------------------------------------------------------------------------------------------------------- */

static void a_cancel_through_the_same_requests_ends_a_wait(void **state) {
  struct world *w = *state;
  struct sk_buf b = sample(SK_OP_ENQUEUE), wait = { 0 };
  assert_int_equal(ask(w, SK_OP_ENQUEUE, sk_buf_str(&b), NULL), SK_OK);
  sk_buf_fini(&b);
  sk_wire_add_str(&wait, SK_STR_LIT("a"));
  sk_wire_add_i64(&wait, -1);
  struct answer a = { 0 };
  sk_requests_run(w->requests, 0, SK_OP_WAIT, sk_buf_str(&wait), on_answer, &a);
  for (int i = 0; i < 20; i++) sk_loop_turn(w->loop, false);
  assert_int_equal(a.n, 0);
  b = sample(SK_OP_CHANGE);
  assert_int_equal(ask(w, SK_OP_CHANGE, sk_buf_str(&b), NULL), SK_OK);
  while (a.n == 0) sk_loop_turn(w->loop, true);
  assert_int_equal(a.code, SK_OK);
  assert_int_equal(a.bytes.p[0], SK_STATE_CANCELLED);
  sk_buf_fini(&a.bytes);
  sk_buf_fini(&b);
  sk_buf_fini(&wait);
}

static void after_a_stop_everything_is_refused(void **state) {
  struct world *w = *state;
  sk_requests_stop(w->requests);
  struct sk_buf b = sample(SK_OP_ENQUEUE), out;
  assert_int_equal(ask(w, SK_OP_ENQUEUE, sk_buf_str(&b), &out), SK_ECANCELLED);
  assert_true(sk_str_eq_c(sk_buf_str(&out), "the engine is stopping"));
  sk_buf_fini(&out);
  sk_buf_fini(&b);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
    T(every_operation_works_whole_and_is_refused_cut),
    T(noise_is_answered_and_hurts_nothing),
    T(args_are_weighed_and_not_read),
    T(delays_are_kept_within_their_limit),
    T(the_engine_hears_of_the_earliest_of_a_batch),
    T(whoever_holds_the_lock_is_named),
    T(a_callback_that_is_none_is_refused),
    T(a_large_enqueue_is_cut_into_batches_and_answered_once),
    T(a_batch_that_fails_after_another_one_leaves_the_outcome_unknown),
    T(a_full_queue_refuses_at_once_or_after_the_time_given),
    T(what_waits_for_room_gets_it_when_there_is_some),
    T(what_was_tried_before_is_not_fresh_any_more),
    T(large_jobs_that_wait_for_room_are_tried_in_batches),
    T(nobody_waits_for_room_any_more_who_is_gone),
    T(a_stop_ends_what_waits_for_room),
    T(a_cancel_through_the_same_requests_ends_a_wait),
    T(after_a_stop_everything_is_refused),
  };
  return cmocka_run_group_tests_name("request", tests, NULL, NULL);
}
