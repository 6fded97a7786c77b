/* memory.h - the inside of the memory store, for memory*.c only.
 *
 *   struct mem ─┬─ jobs: table by id ─────────► struct mem_job ──► its queue, its lock, its group's line
 *               ├─ queues: hash by name ──────► struct mem_queue     READY      a line: fifo or front
 *               │                                                    SCHEDULED, RETRY      due
 *               ├─ handles ───────────────────► struct mem_handle    RUNNING    held
 *               ├─ kept: heap by end                                 DONE, CANCELLED (until their end); DEAD is in none
 *               ├─ groups: hash by name ──────► struct mem_group ──► its lines
 *               ├─ locks: hash by key ────────► struct mem_lock
 *               └─ bounds: hash by queue name ► struct mem_bound
 *
 * A job's state is the structure it is in: sk_mem_leave takes it out, one of the sk_mem_enter functions puts it into the next,
 * and nothing else touches the structures or the counts by state.
 *
 * READY jobs stand in lines, those of one queue, priority and group in each; those that need no slot in the queue's own line:
 *
 *   struct mem_queue ─┬─ plain[priority] ─┐
 *                     ├─ turns[priority]: ring of the lines that something may be taken of now
 *                     └─ tokens: heap of the lines whose group waits for its next token, by when it is there
 *   struct mem_group ─── lines: in turns while it has a slot and a token, in tokens while only that is lacking, else in neither
 *
 * So whoever takes a job finds it at the first ring that is not empty, and never meets one that is held back.  What opens or
 * closes a group moves its lines: as many as there are queues and priorities in which its jobs are, most often one.  A job
 * belongs to its group's line from its enqueue until it is gone, so that entering READY needs no memory.
 *
 * A place in line is (due_ms, seq).  First in, first out jobs have due_ms = MEM_NEVER, so those that came due stand before
 * them.  New ones join the line's list fifo, in O(1); whatever came due, or was released and returns to its old place, goes to the
 * heap front, all of which stands before fifo: a released job was taken from fifo's head, so it is older than all that is
 * still there.  No operation's cost depends on the number of waiting jobs by more than a heap's logarithm.
 *
 * A handle belongs to its loop's thread; a struct mem is shared by the handles that opened "memory:NAME", on any loop, and its
 * lock is held while anything in it is read or changed. */
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
  struct sk_limit limit;         /* group: in bytes */
  int64_t running;               /* jobs that have one of its slots */
  int64_t full_us;               /* its bucket (limit.h) */
  enum sk_blocked_by blocked_by; /* where its lines are, */
  int64_t token_us;              /* and HELD_BY_RATE: until when */
  struct sk_list lines;          /* of mem_line.peer */
  struct sk_list waiting;        /* of mem_job.node: jobs that wait with a slot (strict) */
  struct sk_heap_node forgotten; /* without jobs: mem->idle, by when its bucket is full */
  char bytes[];
};

struct mem_line_key {
  struct mem_group *group; /* NULL: a queue's plain one */
  struct mem_queue *queue;
  size_t rank; /* of its priority: 0 is the highest */
};

struct mem_line {
  struct mem_line_key key;
  struct sk_list fifo;  /* of mem_job.node */
  struct sk_heap front; /* of mem_job.place, by due_ms, then seq; all of it stands before fifo */
  struct sk_list turn;  /* queue->turns */
  /* A group's only. */
  UT_hash_handle hh;
  struct sk_list peer;       /* group->lines */
  struct sk_heap_node token; /* queue->tokens */
  size_t jobs;               /* that belong to it, in whatever state */
};

/* What a queue is bound to; it may be declared before the queue is seen. */
struct mem_bound {
  UT_hash_handle hh;
  struct sk_queue_settings item; /* name in bytes */
  struct sk_buf owners;          /* logic/owners.h */
  int64_t full_us;               /* its limit's bucket */
  char bytes[];
};

struct mem_queue {
  UT_hash_handle hh;
  struct sk_str name; /* in bytes */
  bool paused;
  int64_t states[SK_STATES];            /* jobs by state */
  struct mem_line plain[SK_PRIORITIES]; /* [0] is the highest priority */
  struct sk_list turns[SK_PRIORITIES];  /* of mem_line.turn */
  struct sk_heap tokens;                /* of mem_line.token, by group->token_us */
  size_t lines;                         /* of groups */
  struct sk_heap due;                   /* of mem_job.place, by due_ms, then seq */
  struct mem_bound *bound;              /* borrowed; NULL: none */
  char bytes[];
};

