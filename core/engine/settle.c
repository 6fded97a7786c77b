/* settle.c - the ONE way out of "running".
 *
 * Every end of an attempt comes here as an outcome.  The rules (logic/transition.c) decide what becomes of the job.
 * The run then waits in e->settling, and each turn sends the waiting runs in batches.  A batch that the store could not
 * take is sent again for as long as it takes: a finished job is never forgotten while this process lives.
 *
 *   SK_ESTALE    The store gave the job to another engine meanwhile: this settle changed nothing, and must not.
 *   SK_ESTATE    The job was cancelled while it ran: it is settled again, as cancelled. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "engine/state.h"
#include "logic/record.h"
#include "logic/history.h"

enum { SETTLE_BATCH = 512, SETTLES_IN_FLIGHT_MAX = 2 };

struct sk_settle_batch {
  struct sk_settle_op op;
  struct sk_engine *engine;
  size_t n, bytes;
  struct sk_settle_item items[SETTLE_BATCH];
  struct sk_run *runs[SETTLE_BATCH];
};

/* Copies the texts of the outcome, which may point into a frame, into the run.  False when memory is out. */
static bool own_outcome(struct sk_run *run, struct sk_outcome *o) {
  size_t bytes = o->result.n + o->message.n + o->traceback.n;
  if (!sk_buf_reserve(&run->outcome_text, bytes)) return false;
  struct sk_str *parts[] = { &o->result, &o->message, &o->traceback };
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    size_t at = run->outcome_text.n;
    if (parts[i]->n == 0) continue;
    sk_buf_add_str(&run->outcome_text, *parts[i]);
    *parts[i] = sk_str(run->outcome_text.p + at, parts[i]->n);
  }
  return true;
}

static bool stores_record(const struct sk_decision *d, const struct sk_outcome *o) {
  switch (d->kind) {
  case SK_SETTLE_DONE:
  case SK_SETTLE_CANCELLED: return d->keep_ms > 0;
  case SK_SETTLE_DROP: return false;
  case SK_SETTLE_RELEASE: return o->ending == SK_END_CRASHED;
  case SK_SETTLE_RETRY:
  case SK_SETTLE_SNOOZE:
  case SK_SETTLE_DEAD: return true;
  }
  return true;
}

/* Adds the end of this attempt to the history of the job, and its lines to the log.  False when memory is out. */
static bool extend_record(struct sk_run *run, const struct sk_outcome *o, int64_t now_ms) {
  struct sk_job *job = &run->job;
  const struct sk_history_end end = { .engine = sk_str(run->engine->id, SK_ID_BYTES),
                                      .worker = run->worker_number,
                                      .started_ms = o->started_ms,
                                      .now_ms = now_ms,
                                      .ending = o->ending,
                                      .decision = &run->decision };
  sk_history_extend(job, &end, &run->story);
  size_t history_n = run->story.n;
  sk_lines_tail(job->log, sk_progress_log(run), SK_JOB_LOG_LINES_MAX, SK_JOB_LOG_BYTES_MAX, &run->story);
  if (run->story.failed) return false;
  job->history = sk_str(run->story.p, history_n);
  job->log = sk_str(run->story.p + history_n, run->story.n - history_n);
  return true;
}

/* Makes the callbacks of this end.  False when memory is out. */
static bool find_callbacks(struct sk_run *run, enum sk_ending ending, int64_t now_ms) {
  const struct sk_engine *e = run->engine;
  return sk_callbacks_new(&(struct sk_callbacks_end){ .job = &run->job,
                                                      .ending = ending,
                                                      .kind = run->decision.kind,
                                                      .now_ms = now_ms,
                                                      .args_bytes_max = e->options.args_bytes_max,
                                                      .log = e->log },
                          &run->callbacks);
}

/* Fills in the decision, the record to store and the callbacks.  False when memory is out. */
static bool decide(struct sk_run *run, struct sk_outcome *o) {
  struct sk_engine *e = run->engine;
  int64_t now_ms = sk_engine_now_ms(e);
  if (!own_outcome(run, o)) return false;
  run->decision = sk_transition(&run->job, run->task ? &run->task->template : NULL, o, &e->options.policy, now_ms,
                                sk_random_next(&e->random));
  if (!find_callbacks(run, o->ending, now_ms)) return false;
  if (!stores_record(&run->decision, o)) return true;
  if (!extend_record(run, o, now_ms)) return false;
  sk_record_encode(&run->job, &run->record);
  return !run->record.failed;
}

