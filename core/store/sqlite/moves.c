/* moves.c - each change of a job's state in the sqlite store.
 *
 * A job that is in the store is in the one side table that its state has (sqlite.h), and is counted once in its queue's
 * row.  All functions here keep that, and no other file changes a job's state, number or queue, or adds to those
 * counts. */
#include "store/sqlite/sqlite.h"

/* -- between states ------------------------------------------------------------------------------------------------ */

static enum sk_code place_slot(struct sq_db *db, const struct sq_row *row, bool add) {
  enum sq_stmt which = add ? SQL_SLOT_KEPT_ADD : SQL_SLOT_KEPT_DELETE;
  sk_sq_int(sk_sq(db, which), 1, sk_sq_group(row));
  sk_sq_int(sk_sq(db, which), 2, row->n);
  return sk_sq_run(db, which);
}

/* Adds the row to the side table of its state, or takes it out. */
static enum sk_code place(struct sq_db *db, const struct sq_row *row, bool add) {
  enum sq_stmt which;
  enum sk_code code;
  sqlite3_stmt *st;
  switch (row->state) {
  case SQ_FRONT:
    which = add ? SQL_FRONT_ADD : SQL_FRONT_DELETE;
    st = sk_sq(db, which);
    sk_sq_int(st, 1, row->q);
    sk_sq_int(st, 2, row->rank);
    sk_sq_int(st, 3, row->due ? row->due : SQ_NEVER);
    sk_sq_int(st, 4, row->ord);
    sk_sq_int(st, 5, row->n);
    return sk_sq_run(db, which);
  case SQ_MEMBER: return sk_sq_member_place(db, row, add);
  case SK_STATE_SCHEDULED:
  case SK_STATE_RETRY:
    which = add ? SQL_LATER_ADD : SQL_LATER_DELETE;
    st = sk_sq(db, which);
    sk_sq_int(st, 1, row->q);
    sk_sq_int(st, 2, row->due);
    sk_sq_int(st, 3, row->ord);
    sk_sq_int(st, 4, row->n);
    code = sk_sq_run(db, which);
    return code == SK_OK && row->flags & SQ_FLAG_SLOT ? place_slot(db, row, add) : code;
  case SK_STATE_DONE:
  case SK_STATE_DEAD:
  case SK_STATE_CANCELLED:
    which = add ? SQL_ENDED_ADD : SQL_ENDED_DELETE;
    st = sk_sq(db, which);
    sk_sq_int(st, 1, row->state);
    sk_sq_int(st, 2, row->ord);
    sk_sq_int(st, 3, row->n);
    return sk_sq_run(db, which);
  default: return SK_OK; /* in line, running */
  }
}

static enum sk_code place_kept(struct sq_db *db, const struct sq_row *row, bool add) {
  if (row->keep_until == 0 || !sk_state_is_final(sk_sq_state(row->state))) return SK_OK;
  enum sq_stmt which = add ? SQL_KEPT_ADD : SQL_KEPT_DELETE;
  sk_sq_int(sk_sq(db, which), 1, row->keep_until);
  sk_sq_int(sk_sq(db, which), 2, row->n);
  return sk_sq_run(db, which);
}

static enum sk_code move(struct sq_db *db, const struct sq_row *row, bool enter) {
  struct sq_queue *queue;
  enum sk_code code = sk_sq_queue_of(db, row->q, &queue);
  if (code == SK_OK) code = place(db, row, enter);
  if (code == SK_OK) code = place_kept(db, row, enter);
  if (code != SK_OK) return code;
  queue->states[sk_sq_state(row->state)] += enter ? 1 : -1;
  if (row->state == SQ_FRONT) queue->front += enter ? 1 : -1;
  if (row->state == SQ_MEMBER) queue->members += enter ? 1 : -1;
  sk_sq_dirty(db, queue);
  return SK_OK;
}

enum sk_code sk_sq_leave(struct sq_db *db, const struct sq_row *row) { return move(db, row, false); }
enum sk_code sk_sq_enter(struct sq_db *db, const struct sq_row *row) { return move(db, row, true); }

