/* memory_work.c - the memory store's part in a job's life: enqueue, fetch, settle, beat, progress. */
#include <stdlib.h>

#include "store/memory.h"

/* -- enqueue --------------------------------------------------------------------------------------------------------------- */

static enum sk_code check_items(const struct sk_enqueue_item *items, size_t n, struct sk_err *err) {
  if (n > SK_ENQUEUE_BATCH_MAX)
    return sk_err_set(err, SK_ELIMIT, "enqueue: %zu jobs in one batch, at most %d are allowed", n, SK_ENQUEUE_BATCH_MAX);
  for (size_t i = 0; i < n; i++) {
    const struct sk_enqueue_item *it = &items[i];
    if (it->id.n == 0 || it->queue.n == 0)
      return sk_err_set(err, SK_EINVAL, "enqueue: job %zu of the batch has no %s", i + 1, it->id.n ? "queue" : "id");
    if (it->priority < SK_PRIORITY_MIN || it->priority > SK_PRIORITY_MAX)
      return sk_err_set(err, SK_EINVAL, "enqueue: priority %d of job \"%.*s\" is not in %d..%d", it->priority, SK_STR_ARG(it->id),
                        SK_PRIORITY_MIN, SK_PRIORITY_MAX);
  }
  return SK_OK;
}

/* Adds all items or, out of memory, none. */
static enum sk_code add_all(struct mem *mem, struct sk_enqueue_item *items, size_t n, int64_t now_ms, size_t *added) {
  *added = 0;
  for (size_t i = 0; i < n; i++) {
    items[i].status = sk_mem_add(mem, &items[i], now_ms);
    if (items[i].status == SK_OK) (*added)++;
    if (items[i].status != SK_ENOMEM) continue;
    while (i-- > 0)
      if (items[i].status == SK_OK) sk_mem_drop(mem, sk_mem_find(mem, items[i].id));
    return SK_ENOMEM;
  }
  return SK_OK;
}

void sk_mem_enqueue(struct sk_store *store, struct sk_enqueue_op *op) {
  struct mem_handle *h = sk_mem_begin(store, &op->op);
  struct mem *mem = h->mem;
  size_t added = 0;
  enum sk_code code = check_items(op->items, op->items_n, &op->op.err);
  if (code == SK_OK) code = add_all(mem, op->items, op->items_n, sk_mem_now(h), &added);
  if (code == SK_OK && added > 0) {
    mem->counters.enqueued += (int64_t)added;
    sk_mem_notify(h);
  }
  sk_mem_answer(h, &op->op, code);
}

/* -- fetch ----------------------------------------------------------------------------------------------------------------- */

/* Enters an engine that was given up anew. */
static enum sk_code check_engine(struct mem_handle *h, const char *what, struct sk_err *err) {
  if (h->gone) {
    h->gone = false;
    h->beat_ms = sk_store_mono_ms(&h->clock);
  }
  if (h->engine.n) return SK_OK;
  return sk_err_set(err, SK_EINVAL, "%s: only an engine may, and this store was opened by a client (without an engine id)", what);
}

/* The first of the queue's jobs becomes RUNNING.  False when there is none, or no memory to report it in. */
static bool take_one(struct mem_handle *h, struct sk_fetch_op *op, struct mem_queue *queue, struct sk_str *queue_name, int64_t now_ms) {
  struct mem_job *job = sk_mem_next(queue);
  if (job == NULL) return false;
  if (queue_name->p == NULL) *queue_name = sk_arena_copy(&op->op.arena, queue->name);
  struct sk_held held = {
    .id = sk_arena_copy(&op->op.arena, job->id),
    .queue = *queue_name,
    .record = sk_arena_copy(&op->op.arena, job->record),
    .priority = job->priority,
    .late_ms = job->due_ms < now_ms ? now_ms - job->due_ms : 0,
  };
  if (held.id.p == NULL || held.queue.p == NULL || held.record.p == NULL) return false;
  sk_mem_leave(h->mem, job);
  sk_mem_enter_running(h->mem, job, h, now_ms);
  held.fence = job->fence;
  op->held[op->held_n++] = held;
  return true;
}

/* One of the queues that a fetch names. */
struct candidate {
  struct mem_queue *queue; /* NULL: unknown, or paused */
  struct sk_str name;      /* for the held jobs; made at the first */
};

static void take(struct mem_handle *h, struct sk_fetch_op *op, struct candidate *from, size_t quota, int64_t now_ms) {
  while (quota-- > 0 && op->held_n < op->want && take_one(h, op, from->queue, &from->name, now_ms)) {
  }
}

/* Makes READY what is due, and fills in due_in_ms and the queues that may give something; returns how many READY jobs those have. */
static size_t look(struct mem *mem, struct sk_fetch_op *op, struct candidate *from, int64_t now_ms) {
  size_t ready = 0;
  op->due_in_ms = -1;
  for (size_t i = 0; i < op->queues_n; i++) {
    struct mem_queue *queue = sk_mem_queue_find(mem, op->queues[i].name);
    if (queue == NULL) continue;
    sk_mem_promote(mem, queue, now_ms);
    struct sk_heap_node *first = sk_heap_first(&queue->due);
    if (first != NULL && (op->due_in_ms < 0 || first->key - now_ms < op->due_in_ms)) op->due_in_ms = first->key - now_ms;
    if (queue->paused) continue;
    from[i].queue = queue;
    ready += (size_t)queue->states[SK_STATE_READY];
  }
  return ready;
}

