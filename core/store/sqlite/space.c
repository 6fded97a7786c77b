/* space.c - keeps the log small, and gives back the pages of jobs that are gone.
 *
 * THE LOG starts over when all of it has been copied to the database, no reader uses it, and a writer commits.  Each
 * writer copies it every CHECKPOINT_PAGES; such a PASSIVE checkpoint makes nobody wait.  When several processes write,
 * one of them has always added something meanwhile.  So beyond RESTART_PAGES the rest is copied while no other process
 * can write (RESTART); the rest is small then, and the waits for others are bounded.
 *
 * THE FILE has a list of free pages.  When most pages are free, an engine moves pages from the end of the file to its
 * front, a few in each transaction, and rests for longer than that took.  The next checkpoint of the whole log cuts the
 * file.  A database that was made without auto_vacuum stays as large as it is. */
#include <sys/stat.h>

#include "base/clock.h"
#include "store/sqlite/sqlite.h"

enum {
  CHECKPOINT_PAGES = 1000, /* 4 MB */
  RESTART_PAGES = 2000,
  RESTART_WAIT_MS = 10,  /* for a writer and for readers, together */
  FREE_PAGES_MIN = 1024, /* 4 MB: not worth the work; the next jobs want them */
  REST = 4,              /* times as long as a step took */
  CLOSE_MS = 200,        /* for the file, when the engine ends */
};

/* -- the log ------------------------------------------------------------------------------------------------------- */

static int checkpoint(struct sq_db *db, int how) { return sqlite3_wal_checkpoint_v2(db->db, NULL, how, NULL, NULL); }

/* Without room or memory the log goes on growing, and the next try may do. */
void sk_sq_space_tidy(struct sq_db *db) {
  if (db->wal_pages < db->wal_copied) db->wal_copied = 0; /* it has started over */
  if (!db->cut_due && db->wal_pages - db->wal_copied < CHECKPOINT_PAGES) return;
  db->cut_due = false;
  (void)checkpoint(db, SQLITE_CHECKPOINT_PASSIVE);
  if (db->wal_pages >= RESTART_PAGES) {
    db->busy_until_ms = sk_clock_mono_ms() + RESTART_WAIT_MS;
    (void)checkpoint(db, SQLITE_CHECKPOINT_RESTART);
  }
  db->wal_copied = db->wal_pages;
}

enum sk_code sk_sq_start_over(struct sq_db *db) {
  /* Twice, since the failure that made it needed may be reported to SQLite's descriptor of the log as well, once. */
  enum { TRIES = 2 };
  int rc = SQLITE_BUSY;
  db->busy_until_ms = 0; /* others may take their time; the next commit tries again */
  for (int i = 0; i < TRIES && rc != SQLITE_OK; i++) rc = checkpoint(db, SQLITE_CHECKPOINT_TRUNCATE);
  if (rc != SQLITE_OK) return sk_sq_fail(db);
  db->wal_pages = db->wal_copied = 0;
  return SK_OK;
}

/* -- the file ------------------------------------------------------------------------------------------------------ */

static enum sk_code number_of(struct sq_db *db, enum sq_stmt which, int64_t *out) {
  enum sk_code code = SK_OK;
  *out = sk_sq_next(db, which, &code) ? sqlite3_column_int64(sk_sq(db, which), 0) : 0;
  sk_sq_reset(db, which);
  return code;
}

static bool file_is_longer(const struct sq_db *db, int64_t pages) {
  struct stat st;
  return stat(db->path, &st) == 0 && st.st_size / SQ_PAGE_BYTES > pages + FREE_PAGES_MIN;
}

enum sk_code sk_sq_space_look(struct sq_db *db) {
  int64_t pages, unused;
  enum sk_code code = number_of(db, SQL_PAGES, &pages);
  if (code == SK_OK) code = number_of(db, SQL_PAGES_FREE, &unused);
  if (code != SK_OK || !db->can_shrink) return code;
  db->shrink_due = unused > FREE_PAGES_MIN && unused > (db->shrink_due ? pages / 4 : pages / 2);
  if (!db->shrink_due && file_is_longer(db, pages)) db->cut_due = true;
  return SK_OK;
}

static enum sk_code shrink_step(struct sq_db *db) {
  enum sk_code code = sk_sq_begin(db);
  if (code != SK_OK) return code;
  while (sk_sq_next(db, SQL_SHRINK, &code)) continue;
  if (code == SK_OK) code = sk_sq_space_look(db);
  if (code == SK_OK) return sk_sq_commit(db);
  sk_sq_rollback(db);
  return code;
}

void sk_sq_space_shrink(struct sq_db *db) {
  int64_t from_ms = sk_clock_mono_ms();
  if (from_ms < db->shrink_at_ms) return;
  if (shrink_step(db) != SK_OK) db->shrink_due = false; /* the next beat looks again */
  int64_t now_ms = sk_clock_mono_ms();
  db->shrink_at_ms = now_ms + REST * (now_ms - from_ms + 1);
}

void sk_sq_space_close(struct sq_db *db) {
  int64_t until_ms = sk_clock_mono_ms() + CLOSE_MS;
  enum sk_code code = sk_sq_begin(db);
  if (code != SK_OK) return;
  code = sk_sq_space_look(db);
  sk_sq_rollback(db);
  while (code == SK_OK && db->shrink_due && sk_clock_mono_ms() < until_ms) code = shrink_step(db);
}
