/* db.c - opens and closes the connection of the sqlite store, and makes the tables of a new file.
 *
 * Opening examines a file before it writes to it: a file of another program, or of a newer Skein, stays as it is. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/sqlite/schema.h"
#include "store/sqlite/sqlite.h"

enum {
  SCHEMA_VERSION = 1,
  APPLICATION_ID = 0x536b656e,           /* "Sken": PRAGMA application_id of our files */
  CACHE_KIB = 32 * 1024,                 /* of database pages in memory */
  JOURNAL_BYTES_KEPT = 16 * 1024 * 1024, /* the log's file is cut to this when it starts over */
};

static const char SCHEMA[] = SQ_SCHEMA;

static enum sk_code exec(struct sq_db *db, const char *sql) {
  return sqlite3_exec(db->db, sql, NULL, NULL, NULL) == SQLITE_OK ? SK_OK : sk_sq_fail(db);
}

/* The first column of the first row. */
static enum sk_code ask(struct sq_db *db, const char *sql, int64_t *out) {
  sqlite3_stmt *st = NULL;
  *out = 0;
  int rc = sqlite3_prepare_v2(db->db, sql, -1, &st, NULL);
  if (rc == SQLITE_OK) rc = sqlite3_step(st);
  if (rc == SQLITE_ROW) *out = sqlite3_column_int64(st, 0);
  enum sk_code code = rc == SQLITE_ROW || rc == SQLITE_DONE ? SK_OK : sk_sq_fail(db);
  sqlite3_finalize(st);
  return code;
}

/* Transactions of ours last a millisecond or so: look again soon, then less often.  SQLite's own handler would sleep
 * longer. */
static int on_busy(void *ctx, int tries) {
  struct sq_db *db = ctx;
  enum { FIRST_US = 100, STEP_US = 25, LAST_US = 5000 };
  if (sk_sq_in_hurry(db) || sk_clock_mono_ms() >= db->busy_until_ms) return 0;
  long us = FIRST_US + (long)tries * STEP_US;
  struct timespec pause = { .tv_nsec = (us < LAST_US ? us : LAST_US) * 1000 };
  nanosleep(&pause, NULL);
  return 1;
}

static int on_wal(void *ctx, sqlite3 *handle, const char *name, int pages) {
  (void)handle, (void)name;
  ((struct sq_db *)ctx)->wal_pages = pages;
  return SQLITE_OK;
}

enum sk_code sk_sq_thread(const struct sq_db *db, pthread_t *out, void *(*body)(void *arg), void *arg,
                          struct sk_err *err) {
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  int rc = pthread_create(out, NULL, body, arg);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  return rc == 0 ? SK_OK : sk_err_set(err, SK_ESYS, "%s: no thread for it: %s", db->path, strerror(rc));
}

/* -- opening ------------------------------------------------------------------------------------------------------- */

/* The file is ours (or empty: *version = 0), and not newer than we are. */
static enum sk_code check_file(struct sq_db *db, int64_t *version) {
  int64_t application, tables;
  enum sk_code code = ask(db, "PRAGMA application_id", &application);
  if (code == SK_OK) code = ask(db, "PRAGMA user_version", version);
  if (code == SK_OK) code = ask(db, "SELECT count(*) FROM sqlite_master", &tables);
  if (code == SK_ECORRUPT)
    return sk_err_set(&db->err, code, "%s: not a Skein store, nor any SQLite database", db->path);
  if (code != SK_OK) return code;
  if (application != APPLICATION_ID && (application != 0 || *version != 0 || tables != 0))
    return sk_err_set(&db->err, SK_ECORRUPT,
                      "%s: an SQLite database of another program (application id %lld, a Skein store has %d)", db->path,
                      (long long)application, APPLICATION_ID);
  if (*version > SCHEMA_VERSION)
    return sk_err_set(&db->err, SK_EVERSION, "%s: schema version %lld, this skein knows up to %d: use a newer skein",
                      db->path, (long long)*version, SCHEMA_VERSION);
  return SK_OK;
}

/* Makes the tables of an empty file.  Several processes may find the same empty file: the first one makes the tables.
 * */
static enum sk_code make_tables(struct sq_db *db) {
  int64_t version;
  enum sk_code code = exec(db, "BEGIN IMMEDIATE");
  if (code != SK_OK) return code;
  code = check_file(db, &version);
  if (code == SK_OK && version == 0) {
    char pragmas[96];
    snprintf(pragmas, sizeof pragmas, "PRAGMA application_id=%d; PRAGMA user_version=%d", APPLICATION_ID,
             SCHEMA_VERSION);
    code = exec(db, SCHEMA);
    if (code == SK_OK) code = exec(db, pragmas);
  }
  if (code == SK_OK) code = exec(db, "COMMIT");
  if (code == SK_OK) return SK_OK;
  struct sk_err err = db->err;
  if (!sqlite3_get_autocommit(db->db)) (void)exec(db, "ROLLBACK");
  db->err = err;
  return code;
}

/* Switching to WAL needs the file alone and does not wait for it by itself. */
static enum sk_code enter_wal(struct sq_db *db) {
  enum { TRY_MS = 10 };
  enum sk_code code;
  while ((code = exec(db, "PRAGMA journal_mode=WAL")) != SK_OK) {
    if ((sqlite3_errcode(db->db) & 0xff) != SQLITE_BUSY || sk_clock_mono_ms() >= db->busy_until_ms) return code;
    struct timespec pause = { .tv_nsec = TRY_MS * 1000000 };
    nanosleep(&pause, NULL);
  }
  return SK_OK;
}

