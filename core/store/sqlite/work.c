/* work.c - enqueue, settle and progress of the sqlite store (fetch: fetch.c).  In a write transaction. */
#include "logic/record.h"
#include "store/sqlite/sqlite.h"

/* -- enqueue ------------------------------------------------------------------------------------------------------- */

/* Inserts row; *exists says whether another job has its id. */
static enum sk_code insert(struct sq_db *db, const struct sq_row *row, const struct sk_enqueue_item *item,
                           bool *exists) {
  bool later = row->state != SQ_LINE || row->flags;
  enum sq_stmt which = row->flags ? SQL_JOB_ADD : later ? SQL_JOB_ADD_LATER : SQL_JOB_ADD_LINE;
  *exists = false;
  struct sk_str record = sk_record_stamp(item->record, db->now_ms, &db->stamped);
  if (record.p == NULL && item->record.n > 0) return sk_sq_no_memory(db);
  sqlite3_stmt *st = sk_sq(db, which);
  sk_sq_int(st, 1, row->n);
  sk_sq_text(st, 2, item->id);
  sk_sq_int(st, 3, row->q);
  sk_sq_int(st, 4, row->rank);
  sk_sq_text(st, 5, item->task);
  sk_sq_blob(st, 6, record);
  if (later) {
    sk_sq_int(st, 7, row->due);
    sk_sq_int(st, 8, row->ord);
  }
  if (row->flags) {
    sk_sq_int(st, 9, row->state);
    sk_sq_int(st, 10, row->flags);
  }
  int rc = sqlite3_step(st);
  *exists = rc != SQLITE_DONE && sqlite3_extended_errcode(db->db) == SQLITE_CONSTRAINT_UNIQUE;
  enum sk_code code = rc == SQLITE_DONE || *exists ? SK_OK : sk_sq_fail(db);
  sqlite3_reset(st);
  return code;
}

/* Takes the lock of an admitted job and names its group. */
static enum sk_code join(struct sq_db *db, const struct sk_enqueue_item *item, int64_t *more) {
  enum sk_code code = SK_OK;
  int64_t g = 0;
  if (item->lock.mode != SK_LOCK_NONE) code = sk_sq_lock_take(db, item);
  if (code == SK_OK && item->limit.group.n) code = sk_sq_group_join(db, item, &g);
  *more = g << SQ_FLAG_BITS | (item->lock.mode != SK_LOCK_NONE ? SQ_FLAG_LOCK : 0);
  return code;
}

/* Inserts the job into queue, where its times and its group want it; item->status says whether its id was there. */
static enum sk_code add_to(struct sq_db *db, struct sq_queue *queue, struct sk_enqueue_item *item, int64_t more) {
  int64_t due = item->delay_ms > 0 ? sk_sq_later(db->now_ms, item->delay_ms) : item->due_ms;
  bool later = due > db->now_ms, member = !later && more >> SQ_FLAG_BITS, exists;
  int64_t rank = sk_sq_rank(item->priority), lane = later || member ? SQ_LANE_APART : rank;
  struct sq_row row = {
    .n = sk_sq_number(queue->q, lane, queue->tail[lane]),
    .state = later    ? (int64_t)SK_STATE_SCHEDULED
             : member ? SQ_MEMBER
                      : SQ_LINE,
    .q = queue->q,
    .rank = rank,
    .due = later ? due : 0,
    .ord = later ? db->head.seq + 1 : queue->tail[rank],
    .flags = more,
  };
  enum sk_code code = insert(db, &row, item, &exists);
  if (code != SK_OK) return code;
  item->status = exists ? SK_EEXISTS : SK_OK;
  if (exists) return SK_OK;
  queue->tail[lane]++;
  if (member) queue->tail[rank]++;
  struct sq_head *head = sk_sq_head(db);
  head->counters.enqueued++;
  if (later) head->seq++;
  db->notify = true;
  return sk_sq_enter(db, &row);
}

