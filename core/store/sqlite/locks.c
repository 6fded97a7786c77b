/* locks.c - the locks of jobs and the stops of running jobs in the sqlite store, and their end with the job.
 *
 * A lock is found by its key when a job is enqueued, and by its holder's id when that job ends.  A job without a lock
 * (job.flags) asks for neither.  A row whose time is over counts as none; a beat deletes it. */
#include "store/sqlite/sqlite.h"

/* -- locks --------------------------------------------------------------------------------------------------------- */

enum sk_code sk_sq_lock_take(struct sq_db *db, const struct sk_enqueue_item *item) {
  const struct sk_lock *lock = &item->lock;
  sqlite3_stmt *st = sk_sq(db, SQL_LOCK_TAKE);
  sk_sq_blob(st, 1, lock->key);
  sk_sq_text(st, 2, item->id);
  sk_sq_int(st, 3, lock->ttl_ms > 0 ? sk_sq_later(db->now_ms, lock->ttl_ms) : 0);
  sk_sq_int(st, 4, lock->mode == SK_LOCK_THROTTLE);
  return sk_sq_run(db, SQL_LOCK_TAKE);
}

enum sk_code sk_sq_locks_expire(struct sq_db *db, int64_t most, int64_t *n) {
  sk_sq_int(sk_sq(db, SQL_LOCKS_OVER), 1, db->now_ms);
  sk_sq_int(sk_sq(db, SQL_LOCKS_OVER), 2, most);
  enum sk_code code = sk_sq_run(db, SQL_LOCKS_OVER);
  *n = sqlite3_changes(db->db);
  return code;
}

/* -- stops --------------------------------------------------------------------------------------------------------- */

enum sk_code sk_sq_stop(struct sq_db *db, const struct sq_row *row, struct sk_str id) {
  if (row->flags & SQ_FLAG_STOP) return SK_OK;
  sk_sq_text(sk_sq(db, SQL_STOP_ADD), 1, id);
  enum sk_code code = sk_sq_run(db, SQL_STOP_ADD);
  if (code != SK_OK) return code;
  sk_sq_head(db)->stops++;
  sk_sq_int(sk_sq(db, SQL_JOB_FLAGS), 1, row->n);
  sk_sq_int(sk_sq(db, SQL_JOB_FLAGS), 2, row->flags | SQ_FLAG_STOP);
  return sk_sq_run(db, SQL_JOB_FLAGS);
}

/* One look is at STOPS_LOOKS rows.  Where there are more, the next one goes on behind them. */
enum sk_code sk_sq_stops(struct sq_db *db, struct sk_arena *arena, struct sk_str **ids, size_t *n) {
  enum { STOPS_LOOKS = 1000 };
  size_t looks = 0, most = db->head.stops < STOPS_LOOKS ? (size_t)db->head.stops : STOPS_LOOKS;
  *n = 0;
  *ids = NULL;
  if (db->head.stops <= 0) return SK_OK;
  if (db->head.stops <= STOPS_LOOKS) db->stop_id_n = 0;
  *ids = sk_arena_array(arena, most, sizeof **ids);
  enum sk_code code = *ids ? SK_OK : sk_sq_no_memory(db);
  sqlite3_stmt *st = sk_sq(db, SQL_STOPS);
  sk_sq_text(st, 1, sk_str(db->stop_id, db->stop_id_n));
  sk_sq_int(st, 2, (int64_t)most);
  struct sk_str id = { 0 };
  for (; code == SK_OK && looks < most && sk_sq_next(db, SQL_STOPS, &code); looks++) {
    id = sk_arena_copy(arena, sk_sq_column(st, 0));
    if (id.p == NULL) code = sk_sq_no_memory(db);
    bool runs = sqlite3_column_int64(st, 2) == SK_STATE_RUNNING;
    if (code == SK_OK && runs && sk_sq_hold_find(db, sk_sq_fence(sqlite3_column_int64(st, 1)))) (*ids)[(*n)++] = id;
  }
  sk_sq_reset(db, SQL_STOPS);
  db->stop_id_n = looks == STOPS_LOOKS && id.n <= sizeof db->stop_id ? id.n : 0;
  if (db->stop_id_n) memcpy(db->stop_id, id.p, id.n);
  return code;
}

/* -- the end of a job ---------------------------------------------------------------------------------------------- */

static enum sk_code let_go_lock(struct sq_db *db, const struct sq_row *row) {
  sk_sq_int(sk_sq(db, SQL_LOCK_LET_GO), 1, row->n);
  enum sk_code code = sk_sq_run(db, SQL_LOCK_LET_GO);
  if (code != SK_OK || sqlite3_changes(db->db) > 0) return code;
  sk_sq_int(sk_sq(db, SQL_LOCK_OUTLIVE), 1, row->n);
  return sk_sq_run(db, SQL_LOCK_OUTLIVE);
}

enum sk_code sk_sq_let_go(struct sq_db *db, struct sq_row *row, bool gone) {
  enum sk_code code = row->flags & SQ_FLAG_LOCK ? let_go_lock(db, row) : SK_OK;
  if (code == SK_OK && row->flags & SQ_FLAG_STOP) {
    sk_sq_int(sk_sq(db, SQL_STOP_DELETE), 1, row->n);
    code = sk_sq_run(db, SQL_STOP_DELETE);
    sk_sq_head(db)->stops--;
  }
  if (code == SK_OK) code = sk_sq_group_let_go(db, row, gone);
  if (code == SK_OK && gone) code = sk_sq_progress_forget(db, row);
  row->flags &= ~(int64_t)(SQ_FLAG_LOCK | SQ_FLAG_STOP);
  return code;
}
