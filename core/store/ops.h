/* ops.h - the operations of a store: what each takes, what it answers, what it means.  store.h has the law that they
 * all keep and the table that compares them. */
#ifndef SK_STORE_OPS_H
#define SK_STORE_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/list.h"
#include "base/str.h"
#include "logic/job.h"
#include "logic/limit.h"
#include "logic/lock.h"
#include "logic/queue_settings.h"
#include "logic/rules.h"

struct sk_op;
typedef void (*sk_op_cb)(struct sk_op *op, void *ctx);

struct sk_op {
  sk_op_cb cb;         /* in */
  void *ctx;           /* in */
  enum sk_code status; /* out */
  struct sk_err err;   /* out: a sentence when status is not SK_OK */
  /* in: monotonic time by which enqueue, get, list, count, change, pause and tasks are answered, whatever the server
   * does; 0: the store's timeout, counted from the submission */
  int64_t deadline_ms;
  struct sk_arena arena; /* out: the outputs point into it */
  /* The store's own while the operation is submitted. */
  struct sk_list node;
  int kind;
  size_t scratch;        /* a number that the store's step needs in its next step */
  unsigned again;        /* times that it was sent again at once */
  int64_t until_ms;      /* end of a client's patience; monotonic, 0: never */
  int64_t wait_until_ms; /* end of its wait to be sent; monotonic */
  int64_t slot_until_ms; /* redis cluster: end of its wait for a slot that moves; 0: it does not wait */
  uint64_t mark;         /* redis, an engine's call: its number (redis/life.c) */
};

/* Frees what the outputs point into; the operation can be filled and submitted again. */
void sk_op_fini(struct sk_op *op);

/* -- enqueue ---------------------------------------------------------------------------------------------------------
 * Adds jobs.  Repeating an item whose id is in the store (in any queue and state, or earlier in the batch) changes
 * nothing and is SK_EEXISTS, so a client can repeat after SK_EUNKNOWN.  A job with a delay or a due time in the future
 * is SCHEDULED; any other is READY at the end of its queue and priority.  sk_admission (logic/rules.h) decides whether
 * a job is admitted and which jobs it displaces.
 *
 * LOCKS (unique jobs).  One job holds a lock, from its enqueue until it has ended (DONE, DEAD, CANCELLED) or is gone,
 * or until ttl_ms after the enqueue (ttl_ms > 0), whichever is first.  A lock past its time counts as free.  An enqueue
 * whose lock is held by another job:
 *   REJECT    adds nothing: SK_EEXISTS, and `holder` is the id of that job
 *   REPLACE   deletes the holder (counted as discarded), and the new job holds the lock; a holder that is RUNNING
 *             goes on without the lock
 *   THROTTLE  is refused like REJECT; but its lock lives for ttl_ms, whatever becomes of its job
 * A job that is retried by hand after its end does not get its lock back.
 *
 * BOUNDED QUEUES.  With a max_len (QUEUE SETTINGS), a queue takes no job that would make SCHEDULED + READY + RETRY more
 * than that.  With REJECT and BLOCK the job is SK_ELIMIT and not added.  With DROP_OLDEST the oldest READY job of the
 * lowest priority is deleted instead (counted as discarded); the new job is SK_ELIMIT when none is READY.  Callbacks,
 * retries and jobs that are handed back are always let in.  A job refused by its lock needs no room.  REPLACE frees the
 * holder's place first.
 *
 * A store holds SK_QUEUES_PER_STORE_MAX queues at least.  A job for one queue more may be SK_ELIMIT; a RETRY or SNOOZE
 * to one stays in its queue then.
 *
 * `limit` puts the job into a group: see GROUPS at fetch. */
struct sk_enqueue_item {
  struct sk_str id, queue, task, record; /* in: none is empty, except the record */
  int32_t priority;                      /* in */
  int64_t due_ms;                        /* in: wall clock; 0 or past: now */
  int64_t delay_ms;                      /* in: from the store's now; > 0 wins over due_ms */
  bool fresh;            /* in: the id was made for this job just now (id.h), and no store has seen it yet */
  struct sk_lock lock;   /* in: zeroed: none */
  struct sk_limit limit; /* in: zeroed: none */
  /* out: SK_OK, SK_EEXISTS, SK_ELIMIT (its queue is full, or the store has no room for another queue) */
  enum sk_code status;
  /* out, SK_EEXISTS: the id of the job that holds its lock; empty: a job with its own id is there */
  struct sk_str holder;
};
struct sk_enqueue_op {
  struct sk_op op;
  struct sk_enqueue_item *items;
  size_t items_n; /* <= SK_ENQUEUE_BATCH_MAX */
};

