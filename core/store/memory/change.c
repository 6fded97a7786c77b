/* memory/change.c - changing the memory store by hand: cancel, delete, retry, promote; pause and resume; declare. */
#include <stdlib.h>

#include "logic/record.h"
#include "store/memory/memory.h"

/* -- change ---------------------------------------------------------------------------------------------------------------- */

static void set_finished(struct sk_job *fields, int64_t now_ms) { fields->finished_ms = now_ms; }

static enum sk_code cancel(struct mem *mem, struct mem_job *job, int64_t keep_ms) {
  if (job->state == SK_STATE_RUNNING) {
    sk_mem_stop(job);
    return SK_OK;
  }
  if (keep_ms <= 0) {
    sk_mem_drop(mem, job);
  } else {
    struct sk_str record = sk_mem_edit(job, set_finished, mem->now_ms);
    if (record.p == NULL) return SK_ENOMEM;
    if (!sk_mem_finish(mem, job, SK_STATE_CANCELLED, sk_mem_later(mem->now_ms, keep_ms))) {
      free((void *)(uintptr_t)record.p);
      return SK_ENOMEM;
    }
    sk_mem_set_record(job, record);
  }
  mem->counters.cancelled++;
  return SK_OK;
}

static enum sk_code retry(struct mem *mem, struct mem_job *job) {
  bool ended = job->state != SK_STATE_RETRY;
  struct sk_str record = sk_mem_edit(job, ended ? sk_job_start_anew : sk_job_move_times, mem->now_ms);
  if (record.p == NULL) return SK_ENOMEM;
  sk_mem_set_record(job, record);
  sk_mem_leave(mem, job);
  sk_mem_enter_last(mem, job);
  return SK_OK;
}

static enum sk_code change_one(struct mem *mem, struct mem_job *job, const struct sk_change_op *op) {
  if (!sk_verb_takes(op->verb, job->state)) return SK_ESTATE;
  switch (op->verb) {
  case SK_VERB_CANCEL: return cancel(mem, job, op->keep_ms);
  case SK_VERB_RETRY: return retry(mem, job);
  case SK_VERB_PROMOTE: return sk_mem_wait(mem, job, job->queue, job->state, mem->now_ms) ? SK_OK : SK_ENOMEM;
  case SK_VERB_DELETE: sk_mem_drop(mem, job);
  }
  return SK_OK;
}

static enum sk_code change_ids(struct mem *mem, struct sk_change_op *op) {
  op->statuses = sk_arena_array(&op->op.arena, op->ids_n, sizeof *op->statuses);
  if (op->statuses == NULL) return SK_ENOMEM;
  for (size_t i = 0; i < op->ids_n; i++) {
    struct mem_job *job = sk_mem_find(mem, op->ids[i]);
    op->statuses[i] = job ? change_one(mem, job, op) : SK_ENOTFOUND;
    if (op->statuses[i] == SK_OK) op->changed++;
    if (op->statuses[i] == SK_ENOMEM) return SK_ENOMEM;
  }
  return SK_OK;
}

static enum sk_code change_matching(struct mem *mem, struct sk_change_op *op) {
  size_t n;
  struct mem_job **all = sk_mem_select(mem, &op->filter, &n);
  if (all == NULL) return SK_ENOMEM;
  enum sk_code code = SK_OK;
  for (size_t i = 0; code != SK_ENOMEM && i < n; i++) {
    code = change_one(mem, all[i], op);
    if (code == SK_OK) op->changed++;
  }
  free(all);
  return code == SK_ENOMEM ? SK_ENOMEM : SK_OK;
}

void sk_mem_change(struct sk_store *store, struct sk_change_op *op) {
  struct mem_handle *h = sk_mem_begin(store, &op->op);
  op->statuses = NULL;
  op->changed = 0;
  enum sk_code code = op->ids_n ? change_ids(h->mem, op) : change_matching(h->mem, op);
  if (op->changed > 0) sk_mem_notify(h);
  sk_mem_answer(h, &op->op, code);
}

/* -- pause, declare --------------------------------------------------------------------------------------------------------- */

void sk_mem_pause(struct sk_store *store, struct sk_pause_op *op) {
  struct mem_handle *h = sk_mem_begin(store, &op->op);
  enum sk_code code = sk_check_pause(op, &op->op.err);
  struct mem_queue *queue = code == SK_OK ? sk_mem_queue(h->mem, op->queue) : NULL;
  if (queue == NULL) {
    sk_mem_answer(h, &op->op, code == SK_OK ? SK_ENOMEM : code);
    return;
  }
  if (queue->paused != op->paused) {
    queue->paused = op->paused;
    h->mem->queues_version++;
    sk_mem_notify(h);
  }
  sk_mem_answer(h, &op->op, SK_OK);
}

