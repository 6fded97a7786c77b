/* transaction.c - the transactions of the sqlite store.
 *
 * A write transaction begins with the lock on the file (BEGIN IMMEDIATE), so that it never fails half way because
 * another process writes.  Cached rows (cache.c) are read again when another connection has committed, and written
 * before the commit. */
#include "base/clock.h"
#include "store/sqlite/sqlite.h"

bool sk_sq_changed_by_others(struct sq_db *db, int64_t *seen) {
  sqlite3_stmt *st = sk_sq(db, SQL_DATA_VERSION);
  int64_t now = sqlite3_step(st) == SQLITE_ROW ? sqlite3_column_int64(st, 0) : *seen;
  sqlite3_reset(st);
  bool changed = now != *seen;
  *seen = now;
  return changed;
}

/* Cached rows stay right while no other connection commits. */
static enum sk_code refresh(struct sq_db *db) {
  if (sk_sq_changed_by_others(db, &db->data_version)) db->epoch++;
  return sk_sq_head_load(db);
}

enum sk_code sk_sq_begin(struct sq_db *db) {
  db->notify = false;
  if (db->access != SQ_WRITES)
    return sk_err_set(&db->err, SK_EUNAVAILABLE, "this user may only read the store: %s", db->denied.message);
  db->busy_until_ms = db->deadline_ms ? db->deadline_ms : sk_clock_mono_ms() + db->timeout_ms;
  enum sk_code code = sk_sq_place_check(db, false);
  if (code == SK_OK) code = sk_sq_run(db, SQL_BEGIN);
  if (code != SK_OK) return code;
  int64_t before_ms = db->now_ms;
  db->now_ms = sk_store_wall_ms(&db->clock); /* now, since the lock may have taken a while */
  if (db->now_ms < before_ms) db->clock_steps++;
  code = refresh(db);
  if (code != SK_OK) sk_sq_rollback(db);
  return code;
}

void sk_sq_rollback(struct sq_db *db) {
  for (int i = 0; i < SQL_STMTS; i++) sqlite3_reset(db->stmts[i]);
  if (!sqlite3_get_autocommit(db->db)) {
    sqlite3_step(sk_sq(db, SQL_ROLLBACK)); /* what fails here has failed already, and the transaction is over */
    sqlite3_reset(sk_sq(db, SQL_ROLLBACK));
  }
  sk_sq_forget(db);
  sk_sq_holds_end(db, false);
}

enum sk_code sk_sq_commit(struct sq_db *db) {
  enum sk_code code = sk_sq_flush(db);
  if (code == SK_OK) code = sk_sq_run(db, SQL_COMMIT);
  if (code != SK_OK) {
    sk_sq_rollback(db);
    return code;
  }
  sk_sq_holds_end(db, true);
  return SK_OK;
}

enum sk_code sk_sq_end(struct sq_db *db, enum sk_code code) {
  if (code != SK_OK)
    sk_sq_rollback(db);
  else if ((code = sk_sq_commit(db)) == SK_OK && db->notify)
    sk_sq_poke(db);
  return code;
}

enum sk_code sk_sq_begin_read(struct sq_db *db) {
  db->busy_until_ms = db->deadline_ms ? db->deadline_ms : sk_clock_mono_ms() + db->timeout_ms;
  db->now_ms = sk_store_wall_ms(&db->clock);
  enum sk_code code = sk_sq_place_check(db, false);
  if (code == SK_OK) code = sk_sq_run(db, SQL_BEGIN_READ);
  if (code != SK_OK) return code;
  code = refresh(db);
  if (code != SK_OK) sk_sq_end_read(db);
  return code;
}

void sk_sq_end_read(struct sq_db *db) {
  for (int i = 0; i < SQL_STMTS; i++) sqlite3_reset(db->stmts[i]);
  if (!sqlite3_get_autocommit(db->db)) (void)sk_sq_run(db, SQL_COMMIT); /* nothing was written */
}
