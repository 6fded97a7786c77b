/* memory/look.c - looking into the memory store: get, list, count, tasks.  Listing walks all jobs and sorts those it shows:
 * only the process that runs the store can ask for it, and it does so rarely. */
#include <stdlib.h>

#include "store/check.h"
#include "store/memory/memory.h"

/* -- views ----------------------------------------------------------------------------------------------------------------- */

/* False when out of memory. */
static bool view_job(struct sk_arena *arena, const struct mem_job *job, struct sk_view *view) {
  struct mem_said *said = job->said;
  bool says = said && job->state == SK_STATE_RUNNING; /* what an attempt that is over has logged is in the record */
  bool waits = job->state == SK_STATE_SCHEDULED || job->state == SK_STATE_RETRY;
  *view = (struct sk_view){
    .id = sk_arena_copy(arena, job->id),
    .queue = sk_arena_copy(arena, job->queue->name),
    .record = sk_arena_copy(arena, job->record),
    .progress_text = said ? sk_arena_copy(arena, said->progress_text) : sk_str(NULL, 0),
    .log = says ? sk_arena_copy(arena, said->log) : sk_str(NULL, 0),
    .engine = job->holder ? sk_arena_copy(arena, job->holder->engine) : sk_str(NULL, 0),
    .state = job->state,
    .priority = job->priority,
    .due_ms = waits ? job->due_ms : 0,
    .running_since_ms = job->holder ? job->running_since_ms : 0,
    .percent = said ? said->percent : -1,
    .stopping = job->stopping,
  };
  return view->id.p && view->queue.p && view->record.p && (!said || view->progress_text.p) && (!says || view->log.p) &&
         (!job->holder || view->engine.p);
}

void sk_mem_get(struct sk_store *store, struct sk_get_op *op) {
  struct mem_handle *h = sk_mem_begin(store, &op->op);
  struct sk_arena *arena = &op->op.arena;
  op->views = sk_arena_array(arena, op->ids_n, sizeof *op->views);
  bool ok = op->views != NULL;
  for (size_t i = 0; ok && i < op->ids_n; i++) {
    const struct mem_job *job = sk_mem_find(h->mem, op->ids[i]);
    if (job == NULL) {
      op->views[i] = (struct sk_view){ .id = sk_arena_copy(arena, op->ids[i]), .state = SK_STATE_NONE, .percent = -1 };
      ok = op->views[i].id.p != NULL;
    } else {
      ok = view_job(arena, job, &op->views[i]);
      if (job->state == SK_STATE_READY) op->views[i].blocked_by = sk_mem_blocked_by(h->mem, job);
    }
  }
  sk_mem_answer(h, &op->op, ok ? SK_OK : SK_ENOMEM);
}

/* -- list ------------------------------------------------------------------------------------------------------------------ */

static bool matches(const struct mem_job *job, const struct sk_filter *filter) {
  return (filter->state == SK_STATE_NONE || filter->state == job->state) &&
         (filter->queue.n == 0 || sk_str_eq(filter->queue, job->queue->name)) &&
         (filter->task.n == 0 || sk_str_eq(filter->task, job->task));
}

static int compare_i64(int64_t a, int64_t b) { return (a > b) - (a < b); }
static int compare_u64(uint64_t a, uint64_t b) { return (a > b) - (a < b); }

static int compare_str(struct sk_str a, struct sk_str b) {
  size_t n = a.n < b.n ? a.n : b.n;
  int c = n ? memcmp(a.p, b.p, n) : 0;
  return c ? c : (a.n > b.n) - (a.n < b.n);
}

static int compare_place(const struct mem_job *a, const struct mem_job *b) {
  int c = compare_i64(a->due_ms, b->due_ms);
  return c ? c : compare_u64(a->seq, b->seq);
}

static int compare_ready(const struct mem_job *a, const struct mem_job *b) {
  int c = compare_str(a->queue->name, b->queue->name);
  if (c == 0) c = compare_i64(b->priority, a->priority);
  return c ? c : compare_place(a, b);
}

static int compare_jobs(const void *pa, const void *pb) {
  const struct mem_job *a = *(struct mem_job *const *)pa, *b = *(struct mem_job *const *)pb;
  if (a->state != b->state) return a->state < b->state ? -1 : 1;
  switch (a->state) {
  case SK_STATE_READY: return compare_ready(a, b);
  case SK_STATE_SCHEDULED:
  case SK_STATE_RETRY: return compare_place(a, b);
  case SK_STATE_RUNNING: return compare_u64(a->fence, b->fence);
  case SK_STATE_DONE:
  case SK_STATE_DEAD:
  case SK_STATE_CANCELLED:
  case SK_STATE_NONE: break;
  }
  return compare_u64(b->seq, a->seq);
}

