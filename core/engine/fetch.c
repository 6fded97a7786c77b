/* fetch.c - when to look into the store, and for how much.
 *
 * No polling: the engine looks when there is room and something may be there: after a fetch that left more, after a wake-up
 * (store.h's `changed`, a job enqueued through this engine, a settle that put one back), and when the earliest due time comes, for which
 * one timer stands.  A slow safety look covers a wake-up that got lost.
 *
 * How much: the free slots, and ahead of them as many jobs as finish in a few milliseconds, so that workers with short jobs never
 * wait for the store, while with long jobs nothing is held that another engine, or a job of higher priority, could use. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "engine/state.h"

enum { AHEAD_MS = 8, RATE_MS = 2, QUIET_MS = 20 };

/* -- how far ahead ------------------------------------------------------------------------------------------------------------- */

void sk_fetch_count_done(struct sk_engine *e, size_t n) {
  int64_t now = sk_clock_mono_us();
  int64_t us = now - e->rate_at_us;
  e->rate_n += (int64_t)n;
  if (us < RATE_MS * 1000) return;
  double per_ms = (double)e->rate_n * 1000.0 / (double)us;
  e->per_ms = us > QUIET_MS * 1000 ? per_ms : 0.6 * e->per_ms + 0.4 * per_ms;
  e->rate_at_us = now;
  e->rate_n = 0;
}

size_t sk_fetch_depth(const struct sk_engine *e) {
  double depth = e->per_ms * AHEAD_MS;
  return depth >= SK_PREFETCH_MAX ? SK_PREFETCH_MAX : (size_t)depth;
}

static size_t room(const struct sk_engine *e) {
  size_t capacity = (size_t)sk_supervisor_ready_n(e) * e->options.concurrency + sk_fetch_depth(e);
  return capacity > e->held_n ? capacity - e->held_n : 0;
}

/* -- which queues ---------------------------------------------------------------------------------------------------------------- */

static bool has_queue(const struct sk_engine *e, struct sk_str name) {
  for (size_t i = 0; i < e->queues_n; i++)
    if (sk_str_eq(e->queues[i].name, name)) return true;
  return false;
}

static bool add_queue(struct sk_engine *e, struct sk_str name, uint32_t weight) {
  if (e->queues_n >= SK_QUEUES_MAX || has_queue(e, name)) return true;
  size_t n = e->queues_n + 1;
  struct sk_queue_spec *queues = realloc(e->queues, n * sizeof *queues);
  if (queues) e->queues = queues;
  struct sk_str copy = sk_arena_copy(&e->queues_names, name);
  if (!queues || !copy.p) return false;
  e->queues[e->queues_n++] = (struct sk_queue_spec){ copy, weight };
  return true;
}

static void add_task_queue(const struct sk_task *task, void *ctx) {
  if (task->template.queue.n > 0) add_queue(ctx, task->template.queue, 1);
  if (task->template.retry_queue.n > 0) add_queue(ctx, task->template.retry_queue, 1);
}

static void on_counted(struct sk_op *op, void *ctx) {
  struct sk_engine *e = ctx;
  struct sk_count_op *count = e->counting;
  e->counting = NULL;
  if (op->status != SK_OK) {
    e->queues_stale = true;
    sk_engine_store_failed(e, "listing queues", &op->err);
  } else {
    e->queues_version = count->queues_version;
    for (size_t i = 0; i < count->queues_n; i++) add_queue(e, count->queues[i].name, 1);
    sk_fetch_wake(e);
  }
  sk_op_fini(op);
  free(count);
  sk_engine_wake(e);
}

/* Learns the names of all queues; the fetch after it serves them. */
static void learn_queues(struct sk_engine *e) {
  if (!e->queues_all || e->counting) return;
  e->counting = calloc(1, sizeof *e->counting);
  if (e->counting == NULL) return;
  e->queues_stale = false;
  e->counting->op = (struct sk_op){ .cb = on_counted, .ctx = e };
  e->store->ops->count(e->store, e->counting);
}

