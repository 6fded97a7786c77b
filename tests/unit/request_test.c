/* request_test.c - what scripts and programs ask of the store: every operation whole, cut at each byte, and as noise. */
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

static void on_added(void *ctx, int64_t due_in_ms) {
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
  struct sk_requests_options o = { .loop = w->loop, .store = w->store, .args_bytes_max = SK_ARGS_BYTES_MAX, .added = on_added, .ctx = w };
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

/* -- payloads --------------------------------------------------------------------------------------------------------------------- */

struct enqueued {
  const char *id, *args;
  int64_t due_ms, delay_ms;
};

static struct sk_buf enqueue_payload(const struct enqueued *jobs, uint32_t n) {
  struct sk_buf b = { 0 };
  sk_wire_add_i64(&b, 0);
  sk_buf_add_u32(&b, n);
  for (uint32_t i = 0; i < n; i++) {
    struct sk_job job;
    sk_job_init(&job);
    job.id = sk_str_c(jobs[i].id);
    job.task = SK_STR_LIT("t");
    job.queue = SK_STR_LIT("q");
    job.args = sk_str_c(jobs[i].args);
    struct sk_buf record = { 0 };
    sk_record_encode(&job, &record);
    sk_wire_add_str(&b, sk_buf_str(&record));
    sk_wire_add_i64(&b, jobs[i].due_ms);
    sk_wire_add_i64(&b, jobs[i].delay_ms);
    sk_buf_fini(&record);
  }
  return b;
}

static struct sk_buf sample(unsigned operation) {
  struct sk_buf b = { 0 };
  switch ((enum sk_operation)operation) {
  case SK_OP_ENQUEUE: return enqueue_payload((struct enqueued[]){ { "a", "[]", 0, 0 }, { "b", "[1]", 0, 5000 } }, 2);
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
      if (ask(w, operation, sk_str(part, n), NULL) == SK_OK) fail_msg("operation %u takes %zu of %zu bytes", operation, n, b.n);
      free(part);
    }
    assert_int_equal(ask(w, operation, sk_buf_str(&b), NULL), SK_OK);
    sk_buf_add_byte(&b, 0);
    if (operation != SK_OP_COUNT && operation != SK_OP_TASKS) assert_int_equal(ask(w, operation, sk_buf_str(&b), NULL), SK_EINVAL);
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
    for (int changes = rand_r(&seed) % 4; changes > 0 && b.n > 0; changes--) b.p[(unsigned)rand_r(&seed) % b.n] = (char)rand_r(&seed);
    if (operation == SK_OP_WAIT && b.n >= 8) memset(b.p + b.n - 8, 0, 8); /* not for ever */
    ask(w, operation, sk_buf_str(&b), NULL);
    sk_buf_fini(&b);
  }
}

/* -- enqueue ------------------------------------------------------------------------------------------------------------------------ */

static void args_are_weighed_and_not_read(void **state) {
  struct world *w = *state;
  struct sk_buf b = enqueue_payload(&(struct enqueued){ "x", "{ this is not json", 0, 0 }, 1);
  assert_int_equal(ask(w, SK_OP_ENQUEUE, sk_buf_str(&b), NULL), SK_OK);
  sk_buf_fini(&b);
  char *big = malloc(SK_ARGS_BYTES_MAX + 2);
  memset(big, '1', SK_ARGS_BYTES_MAX + 1);
  big[SK_ARGS_BYTES_MAX + 1] = '\0';
  b = enqueue_payload(&(struct enqueued){ "y", big, 0, 0 }, 1);
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
    { 0, most, SK_OK },         { 0, most + 1, SK_ELIMIT },     { 0, INT64_MAX, SK_ELIMIT }, { 0, -1, SK_ELIMIT },
    { 2 * most, 0, SK_OK },     { 2 * most + 1, 0, SK_ELIMIT }, { -1, 0, SK_ELIMIT },        { INT64_MIN, 0, SK_ELIMIT },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char id[8];
    snprintf(id, sizeof id, "j%zu", i);
    struct sk_buf b = enqueue_payload(&(struct enqueued){ id, "[]", cases[i].due_ms, cases[i].delay_ms }, 1);
    assert_int_equal(ask(w, SK_OP_ENQUEUE, sk_buf_str(&b), NULL), cases[i].code);
    sk_buf_fini(&b);
  }
}

static void the_engine_hears_of_the_earliest_of_a_batch(void **state) {
  struct world *w = *state;
  struct sk_buf b = enqueue_payload((struct enqueued[]){ { "a", "[]", 0, 9000 }, { "b", "[]", 0, 300 }, { "c", "[]", 0, 7000 } }, 3);
  assert_int_equal(ask(w, SK_OP_ENQUEUE, sk_buf_str(&b), NULL), SK_OK);
  assert_int_equal(w->added_in_ms, 300);
  sk_buf_fini(&b);
  b = enqueue_payload((struct enqueued[]){ { "d", "[]", 1, 0 }, { "e", "[]", 0, 300 } }, 2); /* due long ago */
  assert_int_equal(ask(w, SK_OP_ENQUEUE, sk_buf_str(&b), NULL), SK_OK);
  assert_int_equal(w->added_in_ms, 0);
  sk_buf_fini(&b);
}

/* -- waiting ------------------------------------------------------------------------------------------------------------------------ */

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
    T(a_cancel_through_the_same_requests_ends_a_wait),
    T(after_a_stop_everything_is_refused),
  };
  return cmocka_run_group_tests_name("request", tests, NULL, NULL);
}
