/* memory/declare.c - pause and resume; the tasks and queue settings that applications declare (store.h, declare and
 * tasks). */
#include <stdlib.h>

#include "logic/record.h"
#include "store/memory/memory.h"

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

/* Gives the task what `old` knew of earlier limits.  A limit that changes holds at once for waiting jobs.  False when
 * out of memory. */
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
  sk_mem_groups_refresh(mem);
  return true;
}

static void task_free(struct mem_task *task) {
  if (task == NULL) return;
  sk_buf_fini(&task->past);
  free(task);
}

/* Adds or replaces a task; false when out of memory. */
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
    task_free(task);
    return false;
  }
  if (old) HASH_DEL(mem->tasks, old);
  task_free(old);
  HASH_ADD_KEYPTR(hh, mem->tasks, task->bytes, item->name.n, task);
  if (task->hh.tbl != NULL) return true;
  task_free(task);
  return false;
}

void sk_mem_tasks_free(struct mem *mem) {
  struct mem_task *task, *next;
  HASH_ITER(hh, mem->tasks, task, next) {
    HASH_DEL(mem->tasks, task);
    task_free(task);
  }
}

static bool see(struct mem *mem, const struct sk_task_item *item) {
  struct mem_task *task;
  HASH_FIND(hh, mem->tasks, item->name.p, item->name.n, task);
  if (task != NULL) task->seen_ms = mem->now_ms;
  return true;
}

/* An item without settings removes the queue's settings, unless owners are known: then sk_mem_settings_own decides. */
static bool configure(struct mem *mem, const struct sk_declare_op *op, const struct sk_queue_settings *item) {
  const struct mem_settings *settings = sk_mem_settings_find(mem, item->name);
  if (!sk_queue_settings_any(item) && op->owner.n > 0 && settings != NULL && settings->owners.n > 0) return true;
  return sk_mem_configure(mem, item);
}

/* Tasks that no engine has declared or renewed for SK_DECLARED_KEEP_MS must not route clients any more. */
static void forget_tasks(struct mem *mem) {
  struct mem_task *task, *next;
  HASH_ITER(hh, mem->tasks, task, next) {
    if (task->seen_ms > mem->now_ms - SK_DECLARED_KEEP_MS) continue;
    HASH_DEL(mem->tasks, task);
    task_free(task);
  }
}

void sk_mem_declare(struct sk_store *store, struct sk_declare_op *op) {
  struct mem_handle *h = sk_mem_begin(store, &op->op);
  enum sk_code code = sk_check_declare(op, &op->op.err);
  bool ok = true;
  struct mem *mem = h->mem;
  for (size_t i = 0; code == SK_OK && ok && i < op->items_n; i++)
    ok = op->renew ? see(mem, &op->items[i]) : declare(mem, &op->items[i]);
  for (size_t i = 0; code == SK_OK && ok && !op->renew && i < op->queues_n; i++)
    ok = configure(mem, op, &op->queues[i]);
  if (code == SK_OK && ok && op->owner.n > 0) {
    ok = sk_mem_settings_own(mem, op);
    forget_tasks(mem);
  }
  if (sk_mem_groups_refresh_on(mem)) sk_mem_go_on(h, &h->chores);
  if (code == SK_OK) sk_mem_notify(h); /* a wider limit lets more jobs be taken */
  sk_mem_answer(h, &op->op, ok ? code : SK_ENOMEM);
}

/* -- tasks --------------------------------------------------------------------------------------------------------- */

static int compare_tasks(const void *pa, const void *pb) {
  return sk_mem_compare(((const struct sk_task_item *)pa)->name, ((const struct sk_task_item *)pb)->name);
}

static int compare_settings(const void *pa, const void *pb) {
  return sk_mem_compare(((const struct sk_queue_settings *)pa)->name, ((const struct sk_queue_settings *)pb)->name);
}

/* False when out of memory. */
static bool show_settings(const struct mem *mem, struct sk_tasks_op *op) {
  op->queues_n = 0;
  op->queues = sk_arena_array(&op->op.arena, HASH_COUNT(mem->settings), sizeof *op->queues);
  if (op->queues == NULL) return false;
  for (struct mem_settings *settings = mem->settings; settings != NULL; settings = settings->hh.next) {
    struct sk_queue_settings *item = &op->queues[op->queues_n++];
    *item = settings->item;
    item->name = sk_arena_copy(&op->op.arena, settings->item.name);
    if (item->name.p == NULL) return false;
  }
  qsort(op->queues, op->queues_n, sizeof *op->queues, compare_settings);
  return true;
}

void sk_mem_tasks(struct sk_store *store, struct sk_tasks_op *op) {
  struct mem_handle *h = sk_mem_begin(store, &op->op);
  op->items_n = 0;
  op->moves = 0;
  op->items = sk_arena_array(&op->op.arena, HASH_COUNT(h->mem->tasks), sizeof *op->items);
  bool ok = op->items != NULL;
  for (struct mem_task *task = h->mem->tasks; ok && task != NULL; task = task->hh.next) {
    struct sk_task_item *item = &op->items[op->items_n++];
    item->name = sk_arena_copy(&op->op.arena, task->item.name);
    item->queue = sk_arena_copy(&op->op.arena, task->item.queue);
    item->priority = task->item.priority;
    item->template = sk_arena_copy(&op->op.arena, task->item.template);
    ok = item->name.p && item->queue.p && item->template.p;
  }
  if (ok) qsort(op->items, op->items_n, sizeof *op->items, compare_tasks);
  ok = ok && show_settings(h->mem, op);
  sk_mem_answer(h, &op->op, ok ? SK_OK : SK_ENOMEM);
}
