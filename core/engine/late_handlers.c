/* late_handlers.c - handlers for attempts that ended without them: by a hard timeout, a crash, an expiry, an unknown
 * task.
 *
 * The job's end is decided (settle.c).  Before it is stored, the run goes once more to a worker, any one that is ready,
 * which runs the handlers that the scripts have for such an end.  The job counts as running meanwhile, and this costs
 * it no attempt.  The decision stands whatever the handlers do, and also when they do not run in time. */
#include "base/clock.h"
#include "base/limits.h"
#include "engine/state.h"
#include "logic/wire.h"

static bool ended_without_handlers(const struct sk_run *run) {
  switch (run->ending) {
  case SK_END_FAILED: return run->no_handlers_ran;
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

/* The SK_HOOK_* that the decision calls for; 0: none. */
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

bool sk_late_handlers_are_due(const struct sk_run *run) {
  if (!ended_without_handlers(run)) return false;
  unsigned hook = hook_of(run);
  return hook != 0 && (sk_tasks_hooks(run->engine->tasks, run->task) & (hook | SK_HOOK_EVENT)) != 0;
}

void sk_late_handlers_begin(struct sk_run *run) {
  run->late = true;
  run->late_since_ms = sk_clock_mono_ms();
  run->timeout_ms = SK_LATE_HANDLERS_MS;
  sk_run_wait(run, false);
}

void sk_late_handlers_end(struct sk_run *run) {
  run->late = false;
  sk_run_settle(run);
}

void sk_late_handlers_skip(struct sk_run *run, const char *why) {
  sk_logf(run->engine->log, SK_LOG_ERROR, "job %.*s: %s; it is %s all the same", SK_STR_ARG(run->id), why,
          hook_of(run) == SK_HOOK_ERROR ? "tried again" : "dead");
  sk_late_handlers_end(run);
}

struct sk_run *sk_late_handlers_next(struct sk_engine *e, int64_t since_ms) {
  if (sk_list_empty(&e->late)) return NULL;
  struct sk_run *run = SK_RUN_OF(e->late.next);
  if (run->late_since_ms > since_ms) return NULL;
  sk_run_take(run);
  return run;
}

static void skip_waiting(struct sk_engine *e, int64_t since_ms, const char *why) {
  struct sk_run *run;
  while ((run = sk_late_handlers_next(e, since_ms)) != NULL) sk_late_handlers_skip(run, why);
}

void sk_late_handlers_give_up(struct sk_engine *e) {
  skip_waiting(e, INT64_MAX, "the engine stops before its handlers could run");
}

void sk_late_handlers_check(struct sk_engine *e) {
  skip_waiting(e, sk_clock_mono_ms() - SK_LATE_HANDLERS_MS, "no worker has had room for its handlers in time");
}
