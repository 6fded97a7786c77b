/* state.h - the state that the files of the engine share.  Private to core/engine.
 *
 * A job that this engine holds is a struct sk_run.  The list that a run is in is its state, and run.c makes every move
 * between lists:
 *
 *   fetch.c ─► e->local ─dispatch.c─► worker->runs ─settle.c─► e->settling ─► a batch ─► freed, once the store
 *                 ▲   (offered, started: slot_page.h) │                        answers SK_OK or SK_ESTALE
 *                 └─────────── taken back ────────────┘
 *
 * A run whose end is decided and whose handlers have not run makes one more round first (late_handlers.c): e->late,
 * worker->runs, e->settling.  A suspect, a job that dies with its next crash, waits in e->suspects for a worker of its
 * own.
 *
 * The files are a ladder: each calls only files of lower levels.
 *
 *   9  engine                         the turn, the stop, the start
 *   8  lease, janitor                 the lease; polls for what raises no event
 *   7  dispatch, worker_frames        which worker gets which run; the frames that workers send
 *   6  supervisor                     the life of workers
 *   5  fetch                          the way in
 *   4  cancel, reap, drain            ends from outside: by a user, with a worker, for want of jobs
 *   3  settle, deadline               how a run ends
 *   2  late_handlers, worker          one more round for handlers; kill and drain
 *      intake, declare                requests of workers; declarations of scripts
 *   1  run, wake, served, request     the lists; when to fetch; warnings; requests to the store
 *   0  outage, pace, progress, output, tasks, callbacks, queue_set, slot_page, waits, blocked_enqueue */
#ifndef SK_ENGINE_STATE_H
#define SK_ENGINE_STATE_H

#include <sys/stat.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/heap.h"
#include "base/id.h"
#include "base/limits.h"
#include "base/list.h"
#include "engine/callbacks.h"
#include "engine/engine.h"
#include "engine/queue_set.h"
#include "engine/request.h"
#include "engine/slot_page.h"
#include "engine/tasks.h"
#include "io/child.h"
#include "io/loop.h"
#include "io/pipe.h"

struct sk_worker;
struct sk_progress;

/* The list that a run is in. */
enum sk_run_place {
  SK_RUN_NOWHERE,   /* on its way from one list to another, within one call */
  SK_RUN_LOCAL,     /* e->local: waits for a worker */
  SK_RUN_SUSPECT,   /* e->suspects: waits for a worker without another suspect */
  SK_RUN_LATE,      /* e->late: its end is decided; its handlers wait for a worker */
  SK_RUN_GIVEN,     /* worker->runs: offered or started */
  SK_RUN_SETTLING,  /* e->settling: decided, not sent */
  SK_RUN_SENT,      /* in a batch that the store has */
  SK_RUN_SET_ASIDE, /* e->set_aside: the store refused its settle; it is sent again with the next beat */
};