void sk_settle(struct sk_run *run, const struct sk_outcome *outcome) {
  struct sk_engine *e = run->engine;
  struct sk_outcome o = *outcome;
  if (!decide(run, &o)) {
    /* An outcome that cannot be written down counts as not happened: the job runs twice and is not lost. */
    sk_logf(e->log, SK_LOG_ERROR, "job %.*s: out of memory for its outcome: it runs again", SK_STR_ARG(run->id));
    sk_buf_fini(&run->record);
    sk_callbacks_free(run->callbacks);
    run->callbacks = NULL;
    run->decision = (struct sk_decision){ .kind = SK_SETTLE_RELEASE };
    o.ending = SK_END_HANDED_BACK;
  }
  run->ending = o.ending;
  run->started_ms = o.started_ms;
  run->surplus = o.ending == SK_END_HANDED_BACK && o.started_ms == 0 && !e->stopping;
  if (o.ending == SK_END_FAILED || o.ending == SK_END_FATAL) e->totals.failed++;
  if (o.ending == SK_END_CRASHED) e->totals.crashed++;
  if (sk_late_handlers_are_due(run))
    sk_late_handlers_begin(run);
  else
    sk_run_settle(run);
}

void sk_settle_unknown(struct sk_run *run) {
  char message[SK_NAME_BYTES_MAX + 64];
  snprintf(message, sizeof message, "no script of this engine declares task \"%.*s\"",
           SK_STR_ARG(sk_str_head(run->job.task, SK_NAME_BYTES_MAX)));
  sk_settle(run,
            &(struct sk_outcome){ .ending = SK_END_UNKNOWN_TASK, .message = sk_str_c(message), .delay_ms = SK_UNSET });
}

void sk_settle_expired(struct sk_run *run) {
  sk_settle(run, &(struct sk_outcome){
                     .ending = SK_END_EXPIRED, .message = SK_STR_LIT(SK_EXPIRED_TEXT), .delay_ms = SK_UNSET });
}

void sk_settle_hand_back(struct sk_run *run) {
  sk_settle(run, &(struct sk_outcome){ .ending = SK_END_HANDED_BACK, .delay_ms = SK_UNSET });
}

void sk_settle_cancelled(struct sk_run *run, int64_t started_ms) {
  sk_settle(run, &(struct sk_outcome){ .ending = SK_END_CANCELLED,
                                       .message = SK_STR_LIT("cancelled"),
                                       .started_ms = started_ms,
                                       .delay_ms = SK_UNSET });
}

void sk_settle_broken(struct sk_run *run, const struct sk_err *why) {
  bool newer = run->broken == SK_EVERSION;
  sk_logf(run->engine->log, SK_LOG_ERROR, "job %.*s: %s; %s", SK_STR_ARG(run->id), why->message,
          newer ? "left for a newer engine" : "moved to the dead jobs");
  run->ending = SK_END_FAILED;
  run->decision = (struct sk_decision){ .kind = newer ? SK_SETTLE_SNOOZE : SK_SETTLE_DEAD,
                                        .delay_ms = newer ? run->engine->options.policy.unknown_delay_ms : 0 };
  if (run->record.failed) run->decision.kind = SK_SETTLE_RELEASE; /* out of memory: the stored record stays as it is */
  sk_run_settle(run);
}

/* -- after a settle ------------------------------------------------------------------------------------------------ */

static void log_attempt(const struct sk_run *run, enum sk_log_level level, const char *what) {
  const struct sk_job *job = &run->job;
  const struct sk_log *log = run->engine->log;
  char attempt[24];
  int n = snprintf(attempt, sizeof attempt, "%" PRId64, job->attempts);
  struct sk_log_fact facts[] = {
    { .key = "job", .value = run->id },
    { .key = "task", .value = job->task },
    { .key = "queue", .value = run->queue },
    { .key = "attempt", .value = sk_str(attempt, (size_t)n), .number = true },
    { .key = "kind", .value = sk_str_c(sk_error_kind_name(job->error_kind)) },
    { .key = "error", .value = job->error },
    { .key = "traceback", .value = job->traceback },
  };
  size_t facts_n = job->error_kind == SK_KIND_NONE ? 4 : log->json && job->traceback.n > 0 ? 7 : 6;
  sk_log_line(log, level, sk_str_c(what), facts, facts_n);
  if (job->traceback.n > 0 && !log->json) sk_log_line(log, SK_LOG_DEBUG, job->traceback, facts, 1);
}

