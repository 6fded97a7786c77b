/* state.h - what the files of the engine share.  Private to core/engine.
 *
 * A job that this engine holds is a struct sk_run, and the list it is in is its state:
 *
 *   fetch.c ──► e->local ──dispatch.c──► worker->runs ──settle.c──► batch ──► freed
 *                  ▲   (offered, started: see slot_page.h)   │              (store says SK_OK or SK_ESTALE)
 *                  └──────────── taken back ─────────────┘
 *
 * One whose end was decided and whose handlers have not run goes round once more (mourning.c): e->mourners, worker->runs, batch.
 *
 * Only settle.c takes a run out for good, whatever ended it. */
#ifndef SK_ENGINE_STATE_H
#define SK_ENGINE_STATE_H

#include <sys/stat.h>

#include "base/buf.h"
#include "base/heap.h"
#include "base/id.h"
#include "base/limits.h"
#include "base/list.h"
#include "engine/engine.h"
#include "engine/callbacks.h"
#include "engine/request.h"
#include "engine/queue_set.h"
#include "engine/slot_page.h"
#include "engine/tasks.h"
#include "io/child.h"
#include "io/loop.h"
#include "io/pipe.h"

struct sk_worker;
struct sk_progress;

struct sk_run {
  struct sk_list node;
  struct sk_engine *engine;
  struct sk_job job;          /* slices into `bytes`, or into `said` */
  const struct sk_task *task; /* NULL when unknown */
  struct sk_str id;
  struct sk_str queue; /* the one it was fetched from */
  enum sk_code
      broken; /* not SK_OK: its record can't be read or makes no sense; `record` holds it, with the reason if it can be read */
  uint64_t fence;
  int64_t timeout_ms;       /* soft; 0 = none */
  bool may_expire;          /* before it starts */
  int64_t suspect_since_ms; /* in e->suspects: since when; monotonic */
  /* while with a worker */
  struct sk_worker *worker;
  uint32_t slot;
  uint32_t generation;
  struct sk_heap_node hard;     /* in e->hard: when the worker is to be looked at, monotonic ms */
  unsigned worker_number;       /* where it was offered last; 0: nowhere */
  struct sk_progress *progress; /* owned; what it has said; NULL: nothing */
  int64_t stop_ms;              /* not 0: it was cancelled, and told so then; monotonic */
  /* while settling */
  struct sk_decision decision;
  enum sk_ending ending;
  int64_t started_ms;             /* wall clock; 0: it has not */
  bool unheard;                   /* set before sk_settle: no handler has run for how it failed */
  bool mourning;                  /* it waits for its handlers, or they run: mourning.c */
  int64_t mourn_since_ms;         /* monotonic */
  struct sk_callbacks *callbacks; /* owned; its callbacks; NULL: none */
  int64_t
      uncertain_ms; /* not 0: a settle of it was sent whose answer got lost, and the lease was renewed last then; monotonic */
  bool refused;         /* the store has refused its settle, when it stood alone */
  bool buried;          /* ... and it is to be dead for that */
  bool surplus;         /* handed back before it started, with nobody the wiser */
  struct sk_buf said;   /* owned: what the outcome's slices point into */
  struct sk_buf record; /* owned: the record to store */
  struct sk_buf kept;   /* owned: its history and log */
  size_t counted;       /* of its bytes, in e->held_bytes */
  char bytes[];         /* the record as fetched, the queue's name, the id */
};

/* STARTING until it has loaded the scripts.  All that are READY have loaded them in the same round (supervisor.c). */
enum sk_worker_state { SK_WORKER_STARTING, SK_WORKER_READY, SK_WORKER_DRAINING };

/* Why the core killed a worker, and who is to blame for it. */
enum sk_kill {
  SK_KILL_NONE,     /* it died by itself: the job on the CPU, or all that had started */
  SK_KILL_TIMEOUT,  /* worker->culprit */
  SK_KILL_MEMORY,   /* as NONE */
  SK_KILL_BROKEN,   /* it sent nonsense: as NONE */
  SK_KILL_UNHEARD,  /* the core could not talk to it any more: nobody */
  SK_KILL_SHUTDOWN, /* nobody */
};

/* What a worker has asked of the store: intake.c. */
struct sk_intake {
  struct sk_list waiting; /* requests that have not begun */
  size_t waiting_n, waiting_bytes;
  size_t begun_bytes; /* what those under way may take */
};

