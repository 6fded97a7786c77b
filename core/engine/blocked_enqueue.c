/* blocked_enqueue.c - see blocked_enqueue.h.
 *
 * Two events tell that a queue may have capacity: the store's `changed`, and this process's own fetches and changes,
 * which the store does not report.  A store that reports the fetches of others late delays a try by LOOK_MS at most. */
#include "engine/blocked_enqueue.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "io/loop.h"

enum { LOOK_MS = 500 };

struct sk_blocked_enqueues {
  struct sk_loop *loop;
  struct sk_store *store;
  struct sk_list waiting;
  void (*added)(void *ctx, const struct sk_enqueue_item *items, size_t n, int64_t due_in_ms);
  void *ctx;
};

size_t sk_enqueue_batch_n(const struct sk_enqueue_item *items, size_t n) {
  size_t bytes = 0, i = 0;
  while (i < n && (i == 0 || bytes + items[i].record.n <= SK_BATCH_BYTES_MAX)) bytes += items[i++].record.n;
  return i;
}

static void finish(struct sk_blocked_enqueue *blocked, enum sk_code code) {
  assert(!blocked->trying);
  sk_list_remove(&blocked->node);
  sk_timer_free(blocked->timer);
  free(blocked->try.items);
  free(blocked->tried);
  blocked->cb(blocked->ctx, code);
}

/* Copies the statuses of a try into the items.  True when it has added a job. */
static bool take_answers(struct sk_blocked_enqueue *blocked) {
  bool added = false;
  for (size_t k = 0; k < blocked->try.items_n; k++) {
    const struct sk_enqueue_item *answer = &blocked->try.items[k];
    struct sk_enqueue_item *item = &blocked->items[blocked->tried[k]];
    item->status = answer->status;
    if (answer->status == SK_EEXISTS && answer->holder.n == 0 && blocked->unsure) item->status = SK_OK;
    item->holder = answer->holder.n > 0 ? sk_arena_copy(blocked->arena, answer->holder) : sk_str(NULL, 0);
    if (answer->holder.n > 0 && item->holder.p == NULL) item->status = SK_ENOMEM;
    added |= item->status == SK_OK;
  }
  return added;
}

static bool has_refused(const struct sk_blocked_enqueue *blocked, size_t from) {
  for (size_t i = from; i < blocked->items_n; i++)
    if (blocked->items[i].status == SK_ELIMIT) return true;
  return false;
}

static void send(struct sk_blocked_enqueue *blocked);

static void on_tried(struct sk_op *op, void *ctx) {
  struct sk_blocked_enqueue *blocked = ctx;
  struct sk_blocked_enqueues *all = blocked->all;
  bool ok = op->status == SK_OK;
  blocked->trying = false;
  if (ok && take_answers(blocked) && all->added)
    all->added(all->ctx, blocked->items, blocked->items_n, blocked->due_in_ms);
  if (op->status == SK_EUNKNOWN) blocked->unsure = true;
  sk_op_fini(op);
  bool more = ok && has_refused(blocked, blocked->next); /* of this try */
  if (!more) blocked->next = 0;
  if (ok && !more) blocked->unsure = false; /* every refused job was answered in this try */
  bool left = has_refused(blocked, 0);
  if (!left || blocked->over)
    finish(blocked, left && blocked->unsure ? SK_EUNKNOWN : SK_OK);
  else if (more || (ok && blocked->again))
    send(blocked);
}

/* Sends the refused jobs from `next` on, as many as one store operation takes. */
static void send(struct sk_blocked_enqueue *blocked) {
  size_t n = 0, bytes = 0, i = blocked->next;
  if (i == 0) blocked->again = false;
  for (; i < blocked->items_n; i++) {
    const struct sk_enqueue_item *item = &blocked->items[i];
    if (item->status != SK_ELIMIT) continue;
    if (n > 0 && bytes + item->record.n > SK_BATCH_BYTES_MAX) break;
    bytes += item->record.n;
    blocked->try.items[n] = *item;
    blocked->try.items[n].fresh = false; /* a try whose answer was lost may have added it */
    blocked->tried[n++] = i;
  }
  blocked->next = i;
  blocked->try.op = (struct sk_op){ .cb = on_tried, .ctx = blocked };
  blocked->try.items_n = n;
  blocked->trying = true;
  blocked->all->store->ops->enqueue(blocked->all->store, &blocked->try);
}

void sk_blocked_enqueue_end(struct sk_blocked_enqueue *blocked) {
  if (blocked->all == NULL) return; /* it never waited */
  blocked->over = true;
  if (!blocked->trying) finish(blocked, blocked->unsure ? SK_EUNKNOWN : SK_OK);
}

static void arm(struct sk_blocked_enqueue *blocked) {
  int64_t left_ms = blocked->end_ms - sk_clock_mono_ms();
  sk_timer_start(blocked->timer, left_ms > LOOK_MS ? LOOK_MS : left_ms > 0 ? left_ms + 1 : 0);
}

static void on_timer(void *ctx) {
  struct sk_blocked_enqueue *blocked = ctx;
  if (sk_clock_mono_ms() >= blocked->end_ms) {
    sk_blocked_enqueue_end(blocked);
    return;
  }
  arm(blocked);
  if (!blocked->trying) send(blocked);
}

void sk_blocked_enqueue_wait(struct sk_blocked_enqueues *all, struct sk_blocked_enqueue *blocked) {
  blocked->all = all;
  blocked->end_ms = sk_clock_mono_ms() + blocked->block_ms;
  sk_list_push(&all->waiting, &blocked->node);
  blocked->try.items = calloc(blocked->items_n, sizeof *blocked->try.items);
  blocked->tried = calloc(blocked->items_n, sizeof *blocked->tried);
  blocked->timer = sk_timer_new(all->loop, on_timer, blocked);
  if (blocked->try.items && blocked->tried && blocked->timer)
    arm(blocked);
  else
    finish(blocked, SK_ENOMEM);
}

void sk_blocked_enqueues_changed(struct sk_blocked_enqueues *all) {
  SK_LIST_EACH (n, &all->waiting) {
    struct sk_blocked_enqueue *blocked = SK_CONTAINER(n, struct sk_blocked_enqueue, node);
    if (blocked->trying)
      blocked->again = true;
    else
      send(blocked);
  }
}

void sk_blocked_enqueues_stop(struct sk_blocked_enqueues *all) {
  SK_LIST_EACH_SAFE(n, &all->waiting) sk_blocked_enqueue_end(SK_CONTAINER(n, struct sk_blocked_enqueue, node));
}

struct sk_blocked_enqueues *sk_blocked_enqueues_new(struct sk_loop *loop,
                                                    void (*added)(void *ctx, const struct sk_enqueue_item *items,
                                                                  size_t n, int64_t due_in_ms),
                                                    void *ctx) {
  struct sk_blocked_enqueues *all = calloc(1, sizeof *all);
  if (all == NULL) return NULL;
  all->loop = loop;
  all->added = added;
  all->ctx = ctx;
  sk_list_init(&all->waiting);
  return all;
}

void sk_blocked_enqueues_use(struct sk_blocked_enqueues *all, struct sk_store *store) { all->store = store; }

void sk_blocked_enqueues_free(struct sk_blocked_enqueues *all) {
  if (all == NULL) return;
  assert(sk_list_empty(&all->waiting));
  free(all);
}