struct sk_run {
  struct sk_list node;
  enum sk_run_place place;
  struct sk_engine *engine;
  struct sk_job job;          /* slices into `bytes` or `outcome_text` */
  const struct sk_task *task; /* NULL: no script declares its task */
  struct sk_str id;
  struct sk_str queue; /* the queue that it was fetched from */
  /* Not SK_OK: the record cannot be read or breaks a rule.  `record` then holds what is stored: with the reason if it
   * can be read. */
  enum sk_code broken;
  uint64_t fence;
  int64_t timeout_ms;       /* soft timeout of the attempt, or of the late handlers; 0: none */
  bool may_expire;          /* it has an expiry that is checked until it starts */
  int64_t suspect_since_ms; /* when it came into e->suspects; monotonic */
  /* with a worker */
  struct sk_worker *worker;
  uint32_t slot;
  uint32_t generation;
  struct sk_heap_node hard;     /* in e->hard; its key: when deadline.c looks at the worker, monotonic ms */
  unsigned worker_number;       /* the worker it was offered to last; 0: none yet */
  struct sk_progress *progress; /* owned by progress.c; NULL: the job has reported nothing */
  int64_t cancelled_ms;         /* when its worker was told that it is cancelled; monotonic; 0: it was not */
  /* at its end */
  struct sk_decision decision;
  enum sk_ending ending;
  int64_t started_ms;             /* start of the attempt, wall clock; 0: it has not started */
  bool no_handlers_ran;           /* set before sk_settle: the worker could not run handlers for this end */
  bool late;                      /* its handlers wait for a worker, or run there (late_handlers.c) */
  int64_t late_since_ms;          /* when it became late; monotonic */
  struct sk_callbacks *callbacks; /* owned; NULL: none */
  int64_t uncertain_ms; /* a settle's answer was lost: when the lease was last renewed before; monotonic; 0: none was */
  bool refused;         /* the store has refused its settle when it stood alone in a batch */
  bool made_dead;       /* its end could not be stored, so it is to be dead for that reason */
  bool surplus;         /* handed back before its start while the engine goes on: no total counts it */
  struct sk_buf outcome_text; /* owned: the slices of the outcome point into it */
  struct sk_buf record;       /* owned: the record to store */
  struct sk_buf story;        /* owned: history and log of the record */
  size_t counted;             /* its bytes in e->held_bytes */
  char bytes[];               /* the record as fetched, the queue's name, the id */
};

/* A worker is STARTING until it has loaded the scripts.  All READY workers have loaded them in the same round
 * (supervisor.c). */
enum sk_worker_state { SK_WORKER_STARTING, SK_WORKER_READY, SK_WORKER_DRAINING };

/* Why the core killed a worker, and which of its jobs is to blame. */
enum sk_kill {
  SK_KILL_NONE,        /* not killed: the job on the CPU, or every started job */
  SK_KILL_TIMEOUT,     /* worker->culprit */
  SK_KILL_MEMORY,      /* as for NONE */
  SK_KILL_BROKEN,      /* it sent a frame without sense: as for NONE */
  SK_KILL_UNREACHABLE, /* the core cannot talk to it any more: no job */
  SK_KILL_SHUTDOWN,    /* no job */
};

/* A worker's requests to the store; owned by intake.c. */
struct sk_intake {
  struct sk_list waiting; /* requests that have not begun */
  size_t waiting_n, waiting_bytes;
  size_t begun_bytes; /* what the requests under way may take */
};

struct sk_worker {
  struct sk_list node; /* in e->workers */
  struct sk_engine *engine;
  uint32_t number; /* its place, from 1; a replacement gets the same number */
  uint64_t serial; /* unique in this engine, never used again */
  uint64_t round;  /* e->round when it was started; a reload drains the workers of older rounds */
  enum sk_worker_state state;
  struct sk_child *child;
  int pid;
  struct sk_pipe *pipe;
  struct sk_output *output[2]; /* readers of its stdout and stderr */
  struct sk_slot_page *slot_page;
  uint32_t slots_n;
  struct sk_list runs;     /* its runs, in the order in which they were offered */
  uint32_t load;           /* how many they are */
  bool used;               /* it has been offered a job */
  bool filling;            /* dispatch.c gives it jobs in this turn */
  struct sk_run **by_slot; /* owned; the run in each slot */
  uint32_t *free_slots;    /* owned stack of free slot numbers */
  uint32_t free_n;
  int64_t started_ms;        /* monotonic */
  bool stuck;                /* a job has kept the CPU for a while: the worker is offered nothing more (janitor.c) */
  bool refused;              /* it reported that the scripts cannot be loaded */
  bool slow_told;            /* the log tells that it takes long to load the scripts */
  bool broken;               /* it sent a frame without sense: its frames are not read any more */
  unsigned half_frame_looks; /* how many looks of the janitor in a row have found half a frame */
  bool pipe_closed, exited;
  int exit_status, term_signal;
  enum sk_kill killed;
  struct sk_run *culprit; /* the run that it was killed for */
  uint32_t suspects_n;    /* how many of its runs are suspects */
  struct sk_intake intake;
  bool not_read; /* the core does not read its pipe for now (intake.c) */
};

/* The store calls whose failure makes an outage.  It lasts until all of them work again, and the log tells of it once.
 */
