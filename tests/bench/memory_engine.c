/* memory_engine.c - an engine on the memory store with jobs in it from the start.
 *
 *   memory_engine [-w WORKERS] [-c CONCURRENCY] [-q QUEUE] [-d] SKEIN DIR [TASK COUNT]...
 *
 * A memory store lives inside its engine's process, so no client can put the first job there.  This is `skein run DIR
 * -s memory:` (the workers are the binary SKEIN, as ever) with a second handle on the same store, which enqueues COUNT
 * jobs of each TASK in batches before the engine starts.  Their args are [i, padding], i from 1, in records of
 * RECORD_BYTES.  -q: serve that queue only; -d: stop when all is done, else on TERM.  Prints "enqueued N SECONDS"
 * before the engine starts, "ran N SECONDS" at its end. */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/limits.h"
#include "engine/engine.h"
#include "io/loop.h"
#include "logic/record.h"
#include "store/store.h"

enum { BATCH = SK_ENQUEUE_BATCH_MAX, RECORD_BYTES = 200 };
#define STORE_URL "memory:bench"

struct seeding {
  struct sk_loop *loop;
  struct sk_store *store;
  struct sk_idgen ids;
  bool waiting, closed;
  struct sk_enqueue_op op;
  struct sk_enqueue_item items[BATCH];
  char item_ids[BATCH][SK_ID_BYTES + 1];
  struct sk_buf records[BATCH]; /* owned */
};

static void die(const char *what, const char *why) {
  fprintf(stderr, "memory_engine: %s: %s\n", what, why);
  exit(1);
}

/* -- the jobs ------------------------------------------------------------------------------------------------------ */

static void fill(struct seeding *s, size_t at, const char *task, long number, size_t padding) {
  char args[RECORD_BYTES + 32], spaces[RECORD_BYTES];
  memset(spaces, 'x', sizeof spaces);
  int n = snprintf(args, sizeof args, "[%ld,\"%.*s\"]", number, (int)padding, spaces);
  struct sk_job job;
  sk_job_init(&job);
  sk_id_next(&s->ids, sk_clock_wall_ms(), s->item_ids[at]);
  job.id = sk_str(s->item_ids[at], SK_ID_BYTES);
  job.task = sk_str_c(task);
  job.queue = SK_STR_LIT("default");
  job.args = sk_str(args, (size_t)n);
  job.enqueued_ms = sk_clock_wall_ms();
  struct sk_buf *record = &s->records[at];
  sk_buf_clear(record);
  sk_record_encode(&job, record);
  if (record->failed) die(task, "out of memory");
  if (padding == 0 && record->n < RECORD_BYTES) {
    fill(s, at, task, number, RECORD_BYTES - record->n);
    return;
  }
  s->items[at] =
      (struct sk_enqueue_item){ .id = job.id, .queue = job.queue, .task = job.task, .record = sk_buf_str(record) };
}

static void on_enqueued(struct sk_op *op, void *ctx) {
  struct seeding *s = ctx;
  if (op->status != SK_OK) die("enqueue", op->err.message);
  s->waiting = false;
}

static void enqueue(struct seeding *s, const char *task, long count) {
  for (long i = 0; i < count;) {
    size_t n = 0;
    for (; n < BATCH && i < count; n++) fill(s, n, task, ++i, 0);
    s->op = (struct sk_enqueue_op){ .op = { .cb = on_enqueued, .ctx = s }, .items = s->items, .items_n = n };
    s->waiting = true;
    s->store->ops->enqueue(s->store, &s->op);
    while (s->waiting) sk_loop_turn(s->loop, true);
    sk_op_fini(&s->op.op);
  }
}

/* -- the engine ---------------------------------------------------------------------------------------------------- */

static void on_signal(void *ctx, int signum) { sk_engine_stop(*(struct sk_engine **)ctx, signum == SIGQUIT); }

static void on_stopped(void *ctx) { sk_loop_stop(ctx); }

static void on_closed(void *ctx) { *(bool *)ctx = true; }

static int64_t run_engine(struct sk_loop *loop, struct sk_engine_options *options) {
  struct sk_engine *engine;
  struct sk_err err;
  if (sk_engine_new(loop, options, &engine, &err) != SK_OK) die("engine", err.message);
  struct sk_signal *term = sk_signal_new(loop, SIGTERM, on_signal, &engine);
  struct sk_signal *quit = sk_signal_new(loop, SIGQUIT, on_signal, &engine);
  sk_loop_run(loop);
  sk_signal_free(term);
  sk_signal_free(quit);
  if (sk_engine_outcome(engine, &err) != SK_OK) die("engine", err.message);
  int64_t done = sk_engine_totals(engine)->done;
  sk_engine_free(engine);
  return done;
}

static double seconds_since(int64_t start_us) { return (double)(sk_clock_mono_us() - start_us) / 1e6; }

int main(int argc, char **argv) {
  struct sk_log log;
  sk_log_init(&log);
  struct sk_queue_spec queue = { .weight = 1 };
  struct sk_engine_options options = {
    .store = { .url = SK_STR_LIT(STORE_URL), .lease_ms = SK_LEASE_MS, .durability = SK_DURABLE_FULL },
    .workers = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN),
    .concurrency = 10,
    .shutdown_timeout_ms = SK_SHUTDOWN_TIMEOUT_MS,
    .args_bytes_max = SK_ARGS_BYTES_MAX,
    .policy = { .crashes_max = SK_CRASHES_MAX, .unknown_max = SK_UNKNOWN_MAX, .unknown_delay_ms = SK_UNKNOWN_DELAY_MS },
    .log = &log,
    .stopped = on_stopped,
  };
  for (int c; (c = getopt(argc, argv, "+w:c:q:d")) != -1;) {
    if (c == 'w') options.workers = (uint32_t)atoi(optarg);
    if (c == 'c') options.concurrency = (uint32_t)atoi(optarg);
    if (c == 'd') options.drain = true;
    if (c == 'q') queue.name = sk_str_c(optarg);
    if (c == '?') return 64;
  }
  if (argc - optind < 2) die("usage", "memory_engine [-w N] [-c N] [-q QUEUE] [-d] SKEIN DIR [TASK COUNT]...");
  options.program = argv[optind];
  options.dir = argv[optind + 1];
  if (queue.name.n) options.queues = &queue, options.queues_n = 1;

  struct sk_err err;
  static struct seeding s;
  s.loop = sk_loop_new(&err);
  if (s.loop == NULL) die("loop", err.message);
  options.ctx = s.loop;
  const struct sk_store_options client = { .url = options.store.url, .lease_ms = SK_LEASE_MS };
  if (sk_store_open(s.loop, &client, NULL, &s.store, &err) != SK_OK) die(STORE_URL, err.message);
  int64_t start_us = sk_clock_mono_us();
  long jobs = 0;
  for (int i = optind + 2; i + 1 < argc; i += 2) {
    enqueue(&s, argv[i], atol(argv[i + 1]));
    jobs += atol(argv[i + 1]);
  }
  printf("enqueued %ld %.6f\n", jobs, seconds_since(start_us));
  fflush(stdout);
  for (size_t i = 0; i < BATCH; i++) sk_buf_fini(&s.records[i]);

  start_us = sk_clock_mono_us();
  int64_t done = run_engine(s.loop, &options);
  printf("ran %" PRId64 " %.6f\n", done, seconds_since(start_us));
  s.store->ops->close(s.store, on_closed, &s.closed);
  while (!s.closed) sk_loop_turn(s.loop, true);
  sk_loop_free(s.loop);
  return 0;
}
