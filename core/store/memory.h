/* memory.h - the inside of the memory store, for memory*.c only.
 *
 *   struct mem ─┬─ jobs: table by id ─────────► struct mem_job ──► its queue
 *               ├─ queues: hash by name ──────► struct mem_queue     READY      fifo[priority] or front[priority]
 *               │                                                    SCHEDULED, RETRY      due
 *               ├─ handles ───────────────────► struct mem_handle    RUNNING    held
 *               └─ kept: heap by end                                 DONE, CANCELLED (until their end); DEAD is in none
 *
 * A job's state is the structure it is in: sk_mem_leave takes it out, one of the sk_mem_enter functions puts it into the next,
 * and nothing else touches the structures or the counts by state.
 *
 * A place in line is (due_ms, seq).  First in, first out jobs have due_ms = MEM_NEVER, so those that came due stand before
 * them.  New ones join the list fifo, in O(1); whatever came due, or was released and returns to its old place, goes to the
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

#include "base/heap.h"
#include "base/list.h"
#include "base/limits.h"
#include "store/memory_table.h"
#include "store/openers.h"

#define MEM_NEVER INT64_MAX

struct mem_queue {
  UT_hash_handle hh;
  struct sk_str name; /* in bytes */
  bool paused;
  int64_t states[SK_STATES];              /* jobs by state */
  struct sk_list fifo[SK_PRIORITIES];     /* of mem_job.node; [0] is the highest priority */
  struct sk_heap front[SK_PRIORITIES];    /* of mem_job.place, by due_ms, then seq */
  struct sk_heap due;                     /* of mem_job.place, by due_ms, then seq */
  char bytes[];
};

struct mem_job {
  struct sk_str id, task; /* in bytes */
  struct sk_str record;   /* in bytes, or owned_record */
  char *owned_record;     /* owned; NULL while the record is the one it was enqueued with */
  struct mem_queue *queue;
  enum sk_state state;
  int32_t priority;
  struct sk_list node;       /* READY: queue->fifo; RUNNING: holder->held */
  struct sk_heap_node place; /* READY: queue->front; SCHEDULED, RETRY: queue->due; DONE, CANCELLED: mem->kept */
  int64_t due_ms;            /* when it is or came due; MEM_NEVER: first in, first out */
  uint64_t seq;              /* breaks ties of due_ms; in a final state, the order of ends */
  struct mem_handle *holder; /* RUNNING: by whom, */
  uint64_t fence;            /* under what, */
  int64_t held_ms;           /* and since when */
  int32_t percent;
  struct sk_str note; /* owned */
  char bytes[];
};

struct mem_task {
  UT_hash_handle hh;
  struct sk_task_item item; /* slices in bytes */
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
  struct sk_heap kept;    /* of mem_job.place, by the wall clock of their end */
  struct sk_list handles; /* of mem_handle.node */
  struct sk_counters counters;
  uint64_t seq, fence, queues_version;
  char bytes[];
};

struct mem_handle {
  struct sk_store store; /* first: the vtable sees this */
  struct mem *mem;       /* NULL once closed */
  struct sk_list node;
  struct sk_store_clock clock;
  struct sk_store_events events;
  struct sk_async *wake; /* answers are due, or `changed` is set, or it is closed */
  struct sk_list answers; /* of sk_op.node: done, their callbacks not run yet */
  bool changed;          /* guarded by mem->lock */

  /* Engines only. */
  struct sk_str engine; /* in bytes; empty: a client */
  int64_t lease_ms, beat_ms; /* monotonic */
  bool gone;            /* given up, and not heard of since */
  bool lost;            /* given up, and not told yet */
  struct sk_list held;  /* of mem_job.node */

  void (*close_cb)(void *ctx); /* set: it is closed */
  void *close_ctx;
  char bytes[];
};

static inline struct mem_handle *sk_mem_handle(struct sk_store *store) { return SK_CONTAINER(store, struct mem_handle, store); }
static inline int64_t sk_mem_now(const struct mem_handle *h) { return sk_store_wall_ms(&h->clock); }

/* a + b for b >= 0, no more than MEM_NEVER. */
static inline int64_t sk_mem_later(int64_t a, int64_t b) { return a > MEM_NEVER - b ? MEM_NEVER : a + b; }

/* -- memory.c -- */
/* Begins an operation: takes the lock.  sk_mem_answer ends it: sets the status, releases the lock, and has cb called. */
struct mem_handle *sk_mem_begin(struct sk_store *store, struct sk_op *op);
void sk_mem_answer(struct mem_handle *h, struct sk_op *op, enum sk_code status);
/* Has every other handle's `changed` event called.  Under the lock. */
void sk_mem_notify(struct mem_handle *h);

/* -- memory_jobs.c: the table and the moves between states; all under the lock -- */
static inline struct mem_job *sk_mem_find(const struct mem *mem, struct sk_str id) { return sk_mem_table_find(&mem->jobs, id); }
struct mem_queue *sk_mem_queue_find(struct mem *mem, struct sk_str name);
/* Makes it if need be; NULL when out of memory. */
struct mem_queue *sk_mem_queue(struct mem *mem, struct sk_str name);
/* Adds a job, SCHEDULED or READY.  SK_OK, SK_EEXISTS or SK_ENOMEM; does not count it as enqueued. */
enum sk_code sk_mem_add(struct mem *mem, const struct sk_enqueue_item *item, int64_t now_ms);
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
bool sk_mem_wait(struct mem *mem, struct mem_job *job, struct mem_queue *queue, enum sk_state state, int64_t due_ms, int64_t now_ms);
void sk_mem_enter_running(struct mem *mem, struct mem_job *job, struct mem_handle *holder, int64_t now_ms);
/* DONE, DEAD or CANCELLED, until end_ms (MEM_NEVER: until deleted).  Moves the job from where it is; false, and nothing
 * changed, when out of memory. */
bool sk_mem_finish(struct mem *mem, struct mem_job *job, enum sk_state state, int64_t end_ms);
/* The job that runs next; NULL when none is READY. */
struct mem_job *sk_mem_next(const struct mem_queue *queue);
/* Makes READY what is due. */
void sk_mem_promote(struct mem *mem, struct mem_queue *queue, int64_t now_ms);

/* Takes `record`, malloced, in place of the job's own. */
void sk_mem_set_record(struct mem_job *job, struct sk_str record);
/* A malloced copy; p is NULL when out of memory. */
struct sk_str sk_mem_copy(struct sk_str s);
/* The job's record after `edit`, malloced: p is NULL when out of memory; the same bytes when it can't be read. */
struct sk_str sk_mem_edit(const struct mem_job *job, void (*edit)(struct sk_job *, int64_t now_ms), int64_t now_ms);
/* Gives up the engines whose lease is over, on behalf of h; returns how many jobs that made READY. */
size_t sk_mem_recover(struct mem_handle *h);
/* The holder's jobs become READY again at their places; `recovered`: their records count it.  Returns how many. */
size_t sk_mem_hand_back(struct mem *mem, struct mem_handle *holder, bool recovered);

/* -- the slots: memory_work.c, memory_look.c, memory_change.c -- */
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