/* The item of a job with that record, due now; its slices are the job's.  SK_EINVAL, SK_ELIMIT: its lock or limit
 * cannot be read. */
enum sk_code sk_enqueue_item_init(struct sk_enqueue_item *item, const struct sk_job *job, struct sk_str record,
                                  struct sk_err *err);

/* -- fetch ------------------------------------------------------------------------------------------------------------
 * Makes READY what is due in these queues (SCHEDULED and RETRY jobs whose time has come go to the front of their queue
 * and priority), then takes up to `want` READY jobs and makes them RUNNING, held by this engine under a new fence
 * (greater than every earlier fence of that job).  Queues are tried in the order given: a first pass takes up to each
 * queue's quota, a second pass fills up to `want` in the same order.  A paused queue gives nothing (due jobs of it
 * still become READY). want = 0 only promotes and looks.  One fetch promotes a bounded number of jobs, those that came
 * due first; due_in_ms is 1 or more while others are left.
 *
 * THE ORDER within a queue: higher priority first; of equal priority, first the jobs that came due, by their due time,
 * then the others, first in, first out.  A job put at the front by hand or by a retry without delay counts as due at
 * that moment; jobs with equal due times keep the order in which they were given them.  RUNNING jobs keep their place
 * and return to it on release. So a store needs a list for first in, first out, and before that list something sorted,
 * for jobs that came due or were released.
 *
 * GROUPS (limits).  The jobs of one group, in whatever queues, share `concurrency` slots and a bucket of tokens
 * (limit.h).  The newest job's numbers hold for the whole group; but numbers that its task has declared before
 * (declare) stand for those that it declares now.  A READY job with a group stands in that group's lane of its queue,
 * in THE ORDER.  It is taken only when the group has a slot and a token for it, and it then has both.  It gives the
 * slot back when it ends, is gone, or waits again (RETRY, SNOOZE); with `strict` it keeps the slot while it waits.  A
 * job that keeps its slot, as one that was handed back or recovered does, needs none when it is READY again: it stands
 * in its queue like a job without a group. Within a priority, the jobs of a queue that need no slot and each of its
 * groups take turns, a job each, so that none waits for another's backlog.  A fetch costs the same however many jobs
 * and groups are blocked.  A group without jobs and slots, whose bucket is full, leaves nothing behind.
 * A QUEUE's own limit (declare) counts all its RUNNING jobs, has a bucket too, and blocks the queue as a whole.
 *
 * STOPS.  A RUNNING job that was cancelled (change) is in `stops` of every fetch of the engine that holds it, until it
 * is settled; so is one that was cancelled, handed back and taken again by this very fetch. */
struct sk_fetch_queue {
  struct sk_str name; /* in */
  size_t quota;       /* in */
  bool has_more;      /* out: as in sk_fetch_op, of this queue */
  int64_t due_in_ms;  /* out: as in sk_fetch_op, of this queue */
};
struct sk_fetched {
  struct sk_str id, queue, record; /* queue: the one it was taken from */
  struct sk_str wrong;             /* empty, or a sentence: why the stored bytes cannot be a job */
  int32_t priority;
  uint64_t fence;
  /* now - due time, for a job that came due (see THE ORDER); else 0.  It keeps growing after a release. */
  int64_t late_ms;
};
struct sk_fetch_op {
  struct sk_op op;
  struct sk_fetch_queue *queues; /* in, with outputs of their own */
  size_t queues_n;               /* in; 0 is allowed and takes nothing */
  size_t want;                   /* in; <= SK_FETCH_BATCH_MAX */
  struct sk_fetched *jobs;       /* out, in the order to run them */
  size_t jobs_n;
  bool has_more; /* out: one of the queues (not paused) has READY jobs left that could be taken now */
  /* out: time (> 0) until the earliest SCHEDULED or RETRY job of these queues, paused or not, is due, or until a job
   * that nothing else blocks gets its token; -1: none */
  int64_t due_in_ms;
  struct sk_str *stops; /* out: ids */
  size_t stops_n;
  uint64_t queues_version; /* out: changes when a queue is seen for the first time, paused or resumed (see count) */
};

/* -- settle -----------------------------------------------------------------------------------------------------------
 * The one way out of RUNNING.  Each item, with its callback jobs and the counters, is one atomic write.  An item
 * applies only while this engine holds the job under that fence; else it is SK_ESTALE and changes nothing, so a repeat
 * after SK_EUNKNOWN is safe. Items are taken in order; a queue that to_queue or a callback names may be new.  An item
 * has at most SK_ENQUEUE_BATCH_MAX callbacks. A job that is to stop (STOPS) is neither retried nor dead: RETRY, SNOOZE
 * and DEAD of it are SK_ESTATE and change nothing, and the caller settles it as CANCELLED.  DONE and DROP stand.
 * RELEASE leaves it READY, still to be stopped. rules.h says what each kind counts, deletes, and yields to a stop. */
