/* queue_settings.c - the settings of queues in the sqlite store: max_len, what happens when a queue is full, and its
 * limit.
 *
 * Settings are kept by the queue's name, because a queue may be declared before it has a row.  They are read together
 * with the queue's row.  Only declare writes them, except for the time at which the bucket is full: the commit writes
 * that time with the queue's row. */
#include "logic/owners.h"
#include "store/sqlite/sqlite.h"

static enum sk_code declare(struct sq_db *db, const struct sk_queue_settings *item) {
  bool none = !sk_queue_settings_any(item);
  enum sq_stmt which = none ? SQL_SETTINGS_DELETE : SQL_SETTINGS_SAVE;
  sqlite3_stmt *st = sk_sq(db, which);
  sk_sq_text(st, 1, item->name);
  for (size_t i = 0; !none && i < SK_QUEUE_SETTINGS; i++) sk_sq_int(st, (int)i + 2, sk_queue_settings_get(item, i));
  enum sk_code code = sk_sq_run(db, which);
  struct sq_queue *queue;
  if (code == SK_OK) code = sk_sq_queue(db, item->name, false, &queue);
  if (code != SK_OK || queue == NULL) return code;
  for (size_t i = 0; i < SK_QUEUE_SETTINGS; i++)
    sk_queue_settings_set(&queue->settings, i, sk_queue_settings_get(item, i));
  if (none) queue->full_us = 0;
  return SK_OK;
}

/* -- owners -------------------------------------------------------------------------------------------------------- */

static bool binds_queue(const struct sk_declare_op *op, struct sk_str queue) {
  for (size_t i = 0; i < op->queues_n; i++)
    if (sk_str_eq(op->queues[i].name, queue)) return sk_queue_settings_any(&op->queues[i]);
  return false;
}

static enum sk_code has_owners(struct sq_db *db, struct sk_str queue, bool *has) {
  enum sk_code code = SK_OK;
  sk_sq_text(sk_sq(db, SQL_SETTINGS_OWNERS_OF), 1, queue);
  *has = sk_sq_next(db, SQL_SETTINGS_OWNERS_OF, &code) && sk_sq_column(sk_sq(db, SQL_SETTINGS_OWNERS_OF), 0).n > 0;
  sk_sq_reset(db, SQL_SETTINGS_OWNERS_OF);
  return code;
}

/* Notes the owners of a queue that is bound; it is bound no more when it has none. */
static enum sk_code own_one(struct sq_db *db, const struct sk_declare_op *op, struct sk_str queue,
                            struct sk_str owners) {
  struct sk_buf now = { 0 };
  bool declares = op->renew ? sk_owners_has(owners, op->owner) : binds_queue(op, queue);
  if (!declares && owners.n == 0) return SK_OK; /* nobody's: it was bound before there were owners, or without one */
  sk_owners_update(owners, op->owner, declares, db->now_ms, &now);
  sqlite3_stmt *st = sk_sq(db, SQL_SETTINGS_OWNERS_SAVE);
  sk_sq_text(st, 1, queue);
  sk_sq_text(st, 2, sk_buf_str(&now));
  enum sk_code code = now.failed ? sk_sq_no_memory(db) : sk_sq_run(db, SQL_SETTINGS_OWNERS_SAVE);
  if (code == SK_OK && now.n == 0) {
    code = declare(db, &(struct sk_queue_settings){ .name = queue });
    db->notify = true; /* what was held back may run */
  }
  sk_buf_fini(&now);
  return code;
}

