/* memory/line.c - the lines in which READY jobs stand, and the turns that the lines of a queue and priority take (memory.h). */
#include <assert.h>

#include "store/memory/memory.h"

/* Heaps break ties by a counter of their own; ours are broken by the job's place in line, wherever it was meanwhile. */
bool sk_mem_heap_put(struct sk_heap *heap, struct mem_job *job, int64_t key) {
  heap->seq = job->seq;
  return sk_heap_insert(heap, &job->place, key);
}

struct mem_job *sk_mem_heap_job(const struct sk_heap *heap) {
  struct sk_heap_node *first = sk_heap_first(heap);
  return first ? SK_CONTAINER(first, struct mem_job, place) : NULL;
}

void sk_mem_line_init(struct mem_line *line, struct mem_line_key key) {
  line->key = key;
  sk_list_init(&line->fifo);
  sk_list_init(&line->turn);
  sk_list_init(&line->peer);
}

bool sk_mem_line_empty(const struct mem_line *line) { return sk_list_empty(&line->fifo) && line->front.n == 0; }

struct mem_line *sk_mem_line_of(const struct mem_job *job) {
  if (job->line != NULL && !job->granted) return job->line;
  return &job->queue->plain[SK_PRIORITY_MAX - job->priority];
}

/* A line that was empty has a job. */
static void join_turns(struct mem_line *line) {
  if (line->key.group != NULL)
    sk_mem_line_place(line);
  else
    sk_list_push(&line->key.queue->turns[line->key.rank], &line->turn);
}

void sk_mem_line_push(struct mem_line *line, struct mem_job *job) {
  bool first = sk_mem_line_empty(line);
  sk_list_push(&line->fifo, &job->node);
  if (first) join_turns(line);
}

void sk_mem_line_put(struct mem_line *line, struct mem_job *job) {
  bool first = sk_mem_line_empty(line);
  if (!sk_mem_heap_put(&line->front, job, job->due_ms)) sk_list_push_front(&line->fifo, &job->node);
  if (first) join_turns(line);
}

void sk_mem_line_remove(struct mem_line *line, struct mem_job *job) {
  if (sk_heap_has(&job->place)) sk_heap_remove(&line->front, &job->place);
  sk_list_remove(&job->node);
  if (!sk_mem_line_empty(line)) return;
  sk_list_remove(&line->turn);
  if (sk_heap_has(&line->token)) sk_heap_remove(&line->key.queue->tokens, &line->token);
}

static struct mem_job *first_of(const struct mem_line *line) {
  if (line->front.n) return sk_mem_heap_job(&line->front);
  return sk_list_empty(&line->fifo) ? NULL : SK_CONTAINER(line->fifo.next, struct mem_job, node);
}

struct mem_job *sk_mem_next(const struct mem_queue *queue) {
  for (size_t rank = 0; rank < SK_PRIORITIES; rank++)
    if (!sk_list_empty(&queue->turns[rank]))
      return first_of(SK_CONTAINER(queue->turns[rank].next, struct mem_line, turn));
  return NULL;
}

void sk_mem_turn(struct mem_job *job) {
  struct mem_line *line = sk_mem_line_of(job);
  assert(!sk_list_empty(&line->turn));
  sk_list_remove(&line->turn);
  sk_list_push(&line->key.queue->turns[line->key.rank], &line->turn);
}

/* -- the oldest ------------------------------------------------------------------------------------------------------------- */

static bool stands_before(const struct mem_job *a, const struct mem_job *b) {
  return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->seq < b->seq;
}

static struct mem_job *older(struct mem_job *a, struct mem_job *b) {
  if (a == NULL || b == NULL) return a != NULL ? a : b;
  return stands_before(a, b) ? a : b;
}

/* The oldest of the line but for `except`, which may be anywhere in it.  One that kept its slot stands in front, but may be younger
 * than the first in fifo. */
static struct mem_job *oldest_of(const struct mem_line *line, const struct mem_job *except) {
  struct mem_job *oldest = NULL;
  bool skipped = line->front.n > 0 && sk_mem_heap_job(&line->front) == except;
  for (size_t i = skipped; i < line->front.n && i <= (skipped ? 2 : 0);
       i++) /* of a heap's root's children one is the second */
    oldest = older(oldest, SK_CONTAINER(line->front.nodes[i], struct mem_job, place));
  SK_LIST_EACH (it, &line->fifo) {
    struct mem_job *job = SK_CONTAINER(it, struct mem_job, node);
    if (job != except) return older(oldest, job);
  }
  return oldest;
}

struct mem_job *sk_mem_oldest(const struct mem *mem, const struct mem_queue *queue, const struct mem_job *except) {
  struct mem_job *oldest[SK_PRIORITIES];
  for (size_t rank = 0; rank < SK_PRIORITIES; rank++) oldest[rank] = oldest_of(&queue->plain[rank], except);
  for (const struct mem_line *line = queue->lines ? mem->lines : NULL; line != NULL; line = line->hh.next) {
    if (line->key.queue != queue) continue;
    oldest[line->key.rank] = older(oldest[line->key.rank], oldest_of(line, except));
  }
  for (size_t rank = SK_PRIORITIES; rank-- > 0;)
    if (oldest[rank] != NULL) return oldest[rank];
  return NULL;
}
