/* state.h - what the files of the engine share.  Private to core/engine.
 *
 * A job that this engine holds is a struct sk_run, and the list it is in is its state:
 *
 *   fetch.c ──► e->local ──dispatch.c──► worker->runs ──settle.c──► batch ──► freed
 *                  ▲   (offered, started: see share.h)   │              (store says SK_OK or SK_ESTALE)
 *                  └──────────── taken back ─────────────┘
 *
 * Only settle.c takes a run out for good, whatever ended it. */
#ifndef SK_ENGINE_STATE_H
#define SK_ENGINE_STATE_H

#include "base/buf.h"
#include "base/heap.h"
#include "base/id.h"
#include "base/list.h"
#include "engine/engine.h"
#include "engine/request.h"
#include "engine/share.h"
#include "engine/tasks.h"
#include "io/child.h"
#include "io/loop.h"
#include "io/pipe.h"

struct sk_worker;

struct sk_run {
  struct sk_list node;
  struct sk_engine *engine;
  struct sk_job job;          /* slices into `bytes`, or into `said` */
  const struct sk_task *task; /* NULL when unknown */
  struct sk_str id;
  struct sk_str queue;        /* the one it was fetched from */
  enum sk_code broken;        /* not SK_OK: its record can't be read, and `record` holds it as it is */
  uint64_t fence;
  int64_t timeout_ms;         /* soft; 0 = none */
  /* while with a worker */
  struct sk_worker *worker;
  uint32_t slot;
  uint32_t generation;
  struct sk_heap_node hard;   /* in e->hard: when the worker is to be looked at, monotonic ms */
  /* while settling */
  struct sk_decision decision;
  bool crashed;
  struct sk_buf said;         /* owned: what the outcome's slices point into */
  struct sk_buf record;       /* owned: the record to store */
  char bytes[];               /* the record as fetched, the queue's name, the id */
};

enum sk_worker_state { SK_WORKER_STARTING, SK_WORKER_READY, SK_WORKER_DRAINING };

/* Why the core killed a worker. */
enum sk_kill { SK_KILL_NONE, SK_KILL_TIMEOUT, SK_KILL_MEMORY, SK_KILL_SHUTDOWN, SK_KILL_BROKEN };

struct sk_worker {
  struct sk_list node; /* in e->workers */
  struct sk_engine *engine;
  uint32_t number;     /* 1, 2, ...: its place; a replacement gets the same */
  uint64_t round;      /* e->round when it was started: older ones are drained after a reload */
  enum sk_worker_state state;
  struct sk_child *child;
  int pid;
  struct sk_pipe *pipe;
  struct sk_share *share;
  struct sk_list runs;
  uint32_t load;       /* runs offered and started */
  struct sk_run **by_slot; /* owned; the run in each slot */
  uint32_t *free_slots; /* owned stack of free slot numbers */
  uint32_t free_n;
  int64_t started_ms;  /* monotonic */
  bool stuck;          /* a job has not yielded for a while: it is offered nothing more */
  bool pipe_closed, exited;
  int exit_status, term_signal;
  enum sk_kill killed;
  struct sk_run *culprit; /* the run it was killed for */
};

struct sk_progress_batch;

struct sk_engine {
  struct sk_engine_options options;
  struct sk_loop *loop;
  const struct sk_log *log;
  struct sk_store *store; /* NULL once it is being closed */
  char id[SK_ID_BYTES + 1];
  struct sk_idgen idgen;
  struct sk_tasks *tasks;
  struct sk_requests *requests;
  struct sk_engine_totals totals;
  struct sk_err failure; /* why it could not start */
  struct sk_defer *turn; /* dispatch, fetch and settle, once before the loop waits */

  /* dispatch.c */
  struct sk_list local; /* fetched, with no worker yet */
  size_t local_n;
  size_t held_n;        /* local + with workers */

  /* supervisor.c */
  struct sk_list workers;
  uint64_t round;
  uint32_t deaths_in_a_row; /* workers that died before they were ready */
  struct sk_timer *respawn;
  struct sk_heap hard;
  struct sk_timer *hard_timer;
  struct sk_timer *janitor; /* stuck workers, memory, steps of the wall clock */
  bool janitor_busy;        /* it looks often, as long as jobs run */
  int64_t memory_at_ms;     /* when memory is looked at next, monotonic */
  int64_t wall_minus_mono_ms;

