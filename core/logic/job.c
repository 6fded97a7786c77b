/* job.c - names of states and kinds; see job.h. */
#include "logic/job.h"

static const char *const STATE_NAMES[SK_STATES] = { "unknown", "scheduled", "ready", "running",
                                                    "retry",   "done",      "dead",  "cancelled" };
static const char *const KIND_NAMES[SK_KINDS] = { "none",         "error", "timeout", "crash",    "expired",
                                                  "unknown_task", "fail",  "result",  "cancelled" };

const char *sk_state_name(enum sk_state state) { return (unsigned)state < SK_STATES ? STATE_NAMES[state] : "unknown"; }

enum sk_state sk_state_parse(struct sk_str name) {
  for (int i = SK_STATE_SCHEDULED; i < SK_STATES; i++)
    if (sk_str_eq_c(name, STATE_NAMES[i])) return (enum sk_state)i;
  return SK_STATE_NONE;
}

const char *sk_error_kind_name(enum sk_error_kind kind) {
  return (unsigned)kind < SK_KINDS ? KIND_NAMES[kind] : "error";
}

void sk_job_init(struct sk_job *job) {
  *job = (struct sk_job){
    .retries = SK_UNSET,
    .timeout_ms = SK_UNSET,
    .keep_ms = SK_UNSET,
    .expires_ms = SK_UNSET,
    .keep_dead = SK_UNSET,
    .immutable = SK_UNSET,
  };
}

void sk_job_move_times(struct sk_job *job, int64_t now_ms) {
  if (job->expires_ms != SK_UNSET && job->enqueued_ms > 0) {
    int64_t span_ms = job->expires_ms - job->enqueued_ms;
    job->expires_ms = span_ms <= -now_ms ? 0 : span_ms > INT64_MAX - now_ms ? INT64_MAX : now_ms + span_ms;
  }
  job->enqueued_ms = now_ms;
}

void sk_job_start_anew(struct sk_job *job, int64_t now_ms) {
  sk_job_move_times(job, now_ms);
  job->attempts = job->crashes = job->unknowns = 0;
  job->finished_ms = 0;
}
