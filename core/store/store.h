/* store.h - a store persists jobs behind one table of functions, the same for every store: asynchronous, and in
 * batches.
 *
 * Read in this order: the law and the table below, then ops.h (what each operation takes, answers and means), then the
 * rest of this file (opening, events, the table of functions).  The memory store is the specification that runs;
 * tests/contract runs one suite over every store.
 *
 * LAW
 *  - A store handle belongs to one loop (io/loop.h) and is called from that loop's thread only.  No call blocks, except
 *    the opening.  The loop stays alive at least while an operation is submitted.
 *  - Every operation is a struct that begins with a struct sk_op.  The caller fills the fields marked "in", sets cb and
 *    ctx, and submits the struct through its slot.  From then on the store owns the struct, until it calls cb: once, on
 *    the loop, and never inside the call that submitted the operation.  The store borrows the inputs for that time.
 *  - op.status tells how the whole operation went:
 *      SK_OK           it happened; each item of a batch has a status of its own
 *      SK_EUNAVAILABLE nothing happened; try again
 *      SK_EUNKNOWN     the connection broke before the answer: it may have happened; the table says what to do
 *      SK_ENOMEM       out of memory; nothing happened, or a part (settle: the items with SK_OK)
 *      SK_EINVAL, SK_ELIMIT (more than a limit allows), SK_EUNSUPPORTED: nothing happened, and op.err has a sentence
 *      that says why
 *    A store may give other codes (SK_ECORRUPT, SK_ESYS, SK_EVERSION) when it cannot work any more; op.err says why.
 *  - Outputs live in op.arena and stay valid until sk_op_fini, which the caller calls whether or not the operation was
 *    submitted.
 *  - "Atomic" means: after a crash at any moment, and to every other client, all of it has happened or none of it.
 *  - Time is the store's own clock (Redis TIME, else the wall clock of this machine).  Delays are given to the store,
 *    and waits are reported by it, relative to now, so a client's wrong clock shifts no job.  A record that comes in
 *    (enqueue, callbacks) gets the times of that clock (sk_record_stamp): enqueued_ms is now, and expires_ms keeps its
 *    distance to it.
 *
 * OPERATIONS
 *   slot     who     statuses of an item       atomic           after SK_EUNKNOWN  wakes others      cost grows with
 *   -------- ------- ------------------------- ---------------- ------------------ ----------------- -----------------
 *   enqueue  all     OK EEXISTS ELIMIT         per item (1)     repeat (2)         yes               items
 *   fetch    engines -                         whole            do not repeat (3)  yes (4)           queues, jobs (5)
 *   settle   engines OK ESTALE ESTATE          per item (6)     repeat (2)         yes               items, callbacks
 *   beat     engines -                         per engine gone  repeat             when jobs return  engines, jobs (5)
 *   get      all     (state NONE: no such job) per job          repeat             no                ids
 *   list     all     -                         no, in steps     repeat             no                jobs looked at
 *   count    all     -                         per queue        repeat             no                queues
 *   change   all     OK ENOTFOUND ESTATE       per job          repeat (2)         yes               jobs looked at
 *   pause    all     -                         whole            repeat             yes               -
 *   progress engines (a stale item is skipped) per item         drop it            no                items
 *   declare  all     -                         whole (7)        repeat             yes (7)           tasks, queues
 *   tasks    all     -                         per task, queue  repeat             no                tasks, queues
 *   backup   all     -                         whole            repeat, new path   no                bytes
 *   close    all     -                         per job returned -                  when jobs return  jobs held
 *   (1) sqlite and memory: the whole batch.  Redis: the items that one script call takes.
 *   (2) A repeat tells what happened.  enqueue, EEXISTS without a holder: the job is there.  settle, ESTALE: it was
 *       settled.  change by id, ESTATE (DELETE: ENOTFOUND): it was changed; cancelling a RUNNING job again is OK.
 *   (3) The store itself hands back the jobs whose answer nobody received.
 *   (4) When a full queue with overflow "block" gets room; else no.
 *   (5) Bounded: a fetch promotes and takes a bounded number; a beat goes in steps.
 *   (6) With its callbacks and the counters.
 *   (7) Groups of a limit that changed may follow in steps.  It wakes others when it has queue settings; a declaration
 *       of tasks alone may wake others or not.
 *
 *   Contract tests hold the columns.  Who: law_test.c (a_client_cannot_..., a_client_may_...).  Statuses:
 *   admission_test.c, rules_test.c, change_test.c, law_test.c (progress_skips_...).  Repeats: law_test.c (a_repeat...,
 *   a_backup_...), settle_test.c (a_repeat_is_stale_for_every_kind).  Wakes: events_test.c.  Cost: steps_test.c.
 *   Atomic: the crash tests of each store (tests/unit, tests/system), and the model (model_test.c) between crashes. */
#ifndef SK_STORE_STORE_H
#define SK_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "store/ops.h"

struct sk_loop;
struct sk_store;

