/* memory/list.c - list, in steps.  A walk over all jobs keeps the first offset + limit of those that match, in a heap
 * whose top is the last of them.  Popping limit entries off the top yields the page, in order.  Then the views are
 * made.  An entry records its job's place in the order when the walk visited it, and pins the job; a job that does not
 * match any more is left out. */
#include <stdlib.h>

#include "store/check.h"
#include "store/memory/memory.h"

/* Bounds of one step. */
enum { LOOKS = 4000, POPS = 2000, VIEWS = 250, VIEW_BYTES = 1 << 20, UNPINS = 8000, ENTRIES_FIRST = 256 };

struct entry {
  struct mem_job *job;           /* pinned */
  const struct mem_queue *queue; /* READY; stays while there is a walk */
  enum sk_state state;
  int32_t priority; /* READY */
  int64_t due_ms;   /* READY, SCHEDULED, RETRY */
  uint64_t seq;     /* breaks ties of due_ms; RUNNING: its fence; at an end: the lowest for the latest */
};

struct listing {
  struct mem_work work;
  struct mem_walk walk;
  struct sk_list_op *op; /* NULL once answered */
  struct entry *entries; /* owned; a heap, then sorted from op->offset on */
  size_t n, cap;
  size_t unsorted; /* entries that are still a heap */
  size_t shown;    /* entries whose view is made, or that are passed over */
  size_t bytes;    /* of the views */
  size_t first;    /* op->offset */
  bool sorting;
};

/* -- the order ----------------------------------------------------------------------------------------------------- */

static struct entry entry_of(struct mem_job *job) {
  struct entry entry = { .job = job, .state = job->state, .seq = job->seq };
  switch (job->state) {
  case SK_STATE_READY:
    entry.queue = job->queue;
    entry.priority = job->priority;
    entry.due_ms = job->due_ms;
    break;
  case SK_STATE_SCHEDULED:
  case SK_STATE_RETRY: entry.due_ms = job->due_ms; break;
  case SK_STATE_RUNNING: entry.seq = job->fence; break;
  case SK_STATE_DONE:
  case SK_STATE_DEAD:
  case SK_STATE_CANCELLED:
  case SK_STATE_NONE: entry.seq = UINT64_MAX - job->seq; break;
  }
  return entry;
}

static bool is_before(const struct entry *a, const struct entry *b) {
  if (a->state != b->state) return a->state < b->state;
  if (a->queue != b->queue) return sk_mem_compare(a->queue->name, b->queue->name) < 0;
  if (a->priority != b->priority) return a->priority > b->priority;
  return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->seq < b->seq;
}

static void swap(struct entry *a, struct entry *b) {
  struct entry c = *a;
  *a = *b;
  *b = c;
}

/* Entry i may be later than its parent. */
static void sift_up(struct entry *heap, size_t i) {
  for (; i > 0 && is_before(&heap[(i - 1) / 2], &heap[i]); i = (i - 1) / 2) swap(&heap[(i - 1) / 2], &heap[i]);
}

/* The top of n entries may have become earlier than its children. */
static void sift_down(struct entry *heap, size_t n) {
  for (size_t i = 0, child; (child = 2 * i + 1) < n; i = child) {
    if (child + 1 < n && is_before(&heap[child], &heap[child + 1])) child++;
    if (!is_before(&heap[i], &heap[child])) return;
    swap(&heap[i], &heap[child]);
  }
}

/* -- steps --------------------------------------------------------------------------------------------------------- */

/* Keeps the job if it is among the first so far; false when out of memory. */
static bool keep(struct listing *l, struct mem_job *job) {
  const struct entry entry = entry_of(job);
  if (l->n == l->first + l->op->limit) {
    if (!is_before(&entry, &l->entries[0])) return true;
    sk_mem_unpin(l->entries[0].job);
    l->entries[0] = entry;
    sk_mem_pin(job);
    sift_down(l->entries, l->n);
    return true;
  }
  if (l->n == l->cap) {
    size_t cap = l->cap ? l->cap * 2 : ENTRIES_FIRST;
    struct entry *grown = realloc(l->entries, cap * sizeof *grown);
    if (grown == NULL) return false;
    l->entries = grown;
    l->cap = cap;
  }
  l->entries[l->n] = entry;
  sk_mem_pin(job);
  sift_up(l->entries, l->n++);
  return true;
}