static enum sk_code fetch(struct mem_handle *h, struct sk_fetch_op *op) {
  int64_t now_ms = sk_mem_now(h);
  struct candidate *from = sk_arena_array(&op->op.arena, op->queues_n, sizeof *from);
  if (from == NULL) return SK_ENOMEM;
  size_t ready = look(h->mem, op, from, now_ms);
  size_t most = ready < op->want ? ready : op->want;
  op->held = sk_arena_array(&op->op.arena, most, sizeof *op->held);
  if (op->held == NULL) return SK_ENOMEM;
  for (size_t i = 0; i < op->queues_n; i++)
    if (from[i].queue) take(h, op, &from[i], op->queues[i].quota, now_ms);
  for (size_t i = 0; i < op->queues_n; i++)
    if (from[i].queue) take(h, op, &from[i], op->want, now_ms);
  if (most > 0 && op->held_n == 0) return SK_ENOMEM;
  op->more = false;
  for (size_t i = 0; i < op->queues_n; i++)
    if (from[i].queue && from[i].queue->states[SK_STATE_READY] > 0) op->more = true;
  return SK_OK;
}

void sk_mem_fetch(struct sk_store *store, struct sk_fetch_op *op) {
  struct mem_handle *h = sk_mem_begin(store, &op->op);
  op->held = NULL;
  op->held_n = 0;
  enum sk_code code = check_engine(h, "fetch", &op->op.err);
  if (code == SK_OK && op->want > SK_FETCH_BATCH_MAX)
    code = sk_err_set(&op->op.err, SK_ELIMIT, "fetch: %zu jobs wanted, at most %d are allowed", op->want, SK_FETCH_BATCH_MAX);
  if (code == SK_OK) code = fetch(h, op);
  op->queues_version = h->mem->queues_version;
  sk_mem_answer(h, &op->op, code);
}

/* -- settle ---------------------------------------------------------------------------------------------------------------- */

/* The job that an engine holds under that fence; NULL when it does not. */
static struct mem_job *held_job(struct mem_handle *h, struct sk_str id, uint64_t fence) {
  struct mem_job *job = sk_mem_find(h->mem, id);
  return job && job->state == SK_STATE_RUNNING && job->holder == h && job->fence == fence ? job : NULL;
}

/* What becomes of the job.  `record` is malloced and taken, unless the answer is false: out of memory, nothing changed. */
static bool apply(struct mem *mem, struct mem_job *job, const struct sk_settle_item *item, struct sk_str record, int64_t now_ms) {
  struct mem_queue *queue = job->queue;
  bool ok = true;
  switch (item->kind) {
    case SK_SETTLE_DONE:
      ok = sk_mem_finish(mem, job, SK_STATE_DONE, sk_mem_later(now_ms, item->keep_ms));
      break;
    case SK_SETTLE_CANCELLED:
      ok = sk_mem_finish(mem, job, SK_STATE_CANCELLED, sk_mem_later(now_ms, item->keep_ms));
      break;
    case SK_SETTLE_DEAD:
      ok = sk_mem_finish(mem, job, SK_STATE_DEAD, MEM_NEVER);
      break;
    case SK_SETTLE_RETRY:
    case SK_SETTLE_SNOOZE:
      if (item->to_queue.n) queue = sk_mem_queue(mem, item->to_queue);
      ok = queue && sk_mem_wait(mem, job, queue, item->kind == SK_SETTLE_RETRY ? SK_STATE_RETRY : SK_STATE_SCHEDULED,
                                sk_mem_later(now_ms, item->delay_ms > 0 ? item->delay_ms : 0), now_ms);
      break;
    case SK_SETTLE_RELEASE:
      sk_mem_leave(mem, job);
      sk_mem_enter_ready(job);
      break;
    case SK_SETTLE_DROP:
      sk_mem_drop(mem, job);
      return true;
  }
  if (ok && record.p) sk_mem_set_record(job, record);
  return ok;
}

static void count_settled(struct sk_counters *c, const struct sk_settle_item *item) {
  int64_t *const by_kind[SK_SETTLE_KINDS] = {
    [SK_SETTLE_DONE] = &c->done,       [SK_SETTLE_RETRY] = &c->retried,        [SK_SETTLE_DEAD] = &c->dead,
    [SK_SETTLE_DROP] = &c->discarded,  [SK_SETTLE_CANCELLED] = &c->cancelled,
  };
  if (by_kind[item->kind]) ++*by_kind[item->kind];
  if (item->crashed) c->crashed++;
}

/* Deleted at once: dropped, or finished and not kept. */
static bool is_deleted(const struct sk_settle_item *item) {
  bool kept_if = item->kind == SK_SETTLE_DONE || item->kind == SK_SETTLE_CANCELLED;
  return item->kind == SK_SETTLE_DROP || (kept_if && item->keep_ms <= 0);
}

