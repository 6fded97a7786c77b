/* engine.c - puts the parts together: start, the turn, the lease, the stop.  See engine.h and, for the parts, state.h. */
#include "engine/engine.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "engine/state.h"
#include "logic/wire.h"

/* -- the turn: what the callbacks of this loop turn have asked for ------------------------------------------------------------- */

int64_t sk_engine_now_ms(const struct sk_engine *e) {
  return e->store ? e->store->ops->now_ms(e->store) : sk_clock_wall_ms();
}

void sk_engine_wake(struct sk_engine *e) {
  if (!e->stopped) sk_defer_mark(e->turn);
}

/* Nothing is here that a draining engine would still do. */
static bool is_idle(const struct sk_engine *e) {
  return e->runs_n == 0 && sk_settle_idle(e) && !e->fetching && !e->fetch_wanted && !e->counting &&
         sk_requests_idle(e->requests);
}

static bool serves(struct sk_engine *e, struct sk_str queue) {
  return e->served.all || sk_queue_set_find(&e->served, queue, 0, false) != NULL;
}

/* What is left for a draining engine. */
struct left {
  int64_t jobs;    /* that it would still do by itself, or wait for; but for */
  int64_t ready;   /* ... those that may be taken at any time */
  int64_t running; /* anywhere */
};

static struct left count_left(struct sk_engine *e, const struct sk_count_op *count) {
  struct left left = { 0, 0, 0 };
  for (size_t i = 0; i < count->queues_n; i++) {
    const struct sk_queue_count *q = &count->queues[i];
    left.running += q->states[SK_STATE_RUNNING];
    if (!serves(e, q->name)) continue;
    left.jobs += q->states[SK_STATE_RUNNING];
    if (q->paused) continue;
    left.jobs += q->states[SK_STATE_SCHEDULED] + q->states[SK_STATE_RETRY];
    left.ready += q->states[SK_STATE_READY];
  }
  return left;
}

/* READY jobs that a fetch after the count does not get, when nothing runs anywhere that could let them go, are held back by jobs in
 * queues that are paused or not served: those are not waited for, so these aren't either. */
static bool is_drained(struct sk_engine *e, const struct left *left, const struct sk_count_op *count) {
  if (left->jobs > 0 || !is_idle(e)) return false;
  if (left->ready == 0 || (e->drain_futile && left->running == 0)) return true;
  e->drain_futile = left->running == 0;
  if (e->drain_futile) sk_fetch_note_counts(e, count);
  return false;
}

static void on_drain_count(struct sk_op *op, void *ctx) {
  struct sk_engine *e = ctx;
  struct sk_count_op *count = SK_CONTAINER(op, struct sk_count_op, op);
  e->drain_counting = false;
  if (op->status == SK_OK && !e->stopping) { /* else the next fetch asks again */
    struct left left = count_left(e, count);
    if (is_drained(e, &left, count)) sk_engine_stop(e, false);
  }
  sk_op_fini(op);
  free(count);
  sk_engine_wake(e);
}

static void check_drained(struct sk_engine *e) {
  if (!e->options.drain || !e->drain_check || e->drain_counting || e->stopping || e->store == NULL || !is_idle(e))
    return;
  struct sk_count_op *count = calloc(1, sizeof *count);
  if (count == NULL) return;
  count->op = (struct sk_op){ .cb = on_drain_count, .ctx = e };
  e->drain_check = false;
  e->drain_counting = true;
  e->store->ops->count(e->store, count);
}

/* Each part does what there is to do now, or as much as its bounds allow, and none waits: dispatch.c gives each waiting job away once and
 * moves none back; settle.c, intake.c and progress.c send what is there within their limits; fetch.c sends one operation.  What is left
 * over marks the turn again, so that events have their turn first. */
static void on_turn(void *ctx) {
  struct sk_engine *e = ctx;
  sk_intake_turn(e);
  sk_dispatch_turn(e);
  sk_settle_turn(e);
  sk_fetch_turn(e);
  sk_progress_turn(e);
  sk_janitor_turn(e);
  check_drained(e);
  if (e->stopping) sk_engine_check_stopped(e);
}

/* -- the store's weather ----------------------------------------------------------------------------------------------------------- */

