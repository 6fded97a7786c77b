/* memory/fetch.c - fetch: makes due jobs READY, opens groups whose next token is there, and takes jobs in turns. */
#include "store/memory/memory.h"

enum { DUE_IN_A_FETCH = 2000 };

/* A queue that a fetch names. */
struct candidate {
  struct mem_queue *queue; /* NULL: unknown, or paused */
  struct sk_str name;      /* a copy for the fetched jobs, made with the first of them */
};

struct fetching {
  struct mem_handle *h;
  struct sk_fetch_op *op;
  struct candidate *from; /* one per queue of op */
  size_t budget;          /* jobs that may still be made READY, and groups that may still be opened, in this fetch */
  size_t bytes;           /* of the records taken */
  bool full;              /* the next record does not fit into SK_BATCH_BYTES_MAX */
  bool no_memory, made_room;
};

/* -- taking -------------------------------------------------------------------------------------------------------- */

enum { JOB_BYTES_AHEAD = 512, CACHE_LINE_BYTES = 64 };

/* Prefetches the job behind this one in its lane, with a record of the usual size: it was written long ago.  For the
 * last job of a lane it prefetches the head of the list, which does no harm. */
static void prefetch_after(const struct mem_job *job) {
  const char *next = (const char *)SK_CONTAINER(job->node.next, struct mem_job, node);
  for (size_t at = 0; at < JOB_BYTES_AHEAD; at += CACHE_LINE_BYTES) __builtin_prefetch(next + at);
}

/* Makes the next job of the queue RUNNING and reports it.  False when there is none, when the batch is full, or when
 * there is no memory to report it in. */
static bool take_one(struct fetching *f, struct candidate *from) {
  struct mem_queue *queue = from->queue;
  struct mem *mem = f->h->mem;
  if (queue->settings != NULL && sk_mem_queue_blocked_by(mem, queue) != SK_BLOCKED_BY_NOTHING) return false;
  struct mem_job *job = sk_mem_next(queue);
  if (job == NULL) return false;
  f->full = f->op->jobs_n > 0 && f->bytes + job->record.n > SK_BATCH_BYTES_MAX;
  if (f->full) return false;
  prefetch_after(job);
  struct sk_arena *arena = &f->op->op.arena;
  if (from->name.p == NULL) from->name = sk_arena_copy(arena, queue->name);
  struct sk_fetched held = {
    .id = sk_arena_copy(arena, job->id),
    .queue = from->name,
    .record = sk_arena_copy(arena, job->record),
    .priority = job->priority,
    .late_ms = job->due_ms < mem->now_ms ? mem->now_ms - job->due_ms : 0,
  };
  if (held.id.p == NULL || held.queue.p == NULL || held.record.p == NULL) {
    f->no_memory = true;
    return false;
  }
  /* Clients that wait for room in the queue must be told. */
  if (queue->settings != NULL && queue->settings->item.overflow == SK_OVERFLOW_BLOCK && sk_mem_is_full(queue))
    f->made_room = true;
  sk_mem_turn(job);
  sk_mem_leave(mem, job);
  sk_mem_enter_running(mem, job, f->h->holder);
  sk_mem_queue_taken(mem, queue);
  held.fence = job->fence;
  f->op->jobs[f->op->jobs_n++] = held;
  f->bytes += job->record.n;
  return true;
}

static void take(struct fetching *f, struct candidate *from, size_t quota) {
  while (quota-- > 0 && !f->full && f->op->jobs_n < f->op->want && take_one(f, from)) {}
}

/* -- looking ------------------------------------------------------------------------------------------------------- */

/* Jobs that came due and are left for a later fetch are due at once. */
static int64_t left_ms(int64_t in_ms) { return in_ms > 0 ? in_ms : 1; }

static void due_in(int64_t *out_ms, int64_t in_ms) {
  if (in_ms > 0 && (*out_ms < 0 || in_ms < *out_ms)) *out_ms = in_ms;
}

/* Makes due jobs READY, fills in due_in_ms, and finds the queues from which jobs may be taken.  Returns how many READY
 * jobs these have. */