/* A place in line that is not passed yet, or else the front, all of which stands before the line. */
enum sk_code sk_sq_return(struct sq_db *db, struct sq_row *row, const struct sk_str *record) {
  struct sq_queue *queue;
  enum sk_code code = sk_sq_leave(db, row);
  if (code == SK_OK) code = sk_sq_queue_of(db, row->q, &queue);
  if (code != SK_OK) return code;
  row->state = SQ_FRONT;
  if (row->due == 0 && row->ord >= queue->head[row->rank]) {
    int64_t old = row->n;
    row->state = SQ_LINE;
    row->n = sk_sq_number(row->q, row->rank, row->ord);
    sk_sq_int(sk_sq(db, SQL_JOB_MOVE), 1, old);
    sk_sq_int(sk_sq(db, SQL_JOB_MOVE), 2, row->n);
    code = sk_sq_run(db, SQL_JOB_MOVE);
  }
  if (code == SK_OK) code = sk_sq_enter(db, row);
  return code == SK_OK ? sk_sq_save(db, row, record) : code;
}

enum sk_code sk_sq_move_last(struct sq_db *db, struct sq_row *row, struct sk_str record) {
  struct sq_queue *queue;
  enum sk_code code = sk_sq_leave(db, row);
  if (code == SK_OK) code = sk_sq_queue_of(db, row->q, &queue);
  if (code == SK_OK) code = sk_sq_progress_forget(db, row);
  if (code != SK_OK) return code;
  int64_t old = row->n;
  row->state = sk_sq_needs_slot(row) ? SQ_MEMBER : SQ_LINE;
  row->due = 0;
  row->ord = queue->tail[row->rank]++;
  row->n = row->state == SQ_LINE ? sk_sq_number(row->q, row->rank, row->ord)
                                 : sk_sq_number(row->q, SQ_LANE_APART, queue->tail[SQ_LANE_APART]++);
  sqlite3_stmt *st = sk_sq(db, SQL_JOB_RENUMBER);
  sk_sq_int(st, 1, old);
  sk_sq_int(st, 2, row->n);
  sk_sq_blob(st, 3, record);
  sk_sq_int(st, 4, row->state);
  sk_sq_int(st, 5, row->ord);
  sk_sq_some(st, 6, row->flags);
  code = sk_sq_run(db, SQL_JOB_RENUMBER);
  return code == SK_OK ? sk_sq_enter(db, row) : code;
}

enum sk_code sk_sq_move_later(struct sq_db *db, struct sq_row *row, int64_t q, enum sk_state state, int64_t due_ms,
                              const struct sk_str *record) {
  enum sk_code code = sk_sq_leave(db, row);
  row->q = q;
  row->state = due_ms > db->now_ms ? (int64_t)state : sk_sq_needs_slot(row) ? SQ_MEMBER : SQ_FRONT;
  row->due = due_ms > 0 ? due_ms : 1; /* 0 would be first in, first out */
  row->ord = ++sk_sq_head(db)->seq;
  if (code == SK_OK) code = sk_sq_enter(db, row);
  return code == SK_OK ? sk_sq_save(db, row, record) : code;
}

enum sk_code sk_sq_move_ended(struct sq_db *db, struct sq_row *row, enum sk_state state, int64_t until,
                              struct sk_str record) {
  enum sk_code code = sk_sq_leave(db, row);
  if (code == SK_OK && row->flags) code = sk_sq_let_go(db, row, false);
  row->state = state;
  row->ord = ++sk_sq_head(db)->seq;
  row->keep_until = until;
  if (code == SK_OK) code = sk_sq_enter(db, row);
  return code == SK_OK ? sk_sq_save(db, row, &record) : code;
}

enum sk_code sk_sq_delete(struct sq_db *db, struct sq_row *row) {
  enum sk_code code = sk_sq_leave(db, row);
  if (code == SK_OK && row->flags) code = sk_sq_let_go(db, row, true);
  if (code != SK_OK) return code;
  sk_sq_int(sk_sq(db, SQL_JOB_DELETE), 1, row->n);
  return sk_sq_run(db, SQL_JOB_DELETE);
}