enum sk_chore { SK_CHORE_FETCH, SK_CHORE_SETTLE, SK_CHORE_BEAT, SK_CHORE_COUNT, SK_CHORE_DECLARE };

struct sk_engine {
  struct sk_engine_options options;
  struct sk_loop *loop;
  const struct sk_log *log;
  struct sk_store *store; /* NULL once it is being closed */
  char id[SK_ID_BYTES + 1];
  struct sk_idgen idgen;
  struct sk_random random;
  struct sk_tasks *tasks;
  struct sk_requests *requests;
  struct sk_engine_totals totals;
  struct sk_err failure; /* why the engine cannot go on; the turn stops it then */
  struct sk_defer *turn; /* engine.c's turn, once before the loop waits */
  bool stopping;         /* sk_engine_stop was called */
  bool killing;          /* the stop waits for no job */
  bool give_up;          /* the stop does not wait for the store either */
  bool closing, stopped; /* the store is being closed; the end was reported */
  bool fetching_paused;  /* by sk_engine_hold */
  bool ever_ready;       /* a worker has loaded the scripts */

  /* run.c */
  struct sk_list local, suspects, late, settling, set_aside; /* see enum sk_run_place */
  size_t local_n, suspects_n, late_n, settling_n;
  size_t given_n;    /* runs in the lists of workers */
  size_t held_bytes; /* of all runs, those that are being settled too */

  /* outage.c */
  unsigned troubles; /* a bit per enum sk_chore: it failed and has not worked since */
  unsigned hurried;  /* a bit per enum sk_chore: it was tried early because another chore worked */
  bool works_again;  /* a chore has worked during an outage: the turn tries the others */
  bool outage_over;  /* all chores work: the turn looks again at everything */

  /* pace.c */
  double record_bytes;     /* size of a fetched record, smoothed */
  double fetch_ms;         /* duration of a fetch, smoothed */
  double per_ms;           /* jobs that end in a millisecond, smoothed */
  int64_t rate_at_us;      /* when per_ms was computed last; monotonic */
  int64_t rate_n;          /* jobs that have ended since */
  int64_t silent_since_ms; /* when a job ended last, or workers got their first one; monotonic */

  /* wake.c */
  bool fetch_wanted;          /* the store may have jobs for this engine */
  bool fetch_again;           /* the same, found out since the fetch under way was sent */
  bool cancels_wanted;        /* running jobs may have been cancelled since the last fetch was sent */
  bool count_wanted;          /* a count is to find out which queues have jobs */
  bool count_deep;            /* ... including jobs that became due earlier than was known */
  struct sk_timer *due;       /* fires at due_at_ms: due jobs, the safety poll, the end of a back-off */
  int64_t due_at_ms;          /* monotonic */
  struct sk_queue_set served; /* the queues to fetch from */
  bool queues_wrong;          /* the log tells that the store has queues whose names break the rules */

  /* fetch.c */
  struct sk_fetch_op *fetch;
  struct sk_fetch_queue fetch_queues[SK_FETCH_QUEUES_MAX]; /* borrowed by the fetch under way */
  struct sk_queue_set former;   /* the queues served when the fetch under way was sent, if they have changed since */
  uint64_t queues_version;      /* of the store's list of queues, as counted last */
  bool queues_stale;            /* the store may have queues that are not known here */
  struct sk_count_op *counting; /* the count under way; served.c uses it, too */
  int64_t count_at_ms;          /* no count is sent before; monotonic */
  int64_t safety_at_ms;         /* when all queues are looked at without a reason; monotonic */
  bool fetching;                /* a fetch is under way, or its jobs wait for memory */
  size_t fetch_taken;           /* of the fetched jobs */
  bool fetch_stuck;             /* the other fetched jobs wait for memory */
  bool fetch_looks;             /* the fetch under way takes no jobs: it looks for cancelled ones */
  struct sk_timer *look;        /* while it runs, no other look for cancelled jobs is sent */
  int64_t fetch_backoff_ms;     /* after failures; 0: none */
  int64_t fetch_sent_us;        /* monotonic */

