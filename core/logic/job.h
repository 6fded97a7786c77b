/* job.h - the noun of the house: a job, and what may become of it.
 *
 * A job is one request to run a task.  What is stored of it travels as a *record* (record.h): bytes that the core reads
 * and rewrites without ever looking into `args`, `meta` or `result`, which are JSON text for the worker and the clients
 * only.
 *
 *                 enqueue                fetch                    settle
 *   (client) ──┬──────────► READY ──────────────► RUNNING ──┬────────────────► DONE       (kept for `keep`, or gone)
 *              │              ▲                      │      ├────────────────► DEAD       (kept until deleted)
 *              │ delay        │ due                  │      ├────────────────► CANCELLED  (kept a while)
 *              └──► SCHEDULED ┤                      │      ├─► RETRY ──due──► READY
 *                             │                      │      └─► SCHEDULED (snooze) ──due──► READY
 *                             └──────────────────────┘ release: handed back, or taken back from a dead worker or engine
 *
 * The same struct with only the options filled in is a task's *template*: what skein.task declared (engine/tasks.h). */
#ifndef SK_LOGIC_JOB_H
#define SK_LOGIC_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum sk_state {
  SK_STATE_NONE, /* no such job */
  SK_STATE_SCHEDULED,
  SK_STATE_READY,
  SK_STATE_RUNNING,
  SK_STATE_RETRY,
  SK_STATE_DONE,
  SK_STATE_DEAD,
  SK_STATE_CANCELLED,
};
#define SK_STATES 8

/* "scheduled", "ready", ...; "unknown" for SK_STATE_NONE. */
const char *sk_state_name(enum sk_state state);
/* The state of that name; SK_STATE_NONE for any other text. */
enum sk_state sk_state_parse(struct sk_str name);
/* The job has ended: DONE, DEAD or CANCELLED; only a user's command changes it. */
static inline bool sk_state_is_final(enum sk_state s) {
  return s == SK_STATE_DONE || s == SK_STATE_DEAD || s == SK_STATE_CANCELLED;
}

/* Why an attempt failed; stored and shown by name ("error", "timeout", ...). */
enum sk_error_kind {
  SK_KIND_NONE,
  SK_KIND_ERROR,        /* the handler raised */
  SK_KIND_TIMEOUT,      /* soft or hard timeout */
  SK_KIND_CRASH,        /* its worker died while it ran */
  SK_KIND_EXPIRED,      /* not started before `expires` */
  SK_KIND_UNKNOWN_TASK, /* no script registers its task */
  SK_KIND_FAIL,         /* skein.fail: dead at once */
  SK_KIND_RESULT,       /* the handler's result cannot be stored */
  SK_KIND_CANCELLED,
};
#define SK_KINDS 9
const char *sk_error_kind_name(enum sk_error_kind kind);

#define SK_UNSET (-1) /* an option that this job or task does not set */

struct sk_job {
  /* The client's part.  All slices are borrowed: from the record they were decoded from, or from the caller. */
  struct sk_str id;
  struct sk_str task;
  struct sk_str queue;
  struct sk_str args;  /* JSON array */
  struct sk_str meta;  /* JSON object; empty = {} */
  int32_t priority;    /* SK_PRIORITY_MIN..MAX; 0 */
  int64_t enqueued_ms; /* the store's clock: when it came in, or was retried by hand */

  /* Options: unset (SK_UNSET, empty) means "as the task's template says, else the default". */
  int64_t retries;       /* attempts after the first */
  int64_t timeout_ms;    /* per attempt; 0 = none */
  int64_t keep_ms;       /* 0 = keep nothing */
  int64_t expires_ms;    /* job: a moment by the store's clock; template: milliseconds after the enqueue */
  int32_t keep_dead;     /* 0: dropped when dead; 1: kept in the dead set */
  struct sk_str backoff; /* backoff.h's text form */
  struct sk_str retry_queue;
  struct sk_str on_success; /* callbacks (callback.h): the jobs that are enqueued when it is done */
  struct sk_str on_error;   /* callbacks: the jobs that are enqueued when it is dead */
  int32_t immutable;        /* 1: the result is not appended to on_success's args */
  struct sk_str unique;     /* the lock it takes (lock.h's text form) */
  struct sk_str limit;      /* the group it belongs to (limit.h's text form) */

  /* What has happened so far. */
  int64_t attempts;              /* attempts that ended and counted */
  int64_t crashes;               /* workers that died while it ran */
  int64_t unknowns;              /* times its task was not found */
  int64_t recoveries;            /* times it was taken over from a dead engine */
  enum sk_error_kind error_kind; /* of the last failed attempt */
  struct sk_str error;           /* its message */
  struct sk_str traceback;
  int64_t started_ms;   /* wall clock of the last attempt's start */
  int64_t finished_ms;  /* wall clock of the end, in a final state */
  struct sk_str result; /* JSON; empty = none */
  /* the job's life so far: lines "wall-clock-ms event[ detail]", oldest first, bounded (history.h) */
  struct sk_str history;
  struct sk_str log; /* job:log: lines "wall-clock-ms text", oldest first, bounded; text has no newline */

  struct sk_str rest; /* fields of a newer version, carried along unread */
};

/* The ways out of RUNNING (store.h: settle). */
enum sk_settle_kind {
  SK_SETTLE_DONE,      /* record kept for keep_ms in state DONE; keep_ms = 0: deleted */
  SK_SETTLE_RETRY,     /* record stored; state RETRY in to_queue, due after delay_ms (0: READY at the front at once) */
  SK_SETTLE_SNOOZE,    /* the same with state SCHEDULED */
  SK_SETTLE_DEAD,      /* record stored in state DEAD, until deleted or retried by hand */
  SK_SETTLE_DROP,      /* deleted: discarded, or dead with keep_dead = 0 */
  SK_SETTLE_CANCELLED, /* record kept for keep_ms in state CANCELLED; keep_ms = 0: deleted */
  SK_SETTLE_RELEASE,   /* READY again, at the place it had; record stored if given */
};
#define SK_SETTLE_KINDS 7

/* All options unset, everything else zero. */
void sk_job_init(struct sk_job *job);
/* Sets enqueued_ms to now_ms and moves expires_ms by as much, so that the span between them stays. */
void sk_job_move_times(struct sk_job *job, int64_t now_ms);
/* Does the same for a job that had ended and is retried by hand; its attempts, crashes and unknowns count from 0. */
void sk_job_start_anew(struct sk_job *job, int64_t now_ms);

#endif