struct sk_worker {
  struct sk_list node; /* in e->workers */
  struct sk_engine *engine;
  uint32_t number; /* 1, 2, ...: its place; a replacement gets the same */
  uint64_t serial; /* no other worker of this engine has it, ever */
  uint64_t round;  /* e->round when it was started: older ones are drained after a reload */
  enum sk_worker_state state;
  struct sk_child *child;
  int pid;
  struct sk_pipe *pipe;
  struct sk_output *output[2]; /* what it writes to stdout, and to stderr */
  struct sk_slot_page *slot_page;
  uint32_t slots_n;
  struct sk_list runs;
  uint32_t load;           /* runs offered and started */
  bool used;               /* it was offered a job once */
  bool filling;            /* while jobs are given out: it gets some of them */
  struct sk_run **by_slot; /* owned; the run in each slot */
  uint32_t *free_slots;    /* owned stack of free slot numbers */
  uint32_t free_n;
  int64_t started_ms;  /* monotonic */
  bool stuck;          /* a job has not yielded for a while: it is offered nothing more */
  bool refused;        /* it said that the scripts can't be loaded */
  bool slow_told;      /* ... that they take long */
  bool broken;         /* it has sent what makes no sense: it is not heard any more */
  unsigned half_looks; /* of the janitor in a row that found half a frame (janitor.c) */
  bool pipe_closed, exited;
  int exit_status, term_signal;
  enum sk_kill killed;
  struct sk_run *culprit; /* the run it was killed for */
  uint32_t suspects_n;    /* of its runs; see dispatch.c */
  struct sk_intake intake;
  bool deaf; /* the core does not listen to it for now: intake.c */
};

/* What the store may fail at; an outage lasts until all of it works again, and the log tells once of it. */
enum sk_chore { SK_CHORE_FETCH, SK_CHORE_SETTLE, SK_CHORE_BEAT, SK_CHORE_COUNT, SK_CHORE_DECLARE };