  /* settle.c */
  size_t settles_in_flight;
  size_t settles_runs;     /* runs of the batches in flight */
  size_t settles_bytes;    /* bytes of the batches in flight */
  size_t settle_batch_max; /* items of the next batch; fewer after the store has refused a batch */
  struct sk_timer *settle_retry;
  int64_t settle_backoff_ms;

  /* progress.c */
  struct sk_list progress; /* reports that the store does not have */
  bool progress_in_flight;

  /* declare.c */
  char owner[17];      /* digest of options.application; empty: the tasks have no owner */
  int64_t declared_ms; /* monotonic */
  bool declaring;
  bool declare_wanted; /* the store may not know all tasks */

  /* deadline.c */
  struct sk_heap hard;
  struct sk_timer *hard_timer;

  /* supervisor.c */
  struct sk_list workers;
  size_t (*on_bytes)(void *worker, struct sk_str in); /* reads a worker's frames: worker_frames.c */
  struct stat program;                                /* the file options.program as it was at the start */
  uint64_t round;           /* number of the round that loads the scripts: 0, and one more with each reload */
  uint64_t ready_round;     /* the newest round in which a worker was ready */
  bool refused;             /* the scripts of `round` cannot be loaded: those of ready_round stay */
  uint64_t serials;         /* serial of the last worker */
  uint32_t deaths_in_a_row; /* workers that died before they were ready or had a job */
  struct sk_timer *respawn;

  /* dispatch.c */
  uint32_t fill_max; /* how many workers get short jobs in one turn */
  struct sk_timer *next_turn;
  bool late_worker_started; /* a worker was started during the stop, for the late handlers that were left */

  /* janitor.c */
  struct sk_timer *janitor;
  bool janitor_busy;          /* it looks often, because workers have jobs */
  bool guard_told;            /* the log says that the guard is gone and cannot be started */
  int64_t memory_at_ms;       /* when it looks at the workers' memory next; monotonic */
  int64_t wall_minus_mono_ms; /* a change of it is a step of the wall clock */

  /* lease.c */
  struct sk_beat_op *beat;
  bool beating;
  bool beat_late;    /* the beat under way was so too when the next one was due */
  int64_t beaten_ms; /* when the lease was renewed last; monotonic */
  struct sk_timer *beat_timer;

  /* drain.c, for options.drain */
  bool drain_check;    /* a fetch has found nothing: count what is left */
  bool drain_futile;   /* the last count found READY jobs, and no fetch since has got one or named a due time */
  bool drain_counting; /* a count is under way */
  bool drain_doubted;  /* the last count found nothing to do, but the store changed meanwhile */
  bool drained;        /* the last count has found nothing to do */

  /* engine.c */
  struct sk_timer *shutdown;
  bool left;                      /* stopped although the store did not come to an end */
  struct sk_store *closing_store; /* the store that is being closed */
};

/* Has the engine's turn run before the loop waits. */
static inline void sk_engine_wake(struct sk_engine *e) {
  if (!e->stopped) sk_defer_mark(e->turn);
}

/* The store's clock. */
static inline int64_t sk_engine_now_ms(const struct sk_engine *e) {
  return e->store ? e->store->ops->now_ms(e->store) : sk_clock_wall_ms();
}

/* The engine cannot go on: its turn stops it, and sk_engine_outcome gives the first reason. */
static inline void sk_engine_fail(struct sk_engine *e, const struct sk_err *err) {
  if (e->failure.code == SK_OK) e->failure = *err;
  sk_engine_wake(e);
}

/* It stops, or will with its next turn. */
static inline bool sk_engine_is_ending(const struct sk_engine *e) { return e->stopping || e->failure.code != SK_OK; }

/* How many runs the engine holds whose end is not decided, or whose late handlers have not run. */
static inline size_t sk_engine_runs_n(const struct sk_engine *e) {
  return e->local_n + e->suspects_n + e->late_n + e->given_n;
}

