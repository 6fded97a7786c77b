/* room.c - see room.h.
 *
 * What tells that there may be room: the store's `changed`, and this process's own fetches and changes, of which the store says nothing.
 * A store that takes some time to tell of others' fetches costs no more than LOOK_MS. */
#include "engine/room.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "io/loop.h"

enum { LOOK_MS = 500 };

struct sk_rooms {
  struct sk_loop *loop;
  struct sk_store *store;
  struct sk_list waiting;
  void (*added)(void *ctx, const struct sk_enqueue_item *items, size_t n, int64_t due_in_ms);
  void *ctx;
};

static void finish(struct sk_room *room, enum sk_code code) {
  assert(!room->trying);
  sk_list_remove(&room->node);
  sk_timer_free(room->timer);
  free(room->try.items);
  free(room->tried);
  room->cb(room->ctx, code);
}

/* Takes over what the try says of its items; *left is the number of those that are refused still. */
static bool take_answers(struct sk_room *room, size_t *left) {
  bool added = false;
  *left = 0;
  for (size_t k = 0; k < room->try.items_n; k++) {
    const struct sk_enqueue_item *answer = &room->try.items[k];
    struct sk_enqueue_item *item = &room->items[room->tried[k]];
    item->status = answer->status;
    if (answer->status == SK_EEXISTS && answer->holder.n == 0 && room->unsure) item->status = SK_OK;
    item->holder = answer->holder.n > 0 ? sk_arena_copy(room->arena, answer->holder) : sk_str(NULL, 0);
    if (answer->holder.n > 0 && item->holder.p == NULL) item->status = SK_ENOMEM;
    added |= item->status == SK_OK;
    *left += item->status == SK_ELIMIT;
  }
  return added;
}

static void try_again(struct sk_room *room);

static void on_tried(struct sk_op *op, void *ctx) {
  struct sk_room *room = ctx;
  struct sk_rooms *rooms = room->rooms;
  room->trying = false;
  size_t left = 1;
  if (op->status == SK_OK) {
    if (take_answers(room, &left) && rooms->added)
      rooms->added(rooms->ctx, room->items, room->items_n, room->due_in_ms);
    room->unsure = false;
  } else if (op->status == SK_EUNKNOWN) {
    room->unsure = true;
  }
  sk_op_fini(op);
  if (left == 0 || room->over)
    finish(room, left > 0 && room->unsure ? SK_EUNKNOWN : SK_OK);
  else if (room->again && op->status == SK_OK)
    try_again(room);
}

static void try_again(struct sk_room *room) {
  room->again = false;
  size_t n = 0;
  for (size_t i = 0; i < room->items_n; i++) {
    if (room->items[i].status != SK_ELIMIT) continue;
    room->try.items[n] = room->items[i];
    room->try.items[n].fresh = false; /* one whose answer got lost may have added it */
    room->tried[n++] = i;
  }
  room->try.op = (struct sk_op){ .cb = on_tried, .ctx = room };
  room->try.items_n = n;
  room->trying = true;
  room->rooms->store->ops->enqueue(room->rooms->store, &room->try);
}

void sk_room_end(struct sk_room *room) {
  if (room->rooms == NULL) return; /* it never waited */
  room->over = true;
  if (!room->trying) finish(room, room->unsure ? SK_EUNKNOWN : SK_OK);
}

static void arm(struct sk_room *room) {
  int64_t left_ms = room->end_ms - sk_clock_mono_ms();
  sk_timer_start(room->timer, left_ms > LOOK_MS ? LOOK_MS : left_ms > 0 ? left_ms + 1 : 0);
}

static void on_timer(void *ctx) {
  struct sk_room *room = ctx;
  if (sk_clock_mono_ms() >= room->end_ms) {
    sk_room_end(room);
    return;
  }
  arm(room);
  if (!room->trying) try_again(room);
}

void sk_room_wait(struct sk_rooms *rooms, struct sk_room *room) {
  room->rooms = rooms;
  room->end_ms = sk_clock_mono_ms() + room->block_ms;
  sk_list_push(&rooms->waiting, &room->node);
  room->try.items = calloc(room->items_n, sizeof *room->try.items);
  room->tried = calloc(room->items_n, sizeof *room->tried);
  room->timer = sk_timer_new(rooms->loop, on_timer, room);
  if (room->try.items && room->tried && room->timer)
    arm(room);
  else
    finish(room, SK_ENOMEM);
}

void sk_rooms_changed(struct sk_rooms *rooms) {
  SK_LIST_EACH (n, &rooms->waiting) {
    struct sk_room *room = SK_CONTAINER(n, struct sk_room, node);
    if (room->trying)
      room->again = true;
    else
      try_again(room);
  }
}

void sk_rooms_stop(struct sk_rooms *rooms) {
  SK_LIST_EACH_SAFE(n, &rooms->waiting) sk_room_end(SK_CONTAINER(n, struct sk_room, node));
}

struct sk_rooms *sk_rooms_new(struct sk_loop *loop,
                              void (*added)(void *ctx, const struct sk_enqueue_item *items, size_t n,
                                            int64_t due_in_ms),
                              void *ctx) {
  struct sk_rooms *rooms = calloc(1, sizeof *rooms);
  if (rooms == NULL) return NULL;
  rooms->loop = loop;
  rooms->added = added;
  rooms->ctx = ctx;
  sk_list_init(&rooms->waiting);
  return rooms;
}

void sk_rooms_use(struct sk_rooms *rooms, struct sk_store *store) { rooms->store = store; }

void sk_rooms_free(struct sk_rooms *rooms) {
  if (rooms == NULL) return;
  assert(sk_list_empty(&rooms->waiting));
  free(rooms);
}