/* Starts the clock of a lease anew this soon after a beat that failed: a fraction of the lease. */
enum { SK_TRIES_PER_LEASE = 15 };

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
  struct sk_err failure; /* why it could not start */
  struct sk_defer *turn; /* dispatch, fetch and settle, once before the loop waits */

  /* dispatch.c */
  struct sk_list local; /* fetched, with no worker yet */
  size_t local_n;
  struct sk_list
      suspects; /* runs that would die with their next crash, waiting for a worker without one; beside local */
  size_t suspects_n;
  struct sk_list mourners; /* runs whose handlers are to run; beside local */
  size_t mourners_n;
  bool mourns_late;  /* while it stops, a worker was started for what was left of them */
  size_t given_n;    /* with workers */
  size_t held_bytes; /* of all runs there are, those being settled too; sk_run_count keeps it */
  size_t runs_n;     /* local + suspects + mourners + given */
  uint32_t fill_max; /* how many workers get short jobs in one turn */
  struct sk_timer *next_turn;

  /* supervisor.c */
  struct sk_list workers;
  struct stat program;  /* which file options.program was at the start */
  uint64_t round;       /* of loading the scripts: 0, and 1 more with each reload */
  uint64_t ready_round; /* the newest that a worker was ready in */
  bool refused;         /* the scripts can't be loaded in `round`: those of ready_round stay */
  uint64_t serials;
  uint32_t deaths_in_a_row; /* workers that died before they were ready, or before they were offered a job */
  struct sk_timer *respawn;
  struct sk_heap hard;
  struct sk_timer *hard_timer;
  struct sk_timer *janitor; /* stuck workers, memory, steps of the wall clock */
  bool janitor_busy;        /* it looks often, as long as workers have jobs */
  int64_t memory_at_ms;     /* when memory is looked at next, monotonic */
  int64_t wall_minus_mono_ms;

  /* fetch.c */
  struct sk_fetch_op *fetch;
  struct sk_fetch_queue fetch_queues[SK_FETCH_QUEUES_MAX]; /* the fetch under way borrows it */
  struct sk_queue_set served;
  struct sk_queue_set former; /* what was served when the fetch under way was sent, if something else is since */
  uint64_t queues_version;
  bool queues_stale;    /* the store may have queues that are not known of */
  bool count_wanted;    /* a count is to say which queues have something; */
  bool count_deep;      /* ... also an earlier job that is due later */
  int64_t count_at_ms;  /* when the next count may be sent; monotonic */
  int64_t safety_at_ms; /* when all queues are looked at, whatever was said of them; monotonic */
  bool queues_wrong;    /* told that some have names that none may have */
  struct sk_count_op *counting;
  bool fetching;
  size_t fetch_taken;    /* of the fetched jobs; */
  bool fetch_stuck;      /* ... the others wait for memory, and the fetch with them */
  bool fetch_wanted;     /* something may be there */
  bool fetch_again;      /* ... since the fetch under way was sent */
  bool fetch_looks;      /* the fetch under way only looks for stops */
  bool stops_wanted;     /* running jobs may have been cancelled since the last fetch was sent */
  struct sk_timer *look; /* when a look for stops may be sent again */
  struct sk_timer *due;  /* when to look again: due jobs, safety poll, back-off */
  int64_t due_at_ms;     /* monotonic; when `due` fires */
  int64_t fetch_backoff_ms;
  int64_t fetch_sent_us; /* monotonic */
  double record_bytes;   /* of a fetched job, smoothed */
  double fetch_ms;       /* how long a fetch takes, smoothed */
  double per_ms;         /* completions, smoothed: how far ahead to fetch */
  int64_t rate_at_us;
  int64_t rate_n;
  int64_t silent_since_ms; /* since when workers have jobs and none has ended; monotonic */
  bool drain_check;
  bool drain_futile; /* there were READY jobs when it was counted last, and no fetch since has got one or said when */

  /* settle.c */
  struct sk_list settling; /* runs with a decision, not submitted */
  size_t settling_n;
  size_t settles_in_flight;
  size_t settles_runs;      /* runs in batches in flight, */
  size_t settles_bytes;     /* ... and what they put on the wire */
  size_t settle_batch_max;  /* items of the next batch: fewer after the store has refused one */
  struct sk_list set_aside; /* runs whose settle the store refuses; tried again with each beat */
  struct sk_timer *settle_retry;
  int64_t settle_backoff_ms;

  /* engine.c */
  struct sk_beat_op *beat;
  bool beating;
  bool beat_late;    /* the beat under way was still under way when the next one was due */
  int64_t beaten_ms; /* when the lease was renewed last; monotonic */
  struct sk_timer *beat_timer;
  struct sk_timer *shutdown;
  unsigned troubles;   /* bit per enum sk_chore: it failed and has not worked since */
  unsigned hurried;    /* ... and was tried early because another one worked */
  char owner[17];      /* of what it declares: a digest of options.application; empty: nobody */
  int64_t declared_ms; /* monotonic */
  bool declaring;
  bool declare_wanted;     /* the store does not know all tasks yet */
  struct sk_list progress; /* of runs that have said what the store has not heard: progress.c */
  bool progress_in_flight;
  bool fetching_paused; /* TSTP */
  bool drain_counting;
  bool killing; /* stop without waiting for jobs to end */
  bool give_up; /* stop without the outcomes that the store did not take */
  bool stopping, closing, stopped;
  bool left;                      /* stopped, although the store did not come to an end */
  struct sk_store *closing_store; /* being closed */
  bool ever_ready;                /* a worker has loaded the scripts */
};

/* engine.c */
int64_t sk_engine_now_ms(const struct sk_engine *e); /* the store's clock */
void sk_engine_wake(struct sk_engine *e);            /* work for the turn's end */
void sk_engine_store_failed(struct sk_engine *e, enum sk_chore chore, const struct sk_err *err);
void sk_engine_store_works(struct sk_engine *e, enum sk_chore chore);
void sk_engine_check_stopped(struct sk_engine *e);
void sk_engine_fail(struct sk_engine *e, const struct sk_err *err); /* can't go on: stop, with this outcome */

/* run.c */
struct sk_run *sk_run_new(struct sk_engine *e, const struct sk_fetched *held, struct sk_err *err);
void sk_run_reset(struct sk_run *run); /* its job is as it was fetched, nothing is decided */
void sk_run_count(struct sk_run *run); /* its bytes have changed: counts them anew */
void sk_run_free(struct sk_run *run);

