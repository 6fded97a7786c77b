/* memory.h - the inside of the memory store, for core/store/memory only.
 *
 *   struct mem ─┬─ jobs: table by id ─────────► struct mem_job ──► its queue, its lock, its group's lane
 *               ├─ all: list by enqueue
 *               ├─ queues: hash by name ──────► struct mem_queue     READY      in a lane: fifo or front
 *               │                                                    SCHEDULED, RETRY      in due
 *               ├─ handles ───────────────────► struct mem_handle
 *               │                                 └─ holder ───────► struct mem_holder     RUNNING    in jobs
 *               ├─ orphans: holders that were given up
 *               ├─ kept: heap by end          DONE, CANCELLED (until their end); DEAD is in none
 *               ├─ groups: hash by name ──────► struct mem_group ──► its lanes
 *               ├─ locks: hash by key ────────► struct mem_lock
 *               └─ settings: hash by queue ───► struct mem_settings
 *
 * A job's state is the structure it is in: sk_mem_leave takes it out, one of the sk_mem_enter functions puts it into
 * the next, and nothing else touches the structures or the counts by state.
 *
 * LANES.  READY jobs stand in lanes: one for each queue, priority and group, and one for each queue and priority whose
 * jobs need no slot:
 *
 *   struct mem_queue ─┬─ plain[priority] ─┐
 *                     ├─ turns[priority]: ring of the lanes of which a job may be taken now
 *                     └─ tokens: heap of the lanes whose group waits for its next token, by the time of the token
 *   struct mem_group ─── lanes: in turns while the group has a slot and a token, in tokens while it lacks a token only
 *
 * A fetch therefore finds its next job in the first ring that is not empty, and never meets a blocked one.  A group
 * that opens or closes moves its lanes: one for each queue and priority in which it has jobs, most often one.  A job
 * belongs to its group's lane from its enqueue until it is gone, so that entering READY needs no memory.
 *
 * A place in a lane is (due_ms, seq).  First in, first out jobs have due_ms = MEM_NEVER, so that jobs that came due
 * stand before them.  New jobs join the lane's list fifo, in O(1).  Jobs that came due, and released ones that return
 * to their place, go to the heap front, all of which stands before fifo: a released job was taken from fifo's head, so
 * it is older than all that is in fifo.
 *
 * STEPS.  The store runs on the loop of the core.  No operation's cost depends on the number of jobs by more than a
 * heap's logarithm, except those that look through all jobs and those whose work is as large as their answer: they go
 * on in steps, one in each turn of the loop (op.c).
 *
 * A handle belongs to its loop's thread.  A struct mem is shared by the handles that opened "memory:NAME", on any loop;
 * its lock is held while anything in it is read or changed.
 *
 * The files, each of which calls only those above it:
 *   table lane walk queue queue_settings group lock op jobs engines enqueue fetch settle beat look list change declare
 *   memory */
#ifndef SK_STORE_MEMORY_H
#define SK_STORE_MEMORY_H

#include <pthread.h>

/* Out of memory is a status: uthash then leaves hh.tbl NULL. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/buf.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/limits.h"
#include "store/check.h"
#include "store/memory/table.h"
#include "store/openers.h"
#include "store/watch.h"

#define MEM_NEVER INT64_MAX

struct mem_group {
  UT_hash_handle hh;
  struct sk_limit limit;         /* its text `group` is in bytes */
  int64_t running;               /* jobs that have one of its slots */
  int64_t full_us;               /* its bucket (limit.h) */
  enum sk_blocked_by blocked_by; /* decides where its lanes are */
  int64_t token_us;              /* SK_BLOCKED_BY_RATE: when the next token is there */
  struct sk_list lanes;          /* of mem_lane.peer */
  struct sk_list waiting;        /* of mem_job.node: jobs that wait with a slot (strict) */
  struct sk_heap_node forgotten; /* without jobs: in mem->idle, by the time when its bucket is full */
  char bytes[];
};

struct mem_lane_key {
  struct mem_group *group; /* NULL: the queue's plain lane */
  struct mem_queue *queue;
  size_t rank; /* of its priority: 0 is the highest */
};

struct mem_lane {
  struct mem_lane_key key;
  struct sk_list fifo;  /* of mem_job.node */
  struct sk_heap front; /* of mem_job.place, by due_ms, then seq; all of it stands before fifo */
  struct sk_list turn;  /* in queue->turns */
  /* The rest is used in a group's lane only. */
  UT_hash_handle hh;
  struct sk_list peer;       /* in group->lanes */
  struct sk_heap_node token; /* in queue->tokens */
  size_t jobs;               /* jobs that belong to it, in any state */
};