/* Adds one job, or says in its status why not.  follow: a queue's length is no matter to it. */
static enum sk_code add(struct sq_db *db, struct sk_arena *arena, struct sk_enqueue_item *item, bool follow) {
  struct sq_queue *queue;
  int64_t more = 0;
  item->holder = sk_str(NULL, 0);
  enum sk_code code = sk_sq_queue(db, item->queue, true, &queue);
  if (code == SK_ELIMIT) {
    item->status = SK_ELIMIT;
    return SK_OK;
  }
  bool has_more = item->lock.mode != SK_LOCK_NONE || item->limit.group.n;
  if (code == SK_OK && (has_more || queue->settings.max_len > 0)) {
    code = sk_sq_admit(db, arena, queue, item, follow);
    if (code != SK_OK || item->status != SK_OK) return code;
    if (has_more) code = join(db, item, &more);
  }
  return code == SK_OK ? add_to(db, queue, item, more) : code;
}

static enum sk_code add_all(struct sq_db *db, struct sk_arena *arena, struct sk_enqueue_item *items, size_t n,
                            bool follow) {
  enum sk_code code = SK_OK;
  for (size_t i = 0; code == SK_OK && i < n; i++) code = add(db, arena, &items[i], follow);
  return code;
}

enum sk_code sk_sq_enqueue(struct sq_db *db, struct sk_enqueue_op *op) {
  return add_all(db, &op->op.arena, op->items, op->items_n, false);
}

/* -- settle -------------------------------------------------------------------------------------------------------- */

/* The row of a job, if it is held under that fence. */
static enum sk_code load_held(struct sq_db *db, struct sk_str id, uint64_t fence, struct sq_row *row, bool *held) {
  enum sk_code code = sk_sq_load_id(db, id, row, NULL, NULL, held);
  *held = *held && code == SK_OK && row->state == SK_STATE_RUNNING && sk_sq_fence(row->hold) == fence;
  return code;
}

/* The same for a job that has more than its row, which goes with it. */
static enum sk_code settle_deleted_flagged(struct sq_db *db, struct sk_settle_item *item, int64_t q) {
  struct sq_row row;
  bool held;
  enum sk_code code = load_held(db, item->id, item->fence, &row, &held);
  if (code != SK_OK || !held || row.q != q) return code;
  item->status = SK_OK;
  return sk_sq_delete(db, &row);
}

/* The job goes, if it is held as the item says: one statement for one that has nothing but its row. */
static enum sk_code settle_deleted(struct sq_db *db, struct sk_settle_item *item) {
  struct sq_queue *queue;
  enum sk_code code = sk_sq_queue(db, item->queue, false, &queue);
  if (code != SK_OK || queue == NULL) return code;
  bool found;
  code = sk_sq_delete_running(db, queue, item->id, item->fence, &found);
  if (code != SK_OK) return code;
  if (!found) return settle_deleted_flagged(db, item, queue->q);
  item->status = SK_OK;
  return SK_OK;
}

/* What becomes of a running job that stays in the store. */
static enum sk_code apply(struct sq_db *db, const struct sk_settle_item *item, struct sq_row *row) {
  int64_t until = sk_sq_later(db->now_ms, item->keep_ms > 0 ? item->keep_ms : 0);
  int64_t due = sk_sq_later(db->now_ms, item->delay_ms > 0 ? item->delay_ms : 0);
  struct sq_queue *queue;
  enum sk_code code;
  switch (item->kind) {
  case SK_SETTLE_DONE: return sk_sq_move_ended(db, row, SK_STATE_DONE, until, item->record);
  case SK_SETTLE_CANCELLED: return sk_sq_move_ended(db, row, SK_STATE_CANCELLED, until, item->record);
  case SK_SETTLE_DEAD: return sk_sq_move_ended(db, row, SK_STATE_DEAD, 0, item->record);
  case SK_SETTLE_RETRY:
  case SK_SETTLE_SNOOZE:
    code = item->to_queue.n ? sk_sq_queue(db, item->to_queue, true, &queue) : sk_sq_queue_of(db, row->q, &queue);
    if (code == SK_ELIMIT) code = sk_sq_queue_of(db, row->q, &queue); /* better in its own queue than nowhere */
    if (code == SK_OK) code = sk_sq_group_wait(db, row);
    if (code != SK_OK) return code;
    return sk_sq_move_later(db, row, queue->q, item->kind == SK_SETTLE_RETRY ? SK_STATE_RETRY : SK_STATE_SCHEDULED, due,
                            &item->record);
  case SK_SETTLE_RELEASE:
  case SK_SETTLE_DROP: break;
  }
  return sk_sq_return(db, row, item->record.n ? &item->record : NULL);
}

