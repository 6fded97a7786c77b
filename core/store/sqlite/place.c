/* place.c - whether the store's files are still those that were opened.
 *
 * Somebody may remove or replace the database or its lock file while this process has them open, or give the database a
 * second name.  From then on this process writes to files that no other process finds: jobs would wait for ever there,
 * and engines would take each other's jobs.  So each beat, and each transaction after a second without a look, compares
 * the opened files with those that their paths name.  Once they differ, all operations fail, and the files that have
 * the names now are not touched. */
#include <errno.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "store/sqlite/sqlite.h"

enum { LOOK_MS = 1000 };

static enum sk_code gone(struct sq_db *db, const char *path, const char *how) {
  db->gone = true;
  return sk_err_set(
      &db->err, SK_EUNAVAILABLE,
      "%s: the file %s while this process had it open, so that its work reaches nobody: start the process again", path,
      how);
}

static enum sk_code compare(struct sq_db *db, const char *path, const struct sq_place *was) {
  struct stat st;
  if (stat(path, &st) != 0) return errno == ENOENT || errno == ENOTDIR ? gone(db, path, "was removed") : SK_OK;
  return st.st_dev == was->dev && st.st_ino == was->ino ? SK_OK : gone(db, path, "was replaced");
}

enum sk_code sk_sq_place_note(struct sq_db *db) {
  struct stat st, lock;
  if (db->access != SQ_WRITES) return SK_OK;
  if (stat(db->path, &st) != 0 || fstat(db->lock_fd, &lock) != 0)
    return sk_err_set(&db->err, SK_EUNAVAILABLE, "%s: %s", db->path, strerror(errno));
  if (st.st_nlink > 1)
    return sk_err_set(
        &db->err, SK_EUNAVAILABLE,
        "%s: the file has %u names (hard links), and a process that opens it by another name does not see the log "
        "and the locks of this one: remove the other names",
        db->path, (unsigned)st.st_nlink);
  db->file = (struct sq_place){ st.st_dev, st.st_ino };
  db->lock_file = (struct sq_place){ lock.st_dev, lock.st_ino };
  db->placed_ms = sk_clock_mono_ms();
  return sk_sq_place_check(db, true);
}

enum sk_code sk_sq_place_check(struct sq_db *db, bool now) {
  if (db->gone)
    return sk_err_set(&db->err, SK_EUNAVAILABLE,
                      "%s: the store's files were removed or replaced: start the process again", db->path);
  if (db->access != SQ_WRITES || db->file.ino == 0) return SK_OK;
  int64_t mono_ms = sk_clock_mono_ms();
  if (!now && mono_ms - db->placed_ms < LOOK_MS) return SK_OK;
  db->placed_ms = mono_ms;
  enum sk_code code = compare(db, db->path, &db->file);
  return code == SK_OK ? compare(db, db->lock_path, &db->lock_file) : code;
}

void sk_sq_place_leave(struct sq_db *db) {
  int keep = 1;
  if (!db->gone || db->db == NULL) return;
  sqlite3_file_control(db->db, NULL, SQLITE_FCNTL_PERSIST_WAL, &keep);
  sqlite3_db_config(db->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
}
