/* memory/enqueue.c - enqueue: whether a job may come in (its id, its lock, its queue's max_len), and which jobs it
 * displaces. */
#include "store/memory/memory.h"

/* -- admission ----------------------------------------------------------------------------------------------------- */

/* Finds the lock that the new job asks for, and notes in facts who holds it; NULL when the lock is free. */
static struct mem_lock *find_lock(struct mem *mem, const struct sk_enqueue_item *item, const struct mem_job *ending,
                                  struct sk_admission_facts *facts) {
  facts->lock_mode = item->lock.mode;
  if (item->lock.mode == SK_LOCK_NONE) return NULL;
  struct mem_lock *lock = sk_mem_lock_find(mem, item->lock.key, ending);
  if (lock == NULL) return NULL;
  facts->lock_held = true;
  facts->holder_state = lock->job != NULL ? lock->job->state : SK_STATE_NONE;
  return lock;
}

/* Finds the new job's queue, and notes in facts how full it is; NULL when the queue has no settings. */
static struct mem_queue *find_bounded(const struct mem *mem, const struct sk_enqueue_item *item,
                                      const struct mem_lock *lock, struct sk_admission_facts *facts) {
  struct mem_queue *queue = mem->settings ? sk_mem_queue_find(mem, item->queue) : NULL;
  if (queue == NULL || queue->settings == NULL) return NULL;
  facts->max_len = queue->settings->item.max_len;
  facts->overflow = queue->settings->item.overflow;
  facts->waiting = sk_states_waiting(queue->states);
  facts->ready = queue->states[SK_STATE_READY];
  facts->holder_in_queue = lock != NULL && lock->job != NULL && lock->job->queue == queue;
  return queue;
}

static void displace(struct mem *mem, struct mem_job *job) {
  if (job == NULL) return;
  sk_mem_drop(mem, job);
  mem->counters.discarded++;
}

/* Adds the job and takes its lock. */
static enum sk_code insert(struct mem *mem, const struct sk_enqueue_item *item) {
  struct mem_job *job = sk_mem_add(mem, item);
  if (job == NULL) return SK_ENOMEM;
  if (item->lock.mode == SK_LOCK_NONE || sk_mem_lock_take(mem, &item->lock, job)) return SK_OK;
  sk_mem_drop(mem, job);
  return SK_ENOMEM;
}

static enum sk_code add_one(struct mem *mem, struct sk_enqueue_item *item, const struct mem_job *ending,
                            struct sk_arena *arena) {
  item->holder = sk_str(NULL, 0);
  if (sk_mem_find(mem, item->id) != NULL) return SK_EEXISTS;
  struct sk_admission_facts facts = { .is_callback = ending != NULL };
  struct mem_lock *lock = find_lock(mem, item, ending, &facts);
  struct mem_queue *queue = ending == NULL ? find_bounded(mem, item, lock, &facts) : NULL;
  struct sk_admission admission = sk_admission(&facts);
  if (admission.refused_by_lock) {
    item->holder = sk_arena_copy(arena, lock->holder);
    if (item->holder.p == NULL) return SK_ENOMEM;
  }
  if (admission.status != SK_OK) return admission.status;
  struct mem_job *replaced = admission.replaces_holder ? lock->job : NULL;
  struct mem_job *oldest = admission.drops_oldest ? sk_mem_oldest(mem, queue, replaced) : NULL;
  enum sk_code code = insert(mem, item);
  if (code != SK_OK) return code;
  displace(mem, replaced);
  displace(mem, oldest);
  return SK_OK;
}

void sk_mem_take_back(struct mem *mem, struct sk_enqueue_item *items, size_t n) {
  for (size_t i = 0; i < n; i++) {
    struct mem_job *job = items[i].status == SK_OK ? sk_mem_find(mem, items[i].id) : NULL;
    if (job == NULL) continue; /* a later item has displaced it */
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
