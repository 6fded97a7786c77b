/* memory/bound.c - what queues are bound to (store.h, BOUNDED QUEUES and a queue's own limit). */
#include <stdlib.h>

#include "logic/owners.h"
#include "store/memory/memory.h"

static int64_t now_us(const struct mem *mem) { return mem->now_ms * 1000; }

/* -- declaring --------------------------------------------------------------------------------------------------------------- */

struct mem_bound *sk_mem_bound_find(const struct mem *mem, struct sk_str name) {
  struct mem_bound *bound;
  HASH_FIND(hh, mem->bounds, name.p, name.n, bound);
  return bound;
}

static struct mem_bound *bound_new(struct mem *mem, struct sk_str name) {
  struct mem_bound *bound = calloc(1, sizeof *bound + name.n);
  if (bound == NULL) return NULL;
  memcpy(bound->bytes, name.p, name.n);
  HASH_ADD_KEYPTR(hh, mem->bounds, bound->bytes, name.n, bound);
  if (bound->hh.tbl != NULL) return bound;
  free(bound);
  return NULL;
}

static void bound_free(struct mem *mem, struct mem_bound *bound) {
  HASH_DEL(mem->bounds, bound);
  sk_buf_fini(&bound->owners);
  free(bound);
}

bool sk_mem_bind(struct mem *mem, const struct sk_queue_settings *item) {
  struct mem_bound *bound = sk_mem_bound_find(mem, item->name);
  struct mem_queue *queue = sk_mem_queue_find(mem, item->name);
  if (!sk_queue_settings_any(item)) {
    if (queue != NULL) queue->bound = NULL;
    if (bound != NULL) bound_free(mem, bound);
    return true;
  }
  if (bound == NULL) bound = bound_new(mem, item->name);
  if (bound == NULL) return false;
  bound->item = *item;
  bound->item.name = sk_str(bound->bytes, item->name.n);
  bound->item.limit.group = sk_str(NULL, 0);
  bound->item.limit.strict = false;
  if (queue != NULL) queue->bound = bound;
  return true;
}

void sk_mem_bounds_free(struct mem *mem) {
  struct mem_bound *bound, *next;
  HASH_ITER(hh, mem->bounds, bound, next) { bound_free(mem, bound); }
}

static bool binds_queue(const struct sk_declare_op *op, struct sk_str queue) {
  for (size_t i = 0; i < op->queues_n; i++)
    if (sk_str_eq(op->queues[i].name, queue)) return sk_queue_settings_any(&op->queues[i]);
  return false;
}

/* Nobody's: it was bound before there were owners, or without one. */
static bool is_owned(const struct mem_bound *bound) { return bound->owners.n > 0; }

bool sk_mem_bounds_own(struct mem *mem, const struct sk_declare_op *op) {
  struct mem_bound *bound, *next;
  HASH_ITER(hh, mem->bounds, bound, next) {
    bool declares =
        op->renew ? sk_owners_has(sk_buf_str(&bound->owners), op->owner) : binds_queue(op, bound->item.name);
    if (!declares && !is_owned(bound)) continue;
    struct sk_buf owners = { 0 };
    sk_owners_update(sk_buf_str(&bound->owners), op->owner, declares, mem->now_ms, &owners);
    if (owners.failed) return false;
    sk_buf_fini(&bound->owners);
    bound->owners = owners;
    if (!is_owned(bound)) sk_mem_bind(mem, &(struct sk_queue_settings){ .name = bound->item.name });
  }
  return true;
}

/* -- what it means for the queue ----------------------------------------------------------------------------------------------- */

bool sk_mem_is_full(const struct mem_queue *queue) {
  if (queue->bound == NULL || queue->bound->item.max_len == 0) return false;
  return sk_states_waiting(queue->states) >= queue->bound->item.max_len;
}

static bool has_slot(const struct mem_queue *queue) {
  return queue->bound->item.limit.concurrency == 0 ||
         queue->states[SK_STATE_RUNNING] < queue->bound->item.limit.concurrency;
}

enum sk_blocked_by sk_mem_queue_blocked_by(const struct mem *mem, const struct mem_queue *queue) {
  const struct mem_bound *bound = queue->bound;
  if (bound == NULL) return SK_BLOCKED_BY_NOTHING;
  if (!has_slot(queue)) return SK_BLOCKED_BY_CONCURRENCY;
  return sk_limit_wait_us(&bound->item.limit, bound->full_us, now_us(mem)) > 0 ? SK_BLOCKED_BY_RATE
                                                                               : SK_BLOCKED_BY_NOTHING;
}

void sk_mem_queue_taken(const struct mem *mem, struct mem_queue *queue) {
  struct mem_bound *bound = queue->bound;
  if (bound != NULL) bound->full_us = sk_limit_take(&bound->item.limit, bound->full_us, now_us(mem));
}

int64_t sk_mem_token_in_ms(const struct mem *mem, const struct mem_queue *queue) {
  if (queue->bound == NULL && queue->tokens.n == 0) return -1;
  int64_t own_us = 0;
  if (queue->bound != NULL) {
    if (!has_slot(queue)) return -1;
    own_us = sk_limit_wait_us(&queue->bound->item.limit, queue->bound->full_us, now_us(mem));
  }
  const struct sk_heap_node *group = sk_heap_first(&queue->tokens);
  int64_t wait_us;
  if (own_us > 0 && sk_mem_next(queue) != NULL) {
    wait_us = own_us;
  } else if (group != NULL) {
    int64_t group_us = group->key - now_us(mem);
    wait_us = group_us > own_us ? group_us : own_us;
  } else {
    return -1;
  }
  return wait_us / 1000 + (wait_us % 1000 != 0);
}