enum sk_code sk_sq_promote(struct sq_db *db, struct sq_row *row) {
  enum sk_code code = sk_sq_leave(db, row);
  row->state = sk_sq_needs_slot(row) ? SQ_MEMBER : SQ_FRONT;
  if (code == SK_OK) code = sk_sq_enter(db, row);
  sk_sq_int(sk_sq(db, SQL_JOB_PROMOTE), 1, row->n);
  sk_sq_int(sk_sq(db, SQL_JOB_PROMOTE), 2, row->state);
  return code == SK_OK ? sk_sq_run(db, SQL_JOB_PROMOTE) : code;
}

enum sk_code sk_sq_take(struct sq_db *db, struct sq_row *row, uint64_t fence) {
  enum sk_code code = sk_sq_leave(db, row);
  if (code == SK_OK) code = sk_sq_progress_forget(db, row);
  if (row->state == SQ_MEMBER) row->flags |= SQ_FLAG_SLOT;
  row->state = SK_STATE_RUNNING;
  if (code == SK_OK) code = sk_sq_enter(db, row);
  sqlite3_stmt *st = sk_sq(db, SQL_JOB_TAKE);
  sk_sq_int(st, 1, row->n);
  sk_sq_int(st, 2, SQ_HOLD_BASE + (int64_t)fence);
  sk_sq_int(st, 3, db->now_ms);
  sk_sq_some(st, 4, row->flags);
  return code == SK_OK ? sk_sq_run(db, SQL_JOB_TAKE) : code;
}

enum sk_code sk_sq_take_line(struct sq_db *db, struct sq_queue *queue, int64_t from, int64_t to, size_t n,
                             uint64_t fence) {
  sqlite3_stmt *st = sk_sq(db, SQL_JOB_TAKE_LINE);
  queue->states[SK_STATE_READY] -= (int64_t)n;
  queue->states[SK_STATE_RUNNING] += (int64_t)n;
  sk_sq_dirty(db, queue);
  sk_sq_int(st, 1, from);
  sk_sq_int(st, 2, to);
  sk_sq_int(st, 3, SQ_HOLD_BASE + (int64_t)fence);
  sk_sq_int(st, 4, db->now_ms);
  return sk_sq_run(db, SQL_JOB_TAKE_LINE);
}

enum sk_code sk_sq_delete_running(struct sq_db *db, struct sq_queue *queue, struct sk_str id, uint64_t fence,
                                  bool *found) {
  sqlite3_stmt *st = sk_sq(db, SQL_JOB_DELETE_HELD);
  sk_sq_text(st, 1, id);
  sk_sq_int(st, 2, SQ_HOLD_BASE + (int64_t)fence);
  sk_sq_int(st, 3, queue->q);
  enum sk_code code = sk_sq_run(db, SQL_JOB_DELETE_HELD);
  *found = code == SK_OK && sqlite3_changes(db->db) == 1;
  if (!*found) return code;
  queue->states[SK_STATE_RUNNING]--; /* RUNNING jobs have no side table to leave */
  sk_sq_dirty(db, queue);
  return SK_OK;
}

enum sk_code sk_sq_head_move(struct sq_db *db, struct sq_queue *queue, int64_t rank) {
  enum { LOOKS = 1000 };
  enum sk_code code = SK_OK;
  int64_t from = queue->head[rank];
  sqlite3_stmt *st = sk_sq(db, SQL_LINE_HEAD);
  sk_sq_int(st, 1, sk_sq_number(queue->q, rank, from));
  sk_sq_int(st, 2, sk_sq_number(queue->q, rank, queue->tail[rank]));
  sk_sq_int(st, 3, LOOKS);
  while (sk_sq_next(db, SQL_LINE_HEAD, &code)) {
    queue->head[rank] = sqlite3_column_int64(st, 0) & SQ_SEQ_MASK;
    if (sqlite3_column_int64(st, 1) == SQ_LINE) break;
    queue->head[rank]++;
  }
  sk_sq_reset(db, SQL_LINE_HEAD);
  if (queue->head[rank] != from) sk_sq_dirty(db, queue);
  return code;
}
