/* memory/look.c - get and count, and the view of a job, which list shares. */
#include <stdlib.h>

#include "store/check.h"
#include "store/memory/memory.h"

/* -- views --------------------------------------------------------------------------------------------------------- */

bool sk_mem_view(struct sk_arena *arena, const struct mem_job *job, struct sk_view *view) {
  struct mem_progress *progress = job->progress;
  bool says = progress && job->state == SK_STATE_RUNNING; /* the log of an attempt that is over is in the record */
  bool waits = job->state == SK_STATE_SCHEDULED || job->state == SK_STATE_RETRY;
  *view = (struct sk_view){
    .id = sk_arena_copy(arena, job->id),
    .queue = sk_arena_copy(arena, job->queue->name),
    .record = sk_arena_copy(arena, job->record),
    .progress_text = progress ? sk_arena_copy(arena, progress->progress_text) : sk_str(NULL, 0),
    .log = says ? sk_arena_copy(arena, progress->log) : sk_str(NULL, 0),
    .engine = job->holder ? sk_arena_copy(arena, job->holder->engine) : sk_str(NULL, 0),
    .state = job->state,
    .priority = job->priority,
    .due_ms = waits ? job->due_ms : 0,
    .running_since_ms = job->holder ? job->running_since_ms : 0,
    .percent = progress ? progress->percent : -1,
    .stopping = job->stopping,
  };
  return view->id.p && view->queue.p && view->record.p && (!progress || view->progress_text.p) &&
         (!says || view->log.p) && (!job->holder || view->engine.p);
}

/* -- get ----------------------------------------------------------------------------------------------------------- */

/* Bounds of one step. */
enum { VIEWS = 500, VIEW_BYTES = 1 << 20 };

struct getting {
  struct mem_work work;
  struct sk_get_op *op;
  size_t done; /* ids */
};

/* False when out of memory. */
static bool get_one(const struct mem *mem, struct sk_arena *arena, struct sk_str id, struct sk_view *view) {
  const struct mem_job *job = sk_mem_find(mem, id);
  if (job == NULL) {
    *view = (struct sk_view){ .id = sk_arena_copy(arena, id), .state = SK_STATE_NONE, .percent = -1 };
    return view->id.p != NULL;
  }
  if (!sk_mem_view(arena, job, view)) return false;
  if (job->state == SK_STATE_READY) view->blocked_by = sk_mem_blocked_by(mem, job);
  return true;
}

/* Makes the views of the next ids. */
static enum sk_code get_some(const struct mem *mem, struct sk_get_op *op, size_t *done) {
  size_t bytes = 0;
  for (size_t n = 0; *done < op->ids_n && n < VIEWS && bytes < VIEW_BYTES; n++) {
    struct sk_view *view = &op->views[(*done)++];
    if (!get_one(mem, &op->op.arena, op->ids[*done - 1], view)) return SK_ENOMEM;
    bytes += view->record.n;
  }
  return SK_OK;
}

static bool get_step(struct mem_handle *h, struct mem_work *work) {
  struct getting *g = SK_CONTAINER(work, struct getting, work);
  struct sk_get_op *op = g->op;
  enum sk_code code = h->hurried ? sk_err_set(&op->op.err, SK_EUNAVAILABLE, "get: the process is about to end")
                                 : get_some(h->mem, op, &g->done);
  if (code == SK_OK && g->done < op->ids_n) return false;
  free(g);
  sk_mem_reply(h, &op->op, code);
  return true;
}

void sk_mem_get(struct sk_store *store, struct sk_get_op *op) {
  struct mem_handle *h = sk_mem_begin(store, &op->op);
  op->views = sk_arena_array(&op->op.arena, op->ids_n, sizeof *op->views);
  size_t done = 0;
  enum sk_code code = op->views ? get_some(h->mem, op, &done) : SK_ENOMEM;
  struct getting *g = code == SK_OK && done < op->ids_n ? malloc(sizeof *g) : NULL;
  if (g == NULL) {
    sk_mem_answer(h, &op->op, code == SK_OK && done < op->ids_n ? SK_ENOMEM : code);
    return;
  }
  *g = (struct getting){ .work.step = get_step, .op = op, .done = done };
  sk_list_init(&g->work.node);
  sk_mem_go_on(h, &g->work);
  pthread_mutex_unlock(&h->mem->lock);
}

/* -- count --------------------------------------------------------------------------------------------------------- */

/* In one step, so that it shows one moment.  The queues are sorted already. */
void sk_mem_count(struct sk_store *store, struct sk_count_op *op) {
  struct mem_handle *h = sk_mem_begin(store, &op->op);
  const struct mem *mem = h->mem;
  op->queues_n = 0;
  op->queues = sk_arena_array(&op->op.arena, mem->by_name_n, sizeof *op->queues);
  bool ok = op->queues != NULL;
  for (size_t i = 0; ok && i < mem->by_name_n; i++) {
    const struct mem_queue *queue = mem->by_name[i];
    struct sk_queue_count *count = &op->queues[op->queues_n++];
    count->name = sk_arena_copy(&op->op.arena, queue->name);
    count->paused = queue->paused;
    memcpy(count->states, queue->states, sizeof count->states);
    ok = count->name.p != NULL;
  }
  op->counters = mem->counters;
  op->queues_version = mem->queues_version;
  op->moving = false;
  sk_mem_answer(h, &op->op, ok ? SK_OK : SK_ENOMEM);
}
