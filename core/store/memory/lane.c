/* memory/lane.c - the lanes in which READY jobs stand, and the turns that the lanes of a queue and priority take
 * (memory.h). */
#include <assert.h>

#include "store/memory/memory.h"

/* A heap breaks ties by the order of insertion.  Here the job's seq breaks them, so that a job that leaves and returns
 * has its old place. */
bool sk_mem_heap_put(struct sk_heap *heap, struct mem_job *job, int64_t key) {
  heap->seq = job->seq;
  return sk_heap_insert(heap, &job->place, key);
}

struct mem_job *sk_mem_heap_job(const struct sk_heap *heap) {
  struct sk_heap_node *first = sk_heap_first(heap);
  return first ? SK_CONTAINER(first, struct mem_job, place) : NULL;
}

void sk_mem_lane_init(struct mem_lane *lane, struct mem_lane_key key) {
  lane->key = key;
  sk_list_init(&lane->fifo);
  sk_list_init(&lane->turn);
  sk_list_init(&lane->peer);
}

bool sk_mem_lane_empty(const struct mem_lane *lane) { return sk_list_empty(&lane->fifo) && lane->front.n == 0; }

struct mem_lane *sk_mem_lane_of(const struct mem_job *job) {
  if (job->lane != NULL && !job->granted) return job->lane;
  return &job->queue->plain[SK_PRIORITY_MAX - job->priority];
}

void sk_mem_lane_place(struct mem_lane *lane) {
  struct mem_queue *queue = lane->key.queue;
  sk_list_remove(&lane->turn);
  if (sk_heap_has(&lane->token)) sk_heap_remove(&queue->tokens, &lane->token);
  if (sk_mem_lane_empty(lane)) return;
  switch (lane->key.group->blocked_by) {
  case SK_BLOCKED_BY_NOTHING: sk_list_push(&queue->turns[lane->key.rank], &lane->turn); break;
  case SK_BLOCKED_BY_RATE: {
    bool ok = sk_heap_insert(&queue->tokens, &lane->token, lane->key.group->token_us);
    assert(ok); /* sk_mem_lane_join made the room */
    break;
  }
  case SK_BLOCKED_BY_CONCURRENCY: break;
  }
}

/* To be called when a lane that was empty has a job. */
static void join_turns(struct mem_lane *lane) {
  if (lane->key.group != NULL)
    sk_mem_lane_place(lane);
  else
    sk_list_push(&lane->key.queue->turns[lane->key.rank], &lane->turn);
}

void sk_mem_lane_push(struct mem_lane *lane, struct mem_job *job) {
  bool first = sk_mem_lane_empty(lane);
  sk_list_push(&lane->fifo, &job->node);
  if (first) join_turns(lane);
}

void sk_mem_lane_put(struct mem_lane *lane, struct mem_job *job) {
  bool first = sk_mem_lane_empty(lane);
  if (!sk_mem_heap_put(&lane->front, job, job->due_ms)) sk_list_push_front(&lane->fifo, &job->node);
  if (first) join_turns(lane);
}

void sk_mem_lane_remove(struct mem_lane *lane, struct mem_job *job) {
  if (sk_heap_has(&job->place)) sk_heap_remove(&lane->front, &job->place);
  sk_list_remove(&job->node);
  if (!sk_mem_lane_empty(lane)) return;
  sk_list_remove(&lane->turn);
  if (sk_heap_has(&lane->token)) sk_heap_remove(&lane->key.queue->tokens, &lane->token);
}

static struct mem_job *first_of(const struct mem_lane *lane) {
  if (lane->front.n) return sk_mem_heap_job(&lane->front);
  return sk_list_empty(&lane->fifo) ? NULL : SK_CONTAINER(lane->fifo.next, struct mem_job, node);
}

struct mem_job *sk_mem_next(const struct mem_queue *queue) {
  for (size_t rank = 0; rank < SK_PRIORITIES; rank++)
    if (!sk_list_empty(&queue->turns[rank]))
      return first_of(SK_CONTAINER(queue->turns[rank].next, struct mem_lane, turn));
  return NULL;
}

void sk_mem_turn(struct mem_job *job) {
  struct mem_lane *lane = sk_mem_lane_of(job);
  assert(!sk_list_empty(&lane->turn));
  sk_list_remove(&lane->turn);
  sk_list_push(&lane->key.queue->turns[lane->key.rank], &lane->turn);
}

/* -- the oldest ---------------------------------------------------------------------------------------------------- */

static bool stands_before(const struct mem_job *a, const struct mem_job *b) {
  return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->seq < b->seq;
}

static struct mem_job *older(struct mem_job *a, struct mem_job *b) {
  if (a == NULL || b == NULL) return a != NULL ? a : b;
  return stands_before(a, b) ? a : b;
}

/* The oldest job of the lane other than `except`, which may stand anywhere.  A job that kept its slot stands in front,
 * but may be younger than the first in fifo. */
static struct mem_job *oldest_of(const struct mem_lane *lane, const struct mem_job *except) {
  struct mem_job *oldest = NULL;
  bool skipped = lane->front.n > 0 && sk_mem_heap_job(&lane->front) == except;
  for (size_t i = skipped; i < lane->front.n && i <= (skipped ? 2 : 0);
       i++) /* the second of a heap is a child of its root */
    oldest = older(oldest, SK_CONTAINER(lane->front.nodes[i], struct mem_job, place));
  SK_LIST_EACH (it, &lane->fifo) {
    struct mem_job *job = SK_CONTAINER(it, struct mem_job, node);
    if (job != except) return older(oldest, job);
  }
  return oldest;
}

struct mem_job *sk_mem_oldest(const struct mem *mem, const struct mem_queue *queue, const struct mem_job *except) {
  struct mem_job *oldest[SK_PRIORITIES];
  for (size_t rank = 0; rank < SK_PRIORITIES; rank++) oldest[rank] = oldest_of(&queue->plain[rank], except);
  for (const struct mem_lane *lane = queue->lanes ? mem->lanes : NULL; lane != NULL; lane = lane->hh.next) {
    if (lane->key.queue != queue) continue;
    oldest[lane->key.rank] = older(oldest[lane->key.rank], oldest_of(lane, except));
  }
  for (size_t rank = SK_PRIORITIES; rank-- > 0;)
    if (oldest[rank] != NULL) return oldest[rank];
  return NULL;
}