/* fetch.c */
enum sk_code sk_fetch_init(struct sk_engine *e, struct sk_err *err);
void sk_fetch_fini(struct sk_engine *e);
/* Serves these from now on; none: all there are.  SK_ENOMEM: only some of them. */
enum sk_code sk_fetch_use_queues(struct sk_engine *e, const struct sk_queue_spec *queues, size_t n);
void sk_fetch_stop(struct sk_engine *e);     /* nothing is taken any more */
void sk_fetch_retry(struct sk_engine *e);    /* the store works again: don't wait for the back-off to end */
void sk_fetch_wake(struct sk_engine *e);     /* there may be room, or a queue that may have something */
void sk_fetch_wake_all(struct sk_engine *e); /* there may be jobs, who knows where */
/* A job of that queue is due in so long (0: now). */
void sk_fetch_queue_due(struct sk_engine *e, struct sk_str queue, int64_t ms);
void sk_fetch_note_counts(struct sk_engine *e, const struct sk_count_op *count); /* which queues have something */
void sk_fetch_wake_stops(struct sk_engine *e); /* ... and running ones may have been cancelled */
void sk_fetch_turn(struct sk_engine *e);
void sk_fetch_queues_changed(struct sk_engine *e);
void sk_served_check(struct sk_engine *e);              /* served.c: warns of queues to serve that nobody has */
void sk_fetch_count_done(struct sk_engine *e);          /* a job ended */
void sk_fetch_count_first(struct sk_engine *e);         /* a worker gets a job, when none has any */
size_t sk_fetch_depth(const struct sk_engine *e);       /* how many jobs to hold beyond the free slots */
bool sk_fetch_jobs_are_long(const struct sk_engine *e); /* none has ended for a while */
int64_t sk_fetch_room(const struct sk_engine *e);       /* how many more to take; negative: how many are too many */

/* dispatch.c */
enum sk_code sk_dispatch_init(struct sk_engine *e, struct sk_err *err);
void sk_dispatch_fini(struct sk_engine *e);
void sk_dispatch_add(struct sk_engine *e, struct sk_run *run, bool front);
/* Takes the run at that node of e->local, or e->suspects, out of it. */
struct sk_run *sk_dispatch_pop(struct sk_engine *e, struct sk_list *node);
struct sk_run *sk_dispatch_pop_suspect(struct sk_engine *e, struct sk_list *node);
/* The next of e->mourners that waits since then or longer; NULL: none does. */
struct sk_run *sk_dispatch_pop_mourner(struct sk_engine *e, int64_t since_ms);
void sk_dispatch_turn(struct sk_engine *e);
/* Takes back what its worker has not started: it is in e->local again, in order, before all others. */
void sk_dispatch_take_back_from(struct sk_worker *w);
void sk_dispatch_take_back_all(struct sk_engine *e);
/* Settles as handed back all that wait for a worker. */
void sk_dispatch_hand_back_all(struct sk_engine *e);
/* Hands back what is held beyond the room that there is now: others may run it. */
void sk_dispatch_hand_back_surplus(struct sk_engine *e);
/* The tasks are others now: finds those of the waiting runs anew. */
void sk_dispatch_find_tasks(struct sk_engine *e);
/* Frees the run's slot; it is in no list afterwards. */
void sk_dispatch_detach(struct sk_run *run);

/* settle.c */
void sk_settle(struct sk_run *run, const struct sk_outcome *outcome);
void sk_settle_unknown(struct sk_run *run); /* no script declares its task */
void sk_settle_expired(struct sk_run *run);
void sk_settle_hand_back(struct sk_run *run);                     /* it has not started */
void sk_settle_cancelled(struct sk_run *run, int64_t started_ms); /* wall clock; 0: it has not */
void sk_settle_decided(struct sk_run *run); /* as sk_settle has decided, now that its handlers have run */
void sk_settle_broken(struct sk_run *run, const struct sk_err *why); /* a run whose record can't be read */
void sk_settle_init(struct sk_engine *e);
/* Those that the store refused are sent once more. */
void sk_settle_set_aside_again(struct sk_engine *e);
void sk_settle_turn(struct sk_engine *e);
bool sk_settle_idle(const struct sk_engine *e);
void sk_settle_tell_given_up(const struct sk_engine *e); /* what the store has not taken, or may have */

