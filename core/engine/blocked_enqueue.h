/* blocked_enqueue.h - enqueues that wait for capacity in a full queue.
 *
 * A bounded queue has refused some of their jobs.  These jobs are tried again, oldest enqueue first, whenever a queue
 * may have capacity, until their block_ms is over. */
#ifndef SK_ENGINE_BLOCKED_ENQUEUE_H
#define SK_ENGINE_BLOCKED_ENQUEUE_H

#include "base/list.h"
#include "store/store.h"

struct sk_loop;
struct sk_blocked_enqueues;
struct sk_timer;

/* One enqueue that waits; embedded in the request that asked for it. */
struct sk_blocked_enqueue {
  struct sk_enqueue_item *items; /* in; borrowed until cb: items with status SK_ELIMIT are tried again */
  size_t items_n;                /* in */
  struct sk_arena *arena;        /* in; receives the names of lock holders */
  int64_t block_ms;              /* in; how long it may wait; > 0 */
  int64_t due_in_ms;             /* in; passed on to `added` */
  /* in; called once: SK_OK: the items tell their statuses; SK_EUNKNOWN: the status of some jobs is not known;
   * SK_ENOMEM. It is called inside sk_blocked_enqueue_wait when memory is out, and else later. */
  void (*cb)(void *ctx, enum sk_code code);
  void *ctx; /* in */
  /* private to blocked_enqueue.c */
  struct sk_blocked_enqueues *all;
  struct sk_list node;
  struct sk_timer *timer;
  int64_t end_ms;
  struct sk_enqueue_op try; /* the store operation of a try */
  size_t *tried;            /* owned; the index in items of each of try.items */
  size_t next;              /* index in items where the next operation of this try begins; 0: a new try begins */
  bool trying;
  bool again;  /* a queue may have got capacity since this try began */
  bool over;   /* the time is over: no more tries */
  bool unsure; /* the answer to a try was lost: a job that is there now under its own id was added by that try */
};

/* How many of the first items one store operation takes: their records are SK_BATCH_BYTES_MAX bytes at most, or it is
 * one item. */
size_t sk_enqueue_batch_n(const struct sk_enqueue_item *items, size_t n);

/* added(ctx, items, n, due_in_ms) is called when jobs were added; it may be NULL. */
struct sk_blocked_enqueues *sk_blocked_enqueues_new(struct sk_loop *loop,
                                                    void (*added)(void *ctx, const struct sk_enqueue_item *items,
                                                                  size_t n, int64_t due_in_ms),
                                                    void *ctx);
/* Call it before the first wait; the store is borrowed. */
void sk_blocked_enqueues_use(struct sk_blocked_enqueues *all, struct sk_store *store);
/* Only when no enqueue waits. */
void sk_blocked_enqueues_free(struct sk_blocked_enqueues *all);
void sk_blocked_enqueue_wait(struct sk_blocked_enqueues *all, struct sk_blocked_enqueue *blocked);
/* Ends the wait: cb is called now, or when the try under way is answered. */
void sk_blocked_enqueue_end(struct sk_blocked_enqueue *blocked);
/* A queue may have capacity now. */
void sk_blocked_enqueues_changed(struct sk_blocked_enqueues *all);
/* Ends all waits. */
void sk_blocked_enqueues_stop(struct sk_blocked_enqueues *all);

#endif
