/* fetch.c - takes jobs from the store, and hears from it which running jobs were cancelled.
 *
 * It does not poll.  It fetches when there is capacity (pace.c) and a queue may have jobs (wake.c): after a fetch that
 * left some, after an event (store.h's `changed`, a job enqueued through this engine, a settle that put a job back),
 * and when the earliest due time comes, which one timer waits for.  A slow safety poll covers events that were lost.
 *
 * When jobs turn out to be longer than expected, the surplus goes back to the store (dispatch.c). */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "engine/state.h"
#include "logic/rules.h"

enum {
  AHEAD_MS = 8,
  FETCH_MS_MAX = 200, /* a slower fetch is an outage and says nothing about the way */
  RATE_MS = 2,
  QUIET_MS = 20,
  LONG_MS = 50,        /* jobs are long when workers have some and this long none has ended */
  MEMORY_WAIT_MS = 50, /* until fetched jobs are tried again for which memory was out */
  LOST_WAIT_MS = 50,   /* until the next fetch from a store that reports jobs and gives none */
  COUNT_RETRY_MS = 500,
  COUNT_EVERY_MS = 100, /* all queues are counted at most this often */
  FORGET_SLACK = 1000,  /* so many queues beyond twice those of the store are known here before they are forgotten */
  STOPS_EVERY_MS = 10,  /* without capacity, cancelled jobs are looked for at most this often */
};

/* -- which queues -------------------------------------------------------------------------------------------------- */

static void add_task_queue(const struct sk_task *task, void *ctx) {
  struct sk_queue_set *s = ctx;
  const struct sk_str names[] = { task->template.queue, task->template.retry_queue };
  for (size_t i = 0; i < 2; i++) {
    struct sk_queue_set_entry *queue = names[i].n ? sk_queue_set_find(s, names[i], 1, true) : NULL;
    if (queue) sk_queue_set_maybe(queue);
  }
}

/* A store forgets queues without jobs.  When most of the queues known here are gone, begins anew; not while a fetch
 * borrows names. */
static void forget_queues(struct sk_engine *e, const struct sk_count_op *count) {
  if (!e->served.all || e->fetching || e->served.n <= 2 * count->queues_n + FORGET_SLACK) return;
  sk_queue_set_clear(&e->served, true);
  sk_queue_set_find(&e->served, SK_STR_LIT("default"), 1, true);
  sk_tasks_each(e->tasks, add_task_queue, &e->served);
}

static void on_counted(struct sk_op *op, void *ctx) {
  struct sk_engine *e = ctx;
  struct sk_count_op *count = e->counting;
  e->counting = NULL;
  if (op->status != SK_OK) {
    sk_outage_failed(e, SK_CHORE_COUNT, &op->err);
    e->queues_stale = e->count_wanted = true;
    e->count_at_ms = sk_clock_mono_ms() + COUNT_RETRY_MS;
  } else {
    sk_outage_works(e, SK_CHORE_COUNT);
    forget_queues(e, count);
    sk_wake_counted(e, count);
    if (!e->count_wanted) e->count_deep = false;
    e->queues_version = count->queues_version;
  }
  sk_op_fini(op);
  free(count);
  sk_engine_wake(e);
}

/* Finds out the names of all queues and which have jobs, for the next fetch. */
static void count_queues(struct sk_engine *e) {
  if (e->counting) return;
  int64_t wait_ms = e->count_at_ms - sk_clock_mono_ms();
  if (wait_ms > 0) {
    sk_wake_fetch_within(e, wait_ms);
    return;
  }
  e->counting = calloc(1, sizeof *e->counting);
  if (e->counting == NULL) return;
  e->queues_stale = e->count_wanted = false;
  e->count_at_ms = sk_clock_mono_ms() + COUNT_EVERY_MS;
  e->counting->op = (struct sk_op){ .cb = on_counted, .ctx = e };
  e->store->ops->count(e->store, e->counting);
}

void sk_fetch_queues_changed(struct sk_engine *e) {
  sk_served_check(e);
  if (e->served.all) sk_tasks_each(e->tasks, add_task_queue, &e->served);
  sk_wake_fetch(e);
}

/* -- when ---------------------------------------------------------------------------------------------------------- */

/* No queue has jobs now: sets the timer to the earliest due time, or to the safety poll. */
static void sleep_until_due(struct sk_engine *e) {
  int64_t now_ms = sk_clock_mono_ms(), next_ms = sk_queue_set_due(&e->served, now_ms);
  if (sk_queue_set_any_maybe(&e->served)) {
    sk_wake_fetch(e);
    return;
  }
  if (e->safety_at_ms <= now_ms) e->safety_at_ms = now_ms + SK_SAFETY_POLL_MS;
  if (next_ms > e->safety_at_ms) next_ms = e->safety_at_ms;
  if ((e->count_wanted || e->queues_stale) && !e->counting && next_ms > e->count_at_ms) next_ms = e->count_at_ms;
  int64_t ms = next_ms - now_ms;
  sk_timer_stop(e->due);
  sk_wake_fetch_within(e, ms > 0 ? ms : 1);
}

