/* memory/enqueue.c - enqueue: whether a job may come in (its id, its lock, its queue's bound), and whom it displaces. */
#include "store/memory/memory.h"

/* -- coming in --------------------------------------------------------------------------------------------------------------- */

/* Whom a job displaces: both may be NULL. */
struct displaced {
  struct mem_job *replaced, *oldest;
};

static bool waits(const struct mem_job *job) {
  return job->state == SK_STATE_SCHEDULED || job->state == SK_STATE_READY || job->state == SK_STATE_RETRY;
}

/* Whether its lock lets the job in: SK_OK, SK_EEXISTS with the holder, SK_ENOMEM. */
static enum sk_code pass_lock(struct mem *mem, struct sk_enqueue_item *item, const struct mem_job *ending,
                              struct sk_arena *arena, struct displaced *out) {
  if (item->lock.mode == SK_LOCK_NONE) return SK_OK;
  struct mem_lock *lock = sk_mem_lock_find(mem, item->lock.key, ending);
  if (lock == NULL) return SK_OK;
  if (item->lock.mode == SK_LOCK_REPLACE) {
    if (lock->job != NULL && waits(lock->job)) out->replaced = lock->job;
    return SK_OK;
  }
  item->holder = sk_arena_copy(arena, lock->holder);
  return item->holder.p != NULL ? SK_EEXISTS : SK_ENOMEM;
}

/* Whether its queue has room for it: SK_OK, SK_ELIMIT. */
static enum sk_code pass_bound(const struct mem *mem, const struct sk_enqueue_item *item, struct displaced *out) {
  struct mem_queue *queue = mem->bounds ? sk_mem_queue_find(mem, item->queue) : NULL;
  if (queue == NULL || !sk_mem_is_full(queue, out->replaced && out->replaced->queue == queue ? 1 : 0)) return SK_OK;
  if (queue->bound->item.overflow == SK_OVERFLOW_DROP_OLDEST) out->oldest = sk_mem_oldest(mem, queue, out->replaced);
  return out->oldest != NULL ? SK_OK : SK_ELIMIT;
}

static void displace(struct mem *mem, struct mem_job *job) {
  if (job == NULL) return;
  sk_mem_drop(mem, job);
  mem->counters.discarded++;
}

static enum sk_code add_one(struct mem *mem, struct sk_enqueue_item *item, const struct mem_job *ending,
                            struct sk_arena *arena) {
  item->holder = sk_str(NULL, 0);
  if (sk_mem_find(mem, item->id) != NULL) return SK_EEXISTS;
  struct displaced displaced = { NULL, NULL };
  enum sk_code code = pass_lock(mem, item, ending, arena, &displaced);
  if (code == SK_OK && ending == NULL) code = pass_bound(mem, item, &displaced);
  if (code != SK_OK) return code;
  struct mem_job *job = sk_mem_add(mem, item);
  if (job == NULL) return SK_ENOMEM;
  if (item->lock.mode != SK_LOCK_NONE && !sk_mem_lock_take(mem, &item->lock, job)) {
    sk_mem_drop(mem, job);
    return SK_ENOMEM;
  }
  displace(mem, displaced.replaced);
  displace(mem, displaced.oldest);
  return SK_OK;
}

void sk_mem_take_back(struct mem *mem, struct sk_enqueue_item *items, size_t n) {
  for (size_t i = 0; i < n; i++) {
    struct mem_job *job = items[i].status == SK_OK ? sk_mem_find(mem, items[i].id) : NULL;
    if (job == NULL) continue; /* one that a later one has displaced */
    if (job->lock != NULL) job->lock->throttle = false;
    sk_mem_drop(mem, job);
  }
}

enum sk_code sk_mem_add_all(struct mem *mem, struct sk_enqueue_item *items, size_t n, const struct mem_job *ending,
                            struct sk_arena *arena, size_t *added) {
  *added = 0;
  for (size_t i = 0; i < n; i++) sk_mem_table_prefetch(&mem->jobs, items[i].id);
  for (size_t i = 0; i < n; i++) {
    items[i].status = add_one(mem, &items[i], ending, arena);
    if (items[i].status == SK_OK) (*added)++;
    if (items[i].status != SK_ENOMEM) continue;
    sk_mem_take_back(mem, items, i);
    return SK_ENOMEM;
  }
  return SK_OK;
}

void sk_mem_enqueue(struct sk_store *store, struct sk_enqueue_op *op) {
  struct mem_handle *h = sk_mem_begin(store, &op->op);
  struct mem *mem = h->mem;
  size_t added = 0;
  enum sk_code code = sk_check_enqueue(op->items, op->items_n, &op->op.err);
  if (code == SK_OK) code = sk_mem_add_all(mem, op->items, op->items_n, NULL, &op->op.arena, &added);
  if (code == SK_OK && added > 0) {
    mem->counters.enqueued += (int64_t)added;
    sk_mem_notify(h);
  }
  sk_mem_answer(h, &op->op, code);
}
