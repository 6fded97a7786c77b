/* store.h - what persists jobs, behind one table of functions: batch first, asynchronous, the same for every store.
 *
 * LAW
 *  - Runs on one loop (io/loop.h), called from its thread only.  No call blocks, except open.  The loop stays alive (loop.h) at
 *    least while an operation is submitted.
 *  - Every operation is a struct that begins with a struct sk_op.  The caller fills its "in" fields, sets cb and ctx, and
 *    submits it through its slot.  The store owns the struct from then until it calls cb, exactly once, later, on the loop,
 *    never inside the call.  The inputs are borrowed until then.
 *  - op.status says how the whole operation went:  SK_OK;  SK_EUNAVAILABLE: nothing happened, try again;  SK_EUNKNOWN: the
 *    connection went away before the answer, it may have happened (enqueue and settle are safe to repeat: see below);
 *    SK_ECANCELLED: the store was closed first;  SK_ENOMEM;  SK_EINVAL / SK_ELIMIT (a batch past its limit) / SK_EUNSUPPORTED
 *    with a sentence in op.err: nothing happened.  "Engines only" slots are SK_EINVAL for a client.
 *    Items of a batch have a status of their own, valid when op.status is SK_OK.
 *  - Outputs live in op.arena and stay valid until sk_op_fini, which the caller calls whether or not the op was submitted.
 *  - "Atomic" below means: after a crash at any moment, and to every other client, all of it has happened or none of it.
 *  - Time is the store's own clock (Redis TIME, else the wall clock of this machine): delays are given to it and waits are
 *    reported by it relative to now, so that a client's wrong clock shifts no job.  A record that comes in (enqueue, callbacks)
 *    gets that clock's times (sk_record_stamp): enqueued_ms is now, and expires_ms keeps its distance to it.
 *
 * The memory store (memory.c) is the specification that runs; tests/contract runs the same suite over all of them. */
#ifndef SK_STORE_STORE_H
#define SK_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"
#include "logic/job.h"
#include "logic/limit.h"
#include "logic/lock.h"
#include "logic/queue_settings.h"
#include "logic/rules.h"

struct sk_loop;
struct sk_store;
struct sk_op;

typedef void (*sk_op_cb)(struct sk_op *op, void *ctx);

struct sk_op {
  sk_op_cb cb;         /* in */
  void *ctx;           /* in */
  enum sk_code status; /* out */
  struct sk_err err;   /* out; a sentence when status is not SK_OK */
  int64_t
      deadline_ms; /* in: monotonic; then enqueue, get, list, count, change, pause and tasks are answered, whatever the server
                        * does.  0: the store's timeout from the submission */
  struct sk_arena arena; /* out: what the outputs point into */
  /* The store's own while submitted. */
  struct sk_list node;
  int kind;
  size_t scratch;
  unsigned again;        /* times that it was sent again at once */
  int64_t until_ms;      /* when a client's patience ends; monotonic, 0: never */
  int64_t wait_until_ms; /* while it waits to be sent; monotonic */
  int64_t slot_until_ms; /* redis cluster: how long it waits for a slot that moves; 0: it does not */
  uint64_t mark;         /* redis, an engine's call: which one it is (redis/life.c) */
};

/* Frees what the outputs point into; the op can be filled and submitted again. */
void sk_op_fini(struct sk_op *op);