/* The settings of a queue; they may be declared before the queue is seen. */
struct mem_settings {
  UT_hash_handle hh;
  struct sk_queue_settings item; /* its name is in bytes */
  struct sk_buf owners;          /* logic/owners.h */
  int64_t full_us;               /* the bucket of the queue's own limit */
  char bytes[];
};

struct mem_queue {
  UT_hash_handle hh;
  struct sk_str name; /* in bytes */
  bool paused;
  int64_t states[SK_STATES];            /* jobs by state */
  struct mem_lane plain[SK_PRIORITIES]; /* [0] is the highest priority */
  struct sk_list turns[SK_PRIORITIES];  /* of mem_lane.turn */
  struct sk_heap tokens;                /* of mem_lane.token, by group->token_us */
  size_t lanes;                         /* number of lanes of groups */
  struct sk_heap due;                   /* of mem_job.place, by due_ms, then seq */
  struct mem_settings *settings;        /* borrowed; NULL: none */
  int64_t empty_since_ms;               /* when a beat first saw it unused; MEM_NEVER: it is in use */
  char bytes[];
};

struct mem_lock {
  UT_hash_handle hh;
  struct sk_str key, holder; /* in bytes */
  struct mem_job *job;       /* NULL: the job has ended, and its throttle lives on */
  int64_t until_ms;          /* MEM_NEVER: as long as its job */
  struct sk_heap_node end;   /* throttle: in mem->throttles */
  bool throttle;
  char bytes[];
};

/* The last progress that a job reported. */
struct mem_progress {
  int32_t percent;
  struct sk_str progress_text, log; /* in bytes */
  char bytes[];
};

/* The RUNNING jobs of one engine. */
struct mem_holder {
  struct sk_list node;  /* in mem->orphans once its engine was given up */
  struct sk_list jobs;  /* of mem_job.node; jobs that are to stop come first */
  struct sk_str engine; /* in bytes */
  char bytes[];
};

struct mem_job {
  struct sk_str id, task; /* in bytes */
  struct sk_str record;   /* in bytes, or owned_record */
  char *owned_record;     /* owned; NULL while the record is the one of its enqueue */
  struct mem_queue *queue;
  enum sk_state state;
  int32_t priority;
  bool granted;          /* it has a slot of its group */
  bool stopping;         /* it was cancelled while it ran */
  bool dropped;          /* it is gone; its memory waits for the last pin */
  uint32_t pins;         /* references of operations that go on in steps (walk.c) */
  struct sk_list all;    /* in mem->all */
  struct mem_lane *lane; /* the lane of its group in its queue; NULL: no group */
  struct mem_lock *lock; /* the lock that it holds; NULL: none */
  struct sk_list node;   /* READY: in a lane's fifo; RUNNING: in holder->jobs; waiting with a slot: in group->waiting */
  struct sk_heap_node
      place;      /* READY: in a lane's front; SCHEDULED, RETRY: in queue->due; DONE, CANCELLED: in mem->kept */
  int64_t due_ms; /* when it is or came due; MEM_NEVER: first in, first out */
  uint64_t seq;   /* breaks ties of due_ms; in a final state, the order of ends */
  struct mem_holder *holder;     /* RUNNING: borrowed */
  uint64_t fence;                /* RUNNING */
  int64_t running_since_ms;      /* RUNNING; wall clock */
  struct mem_progress *progress; /* owned; NULL: it reported none */
  char bytes[];
};

struct mem_task {
  UT_hash_handle hh;
  struct sk_task_item item; /* slices in bytes */
  struct sk_buf past;       /* of its limit: sk_limit_past_add */
  int64_t seen_ms;          /* when an engine declared or renewed it last */
  char bytes[];
};

/* A walk over all jobs that there are when it starts, in the order of their enqueue; jobs may come and go meanwhile. */
struct mem_walk {
  struct sk_list node;  /* in mem->walks */
  struct mem_job *next; /* NULL: the end */
  size_t left;          /* jobs that it still visits at most */
};

struct mem_handle;
/* Something that goes on in steps.  step does a bounded piece, under the lock, and says whether the work is over:
 * then it has replied (sk_mem_reply), and freed the work if it was allocated. */
