/* room.h - enqueues that wait for room in a full queue.
 *
 * Jobs that a bounded queue has refused are tried again, in the order in which they came to wait, when something tells that there may
 * be room, until the time is over that they may wait. */
#ifndef SK_ENGINE_ROOM_H
#define SK_ENGINE_ROOM_H

#include "base/list.h"
#include "store/store.h"

struct sk_loop;
struct sk_rooms;
struct sk_timer;

/* One enqueue that waits; embedded in what asked for it. */
struct sk_room {
  struct sk_enqueue_item *items; /* in; borrowed until cb: those with status SK_ELIMIT are tried again */
  size_t items_n;                /* in */
  struct sk_arena *arena;        /* in; for the holders that are found */
  int64_t block_ms;              /* in; > 0 */
  int64_t due_in_ms;             /* in; for `added` */
  /* in; called once, later: SK_OK and the items say what became of each; SK_EUNKNOWN: that of some is not known; SK_ENOMEM */
  void (*cb)(void *ctx, enum sk_code code);
  void *ctx; /* in */
  /* room.c's own */
  struct sk_rooms *rooms;
  struct sk_list node;
  struct sk_timer *timer;
  int64_t end_ms;
  struct sk_enqueue_op try;
  size_t *tried; /* owned; the index in items of each of try.items */
  bool trying;
  bool again;  /* something has changed since this try was sent */
  bool over;   /* no more tries */
  bool unsure; /* the answer to a try got lost: what is there under its own id now was added by it */
};

/* added(ctx, items, n, due_in_ms): some were added; may be NULL. */
struct sk_rooms *sk_rooms_new(struct sk_loop *loop,
                              void (*added)(void *ctx, const struct sk_enqueue_item *items, size_t n,
                                            int64_t due_in_ms),
                              void *ctx);
void sk_rooms_use(struct sk_rooms *rooms, struct sk_store *store); /* before anything waits; borrowed */
void sk_rooms_free(struct sk_rooms *rooms);                        /* only when nothing waits */
void sk_room_wait(struct sk_rooms *rooms, struct sk_room *room);
void sk_room_end(struct sk_room *room); /* its time is over: cb is called now, or when the try under way is answered */
void sk_rooms_changed(struct sk_rooms *rooms); /* there may be room */
void sk_rooms_stop(struct sk_rooms *rooms);    /* the time is over for all */

#endif