void sk_engine_store_failed(struct sk_engine *e, enum sk_chore chore, const struct sk_err *err) {
  static const char *const names[] = { "fetching jobs", "settling jobs", "renewing the lease", "listing queues",
                                       "declaring tasks" };
  bool told = e->troubles != 0; /* an outage is told once, whatever else fails in it */
  e->troubles |= 1u << chore;
  if (told) return;
  sk_logf(e->log, SK_LOG_ERROR, "store: %s failed: %s; trying again until it works", names[chore], err->message);
}

/* Something works again: tries at once what failed too, each chore once until it works. */
static void hurry(struct sk_engine *e) {
  unsigned late = e->troubles & ~e->hurried;
  e->hurried |= late;
  if ((late & 1u << SK_CHORE_BEAT) && !e->beating && !e->stopping) sk_timer_start(e->beat_timer, 0);
  if (late & 1u << SK_CHORE_SETTLE) {
    sk_timer_stop(e->settle_retry);
    sk_engine_wake(e);
  }
}

void sk_engine_store_works(struct sk_engine *e, enum sk_chore chore) {
  if (e->troubles == 0) return;
  sk_fetch_retry(e);
  hurry(e);
  if (!(e->troubles & 1u << chore)) return;
  e->troubles &= ~(1u << chore);
  e->hurried &= ~(1u << chore);
  if (e->troubles != 0) return;
  sk_logf(e->log, SK_LOG_INFO, "store: works again");
  sk_requests_changed(e->requests); /* who waits may have missed something */
  sk_fetch_wake_all(e);
  sk_fetch_wake_stops(e);
}

static void on_store_changed(void *ctx) {
  struct sk_engine *e = ctx;
  sk_fetch_wake_all(e);
  sk_fetch_wake_stops(e);
  sk_requests_changed(e->requests);
}

static void on_queues_changed(void *ctx, const struct sk_str *queues, size_t n, bool stops) {
  struct sk_engine *e = ctx;
  for (size_t i = 0; i < n; i++) sk_fetch_queue_due(e, queues[i], 0);
  if (stops) sk_fetch_wake_stops(e);
  sk_requests_changed(e->requests);
}

/* -- the lease ----------------------------------------------------------------------------------------------------------------------- */

/* This engine holds nothing any more: what has not started here is given back, what runs does not count. */
static void on_lost(struct sk_engine *e, bool moved) {
  e->declare_wanted = true; /* the store may have lost its data, and with it our tasks and queues */
  e->queues_stale = e->served.all;
  sk_logf(e->log, SK_LOG_WARN,
          moved ? "the store is not where it was left (restored, failed over, or emptied): this engine starts anew on "
                  "it, the jobs that "
                  "it ran do not count"
                : "this engine's lease had ended: its jobs were given to others, what they do here does not count");
  sk_dispatch_take_back_all(e);
  sk_dispatch_hand_back_all(e);
}

static void on_beaten(struct sk_op *op, void *ctx) {
  struct sk_engine *e = ctx;
  e->beating = false;
  if (op->status != SK_OK) {
    if (e->beat->gone) sk_engine_fail(e, &op->err);
    sk_engine_store_failed(e, SK_CHORE_BEAT, &op->err);
    sk_timer_start(e->beat_timer, e->options.store.lease_ms / SK_TRIES_PER_LEASE);
  } else {
    sk_engine_store_works(e, SK_CHORE_BEAT);
    sk_settle_set_aside_again(e);
    e->beaten_ms = sk_clock_mono_ms();
    if (e->beat->recovered > 0) {
      sk_logf(e->log, SK_LOG_WARN, "took over %zu jobs of engines that are gone", e->beat->recovered);
      sk_fetch_wake_all(e);
    }
    if (e->beat->lost) on_lost(e, e->beat->moved);
    if (e->beat_late)
      sk_timer_start(e->beat_timer, 0); /* who knows when the store did it: maybe before this process was frozen */
    e->stops_wanted = true;             /* a change that nobody told of is found by the next beat */
    sk_link_declare(e);
  }
  sk_op_fini(op);
  sk_engine_wake(e);
}

static void on_beat_timer(void *ctx) {
  struct sk_engine *e = ctx;
  sk_timer_start(e->beat_timer, e->options.store.lease_ms / SK_BEATS_PER_LEASE);
  e->beat_late = e->beating;
  if (e->beating || e->store == NULL || e->give_up) return;
  *e->beat = (struct sk_beat_op){ .op = { .cb = on_beaten, .ctx = e } };
  e->beating = true;
  e->store->ops->beat(e->store, e->beat);
}