/* -- fetching ------------------------------------------------------------------------------------------------------ */

/* Makes a run of a fetched job.  The run waits for a worker, or its end is decided.  False when memory is out. */
static bool take(struct sk_engine *e, const struct sk_fetched *fetched, int64_t now_ms) {
  struct sk_err err;
  struct sk_run *run = sk_run_new(e, fetched, &err);
  if (run == NULL) return false;
  if (run->broken != SK_OK) {
    sk_settle_broken(run, &err);
    return true;
  }
  run->task = sk_tasks_find(e->tasks, run->job.task);
  const struct sk_job *task = run->task ? &run->task->template : NULL;
  switch (sk_start_refusal(&run->job, task, now_ms)) {
  case SK_REFUSAL_UNKNOWN_TASK: sk_settle_unknown(run); break;
  case SK_REFUSAL_EXPIRED: sk_settle_expired(run); break;
  case SK_REFUSAL_NONE:
    run->timeout_ms = sk_job_timeout_ms(&run->job, task);
    if (run->timeout_ms > SK_SECONDS_MAX * 1000)
      run->timeout_ms = SK_SECONDS_MAX * 1000; /* the record may be of any client */
    run->may_expire = run->job.expires_ms != SK_UNSET || task->expires_ms != SK_UNSET;
    sk_run_wait(run, false);
  }
  return true;
}

/* No fetch is sent for ms, whatever happens. */
static void back_off(struct sk_engine *e, int64_t ms) {
  sk_timer_stop(e->due);
  e->due_at_ms = sk_clock_mono_ms() + ms;
  sk_timer_start(e->due, ms);
}

static void fetch_failed(struct sk_engine *e, const struct sk_op *op) {
  sk_outage_failed(e, SK_CHORE_FETCH, &op->err);
  e->fetch_backoff_ms = e->fetch_backoff_ms ? e->fetch_backoff_ms * 2 : SK_STORE_BACKOFF_MIN_MS;
  if (e->fetch_backoff_ms > SK_STORE_BACKOFF_MAX_MS) e->fetch_backoff_ms = SK_STORE_BACKOFF_MAX_MS;
  int64_t jitter = (int64_t)(sk_random_next(&e->random) % (uint64_t)(e->fetch_backoff_ms / 2 + 1));
  e->fetch_wanted = e->fetch_again = false;
  back_off(e, e->fetch_backoff_ms / 2 + jitter);
}

void sk_fetch_retry(struct sk_engine *e) {
  if (e->fetch_backoff_ms == 0 || e->stopping) return;
  e->fetch_backoff_ms = 0;
  sk_timer_stop(e->due);
  sk_wake_fetch(e);
}

/* Decides when to fetch next, by what the store answered beside the jobs. */
static void plan_next(struct sk_engine *e, const struct sk_fetch_op *f) {
  if (e->served.all && f->queues_version != e->queues_version) e->queues_stale = true;
  e->fetch_wanted = sk_queue_set_any_maybe(&e->served) || e->fetch_again;
  e->fetch_again = false;
  if (f->jobs_n == 0 && !e->fetch_wanted) e->drain_check = true;
  if (f->jobs_n > 0 || f->has_more || f->due_in_ms >= 0) e->drain_futile = false;
  if (f->jobs_n == 0 && f->has_more) { /* it reports jobs and gives none: must not become a loop */
    e->fetch_wanted = false;
    sk_wake_fetch_within(e, LOST_WAIT_MS);
  } else if (!e->fetch_wanted) {
    sleep_until_due(e);
  }
}

/* Takes over the fetched jobs; when memory is out, tries again in a moment. */
static void take_all(struct sk_engine *e) {
  struct sk_fetch_op *f = e->fetch;
  int64_t now_ms = sk_engine_now_ms(e);
  while (e->fetch_taken < f->jobs_n && take(e, &f->jobs[e->fetch_taken], now_ms)) e->fetch_taken++;
  e->fetch_stuck = e->fetch_taken < f->jobs_n && !e->stopping;
  if (e->fetch_stuck) {
    sk_logf(e->log, SK_LOG_ERROR, "out of memory for %zu fetched jobs, trying again", f->jobs_n - e->fetch_taken);
    back_off(e, MEMORY_WAIT_MS);
    return;
  }
  e->fetching = false;
  sk_cancel_take(e, f->stops, f->stops_n);
  if (f->jobs_n > 0) sk_requests_fetched(e->requests);
  plan_next(e, f);
  sk_op_fini(&f->op);
  sk_engine_wake(e);
}