/* -- opening ------------------------------------------------------------------------------------------------------- */

enum sk_durability { SK_DURABLE_FULL, SK_DURABLE_NORMAL };

/* The source of a store's time.  Zeroed: the machine's clocks (base/clock.h).  Tests bring their own and move it by
 * hand.  Both functions are set or neither is; they are called from any thread of the store. */
struct sk_store_clock {
  int64_t (*wall_ms)(void *ctx); /* due times, keep, running_since_ms */
  /* leases; never steps, the same for all engines that share the store on this machine */
  int64_t (*mono_ms)(void *ctx);
  void *ctx;
};

struct sk_store_options {
  struct sk_str url;    /* as the user wrote it; borrowed during open */
  struct sk_str engine; /* the engine's id; empty: a client, which must not fetch, settle, beat or report progress */
  int64_t lease_ms;
  enum sk_durability durability; /* sqlite: with FULL, enqueue and settle reach the disk before they are answered */
  bool must_exist;               /* a reading command: do not make a store that is not there (SK_ENOTFOUND) */
  const struct sk_log *log;      /* borrowed for the store's life; NULL: silent */
  struct sk_store_clock clock;
};

/* EVENTS: the store calls these on the loop, never inside a call. */
struct sk_store_events {
  /* Others did something: jobs may be READY, due earlier, finished or cancelled; a queue may be new, paused or resumed.
   *  The call comes within milliseconds after its cause, and may come without one.  The handle's own operations do not
   *  cause it. */
  void (*changed)(void *ctx);
  /* If set, a store that knows what others did calls this in place of `changed`: jobs of these queues may be READY or
   * due earlier; with `stops`, a RUNNING job was cancelled.  With no queue and no stop, jobs may have ended and queues
   * may have room. */
  void (*queues_changed)(void *ctx, const struct sk_str *queues, size_t n, bool stops);
  /* The store may be another one than before, or may have forgotten this engine: the next beat should come at once, and
   * reports it.  The call may come without a cause.  NULL: a client. */
  void (*beat_now)(void *ctx);
  void *ctx;
};

/* Opens the store that options->url names, by its scheme.  May block (opening files, connecting) up to 5 s.
 * SK_EINVAL: the URL is wrong or its scheme unknown.  SK_ENOTFOUND: must_exist.  SK_EUNAVAILABLE, SK_ECORRUPT,
 * SK_EVERSION: the store cannot be used, err says why, and nothing was changed.  Opening as an engine takes back at
 * once the jobs of engines that are known to be dead (same machine).  `events` is copied. */
enum sk_code sk_store_open(struct sk_loop *loop, const struct sk_store_options *options,
                           const struct sk_store_events *events, struct sk_store **out, struct sk_err *err);

/* -- the table of functions ---------------------------------------------------------------------------------------- */

struct sk_store_ops {
  const char *scheme; /* "memory", "sqlite", ... */
  /* its library does not survive a fork: a client closes its handle before, and opens another after */
  bool closes_to_fork;

  /* See OPERATIONS above, and ops.h. */
  void (*enqueue)(struct sk_store *, struct sk_enqueue_op *);
  void (*fetch)(struct sk_store *, struct sk_fetch_op *);
  void (*settle)(struct sk_store *, struct sk_settle_op *);
  void (*beat)(struct sk_store *, struct sk_beat_op *);
  void (*get)(struct sk_store *, struct sk_get_op *);
  void (*list)(struct sk_store *, struct sk_list_op *);
  void (*count)(struct sk_store *, struct sk_count_op *);
  void (*change)(struct sk_store *, struct sk_change_op *);
  void (*pause)(struct sk_store *, struct sk_pause_op *);
  void (*progress)(struct sk_store *, struct sk_progress_op *);
  void (*declare)(struct sk_store *, struct sk_declare_op *);
  void (*tasks)(struct sk_store *, struct sk_tasks_op *);
  void (*backup)(struct sk_store *, struct sk_backup_op *);

  /* The store's clock in ms, at once: its time now, as near as this handle knows it (Redis: within a round trip). */
  int64_t (*now_ms)(struct sk_store *);

  /* Finishes the operations that are submitted, gives up this engine's lease (jobs that it still holds become READY,
   * places kept), frees the store, then calls cb once on the loop.  The handle is invalid from the call on. */
  void (*close)(struct sk_store *, void (*cb)(void *ctx), void *ctx);

  /* The process is about to end.  No operation, submitted before or from now on, waits any more for a server, a lock or
   * another process; each is answered within milliseconds.  SK_EUNAVAILABLE: it has not happened and will not.
   * SK_EUNKNOWN: it may have happened, or may happen yet.  close does not wait for them either.  May be called until
   * close has called its cb. */
  void (*hurry)(struct sk_store *);
};

struct sk_store {
  const struct sk_store_ops *ops;
  /* ?timeout= of the URL: the longest time that enqueue, get, list, count, change, pause and tasks take; 0: they never
   * wait for another process. */
  int64_t timeout_ms;
};

#endif