/* The next beat finds out where we are. */
static void on_beat_now(void *ctx) {
  struct sk_engine *e = ctx;
  if (e->beating)
    e->beat_late = true;
  else if (!e->closing)
    sk_timer_start(e->beat_timer, 0);
}

/* -- stop ------------------------------------------------------------------------------------------------------------------------------ */

static void on_store_closed(void *ctx) {
  struct sk_engine *e = ctx;
  if (e->stopped) return; /* without it */
  sk_timer_stop(e->shutdown);
  e->closing_store = NULL;
  e->stopped = true;
  e->options.stopped(e->options.ctx);
}

/* The end has come when no worker is left, everything is settled and the store has answered everything. */
void sk_engine_check_stopped(struct sk_engine *e) {
  if (e->closing || !sk_list_empty(&e->workers) || e->runs_n > 0) return;
  if (!sk_settle_idle(e) && !e->give_up) return;
  if (e->fetching || e->beating || e->counting || e->declaring || e->drain_counting || e->progress_in_flight ||
      e->settles_in_flight)
    return;
  sk_requests_stop(e->requests);
  if (!sk_requests_idle(e->requests)) return;
  e->closing = true;
  sk_timer_stop(e->beat_timer);
  sk_settle_tell_given_up(e);
  e->closing_store = e->store;
  e->store = NULL;
  e->closing_store->ops->close(e->closing_store, on_store_closed, e);
}

/* The store does not answer: what it was asked is answered now, and it is asked nothing more. */
static void hurry_store(struct sk_engine *e) {
  struct sk_store *store = e->store ? e->store : e->closing_store;
  e->give_up = true;
  if (store) store->ops->hurry(store);
}

/* Not even that helped: the process ends with the store as it is. */
static void leave_store(struct sk_engine *e) {
  sk_logf(e->log, SK_LOG_ERROR, "the store does not come to an end; going without it");
  if (!e->closing) sk_settle_tell_given_up(e);
  e->stopped = e->left = true;
  e->options.stopped(e->options.ctx);
}

/* First the time to finish is over, then the time to die and to write down, then the time of the store. */
static void on_shutdown_timer(void *ctx) {
  struct sk_engine *e = ctx;
  sk_timer_start(e->shutdown, SK_STOP_STEP_MS);
  sk_mourning_give_up(e);
  if (!e->killing) {
    e->killing = true;
    if (!sk_list_empty(&e->workers))
      sk_logf(e->log, SK_LOG_WARN, "shutdown_timeout is over: jobs that still run are handed back");
    sk_supervisor_kill_all(e);
  } else if (!sk_list_empty(&e->workers)) {
    sk_supervisor_abandon_all(e);
  } else if (!e->give_up) {
    hurry_store(e);
  } else {
    sk_timer_stop(e->shutdown);
    leave_store(e);
    return;
  }
  sk_engine_wake(e);
}

void sk_engine_stop(struct sk_engine *e, bool now) {
  if (e->stopped) return;
  bool first = !e->stopping;
  e->stopping = true;
  if (first) {
    sk_fetch_stop(e);
    SK_LIST_EACH (n, &e->workers) atomic_store(&SK_WORKER_OF(n)->slot_page->stopping, 1);
    sk_supervisor_drain(e); /* what has not started goes back at the turn's end (dispatch.c) */
    sk_timer_start(e->shutdown, e->options.shutdown_timeout_ms);
  }
  if ((now || !first) && !e->killing) {
    e->killing = true;
    sk_supervisor_kill_all(e);
    sk_timer_start(e->shutdown, SK_STOP_STEP_MS);
  }
  sk_engine_wake(e);
}

void sk_engine_fail(struct sk_engine *e, const struct sk_err *err) {
  if (e->failure.code == SK_OK) e->failure = *err;
  if (e->killing) return;
  sk_engine_stop(e, true);
}

/* -- signals ----------------------------------------------------------------------------------------------------------------------------- */

void sk_engine_hold(struct sk_engine *e, bool paused) {
  if (e->fetching_paused == paused) return;
  e->fetching_paused = paused;
  sk_logf(e->log, SK_LOG_INFO, paused ? "stopped fetching" : "fetching again");
  if (!paused) sk_fetch_wake(e);
}

