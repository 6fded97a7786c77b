/* transition.h - the rules for what a job becomes when an attempt ends, as a pure function.
 *
 *   how the attempt ended     what becomes of the job                                             counts as
 *   ------------------------  ------------------------------------------------------------------  ---------------
 *   returned                  DONE, kept for `keep` (default: 1 h with a result, else not at all)  attempt
 *   failed, timed out         RETRY after the back-off; DEAD when `retries` are used up            attempt
 *   skein.fail                DEAD                                                                 attempt
 *   skein.retry_in            RETRY after that time; DEAD when `retries` are used up               attempt
 *   skein.discard             gone                                                                 -
 *   job:snooze                SCHEDULED again                                                      -
 *   its worker died           READY again; DEAD at the third time                                  crash
 *   task unknown              SCHEDULED again after a delay; DEAD after unknown_max tries          unknown
 *   expired                   DEAD; the error of an attempt before it stays                        -
 *   cancelled                 CANCELLED                                                            -
 *   handed back               READY again (shutdown, deploy, a neighbour's fault)                  -
 *
 * DEAD with `dead = false` is dropped. */
#ifndef SK_LOGIC_TRANSITION_H
#define SK_LOGIC_TRANSITION_H

#include <stdbool.h>
#include <stdint.h>

#include "logic/job.h"

enum sk_ending {
  SK_END_RETURNED,
  SK_END_FAILED, /* with a kind */
  SK_END_FATAL,  /* skein.fail */
  SK_END_DISCARDED,
  SK_END_SNOOZED,
  SK_END_CRASHED,
  SK_END_UNKNOWN_TASK,
  SK_END_EXPIRED,
  SK_END_CANCELLED,
  SK_END_HANDED_BACK,
};

struct sk_outcome {
  enum sk_ending ending;
  enum sk_error_kind kind; /* FAILED */
  struct sk_str result;    /* RETURNED: JSON; empty = nothing returned */
  struct sk_str message;   /* of a failure */
  struct sk_str traceback;
  int64_t delay_ms;   /* FAILED, SNOOZED: as the handler asked; SK_UNSET = by the job's back-off */
  int64_t started_ms; /* wall clock of the attempt's start; 0 = it never started */
};

struct sk_policy {
  int64_t crashes_max;
  int64_t unknown_max;
  int64_t unknown_delay_ms;
};

struct sk_decision {
  enum sk_settle_kind kind;
  int64_t delay_ms;
  int64_t keep_ms;
  struct sk_str to_queue; /* empty: the queue it was fetched from */
};

#define SK_EXPIRED_TEXT "expired before it could start"
#define SK_RETRIES_DEFAULT 27      /* with the default back-off: 30 days */
#define SK_KEEP_DEFAULT_MS 3600000 /* of a job whose handler returned a value */

/* Updates job (counts, error, result, times; slices of the outcome are borrowed from then on) and says how to settle
 * it. task is the template of the job's task, or NULL when there is none. */
struct sk_decision sk_transition(struct sk_job *job, const struct sk_job *task, const struct sk_outcome *outcome,
                                 const struct sk_policy *policy, int64_t now_ms, uint64_t random);

/* Options in force: the job's own, else its task's, else the default. */
int64_t sk_job_retries(const struct sk_job *job, const struct sk_job *task);
int64_t sk_job_timeout_ms(const struct sk_job *job, const struct sk_job *task); /* 0: none */
/* Whether the job must not start any more at now_ms. */
bool sk_job_is_expired(const struct sk_job *job, const struct sk_job *task, int64_t now_ms);

#endif