/* -- outage.c: the store fails, and works again -------------------------------------------------------------------- */
void sk_outage_failed(struct sk_engine *e, enum sk_chore chore, const struct sk_err *err);
void sk_outage_works(struct sk_engine *e, enum sk_chore chore);

/* -- served.c ------------------------------------------------------------------------------------------------------ */
void sk_served_check(struct sk_engine *e); /* warns of queues to serve that neither a script nor the store has */

/* -- progress.c: job:progress and job:log -------------------------------------------------------------------------- */
void sk_progress_report(struct sk_run *run, int32_t percent, struct sk_str progress_text);
void sk_progress_add_log(struct sk_run *run, struct sk_str text);
struct sk_str sk_progress_log(const struct sk_run *run); /* the lines of this attempt, as many as are kept */
void sk_progress_mute(struct sk_run *run);               /* the store need not get its reports any more */
void sk_progress_free(struct sk_run *run);
void sk_progress_turn(struct sk_engine *e);

/* -- pace.c: how many jobs to hold --------------------------------------------------------------------------------- */
void sk_pace_init(struct sk_engine *e);
void sk_pace_job_ended(struct sk_engine *e);
void sk_pace_first_job(struct sk_engine *e); /* a worker gets a job when none has any */
void sk_pace_fetched(struct sk_engine *e, const struct sk_fetch_op *fetched); /* measures the fetch */
bool sk_pace_jobs_are_long(const struct sk_engine *e);                        /* none has ended for a while */
size_t sk_pace_depth(const struct sk_engine *e); /* how many jobs to hold beyond the free slots */
int64_t sk_pace_capacity(
    const struct sk_engine *e); /* how many more jobs to take; negative: how many too many are held */

/* -- wake.c: when to fetch ----------------------------------------------------------------------------------------- */
void sk_wake_fetch(struct sk_engine *e);                                     /* there may be capacity, or a job */
void sk_wake_cancels(struct sk_engine *e);                                   /* running jobs may have been cancelled */
void sk_wake_all_queues(struct sk_engine *e);                                /* any queue may have jobs */
void sk_wake_queue(struct sk_engine *e, struct sk_str queue, int64_t in_ms); /* it has a job due then; 0: now */
void sk_wake_counted(struct sk_engine *e, const struct sk_count_op *count);  /* which queues have jobs */
void sk_wake_fetch_within(struct sk_engine *e, int64_t ms);                  /* looks again after ms at the latest */

/* -- intake.c: requests of workers, and the memory that they may take ---------------------------------------------- */
void sk_intake_init(struct sk_worker *w);
void sk_intake_fini(struct sk_worker *w);
void sk_intake_ask(struct sk_worker *w, uint64_t request, unsigned operation, struct sk_str payload);
void sk_intake_turn(struct sk_engine *e); /* begins requests that wait, and reads workers again */
void sk_intake_blocked(void *asked);      /* a request waits for capacity in a queue: it does not count meanwhile */

/* -- declare.c ----------------------------------------------------------------------------------------------------- */
/* Tells the store which tasks and queue settings the scripts have, when it may not know. */
void sk_declare_tasks(struct sk_engine *e);
void sk_declare_log(const struct sk_engine *e); /* how many tasks are served */