static enum sk_code settle_kept(struct sq_db *db, struct sk_settle_item *item) {
  struct sq_row row;
  bool held;
  enum sk_code code = load_held(db, item->id, item->fence, &row, &held);
  if (code != SK_OK || !held) return code;
  bool stopping = row.flags & SQ_FLAG_STOP;
  item->status = stopping && sk_settle_refused_when_stopping(item->kind) ? SK_ESTATE : SK_OK;
  return item->status == SK_OK ? apply(db, item, &row) : SK_OK;
}

static enum sk_code settle_one(struct sq_db *db, struct sk_arena *arena, struct sk_settle_item *item) {
  item->status = SK_ESTALE;
  if (sk_sq_hold_find(db, item->fence) == NULL) return SK_OK; /* another's fence, or one that was lost */
  enum sk_code code = sk_settle_deletes(item->kind, item->keep_ms) ? settle_deleted(db, item) : settle_kept(db, item);
  if (code != SK_OK || item->status != SK_OK) return code;
  db->notify = true;
  sk_settle_count(&sk_sq_head(db)->counters, item->kind, item->crashed);
  return add_all(db, arena, item->callbacks, item->callbacks_n, true);
}

enum sk_code sk_sq_settle(struct sq_db *db, struct sk_settle_op *op) {
  enum sk_code code = sk_sq_check_self(db);
  for (size_t i = 0; code == SK_OK && i < op->items_n; i++) code = settle_one(db, &op->op.arena, &op->items[i]);
  return code;
}

void sk_sq_settle_done(struct sq_db *db, struct sk_settle_op *op) {
  for (size_t i = 0; i < op->items_n; i++)
    if (op->items[i].status == SK_OK) sk_sq_hold_settled(db, op->items[i].fence);
}

/* -- progress ------------------------------------------------------------------------------------------------------ */

static enum sk_code say(struct sq_db *db, const struct sk_progress_item *item) {
  struct sq_row row;
  bool held;
  if (sk_sq_hold_find(db, item->fence) == NULL) return SK_OK;
  enum sk_code code = load_held(db, item->id, item->fence, &row, &held);
  if (code != SK_OK || !held) return code;
  sqlite3_stmt *st = sk_sq(db, SQL_PROGRESS_SAVE);
  sk_sq_text(st, 1, item->id);
  sk_sq_int(st, 2, item->percent);
  sk_sq_text(st, 3, sk_str_head(item->progress_text, SK_PROGRESS_BYTES_MAX));
  sk_sq_text(st, 4, sk_str_head(item->log, SK_JOB_LOG_BYTES_MAX));
  code = sk_sq_run(db, SQL_PROGRESS_SAVE);
  if (code != SK_OK || row.flags & SQ_FLAG_PROGRESS) return code;
  sk_sq_int(sk_sq(db, SQL_JOB_FLAGS), 1, row.n);
  sk_sq_int(sk_sq(db, SQL_JOB_FLAGS), 2, row.flags | SQ_FLAG_PROGRESS);
  return sk_sq_run(db, SQL_JOB_FLAGS);
}

enum sk_code sk_sq_progress(struct sq_db *db, struct sk_progress_op *op) {
  enum sk_code code = sk_sq_check_self(db);
  for (size_t i = 0; code == SK_OK && i < op->items_n; i++) code = say(db, &op->items[i]);
  return code;
}