static void on_due(void *ctx) {
  struct sk_engine *e = ctx;
  e->cancels_wanted = true;
  if (e->fetch_stuck) {
    take_all(e);
    return;
  }
  int64_t now_ms = sk_clock_mono_ms();
  sk_queue_set_due(&e->served, now_ms);
  if (now_ms >= e->safety_at_ms) {
    e->safety_at_ms = now_ms + SK_SAFETY_POLL_MS;
    if (e->served.n <= SK_FETCH_QUEUES_MAX)
      sk_queue_set_maybe_all(&e->served);
    else
      e->count_wanted = true;
  }
  sk_wake_fetch(e);
}

/* The jobs of one queue in a fetch, for mix_queues. */
struct part {
  struct sk_str queue;
  size_t next; /* index of its next job among those fetched */
};

/* With weights, the queues of a fetch take turns at random; each keeps its own order.  The store gives the jobs of one
 * queue after those of the other, and jobs that are handed back would always be of the same queues. */
static void mix_queues(struct sk_engine *e, struct sk_fetch_op *f) {
  size_t n = f->jobs_n, parts_n = 0;
  if (n < 2 || f->queues_n < 2 || e->served.n == 0 || e->served.queues[0].spec.weight == 0) return;
  struct part *parts = sk_arena_array(&f->op.arena, n, sizeof *parts);
  size_t *turns = sk_arena_array(&f->op.arena, n, sizeof *turns); /* whose turn it is, by index into parts */
  size_t *after = sk_arena_array(&f->op.arena, n, sizeof *after); /* the next job of the same queue */
  struct sk_fetched *mixed = sk_arena_array(&f->op.arena, n, sizeof *mixed);
  if (!parts || !turns || !after || !mixed) return; /* out of memory: the order of the store will do */
  for (size_t i = n; i > 0; i--) {
    struct sk_str queue = f->jobs[i - 1].queue;
    size_t k = 0;
    while (k < parts_n && !sk_str_eq(parts[k].queue, queue)) k++;
    if (k == parts_n) parts[parts_n++] = (struct part){ queue, n };
    after[i - 1] = parts[k].next;
    parts[k].next = i - 1;
    turns[i - 1] = k;
  }
  if (parts_n < 2) return;
  for (size_t i = n - 1; i > 0; i--) { /* Fisher and Yates's shuffle */
    size_t j = (size_t)(sk_random_next(&e->random) % (i + 1)), k = turns[i];
    turns[i] = turns[j];
    turns[j] = k;
  }
  for (size_t i = 0; i < n; i++) {
    struct part *part = &parts[turns[i]];
    mixed[i] = f->jobs[part->next];
    part->next = after[part->next];
  }
  f->jobs = mixed;
}

/* The answer to a fetch that only looks for cancelled jobs. */
static void on_looked(struct sk_engine *e, struct sk_op *op) {
  e->fetching = e->fetch_looks = false;
  if (op->status == SK_OK) {
    sk_outage_works(e, SK_CHORE_FETCH);
    sk_cancel_take(e, e->fetch->stops, e->fetch->stops_n);
  } else if (!e->stopping) {
    fetch_failed(e, op);
    e->cancels_wanted = e->fetch_wanted = true;
  }
  sk_op_fini(op);
  sk_engine_wake(e);
}

static void on_fetched(struct sk_op *op, void *ctx) {
  struct sk_engine *e = ctx;
  sk_queue_set_fini(&e->former);
  if (e->fetch_looks) {
    on_looked(e, op);
    return;
  }
  if (op->status == SK_OK) {
    sk_pace_fetched(e, e->fetch);
    mix_queues(e, e->fetch);
    sk_queue_set_found(&e->served, e->fetch_queues, sk_clock_mono_ms());
    e->fetch_backoff_ms = 0;
    sk_outage_works(e, SK_CHORE_FETCH);
    take_all(e);
    return;
  }
  e->fetching = false;
  fetch_failed(e, op);
  sk_op_fini(op);
  sk_engine_wake(e);
}

static bool is_backing_off(const struct sk_engine *e) { return e->fetch_backoff_ms && sk_timer_active(e->due); }

static void send(struct sk_engine *e) {
  e->fetch->op.cb = on_fetched;
  e->fetch->op.ctx = e;
  e->fetching = true;
  e->fetch_again = e->cancels_wanted = false;
  e->fetch_taken = 0;
  e->fetch_sent_us = sk_clock_mono_us();
  e->store->ops->fetch(e->store, e->fetch);
}

static void on_look(void *ctx) { sk_engine_wake(ctx); }