static void applied(struct sk_run *run) {
  struct sk_engine *e = run->engine;
  const struct sk_decision *d = &run->decision;
  char text[96];
  switch (d->kind) {
  case SK_SETTLE_DONE:
    e->totals.done++;
    if (e->log->level <= SK_LOG_DEBUG) log_attempt(run, SK_LOG_DEBUG, "job done");
    break;
  case SK_SETTLE_RETRY:
    e->totals.retried++;
    snprintf(text, sizeof text, "job failed, retry in %.10g s", (double)d->delay_ms / 1000.0);
    log_attempt(run, SK_LOG_WARN, text);
    break;
  case SK_SETTLE_SNOOZE:
    if (run->ending != SK_END_UNKNOWN_TASK) break;
    snprintf(text, sizeof text, "no script declares this task, put back for %.10g s", (double)d->delay_ms / 1000.0);
    log_attempt(run, SK_LOG_WARN, text);
    break;
  case SK_SETTLE_DEAD:
    e->totals.dead++;
    log_attempt(run, SK_LOG_ERROR, "job is dead");
    break;
  case SK_SETTLE_DROP:
    if (run->ending == SK_END_DISCARDED) {
      e->totals.discarded++;
      break;
    }
    e->totals.dead++;
    log_attempt(run, SK_LOG_ERROR, "job is dead and was dropped");
    break;
  case SK_SETTLE_CANCELLED:
    e->totals.cancelled++;
    log_attempt(run, SK_LOG_INFO, "job cancelled");
    break;
  case SK_SETTLE_RELEASE:
    e->totals.released += !run->surplus;
    if (run->ending == SK_END_CRASHED) log_attempt(run, SK_LOG_WARN, "job will run again");
    break;
  }
}

/* True when another job may now have the slot of this one in its limit group or queue. */
static bool frees_slot(const struct sk_run *run) {
  return run->job.limit.n > 0 || sk_tasks_limit_queue(run->engine->tasks, run->queue);
}

/* Logs the callbacks that the store did not add.  The job itself has ended all the same. */
static void tell_refused(const struct sk_run *run) {
  for (size_t i = 0; run->callbacks && i < run->callbacks->n; i++) {
    const struct sk_enqueue_item *item = &run->callbacks->items[i];
    if (item->status == SK_EEXISTS && item->holder.n > 0)
      sk_logf(run->engine->log, SK_LOG_WARN, "job %.*s: its callback %.*s is not added: job %.*s holds its lock",
              SK_STR_ARG(run->id), SK_STR_ARG(item->id), SK_STR_ARG(item->holder));
    else if (item->status == SK_ELIMIT)
      sk_logf(run->engine->log, SK_LOG_ERROR,
              "job %.*s: its callback %.*s is not added: the store takes no job for queue %.*s", SK_STR_ARG(run->id),
              SK_STR_ARG(item->id), SK_STR_ARG(item->queue));
  }
}

static void after(struct sk_run *run) {
  struct sk_engine *e = run->engine;
  const struct sk_decision *d = &run->decision;
  applied(run);
  for (size_t i = 0; run->callbacks && i < run->callbacks->n; i++)
    sk_wake_queue(e, run->callbacks->items[i].queue, run->callbacks->due_in_ms);
  if (frees_slot(run)) sk_wake_all_queues(e);
  if (d->kind == SK_SETTLE_RETRY || d->kind == SK_SETTLE_SNOOZE)
    sk_wake_queue(e, d->to_queue.n ? d->to_queue : run->queue, d->delay_ms);
  else if (d->kind == SK_SETTLE_RELEASE)
    sk_wake_queue(e, run->queue, 0);
  else
    sk_requests_settled(e->requests, run->id);
}

/* -- sending ------------------------------------------------------------------------------------------------------- */

/* For a run that the store calls stale: true when the reason is an earlier settle of it whose answer was lost.  Within
 * the lease no other engine can have taken the job. */
static bool was_settled(const struct sk_run *run) {
  return run->uncertain_ms > 0 && sk_clock_mono_ms() - run->uncertain_ms < run->engine->options.store.lease_ms;
}