/* -- run.c: a run, and its moves between lists --------------------------------------------------------------------- */
/* NULL with err when memory is out.  A run whose record is broken has run->broken set, with the reason in err. */
struct sk_run *sk_run_new(struct sk_engine *e, const struct sk_fetched *fetched, struct sk_err *err);
void sk_run_count(struct sk_run *run);            /* its bytes have changed: counts them again */
void sk_run_free(struct sk_run *run);             /* takes it out of its list first */
void sk_run_take(struct sk_run *run);             /* out of its list, and out of its slot: it is nowhere then */
void sk_run_wait(struct sk_run *run, bool front); /* for a worker: in e->local, or in e->late if it is late */
void sk_run_wait_alone(struct sk_run *run);       /* in e->suspects */
void sk_run_give(struct sk_run *run, struct sk_worker *w); /* into a free slot, as offered; the frame is dispatch.c's */
bool sk_run_withdraw(struct sk_run *run);  /* takes it out of its slot; false: the worker has started it */
bool sk_run_take_back(struct sk_run *run); /* the same, and it waits in front of all others */
size_t sk_run_take_back_last(struct sk_worker *w, size_t n); /* up to n of a worker, the last ones first */
void sk_run_take_back_from(struct sk_worker *w);             /* all that it has not started, in their order */
void sk_run_take_back_all(struct sk_engine *e);
void sk_run_settle(struct sk_run *run);            /* its end is decided and its handlers have run: to e->settling */
void sk_run_send(struct sk_run *run);              /* into a batch for the store */
void sk_run_send_back(struct sk_run *run);         /* the batch was not stored: in front of e->settling */
void sk_run_settle_dead(struct sk_run *run);       /* from a batch to the end of e->settling, with another decision */
void sk_run_set_aside(struct sk_run *run);         /* from a batch */
void sk_run_settle_set_aside(struct sk_engine *e); /* all that were set aside, to e->settling */
void sk_run_undecide(struct sk_run *run); /* out of a batch; its job is as it was fetched, nothing is decided */

/* -- late_handlers.c ----------------------------------------------------------------------------------------------- */
bool sk_late_handlers_are_due(
    const struct sk_run *run); /* its end is decided, and there are handlers that have not run */
void sk_late_handlers_begin(struct sk_run *run);
void sk_late_handlers_end(struct sk_run *run);                   /* the run is nowhere */
void sk_late_handlers_skip(struct sk_run *run, const char *why); /* the same, before the handlers have run */
/* The next of e->late that waits since then or longer, taken out; NULL: none does. */
struct sk_run *sk_late_handlers_next(struct sk_engine *e, int64_t since_ms);
void sk_late_handlers_give_up(struct sk_engine *e); /* skips all that wait for a worker */
void sk_late_handlers_check(struct sk_engine *e);   /* skips those that have waited too long */

/* -- worker.c: what the core does to a worker ---------------------------------------------------------------------- */
uint32_t sk_worker_ready_n(const struct sk_engine *e);
void sk_worker_kill(struct sk_worker *w, enum sk_kill why, struct sk_run *culprit);
void sk_worker_kill_all(struct sk_engine *e);
void sk_worker_drain(struct sk_worker *w); /* it ends when its jobs have */
void sk_worker_drain_all(struct sk_engine *e);

/* -- settle.c: how runs end ---------------------------------------------------------------------------------------- */
void sk_settle_init(struct sk_engine *e);
void sk_settle(struct sk_run *run, const struct sk_outcome *outcome); /* the run is nowhere */
void sk_settle_unknown(struct sk_run *run);                           /* no script declares its task */
void sk_settle_expired(struct sk_run *run);
void sk_settle_hand_back(struct sk_run *run);                     /* it has not started */
void sk_settle_cancelled(struct sk_run *run, int64_t started_ms); /* wall clock; 0: it has not started */
void sk_settle_broken(struct sk_run *run, const struct sk_err *why);
void sk_settle_turn(struct sk_engine *e);
bool sk_settle_idle(const struct sk_engine *e);
void sk_settle_log_given_up(const struct sk_engine *e); /* what the store has not taken, or may have */

/* -- deadline.c: hard timeouts ------------------------------------------------------------------------------------- */
enum sk_code sk_deadline_init(struct sk_engine *e, struct sk_err *err);
void sk_deadline_fini(struct sk_engine *e);
void sk_deadline_watch(struct sk_run *run); /* it was offered, or its worker was told that it is cancelled */

/* -- cancel.c ------------------------------------------------------------------------------------------------------ */
void sk_cancel_take(struct sk_engine *e, struct sk_str *ids, size_t n); /* ids of a fetch's answer; reorders them */

/* -- reap.c: the jobs of a dead worker ----------------------------------------------------------------------------- */
enum { SK_REAP_HOW_BYTES = 120 };
void sk_reap_describe(const struct sk_worker *w, char how[SK_REAP_HOW_BYTES]); /* "exited with status 1", and so on */
void sk_reap_runs(struct sk_worker *w);