struct mem_work {
  struct sk_list node; /* in handle->works */
  bool (*step)(struct mem_handle *h, struct mem_work *work);
};

struct mem {
  struct mem *next;   /* in the registry of named stores (memory.c) */
  struct sk_str name; /* in bytes; empty: anonymous, in no registry */
  size_t refs;        /* handles; guarded by the registry's lock */

  pthread_mutex_t lock; /* guards all below */
  struct mem_table jobs;
  struct sk_list all;   /* of mem_job.all */
  struct sk_list walks; /* of mem_walk.node */
  struct mem_queue *queues;
  struct mem_queue **by_name; /* owned; the queues in order of their names */
  size_t by_name_n, by_name_cap;
  size_t queues_at;     /* index in by_name where the search for unused queues goes on */
  int64_t queues_at_ms; /* monotonic ms; that search does not go on before */
  struct mem_task *tasks;
  struct mem_group *groups;
  struct mem_group *refresh_at; /* where the refreshing of all groups goes on; NULL: nowhere */
  struct mem_lane *lanes;       /* of groups */
  struct mem_lock *locks;
  struct mem_settings *settings;
  struct sk_heap kept;      /* of mem_job.place, by the wall clock of their end */
  struct sk_heap throttles; /* of mem_lock.end, by the wall clock of their end */
  struct sk_heap idle;      /* of mem_group.forgotten, by the wall clock when their bucket is full */
  int64_t now_ms;           /* wall clock of the operation that runs */
  struct sk_buf stamped;    /* the record of the job that comes in */
  struct sk_list handles;   /* of mem_handle.node */
  struct sk_list orphans;   /* of mem_holder.node */
  struct sk_counters counters;
  uint64_t seq, fence, queues_version;
  uint64_t marks; /* of engines; see mem_handle */
  char bytes[];
};

struct mem_handle {
  struct sk_store store; /* first: the vtable sees this */
  struct mem *mem;       /* shared */
  struct sk_list node;   /* in mem->handles until it is closed */
  struct sk_store_clock clock;
  struct sk_store_events events;
  struct sk_async *wake;  /* owned; answers are due, or `changed` is set, or the handle is closed */
  struct sk_defer *turn;  /* owned; the next step of a work is due */
  struct sk_list answers; /* of sk_op.node: done, their callbacks not run yet */
  struct sk_list works;   /* of mem_work.node */
  struct mem_work chores; /* beat.c */
  bool changed;           /* guarded by mem->lock */
  bool hurried;           /* the process is about to end */

  /* The rest, to lost, is used by engines only. */
  struct sk_str engine; /* in bytes; empty: a client */
  int64_t lease_ms;
  uint64_t mark;             /* of the engine's last operation: no two are the same */
  struct sk_watches watches; /* what it has seen of the others */
  struct mem_holder *holder; /* owned */
  struct mem_work release;   /* of the holder's jobs, once the handle is closed */
  bool gone;                 /* it was given up, and has done nothing since */
  bool lost;                 /* it was given up, and its next beat has to say so */

  void (*close_cb)(void *ctx); /* set: the handle is closed */
  void *close_ctx;
  char bytes[];
};

static inline struct mem_handle *sk_mem_handle(struct sk_store *store) {
  return SK_CONTAINER(store, struct mem_handle, store);
}

/* a + b for b >= 0, no more than MEM_NEVER. */
static inline int64_t sk_mem_later(int64_t a, int64_t b) { return a > MEM_NEVER - b ? MEM_NEVER : a + b; }

/* All that follows is called under the lock, unless it says otherwise. */

/* -- lane.c: the lanes of READY jobs and their turns --------------------------------------------------------------- */
void sk_mem_lane_init(struct mem_lane *lane, struct mem_lane_key key);
bool sk_mem_lane_empty(const struct mem_lane *lane);
/* The lane in which a READY job stands. */
struct mem_lane *sk_mem_lane_of(const struct mem_job *job);
void sk_mem_lane_push(struct mem_lane *lane, struct mem_job *job);
/* Puts the job at the place (due_ms, seq) that it has before fifo; without memory the place is the front. */
void sk_mem_lane_put(struct mem_lane *lane, struct mem_job *job);
void sk_mem_lane_remove(struct mem_lane *lane, struct mem_job *job);
/* Puts a group's lane into turns, tokens or neither, as the state of its group says. */
void sk_mem_lane_place(struct mem_lane *lane);
/* Inserts the job at (key, the job's seq); false when out of memory. */
bool sk_mem_heap_put(struct sk_heap *heap, struct mem_job *job, int64_t key);
struct mem_job *sk_mem_heap_job(const struct sk_heap *heap);
/* The job that is to be taken next if the queue's own limit allows one; NULL: none. */
struct mem_job *sk_mem_next(const struct mem_queue *queue);
/* The job, the first of its lane, is about to be taken: the next turn is another lane's. */
void sk_mem_turn(struct mem_job *job);
/* The oldest READY job of the lowest priority, other than `except`; NULL: none.  Costs as much as the queue has
 * groups. */