/* -- enqueue ---------------------------------------------------------------------------------------------------------
 * Adds jobs.  Atomic per item at least, per queue where the store can (sqlite, memory: the whole batch).  Repeating an item
 * whose id is in the store (in any queue and state, or earlier in the batch) changes nothing and is SK_EEXISTS, so a client
 * may repeat after SK_EUNKNOWN.
 * A job with a delay or a due time in the future is SCHEDULED, else READY at the end of its queue and priority.
 *
 * LOCKS (unique jobs).  A lock is held by one job, from its enqueue until it has ended (DONE, DEAD, CANCELLED) or is gone, or until
 * ttl_ms after the enqueue (ttl_ms > 0), whichever is first.  One whose time is over is as good as none.  An enqueue that finds its
 * lock held by another job:
 *   REJECT    adds nothing: SK_EEXISTS, and `holder` is the id of that job
 *   REPLACE   deletes the holder (counted as discarded) unless it is RUNNING, which goes on without the lock; the new job holds it
 *   THROTTLE  as REJECT; but this lock lives for ttl_ms, whatever becomes of its job
 * A job that is retried by hand after its end does not get its lock back.
 *
 * BOUNDED QUEUES.  Where a queue has a max_len (declare), a job that would make SCHEDULED + READY + RETRY more than that is SK_ELIMIT
 * and not added (REJECT, BLOCK), or the READY job that is the oldest of the lowest priority there is deleted (DROP_OLDEST; counted as
 * discarded; SK_ELIMIT when none is READY).  callbacks, retries and what is handed back are let in.  A job whose lock refuses it
 * needs no room.  REPLACE makes its room first.
 *
 * `limit` says which group the job belongs to: see GROUPS at fetch. */
struct sk_enqueue_item {
  struct sk_str id, queue, task, record; /* in; queue is never empty */
  int32_t priority;                      /* in */
  int64_t due_ms;                        /* in: wall clock; 0 or past = now */
  int64_t delay_ms;                      /* in: from the store's now; > 0 wins over due_ms */
  bool fresh; /* in: the id was made for this job just now (id.h), and not sent to a store before: none has it */
  struct sk_lock lock;   /* in: zeroed: none */
  struct sk_limit limit; /* in: zeroed: none */
  enum sk_code status;   /* out: SK_OK, SK_EEXISTS, SK_ELIMIT (the queue is full: max_len) */
  struct sk_str holder;  /* out, SK_EEXISTS by its lock: who holds it; empty: the id itself was there */
};
struct sk_enqueue_op {
  struct sk_op op;
  struct sk_enqueue_item *items;
  size_t items_n; /* <= SK_ENQUEUE_BATCH_MAX */
};

/* The item of a job with that record, due now; its slices are the job's.  SK_EINVAL, SK_ELIMIT: its lock or limit can't be read. */
enum sk_code sk_enqueue_item_init(struct sk_enqueue_item *item, const struct sk_job *job, struct sk_str record,
                                  struct sk_err *err);

/* -- fetch -------------------------------------------------------------------------------------------------------------
 * First makes READY what is due in these queues (SCHEDULED and RETRY whose time has come go to the front of their queue and
 * priority), then takes up to `want` READY jobs, makes them RUNNING, held by this engine under a new fence (greater than every
 * earlier fence under that id).  Atomic.  Queues are tried in the order given: a first pass takes up to each queue's quota, a
 * second pass fills up to `want` in the same order.  A paused queue gives nothing (what is due in it still becomes READY).
 * want = 0 only promotes and looks.
 * One fetch promotes a bounded number of jobs, the first that came due; what is left is due at once: due_in_ms is 1 then at most, or more.
 *
 * THE ORDER within a queue: higher priority first; of equal priority first the jobs that came due, by their due time, then the
 * others first in, first out.  A job put at the front by hand or by a retry without delay counts as due at that moment; equal
 * due times go in the order in which the jobs were given them.  RUNNING jobs keep their place and return to it on release.
 * So a store needs a list for first in, first out, and something sorted for due and released jobs, all before that list.
 *
 * GROUPS (limits).  The jobs of one group, in whatever queues, share `concurrency` slots and a bucket of tokens (limit.h), whose numbers
 * are those of the job that was enqueued last; but numbers that its task has declared before (declare) stand for those that it
 * declares now.  A READY job with a group stands in that group's line in its queue, in THE ORDER, and is
 * taken only when the group has a slot and a token for it, both of which it then has.  It gives the slot back when it ends, is gone,
 * or waits again (RETRY, SNOOZE); with `strict` not when it waits again.  A job that keeps its slot, which one that was handed back
 * or recovered does too, needs none when it is READY again: it stands in its queue as if it had no group.
 * Within a priority the jobs of a queue that need no slot and each of its groups take turns, a job each, so that none waits for
 * another's backlog.  A fetch costs the same however many jobs and groups are held back.  A group without jobs, slots and a
 * bucket that is not full leaves nothing behind.
 * A QUEUE's own limit (declare) counts all its RUNNING jobs, and has a bucket too; it holds back the queue as a whole.
 *
 * STOPS.  A RUNNING job that was cancelled (change) is in `stops` of every fetch of the engine that holds it, until it is settled; also
 * one that was taken in this very fetch (cancelled, then handed back). */