/* -- fetch.c ------------------------------------------------------------------------------------------------------- */
enum sk_code sk_fetch_init(struct sk_engine *e, struct sk_err *err);
void sk_fetch_fini(struct sk_engine *e);
/* Serves these queues from now on; none: every queue there is.  SK_ENOMEM: it serves only some of them. */
enum sk_code sk_fetch_use_queues(struct sk_engine *e, const struct sk_queue_spec *queues, size_t n);
void sk_fetch_stop(struct sk_engine *e);       /* takes no more jobs */
void sk_fetch_retry(struct sk_engine *e);      /* the store works again: does not wait for the end of the back-off */
void sk_fetch_find_tasks(struct sk_engine *e); /* after a reload: finds the tasks of the waiting runs again */
void sk_fetch_queues_changed(struct sk_engine *e);
void sk_fetch_turn(struct sk_engine *e);

/* -- supervisor.c -------------------------------------------------------------------------------------------------- */
enum sk_code sk_supervisor_init(struct sk_engine *e, size_t (*on_bytes)(void *worker, struct sk_str in),
                                struct sk_err *err);
void sk_supervisor_fini(struct sk_engine *e);
enum sk_code sk_supervisor_start(struct sk_engine *e, struct sk_err *err);
void sk_supervisor_reload(struct sk_engine *e);
bool sk_supervisor_add_one(struct sk_engine *e);            /* one more worker while the engine stops */
void sk_supervisor_abandon_all(struct sk_engine *e);        /* workers that have not died of a kill */
bool sk_supervisor_is_new_round(const struct sk_worker *w); /* it will be the first of its round to be ready */
void sk_supervisor_ready(struct sk_worker *w);
void sk_supervisor_refused(struct sk_worker *w, struct sk_str message);

/* -- worker_frames.c ----------------------------------------------------------------------------------------------- */
size_t sk_worker_frames_bytes(void *worker, struct sk_str in);

/* -- dispatch.c ---------------------------------------------------------------------------------------------------- */
enum sk_code sk_dispatch_init(struct sk_engine *e, struct sk_err *err);
void sk_dispatch_fini(struct sk_engine *e);
void sk_dispatch_turn(struct sk_engine *e);
void sk_dispatch_hand_back_all(struct sk_engine *e);     /* all runs that wait for a worker */
void sk_dispatch_hand_back_surplus(struct sk_engine *e); /* the runs beyond the capacity: other engines may run them */

/* -- janitor.c ----------------------------------------------------------------------------------------------------- */
enum sk_code sk_janitor_init(struct sk_engine *e, struct sk_err *err);
void sk_janitor_fini(struct sk_engine *e);
void sk_janitor_turn(struct sk_engine *e);

/* -- lease.c ------------------------------------------------------------------------------------------------------- */
enum sk_code sk_lease_init(struct sk_engine *e, struct sk_err *err);
void sk_lease_fini(struct sk_engine *e);
void sk_lease_renew(struct sk_engine *e); /* at once, or right after the beat under way */

/* -- drain.c ------------------------------------------------------------------------------------------------------- */
/* With options.drain: counts the jobs that are left, when this engine has nothing to do. */
void sk_drain_check(struct sk_engine *e);
bool sk_drain_is_over(const struct sk_engine *e); /* no jobs are left, and the engine has nothing to do */

/* True when one more crash makes it dead. */
static inline bool sk_run_is_suspect(const struct sk_run *run) {
  return !run->late && run->job.crashes > 0 && run->job.crashes + 1 >= run->engine->options.policy.crashes_max;
}

/* False only when the run's worker has not started it.  A worker that has overwritten the slot's word counts as
 * started. */
static inline bool sk_run_has_started(const struct sk_run *run) {
  return !sk_slot_page_is(run->worker->slot_page, run->slot, run->generation, SK_SLOT_OFFERED);
}

#define SK_WORKER_OF(n) SK_CONTAINER(n, struct sk_worker, node)
#define SK_RUN_OF(n) SK_CONTAINER(n, struct sk_run, node)

#endif