struct mem_job *sk_mem_oldest(const struct mem *mem, const struct mem_queue *queue, const struct mem_job *except);

/* -- walk.c: walks over all jobs, and pins ------------------------------------------------------------------------- */
void sk_mem_walk_start(struct mem *mem, struct mem_walk *walk);
/* The next job; NULL at the end. */
struct mem_job *sk_mem_walk_next(const struct mem *mem, struct mem_walk *walk);
void sk_mem_walk_end(struct mem_walk *walk);
/* The job is about to leave mem->all: no walk may stand at it. */
void sk_mem_walks_pass(struct mem *mem, const struct mem_job *job);
bool sk_mem_matches(const struct mem_job *job, const struct sk_filter *filter);
/* Frees the job and nothing else, with its last pin. */
void sk_mem_free(struct mem_job *job);
void sk_mem_pin(struct mem_job *job);
void sk_mem_unpin(struct mem_job *job);

/* -- queue.c: the table of queues ---------------------------------------------------------------------------------- */
/* memcmp's order, a prefix first. */
int sk_mem_compare(struct sk_str a, struct sk_str b);
struct mem_settings *sk_mem_settings_find(const struct mem *mem, struct sk_str name);
struct mem_queue *sk_mem_queue_find(const struct mem *mem, struct sk_str name);
/* Finds or makes the queue; NULL when out of memory. */
struct mem_queue *sk_mem_queue(struct mem *mem, struct sk_str name);
/* Goes on forgetting queues that have held nothing for ten minutes, are not paused and have no settings; true: there
 * are more to look at now. */
bool sk_mem_queues_forget(struct mem *mem);
void sk_mem_queues_free(struct mem *mem);

/* -- queue_settings.c ---------------------------------------------------------------------------------------------- */
/* Adds, replaces or removes a queue's settings; false when out of memory. */
bool sk_mem_configure(struct mem *mem, const struct sk_queue_settings *item);
/* Notes which settings op's owner declares, and removes settings that have no owner any more; false when out of
 * memory. */
bool sk_mem_settings_own(struct mem *mem, const struct sk_declare_op *op);
void sk_mem_settings_free(struct mem *mem);
/* As many jobs wait in the queue as its max_len allows, or more. */
bool sk_mem_is_full(const struct mem_queue *queue);
/* By the queue's own limit: SK_BLOCKED_BY_NOTHING when a job may be taken now. */
enum sk_blocked_by sk_mem_queue_blocked_by(const struct mem *mem, const struct mem_queue *queue);
/* Charges a taken job to the bucket of the queue's own limit. */
void sk_mem_queue_taken(const struct mem *mem, struct mem_queue *queue);
/* Milliseconds until a token is there for a job that nothing else blocks; -1: there is no such job. */
int64_t sk_mem_token_in_ms(const struct mem *mem, const struct mem_queue *queue);

/* -- group.c: groups, their slots and tokens ----------------------------------------------------------------------- */
/* Finds or makes the group's lane in that queue, and counts one more job that belongs to it; NULL when out of
 * memory. */
struct mem_lane *sk_mem_lane_join(struct mem *mem, const struct sk_limit *limit, struct mem_queue *queue,
                                  int32_t priority);
/* Counts one job less. */
void sk_mem_lane_quit(struct mem *mem, struct mem_lane *lane);
/* Gives the group the numbers of `limit`. */
void sk_mem_group_renumber(struct mem *mem, struct mem_group *group, const struct sk_limit *limit);
/* The job takes a slot and a token; nothing happens when it has a slot, or no group. */
void sk_mem_grant(struct mem *mem, struct mem_job *job);
/* The job gives its slot back, if it has one. */
void sk_mem_ungrant(struct mem *mem, struct mem_job *job);
/* Opens the groups whose next token is there and that have jobs in the queue; *budget bounds how many, and goes
 * down. */