  /* fetch.c */
  struct sk_fetch_op *fetch;
  struct sk_fetch_queue *fetch_queues; /* owned; the fetch under way borrows it */
  struct sk_queue_plan *plan;          /* owned */
  size_t plan_n;                       /* length of both */
  struct sk_queue_spec *queues;        /* owned array; names in queues_names */
  size_t queues_n;
  struct sk_arena queues_names;
  bool queues_all;        /* serve every queue there is */
  uint64_t queues_version;
  bool queues_stale;
  struct sk_count_op *counting;
  bool fetching;
  bool fetch_wanted;      /* something may be there */
  bool fetch_again;       /* ... since the fetch under way was sent */
  struct sk_timer *due;   /* when to look again: due jobs, safety poll, back-off */
  int64_t due_at_ms;      /* monotonic; when `due` fires */
  int64_t fetch_backoff_ms;
  double per_ms;          /* completions, smoothed: how far ahead to fetch */
  int64_t rate_at_us;
  int64_t rate_n;
  bool drain_check;

  /* settle.c */
  struct sk_list settling; /* runs with a decision, not submitted */
  size_t settling_n;
  size_t settles_in_flight;
  size_t settles_runs; /* runs in batches in flight */
  struct sk_timer *settle_retry;
  int64_t settle_backoff_ms;
  bool store_down; /* logged once */

  /* engine.c */
  struct sk_beat_op *beat;
  bool beating;
  struct sk_timer *beat_timer;
  struct sk_timer *shutdown;
  bool declaring;
  struct sk_progress_batch *progress; /* not yet sent: progress.c */
  bool progress_in_flight;
  bool held; /* TSTP */
  bool drain_counting;
  bool give_up; /* stop without the outcomes that the store did not take */
  bool stopping, closing, stopped;
  bool ever_ready; /* a worker has loaded the scripts */
};

/* engine.c */
void sk_engine_wake(struct sk_engine *e); /* work for the turn's end */
void sk_engine_store_failed(struct sk_engine *e, const char *what, const struct sk_err *err);
void sk_engine_store_works(struct sk_engine *e);
void sk_engine_check_stopped(struct sk_engine *e);
void sk_engine_fail(struct sk_engine *e, const struct sk_err *err); /* can't go on: stop, with this outcome */

/* run.c */
struct sk_run *sk_run_new(struct sk_engine *e, const struct sk_held *held, struct sk_err *err);
void sk_run_free(struct sk_run *run);

/* fetch.c */
enum sk_code sk_fetch_start(struct sk_engine *e, struct sk_err *err);
void sk_fetch_stop(struct sk_engine *e);
void sk_fetch_wake(struct sk_engine *e);                   /* there may be jobs */
void sk_fetch_due_within(struct sk_engine *e, int64_t ms); /* a job becomes due then */
void sk_fetch_turn(struct sk_engine *e);
void sk_fetch_queues_changed(struct sk_engine *e);
void sk_fetch_count_done(struct sk_engine *e, size_t n);   /* n jobs ended */
size_t sk_fetch_depth(const struct sk_engine *e);          /* how many jobs to hold beyond the free slots */

/* dispatch.c */
void sk_dispatch_add(struct sk_engine *e, struct sk_run *run, bool front);
void sk_dispatch_turn(struct sk_engine *e);
/* Takes an offered job back from its worker: it is in e->local again.  False when the worker has started it. */
bool sk_dispatch_take_back(struct sk_run *run);
void sk_dispatch_take_back_all(struct sk_engine *e);
/* Frees the run's slot; it is in no list afterwards. */
void sk_dispatch_detach(struct sk_run *run);

/* settle.c */
void sk_settle(struct sk_run *run, const struct sk_outcome *outcome);
void sk_settle_broken(struct sk_run *run, const struct sk_err *why); /* a run whose record can't be read */
void sk_settle_turn(struct sk_engine *e);
bool sk_settle_idle(const struct sk_engine *e);

/* supervisor.c */
enum sk_code sk_supervisor_start(struct sk_engine *e, struct sk_err *err);
void sk_supervisor_reload(struct sk_engine *e);
void sk_supervisor_drain(struct sk_engine *e);  /* workers end when their jobs have */
void sk_supervisor_kill_all(struct sk_engine *e);
void sk_supervisor_kill(struct sk_worker *w, enum sk_kill why, struct sk_run *culprit);
void sk_supervisor_watch(struct sk_run *run);   /* arms its hard timeout */
void sk_supervisor_turn(struct sk_engine *e);
void sk_supervisor_ready(struct sk_worker *w);
void sk_supervisor_free(struct sk_engine *e);
uint32_t sk_supervisor_ready_n(const struct sk_engine *e);

/* progress.c */
void sk_progress_say(struct sk_run *run, int32_t percent, struct sk_str note);
void sk_progress_turn(struct sk_engine *e);
void sk_progress_free(struct sk_engine *e);

/* link.c: frames from a worker */
size_t sk_link_bytes(void *worker, struct sk_str in);

#define SK_WORKER_OF(n) SK_CONTAINER(n, struct sk_worker, node)
#define SK_RUN_OF(n) SK_CONTAINER(n, struct sk_run, node)

#endif