struct mem_lock {
  UT_hash_handle hh;
  struct sk_str key, holder; /* in bytes */
  struct mem_job *job;       /* NULL: it has ended, and its throttle lives on */
  int64_t until_ms;          /* MEM_NEVER: as long as its job */
  struct sk_heap_node end;   /* a throttle's: mem->throttles */
  bool throttle;
  char bytes[];
};

/* What a running job says of itself. */
struct mem_said {
  int32_t percent;
  struct sk_str progress_text, log; /* in bytes */
  char bytes[];
};

struct mem_job {
  struct sk_str id, task; /* in bytes */
  struct sk_str record;   /* in bytes, or owned_record */
  char *owned_record;     /* owned; NULL while the record is the one it was enqueued with */
  struct mem_queue *queue;
  enum sk_state state;
  int32_t priority;
  bool granted;              /* it has a slot of its group */
  bool stopping;             /* it was cancelled while it ran */
  struct mem_line *line;     /* its group's in its queue; NULL: no group */
  struct mem_lock *lock;     /* that it holds; NULL: none */
  struct sk_list node;       /* READY: a line's fifo; RUNNING: holder->held; waits with a slot: group->waiting */
  struct sk_heap_node place; /* READY: a line's front; SCHEDULED, RETRY: queue->due; DONE, CANCELLED: mem->kept */
  int64_t due_ms;            /* when it is or came due; MEM_NEVER: first in, first out */
  uint64_t seq;              /* breaks ties of due_ms; in a final state, the order of ends */
  struct mem_handle *holder; /* RUNNING: by whom, */
  uint64_t fence;            /* under what, */
  int64_t running_since_ms;  /* and since when */
  struct mem_said *said;     /* owned; NULL: nothing */
  char bytes[];
};

struct mem_task {
  UT_hash_handle hh;
  struct sk_task_item item; /* slices in bytes */
  struct sk_buf past;       /* of its limit: sk_limit_past_add */
  int64_t seen_ms;          /* when an engine declared it last */
  char bytes[];
};

struct mem {
  struct mem *next;   /* in the registry of named stores (memory.c) */
  struct sk_str name; /* in bytes; empty: anonymous, in no registry */
  size_t refs;        /* handles; guarded by the registry's lock */

  pthread_mutex_t lock; /* guards all below */
  struct mem_table jobs;
  struct mem_queue *queues;
  struct mem_task *tasks;
  struct mem_group *groups;
  struct mem_line *lines; /* of groups */
  struct mem_lock *locks;
  struct mem_bound *bounds;
  struct sk_heap kept;      /* of mem_job.place, by the wall clock of their end */
  struct sk_heap throttles; /* of mem_lock.end, by the same */
  struct sk_heap idle;      /* of mem_group.forgotten, by the same */
  int64_t now_ms;           /* wall clock of the operation that runs */
  struct sk_buf stamped;    /* the record of the job that comes in */
  struct sk_list handles;   /* of mem_handle.node */
  struct sk_counters counters;
  uint64_t seq, fence, queues_version;
  uint64_t marks; /* of engines; see mem_handle */
  char bytes[];
};

struct mem_handle {
  struct sk_store store; /* first: the vtable sees this */
  struct mem *mem;       /* NULL once closed */
  struct sk_list node;
  struct sk_store_clock clock;
  struct sk_store_events events;
  struct sk_async *wake;  /* answers are due, or `changed` is set, or it is closed */
  struct sk_list answers; /* of sk_op.node: done, their callbacks not run yet */
  bool changed;           /* guarded by mem->lock */

  /* Engines only. */
  struct sk_str engine; /* in bytes; empty: a client */
  int64_t lease_ms;
  uint64_t mark;             /* of the last thing that it did: no two are the same */
  struct sk_watches watches; /* what it has seen of the others */
  bool gone;                 /* given up, and not heard of since */
  bool lost;                 /* given up, and not told yet */
  struct sk_list held;       /* of mem_job.node; those to be stopped come first */

  void (*close_cb)(void *ctx); /* set: it is closed */
  void *close_ctx;
  char bytes[];
};

static inline struct mem_handle *sk_mem_handle(struct sk_store *store) {
  return SK_CONTAINER(store, struct mem_handle, store);
}

/* a + b for b >= 0, no more than MEM_NEVER. */
static inline int64_t sk_mem_later(int64_t a, int64_t b) { return a > MEM_NEVER - b ? MEM_NEVER : a + b; }

/* -- memory.c -- */
/* Begins an operation: takes the lock.  sk_mem_answer ends it: sets the status, releases the lock, and has cb called. */
struct mem_handle *sk_mem_begin(struct sk_store *store, struct sk_op *op);
void sk_mem_answer(struct mem_handle *h, struct sk_op *op, enum sk_code status);
/* Has every other handle's `changed` event called.  Under the lock. */
void sk_mem_notify(struct mem_handle *h);