void sk_mem_tokens_due(struct mem *mem, struct mem_queue *queue, size_t *budget);
/* Begins anew to give every group the numbers that its task declares now, and a token no further ahead than its
 * numbers allow. */
void sk_mem_groups_refresh(struct mem *mem);
/* Goes on with that; true: there are groups left. */
bool sk_mem_groups_refresh_on(struct mem *mem);
/* The clock was set back: no token of a queue or a group may stay further ahead than its numbers allow. */
void sk_mem_clock_back(struct mem *mem);
/* Forgets at most n groups without jobs whose bucket is full; true: there are more. */
bool sk_mem_groups_forget(struct mem *mem, size_t n);
void sk_mem_groups_free(struct mem *mem);
enum sk_blocked_by sk_mem_blocked_by(const struct mem *mem, const struct mem_job *job);

/* -- lock.c: locks of unique jobs ---------------------------------------------------------------------------------- */
/* The lock of that key while any job other than `ending` holds it; NULL when it is free. */
struct mem_lock *sk_mem_lock_find(struct mem *mem, struct sk_str key, const struct mem_job *ending);
/* Takes the lock, from its holder if it has one, for a job that has none; false when out of memory, with nothing
 * changed. */
bool sk_mem_lock_take(struct mem *mem, const struct sk_lock *want, struct mem_job *job);
/* Frees the lock of a job that has ended, unless it is a throttle that lives on. */
void sk_mem_lock_leave(struct mem *mem, struct mem_job *job);
/* Frees at most n throttles whose time is over; true: there are more. */
bool sk_mem_locks_forget(struct mem *mem, size_t n);
void sk_mem_locks_free(struct mem *mem);

/* -- op.c ---------------------------------------------------------------------------------------------------------- */
/* Begins an operation, not under the lock: takes the lock.  sk_mem_answer ends it. */
struct mem_handle *sk_mem_begin(struct sk_store *store, struct sk_op *op);
/* Sets the op's status and has its callback called. */
void sk_mem_reply(struct mem_handle *h, struct sk_op *op, enum sk_code status);
/* Replies and releases the lock. */
void sk_mem_answer(struct mem_handle *h, struct sk_op *op, enum sk_code status);
/* Has every other handle's `changed` event called. */
void sk_mem_notify(struct mem_handle *h);
/* Has the work's next step called in a later turn of the loop, and so on until it is over. */
void sk_mem_go_on(struct mem_handle *h, struct mem_work *work);
/* The callback of handle->turn, not under the lock. */
void sk_mem_turn_works(void *handle);

/* -- jobs.c: the table of jobs, their moves between states, their records ------------------------------------------ */
static inline struct mem_job *sk_mem_find(const struct mem *mem, struct sk_str id) {
  return sk_mem_table_find(&mem->jobs, id);
}
/* Adds a job that is not there yet, SCHEDULED or READY, and its place in its group.  NULL when out of memory, with
 * nothing changed. */
struct mem_job *sk_mem_add(struct mem *mem, const struct sk_enqueue_item *item);
/* Takes a job in any state out of every structure and frees it. */
void sk_mem_drop(struct mem *mem, struct mem_job *job);
/* Takes the job out of the structure that its state stands for. */
void sk_mem_leave(struct mem *mem, struct mem_job *job);
/* Makes the job READY at the place (due_ms, seq) that it has.  Never fails: without memory the place is the front. */
void sk_mem_enter_ready(struct mem_job *job);
/* Makes the job READY at the end of its queue and priority. */
void sk_mem_enter_last(struct mem *mem, struct mem_job *job);
/* SCHEDULED or RETRY until due_ms, in `queue`; at once READY at the front when it is due.  Moves the job from where
 * it is; false, and nothing changed, when out of memory. */
bool sk_mem_wait(struct mem *mem, struct mem_job *job, struct mem_queue *queue, enum sk_state state, int64_t due_ms);
/* RUNNING; takes a slot and a token of its group if it has none. */
void sk_mem_enter_running(struct mem *mem, struct mem_job *job, struct mem_holder *holder);
/* DONE, DEAD or CANCELLED, until end_ms (MEM_NEVER: until deleted).  Moves the job from where it is, and frees its
 * lock and slot; false, and nothing changed, when out of memory. */