/* Settles a job as cancelled that was cancelled while its outcome was on the way. */
static void settle_again(struct sk_run *run) {
  sk_run_undecide(run);
  if (run->broken == SK_OK) {
    sk_settle_cancelled(run, run->started_ms);
    return;
  }
  run->ending = SK_END_CANCELLED;
  run->decision = (struct sk_decision){ .kind = SK_SETTLE_CANCELLED, .keep_ms = SK_CANCELLED_KEEP_MS };
  sk_run_settle(run);
}

/* Puts the runs of a batch in front of the waiting ones, in their order. */
static void send_back(struct sk_settle_batch *b) {
  struct sk_engine *e = b->engine;
  for (size_t i = b->n; i > 0; i--) {
    struct sk_run *run = b->runs[i - 1];
    if (b->op.op.status == SK_EUNKNOWN && run->uncertain_ms == 0) run->uncertain_ms = e->beaten_ms;
    sk_run_send_back(run);
  }
}

/* -- what a store refuses ------------------------------------------------------------------------------------------ */

/* One bad item must not hold up its batch.  A refused batch is sent again in halves until the bad item stands alone.
 * If the store says that the item is wrong, its job becomes dead with that reason.  If a script of the store failed,
 * the job becomes dead when it fails again after the next beat.  A job that cannot even become dead is tried with every
 * beat. */

static bool is_refusal(enum sk_code code) {
  return code == SK_EINVAL || code == SK_ELIMIT || code == SK_ECORRUPT || code == SK_EUNSUPPORTED;
}

/* The end of the job cannot be stored: decides that it is dead, without callbacks. */
static void make_dead(struct sk_run *run, const struct sk_err *why) {
  sk_logf(run->engine->log, SK_LOG_ERROR, "job %.*s: the store refuses its outcome: %s; moved to the dead jobs",
          SK_STR_ARG(run->id), why->message);
  sk_callbacks_free(run->callbacks);
  run->callbacks = NULL;
  run->made_dead = true;
  run->ending = SK_END_FAILED;
  run->decision = (struct sk_decision){ .kind = SK_SETTLE_DEAD };
  if (run->broken != SK_OK) return; /* a record that cannot be read is stored as it is */
  run->job.error = sk_str_c(why->message);
  run->job.error_kind = SK_KIND_FAIL;
  run->job.finished_ms = sk_clock_wall_ms();
  run->job.result = sk_str(NULL, 0);
  sk_buf_clear(&run->record);
  sk_record_encode(&run->job, &run->record);
  run->job.error = sk_str(NULL, 0);
  if (run->record.failed) run->decision.kind = SK_SETTLE_RELEASE; /* out of memory: the stored record stays as it is */
  sk_run_count(run);
}

static void on_refused(struct sk_settle_batch *b) {
  struct sk_engine *e = b->engine;
  const struct sk_err *why = &b->op.op.err;
  if (b->n > 1) {
    e->settle_batch_max = b->n / 2;
    send_back(b);
    return;
  }
  struct sk_run *run = b->runs[0];
  bool item = why->code == SK_EINVAL || why->code == SK_ELIMIT;
  if (!run->made_dead && (item || run->refused)) {
    make_dead(run, why);
    sk_run_settle_dead(run);
    return;
  }
  if (!run->refused)
    sk_logf(e->log, SK_LOG_ERROR, "job %.*s: settling it failed: %s; set aside until the next beat",
            SK_STR_ARG(run->id), why->message);
  run->refused = true;
  sk_run_set_aside(run);
}

static void on_settled(struct sk_op *op, void *ctx) {
  struct sk_settle_batch *b = ctx;
  struct sk_engine *e = b->engine;
  e->settles_in_flight--;
  e->settles_runs -= b->n;
  e->settles_bytes -= b->bytes;
  if (op->status != SK_OK && is_refusal(op->status)) {
    on_refused(b);
  } else if (op->status != SK_OK) {
    send_back(b);
    sk_outage_failed(e, SK_CHORE_SETTLE, &op->err);
    e->settle_backoff_ms = e->settle_backoff_ms ? e->settle_backoff_ms * 2 : SK_STORE_BACKOFF_MIN_MS;
    if (e->settle_backoff_ms > SK_STORE_BACKOFF_MAX_MS) e->settle_backoff_ms = SK_STORE_BACKOFF_MAX_MS;
    int64_t jitter = (int64_t)(sk_random_next(&e->random) % (uint64_t)(e->settle_backoff_ms / 2 + 1));
    sk_timer_start(e->settle_retry, e->settle_backoff_ms / 2 + jitter);
  } else {
    sk_outage_works(e, SK_CHORE_SETTLE);
    e->settle_backoff_ms = 0;
    if (e->settle_batch_max < SETTLE_BATCH) e->settle_batch_max *= 2;
    e->drain_check = true;
    for (size_t i = 0; i < b->n; i++) {
      struct sk_run *run = b->runs[i];
      if (b->items[i].status == SK_ESTATE) {
        settle_again(run);
        continue;
      }
      if (b->items[i].status == SK_OK) tell_refused(run);
      if (b->items[i].status == SK_OK || was_settled(run)) {
        after(run);
      } else if (run->ending != SK_END_HANDED_BACK) {
        e->totals.stale++;
        sk_logf(e->log, SK_LOG_WARN, "job %.*s was given to another engine meanwhile; its outcome here does not count",
                SK_STR_ARG(run->id));
      }
      sk_run_free(run);
    }
  }
  sk_op_fini(op);
  free(b);
  sk_engine_wake(e);
}