void sk_engine_reload(struct sk_engine *e) {
  if (e->stopping) return;
  sk_logf(e->log, SK_LOG_INFO, "reloading the scripts");
  sk_supervisor_reload(e);
}

enum sk_code sk_engine_configure(struct sk_engine *e, const struct sk_engine_options *options, struct sk_err *err) {
  if (sk_fetch_use_queues(e, options->queues, options->queues_n) != SK_OK)
    return sk_err_set(err, SK_ENOMEM, "queues: out of memory");
  struct sk_engine_options *o = &e->options;
  o->workers = options->workers;
  o->concurrency = options->concurrency;
  o->shutdown_timeout_ms = options->shutdown_timeout_ms;
  o->memory_max = options->memory_max;
  o->policy = options->policy;
  sk_fetch_queues_changed(e);
  sk_fetch_wake(e);
  return SK_OK;
}

static void trace_run(const struct sk_run *run, const struct sk_worker *w, int64_t now) {
  char number[16], seconds[32];
  int64_t ms = now - sk_slot_page_started_ms(w->slot_page, run->slot, now);
  bool on_cpu = atomic_load(&w->slot_page->running) == run->slot + 1;
  snprintf(number, sizeof number, "%u", w->number);
  snprintf(seconds, sizeof seconds, "%.3f", (double)ms / 1000.0);
  const struct sk_log_fact facts[] = {
    { .key = "job", .value = run->id },
    { .key = "task", .value = run->job.task },
    { .key = "worker", .value = sk_str_c(number), .number = true },
    { .key = "seconds", .value = sk_str_c(seconds), .number = true },
  };
  sk_log_line(w->engine->log, SK_LOG_INFO, on_cpu ? SK_STR_LIT("running, on the CPU") : SK_STR_LIT("running"), facts,
              4);
}

void sk_engine_trace(struct sk_engine *e) {
  int64_t now = sk_clock_mono_ms();
  sk_logf(e->log, SK_LOG_INFO, "running jobs: %zu held, %zu waiting for a worker, %zu being settled", e->runs_n,
          e->local_n, e->settling_n + e->settles_runs);
  SK_LIST_EACH (wn, &e->workers) {
    struct sk_worker *w = SK_WORKER_OF(wn);
    SK_LIST_EACH (rn, &w->runs) {
      const struct sk_run *run = SK_RUN_OF(rn);
      if (sk_run_has_started(run)) trace_run(run, w, now);
    }
    if (w->pipe_closed) continue;
    struct sk_buf *out = sk_pipe_out(w->pipe);
    sk_wire_end(out, sk_wire_begin(out, SK_FRAME_TRACE));
  }
}

/* -- start ------------------------------------------------------------------------------------------------------------------------------- */

static void on_added(void *ctx, const struct sk_enqueue_item *items, size_t n, int64_t due_in_ms) {
  if (items == NULL) sk_fetch_wake_all(ctx);
  for (size_t i = 0; i < n; i++)
    if (i == 0 || !sk_str_eq(items[i].queue, items[i - 1].queue)) sk_fetch_queue_due(ctx, items[i].queue, due_in_ms);
}

static void on_cancelled(void *ctx) { sk_fetch_wake_stops(ctx); }

static void on_requests_idle(void *ctx) { sk_engine_wake(ctx); }

static void on_settle_retry(void *ctx) { sk_engine_wake(ctx); }

static enum sk_code open_store(struct sk_engine *e, struct sk_err *err) {
  struct sk_store_options o = e->options.store;
  o.engine = sk_str(e->id, SK_ID_BYTES);
  o.log = e->log;
  struct sk_store_events events = {
    .changed = on_store_changed, .queues_changed = on_queues_changed, .beat_now = on_beat_now, .ctx = e
  };
  enum sk_code code = sk_store_open(e->loop, &o, &events, &e->store, err);
  if (code == SK_OK) sk_requests_use(e->requests, e->store);
  return code;
}