/* -- memory/jobs.c: the table and the moves between states; all under the lock -- */
static inline struct mem_job *sk_mem_find(const struct mem *mem, struct sk_str id) {
  return sk_mem_table_find(&mem->jobs, id);
}
struct mem_queue *sk_mem_queue_find(const struct mem *mem, struct sk_str name);
/* Makes it if need be; NULL when out of memory. */
struct mem_queue *sk_mem_queue(struct mem *mem, struct sk_str name);
/* Adds a job that is not there yet, SCHEDULED or READY, and its place in its group.  NULL when out of memory, with nothing changed. */
struct mem_job *sk_mem_add(struct mem *mem, const struct sk_enqueue_item *item);
/* Frees a job and nothing else. */
void sk_mem_free(struct mem_job *job);
/* Takes a job out of all there is and frees it, whatever its state. */
void sk_mem_drop(struct mem *mem, struct mem_job *job);

/* Out of the structure that its state stands for. */
void sk_mem_leave(struct mem *mem, struct mem_job *job);
/* READY at the place (due_ms, seq) that it has.  Never fails: without memory the place is the front. */
void sk_mem_enter_ready(struct mem_job *job);
/* READY at the end. */
void sk_mem_enter_last(struct mem *mem, struct mem_job *job);
/* SCHEDULED or RETRY until due_ms, in `queue`; at once READY at the front when it is due.  Moves the job from where it is;
 * false, and nothing changed, when out of memory. */
bool sk_mem_wait(struct mem *mem, struct mem_job *job, struct mem_queue *queue, enum sk_state state, int64_t due_ms);
/* Takes a slot and a token of its group if it has none. */
void sk_mem_enter_running(struct mem *mem, struct mem_job *job, struct mem_handle *holder);
/* DONE, DEAD or CANCELLED, until end_ms (MEM_NEVER: until deleted).  Moves the job from where it is, and frees its lock and slot;
 * false, and nothing changed, when out of memory. */
bool sk_mem_finish(struct mem *mem, struct mem_job *job, enum sk_state state, int64_t end_ms);
/* Marks a RUNNING job as one to be stopped. */
void sk_mem_stop(struct mem_job *job);
/* Makes READY what is due. */
void sk_mem_promote(struct mem *mem, struct mem_queue *queue);
/* Drops the records whose time is over. */
void sk_mem_drop_ended(struct mem *mem);

/* -- memory/line.c: the lines of READY jobs and their turns; under the lock -- */
void sk_mem_line_init(struct mem_line *line, struct mem_line_key key);
bool sk_mem_line_empty(const struct mem_line *line);
/* READY: the line that the job stands in. */
struct mem_line *sk_mem_line_of(const struct mem_job *job);
void sk_mem_line_push(struct mem_line *line, struct mem_job *job);
/* At the place (due_ms, seq) that it has before fifo; without memory the place is the front. */
void sk_mem_line_put(struct mem_line *line, struct mem_job *job);
void sk_mem_line_remove(struct mem_line *line, struct mem_job *job);
/* Into the heap at (key, the job's seq); false when out of memory. */
bool sk_mem_heap_put(struct sk_heap *heap, struct mem_job *job, int64_t key);
struct mem_job *sk_mem_heap_job(const struct sk_heap *heap);
/* The job that is to be taken next, at any time its queue itself allows; NULL when there is none. */
struct mem_job *sk_mem_next(const struct mem_queue *queue);
/* The job, the first of its line, is about to be taken: the next turn is another line's. */
void sk_mem_turn(struct mem_job *job);
/* The READY job that is the oldest of the lowest priority, but for `except`.  Costs as much as the queue has groups. */
struct mem_job *sk_mem_oldest(const struct mem *mem, const struct mem_queue *queue, const struct mem_job *except);

/* -- memory/group.c: groups, their slots and tokens; under the lock -- */
/* The group's line in that queue, made if need be, with one more job that belongs to it; NULL when out of memory. */
struct mem_line *sk_mem_line_join(struct mem *mem, const struct sk_limit *limit, struct mem_queue *queue,
                                  int32_t priority);
