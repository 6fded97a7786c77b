/* change.c - changes by hand in the sqlite store (cancel, delete, retry, promote, pause, resume), declare, and the
 * deletion of records, locks and groups whose time is over.  In a write transaction. */
#include "logic/record.h"
#include "store/sqlite/sqlite.h"

/* -- change -------------------------------------------------------------------------------------------------------- */

static void set_finished(struct sk_job *job, int64_t now_ms) { job->finished_ms = now_ms; }

static enum sk_code cancel(struct sq_db *db, struct sq_row *row, struct sk_arena *arena, struct sk_str record,
                           int64_t keep_ms) {
  sk_sq_head(db)->counters.cancelled++;
  if (keep_ms <= 0) return sk_sq_delete(db, row);
  struct sk_str edited = sk_sq_edit(arena, record, set_finished, db->now_ms);
  if (edited.p == NULL) return sk_sq_no_memory(db);
  return sk_sq_move_ended(db, row, SK_STATE_CANCELLED, sk_sq_later(db->now_ms, keep_ms), edited);
}

static enum sk_code retry(struct sq_db *db, struct sq_row *row, struct sk_arena *arena, struct sk_str record) {
  bool ended = row->state != SK_STATE_RETRY;
  record = sk_sq_edit(arena, record, ended ? sk_job_start_anew : sk_job_move_times, db->now_ms);
  if (record.p == NULL) return sk_sq_no_memory(db);
  return sk_sq_move_last(db, row, record);
}

static enum sk_code apply(struct sq_db *db, const struct sk_change_op *op, struct sq_row *row, struct sk_arena *arena,
                          const struct sq_text *text) {
  db->notify = true;
  switch (op->verb) {
  case SK_VERB_CANCEL:
    if (row->state == SK_STATE_RUNNING) return sk_sq_stop(db, row, text->id);
    return cancel(db, row, arena, text->record, op->keep_ms);
  case SK_VERB_RETRY: return retry(db, row, arena, text->record);
  case SK_VERB_PROMOTE: return sk_sq_move_later(db, row, row->q, sk_sq_state(row->state), db->now_ms, NULL);
  case SK_VERB_DELETE: break;
  }
  return sk_sq_delete(db, row);
}

static enum sk_code change_id(struct sq_db *db, struct sk_change_op *op, struct sk_str id, enum sk_code *status) {
  struct sk_arena arena = { 0 };
  struct sq_row row;
  struct sq_text text;
  bool found;
  enum sk_code code = sk_sq_load_id(db, id, &row, &arena, &text, &found);
  *status = !found ? SK_ENOTFOUND : sk_verb_takes(op->verb, sk_sq_state(row.state)) ? SK_OK : SK_ESTATE;
  if (code == SK_OK && *status == SK_OK) code = apply(db, op, &row, &arena, &text);
  sk_arena_fini(&arena);
  return code;
}

enum sk_code sk_sq_change_ids(struct sq_db *db, struct sk_change_op *op) {
  op->changed = 0;
  op->statuses = sk_arena_array(&op->op.arena, op->ids_n, sizeof *op->statuses);
  if (op->statuses == NULL) return sk_sq_no_memory(db);
  enum sk_code code = SK_OK;
  for (size_t i = 0; code == SK_OK && i < op->ids_n; i++) {
    code = change_id(db, op, op->ids[i], &op->statuses[i]);
    if (op->statuses[i] == SK_OK) op->changed++;
  }
  return code;
}

enum sk_code sk_sq_change_number(struct sq_db *db, struct sk_change_op *op, int64_t n, size_t *changed) {
  struct sk_arena arena = { 0 };
  const struct sk_filter *filter = &op->filter;
  struct sq_row row;
  struct sq_text text;
  struct sq_queue *queue;
  bool found;
  enum sk_code code = sk_sq_load(db, n, &row, &arena, &text, &found);
  if (code == SK_OK && found) code = sk_sq_queue_of(db, row.q, &queue);
  /* Others had their turn since it was found: look again. */
  bool matches = code == SK_OK && found && sk_verb_takes(op->verb, sk_sq_state(row.state)) &&
                 (filter->state == SK_STATE_NONE || filter->state == sk_sq_state(row.state)) &&
                 (filter->queue.n == 0 || sk_str_eq(filter->queue, queue->name)) &&
                 (filter->task.n == 0 || sk_str_eq(filter->task, text.task));
  if (matches) {
    code = apply(db, op, &row, &arena, &text);
    ++*changed;
  }
  sk_arena_fini(&arena);
  return code;
}

/* -- pause, declare, expire ---------------------------------------------------------------------------------------- */

enum sk_code sk_sq_pause(struct sq_db *db, struct sk_pause_op *op) {
  struct sq_queue *queue;
  enum sk_code code = sk_sq_queue(db, op->queue, true, &queue);
  if (code != SK_OK || queue->paused == op->paused) return code;
  queue->paused = op->paused;
  sk_sq_dirty(db, queue);
  sk_sq_head(db)->queues_version++;
  db->notify = true;
  return SK_OK;
}