struct sk_settle_item {
  struct sk_str id, queue; /* in: queue is the one it was fetched from */
  uint64_t fence;          /* in */
  enum sk_settle_kind kind;
  struct sk_str record;   /* in: the new record; empty: unchanged (RELEASE only); unused when the job is deleted */
  bool crashed;           /* in: its worker died while it ran; adds to counters.crashed, nothing else */
  struct sk_str to_queue; /* in, RETRY and SNOOZE: the queue in which it waits; empty: its queue */
  int64_t delay_ms;       /* in, RETRY and SNOOZE: until it is due; <= 0: READY at the front at once */
  int64_t keep_ms;        /* in, DONE and CANCELLED: how long the record stays; <= 0: not at all */
  struct sk_enqueue_item *callbacks; /* in: jobs to enqueue with it */
  size_t callbacks_n;
  enum sk_code status; /* out: SK_OK, SK_ESTALE, SK_ESTATE */
};
struct sk_settle_op {
  struct sk_op op;
  struct sk_settle_item *items;
  size_t items_n;
};

/* -- beat -------------------------------------------------------------------------------------------------------------
 * Renews this engine's lease, hands the jobs of engines that are gone back to READY (place kept; the store adds 1 to
 * the record's `recoveries`), drops kept records whose time is over.  Several engines can do so at once, and a crash in
 * it does no harm. An engine is gone when the one that beats has seen, at its own beats, that it has not beaten for
 * lease_ms of its own options
 * (logic/lease.h: on the judge's monotonic clock; time in which the judge could not beat itself counts for nobody), and
 * at once when its process is known to be dead.  An engine declared gone that is still alive registers again with its
 * next engines-only operation.  It then holds no jobs, and its next beat reports `lost`.
 *
 * A STORE THAT WENT BACK IN TIME (restored, failed over to a replica that lagged, emptied) is noticed by each handle
 * with its first operation after that.  An engine then registers again in the same way: the store hands back the jobs
 * that it has under that engine's name, what the engine held is stale, and no fence is given twice.  Its next beat
 * reports `moved`, and it must declare again. */
struct sk_beat_op {
  struct sk_op op;
  size_t recovered; /* out: jobs handed back */
  bool lost;        /* out: this engine had to register again and holds nothing: its lease had ended, or `moved` */
  bool moved;       /* out, with lost: the store is not where it was left */
  bool gone; /* out, when the status is not SK_OK: the store that was opened is not there any more, and never will be */
};

/* -- looking ---------------------------------------------------------------------------------------------------- */

/* The limit, of its group or of its queue, that keeps a job from being taken. */
enum sk_blocked_by { SK_BLOCKED_BY_NOTHING, SK_BLOCKED_BY_CONCURRENCY, SK_BLOCKED_BY_RATE };

struct sk_view {
  struct sk_str id, queue, record; /* the record is empty when state is NONE */
  enum sk_state state;
  int32_t priority;
  int64_t due_ms;           /* SCHEDULED, RETRY; wall clock */
  int64_t running_since_ms; /* RUNNING; wall clock */
  struct sk_str engine;     /* RUNNING: the engine that holds it */
  int32_t percent;          /* job:progress of the last attempt; -1: it reported none.  A fetch resets it. */
  struct sk_str progress_text;
  struct sk_str log;             /* job:log of the attempt that runs; earlier lines are in the record */
  bool stopping;                 /* RUNNING, or READY again: it is to stop */
  enum sk_blocked_by blocked_by; /* get only; READY: what blocks it, besides the jobs before it */
};

/* get: one view per id, in the order asked, with state NONE where there is no such job. */
struct sk_get_op {
  struct sk_op op;
  const struct sk_str *ids;
  size_t ids_n;
  struct sk_view *views; /* out */
};

/* A filter's empty fields match everything. */
struct sk_filter {
  enum sk_state state; /* NONE: any */
  struct sk_str queue, task;
};

/* list: goes in steps, each short however many jobs there are; a job that comes, goes or moves between two steps may be
 * missed or seen twice. Jobs in a stable order: states in the order of the enum, within a state its own order (READY:
 * by queue name, then the order in which they will run; SCHEDULED, RETRY: by due time; RUNNING: longest first, those of
 * one fetch in any order; DEAD, DONE, CANCELLED: latest first). */
struct sk_list_op {
  struct sk_op op;
  struct sk_filter filter;
  size_t offset, limit;  /* limit <= SK_LIST_LIMIT_MAX */
  size_t bytes_max;      /* in: bound on the views' texts, SK_ELIMIT as soon as they are more; 0: none */
  struct sk_view *views; /* out */
  size_t views_n;
};