/* The rest for who may only read: the store is as it is. */
static enum sk_code set_up_reading(struct sq_db *db, int64_t version) {
  if (version == 0) return sk_err_set(&db->err, SK_ENOTFOUND, "no store at %s", db->path);
  enum sk_code code = exec(db, "PRAGMA temp_store=MEMORY; PRAGMA mmap_size=0");
  return code == SK_OK ? sk_sq_prepare_all(db) : code;
}

static enum sk_code set_up(struct sq_db *db) {
  int64_t version;
  char pragmas[256];
  sqlite3_extended_result_codes(db->db, 1);
  sqlite3_busy_handler(db->db, on_busy, db);
  enum sk_code code = exec(db, "BEGIN"); /* one look: another process may be making it a store just now */
  if (code == SK_OK) code = check_file(db, &version);
  (void)sqlite3_exec(db->db, "ROLLBACK", NULL, NULL, NULL);
  if (code != SK_OK) return code;
  if (db->access != SQ_WRITES) return set_up_reading(db, version);
  /* No mmap: an I/O error would be a signal.  Deleted bytes need no zeroing. */
  snprintf(pragmas, sizeof pragmas,
           "PRAGMA secure_delete=OFF; PRAGMA temp_store=MEMORY; PRAGMA mmap_size=0; PRAGMA wal_autocheckpoint=0;"
           "PRAGMA cache_size=-%d; PRAGMA journal_size_limit=%d; PRAGMA main.synchronous=NORMAL",
           CACHE_KIB, JOURNAL_BYTES_KEPT);
  if (version == 0) code = exec(db, "PRAGMA auto_vacuum=INCREMENTAL"); /* before the first page is written */
  if (code == SK_OK) code = enter_wal(db);
  if (code == SK_OK) code = exec(db, pragmas);
  if (code == SK_OK && version == 0) code = make_tables(db);
  sqlite3_wal_hook(db->db, on_wal, db);
  int64_t vacuum = 0;
  if (code == SK_OK) code = ask(db, "PRAGMA auto_vacuum", &vacuum);
  db->can_shrink = vacuum != 0;
  return code == SK_OK ? sk_sq_prepare_all(db) : code;
}

static void read_boot_id(struct sq_db *db) {
  FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
  size_t n = f ? fread(db->boot_id, 1, sizeof db->boot_id - 1, f) : 0;
  while (n > 0 && db->boot_id[n - 1] == '\n') n--;
  db->boot_id[n] = 0;
  if (f) fclose(f);
}

/* Opens the file as db->access says. */
static enum sk_code open_file(struct sq_db *db) {
  bool ours = db->access == SQ_WRITES && sk_sq_files_are_ours(db, APPLICATION_ID);
  enum sk_code code = ours ? sk_sq_files_complete(db) : SK_OK;
  if (code != SK_OK) return code;
  code = sk_sq_files_open(db, &db->db) == SQLITE_OK ? set_up(db) : sk_sq_fail(db);
  if (code == SK_OK) code = sk_sq_lock_open(db);
  if (code == SK_OK) code = sk_sq_place_note(db);
  return code;
}

static void close_file(struct sq_db *db) {
  for (int i = 0; i < SQL_STMTS; i++) sqlite3_finalize(db->stmts[i]);
  memset(db->stmts, 0, sizeof db->stmts);
  if (db->db && sk_sq_in_hurry(db)) sqlite3_db_config(db->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
  sk_sq_place_leave(db);
  sqlite3_close(db->db);
  db->db = NULL;
  if (db->lock_fd >= 0) close(db->lock_fd);
  db->lock_fd = -1;
}

enum sk_code sk_sq_reopen(struct sq_db *db) {
  close_file(db);
  sk_sq_forget(db);
  db->busy_until_ms = sk_clock_mono_ms() + db->timeout_ms;
  enum sk_code code = sk_sq_files_decide(db, true, false, &db->err);
  if (code == SK_OK) code = open_file(db);
  if (code != SK_OK) close_file(db);
  return code;
}

struct sq_db *sk_sq_db_open(const struct sk_store_options *options, struct sk_err *err) {
  struct sk_err local;
  if (err == NULL) err = &local;
  struct sq_db *db = calloc(1, sizeof *db);
  if (db == NULL) {
    sk_err_set(err, SK_ENOMEM, "store: out of memory");
    return NULL;
  }
  db->lock_fd = -1;
  db->clock = options->clock;
  db->log = options->log;
  db->epoch = 1;
  db->clock_steps = 1;
  sk_list_init(&db->self.coming);
  sk_list_init(&db->self.over);
  sk_list_init(&db->self.going);
  read_boot_id(db);
  enum sk_code code = sk_sq_files_find(db, options, err);
  db->busy_until_ms = sk_clock_mono_ms() + db->timeout_ms;
  if (code == SK_OK) code = sk_sq_files_decide(db, options->must_exist, options->engine.n > 0, err);
  if (code == SK_OK && (code = open_file(db)) != SK_OK) *err = db->err;
  if (code == SK_OK) return db;
  sk_sq_db_close(db);
  return NULL;
}

void sk_sq_db_close(struct sq_db *db) {
  close_file(db);
  sk_sq_forget(db);
  sk_sq_holds_free(db);
  sk_buf_fini(&db->stamped);
  sk_watches_fini(&db->self.watches);
  free(db->by_number);
  free((void *)(uintptr_t)db->self.name.p);
  free(db->lock_path);
  free(db->path);
  free(db);
}

const char *sk_sqlite_version(void) { return sqlite3_libversion(); }