struct sk_fetch_queue {
  struct sk_str name;
  size_t quota;
  bool has_more;     /* out: as in sk_fetch_op, of this queue */
  int64_t due_in_ms; /* out: the same */
};
struct sk_fetched {
  struct sk_str id, queue, record; /* queue: the one it was taken from */
  struct sk_str wrong;             /* a sentence: why what the store has of it cannot be a job; empty: nothing */
  int32_t priority;
  uint64_t fence;
  int64_t
      late_ms; /* now - due time, for a job that came due (see THE ORDER); else 0.  After a release it goes on counting. */
};
struct sk_fetch_op {
  struct sk_op op;
  struct sk_fetch_queue *queues; /* in, and out as said there */
  size_t queues_n;               /* in; 0 is allowed and takes nothing */
  size_t want;                   /* in; <= SK_FETCH_BATCH_MAX */
  struct sk_fetched *jobs;       /* out, in the order to run them */
  size_t jobs_n;
  bool has_more; /* out: at least one of the queues (not paused) has READY jobs left that could be taken now */
  int64_t
      due_in_ms; /* out: until the earliest SCHEDULED or RETRY job of these queues, paused or not, is due, or a token is there for
                       * one that is held back by nothing else (> 0); -1: none */
  struct sk_str *stops; /* out: ids */
  size_t stops_n;
  uint64_t queues_version; /* out: changes when a queue is seen for the first time, paused or resumed (count op) */
};

/* -- settle ------------------------------------------------------------------------------------------------------------
 * The one way out of RUNNING.  Each item, with its callback jobs and the counters, is one atomic write.  An item applies only
 * while this engine holds the job under that fence; else it is SK_ESTALE and changes nothing (so a repeat after SK_EUNKNOWN
 * is safe: the second time is SK_ESTALE).  Items are taken in order; a queue that to_queue or a callback names may be new.
 * callbacks of an item are <= SK_ENQUEUE_BATCH_MAX.
 * A job that is to stop (STOPS) is neither retried nor dead: RETRY, SNOOZE and DEAD of one are SK_ESTATE and change nothing; it is
 * to be settled as CANCELLED then.  DONE and DROP stand.  RELEASE leaves it READY, still to be stopped. */
struct sk_settle_item {
  struct sk_str id, queue; /* in: queue is the one it was fetched from */
  uint64_t fence;          /* in */
  enum sk_settle_kind kind;
  struct sk_str record;   /* in: the new record; empty = as it is (RELEASE only), unused for DROP and when deleted */
  bool crashed;           /* in: its worker died while it ran; adds to counters.crashed, nothing else */
  struct sk_str to_queue; /* in, RETRY and SNOOZE: where it waits; empty = queue */
  int64_t delay_ms;
  int64_t keep_ms;
  struct sk_enqueue_item *callbacks; /* in: jobs to enqueue with it (callbacks, flow steps) */
  size_t callbacks_n;
  enum sk_code status; /* out: SK_OK, SK_ESTALE, SK_ESTATE */
};
struct sk_settle_op {
  struct sk_op op;
  struct sk_settle_item *items;
  size_t items_n;
};

/* -- beat --------------------------------------------------------------------------------------------------------------
 * Renews this engine's lease, hands the jobs of engines that are gone back to READY (place kept; the store adds 1 to the
 * record's `recoveries`), drops kept records whose time is over.  Safe to crash in and to run from several engines.
 * An engine is gone when the one that beats has seen, at its own beats, that it has not beaten for lease_ms of its own options
 * (logic/lease.h: on the judge's monotonic clock, and time in which the judge could not beat itself counts for nobody); and at once when its
 * process is known to be dead.  One that was given up and lives enters anew with whatever engines-only operation comes first, holding
 * nothing; its next beat says `lost`.
 *
 * A STORE THAT WENT BACK IN TIME (restored, failed over to a replica that lagged, emptied) is noticed by each handle with the first
 * operation on it.  An engine then enters anew as one that was given up does: what the store believes that it holds is handed back, what it
 * held is stale, no fence is given twice; its next beat says `moved`, and what it has declared is to be declared again. */