bool sk_mem_finish(struct mem *mem, struct mem_job *job, enum sk_state state, int64_t end_ms);
/* Marks a RUNNING job as one that is to stop. */
void sk_mem_stop(struct mem_job *job);
/* Makes READY what is due in the queue; *budget bounds how many jobs, and goes down. */
void sk_mem_promote(struct mem *mem, struct mem_queue *queue, size_t *budget);
/* Drops at most n records whose time is over; true: there are more. */
bool sk_mem_drop_ended(struct mem *mem, size_t n);
/* Takes `record`, malloced, in place of the job's own. */
void sk_mem_set_record(struct mem_job *job, struct sk_str record);
/* A malloced copy; p is NULL when out of memory. */
struct sk_str sk_mem_copy(struct sk_str s);
/* The job's record after `edit`, malloced: p is NULL when out of memory; the same bytes when the record cannot be
 * read. */
struct sk_str sk_mem_edit(const struct mem_job *job, void (*edit)(struct sk_job *, int64_t now_ms), int64_t now_ms);

/* -- engines.c: what engines hold, and which of them are gone ------------------------------------------------------ */
/* NULL when out of memory.  The caller owns it; free() frees it. */
struct mem_holder *sk_mem_holder_new(struct sk_str engine);
/* SK_EINVAL for a client; enters an engine that was given up anew. */
enum sk_code sk_mem_check_engine(struct mem_handle *h, const char *what, struct sk_err *err);
/* Gives up the engines that h has seen silent for their lease: their jobs become orphans. */
void sk_mem_judge(struct mem_handle *h);
/* Makes at most n jobs of the holder READY at their places, and says whether there are more; `recovered`: records
 * and counters count it. */
bool sk_mem_hand_back(struct mem *mem, struct mem_holder *holder, bool recovered, size_t n);
/* Hands back at most n orphans; true: there are more. */
bool sk_mem_orphans_on(struct mem_handle *h, size_t n);

/* -- enqueue.c ----------------------------------------------------------------------------------------------------- */
/* Enqueues the items.  `ending` is the job whose callbacks they are (no queue is too full for them, and its lock is
 * free to them); NULL: none.  Out of memory it adds none, but jobs that they had already displaced are gone.
 * Answers are copied into `arena`. */
enum sk_code sk_mem_add_all(struct mem *mem, struct sk_enqueue_item *items, size_t n, const struct mem_job *ending,
                            struct sk_arena *arena, size_t *added);
/* Takes the added ones of the items out again. */
void sk_mem_take_back(struct mem *mem, struct sk_enqueue_item *items, size_t n);

/* -- beat.c -------------------------------------------------------------------------------------------------------- */
/* Gives up engines that are gone and begins the chores; returns how many jobs became READY at once. */
size_t sk_mem_recover(struct mem_handle *h);
/* The step of handle->chores. */
bool sk_mem_chores_step(struct mem_handle *h, struct mem_work *work);

/* -- look.c -------------------------------------------------------------------------------------------------------- */
/* Copies what there is to see of the job; false when out of memory. */
bool sk_mem_view(struct sk_arena *arena, const struct mem_job *job, struct sk_view *view);

/* -- declare.c ----------------------------------------------------------------------------------------------------- */
void sk_mem_tasks_free(struct mem *mem);

/* -- the slots of the vtable --------------------------------------------------------------------------------------- */

/* Called without the lock.  Each stands in the file of its name; get and count in look.c, progress in settle.c, pause
 * and tasks in declare.c. */
void sk_mem_enqueue(struct sk_store *, struct sk_enqueue_op *);
void sk_mem_fetch(struct sk_store *, struct sk_fetch_op *);
void sk_mem_settle(struct sk_store *, struct sk_settle_op *);
void sk_mem_beat(struct sk_store *, struct sk_beat_op *);
void sk_mem_progress(struct sk_store *, struct sk_progress_op *);
void sk_mem_get(struct sk_store *, struct sk_get_op *);
void sk_mem_list(struct sk_store *, struct sk_list_op *);
void sk_mem_count(struct sk_store *, struct sk_count_op *);
void sk_mem_tasks(struct sk_store *, struct sk_tasks_op *);
void sk_mem_change(struct sk_store *, struct sk_change_op *);
void sk_mem_pause(struct sk_store *, struct sk_pause_op *);
void sk_mem_declare(struct sk_store *, struct sk_declare_op *);

#endif
