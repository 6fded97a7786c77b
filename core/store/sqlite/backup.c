/* backup.c - a copy of the store as it is at one moment, while others go on working.
 *
 * A connection of its own keeps one snapshot for the whole copy, a few pages at a time, so that the thread can do other
 * things between.  Writers go on; only the log cannot start over meanwhile.  The copy is made under another
 * name and gets its own when it is whole and on the disk, so that no half copy looks like a backup. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/sqlite/sqlite.h"

enum { STEP_PAGES = 256 };

struct sq_backup {
  struct sq_db *db;
  char *path, *part; /* owned; what it is called while it is made */
  bool made;         /* `part` is there */
  sqlite3 *from, *to;
  sqlite3_backup *copy;
};

static enum sk_code fail_errno(const struct sq_backup *b, const char *path) {
  return sk_err_set(&b->db->err, errno == EEXIST ? SK_EEXISTS : SK_EUNAVAILABLE, "%s: %s", path, strerror(errno));
}

static enum sk_code fail_sqlite(const struct sq_backup *b, const char *path, sqlite3 *handle) {
  return sk_err_set(&b->db->err, SK_EUNAVAILABLE, "%s: %s", path, handle ? sqlite3_errmsg(handle) : "out of memory");
}

static char *name(struct sk_str path, const char *suffix) {
  char *out = malloc(path.n + strlen(suffix) + 1);
  if (out) snprintf(out, path.n + strlen(suffix) + 1, "%.*s%s", SK_STR_ARG(path), suffix);
  return out;
}

/* A new, empty file that is its owner's alone. */
static enum sk_code make_part(struct sq_backup *b) {
  struct stat st;
  if (lstat(b->path, &st) == 0)
    return sk_err_set(&b->db->err, SK_EEXISTS, "%s: it is there already, and is not overwritten", b->path);
  int fd = open(b->part, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return fail_errno(b, b->part);
  close(fd);
  b->made = true;
  return SK_OK;
}

static enum sk_code start_copy(struct sq_backup *b) {
  if (sk_sq_files_open(b->db, &b->from) != SQLITE_OK ||
      sqlite3_exec(b->from, "BEGIN; SELECT count(*) FROM sqlite_master", NULL, NULL, NULL) != SQLITE_OK)
    return fail_sqlite(b, b->db->path, b->from);
  if (sqlite3_open_v2(b->part, &b->to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK ||
      sqlite3_exec(b->to, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF", NULL, NULL, NULL) != SQLITE_OK ||
      (b->copy = sqlite3_backup_init(b->to, "main", b->from, "main")) == NULL)
    return fail_sqlite(b, b->part, b->to);
  return SK_OK;
}

enum sk_code sk_sq_backup_begin(struct sq_db *db, struct sk_str path, struct sq_backup **out) {
  struct sq_backup *b = calloc(1, sizeof *b);
  *out = NULL;
  if (b) *b = (struct sq_backup){ .db = db, .path = name(path, ""), .part = name(path, ".part") };
  enum sk_code code = b && b->path && b->part ? make_part(b) : sk_sq_no_memory(db);
  if (code == SK_OK) code = start_copy(b);
  if (code == SK_OK) {
    *out = b;
    return SK_OK;
  }
  struct sk_err why = db->err;
  if (b) sk_sq_backup_end(b);
  db->err = why;
  return code;
}

enum sk_code sk_sq_backup_step(struct sq_backup *b, bool *done) {
  int rc = sqlite3_backup_step(b->copy, STEP_PAGES);
  *done = rc == SQLITE_DONE;
  if (rc == SQLITE_OK || rc == SQLITE_DONE) return SK_OK;
  return sk_err_set(&b->db->err, SK_EUNAVAILABLE, "%s: %s", b->part, sqlite3_errstr(rc));
}

/* Everything of `path` is on the disk, or its folder's list of names. */
static bool sync_path(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  bool synced = fd >= 0 && fsync(fd) == 0;
  if (fd >= 0) close(fd);
  return synced;
}

static bool sync_folder(const char *path) {
  char *folder = strdup(path), *slash = folder ? strrchr(folder, '/') : NULL;
  if (slash) slash[slash == folder] = '\0';
  bool synced = folder && sync_path(slash ? folder : ".");
  free(folder);
  return synced;
}

enum sk_code sk_sq_backup_finish(struct sq_backup *b, int64_t *bytes) {
  int rc = sqlite3_backup_finish(b->copy);
  b->copy = NULL;
  if (rc != SQLITE_OK) return fail_sqlite(b, b->part, b->to);
  sqlite3_close(b->to);
  b->to = NULL;
  if (sk_sq_files_changed(b->db))
    return sk_err_set(&b->db->err, SK_EUNAVAILABLE,
                      "%s: it changed while this user read it without the right to lock it; try again", b->db->path);
  struct stat st;
  if (!sync_path(b->part) || stat(b->part, &st) != 0) return fail_errno(b, b->part);
  if (link(b->part, b->path) != 0) return fail_errno(b, b->path); /* which overwrites nothing */
  *bytes = st.st_size;
  return sync_folder(b->path) ? SK_OK : fail_errno(b, b->path);
}

void sk_sq_backup_end(struct sq_backup *b) {
  if (b->copy) sqlite3_backup_finish(b->copy);
  sqlite3_close(b->to);
  sqlite3_close(b->from);
  if (b->made) unlink(b->part);
  free(b->path);
  free(b->part);
  free(b);
}