void sk_fetch_queues_changed(struct sk_engine *e) {
  if (!e->queues_all) return;
  sk_tasks_each(e->tasks, add_task_queue, e);
  sk_fetch_wake(e);
}

/* -- when ---------------------------------------------------------------------------------------------------------------------------- */

void sk_fetch_wake(struct sk_engine *e) {
  e->fetch_wanted = true;
  if (e->fetching) e->fetch_again = true;
  sk_engine_wake(e);
}

static void on_due(void *ctx) { sk_fetch_wake(ctx); }

void sk_fetch_due_within(struct sk_engine *e, int64_t ms) {
  if (e->stopping) return;
  if (ms <= 0) {
    sk_fetch_wake(e);
    return;
  }
  int64_t at = sk_clock_mono_ms() + ms;
  if (sk_timer_active(e->due) && e->due_at_ms <= at) return;
  e->due_at_ms = at;
  sk_timer_start(e->due, ms);
}

/* Nothing to take now: sleep until the earliest due time, or the safety look. */
static void sleep_until_due(struct sk_engine *e, int64_t due_in_ms) {
  int64_t ms = due_in_ms >= 0 && due_in_ms < SK_SAFETY_POLL_MS ? due_in_ms : SK_SAFETY_POLL_MS;
  sk_timer_stop(e->due);
  sk_fetch_due_within(e, ms > 0 ? ms : 1);
}

/* -- fetching ------------------------------------------------------------------------------------------------------------------------ */

static void take(struct sk_engine *e, const struct sk_held *held, int64_t now_ms) {
  struct sk_err err;
  struct sk_run *run = sk_run_new(e, held, &err);
  if (run == NULL) {
    sk_logf(e->log, SK_LOG_ERROR, "%s; it runs again when this engine's lease ends", err.message);
    return;
  }
  e->held_n++;
  if (run->broken != SK_OK) {
    sk_settle_broken(run, &err);
    return;
  }
  run->task = sk_tasks_find(e->tasks, run->job.task);
  if (run->task == NULL) {
    char message[SK_NAME_BYTES_MAX + 64];
    snprintf(message, sizeof message, "no script of this engine declares task \"%.*s\"", SK_STR_ARG(sk_str_head(run->job.task, SK_NAME_BYTES_MAX)));
    sk_settle(run, &(struct sk_outcome){ .ending = SK_END_UNKNOWN_TASK, .message = sk_str_c(message), .delay_ms = SK_UNSET });
    return;
  }
  if (sk_job_is_expired(&run->job, &run->task->template, now_ms)) {
    sk_settle(run, &(struct sk_outcome){ .ending = SK_END_EXPIRED, .message = SK_STR_LIT("expired before it could start"), .delay_ms = SK_UNSET });
    return;
  }
  run->timeout_ms = sk_job_timeout_ms(&run->job, &run->task->template);
  sk_dispatch_add(e, run, false);
}

static void fetch_failed(struct sk_engine *e, const struct sk_op *op) {
  sk_engine_store_failed(e, "fetching jobs", &op->err);
  e->fetch_backoff_ms = e->fetch_backoff_ms ? e->fetch_backoff_ms * 2 : SK_STORE_BACKOFF_MIN_MS;
  if (e->fetch_backoff_ms > SK_STORE_BACKOFF_MAX_MS) e->fetch_backoff_ms = SK_STORE_BACKOFF_MAX_MS;
  int64_t jitter = (int64_t)(sk_id_random() % (uint64_t)(e->fetch_backoff_ms / 2 + 1));
  e->fetch_wanted = false;
  e->fetch_again = false;
  sk_timer_stop(e->due);
  e->due_at_ms = sk_clock_mono_ms() + e->fetch_backoff_ms / 2 + jitter;
  sk_timer_start(e->due, e->fetch_backoff_ms / 2 + jitter);
}