/* All that needs memory and neither the store nor a process. */
static enum sk_code make_parts(struct sk_engine *e, struct sk_err *err) {
  e->turn = sk_defer_new(e->loop, on_turn, e);
  e->tasks = sk_tasks_new();
  e->beat = calloc(1, sizeof *e->beat);
  e->beat_timer = sk_timer_new(e->loop, on_beat_timer, e);
  e->shutdown = sk_timer_new(e->loop, on_shutdown_timer, e);
  e->settle_retry = sk_timer_new(e->loop, on_settle_retry, e);
  if (!e->turn || !e->tasks || !e->beat || !e->beat_timer || !e->shutdown || !e->settle_retry)
    return sk_err_set(err, SK_ENOMEM, "engine: out of memory");
  struct sk_requests_options o = { .loop = e->loop,
                                   .args_bytes_max = e->options.args_bytes_max,
                                   .added = on_added,
                                   .cancelled = on_cancelled,
                                   .blocked = sk_intake_blocked,
                                   .idle = on_requests_idle,
                                   .ctx = e };
  e->requests = sk_requests_new(&o, err);
  if (e->requests == NULL) return err->code;
  enum sk_code code = sk_fetch_init(e, err);
  if (code == SK_OK) code = sk_dispatch_init(e, err);
  if (code == SK_OK) code = sk_supervisor_init(e, err);
  if (code == SK_OK) code = sk_deadline_init(e, err);
  if (code == SK_OK) code = sk_janitor_init(e, err);
  return code;
}

static void free_engine(struct sk_engine *e) {
  sk_janitor_fini(e);
  sk_deadline_fini(e);
  sk_supervisor_fini(e);
  sk_dispatch_fini(e);
  sk_fetch_fini(e);
  struct sk_list *n;
  while ((n = sk_list_pop(&e->settling)) != NULL) sk_run_free(SK_RUN_OF(n));
  while ((n = sk_list_pop(&e->set_aside)) != NULL) sk_run_free(SK_RUN_OF(n)); /* the store's close hands them back */
  sk_requests_free(e->requests);
  sk_tasks_free(e->tasks);
  sk_timer_free(e->beat_timer);
  sk_timer_free(e->shutdown);
  sk_timer_free(e->settle_retry);
  sk_defer_free(e->turn);
  free(e->beat);
  free(e);
}

/* FNV-1a, 64 bits: a word that is the same for the same application. */
static void name_owner(struct sk_engine *e, struct sk_str application) {
  uint64_t hash = UINT64_C(14695981039346656037);
  if (application.n == 0) return;
  for (size_t i = 0; i < application.n; i++) hash = (hash ^ (unsigned char)application.p[i]) * UINT64_C(1099511628211);
  snprintf(e->owner, sizeof e->owner, "%016" PRIx64, hash);
}

enum sk_code sk_engine_new(struct sk_loop *loop, const struct sk_engine_options *options, struct sk_engine **out,
                           struct sk_err *err) {
  struct sk_engine *e = calloc(1, sizeof *e);
  if (e == NULL) return sk_err_set(err, SK_ENOMEM, "engine: out of memory");
  e->options = *options;
  e->loop = loop;
  e->log = options->log;
  e->totals.started_ms = sk_clock_mono_ms();
  sk_list_init(&e->local);
  sk_list_init(&e->suspects);
  sk_list_init(&e->mourners);
  sk_list_init(&e->progress);
  sk_list_init(&e->workers);
  sk_settle_init(e);
  e->random.state = sk_id_random();
  e->beaten_ms = e->totals.started_ms;
  sk_id_next(&e->idgen, sk_clock_wall_ms(), e->id);
  name_owner(e, options->application);
  enum sk_code code = make_parts(e, err);
  if (code == SK_OK) code = open_store(e, err);
  if (code != SK_OK) {
    free_engine(e);
    return code;
  }
  if (options->opened) options->opened(options->ctx);
  *out = e; /* from here on the store has to be closed on the loop: a failure is a stop */
  code = sk_supervisor_start(e, err);
  if (code == SK_OK)
    sk_timer_start(e->beat_timer, 0);
  else
    sk_engine_fail(e, err);
  return SK_OK;
}

void sk_engine_free(struct sk_engine *e) {
  assert(e->stopped && sk_list_empty(&e->workers) && sk_list_empty(&e->local) && sk_list_empty(&e->suspects) &&
         sk_list_empty(&e->mourners));
  free_engine(e);
}

enum sk_code sk_engine_outcome(const struct sk_engine *e, struct sk_err *err) {
  if (e->failure.code != SK_OK) *err = e->failure;
  return e->failure.code;
}

bool sk_engine_left(const struct sk_engine *e) { return e->left; }

const struct sk_engine_totals *sk_engine_totals(const struct sk_engine *e) { return &e->totals; }
