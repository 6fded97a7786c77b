/* rules.c - see rules.h. */
#include "logic/rules.h"

/* -- states -------------------------------------------------------------------------------------------------------- */

bool sk_state_waits(enum sk_state state) {
  return state == SK_STATE_SCHEDULED || state == SK_STATE_READY || state == SK_STATE_RETRY;
}

int64_t sk_states_waiting(const int64_t states[SK_STATES]) {
  return states[SK_STATE_SCHEDULED] + states[SK_STATE_READY] + states[SK_STATE_RETRY];
}

#define BIT(state) (1u << (state))

bool sk_verb_takes(enum sk_verb verb, enum sk_state state) {
  static const unsigned STATES_OF[SK_VERBS] = {
    [SK_VERB_CANCEL] = BIT(SK_STATE_SCHEDULED) | BIT(SK_STATE_READY) | BIT(SK_STATE_RETRY) | BIT(SK_STATE_RUNNING),
    [SK_VERB_DELETE] = BIT(SK_STATE_SCHEDULED) | BIT(SK_STATE_READY) | BIT(SK_STATE_RETRY) | BIT(SK_STATE_DONE) |
                       BIT(SK_STATE_DEAD) | BIT(SK_STATE_CANCELLED),
    [SK_VERB_RETRY] = BIT(SK_STATE_DEAD) | BIT(SK_STATE_RETRY) | BIT(SK_STATE_CANCELLED),
    [SK_VERB_PROMOTE] = BIT(SK_STATE_SCHEDULED) | BIT(SK_STATE_RETRY),
  };
  return (STATES_OF[verb] & BIT(state)) != 0;
}

/* -- settle -------------------------------------------------------------------------------------------------------- */

int64_t *sk_settle_counter(struct sk_counters *counters, enum sk_settle_kind kind) {
  switch (kind) {
  case SK_SETTLE_DONE: return &counters->done;
  case SK_SETTLE_RETRY: return &counters->retried;
  case SK_SETTLE_DEAD: return &counters->dead;
  case SK_SETTLE_DROP: return &counters->discarded;
  case SK_SETTLE_CANCELLED: return &counters->cancelled;
  case SK_SETTLE_SNOOZE:
  case SK_SETTLE_RELEASE: break;
  }
  return NULL;
}

void sk_settle_count(struct sk_counters *counters, enum sk_settle_kind kind, bool crashed) {
  int64_t *counter = sk_settle_counter(counters, kind);
  if (counter != NULL) ++*counter;
  if (crashed) counters->crashed++;
}

bool sk_settle_deletes(enum sk_settle_kind kind, int64_t keep_ms) {
  if (kind == SK_SETTLE_DROP) return true;
  return (kind == SK_SETTLE_DONE || kind == SK_SETTLE_CANCELLED) && keep_ms <= 0;
}

bool sk_settle_refused_when_stopping(enum sk_settle_kind kind) {
  return kind == SK_SETTLE_RETRY || kind == SK_SETTLE_SNOOZE || kind == SK_SETTLE_DEAD;
}

/* -- the start and the end of an attempt --------------------------------------------------------------------------- */

enum sk_refusal sk_start_refusal(const struct sk_job *job, const struct sk_job *task, int64_t now_ms) {
  if (task == NULL) return SK_REFUSAL_UNKNOWN_TASK;
  return sk_job_is_expired(job, task, now_ms) ? SK_REFUSAL_EXPIRED : SK_REFUSAL_NONE;
}

enum sk_ending sk_ending_of(enum sk_verdict verdict, enum sk_error_kind kind) {
  static const enum sk_ending ENDING_OF[SK_VERDICTS] = {
    [SK_VERDICT_RETRY] = SK_END_FAILED,        [SK_VERDICT_DEAD] = SK_END_FATAL,
    [SK_VERDICT_DISCARD] = SK_END_DISCARDED,   [SK_VERDICT_SNOOZE] = SK_END_SNOOZED,
    [SK_VERDICT_STOPPED] = SK_END_HANDED_BACK,
  };
  return kind == SK_KIND_CANCELLED ? SK_END_CANCELLED : ENDING_OF[verdict];
}

/* -- admission ----------------------------------------------------------------------------------------------------- */

/* Room in the queue once the holder is gone, if it is to go; a full queue may make room by dropping a READY job. */
static void check_room(const struct sk_admission_facts *f, struct sk_admission *a) {
  bool leaves = a->replaces_holder && f->holder_in_queue;
  if (f->is_callback || f->max_len == 0 || f->waiting - leaves < f->max_len) return;
  int64_t ready = f->ready - (leaves && f->holder_state == SK_STATE_READY);
  if (f->overflow == SK_OVERFLOW_DROP_OLDEST && ready > 0)
    a->drops_oldest = true;
  else
    *a = (struct sk_admission){ .status = SK_ELIMIT };
}

struct sk_admission sk_admission(const struct sk_admission_facts *f) {
  struct sk_admission a = { .status = SK_OK };
  if (f->id_there) return (struct sk_admission){ .status = SK_EEXISTS };
  if (f->lock_mode != SK_LOCK_NONE && f->lock_held) {
    if (f->lock_mode != SK_LOCK_REPLACE) return (struct sk_admission){ .status = SK_EEXISTS, .refused_by_lock = true };
    a.replaces_holder = sk_state_waits(f->holder_state);
  }
  check_room(f, &a);
  return a;
}
