/* memory/settle.c - settle and progress: reports of an engine on the jobs that it holds. */
#include <stdlib.h>

#include "store/memory/memory.h"

/* Finds the job that the engine holds under that fence; NULL when it does not. */
static struct mem_job *held_job(struct mem_handle *h, struct sk_str id, uint64_t fence) {
  struct mem_job *job = sk_mem_find(h->mem, id);
  return job && job->state == SK_STATE_RUNNING && job->holder == h->holder && job->fence == fence ? job : NULL;
}

/* Moves the job to the state that the item says.  Takes `record`, which is malloced, unless it returns false: out of
 * memory, with nothing changed. */
static bool apply(struct mem *mem, struct mem_job *job, const struct sk_settle_item *item, struct sk_str record) {
  struct mem_queue *queue = job->queue;
  bool ok = true;
  switch (item->kind) {
  case SK_SETTLE_DONE: ok = sk_mem_finish(mem, job, SK_STATE_DONE, sk_mem_later(mem->now_ms, item->keep_ms)); break;
  case SK_SETTLE_CANCELLED:
    ok = sk_mem_finish(mem, job, SK_STATE_CANCELLED, sk_mem_later(mem->now_ms, item->keep_ms));
    break;
  case SK_SETTLE_DEAD: ok = sk_mem_finish(mem, job, SK_STATE_DEAD, MEM_NEVER); break;
  case SK_SETTLE_RETRY:
  case SK_SETTLE_SNOOZE:
    if (item->to_queue.n) queue = sk_mem_queue(mem, item->to_queue);
    ok = queue && sk_mem_wait(mem, job, queue, item->kind == SK_SETTLE_RETRY ? SK_STATE_RETRY : SK_STATE_SCHEDULED,
                              sk_mem_later(mem->now_ms, item->delay_ms > 0 ? item->delay_ms : 0));
    break;
  case SK_SETTLE_RELEASE:
    sk_mem_leave(mem, job);
    sk_mem_enter_ready(job);
    break;
  case SK_SETTLE_DROP: sk_mem_drop(mem, job); return true;
  }
  if (ok && record.p) sk_mem_set_record(job, record);
  return ok;
}

static enum sk_code settle_one(struct mem_handle *h, struct sk_settle_item *item, struct sk_arena *arena) {
  struct mem *mem = h->mem;
  struct mem_job *job = held_job(h, item->id, item->fence);
  if (job == NULL) return SK_ESTALE;
  if (job->stopping && sk_settle_refused_when_stopping(item->kind)) return SK_ESTATE;
  bool deleted = sk_settle_deletes(item->kind, item->keep_ms);
  bool replaced = !deleted && (item->kind != SK_SETTLE_RELEASE || item->record.n > 0);
  struct sk_str record = replaced ? sk_mem_copy(item->record) : sk_str(NULL, 0);
  if (replaced && record.p == NULL) return SK_ENOMEM;
  size_t added = 0;
  if (sk_mem_add_all(mem, item->callbacks, item->callbacks_n, job, arena, &added) != SK_OK) {
    free((void *)(uintptr_t)record.p);
    return SK_ENOMEM;
  }
  if (deleted) {
    sk_mem_drop(mem, job);
  } else if (!apply(mem, job, item, record)) {
    free((void *)(uintptr_t)record.p);
    sk_mem_take_back(mem, item->callbacks, item->callbacks_n);
    return SK_ENOMEM;
  }
  mem->counters.enqueued += (int64_t)added;
  sk_settle_count(&mem->counters, item->kind, item->crashed);
  return SK_OK;
}

static enum sk_code check_settle(struct mem_handle *h, const struct sk_settle_op *op, struct sk_err *err) {
  enum sk_code code = sk_mem_check_engine(h, "settle", err);
  return code == SK_OK ? sk_check_settle(op, err) : code;
}

void sk_mem_settle(struct sk_store *store, struct sk_settle_op *op) {
  struct mem_handle *h = sk_mem_begin(store, &op->op);
  enum sk_code code = check_settle(h, op, &op->op.err);
  bool any = false;
  for (size_t i = 0; code == SK_OK && i < op->items_n; i++) sk_mem_table_prefetch(&h->mem->jobs, op->items[i].id);
  for (size_t i = 0; code == SK_OK && i < op->items_n; i++) {
    op->items[i].status = settle_one(h, &op->items[i], &op->op.arena);
    if (op->items[i].status == SK_OK) any = true;
    /* A repeat finds the items before this one SK_ESTALE, as after SK_EUNKNOWN. */
    if (op->items[i].status == SK_ENOMEM) code = SK_ENOMEM;
  }
  if (any) sk_mem_notify(h);
  sk_mem_answer(h, &op->op, code);
}

/* -- progress ------------------------------------------------------------------------------------------------------ */

/* Copies the progress into a new block; NULL when out of memory. */
static struct mem_progress *progress_new(const struct sk_progress_item *item) {
  struct sk_str text = sk_str_head(item->progress_text, SK_PROGRESS_BYTES_MAX);
  struct sk_str log = sk_str_head(item->log, SK_JOB_LOG_BYTES_MAX);
  struct mem_progress *progress = malloc(sizeof *progress + text.n + log.n);
  if (progress == NULL) return NULL;
  progress->percent = item->percent;
  progress->progress_text = sk_str(progress->bytes, text.n);
  progress->log = sk_str(progress->bytes + text.n, log.n);
  if (text.n) memcpy(progress->bytes, text.p, text.n);
  if (log.n) memcpy(progress->bytes + text.n, log.p, log.n);
  return progress;
}

void sk_mem_progress(struct sk_store *store, struct sk_progress_op *op) {
  struct mem_handle *h = sk_mem_begin(store, &op->op);
  enum sk_code code = sk_mem_check_engine(h, "progress", &op->op.err);
  for (size_t i = 0; code == SK_OK && i < op->items_n; i++) {
    struct mem_job *job = held_job(h, op->items[i].id, op->items[i].fence);
    if (job == NULL) continue;
    struct mem_progress *progress = progress_new(&op->items[i]);
    if (progress == NULL) {
      code = SK_ENOMEM;
      continue;
    }
    free(job->progress);
    job->progress = progress;
  }
  sk_mem_answer(h, &op->op, code);
}