struct sk_beat_op {
  struct sk_op op;
  size_t recovered; /* out: jobs handed back */
  bool
      lost; /* out: this engine began anew and holds nothing now: its own lease had ended and its jobs were given away, or, */
  bool moved; /* ... out: the store is not where it was left */
  bool
      gone; /* out, where the status is not SK_OK: the store that was opened is not there any more, and never will be */
};

/* -- looking -------------------------------------------------------------------------------------------------------------*/
enum sk_blocked_by {
  SK_BLOCKED_BY_NOTHING,
  SK_BLOCKED_BY_CONCURRENCY,
  SK_BLOCKED_BY_RATE
}; /* of its group, or of its queue */
struct sk_view {
  struct sk_str id, queue, record; /* record empty when state is NONE */
  enum sk_state state;
  int32_t priority;
  int64_t due_ms;           /* SCHEDULED, RETRY; wall clock */
  int64_t running_since_ms; /* RUNNING: since when; wall clock */
  struct sk_str engine;     /* RUNNING: by whom */
  int32_t percent;          /* job:progress of the last attempt; -1 when it said none.  A fetch starts anew. */
  struct sk_str progress_text;
  struct sk_str log;             /* job:log of the attempt that runs; earlier lines are in the record */
  bool stopping;                 /* RUNNING, or READY again: it was told to stop */
  enum sk_blocked_by blocked_by; /* get only; READY: what keeps it from being taken, besides those before it */
};
/* One view per id, in the order asked, state NONE where there is no such job. */
struct sk_get_op {
  struct sk_op op;
  const struct sk_str *ids;
  size_t ids_n;
  struct sk_view *views; /* out */
};
/* A filter's empty fields match everything. */
struct sk_filter {
  enum sk_state state; /* NONE = any */
  struct sk_str queue, task;
};
/* In steps, each short however many jobs there are: what comes, goes or moves between two of them may be missed or seen twice.
 * Jobs in a stable order: states in the order of the enum, within a state its own order (READY: by queue name, then the order
 * they will run in; SCHEDULED, RETRY: due; RUNNING: longest first, those of one fetch in any order; DEAD, DONE, CANCELLED:
 * latest first). */
struct sk_list_op {
  struct sk_op op;
  struct sk_filter filter;
  size_t offset, limit;  /* limit <= SK_LIST_LIMIT_MAX */
  size_t bytes_max;      /* in; of the views' texts: SK_ELIMIT as soon as they are more; 0: no bound */
  struct sk_view *views; /* out */
  size_t views_n;
};
struct sk_queue_count {
  struct sk_str name;
  bool paused;
  int64_t states[SK_STATES]; /* jobs by state */
};
struct sk_count_op {
  struct sk_op op;
  struct sk_queue_count *queues; /* out, by name: every queue that holds a job, ever held one, or is paused */
  size_t queues_n;
  struct sk_counters counters;
  uint64_t queues_version;
};

/* -- changing by hand ------------------------------------------------------------------------------------------------------
 * Either ids, or (ids_n = 0) all that match the filter; with a filter, jobs in other states than the verb's are passed over.
 *   CANCEL   SCHEDULED READY RETRY  -> CANCELLED, record kept for keep_ms (its finished_ms is set); keep_ms = 0: gone
 *            RUNNING                -> to be stopped (STOPS); again: SK_OK, and nothing more
 *   DELETE   any but RUNNING        -> gone
 *   RETRY    DEAD, RETRY, CANCELLED -> READY at the end; enqueued_ms is now and expires_ms moves along; from DEAD and CANCELLED
 *                                      attempts, crashes and unknowns count from 0 and finished_ms is cleared
 *   PROMOTE  SCHEDULED RETRY        -> READY at the front
 * Locks, slots and stops of what ends or goes, go with it.
 * By filter: in an order of the store's own, per job, in steps, between which other operations have their turn; a crash in the midst leaves
 * the rest as it was, and a job that comes to match while it goes on may be passed over.  By id: SK_ENOTFOUND, or SK_ESTATE when the job's state is not in the verb's left
 * column.  Each job atomic. */