/* Without capacity for jobs: asks the store which running jobs were cancelled. */
static void look_for_stops(struct sk_engine *e) {
  if (!e->cancels_wanted || sk_engine_runs_n(e) == 0 || e->fetching || is_backing_off(e) || sk_timer_active(e->look))
    return;
  *e->fetch = (struct sk_fetch_op){ .want = 0 };
  e->fetch_looks = true;
  sk_timer_start(e->look, STOPS_EVERY_MS);
  send(e);
}

/* How many jobs of the recent size still fit into the memory that an engine may use for jobs; 0: none. */
static size_t fits(const struct sk_engine *e) {
  if (e->held_bytes >= SK_HELD_BYTES_MAX) return 0;
  return (size_t)((double)(SK_HELD_BYTES_MAX - e->held_bytes) / (e->record_bytes + 1)) + 1;
}

static void fetch_jobs(struct sk_engine *e) {
  if (e->queues_stale || e->count_wanted) count_queues(e);
  if (e->fetching || !e->fetch_wanted || is_backing_off(e)) return;
  int64_t capacity = sk_pace_capacity(e);
  if (capacity <= 0) return;
  size_t want = capacity < SK_FETCH_BATCH_MAX ? (size_t)capacity : SK_FETCH_BATCH_MAX, fit = fits(e);
  if (fit == 0) return; /* the end of a job asks for the next turn */
  if (want > fit) want = fit;
  /* With short jobs, waits until a fetch is worth its cost. */
  size_t depth = sk_pace_depth(e);
  if (depth > 16 && e->local_n > 0 && want < depth / 4) return;
  bool no_memory;
  size_t n = sk_queue_set_pick(&e->served, want, sk_random_next(&e->random), e->fetch_queues, &no_memory);
  if (n > 0) {
    *e->fetch = (struct sk_fetch_op){ .queues = e->fetch_queues, .queues_n = n, .want = want };
    send(e);
    return;
  }
  e->fetch_wanted = false;
  if (no_memory) {
    sk_wake_fetch_within(e, MEMORY_WAIT_MS);
  } else {
    e->drain_check = true;
    sleep_until_due(e);
  }
}

void sk_fetch_turn(struct sk_engine *e) {
  if (e->store == NULL || !e->ever_ready) return;
  if (!e->stopping && !e->fetching_paused) fetch_jobs(e);
  look_for_stops(e);
}

/* After a reload the tasks are others: the runs of a list whose task is not declared any more are settled as that. */
static void find_tasks(struct sk_engine *e, struct sk_list *waiting) {
  SK_LIST_EACH_SAFE(n, waiting) {
    struct sk_run *run = SK_RUN_OF(n);
    run->task = sk_tasks_find(e->tasks, run->job.task);
    if (run->task != NULL) continue;
    sk_run_take(run);
    sk_settle_unknown(run);
  }
}

void sk_fetch_find_tasks(struct sk_engine *e) {
  find_tasks(e, &e->local);
  find_tasks(e, &e->suspects);
}

/* -- life ---------------------------------------------------------------------------------------------------------- */

/* A fetch under way borrows the names of the queues served before. */
enum sk_code sk_fetch_use_queues(struct sk_engine *e, const struct sk_queue_spec *queues, size_t n) {
  bool ok = true;
  if (e->fetching && e->former.n == 0) {
    e->former = e->served;
    e->served = (struct sk_queue_set){ 0 };
  }
  sk_queue_set_clear(&e->served, n == 0);
  for (size_t i = 0; i < n && ok; i++)
    ok = sk_queue_set_find(&e->served, queues[i].name, queues[i].weight, true) != NULL;
  if (n == 0) ok = sk_queue_set_find(&e->served, SK_STR_LIT("default"), 1, true) != NULL;
  sk_queue_set_maybe_all(&e->served);
  e->queues_stale = n == 0;
  e->fetch_wanted = true;
  if (e->fetching) e->fetch_again = true;
  return ok ? SK_OK : SK_ENOMEM;
}

enum sk_code sk_fetch_init(struct sk_engine *e, struct sk_err *err) {
  e->fetch = calloc(1, sizeof *e->fetch);
  e->due = sk_timer_new(e->loop, on_due, e);
  e->look = sk_timer_new(e->loop, on_look, e);
  bool ok = e->fetch && e->due && e->look;
  ok = ok && sk_fetch_use_queues(e, e->options.queues, e->options.queues_n) == SK_OK;
  sk_pace_init(e);
  return ok ? SK_OK : sk_err_set(err, SK_ENOMEM, "engine: out of memory");
}

/* Fetched jobs that cannot be taken over go back when the store is closed. */
void sk_fetch_stop(struct sk_engine *e) {
  sk_timer_stop(e->due);
  if (e->fetch_stuck) take_all(e);
}

void sk_fetch_fini(struct sk_engine *e) {
  sk_timer_free(e->due);
  sk_timer_free(e->look);
  free(e->fetch);
  sk_queue_set_fini(&e->served);
  sk_queue_set_fini(&e->former);
}