struct sk_queue_count {
  struct sk_str name;
  bool paused;
  int64_t states[SK_STATES]; /* jobs by state */
};
/* count: the queues with their jobs, and the counters.  A kept record's end does not change the counters.  A store of
 * many queues is counted in steps: each queue as it is at one moment, and `moving` when jobs may have moved
 * meanwhile. */
struct sk_count_op {
  struct sk_op op;
  struct sk_queue_count *queues; /* out, by name: every queue that holds a job, ever held one, or is paused */
  size_t queues_n;
  struct sk_counters counters;
  uint64_t queues_version;
  bool moving; /* out: the queues are not all of one moment, and something was done between the first and the last */
};

/* -- changing by hand -------------------------------------------------------------------------------------------------
 * Changes the jobs with these ids, or (ids_n = 0) all that match the filter.
 *   CANCEL   SCHEDULED READY RETRY  -> CANCELLED, record kept for keep_ms (its finished_ms is set); keep_ms = 0: gone
 *            RUNNING                -> to be stopped (STOPS); again: SK_OK, and nothing more
 *   DELETE   any but RUNNING        -> gone
 *   RETRY    DEAD RETRY CANCELLED   -> READY at the end; enqueued_ms is now and expires_ms moves along;
 *                                      from DEAD and CANCELLED, attempts, crashes and unknowns count
 *                                      from 0 and finished_ms is cleared
 *   PROMOTE  SCHEDULED RETRY        -> READY at the front
 * Locks, slots and stops of a job that ends or goes, go with it.
 * By id: SK_ENOTFOUND, or SK_ESTATE when the verb does not take the job's state (sk_verb_takes).
 * By filter: jobs in other states than the verb's are passed over.  The store goes in steps, in an order of its own;
 * other operations have their turn between two steps.  A crash leaves the rest unchanged; a job that comes to match
 * meanwhile may be passed over. */
struct sk_change_op {
  struct sk_op op;
  enum sk_verb verb;
  const struct sk_str *ids;
  size_t ids_n;
  struct sk_filter filter;
  int64_t keep_ms;
  enum sk_code *statuses; /* out, one per id: SK_OK, SK_ENOTFOUND, SK_ESTATE */
  size_t changed;         /* out */
};

struct sk_pause_op {
  struct sk_op op;
  struct sk_str queue;
  bool paused; /* in: the state wanted; the same again is fine */
};

/* -- progress of running jobs; an item whose fence is stale changes nothing ---------------------------------------- */
struct sk_progress_item {
  struct sk_str id, queue;
  uint64_t fence;
  int32_t percent; /* -1: none */
  struct sk_str progress_text;
  struct sk_str log; /* all lines that the attempt has logged, <= SK_JOB_LOG_BYTES_MAX */
};
struct sk_progress_op {
  struct sk_op op;
  const struct sk_progress_item *items;
  size_t items_n;
};

/* -- tasks and QUEUE SETTINGS: a client without scripts reads the queue, priority and options of a task here ------- */
struct sk_task_item {
  struct sk_str name, queue;
  int32_t priority;
  struct sk_str template; /* its record (engine/tasks.h); may be empty */
};

/* declare: adds or replaces by name.  Settings without an effect (sk_queue_settings_any) remove the queue's settings.
 * When a task's limit changes, its groups with the former numbers (sk_limit_is_of_task) get the new ones with this
 * call, or some moments later when there are thousands; jobs keep the group that they came with. */
struct sk_declare_op {
  struct sk_op op;
  /* in: the application, a word without spaces.  A queue that this owner declared before and does not declare now loses
   * its settings, unless another owner declares it too.  Tasks and settings that nobody has declared or renewed for
   * SK_DECLARED_KEEP_MS are forgotten.  Empty: the call removes only what an item removes. */
  struct sk_str owner;
  bool renew; /* in: changes nothing; what it names is not forgotten */
  const struct sk_task_item *items;
  size_t items_n;
  const struct sk_queue_settings *queues;
  size_t queues_n;
};

struct sk_tasks_op {
  struct sk_op op;
  struct sk_task_item *items; /* out, by name */
  size_t items_n;
  struct sk_queue_settings *queues; /* out, by name: the queues that have settings */
  size_t queues_n;
  uint64_t moves; /* out: grows when the store may not be where this handle left it */
};

/* -- backup ----------------------------------------------------------------------------------------------------------
 * Copies the whole store to a file that must not exist yet (SK_EEXISTS), while others go on working.  SK_EUNSUPPORTED
 * for a store that is not a file. */
struct sk_backup_op {
  struct sk_op op;
  struct sk_str path;
  int64_t bytes; /* out: the copy's size */
};

#endif
