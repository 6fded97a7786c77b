/* memory/queue.c - the table of queues: by name, and sorted by name.  A queue that is unused for a while is forgotten.
 */
#include <stdlib.h>

#include "store/memory/memory.h"

enum { QUEUES_FIRST = 16, QUEUES_LOOKED_AT = 100, FORGET_MS = 600000, LOOK_EVERY_MS = 60000 };

struct mem_settings *sk_mem_settings_find(const struct mem *mem, struct sk_str name) {
  struct mem_settings *settings;
  HASH_FIND(hh, mem->settings, name.p, name.n, settings);
  return settings;
}

struct mem_queue *sk_mem_queue_find(const struct mem *mem, struct sk_str name) {
  struct mem_queue *queue;
  HASH_FIND(hh, mem->queues, name.p, name.n, queue);
  return queue;
}

int sk_mem_compare(struct sk_str a, struct sk_str b) {
  size_t n = a.n < b.n ? a.n : b.n;
  int c = n ? memcmp(a.p, b.p, n) : 0;
  return c ? c : (a.n > b.n) - (a.n < b.n);
}

/* -- in order of their names --------------------------------------------------------------------------------------- */

/* The index in by_name of the queue of that name, or the index at which it belongs. */
static size_t index_of(const struct mem *mem, struct sk_str name) {
  size_t low = 0, high = mem->by_name_n;
  while (low < high) {
    size_t mid = low + (high - low) / 2;
    if (sk_mem_compare(mem->by_name[mid]->name, name) < 0)
      low = mid + 1;
    else
      high = mid;
  }
  return low;
}

/* False when out of memory. */
static bool reserve_by_name(struct mem *mem) {
  if (mem->by_name_n < mem->by_name_cap) return true;
  size_t cap = mem->by_name_cap ? mem->by_name_cap * 2 : QUEUES_FIRST;
  struct mem_queue **grown = realloc(mem->by_name, cap * sizeof *grown);
  if (grown == NULL) return false;
  mem->by_name = grown;
  mem->by_name_cap = cap;
  return true;
}

static void add_by_name(struct mem *mem, struct mem_queue *queue) {
  struct mem_queue **at = mem->by_name + index_of(mem, queue->name);
  memmove(at + 1, at, (size_t)(mem->by_name + mem->by_name_n - at) * sizeof *at);
  *at = queue;
  mem->by_name_n++;
}

static void remove_by_name(struct mem *mem, const struct mem_queue *queue) {
  struct mem_queue **at = mem->by_name + index_of(mem, queue->name);
  mem->by_name_n--;
  memmove(at, at + 1, (size_t)(mem->by_name + mem->by_name_n - at) * sizeof *at);
}

/* -- the table ----------------------------------------------------------------------------------------------------- */

static void queue_free(struct mem_queue *queue) {
  for (int i = 0; i < SK_PRIORITIES; i++) sk_heap_fini(&queue->plain[i].front);
  sk_heap_fini(&queue->due);
  sk_heap_fini(&queue->tokens);
  free(queue);
}

struct mem_queue *sk_mem_queue(struct mem *mem, struct sk_str name) {
  struct mem_queue *queue = sk_mem_queue_find(mem, name);
  if (queue != NULL) return queue;
  if (!reserve_by_name(mem)) return NULL;
  queue = calloc(1, sizeof *queue + name.n);
  if (queue == NULL) return NULL;
  memcpy(queue->bytes, name.p, name.n);
  queue->name = sk_str(queue->bytes, name.n);
  queue->empty_since_ms = MEM_NEVER;
  for (size_t i = 0; i < SK_PRIORITIES; i++) {
    sk_mem_lane_init(&queue->plain[i], (struct mem_lane_key){ .queue = queue, .rank = i });
    sk_list_init(&queue->turns[i]);
  }
  HASH_ADD_KEYPTR(hh, mem->queues, queue->bytes, name.n, queue);
  if (queue->hh.tbl == NULL) {
    free(queue);
    return NULL;
  }
  add_by_name(mem, queue);
  queue->settings = mem->settings ? sk_mem_settings_find(mem, name) : NULL;
  mem->queues_version++;
  return queue;
}

void sk_mem_queues_free(struct mem *mem) {
  struct mem_queue *queue, *next;
  HASH_ITER(hh, mem->queues, queue, next) {
    HASH_DEL(mem->queues, queue);
    queue_free(queue);
  }
  free(mem->by_name);
}

/* -- forgetting ---------------------------------------------------------------------------------------------------- */

static bool is_unused(const struct mem_queue *queue) {
  if (queue->paused || queue->settings != NULL) return false;
  for (size_t s = 0; s < SK_STATES; s++)
    if (queue->states[s] > 0) return false;
  return true;
}

/* Forgets the queue if it has been unused for FORGET_MS; true: it is gone. */
static bool forget(struct mem *mem, struct mem_queue *queue) {
  if (!is_unused(queue)) {
    queue->empty_since_ms = MEM_NEVER;
    return false;
  }
  if (queue->empty_since_ms > mem->now_ms) queue->empty_since_ms = mem->now_ms; /* new, or the clock was set back */
  if (mem->now_ms - queue->empty_since_ms < FORGET_MS) return false;
  remove_by_name(mem, queue);
  HASH_DEL(mem->queues, queue);
  queue_free(queue);
  mem->queues_version++;
  return true;
}

bool sk_mem_queues_forget(struct mem *mem) {
  if (mem->now_ms < mem->queues_at_ms && mem->queues_at_ms - mem->now_ms <= LOOK_EVERY_MS) return false;
  if (!sk_list_empty(&mem->walks)) return false; /* a walk may hold a queue: a later beat looks */
  for (size_t i = 0; i < QUEUES_LOOKED_AT && mem->queues_at < mem->by_name_n; i++)
    if (!forget(mem, mem->by_name[mem->queues_at])) mem->queues_at++;
  if (mem->queues_at < mem->by_name_n) return true;
  mem->queues_at = 0;
  mem->queues_at_ms = mem->now_ms + LOOK_EVERY_MS;
  return false;
}
