/* request.c - fuzz target: what a worker, or a program with the module, asks of the store (engine/request.h), on a
 * memory store with a few jobs in each state.  The input is a list of requests: u8 operation, u8 length, payload.  Each
 * is answered exactly once, and none is left when all have been told to stop. */
#include <assert.h>
#include <stdlib.h>

#include "base/limits.h"
#include "engine/request.h"
#include "io/loop.h"
#include "logic/job.h"
#include "logic/record.h"
#include "store/openers.h"
#include "store/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { JOBS = 4, REQUESTS_MAX = 50, TURNS_MAX = 1000 };

enum sk_code sk_sqlite_open(struct sk_loop *loop, const struct sk_store_options *options,
                            const struct sk_store_events *events, struct sk_store **out, struct sk_err *err) {
  (void)loop, (void)options, (void)events, (void)out;
  return sk_err_set(err, SK_EUNSUPPORTED, "not here");
}

enum sk_code sk_redis_open(struct sk_loop *loop, const struct sk_store_options *options,
                           const struct sk_store_events *events, struct sk_store **out, struct sk_err *err) {
  return sk_sqlite_open(loop, options, events, out, err);
}

static void on_answer(void *ctx, enum sk_code code, struct sk_str answer) {
  int *left = ctx;
  (void)code;
  assert(answer.n == 0 || answer.p != NULL);
  assert(answer.n <= SK_FRAME_BYTES_MAX);
  (*left)--;
}

static void op_done(struct sk_op *op, void *ctx) {
  (void)op;
  *(bool *)ctx = true;
}

static void set_flag(void *ctx) { *(bool *)ctx = true; }

/* Jobs "0", "1", ... of queue "q"; every other one is due later. */
static void add_jobs(struct sk_loop *loop, struct sk_store *store) {
  static const char *const ids[JOBS] = { "0", "1", "2", "3" };
  for (int i = 0; i < JOBS; i++) {
    struct sk_job job;
    sk_job_init(&job);
    job.id = sk_str_c(ids[i]);
    job.task = SK_STR_LIT("t");
    job.queue = SK_STR_LIT("q");
    struct sk_buf record = { 0 };
    sk_record_encode(&job, &record);
    struct sk_enqueue_item item = {
      .id = job.id, .queue = job.queue, .task = job.task, .record = sk_buf_str(&record), .delay_ms = i % 2 * 60000
    };
    bool done = false;
    struct sk_enqueue_op op = { .op = { .cb = op_done, .ctx = &done }, .items = &item, .items_n = 1 };
    store->ops->enqueue(store, &op);
    while (!done) sk_loop_turn(loop, true);
    sk_op_fini(&op.op);
    sk_buf_fini(&record);
  }
}

static void run_all(struct sk_loop *loop, struct sk_requests *requests, const uint8_t *p, const uint8_t *end) {
  int left = 0;
  for (int i = 0; i < REQUESTS_MAX && end - p >= 2; i++) {
    unsigned operation = p[0];
    size_t n = p[1] < end - p - 2 ? p[1] : (size_t)(end - p - 2);
    left++;
    sk_requests_run(requests, (uint64_t)(i % 3), operation, sk_str((const char *)p + 2, n), on_answer, &left);
    p += 2 + n;
    if (i % 4 == 3) sk_loop_turn(loop, false);
    if (i % 16 == 15) sk_requests_abandon(requests, 1);
    if (i % 8 == 7) sk_requests_changed(requests);
  }
  for (int i = 0; i < 20; i++) sk_loop_turn(loop, false);
  sk_requests_stop(requests);
  for (int i = 0; left > 0 || !sk_requests_idle(requests); i++) {
    assert(i < TURNS_MAX);
    sk_loop_turn(loop, false);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct sk_loop *loop = sk_loop_new(NULL);
  struct sk_store *store;
  struct sk_store_options options = { .url = SK_STR_LIT("memory:") };
  enum sk_code code = sk_store_open(loop, &options, NULL, &store, NULL);
  assert(code == SK_OK);
  add_jobs(loop, store);
  struct sk_requests_options ro = { .loop = loop, .store = store, .args_bytes_max = 1000 };
  struct sk_requests *requests = sk_requests_new(&ro, NULL);
  run_all(loop, requests, data, data + size);
  sk_requests_free(requests);
  bool closed = false;
  store->ops->close(store, set_flag, &closed);
  while (!closed) sk_loop_turn(loop, true);
  sk_loop_free(loop);
  return 0;
}
