/* memory_enqueue.c - enqueue: whether a job may come in (its id, its lock, its queue's bound), and whom it displaces. */
#include "store/memory.h"

static enum sk_code check_lock(const struct sk_enqueue_item *it, struct sk_err *err) {
  if (it->lock.mode == SK_LOCK_NONE) return SK_OK;
  if (it->lock.key.n == 0 || it->lock.key.n > SK_KEY_BYTES_MAX)
    return sk_err_set(err, SK_EINVAL, "enqueue: the lock of job \"%.*s\" has a key of %zu bytes, expected 1 to %d", SK_STR_ARG(it->id),
                      it->lock.key.n, SK_KEY_BYTES_MAX);
  if (it->lock.ttl_ms < 0 || (it->lock.mode == SK_LOCK_THROTTLE && it->lock.ttl_ms == 0))
    return sk_err_set(err, SK_EINVAL, "enqueue: the lock of job \"%.*s\" has a ttl of %lld ms, expected %s", SK_STR_ARG(it->id),
                      (long long)it->lock.ttl_ms, it->lock.mode == SK_LOCK_THROTTLE ? "more than 0" : "0 or more");
  return SK_OK;
}

enum sk_code sk_mem_check_items(const struct sk_enqueue_item *items, size_t n, struct sk_err *err) {
  if (n > SK_ENQUEUE_BATCH_MAX)
    return sk_err_set(err, SK_ELIMIT, "enqueue: %zu jobs in one batch, at most %d are allowed", n, SK_ENQUEUE_BATCH_MAX);
  enum sk_code code = SK_OK;
  for (size_t i = 0; code == SK_OK && i < n; i++) {
    const struct sk_enqueue_item *it = &items[i];
    if (it->id.n == 0 || it->queue.n == 0)
      return sk_err_set(err, SK_EINVAL, "enqueue: job %zu of the batch has no %s", i + 1, it->id.n ? "queue" : "id");
    if (it->priority < SK_PRIORITY_MIN || it->priority > SK_PRIORITY_MAX)
      return sk_err_set(err, SK_EINVAL, "enqueue: priority %d of job \"%.*s\" is not in %d..%d", it->priority, SK_STR_ARG(it->id),
                        SK_PRIORITY_MIN, SK_PRIORITY_MAX);
    if (it->limit.group.n > SK_KEY_BYTES_MAX)
      return sk_err_set(err, SK_EINVAL, "enqueue: the group of job \"%.*s\" has %zu bytes, expected at most %d", SK_STR_ARG(it->id),
                        it->limit.group.n, SK_KEY_BYTES_MAX);
    code = check_lock(it, err);
  }
  return code;
}

/* -- coming in --------------------------------------------------------------------------------------------------------------- */

/* Whom a job displaces: both may be NULL. */
struct displaced {
  struct mem_job *replaced, *oldest;
};

static bool waits(const struct mem_job *job) {
  return job->state == SK_STATE_SCHEDULED || job->state == SK_STATE_READY || job->state == SK_STATE_RETRY;
}

/* Whether its lock lets the job in: SK_OK, SK_EEXISTS with the holder, SK_ENOMEM. */
static enum sk_code pass_lock(struct mem *mem, struct sk_enqueue_item *item, const struct mem_job *ending, struct sk_arena *arena,
                              struct displaced *out) {
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

static enum sk_code add_one(struct mem *mem, struct sk_enqueue_item *item, const struct mem_job *ending, struct sk_arena *arena) {
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
  enum sk_code code = sk_mem_check_items(op->items, op->items_n, &op->op.err);
  if (code == SK_OK) code = sk_mem_add_all(mem, op->items, op->items_n, NULL, &op->op.arena, &added);
  if (code == SK_OK && added > 0) {
    mem->counters.enqueued += (int64_t)added;
    sk_mem_notify(h);
  }
  sk_mem_answer(h, &op->op, code);
}