struct mem_job **sk_mem_select(const struct mem *mem, const struct sk_filter *filter, size_t *n) {
  struct mem_job **all = malloc((mem->jobs.n + 1) * sizeof *all);
  if (all == NULL) return NULL;
  size_t at = 0;
  *n = 0;
  for (struct mem_job *job; (job = sk_mem_table_next(&mem->jobs, &at)) != NULL;)
    if (matches(job, filter)) all[(*n)++] = job;
  qsort(all, *n, sizeof *all, compare_jobs);
  return all;
}

static enum sk_code list(struct mem *mem, struct sk_list_op *op) {
  size_t n;
  struct mem_job **all = sk_mem_select(mem, &op->filter, &n);
  if (all == NULL) return SK_ENOMEM;
  size_t left = op->offset < n ? n - op->offset : 0;
  op->views_n = left < op->limit ? left : op->limit;
  op->views = sk_arena_array(&op->op.arena, op->views_n, sizeof *op->views);
  enum sk_code code = op->views ? SK_OK : SK_ENOMEM;
  size_t bytes = 0;
  for (size_t i = 0; code == SK_OK && i < op->views_n; i++) {
    struct sk_view *view = &op->views[i];
    bool ok = view_job(&op->op.arena, all[op->offset + i], view);
    code = ok ? sk_check_listed(op, view, &bytes, &op->op.err) : SK_ENOMEM;
  }
  free(all);
  return code;
}

void sk_mem_list(struct sk_store *store, struct sk_list_op *op) {
  struct mem_handle *h = sk_mem_begin(store, &op->op);
  op->views = NULL;
  op->views_n = 0;
  enum sk_code code = sk_check_list(op, &op->op.err);
  if (code == SK_OK) code = list(h->mem, op);
  sk_mem_answer(h, &op->op, code);
}

/* -- count, tasks ---------------------------------------------------------------------------------------------------------- */

static int compare_counts(const void *pa, const void *pb) {
  return compare_str(((const struct sk_queue_count *)pa)->name, ((const struct sk_queue_count *)pb)->name);
}

void sk_mem_count(struct sk_store *store, struct sk_count_op *op) {
  struct mem_handle *h = sk_mem_begin(store, &op->op);
  op->queues_n = 0;
  op->queues = sk_arena_array(&op->op.arena, HASH_COUNT(h->mem->queues), sizeof *op->queues);
  bool ok = op->queues != NULL;
  for (struct mem_queue *queue = h->mem->queues; ok && queue != NULL; queue = queue->hh.next) {
    struct sk_queue_count *count = &op->queues[op->queues_n++];
    count->name = sk_arena_copy(&op->op.arena, queue->name);
    count->paused = queue->paused;
    memcpy(count->states, queue->states, sizeof count->states);
    ok = count->name.p != NULL;
  }
  if (ok) qsort(op->queues, op->queues_n, sizeof *op->queues, compare_counts);
  op->counters = h->mem->counters;
  op->queues_version = h->mem->queues_version;
  sk_mem_answer(h, &op->op, ok ? SK_OK : SK_ENOMEM);
}

static int compare_tasks(const void *pa, const void *pb) {
  return compare_str(((const struct sk_task_item *)pa)->name, ((const struct sk_task_item *)pb)->name);
}

static int compare_bounds(const void *pa, const void *pb) {
  return compare_str(((const struct sk_queue_settings *)pa)->name, ((const struct sk_queue_settings *)pb)->name);
}

/* False when out of memory. */
static bool show_bounds(const struct mem *mem, struct sk_tasks_op *op) {
  op->queues_n = 0;
  op->queues = sk_arena_array(&op->op.arena, HASH_COUNT(mem->bounds), sizeof *op->queues);
  if (op->queues == NULL) return false;
  for (struct mem_bound *bound = mem->bounds; bound != NULL; bound = bound->hh.next) {
    struct sk_queue_settings *item = &op->queues[op->queues_n++];
    *item = bound->item;
    item->name = sk_arena_copy(&op->op.arena, bound->item.name);
    if (item->name.p == NULL) return false;
  }
  qsort(op->queues, op->queues_n, sizeof *op->queues, compare_bounds);
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
  ok = ok && show_bounds(h->mem, op);
  sk_mem_answer(h, &op->op, ok ? SK_OK : SK_ENOMEM);
}