/* One job less. */
void sk_mem_line_quit(struct mem *mem, struct mem_line *line);
/* Puts a group's line where its group's state has it. */
void sk_mem_line_place(struct mem_line *line);
/* The group's numbers are these from now on. */
void sk_mem_group_renumber(struct mem *mem, struct mem_group *group, const struct sk_limit *limit);
/* Frees what was declared of a task. */
void sk_mem_task_free(struct mem_task *task);
/* The task declares another limit now: its groups that have one of those before get it. */
void sk_mem_groups_renew(struct mem *mem, const struct mem_task *task);
/* The job takes a slot and a token, gives the slot back; nothing when it has, or has none. */
void sk_mem_grant(struct mem *mem, struct mem_job *job);
void sk_mem_ungrant(struct mem *mem, struct mem_job *job);
/* Opens the groups whose next token is there, as far as they have jobs in the queue. */
void sk_mem_tokens_due(struct mem *mem, struct mem_queue *queue);
/* The clock was set back: no token is further ahead than the numbers of its group allow. */
void sk_mem_clock_back(struct mem *mem);
/* Forgets groups without jobs whose bucket is full. */
void sk_mem_groups_forget(struct mem *mem);
void sk_mem_groups_free(struct mem *mem);
enum sk_blocked_by sk_mem_blocked_by(const struct mem *mem, const struct mem_job *job);

/* -- memory/lock.c: locks; under the lock of them all -- */
/* The lock of that key while it is held, by anyone but `ending`; NULL when it is free. */
struct mem_lock *sk_mem_lock_find(struct mem *mem, struct sk_str key, const struct mem_job *ending);
/* Takes the lock, from whoever holds it, for a job that has none; false when out of memory, with nothing changed. */
bool sk_mem_lock_take(struct mem *mem, const struct sk_lock *want, struct mem_job *job);
/* The job has ended. */
void sk_mem_lock_leave(struct mem *mem, struct mem_job *job);
/* Frees the throttles whose time is over. */
void sk_mem_locks_forget(struct mem *mem);
void sk_mem_locks_free(struct mem *mem);

/* -- memory/bound.c: what queues are bound to; under the lock -- */
/* Adds, replaces or removes; false when out of memory. */
bool sk_mem_bind(struct mem *mem, const struct sk_queue_settings *item);
/* What op's owner binds: notes that, and removes what has no owner any more; false when out of memory. */
bool sk_mem_bounds_own(struct mem *mem, const struct sk_declare_op *op);
struct mem_bound *sk_mem_bound_find(const struct mem *mem, struct sk_str name);
void sk_mem_bounds_free(struct mem *mem);
/* As many of its jobs wait as its max_len allows. */
bool sk_mem_is_full(const struct mem_queue *queue);
/* By its own limit: SK_BLOCKED_BY_NOTHING when a job may be taken now. */
enum sk_blocked_by sk_mem_queue_blocked_by(const struct mem *mem, const struct mem_queue *queue);
/* A job of the queue is taken. */
void sk_mem_queue_taken(const struct mem *mem, struct mem_queue *queue);
/* Until a token is there for a job that nothing else holds back; -1: none. */
int64_t sk_mem_token_in_ms(const struct mem *mem, const struct mem_queue *queue);

/* -- records and texts: memory/jobs.c -- */
/* Takes `record`, malloced, in place of the job's own. */
void sk_mem_set_record(struct mem_job *job, struct sk_str record);
/* A malloced copy; p is NULL when out of memory. */
struct sk_str sk_mem_copy(struct sk_str s);
/* The job's record after `edit`, malloced: p is NULL when out of memory; the same bytes when it can't be read. */
struct sk_str sk_mem_edit(const struct mem_job *job, void (*edit)(struct sk_job *, int64_t now_ms), int64_t now_ms);

/* -- memory/enqueue.c -- */
/* Enqueues the items; `ending` is the job whose follow-ups they are (let in wherever, and its lock is free to them), NULL: none.
 * Out of memory it adds none, but what they had already displaced is gone.  Answers are copied into `arena`. */
enum sk_code sk_mem_add_all(struct mem *mem, struct sk_enqueue_item *items, size_t n, const struct mem_job *ending,
                            struct sk_arena *arena, size_t *added);
/* Takes the added ones of them out again. */
void sk_mem_take_back(struct mem *mem, struct sk_enqueue_item *items, size_t n);

/* -- memory/lease.c -- */
/* Gives up the engines whose lease is over, on behalf of h; returns how many jobs that made READY. */
size_t sk_mem_recover(struct mem_handle *h);
/* The holder's jobs become READY again at their places; `recovered`: their records count it.  Returns how many. */
size_t sk_mem_hand_back(struct mem *mem, struct mem_handle *holder, bool recovered);

/* SK_EINVAL for a client; enters an engine that was given up anew. */
enum sk_code sk_mem_check_engine(struct mem_handle *h, const char *what, struct sk_err *err);

/* -- the slots: memory/enqueue.c, memory/fetch.c, memory/settle.c, memory/lease.c, memory/look.c, memory/change.c -- */
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

/* The jobs that match, in the order of listing: an array of *n to be freed; NULL when out of memory. */
struct mem_job **sk_mem_select(const struct mem *mem, const struct sk_filter *filter, size_t *n);

#endif
