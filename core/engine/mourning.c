/* mourning.c - handlers for attempts that ended without them: a hard timeout, a death by crashes, an expiry, an unknown task.
 *
 * What is to become of such a job is decided (settle.c), but before that is written the run goes once more to a worker, any that is
 * ready, which runs the handlers that the scripts have for it.  Meanwhile it counts as running; it costs no attempt.  Whatever comes
 * of the handlers, and when they have taken too long, the decision stands. */
#include "base/clock.h"
#include "base/limits.h"
#include "engine/state.h"
#include "logic/wire.h"

static bool ended_unheard(const struct sk_run *run) {
  switch (run->ending) {
  case SK_END_FAILED: return run->unheard;
  case SK_END_CRASHED:
  case SK_END_UNKNOWN_TASK:
  case SK_END_EXPIRED: return true;
  case SK_END_RETURNED:
  case SK_END_FATAL:
  case SK_END_DISCARDED:
  case SK_END_SNOOZED:
  case SK_END_CANCELLED:
  case SK_END_HANDED_BACK: break;
  }
  return false;
}

/* SK_HOOK_*; 0: nothing that handlers are for. */
static unsigned hook_of(const struct sk_run *run) {
  switch (run->decision.kind) {
  case SK_SETTLE_RETRY: return SK_HOOK_ERROR;
  case SK_SETTLE_DEAD:
  case SK_SETTLE_DROP: return SK_HOOK_DEATH;
  case SK_SETTLE_DONE:
  case SK_SETTLE_SNOOZE:
  case SK_SETTLE_CANCELLED:
  case SK_SETTLE_RELEASE: break;
  }
  return 0;
}

bool sk_mourning_is_due(const struct sk_run *run) {
  if (!ended_unheard(run)) return false;
  unsigned hook = hook_of(run);
  return hook != 0 && (sk_tasks_hooks(run->engine->tasks, run->task) & (hook | SK_HOOK_EVENT)) != 0;
}

void sk_mourning_begin(struct sk_run *run) {
  run->mourning = true;
  run->mourn_since_ms = sk_clock_mono_ms();
  run->timeout_ms = SK_LATE_HANDLERS_MS;
  sk_dispatch_add(run->engine, run, false);
}

void sk_mourning_over(struct sk_run *run) {
  run->mourning = false;
  sk_settle_decided(run);
}

void sk_mourning_cut(struct sk_run *run, const char *why) {
  sk_logf(run->engine->log, SK_LOG_ERROR, "job %.*s: %s; it is %s all the same", SK_STR_ARG(run->id), why,
          hook_of(run) == SK_HOOK_ERROR ? "tried again" : "dead");
  sk_mourning_over(run);
}

static void cut_waiting(struct sk_engine *e, int64_t since_ms, const char *why) {
  struct sk_run *run;
  while ((run = sk_dispatch_pop_mourner(e, since_ms)) != NULL) sk_mourning_cut(run, why);
}

void sk_mourning_give_up(struct sk_engine *e) {
  cut_waiting(e, INT64_MAX, "the engine stops before its handlers could run");
}

void sk_mourning_check(struct sk_engine *e) {
  cut_waiting(e, sk_clock_mono_ms() - SK_LATE_HANDLERS_MS, "no worker has had room for its handlers in time");
}
