/* rules.h - the rules that every store and the engine share, as pure functions over facts.
 *
 * transition.h decides what an attempt's end means for its job.  This file decides the rest: which states count as
 * waiting, which verb takes which state, what a settle counts and deletes, whether a new job is admitted, whether a
 * fetched job may start.  The memory and sqlite stores gather the facts and apply the decision.  The scripts in Redis
 * decide in Lua; tests/contract/rules_test.c compares every store with these functions, over all combinations of
 * facts. */
#ifndef SK_LOGIC_RULES_H
#define SK_LOGIC_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "logic/job.h"
#include "logic/lock.h"
#include "logic/queue_settings.h"
#include "logic/transition.h"
#include "logic/wire.h"

/* -- states -------------------------------------------------------------------------------------------------------- */

/* SCHEDULED, READY and RETRY: the job counts against its queue's max_len, and an enqueue with REPLACE deletes it. */
bool sk_state_waits(enum sk_state state);
/* Sums the waiting jobs of a queue; states: its number of jobs by state. */
int64_t sk_states_waiting(const int64_t states[SK_STATES]);

/* What a user does to jobs by hand (store.h, change). */
enum sk_verb { SK_VERB_CANCEL, SK_VERB_DELETE, SK_VERB_RETRY, SK_VERB_PROMOTE };
#define SK_VERBS 4
/* The verb applies to jobs in that state; to others it is SK_ESTATE.  SK_STATE_NONE: false. */
bool sk_verb_takes(enum sk_verb verb, enum sk_state state);

/* -- settle -------------------------------------------------------------------------------------------------------- */

/* Events since the store was made; they only grow. */
struct sk_counters {
  int64_t enqueued;  /* new jobs, callbacks included */
  int64_t done;      /* jobs settled as DONE */
  int64_t retried;   /* attempts settled as RETRY */
  int64_t dead;      /* jobs settled as DEAD */
  int64_t cancelled; /* jobs settled as CANCELLED, or cancelled by hand while they waited */
  int64_t discarded; /* jobs settled as DROP, replaced by their lock, or dropped from a full queue */
  int64_t crashed;   /* attempts settled with `crashed` set, whatever their kind */
  int64_t recovered; /* jobs taken back from engines that are gone, by beat or open */
};
/* The counter that a settle of that kind adds 1 to; NULL: none does (SNOOZE, RELEASE). */
int64_t *sk_settle_counter(struct sk_counters *counters, enum sk_settle_kind kind);
/* Counts a settle: the counter of its kind, and crashed. */
void sk_settle_count(struct sk_counters *counters, enum sk_settle_kind kind, bool crashed);
/* The job is deleted at once: dropped, or ended with nothing to keep. */
bool sk_settle_deletes(enum sk_settle_kind kind, int64_t keep_ms);
/* A job that is to stop must be settled as CANCELLED instead: this kind is SK_ESTATE for it. */
bool sk_settle_refused_when_stopping(enum sk_settle_kind kind);

/* -- the start and the end of an attempt --------------------------------------------------------------------------- */

enum sk_refusal { SK_REFUSAL_NONE, SK_REFUSAL_UNKNOWN_TASK, SK_REFUSAL_EXPIRED };
/* Why an engine must not start a job; task is the template of the job's task, NULL when no script declares it. */
enum sk_refusal sk_start_refusal(const struct sk_job *job, const struct sk_job *task, int64_t now_ms);

/* The ending that a worker's FAIL frame, or a spec's outcome, stands for. */
enum sk_ending sk_ending_of(enum sk_verdict verdict, enum sk_error_kind kind);

/* -- admission ----------------------------------------------------------------------------------------------------- */

/* What a store knows when a job is to be enqueued.  A store may leave out what cannot matter: all else when the id is
 * there, the holder without a lock, the queue's counts without a max_len. */
struct sk_admission_facts {
  bool id_there;               /* the store has a job with that id */
  bool is_callback;            /* it comes with a settle: its queue's length does not matter */
  enum sk_lock_mode lock_mode; /* of the new job */
  bool lock_held;              /* its lock is held, by another job than the one that the settle ends */
  enum sk_state holder_state;  /* of the job that holds the lock; NONE: a throttle whose job has ended */
  bool holder_in_queue;        /* the holder is in the new job's queue */
  int64_t max_len;             /* of the new job's queue; 0: unbounded */
  enum sk_overflow overflow;   /* of that queue */
  int64_t waiting;             /* jobs in that queue whose state waits, the holder included */
  int64_t ready;               /* READY jobs in that queue, the holder included */
};

struct sk_admission {
  enum sk_code status;  /* SK_OK: add it; SK_EEXISTS; SK_ELIMIT: the queue is full */
  bool refused_by_lock; /* with SK_EEXISTS: the answer names the holder */
  bool replaces_holder; /* with SK_OK: delete the job that holds the lock, count it as discarded */
  bool drops_oldest;    /* with SK_OK: then delete the oldest READY job of the lowest priority, count it as discarded */
};
struct sk_admission sk_admission(const struct sk_admission_facts *facts);

#endif