static void on_fetched(struct sk_op *op, void *ctx) {
  struct sk_engine *e = ctx;
  struct sk_fetch_op *f = e->fetch;
  e->fetching = false;
  if (op->status != SK_OK) {
    fetch_failed(e, op);
  } else {
    sk_engine_store_works(e);
    e->fetch_backoff_ms = 0;
    int64_t now_ms = sk_clock_wall_ms();
    for (size_t i = 0; i < f->held_n; i++) take(e, &f->held[i], now_ms);
    e->fetch_wanted = f->more || e->fetch_again;
    e->fetch_again = false;
    if (e->queues_all && f->queues_version != e->queues_version) e->queues_stale = true;
    if (!e->fetch_wanted) sleep_until_due(e, f->due_in_ms);
    if (f->held_n == 0 && !f->more && f->due_in_ms < 0) e->drain_check = true;
  }
  sk_op_fini(op);
  sk_engine_wake(e);
}

/* Room for all queues in what a fetch borrows; only between two fetches. */
static bool reserve_plan(struct sk_engine *e) {
  if (e->plan_n >= e->queues_n) return true;
  struct sk_fetch_queue *fetch_queues = realloc(e->fetch_queues, e->queues_n * sizeof *fetch_queues);
  if (fetch_queues) e->fetch_queues = fetch_queues;
  struct sk_queue_plan *plan = realloc(e->plan, e->queues_n * sizeof *plan);
  if (plan) e->plan = plan;
  if (!fetch_queues || !plan) return false;
  e->plan_n = e->queues_n;
  return true;
}

void sk_fetch_turn(struct sk_engine *e) {
  if (e->store == NULL || e->stopping || e->held || !e->ever_ready) return;
  if (e->queues_stale) learn_queues(e);
  if (e->fetching || !e->fetch_wanted || (e->fetch_backoff_ms && sk_timer_active(e->due))) return;
  size_t want = room(e);
  if (want == 0) return;
  /* With short jobs, wait until it is worth a call. */
  size_t depth = sk_fetch_depth(e);
  if (depth > 16 && e->local_n > 0 && want < depth / 4) return;
  if (want > SK_FETCH_BATCH_MAX) want = SK_FETCH_BATCH_MAX;
  if (!reserve_plan(e)) {
    sk_fetch_due_within(e, SK_STORE_BACKOFF_MIN_MS);
    return;
  }
  sk_queues_plan(e->queues, e->queues_n, want, sk_id_random(), e->plan);
  for (size_t i = 0; i < e->queues_n; i++)
    e->fetch_queues[i] = (struct sk_fetch_queue){ e->queues[e->plan[i].index].name, e->plan[i].quota };
  *e->fetch = (struct sk_fetch_op){ .op = { .cb = on_fetched, .ctx = e }, .queues = e->fetch_queues, .queues_n = e->queues_n, .want = want };
  e->fetching = true;
  e->fetch_again = false;
  e->store->ops->fetch(e->store, e->fetch);
}

enum sk_code sk_fetch_start(struct sk_engine *e, struct sk_err *err) {
  e->fetch = calloc(1, sizeof *e->fetch);
  e->due = sk_timer_new(e->loop, on_due, e);
  bool ok = e->fetch && e->due;
  e->queues_all = e->options.queues_n == 0;
  for (size_t i = 0; i < e->options.queues_n && ok; i++) ok = add_queue(e, e->options.queues[i].name, e->options.queues[i].weight);
  if (e->queues_all && ok) ok = add_queue(e, SK_STR_LIT("default"), 1);
  e->queues_stale = e->queues_all;
  e->fetch_wanted = true;
  e->rate_at_us = sk_clock_mono_us();
  return ok ? SK_OK : sk_err_set(err, SK_ENOMEM, "engine: out of memory");
}

void sk_fetch_stop(struct sk_engine *e) {
  sk_timer_free(e->due);
  free(e->fetch);
  free(e->queues);
  free(e->fetch_queues);
  free(e->plan);
  sk_arena_fini(&e->queues_names);
}
