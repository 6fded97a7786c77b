/* reap.c - what becomes of the jobs of a dead worker.
 *
 *   offered, not started        It waits for another worker, as if nothing had happened.
 *   told that it is cancelled   It is cancelled.
 *   the core killed the worker  The culprit, past its hard timeout, has failed.  The others are handed back,
 *                               and it costs them nothing.
 *   the worker died by itself   The job on the CPU (slot_page.h) is the culprit and counts a crash.  If none was there,
 *                               each suspect that had started counts one (dispatch.c: there is mostly one of them).
 *                               Without a suspect, each job that had started does.
 *   killed for its memory       The same, as of the moment of the kill. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "engine/state.h"

void sk_reap_describe(const struct sk_worker *w, char how[SK_REAP_HOW_BYTES]) {
  if (w->killed == SK_KILL_MEMORY)
    snprintf(how, SK_REAP_HOW_BYTES, "was over memory_max (%" PRIu64 " bytes) and was killed",
             w->engine->options.memory_max);
  else if (w->killed == SK_KILL_BROKEN)
    snprintf(how, SK_REAP_HOW_BYTES, "sent a frame without sense and was killed");
  else if (w->term_signal)
    snprintf(how, SK_REAP_HOW_BYTES, "died of signal %d (%s)", w->term_signal, strsignal(w->term_signal));
  else
    snprintf(how, SK_REAP_HOW_BYTES, "exited with status %d", w->exit_status);
}

static void settle_timed_out(struct sk_run *run, struct sk_outcome *o) {
  char message[160];
  snprintf(message, sizeof message, "timed out after %.10g s and did not stop: its worker was killed",
           (double)run->timeout_ms / 1000.0);
  o->ending = SK_END_FAILED;
  o->kind = SK_KIND_TIMEOUT;
  o->message = sk_str_c(message);
  run->no_handlers_ran = true;
  sk_settle(run, o);
}

static void settle_crashed(struct sk_run *run, struct sk_outcome *o, const char *how) {
  char message[200];
  snprintf(message, sizeof message, "its worker %s while it ran (crash %" PRId64 " of %" PRId64 ")", how,
           run->job.crashes + 1, run->engine->options.policy.crashes_max);
  o->ending = SK_END_CRASHED;
  o->message = sk_str_c(message);
  sk_settle(run, o);
}

/* A run whose late handlers ran, or were to run, in that worker. */
static void reap_late(struct sk_run *run, bool started, const char *how) {
  char why[200];
  snprintf(why, sizeof why, "the worker that ran its handlers %s", how);
  sk_run_take(run);
  if (started)
    sk_late_handlers_skip(run, why);
  else
    sk_run_wait(run, true);
}

/* Takes the run out of its dead worker, and settles it or lets it wait for another worker. */
static void reap_run(struct sk_run *run, const struct sk_worker *w, bool culprit, const char *how) {
  struct sk_engine *e = run->engine;
  int64_t now = sk_clock_mono_ms();
  bool started = sk_run_has_started(run);
  if (run->late) {
    reap_late(run, started, how);
    return;
  }
  int64_t started_ms = started ? sk_slot_page_started_ms(w->slot_page, run->slot, now) : 0;
  struct sk_outcome o = { .ending = SK_END_HANDED_BACK, .delay_ms = SK_UNSET };
  if (started_ms > 0) o.started_ms = started_ms + sk_engine_now_ms(e) - now;
  sk_run_take(run);
  if (!started)
    sk_run_wait(run, true);
  else if (run->cancelled_ms > 0)
    sk_settle_cancelled(run, o.started_ms);
  else if (!culprit)
    sk_settle(run, &o);
  else if (w->killed != SK_KILL_TIMEOUT)
    settle_crashed(run, &o, how);
  else if (run->timeout_ms > 0 && now - started_ms >= run->timeout_ms)
    settle_timed_out(run, &o);
  else
    settle_crashed(run, &o, "was killed because this job kept the CPU past its neighbours' hard timeouts");
}

/* No job is to blame when the core killed the worker for a reason of its own, or a service manager kills the whole
 * service. */
static bool died_by_itself(const struct sk_worker *w) {
  switch (w->killed) {
  case SK_KILL_NONE: return !(w->engine->stopping && w->term_signal == SIGKILL);
  case SK_KILL_MEMORY:
  case SK_KILL_BROKEN: return true;
  case SK_KILL_TIMEOUT:
  case SK_KILL_UNREACHABLE:
  case SK_KILL_SHUTDOWN: break;
  }
  return false;
}

/* The run on the CPU; NULL: none is. */
static const struct sk_run *running_in(const struct sk_worker *w) {
  uint32_t running = atomic_load(&w->slot_page->running);
  const struct sk_run *run = running > 0 && running <= w->slots_n ? w->by_slot[running - 1] : NULL;
  return run && sk_run_has_started(run) ? run : NULL;
}

static bool has_started_suspect(const struct sk_worker *w) {
  bool any = false;
  SK_LIST_EACH (n, &w->runs) any |= sk_run_is_suspect(SK_RUN_OF(n)) && sk_run_has_started(SK_RUN_OF(n));
  return any;
}

void sk_reap_runs(struct sk_worker *w) {
  bool by_itself = died_by_itself(w), suspects = has_started_suspect(w);
  const struct sk_run *on_cpu = running_in(w), *guilty = w->culprit;
  char how[SK_REAP_HOW_BYTES];
  sk_reap_describe(w, how);
  for (struct sk_list *n = w->runs.prev, *prev = n->prev; n != &w->runs; n = prev, prev = n->prev) {
    struct sk_run *run = SK_RUN_OF(n);
    bool culprit = on_cpu ? run == on_cpu : !suspects || sk_run_is_suspect(run);
    reap_run(run, w, by_itself ? culprit : run == guilty, how);
  }
}