/* Keeps the next jobs that match. */
static enum sk_code walk(struct mem *mem, struct listing *l) {
  for (int looks = 0; looks < LOOKS; looks++) {
    struct mem_job *job = sk_mem_walk_next(mem, &l->walk);
    if (job == NULL) {
      l->sorting = true;
      l->unsorted = l->n;
      l->shown = l->first;
      return SK_OK;
    }
    if (sk_mem_matches(job, &l->op->filter) && !keep(l, job)) return SK_ENOMEM;
  }
  return SK_OK;
}

/* Pops the top of the heap to the place behind the heap, until only the entries before the page are left in it. */
static void sort(struct listing *l) {
  for (int pops = 0; pops < POPS && l->unsorted > l->first; pops++) {
    swap(&l->entries[0], &l->entries[--l->unsorted]);
    sift_down(l->entries, l->unsorted);
  }
}

static enum sk_code show(struct listing *l) {
  struct sk_list_op *op = l->op;
  if (op->views == NULL) op->views = sk_arena_array(&op->op.arena, l->n - l->first, sizeof *op->views);
  if (op->views == NULL) return SK_ENOMEM;
  size_t until = l->bytes + VIEW_BYTES;
  for (int views = 0; views < VIEWS && l->shown < l->n && l->bytes < until; views++) {
    struct mem_job *job = l->entries[l->shown++].job;
    if (job->dropped || !sk_mem_matches(job, &op->filter)) continue;
    struct sk_view *view = &op->views[op->views_n];
    if (!sk_mem_view(&op->op.arena, job, view)) return SK_ENOMEM;
    enum sk_code code = sk_check_listed(op, view, &l->bytes, &op->op.err);
    if (code != SK_OK) return code;
    op->views_n++;
  }
  return SK_OK;
}

static bool is_over(const struct listing *l) {
  return l->sorting && l->unsorted <= l->first && (l->shown >= l->n || l->n <= l->first);
}

static enum sk_code go_on(struct mem_handle *h, struct listing *l) {
  if (h->hurried) return sk_err_set(&l->op->op.err, SK_EUNAVAILABLE, "list: the process is about to end");
  if (!l->sorting) return walk(h->mem, l);
  if (l->unsorted > l->first) {
    sort(l);
    return SK_OK;
  }
  return l->n > l->first ? show(l) : SK_OK;
}

/* Once the op is answered, the pins are taken off. */
static bool step(struct mem_handle *h, struct mem_work *work) {
  struct listing *l = SK_CONTAINER(work, struct listing, work);
  if (l->op != NULL) {
    enum sk_code code = go_on(h, l);
    if (code == SK_OK && !is_over(l)) return false;
    sk_mem_reply(h, &l->op->op, code);
    l->op = NULL;
  }
  for (int unpins = 0; unpins < UNPINS && l->n > 0; unpins++) sk_mem_unpin(l->entries[--l->n].job);
  if (l->n > 0) return false;
  sk_mem_walk_end(&l->walk);
  free(l->entries);
  free(l);
  return true;
}

void sk_mem_list(struct sk_store *store, struct sk_list_op *op) {
  struct mem_handle *h = sk_mem_begin(store, &op->op);
  op->views = NULL;
  op->views_n = 0;
  enum sk_code code = sk_check_list(op, &op->op.err);
  struct listing *l = code == SK_OK && op->limit > 0 ? calloc(1, sizeof *l) : NULL;
  if (l == NULL) {
    sk_mem_answer(h, &op->op, code != SK_OK || op->limit == 0 ? code : SK_ENOMEM);
    return;
  }
  l->work.step = step;
  sk_list_init(&l->work.node);
  l->op = op;
  l->first = op->offset;
  sk_mem_walk_start(h->mem, &l->walk);
  sk_mem_go_on(h, &l->work);
  pthread_mutex_unlock(&h->mem->lock);
}
