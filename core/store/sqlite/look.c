/* look.c - tasks of the sqlite store, and the views of jobs that walk.c lists.  In a reading transaction. */
#include "store/check.h"
#include "store/sqlite/sqlite.h"

/* -- views --------------------------------------------------------------------------------------------------------- */

static enum sk_code find_holder(struct sq_db *db, struct sk_arena *arena, int64_t hold, struct sk_str *engine) {
  enum sk_code code = SK_OK;
  sqlite3_stmt *st = sk_sq(db, SQL_HOLDER);
  sk_sq_int(st, 1, (int64_t)sk_sq_fence(hold));
  if (sk_sq_next(db, SQL_HOLDER, &code)) {
    *engine = sk_arena_copy(arena, sk_sq_column(st, 0));
    if (engine->p == NULL) code = sk_sq_no_memory(db);
  }
  sk_sq_reset(db, SQL_HOLDER);
  return code;
}

enum sk_code sk_sq_view(struct sq_db *db, struct sk_arena *arena, const struct sq_row *row, const struct sq_text *text,
                        struct sk_view *view) {
  struct sq_queue *queue;
  enum sk_code code = sk_sq_queue_of(db, row->q, &queue);
  if (code != SK_OK) return code;
  enum sk_state state = sk_sq_state(row->state);
  bool waits = state == SK_STATE_SCHEDULED || state == SK_STATE_RETRY;
  *view = (struct sk_view){
    .id = text->id,
    .queue = sk_arena_copy(arena, queue->name),
    .record = text->record,
    .progress_text = text->progress_text,
    .log = state == SK_STATE_RUNNING ? text->log : sk_str("", 0),
    .state = state,
    .stopping = row->flags & SQ_FLAG_STOP,
    .priority = sk_sq_priority(row->rank),
    .due_ms = waits ? row->due : 0,
    .running_since_ms = state == SK_STATE_RUNNING ? row->running_since_ms : 0,
    .percent = text->percent,
  };
  if (view->queue.p == NULL) return sk_sq_no_memory(db);
  return state == SK_STATE_RUNNING ? find_holder(db, arena, row->hold, &view->engine) : SK_OK;
}

/* Of a READY job: what keeps it from being taken, besides those before it. */
enum sk_code sk_sq_find_hindrance(struct sq_db *db, const struct sq_row *row, enum sk_blocked_by *blocked_by) {
  struct sq_queue *queue;
  struct sq_group group = { .g = 0 };
  int64_t now_us = sk_sq_now_us(db);
  enum sk_code code = sk_sq_queue_of(db, row->q, &queue);
  if (code == SK_OK && sk_sq_needs_slot(row)) code = sk_sq_group_load(db, sk_sq_group(row), &group);
  if (code != SK_OK) return code;
  if (sk_sq_queue_is_full(queue) || (group.limit.concurrency > 0 && group.slots >= group.limit.concurrency))
    *blocked_by = SK_BLOCKED_BY_CONCURRENCY;
  else if (sk_limit_wait_us(&queue->settings.limit, queue->full_us, now_us) > 0 ||
           sk_limit_wait_us(&group.limit, group.full_us, now_us) > 0)
    *blocked_by = SK_BLOCKED_BY_RATE;
  return SK_OK;
}

/* -- tasks --------------------------------------------------------------------------------------------------------- */

enum sk_code sk_sq_tasks(struct sq_db *db, struct sk_tasks_op *op) {
  enum sk_code code = SK_OK;
  size_t n = 0;
  while (sk_sq_next(db, SQL_TASKS, &code)) n++;
  if (code != SK_OK) return code;
  op->items_n = 0;
  op->moves = 0;
  op->items = sk_arena_array(&op->op.arena, n, sizeof *op->items);
  if (op->items == NULL) return sk_sq_no_memory(db);
  sqlite3_stmt *st = sk_sq(db, SQL_TASKS);
  while (code == SK_OK && op->items_n < n && sk_sq_next(db, SQL_TASKS, &code)) {
    struct sk_task_item *item = &op->items[op->items_n++];
    item->name = sk_arena_copy(&op->op.arena, sk_sq_column(st, 0));
    item->queue = sk_arena_copy(&op->op.arena, sk_sq_column(st, 1));
    item->priority = sqlite3_column_int(st, 2);
    item->template = sk_arena_copy(&op->op.arena, sk_sq_column(st, 3));
    if (item->name.p == NULL || item->queue.p == NULL || item->template.p == NULL) code = sk_sq_no_memory(db);
  }
  sk_sq_reset(db, SQL_TASKS);
  return code == SK_OK ? sk_sq_settings_list(db, op) : code;
}
