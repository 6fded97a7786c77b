/* engine.c - puts the parts together: the turn, the stop, the start.  See engine.h; state.h tells the parts. */
#include "engine/engine.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "engine/state.h"
#include "logic/wire.h"

/* -- stop ---------------------------------------------------------------------------------------------------------- */

static void on_store_closed(void *ctx) {
  struct sk_engine *e = ctx;
  if (e->stopped) return; /* the engine did not wait for it */
  sk_timer_stop(e->shutdown);
  e->closing_store = NULL;
  e->stopped = true;
  e->options.stopped(e->options.ctx);
}

/* The engine has stopped when no worker is left, every run is settled and the store has answered every call. */
static void check_stopped(struct sk_engine *e) {
  if (e->closing || !sk_list_empty(&e->workers) || sk_engine_runs_n(e) > 0) return;
  if (!sk_settle_idle(e) && !e->give_up) return;
  if (e->fetching || e->beating || e->counting || e->declaring || e->drain_counting || e->progress_in_flight ||
      e->settles_in_flight)
    return;
  sk_requests_stop(e->requests);
  if (!sk_requests_idle(e->requests)) return;
  e->closing = true;
  sk_timer_stop(e->beat_timer);
  sk_settle_log_given_up(e);
  e->closing_store = e->store;
  e->store = NULL;
  e->closing_store->ops->close(e->closing_store, on_store_closed, e);
}

/* The store does not answer: has it fail the calls under way now, and makes no more. */
static void hurry_store(struct sk_engine *e) {
  struct sk_store *store = e->store ? e->store : e->closing_store;
  e->give_up = true;
  if (store) store->ops->hurry(store);
}

/* The store does not end even so: the process ends without it. */
static void leave_store(struct sk_engine *e) {
  sk_logf(e->log, SK_LOG_ERROR, "the store does not come to an end; stopping without it");
  if (!e->closing) sk_settle_log_given_up(e);
  e->stopped = e->left = true;
  e->options.stopped(e->options.ctx);
}

/* The steps of a stop that takes too long: kill the workers, abandon those that do not die, hurry the store, leave it.
 */
static void on_shutdown_timer(void *ctx) {
  struct sk_engine *e = ctx;
  sk_timer_start(e->shutdown, SK_STOP_STEP_MS);
  sk_late_handlers_give_up(e);
  if (!e->killing) {
    e->killing = true;
    if (!sk_list_empty(&e->workers))
      sk_logf(e->log, SK_LOG_WARN, "shutdown_timeout is over: jobs that still run are handed back");
    sk_worker_kill_all(e);
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
    sk_worker_drain_all(e); /* the turn hands back the jobs that have not started (dispatch.c) */
    sk_timer_start(e->shutdown, e->options.shutdown_timeout_ms);
  }
  if ((now || !first) && !e->killing) {
    e->killing = true;
    sk_worker_kill_all(e);
    sk_timer_start(e->shutdown, SK_STOP_STEP_MS);
  }
  sk_engine_wake(e);
}

/* -- the turn ------------------------------------------------------------------------------------------------------ */

/* The store works again after a failure: tries at once the calls that failed too, each of them once until it works. */
static void hurry_late_chores(struct sk_engine *e) {
  unsigned late = e->troubles & ~e->hurried;
  e->hurried |= late;
  if ((late & 1u << SK_CHORE_BEAT) && !e->beating && !e->stopping) sk_lease_renew(e);
  if (late & 1u << SK_CHORE_SETTLE) sk_timer_stop(e->settle_retry);
}

/* Does what outage.c has asked for. */
static void after_outage(struct sk_engine *e) {
  if (!e->works_again) return;
  e->works_again = false;
  sk_fetch_retry(e);
  hurry_late_chores(e);
  if (!e->outage_over) return;
  e->outage_over = false;
  sk_requests_changed(e->requests); /* events that clients wait for may have been lost */
  sk_wake_all_queues(e);
  sk_wake_cancels(e);
}

/* The turn runs once before the loop waits, when a callback of this loop turn has asked for it.  Its order:
 *
 *   1. the end       a failure or the end of a drain stops the engine before more work is begun
 *   2. after_outage  so that the parts below try again in this turn
 *   3. intake        requests of workers come first: a worker waits for each of them
 *   4. dispatch      waiting runs go to workers; late handlers and runs that were taken back go before new ones
 *   5. settle        sends the runs that have ended; the store takes it before the fetch, so the slots and locks of
 *                    these jobs are free for the jobs that are fetched
 *   6. fetch         sees the slots that dispatch has left free
 *   7. progress      reports of running jobs, the least urgent ones
 *   8. janitor       starts to look often when dispatch has given a worker its first job
 *   9. the end       is all done that a drain, or a stop, waits for?
 *
 * No part waits, and each one does as much as its bounds allow: dispatch.c gives each waiting job away once and moves
 * none back; settle.c, intake.c and progress.c send what they have within their limits; fetch.c sends one operation.
 * The callbacks of these operations ask for the next turn, so that other events have their turn first. */