static struct sk_settle_item item_of(const struct sk_run *run) {
  const struct sk_decision *d = &run->decision;
  struct sk_settle_item item = {
    .id = run->id,
    .queue = run->queue,
    .fence = run->fence,
    .kind = d->kind,
    .record = sk_buf_str(&run->record),
    .to_queue = d->to_queue,
    .delay_ms = d->delay_ms,
    .keep_ms = d->keep_ms,
    .crashed = run->ending == SK_END_CRASHED,
  };
  if (run->callbacks) {
    item.callbacks = run->callbacks->items;
    item.callbacks_n = run->callbacks->n;
  }
  return item;
}

/* About how many bytes an item puts on the wire. */
static size_t item_bytes(const struct sk_settle_item *item) {
  size_t bytes = item->id.n + item->record.n + 64;
  for (size_t i = 0; i < item->callbacks_n; i++) bytes += item->callbacks[i].record.n + 128;
  return bytes;
}

static bool send_batch(struct sk_engine *e) {
  struct sk_settle_batch *b = malloc(sizeof *b);
  if (b == NULL) return false;
  b->op = (struct sk_settle_op){ .op = { .cb = on_settled, .ctx = b } };
  b->engine = e;
  b->n = b->bytes = 0;
  while (b->n < e->settle_batch_max && e->settling_n > 0) {
    struct sk_run *run = SK_RUN_OF(e->settling.next);
    struct sk_settle_item item = item_of(run);
    size_t bytes = item_bytes(&item);
    if (b->n > 0 && b->bytes + bytes > SK_SETTLE_BYTES_MAX) break;
    sk_run_send(run);
    b->bytes += bytes;
    b->runs[b->n] = run;
    b->items[b->n++] = item;
  }
  e->settles_bytes += b->bytes;
  b->op.items = b->items;
  b->op.items_n = b->n;
  e->settles_in_flight++;
  e->settles_runs += b->n;
  e->store->ops->settle(e->store, &b->op);
  return true;
}

void sk_settle_init(struct sk_engine *e) {
  sk_list_init(&e->settling);
  sk_list_init(&e->set_aside);
  e->settle_batch_max = SETTLE_BATCH;
}

void sk_settle_turn(struct sk_engine *e) {
  if (e->store == NULL || e->give_up || sk_timer_active(e->settle_retry)) return;
  while (e->settling_n > 0 && e->settles_in_flight < SETTLES_IN_FLIGHT_MAX && e->settles_bytes < SK_SETTLE_BYTES_MAX) {
    if (send_batch(e)) continue;
    sk_timer_start(e->settle_retry, SK_STORE_BACKOFF_MIN_MS);
    return;
  }
}

void sk_settle_log_given_up(const struct sk_engine *e) {
  size_t unknown = e->settles_runs;
  SK_LIST_EACH (n, &e->settling) unknown += SK_RUN_OF(n)->uncertain_ms != 0;
  size_t refused = e->settling_n + e->settles_runs - unknown;
  if (refused > 0) sk_logf(e->log, SK_LOG_ERROR, "the store did not take %zu outcomes: those jobs run again", refused);
  if (unknown > 0)
    sk_logf(e->log, SK_LOG_ERROR,
            "the store did not answer for %zu outcomes: it may have taken them, else those jobs run again", unknown);
}

bool sk_settle_idle(const struct sk_engine *e) { return e->settling_n == 0 && e->settles_in_flight == 0; }