struct sk_change_op {
  struct sk_op op;
  enum sk_verb verb;
  const struct sk_str *ids;
  size_t ids_n;
  struct sk_filter filter;
  int64_t keep_ms;
  enum sk_code *statuses; /* out, one per id: SK_OK, SK_ENOTFOUND, SK_ESTATE */
  _Atomic size_t changed; /* out; by filter it counts up while the change goes on, and any thread may read it */
};
struct sk_pause_op {
  struct sk_op op;
  struct sk_str queue;
  bool paused; /* in: the state wanted; the same again is fine */
};
/* Progress of running jobs; an item whose fence is stale changes nothing.  Not atomic with anything. */
struct sk_progress_item {
  struct sk_str id, queue;
  uint64_t fence;
  int32_t percent; /* -1: none */
  struct sk_str progress_text;
  struct sk_str log; /* all of what the attempt has logged, <= SK_JOB_LOG_BYTES_MAX */
};
struct sk_progress_op {
  struct sk_op op;
  const struct sk_progress_item *items;
  size_t items_n;
};

/* -- the tasks that engines run, so that a client that has no script knows a task's queue, priority and options; and what queues
 * are bound to --------------------------------------------------------------------------------------------------------------- */
struct sk_task_item {
  struct sk_str name, queue;
  int32_t priority;
  struct sk_str template; /* its record (engine/tasks.h); may be empty */
};
/* Adds or replaces by name.  A task whose template has another limit than the one before, or none any more: its groups with those
 * numbers (sk_limit_is_of_task) have the new ones with this call, or some moments later when there are thousands; jobs keep the
 * group that they came with. */
struct sk_declare_op {
  struct sk_op op;
  /* in: the application, a word without spaces: a queue that it bound before and does not bind now is bound to nothing, unless
   * another owner has bound it too; what nobody has declared or renewed for SK_DECLARED_KEEP_MS, tasks too, is forgotten.  Empty:
   * nothing is taken away but what an item takes away. */
  struct sk_str owner;
  bool renew; /* in: changes nothing but what would be forgotten otherwise */
  const struct sk_task_item *items;
  size_t items_n;
  const struct sk_queue_settings *queues;
  size_t queues_n;
};
struct sk_tasks_op {
  struct sk_op op;
  struct sk_task_item *items; /* out, by name */
  size_t items_n;
  struct sk_queue_settings *queues; /* out, by name; those that are bound to anything */
  size_t queues_n;
  uint64_t moves; /* out: grows when the store may not be where this handle left it */
};

/* -- backup: a copy of the whole store in a file that must not be there yet (SK_EEXISTS), while others go on working.  Only of stores that
 * are a file: SK_EUNSUPPORTED. */
struct sk_backup_op {
  struct sk_op op;
  struct sk_str path;
  int64_t bytes; /* out: its size */
};

/* ------------------------------------------------------------------------------------------------------------------------ */

enum sk_durability { SK_DURABLE_FULL, SK_DURABLE_NORMAL };

/* Where a store's time comes from.  Zeroed: the machine's clocks (base/clock.h).  Tests bring their own and move it by hand.
 * Called from any thread of the store; both or neither are set. */
struct sk_store_clock {
  int64_t (*wall_ms)(void *ctx); /* due times, keep, running_since_ms */
  int64_t (*mono_ms)(
      void *ctx); /* leases: never steps, the same for all engines that share the store on this machine */
  void *ctx;
};