static enum sk_code settle_one(struct mem_handle *h, struct sk_settle_item *item, int64_t now_ms) {
  struct mem *mem = h->mem;
  struct mem_job *job = held_job(h, item->id, item->fence);
  if (job == NULL) return SK_ESTALE;
  bool deleted = is_deleted(item);
  bool replaced = !deleted && (item->kind != SK_SETTLE_RELEASE || item->record.n > 0);
  struct sk_str record = replaced ? sk_mem_copy(item->record) : sk_str(NULL, 0);
  if (replaced && record.p == NULL) return SK_ENOMEM;
  size_t added = 0;
  if (add_all(mem, item->follow, item->follow_n, now_ms, &added) != SK_OK) {
    free((void *)(uintptr_t)record.p);
    return SK_ENOMEM;
  }
  if (deleted) {
    sk_mem_drop(mem, job);
  } else if (!apply(mem, job, item, record, now_ms)) {
    free((void *)(uintptr_t)record.p);
    for (size_t i = 0; i < item->follow_n; i++)
      if (item->follow[i].status == SK_OK) sk_mem_drop(mem, sk_mem_find(mem, item->follow[i].id));
    return SK_ENOMEM;
  }
  mem->counters.enqueued += (int64_t)added;
  count_settled(&mem->counters, item);
  return SK_OK;
}

static enum sk_code check_settle(struct mem_handle *h, const struct sk_settle_op *op, struct sk_err *err) {
  enum sk_code code = check_engine(h, "settle", err);
  for (size_t i = 0; code == SK_OK && i < op->items_n; i++) code = check_items(op->items[i].follow, op->items[i].follow_n, err);
  return code;
}

void sk_mem_settle(struct sk_store *store, struct sk_settle_op *op) {
  struct mem_handle *h = sk_mem_begin(store, &op->op);
  enum sk_code code = check_settle(h, op, &op->op.err);
  int64_t now_ms = sk_mem_now(h);
  bool any = false;
  for (size_t i = 0; code == SK_OK && i < op->items_n; i++) {
    op->items[i].status = settle_one(h, &op->items[i], now_ms);
    if (op->items[i].status == SK_OK) any = true;
    /* A repeat finds the items before this one SK_ESTALE, as after SK_EUNKNOWN. */
    if (op->items[i].status == SK_ENOMEM) code = SK_ENOMEM;
  }
  if (any) sk_mem_notify(h);
  sk_mem_answer(h, &op->op, code);
}

/* -- beat, progress --------------------------------------------------------------------------------------------------------- */

size_t sk_mem_recover(struct mem_handle *h) {
  int64_t mono_ms = sk_store_mono_ms(&h->clock);
  size_t recovered = 0;
  SK_LIST_EACH(it, &h->mem->handles) {
    struct mem_handle *other = SK_CONTAINER(it, struct mem_handle, node);
    if (other == h || other->engine.n == 0 || other->gone || mono_ms - other->beat_ms < other->lease_ms) continue;
    other->gone = other->lost = true;
    recovered += sk_mem_hand_back(h->mem, other, true);
  }
  h->mem->counters.recovered += (int64_t)recovered;
  if (recovered > 0) sk_mem_notify(h);
  return recovered;
}

static void drop_ended(struct mem *mem, int64_t now_ms) {
  for (struct sk_heap_node *first; (first = sk_heap_first(&mem->kept)) != NULL && first->key <= now_ms;)
    sk_mem_drop(mem, SK_CONTAINER(first, struct mem_job, place));
}

void sk_mem_beat(struct sk_store *store, struct sk_beat_op *op) {
  struct mem_handle *h = sk_mem_begin(store, &op->op);
  op->recovered = 0;
  op->lost = false;
  enum sk_code code = check_engine(h, "beat", &op->op.err);
  if (code == SK_OK) {
    h->beat_ms = sk_store_mono_ms(&h->clock);
    op->lost = h->lost;
    h->lost = false;
    op->recovered = sk_mem_recover(h);
    drop_ended(h->mem, sk_mem_now(h));
  }
  sk_mem_answer(h, &op->op, code);
}

void sk_mem_progress(struct sk_store *store, struct sk_progress_op *op) {
  struct mem_handle *h = sk_mem_begin(store, &op->op);
  enum sk_code code = check_engine(h, "progress", &op->op.err);
  for (size_t i = 0; code == SK_OK && i < op->items_n; i++) {
    const struct sk_progress_item *item = &op->items[i];
    struct mem_job *job = held_job(h, item->id, item->fence);
    if (job == NULL) continue;
    struct sk_str note = sk_mem_copy(sk_str_head(item->note, SK_NOTE_BYTES_MAX));
    if (note.p == NULL) {
      code = SK_ENOMEM;
      continue;
    }
    free((void *)(uintptr_t)job->note.p);
    job->note = note;
    job->percent = item->percent;
  }
  sk_mem_answer(h, &op->op, code);
}
