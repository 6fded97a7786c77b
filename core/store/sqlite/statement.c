/* statement.c - the prepared statements of the sqlite store, and how SQLite's errors become statuses and sentences. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "store/sqlite/sqlite.h"

/* -- errors -------------------------------------------------------------------------------------------------------- */

static enum sk_code code_of(int rc) {
  switch (rc & 0xff) {
  case SQLITE_OK:
  case SQLITE_ROW:
  case SQLITE_DONE: return SK_OK;
  case SQLITE_NOMEM: return SK_ENOMEM;
  case SQLITE_CORRUPT:
  case SQLITE_NOTADB: return SK_ECORRUPT;
  default: return SK_EUNAVAILABLE;
  }
}

/* SQLite tries to open for reading what it could not open for writing, and then reports why that failed: asks the
 * folder itself why nothing can be written there. */
static int errno_of_folder(const char *path, int otherwise) {
  char folder[PATH_MAX];
  int n = snprintf(folder, sizeof folder, "%s", path);
  char *slash = strrchr(folder, '/');
  if (n < 0 || (size_t)n >= sizeof folder) return otherwise;
  if (slash == NULL)
    memcpy(folder, ".", 2);
  else
    slash[slash == folder] = '\0';
  return access(folder, W_OK) == 0 ? otherwise : errno;
}

enum sk_code sk_sq_fail(struct sq_db *db) {
  int rc = sqlite3_extended_errcode(db->db), sys = sqlite3_system_errno(db->db);
  if ((rc & 0xff) == SQLITE_CANTOPEN) sys = errno_of_folder(db->path, sys);
  enum sk_code code = code_of(rc);
  if (code == SK_OK) code = SK_EUNAVAILABLE;
  switch (rc & 0xff) {
  case SQLITE_BUSY:
    if (sk_sq_in_hurry(db)) return sk_err_set(&db->err, code, "%s: another process keeps it locked", db->path);
    return sk_err_set(&db->err, code, "%s: another process has kept it locked for %g s", db->path,
                      (double)db->timeout_ms / 1000);
  case SQLITE_FULL: return sk_err_set(&db->err, code, "%s: no space left to write", db->path);
  case SQLITE_IOERR:
  case SQLITE_CANTOPEN:
  case SQLITE_READONLY:
    if (sys != 0) return sk_err_set(&db->err, code, "%s: %s: %s", db->path, sqlite3_errmsg(db->db), strerror(sys));
    break;
  default: break;
  }
  return sk_err_set(&db->err, code, "%s: %s", db->path, sqlite3_errmsg(db->db));
}

/* -- statements ---------------------------------------------------------------------------------------------------- */

static const char *const SQL[SQL_STMTS] = {
#define SQ_STMT(name, sql) [SQL_##name] = sql,
#include "store/sqlite/sql.h"
#undef SQ_STMT
};

enum sk_code sk_sq_prepare_all(struct sq_db *db) {
  for (int i = 0; i < SQL_STMTS; i++)
    if (sqlite3_prepare_v3(db->db, SQL[i], -1, SQLITE_PREPARE_PERSISTENT, &db->stmts[i], NULL) != SQLITE_OK)
      return sk_sq_fail(db);
  return SK_OK;
}

enum sk_code sk_sq_run(struct sq_db *db, enum sq_stmt which) {
  sqlite3_stmt *st = db->stmts[which];
  int rc = sqlite3_step(st);
  enum sk_code code = rc == SQLITE_DONE || rc == SQLITE_ROW ? SK_OK : sk_sq_fail(db);
  sqlite3_reset(st);
  return code;
}

bool sk_sq_next(struct sq_db *db, enum sq_stmt which, enum sk_code *code) {
  int rc = sqlite3_step(db->stmts[which]);
  if (rc == SQLITE_ROW) return true;
  if (rc != SQLITE_DONE) *code = sk_sq_fail(db);
  sqlite3_reset(db->stmts[which]);
  return false;
}

struct sk_str sk_sq_column(sqlite3_stmt *st, int at) {
  const char *p = sqlite3_column_blob(st, at); /* text comes as its bytes */
  return sk_str(p, p ? (size_t)sqlite3_column_bytes(st, at) : 0);
}