static struct sk_str limit_of(struct sk_str template) {
  struct sk_job job;
  if (sk_record_decode(template, &job, NULL) != SK_OK) sk_job_init(&job);
  return sk_limit_numbers(job.limit);
}

/* A task that is declared with another limit than before: what waits is to have it. */
static enum sk_code note_limit(struct sq_db *db, const struct sk_task_item *item) {
  enum sk_code code = SK_OK;
  struct sk_buf past = { 0 };
  sqlite3_stmt *st = sk_sq(db, SQL_TASK_WAS);
  sk_sq_text(st, 1, item->name);
  if (sk_sq_next(db, SQL_TASK_WAS, &code)) {
    struct sk_str before = limit_of(sk_sq_column(st, 0)), now = limit_of(item->template);
    if (!sk_str_eq(before, now)) sk_limit_past_add(sk_sq_column(st, 1), before, now, &past);
  }
  sk_sq_reset(db, SQL_TASK_WAS);
  if (code == SK_OK && past.n > 0) {
    st = sk_sq(db, SQL_TASK_RENEW);
    sk_sq_text(st, 1, item->name);
    sk_sq_text(st, 2, sk_buf_str(&past));
    code = sk_sq_run(db, SQL_TASK_RENEW);
    db->expiry_due = true;
  }
  if (past.failed) code = sk_sq_no_memory(db);
  sk_buf_fini(&past);
  return code;
}

static enum sk_code declare_task(struct sq_db *db, const struct sk_task_item *item) {
  enum sk_code code = note_limit(db, item);
  sqlite3_stmt *st = sk_sq(db, SQL_TASK_SAVE);
  sk_sq_text(st, 1, item->name);
  sk_sq_text(st, 2, item->queue);
  sk_sq_int(st, 3, item->priority);
  sk_sq_blob(st, 4, item->template);
  return code == SK_OK ? sk_sq_run(db, SQL_TASK_SAVE) : code;
}

/* Those that no engine has declared for a while: they route clients no more. */
static enum sk_code forget_tasks(struct sq_db *db) {
  sk_sq_int(sk_sq(db, SQL_TASKS_FORGET), 1, db->now_ms - SK_DECLARED_KEEP_MS);
  return sk_sq_run(db, SQL_TASKS_FORGET);
}

enum sk_code sk_sq_declare(struct sq_db *db, struct sk_declare_op *op) {
  enum sk_code code = SK_OK;
  for (size_t i = 0; code == SK_OK && i < op->items_n; i++) {
    if (!op->renew) code = declare_task(db, &op->items[i]);
    sqlite3_stmt *st = sk_sq(db, SQL_TASK_SEEN);
    sk_sq_text(st, 1, op->items[i].name);
    sk_sq_int(st, 2, db->now_ms);
    if (code == SK_OK) code = sk_sq_run(db, SQL_TASK_SEEN);
  }
  if (code == SK_OK && op->owner.n > 0) code = forget_tasks(db);
  if (code == SK_OK) code = sk_sq_settings_declare(db, op);
  if (op->queues_n > 0) db->notify = true; /* what was held back may run */
  bool more = false;
  if (code == SK_OK && op->items_n > 0) code = sk_sq_groups_renew(db, &more); /* the first now, the others as chores */
  return code;
}

enum sk_code sk_sq_expire(struct sq_db *db) {
  enum { BATCH = 250 };
  int64_t ns[BATCH];
  size_t n = 0;
  int64_t bytes = 0;
  enum sk_code code = SK_OK;
  sqlite3_stmt *st = sk_sq(db, SQL_KEPT_OVER);
  sk_sq_int(st, 1, db->now_ms);
  sk_sq_int(st, 2, BATCH);
  while (n < BATCH && bytes < SK_BATCH_BYTES_MAX && sk_sq_next(db, SQL_KEPT_OVER, &code)) {
    ns[n++] = sqlite3_column_int64(st, 0);
    bytes += sqlite3_column_int64(st, 1);
  }
  sk_sq_reset(db, SQL_KEPT_OVER);
  for (size_t i = 0; code == SK_OK && i < n; i++) {
    struct sq_row row;
    bool found;
    code = sk_sq_load(db, ns[i], &row, NULL, NULL, &found);
    if (code == SK_OK && found) code = sk_sq_delete(db, &row);
  }
  int64_t locks = 0, groups = 0;
  bool renewed = false;
  if (code == SK_OK) code = sk_sq_groups_renew(db, &renewed);
  if (code == SK_OK) code = sk_sq_locks_expire(db, BATCH, &locks);
  if (code == SK_OK) code = sk_sq_groups_expire(db, BATCH, &groups);
  db->expiry_due = n == BATCH || bytes >= SK_BATCH_BYTES_MAX || locks == BATCH || groups == BATCH || renewed;
  return code;
}