struct sk_store_options {
  struct sk_str url;    /* as the user wrote it; borrowed during open */
  struct sk_str engine; /* id of the engine that opens it; empty: a client, which can't fetch, settle or beat */
  int64_t lease_ms;
  enum sk_durability durability; /* sqlite: "full": enqueue and settle reach the disk before they are answered */
  bool must_exist;               /* a reading command: do not make a store that is not there (SK_ENOTFOUND) */
  const struct sk_log *log;      /* borrowed for the store's life; NULL: silent */
  struct sk_store_clock clock;
};

/* What the store tells whoever opened it, on the loop, never inside a call. */
struct sk_store_events {
  /* Something that others did: jobs may be READY, due earlier, finished, cancelled; a queue may be new, paused or resumed.
   * May come without a reason; comes within milliseconds where there is one.  This handle's own operations don't cause it. */
  void (*changed)(void *ctx);
  /* If set, it is called in place of `changed` by a store that knows what others did: jobs of those queues may be READY, or due earlier;
   * stops: a RUNNING job was cancelled.  With neither, jobs may have ended and queues have room. */
  void (*queues_changed)(void *ctx, const struct sk_str *queues, size_t n, bool stops);
  /* The store may be another one than before, or this engine not be on it any more: its next beat should come at once and says so.  May
   * come without a reason.  NULL: a client. */
  void (*beat_now)(void *ctx);
  void *ctx;
};

struct sk_store_ops {
  const char *scheme; /* "memory", "sqlite", ... */
  bool
      closes_to_fork; /* its library does not bear a fork: a client closes its handle before, and opens another after */

  void (*enqueue)(struct sk_store *, struct sk_enqueue_op *);
  void (*fetch)(struct sk_store *, struct sk_fetch_op *);   /* engines only */
  void (*settle)(struct sk_store *, struct sk_settle_op *); /* engines only */
  void (*beat)(struct sk_store *, struct sk_beat_op *);     /* engines only */
  void (*get)(struct sk_store *, struct sk_get_op *);
  void (*list)(struct sk_store *, struct sk_list_op *);
  void (*count)(struct sk_store *, struct sk_count_op *);
  void (*change)(struct sk_store *, struct sk_change_op *);
  void (*pause)(struct sk_store *, struct sk_pause_op *);
  void (*progress)(struct sk_store *, struct sk_progress_op *); /* engines only */
  void (*declare)(struct sk_store *, struct sk_declare_op *);
  void (*tasks)(struct sk_store *, struct sk_tasks_op *);
  void (*backup)(struct sk_store *, struct sk_backup_op *);

  /* The store's clock, ms, at once: what it would say now, as near as this handle knows (Redis: to a round trip). */
  int64_t (*now_ms)(struct sk_store *);

  /* Finishes what is submitted, gives up this engine's lease (jobs it still holds become READY, places kept), frees the store,
   * then calls cb once on the loop.  The handle is invalid from the call on. */
  void (*close)(struct sk_store *, void (*cb)(void *ctx), void *ctx);

  /* The process is about to end: no operation, submitted before or from now on, waits for a server, a lock or another process any
   * more.  Each is answered within milliseconds: SK_EUNAVAILABLE: it has not happened and will not; SK_EUNKNOWN: it may have, or may
   * yet.  close does not wait for them either.  May be called until close has called its cb. */
  void (*hurry)(struct sk_store *);
};

struct sk_store {
  const struct sk_store_ops *ops;
  int64_t
      timeout_ms; /* ?timeout= of its URL: how long enqueue, get, list, count, change, pause and tasks take at most; 0: they wait for nobody */
};

/* Opens the store that options->url names, by its scheme.  May block (opening files, connecting) up to 5 s.
 * SK_EINVAL: the URL is wrong or its scheme unknown.  SK_ENOTFOUND: must_exist.  SK_EUNAVAILABLE, SK_ECORRUPT, SK_EVERSION: it
 * can't be used, err says why; nothing was changed.  Opening as an engine takes back at once the jobs of engines
 * that are known to be dead (same machine).  `events` is copied. */
enum sk_code sk_store_open(struct sk_loop *loop, const struct sk_store_options *options,
                           const struct sk_store_events *events, struct sk_store **out, struct sk_err *err);

#endif