static void on_turn(void *ctx) {
  struct sk_engine *e = ctx;
  if (e->failure.code != SK_OK && !e->killing) sk_engine_stop(e, true);
  if (sk_drain_is_over(e) && !e->stopping) sk_engine_stop(e, false);
  after_outage(e);
  sk_intake_turn(e);
  sk_dispatch_turn(e);
  sk_settle_turn(e);
  sk_fetch_turn(e);
  sk_progress_turn(e);
  sk_janitor_turn(e);
  sk_drain_check(e);
  if (e->stopping) check_stopped(e);
}

/* -- events of the store ------------------------------------------------------------------------------------------- */

static void on_store_changed(void *ctx) {
  struct sk_engine *e = ctx;
  sk_wake_all_queues(e);
  sk_wake_cancels(e);
  sk_requests_changed(e->requests);
}

static void on_queues_changed(void *ctx, const struct sk_str *queues, size_t n, bool cancels) {
  struct sk_engine *e = ctx;
  for (size_t i = 0; i < n; i++) sk_wake_queue(e, queues[i], 0);
  if (cancels) sk_wake_cancels(e);
  sk_requests_changed(e->requests);
}

static void on_beat_now(void *ctx) { sk_lease_renew(ctx); }

/* -- signals ------------------------------------------------------------------------------------------------------- */

void sk_engine_hold(struct sk_engine *e, bool paused) {
  if (e->fetching_paused == paused) return;
  e->fetching_paused = paused;
  sk_logf(e->log, SK_LOG_INFO, paused ? "stopped fetching" : "fetching again");
  if (!paused) sk_wake_fetch(e);
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
  sk_wake_fetch(e);
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
  sk_logf(e->log, SK_LOG_INFO, "running jobs: %zu held, %zu waiting for a worker, %zu being settled",
          sk_engine_runs_n(e), e->local_n, e->settling_n + e->settles_runs);
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

/* -- start --------------------------------------------------------------------------------------------------------- */

static void on_added(void *ctx, const struct sk_enqueue_item *items, size_t n, int64_t due_in_ms) {
  if (items == NULL) sk_wake_all_queues(ctx);
  for (size_t i = 0; i < n; i++)
    if (i == 0 || !sk_str_eq(items[i].queue, items[i - 1].queue)) sk_wake_queue(ctx, items[i].queue, due_in_ms);
}

static void on_cancelled(void *ctx) { sk_wake_cancels(ctx); }

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

/* Makes the parts that need memory, and neither the store nor a process. */
static enum sk_code make_parts(struct sk_engine *e, struct sk_err *err) {
  e->turn = sk_defer_new(e->loop, on_turn, e);
  e->tasks = sk_tasks_new();
  e->shutdown = sk_timer_new(e->loop, on_shutdown_timer, e);
  e->settle_retry = sk_timer_new(e->loop, on_settle_retry, e);
  if (!e->turn || !e->tasks || !e->shutdown || !e->settle_retry)
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
  if (code == SK_OK) code = sk_supervisor_init(e, sk_worker_frames_bytes, err);
  if (code == SK_OK) code = sk_deadline_init(e, err);
  if (code == SK_OK) code = sk_janitor_init(e, err);
  if (code == SK_OK) code = sk_lease_init(e, err);
  return code;
}

static void free_engine(struct sk_engine *e) {
  sk_lease_fini(e);
  sk_janitor_fini(e);
  sk_deadline_fini(e);
  sk_supervisor_fini(e);
  sk_dispatch_fini(e);
  sk_fetch_fini(e);
  while (!sk_list_empty(&e->settling)) sk_run_free(SK_RUN_OF(e->settling.next));
  while (!sk_list_empty(&e->set_aside))
    sk_run_free(SK_RUN_OF(e->set_aside.next)); /* the store's close hands them back */
  sk_requests_free(e->requests);
  sk_tasks_free(e->tasks);
  sk_timer_free(e->shutdown);
  sk_timer_free(e->settle_retry);
  sk_defer_free(e->turn);
  free(e);
}

/* Names the owner of the declared tasks: a digest (FNV-1a, 64 bits) of the application. */
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
  sk_list_init(&e->late);
  sk_list_init(&e->progress);
  sk_list_init(&e->workers);
  sk_settle_init(e);
  e->random.state = sk_id_random();
  sk_id_next(&e->idgen, sk_clock_wall_ms(), e->id);
  name_owner(e, options->application);
  enum sk_code code = make_parts(e, err);
  if (code == SK_OK) code = open_store(e, err);
  if (code != SK_OK) {
    free_engine(e);
    return code;
  }
  if (options->opened) options->opened(options->ctx);
  *out = e; /* the store must be closed on the loop from here on, so a failure is a stop */
  code = sk_supervisor_start(e, err);
  if (code == SK_OK)
    sk_lease_renew(e);
  else
    sk_engine_fail(e, err);
  return SK_OK;
}

void sk_engine_free(struct sk_engine *e) {
  assert(e->stopped && sk_list_empty(&e->workers) && sk_list_empty(&e->local) && sk_list_empty(&e->suspects) &&
         sk_list_empty(&e->late));
  free_engine(e);
}

enum sk_code sk_engine_outcome(const struct sk_engine *e, struct sk_err *err) {
  if (e->failure.code != SK_OK) *err = e->failure;
  return e->failure.code;
}

bool sk_engine_left(const struct sk_engine *e) { return e->left; }

const struct sk_engine_totals *sk_engine_totals(const struct sk_engine *e) { return &e->totals; }