static struct sk_job template_of(const struct mem_task *task) {
  struct sk_job job;
  if (sk_record_decode(task->item.template, &job, NULL) != SK_OK) sk_job_init(&job);
  return job;
}

/* Takes over what `old` knew of the task's limits; one that changes holds for all that waits.  False when out of memory. */
static bool succeed(struct mem *mem, struct mem_task *task, struct mem_task *old) {
  struct sk_job template = template_of(task), before = template_of(old);
  struct sk_str now = sk_limit_numbers(template.limit), then = sk_limit_numbers(before.limit);
  if (sk_str_eq(now, then)) {
    task->past = old->past;
    old->past = (struct sk_buf){ 0 };
    return true;
  }
  sk_limit_past_add(sk_buf_str(&old->past), then, now, &task->past);
  if (task->past.failed) return false;
  sk_mem_groups_renew(mem, task);
  return true;
}

void sk_mem_task_free(struct mem_task *task) {
  if (task == NULL) return;
  sk_buf_fini(&task->past);
  free(task);
}

/* False when out of memory. */
static bool declare(struct mem *mem, const struct sk_task_item *item) {
  struct mem_task *task = calloc(1, sizeof *task + item->name.n + item->queue.n + item->template.n);
  if (task == NULL) return false;
  char *p = task->bytes;
  struct sk_str *slices[] = { &task->item.name, &task->item.queue, &task->item.template };
  const struct sk_str from[] = { item->name, item->queue, item->template };
  for (size_t i = 0; i < 3; i++) {
    if (from[i].n) memcpy(p, from[i].p, from[i].n);
    *slices[i] = sk_str(p, from[i].n);
    p += from[i].n;
  }
  task->item.priority = item->priority;
  task->seen_ms = mem->now_ms;
  struct mem_task *old;
  HASH_FIND(hh, mem->tasks, task->bytes, item->name.n, old);
  if (old && !succeed(mem, task, old)) {
    sk_mem_task_free(task);
    return false;
  }
  if (old) HASH_DEL(mem->tasks, old);
  sk_mem_task_free(old);
  HASH_ADD_KEYPTR(hh, mem->tasks, task->bytes, item->name.n, task);
  if (task->hh.tbl != NULL) return true;
  sk_mem_task_free(task);
  return false;
}

static bool see(struct mem *mem, const struct sk_task_item *item) {
  struct mem_task *task;
  HASH_FIND(hh, mem->tasks, item->name.p, item->name.n, task);
  if (task != NULL) task->seen_ms = mem->now_ms;
  return true;
}

/* A queue that is bound to nothing may be bound by another owner still. */
static bool bind(struct mem *mem, const struct sk_declare_op *op, const struct sk_queue_settings *item) {
  const struct mem_bound *bound = sk_mem_bound_find(mem, item->name);
  if (!sk_queue_settings_any(item) && op->owner.n > 0 && bound != NULL && bound->owners.n > 0)
    return true; /* sk_mem_bounds_own decides */
  return sk_mem_bind(mem, item);
}

/* Those that no engine has declared for a while: they route clients no more. */
static void forget_tasks(struct mem *mem) {
  struct mem_task *task, *next;
  HASH_ITER(hh, mem->tasks, task, next) {
    if (task->seen_ms > mem->now_ms - SK_DECLARED_KEEP_MS) continue;
    HASH_DEL(mem->tasks, task);
    sk_mem_task_free(task);
  }
}

void sk_mem_declare(struct sk_store *store, struct sk_declare_op *op) {
  struct mem_handle *h = sk_mem_begin(store, &op->op);
  enum sk_code code = sk_check_declare(op, &op->op.err);
  bool ok = true;
  struct mem *mem = h->mem;
  for (size_t i = 0; code == SK_OK && ok && i < op->items_n; i++)
    ok = op->renew ? see(mem, &op->items[i]) : declare(mem, &op->items[i]);
  for (size_t i = 0; code == SK_OK && ok && !op->renew && i < op->queues_n; i++) ok = bind(mem, op, &op->queues[i]);
  if (code == SK_OK && ok && op->owner.n > 0) {
    ok = sk_mem_bounds_own(mem, op);
    forget_tasks(mem);
  }
  if (code == SK_OK) sk_mem_notify(h); /* a wider limit lets more jobs be taken */
  sk_mem_answer(h, &op->op, ok ? code : SK_ENOMEM);
}
