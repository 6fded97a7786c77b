/* rows.c - reads and writes the row of a job, with the progress of its last attempt. */
#include "base/buf.h"
#include "logic/record.h"
#include "store/sqlite/sqlite.h"

/* -- a job's row --------------------------------------------------------------------------------------------------- */

enum { COL_ID = 10, COL_TASK, COL_RECORD }; /* of SQ_FULL */

static enum sk_code read_row(struct sq_db *db, sqlite3_stmt *st, struct sq_row *row, struct sk_arena *arena,
                             struct sq_text *text) {
  int64_t *const numbers[] = { &row->n,          &row->state, &row->q,    &row->rank,
                               &row->due,        &row->ord,   &row->hold, &row->running_since_ms,
                               &row->keep_until, &row->flags };
  for (int i = 0; i < COL_ID; i++) *numbers[i] = sqlite3_column_int64(st, i);
  bool in_line = (row->n >> SQ_LANE_SHIFT & SQ_LANE_MASK) != SQ_LANE_APART;
  if (row->due == 0 && in_line && !sk_state_is_final(sk_sq_state(row->state))) row->ord = row->n & SQ_SEQ_MASK;
  if (text == NULL) return SK_OK;
  text->id = sk_arena_copy(arena, sk_sq_column(st, COL_ID));
  text->task = sk_arena_copy(arena, sk_sq_column(st, COL_TASK));
  text->record = sk_arena_copy(arena, sk_sq_column(st, COL_RECORD));
  text->progress_text = text->log = sk_str("", 0);
  text->percent = -1;
  return text->id.p && text->task.p && text->record.p ? SK_OK : sk_sq_no_memory(db);
}

static enum sk_code read_progress(struct sq_db *db, struct sk_arena *arena, struct sq_text *text) {
  enum sk_code code = SK_OK;
  sqlite3_stmt *st = sk_sq(db, SQL_PROGRESS);
  sk_sq_text(st, 1, text->id);
  if (sk_sq_next(db, SQL_PROGRESS, &code)) {
    text->percent = sqlite3_column_int(st, 0);
    text->progress_text = sk_arena_copy(arena, sk_sq_column(st, 1));
    text->log = sk_arena_copy(arena, sk_sq_column(st, 2));
    if (text->progress_text.p == NULL || text->log.p == NULL) code = sk_sq_no_memory(db);
  }
  sk_sq_reset(db, SQL_PROGRESS);
  return code;
}

static enum sk_code load(struct sq_db *db, enum sq_stmt which, struct sq_row *row, struct sk_arena *arena,
                         struct sq_text *text, bool *found) {
  enum sk_code code = SK_OK;
  *found = sk_sq_next(db, which, &code);
  if (*found) code = read_row(db, sk_sq(db, which), row, arena, text);
  sk_sq_reset(db, which);
  return code == SK_OK && *found && text && row->flags & SQ_FLAG_PROGRESS ? read_progress(db, arena, text) : code;
}

enum sk_code sk_sq_load(struct sq_db *db, int64_t n, struct sq_row *row, struct sk_arena *arena, struct sq_text *text,
                        bool *found) {
  enum sq_stmt which = text ? SQL_JOB_FULL : SQL_JOB;
  sk_sq_int(sk_sq(db, which), 1, n);
  return load(db, which, row, arena, text, found);
}

enum sk_code sk_sq_load_id(struct sq_db *db, struct sk_str id, struct sq_row *row, struct sk_arena *arena,
                           struct sq_text *text, bool *found) {
  enum sq_stmt which = text ? SQL_JOB_ID_FULL : SQL_JOB_ID;
  sk_sq_text(sk_sq(db, which), 1, id);
  return load(db, which, row, arena, text, found);
}

struct sk_str sk_sq_edit(struct sk_arena *arena, struct sk_str record, void (*edit)(struct sk_job *, int64_t now_ms),
                         int64_t now_ms) {
  struct sk_job job;
  if (sk_record_decode(record, &job, NULL) != SK_OK) return sk_arena_copy(arena, record);
  edit(&job, now_ms);
  struct sk_buf buf = { 0 };
  sk_record_encode(&job, &buf);
  struct sk_str edited = buf.failed ? sk_str(NULL, 0) : sk_arena_copy(arena, sk_buf_str(&buf));
  sk_buf_fini(&buf);
  return edited;
}

enum sk_code sk_sq_save(struct sq_db *db, const struct sq_row *row, const struct sk_str *record) {
  enum sq_stmt which = record ? SQL_JOB_SAVE_RECORD : SQL_JOB_SAVE;
  sqlite3_stmt *st = sk_sq(db, which);
  const int64_t numbers[] = { row->n,   row->state, row->q,    row->rank,
                              row->due, row->ord,   row->hold, row->running_since_ms };
  for (int i = 0; i < 8; i++) sk_sq_int(st, i + 1, numbers[i]);
  sk_sq_some(st, 9, row->keep_until);
  sk_sq_some(st, 10, row->flags);
  if (record) sk_sq_blob(st, 11, *record);
  return sk_sq_run(db, which);
}

enum sk_code sk_sq_progress_forget(struct sq_db *db, struct sq_row *row) {
  if (!(row->flags & SQ_FLAG_PROGRESS)) return SK_OK;
  row->flags &= ~(int64_t)SQ_FLAG_PROGRESS;
  sk_sq_int(sk_sq(db, SQL_PROGRESS_DELETE), 1, row->n);
  return sk_sq_run(db, SQL_PROGRESS_DELETE);
}