static enum sk_code own(struct sq_db *db, const struct sk_declare_op *op) {
  struct sk_arena arena = { 0 };
  struct bound_of {
    struct sk_str queue, owners;
    struct bound_of *next;
  } *all = NULL;
  enum sk_code code = SK_OK;
  sqlite3_stmt *st = sk_sq(db, SQL_SETTINGS_OWNERS);
  while (code == SK_OK && sk_sq_next(db, SQL_SETTINGS_OWNERS, &code)) {
    struct bound_of *one = sk_arena_array(&arena, 1, sizeof *one);
    if (one != NULL) {
      *one = (struct bound_of){ sk_arena_copy(&arena, sk_sq_column(st, 0)), sk_arena_copy(&arena, sk_sq_column(st, 1)),
                                all };
      all = one;
    }
    if (one == NULL || one->queue.p == NULL || one->owners.p == NULL) code = sk_sq_no_memory(db);
  }
  sk_sq_reset(db, SQL_SETTINGS_OWNERS);
  for (; code == SK_OK && all != NULL; all = all->next) code = own_one(db, op, all->queue, all->owners);
  sk_arena_fini(&arena);
  return code;
}

enum sk_code sk_sq_settings_declare(struct sq_db *db, struct sk_declare_op *op) {
  enum sk_code code = SK_OK;
  for (size_t i = 0; code == SK_OK && !op->renew && i < op->queues_n; i++) {
    bool owned = false;
    if (op->owner.n > 0 && !sk_queue_settings_any(&op->queues[i])) code = has_owners(db, op->queues[i].name, &owned);
    if (code == SK_OK && !owned) code = declare(db, &op->queues[i]); /* else its owners decide */
  }
  return code == SK_OK && op->owner.n > 0 ? own(db, op) : code;
}

enum sk_code sk_sq_settings_list(struct sq_db *db, struct sk_tasks_op *op) {
  enum sk_code code = SK_OK;
  size_t n = 0;
  while (sk_sq_next(db, SQL_SETTINGS, &code)) n++;
  if (code != SK_OK) return code;
  op->queues_n = 0;
  op->queues = sk_arena_array(&op->op.arena, n, sizeof *op->queues);
  if (op->queues == NULL) return sk_sq_no_memory(db);
  sqlite3_stmt *st = sk_sq(db, SQL_SETTINGS);
  while (code == SK_OK && op->queues_n < n && sk_sq_next(db, SQL_SETTINGS, &code)) {
    struct sk_queue_settings *item = &op->queues[op->queues_n++];
    *item = (struct sk_queue_settings){ .name = sk_arena_copy(&op->op.arena, sk_sq_column(st, 0)) };
    sk_sq_settings_read(st, 1, item);
    if (item->name.p == NULL) code = sk_sq_no_memory(db);
  }
  sk_sq_reset(db, SQL_SETTINGS);
  return code;
}

size_t sk_sq_settings_allows(const struct sq_db *db, const struct sq_queue *queue, size_t want) {
  const struct sk_limit *limit = &queue->settings.limit;
  if (limit->concurrency > 0) {
    int64_t room = limit->concurrency - queue->states[SK_STATE_RUNNING];
    if (room < (int64_t)want) want = room > 0 ? (size_t)room : 0;
  }
  if (limit->rate == 0) return want;
  int64_t now_us = sk_sq_now_us(db), full_us = queue->full_us;
  size_t n = 0;
  for (; n < want && sk_limit_wait_us(limit, full_us, now_us) == 0; n++)
    full_us = sk_limit_take(limit, full_us, now_us);
  return n;
}

void sk_sq_settings_clamp(struct sq_db *db, struct sq_queue *queue) {
  int64_t full_us = sk_limit_clamp(&queue->settings.limit, queue->full_us, sk_sq_now_us(db));
  if (full_us == queue->full_us) return;
  queue->full_us = full_us;
  sk_sq_dirty(db, queue);
}

void sk_sq_settings_took(struct sq_db *db, struct sq_queue *queue, size_t n) {
  if (queue->settings.limit.rate == 0) return;
  for (size_t i = 0; i < n; i++)
    queue->full_us = sk_limit_take(&queue->settings.limit, queue->full_us, sk_sq_now_us(db));
  sk_sq_dirty(db, queue);
}