static size_t look(struct fetching *f) {
  struct mem *mem = f->h->mem;
  size_t ready = 0;
  f->op->due_in_ms = -1;
  for (size_t i = 0; i < f->op->queues_n; i++) {
    struct sk_fetch_queue *named = &f->op->queues[i];
    struct mem_queue *queue = sk_mem_queue_find(mem, named->name);
    named->has_more = false;
    named->due_in_ms = -1;
    if (queue == NULL) continue;
    sk_mem_promote(mem, queue, &f->budget);
    struct sk_heap_node *first = sk_heap_first(&queue->due);
    if (first != NULL) due_in(&named->due_in_ms, left_ms(first->key - mem->now_ms));
    due_in(&f->op->due_in_ms, named->due_in_ms);
    if (queue->paused) continue;
    sk_mem_tokens_due(mem, queue, &f->budget);
    f->from[i].queue = queue;
    ready += (size_t)queue->states[SK_STATE_READY];
  }
  return ready;
}

/* Reports whether more jobs could be taken now, and when a token is there for those that lack only a token. */
static void look_at_rest(struct fetching *f) {
  const struct mem *mem = f->h->mem;
  f->op->has_more = false;
  for (size_t i = 0; i < f->op->queues_n; i++) {
    const struct mem_queue *queue = f->from[i].queue;
    if (queue == NULL || queue->states[SK_STATE_READY] == 0) continue;
    struct sk_fetch_queue *named = &f->op->queues[i];
    named->has_more = sk_mem_next(queue) != NULL && sk_mem_queue_blocked_by(mem, queue) == SK_BLOCKED_BY_NOTHING;
    f->op->has_more |= named->has_more;
    due_in(&named->due_in_ms, sk_mem_token_in_ms(mem, queue));
    due_in(&f->op->due_in_ms, named->due_in_ms);
  }
}

/* Reports the jobs that are to stop: they are the first of the holder.  Without memory for all of them, a later fetch
 * reports the rest. */
static void tell_stops(struct mem_handle *h, struct sk_fetch_op *op) {
  size_t n = 0;
  SK_LIST_EACH (it, &h->holder->jobs) {
    if (!SK_CONTAINER(it, struct mem_job, node)->stopping) break;
    n++;
  }
  if (n == 0) return;
  op->stops = sk_arena_array(&op->op.arena, n, sizeof *op->stops);
  if (op->stops == NULL) return;
  for (struct sk_list *it = h->holder->jobs.next; op->stops_n < n; it = it->next) {
    struct sk_str id = sk_arena_copy(&op->op.arena, SK_CONTAINER(it, struct mem_job, node)->id);
    if (id.p == NULL) return;
    op->stops[op->stops_n++] = id;
  }
}

static enum sk_code fetch(struct mem_handle *h, struct sk_fetch_op *op) {
  struct fetching f = {
    .h = h, .op = op, .budget = DUE_IN_A_FETCH, .from = sk_arena_array(&op->op.arena, op->queues_n, sizeof *f.from)
  };
  if (f.from == NULL) return SK_ENOMEM;
  size_t ready = look(&f);
  op->jobs = sk_arena_array(&op->op.arena, ready < op->want ? ready : op->want, sizeof *op->jobs);
  if (op->jobs == NULL) return SK_ENOMEM;
  for (size_t i = 0; i < op->queues_n; i++)
    if (f.from[i].queue) take(&f, &f.from[i], op->queues[i].quota);
  for (size_t i = 0; i < op->queues_n; i++)
    if (f.from[i].queue) take(&f, &f.from[i], op->want);
  if (f.no_memory && op->jobs_n == 0) return SK_ENOMEM;
  look_at_rest(&f);
  if (f.made_room) sk_mem_notify(h);
  tell_stops(h, op);
  return SK_OK;
}

void sk_mem_fetch(struct sk_store *store, struct sk_fetch_op *op) {
  struct mem_handle *h = sk_mem_begin(store, &op->op);
  op->jobs = NULL;
  op->jobs_n = 0;
  op->stops = NULL;
  op->stops_n = 0;
  enum sk_code code = sk_mem_check_engine(h, "fetch", &op->op.err);
  if (code == SK_OK) code = sk_check_fetch(op, &op->op.err);
  if (code == SK_OK) code = fetch(h, op);
  op->queues_version = h->mem->queues_version;
  sk_mem_answer(h, &op->op, code);
}