/* mourning.c */
bool sk_mourning_is_due(const struct sk_run *run); /* it is decided, and there are handlers that have not run */
void sk_mourning_begin(struct sk_run *run);
void sk_mourning_over(struct sk_run *run);                 /* it is in no list, with no worker */
void sk_mourning_cut(struct sk_run *run, const char *why); /* the same, before they had run */
void sk_mourning_give_up(struct sk_engine *e);             /* all that wait for a worker */
void sk_mourning_check(struct sk_engine *e);               /* those that have waited too long */

/* stop.c */
void sk_stop_take(struct sk_engine *e, struct sk_str *ids,
                  size_t n); /* what a fetch says of cancelled jobs; reorders ids */

/* supervisor.c */
enum sk_code sk_supervisor_init(struct sk_engine *e, struct sk_err *err);
void sk_supervisor_fini(struct sk_engine *e);
enum sk_code sk_supervisor_start(struct sk_engine *e, struct sk_err *err);
void sk_supervisor_reload(struct sk_engine *e);
void sk_supervisor_drain(struct sk_engine *e);   /* workers end when their jobs have */
bool sk_supervisor_add_one(struct sk_engine *e); /* one more, for what is left to do while the engine stops */
void sk_supervisor_kill_all(struct sk_engine *e);
void sk_supervisor_abandon_all(struct sk_engine *e); /* those that not even a kill has ended */
void sk_supervisor_kill(struct sk_worker *w, enum sk_kill why, struct sk_run *culprit);
bool sk_supervisor_is_new_round(const struct sk_worker *w); /* it will be the first of its round to be ready */
void sk_supervisor_ready(struct sk_worker *w);
void sk_supervisor_refused(struct sk_worker *w, struct sk_str message);
uint32_t sk_supervisor_ready_n(const struct sk_engine *e);

/* deadline.c: hard timeouts */
enum sk_code sk_deadline_init(struct sk_engine *e, struct sk_err *err);
void sk_deadline_fini(struct sk_engine *e);
void sk_deadline_watch(struct sk_run *run); /* it was offered, or told to stop: arms its hard timeout */
void sk_deadline_forget(struct sk_run *run);

/* janitor.c */
enum sk_code sk_janitor_init(struct sk_engine *e, struct sk_err *err);
void sk_janitor_fini(struct sk_engine *e);
void sk_janitor_turn(struct sk_engine *e);

/* progress.c: what running jobs say */
void sk_progress_report(struct sk_run *run, int32_t percent, struct sk_str note);
void sk_progress_add_log(struct sk_run *run, struct sk_str text); /* job:log */
struct sk_str sk_progress_log(const struct sk_run *run);          /* all that it has logged that is kept */
void sk_progress_mute(struct sk_run *run);                        /* the store need not hear of it any more */
void sk_progress_free(struct sk_run *run);
void sk_progress_turn(struct sk_engine *e);

/* link.c: frames from a worker */
size_t sk_link_bytes(void *worker, struct sk_str in);
void sk_link_declare(struct sk_engine *e); /* tells the store which tasks there are, when it does not know */

/* intake.c: requests of workers, and how much they may take */
void sk_intake_init(struct sk_worker *w);
void sk_intake_fini(struct sk_worker *w);
void sk_intake_ask(struct sk_worker *w, uint64_t request, unsigned operation, struct sk_str payload);
void sk_intake_turn(struct sk_engine *e); /* begins what waits, listens again to workers */
void sk_intake_blocked(void *asked); /* a request waits for room in a queue: it counts for nothing until it goes on */

/* True when one more crash is its death. */
static inline bool sk_run_is_suspect(const struct sk_run *run) {
  return !run->mourning && run->job.crashes > 0 && run->job.crashes + 1 >= run->engine->options.policy.crashes_max;
}

/* True unless the run's worker has left it unstarted: also when the worker has spoilt the word that tells. */
static inline bool sk_run_has_started(const struct sk_run *run) {
  return !sk_slot_page_is(run->worker->slot_page, run->slot, run->generation, SK_SLOT_OFFERED);
}

#define SK_WORKER_OF(n) SK_CONTAINER(n, struct sk_worker, node)
#define SK_RUN_OF(n) SK_CONTAINER(n, struct sk_run, node)

#endif
