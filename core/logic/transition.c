/* transition.c - see transition.h. */
#include "logic/transition.h"

#include "base/limits.h"
#include "logic/backoff.h"

/* The job's own option where it is set, else its task's, else `otherwise`. */
static int64_t option(int64_t own, const struct sk_job *task, int64_t of_task, int64_t otherwise) {
  if (own != SK_UNSET) return own;
  return task && of_task != SK_UNSET ? of_task : otherwise;
}

int64_t sk_job_retries(const struct sk_job *job, const struct sk_job *task) {
  return option(job->retries, task, task ? task->retries : SK_UNSET, SK_RETRIES_DEFAULT);
}

int64_t sk_job_timeout_ms(const struct sk_job *job, const struct sk_job *task) {
  return option(job->timeout_ms, task, task ? task->timeout_ms : SK_UNSET, 0);
}

bool sk_job_is_expired(const struct sk_job *job, const struct sk_job *task, int64_t now_ms) {
  if (job->expires_ms != SK_UNSET) return now_ms > job->expires_ms;
  return task && task->expires_ms != SK_UNSET && now_ms > job->enqueued_ms + task->expires_ms;
}

static struct sk_str text_option(struct sk_str own, const struct sk_job *task, struct sk_str of_task) {
  return own.n > 0 || task == NULL ? own : of_task;
}

static void note_failure(struct sk_job *job, enum sk_error_kind kind, const struct sk_outcome *o) {
  job->error_kind = kind;
  job->error = sk_str_head(o->message, SK_ERROR_BYTES_MAX);
  job->traceback = sk_str_head(o->traceback, SK_TRACEBACK_BYTES_MAX);
}

/* An attempt has left its error, which says more than that there was no time for another. */
static bool has_failed(const struct sk_job *job) {
  switch (job->error_kind) {
  case SK_KIND_ERROR:
  case SK_KIND_TIMEOUT:
  case SK_KIND_CRASH:
  case SK_KIND_FAIL:
  case SK_KIND_RESULT: return true;
  case SK_KIND_NONE:
  case SK_KIND_EXPIRED:
  case SK_KIND_UNKNOWN_TASK:
  case SK_KIND_CANCELLED: break;
  }
  return false;
}

static struct sk_decision die(struct sk_job *job, const struct sk_job *task, int64_t now_ms) {
  job->finished_ms = now_ms;
  bool keep = option(job->keep_dead, task, task ? task->keep_dead : SK_UNSET, 1) != 0;
  return (struct sk_decision){ .kind = keep ? SK_SETTLE_DEAD : SK_SETTLE_DROP };
}

static struct sk_decision finish(struct sk_job *job, const struct sk_job *task, const struct sk_outcome *o,
                                 int64_t now_ms) {
  job->attempts++;
  job->finished_ms = now_ms;
  job->result = o->result;
  job->error_kind = SK_KIND_NONE;
  job->error = job->traceback = sk_str(NULL, 0);
  int64_t keep = option(job->keep_ms, task, task ? task->keep_ms : SK_UNSET, o->result.n > 0 ? SK_KEEP_DEFAULT_MS : 0);
  return (struct sk_decision){ .kind = SK_SETTLE_DONE, .keep_ms = keep };
}

static struct sk_decision fail(struct sk_job *job, const struct sk_job *task, const struct sk_outcome *o,
                               int64_t now_ms, uint64_t random) {
  int64_t failures = job->attempts++;
  note_failure(job, o->kind == SK_KIND_NONE ? SK_KIND_ERROR : o->kind, o);
  if (failures >= sk_job_retries(job, task)) return die(job, task, now_ms);
  struct sk_str retry_queue = text_option(job->retry_queue, task, task ? task->retry_queue : job->retry_queue);
  if (retry_queue.n > 0) job->queue = retry_queue; /* it lives there from now on */
  struct sk_str backoff = text_option(job->backoff, task, task ? task->backoff : job->backoff);
  return (struct sk_decision){
    .kind = SK_SETTLE_RETRY,
    .delay_ms = o->delay_ms != SK_UNSET ? o->delay_ms : sk_backoff_delay_ms(backoff, failures, random),
    .to_queue = retry_queue,
  };
}

struct sk_decision sk_transition(struct sk_job *job, const struct sk_job *task, const struct sk_outcome *o,
                                 const struct sk_policy *policy, int64_t now_ms, uint64_t random) {
  if (o->started_ms > 0) job->started_ms = o->started_ms;
  switch (o->ending) {
  case SK_END_RETURNED: return finish(job, task, o, now_ms);
  case SK_END_FAILED: return fail(job, task, o, now_ms, random);
  case SK_END_FATAL:
    job->attempts++;
    note_failure(job, SK_KIND_FAIL, o);
    return die(job, task, now_ms);
  case SK_END_DISCARDED: return (struct sk_decision){ .kind = SK_SETTLE_DROP };
  case SK_END_SNOOZED: return (struct sk_decision){ .kind = SK_SETTLE_SNOOZE, .delay_ms = o->delay_ms };
  case SK_END_CRASHED:
    note_failure(job, SK_KIND_CRASH, o);
    if (++job->crashes >= policy->crashes_max) return die(job, task, now_ms);
    return (struct sk_decision){ .kind = SK_SETTLE_RELEASE };
  case SK_END_UNKNOWN_TASK:
    note_failure(job, SK_KIND_UNKNOWN_TASK, o);
    if (++job->unknowns >= policy->unknown_max) return die(job, task, now_ms);
    return (struct sk_decision){ .kind = SK_SETTLE_SNOOZE, .delay_ms = policy->unknown_delay_ms };
  case SK_END_EXPIRED:
    if (!has_failed(job)) note_failure(job, SK_KIND_EXPIRED, o);
    return die(job, task, now_ms);
  case SK_END_CANCELLED:
    note_failure(job, SK_KIND_CANCELLED, o);
    job->finished_ms = now_ms;
    return (struct sk_decision){ .kind = SK_SETTLE_CANCELLED,
                                 .keep_ms = option(job->keep_ms, task, task ? task->keep_ms : SK_UNSET,
                                                   SK_CANCELLED_KEEP_MS) };
  case SK_END_HANDED_BACK: break;
  }
  return (struct sk_decision){ .kind = SK_SETTLE_RELEASE };
}
