/* memory/queue_settings.c - the settings of queues: max_len and overflow, and the queue's own limit (store.h,
 * declare). */
#include <stdlib.h>

#include "logic/owners.h"
#include "store/memory/memory.h"

static int64_t now_us(const struct mem *mem) { return mem->now_ms * 1000; }

/* -- declaring ----------------------------------------------------------------------------------------------------- */

static struct mem_settings *settings_new(struct mem *mem, struct sk_str name) {
  struct mem_settings *settings = calloc(1, sizeof *settings + name.n);
  if (settings == NULL) return NULL;
  memcpy(settings->bytes, name.p, name.n);
  HASH_ADD_KEYPTR(hh, mem->settings, settings->bytes, name.n, settings);
  if (settings->hh.tbl != NULL) return settings;
  free(settings);
  return NULL;
}

static void settings_free(struct mem *mem, struct mem_settings *settings) {
  HASH_DEL(mem->settings, settings);
  sk_buf_fini(&settings->owners);
  free(settings);
}

bool sk_mem_configure(struct mem *mem, const struct sk_queue_settings *item) {
  struct mem_settings *settings = sk_mem_settings_find(mem, item->name);
  struct mem_queue *queue = sk_mem_queue_find(mem, item->name);
  if (!sk_queue_settings_any(item)) {
    if (queue != NULL) queue->settings = NULL;
    if (settings != NULL) settings_free(mem, settings);
    return true;
  }
  if (settings == NULL) settings = settings_new(mem, item->name);
  if (settings == NULL) return false;
  settings->item = *item;
  settings->item.name = sk_str(settings->bytes, item->name.n);
  settings->item.limit.group = sk_str(NULL, 0);
  settings->item.limit.strict = false;
  if (queue != NULL) queue->settings = settings;
  return true;
}

void sk_mem_settings_free(struct mem *mem) {
  struct mem_settings *settings, *next;
  HASH_ITER(hh, mem->settings, settings, next) { settings_free(mem, settings); }
}

static bool configures_queue(const struct sk_declare_op *op, struct sk_str queue) {
  for (size_t i = 0; i < op->queues_n; i++)
    if (sk_str_eq(op->queues[i].name, queue)) return sk_queue_settings_any(&op->queues[i]);
  return false;
}

/* Settings without an owner were declared by a client, or with no owner named. */
static bool is_owned(const struct mem_settings *settings) { return settings->owners.n > 0; }

bool sk_mem_settings_own(struct mem *mem, const struct sk_declare_op *op) {
  struct mem_settings *settings, *next;
  HASH_ITER(hh, mem->settings, settings, next) {
    bool declares =
        op->renew ? sk_owners_has(sk_buf_str(&settings->owners), op->owner) : configures_queue(op, settings->item.name);
    if (!declares && !is_owned(settings)) continue;
    struct sk_buf owners = { 0 };
    sk_owners_update(sk_buf_str(&settings->owners), op->owner, declares, mem->now_ms, &owners);
    if (owners.failed) return false;
    sk_buf_fini(&settings->owners);
    settings->owners = owners;
    if (!is_owned(settings)) sk_mem_configure(mem, &(struct sk_queue_settings){ .name = settings->item.name });
  }
  return true;
}

/* -- what it means for the queue ----------------------------------------------------------------------------------- */

bool sk_mem_is_full(const struct mem_queue *queue) {
  if (queue->settings == NULL || queue->settings->item.max_len == 0) return false;
  return sk_states_waiting(queue->states) >= queue->settings->item.max_len;
}

static bool has_slot(const struct mem_queue *queue) {
  return queue->settings->item.limit.concurrency == 0 ||
         queue->states[SK_STATE_RUNNING] < queue->settings->item.limit.concurrency;
}

enum sk_blocked_by sk_mem_queue_blocked_by(const struct mem *mem, const struct mem_queue *queue) {
  const struct mem_settings *settings = queue->settings;
  if (settings == NULL) return SK_BLOCKED_BY_NOTHING;
  if (!has_slot(queue)) return SK_BLOCKED_BY_CONCURRENCY;
  return sk_limit_wait_us(&settings->item.limit, settings->full_us, now_us(mem)) > 0 ? SK_BLOCKED_BY_RATE
                                                                                     : SK_BLOCKED_BY_NOTHING;
}

void sk_mem_queue_taken(const struct mem *mem, struct mem_queue *queue) {
  struct mem_settings *settings = queue->settings;
  if (settings != NULL) settings->full_us = sk_limit_take(&settings->item.limit, settings->full_us, now_us(mem));
}

int64_t sk_mem_token_in_ms(const struct mem *mem, const struct mem_queue *queue) {
  if (queue->settings == NULL && queue->tokens.n == 0) return -1;
  int64_t own_us = 0;
  if (queue->settings != NULL) {
    if (!has_slot(queue)) return -1;
    own_us = sk_limit_wait_us(&queue->settings->item.limit, queue->settings->full_us, now_us(mem));
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
  if (wait_us <= 0) return 1; /* the token is there, but this fetch has opened as many groups as it may */
  return wait_us / 1000 + (wait_us % 1000 != 0);
}
