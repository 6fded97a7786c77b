/* files.c - the files of a sqlite store: where they are, whose they are, and what this process may do with them.
 *
 *   PATH        the database.  A new one is 0600, or 0660 in a folder whose setgid bit says that a group shares it.
 *   PATH-wal, PATH-shm   SQLite's log and its index, there while somebody has the store open
 *   PATH-lock   who is alive, and who is to be woken (engines.c); it stays
 *
 * PATH has no symbolic links: all who reach one database agree on the names of the files beside it.  Those have the
 * database's owner, group and mode, so that whoever opens the store first locks nobody out.
 *
 * Access is decided before any file is made or opened:
 *   SQ_WRITES      the database can be written, and each file beside it can be written or made
 *   SQ_READS_LIVE  only for clients: the log and its index are there and can be read; SQLite keeps reader and writers
 *                  apart
 *   SQ_READS_STILL only for clients: there is no log, so nobody has the store open (or all is in the database)
 *   SQ_READS_LOG   only for clients: a log without its index, as a crash or a copy leaves it: SQLite reads it into
 *                  memory
 * In the last two no lock keeps writers away.  Those who open the store make an index first; so the files are looked at
 * before and after each read, and a read during which they changed is done again on a new connection
 * (sk_sq_files_changed). */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "logic/url.h"
#include "store/sqlite/sqlite.h"

enum { LINKS_MAX = 40, TIMEOUT_S_MAX = 3600 };

/* -- where they are ------------------------------------------------------------------------------------------------ */

static enum sk_code too_long(const char *path, struct sk_err *err) {
  return sk_err_set(err, SK_EINVAL, "%.200s...: the path is longer than %d bytes", path, PATH_MAX);
}

/* Follows symbolic links, also one to a file that is not there yet. */
static enum sk_code follow_links(char path[PATH_MAX], struct sk_err *err) {
  char target[PATH_MAX], joined[2 * PATH_MAX];
  ssize_t n = 0;
  for (int hops = 0; hops < LINKS_MAX && (n = readlink(path, target, sizeof target - 1)) >= 0; hops++) {
    target[n] = '\0';
    const char *slash = strrchr(path, '/');
    int folder = target[0] == '/' || slash == NULL ? 0 : (int)(slash - path + 1);
    if (snprintf(joined, sizeof joined, "%.*s%s", folder, path, target) >= PATH_MAX) return too_long(path, err);
    memcpy(path, joined, strlen(joined) + 1);
  }
  return n < 0 ? SK_OK : sk_err_set(err, SK_EUNAVAILABLE, "%s: %s", path, strerror(ELOOP));
}

/* The folder's part of a path, and where the file's name begins in it. */
static size_t split(const char *path, char folder[PATH_MAX]) {
  const char *slash = strrchr(path, '/');
  size_t n = slash ? (size_t)(slash - path) : 0;
  memcpy(folder, path, n);
  folder[n] = '\0';
  if (n == 0) memcpy(folder, slash ? "/" : ".", 2);
  return slash ? n + 1 : 0;
}

/* Makes the file's folder when only that one is missing. */
static enum sk_code make_folder(const char *path, const char *folder, struct sk_err *err) {
  if (access(folder, F_OK) == 0 || mkdir(folder, 0700) == 0 || errno == EEXIST) return SK_OK;
  return sk_err_set(err, SK_EUNAVAILABLE, "%s: its folder cannot be made: %s", path, strerror(errno));
}

static enum sk_code keep_paths(struct sq_db *db, const char *folder, const char *name, struct sk_err *err) {
  size_t bytes = strlen(folder) + strlen(name) + sizeof "/-lock";
  db->path = malloc(bytes);
  db->lock_path = malloc(bytes);
  if (db->path == NULL || db->lock_path == NULL) return sk_err_set(err, SK_ENOMEM, "store: out of memory");
  snprintf(db->path, bytes, "%s/%s", strcmp(folder, "/") == 0 ? "" : folder, name);
  snprintf(db->lock_path, bytes, "%s-lock", db->path);
  return SK_OK;
}

static enum sk_code resolve(struct sq_db *db, const char *given, bool make, struct sk_err *err) {
  char path[PATH_MAX], folder[PATH_MAX], real[PATH_MAX];
  struct stat st;
  memcpy(path, given, strlen(given) + 1);
  enum sk_code code = follow_links(path, err);
  if (code != SK_OK) return code;
  size_t name = split(path, folder);
  if (make && (code = make_folder(given, folder, err)) != SK_OK) return code;
  if ((stat(path, &st) == 0 && S_ISDIR(st.st_mode)) || path[name] == '\0')
    return sk_err_set(err, SK_EUNAVAILABLE, "%s: a folder, expected a file", given);
  if (realpath(folder, real) != NULL) return keep_paths(db, real, path + name, err);
  if (!make && (errno == ENOENT || errno == ENOTDIR)) return sk_err_set(err, SK_ENOTFOUND, "no store at %s", given);
  return sk_err_set(err, SK_EUNAVAILABLE, "%s: %s", given, strerror(errno));
}

static bool is_name(const char *p, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (!((p[i] >= 'a' && p[i] <= 'z') || p[i] == '_')) return false;
  return n > 0;
}

/* Cuts "?timeout=SECONDS" off a path.  A "?" that no "name=" follows is part of the file's name. */
static enum sk_code take_params(struct sq_db *db, char *path, struct sk_err *err) {
  char *mark = strrchr(path, '?'), *equals = mark ? strchr(mark, '=') : NULL, *end;
  db->timeout_ms = SK_STORE_TIMEOUT_MS;
  if (equals == NULL || !is_name(mark + 1, (size_t)(equals - mark - 1))) return SK_OK;
  if ((size_t)(equals - mark) != sizeof "timeout" || memcmp(mark + 1, "timeout", sizeof "timeout" - 1) != 0)
    return sk_err_set(err, SK_EINVAL, "store URL: parameter \"%.80s\": expected timeout", mark + 1);
  long seconds = strtol(equals + 1, &end, 10);
  if (end == equals + 1 || *end != '\0' || seconds < 1 || seconds > TIMEOUT_S_MAX)
    return sk_err_set(err, SK_EINVAL, "store URL: timeout \"%.80s\": expected seconds, 1 to %d", equals + 1,
                      TIMEOUT_S_MAX);
  db->timeout_ms = seconds * 1000;
  *mark = '\0';
  return SK_OK;
}

enum sk_code sk_sq_files_find(struct sq_db *db, const struct sk_store_options *options, struct sk_err *err) {
  struct sk_arena arena = { 0 };
  struct sk_url url;
  char path[PATH_MAX];
  enum sk_code code = sk_url_parse(options->url, &arena, &url, err);
  if (code == SK_OK && url.path.n >= sizeof path) code = too_long(url.path.p, err);
  if (code == SK_OK) memcpy(path, url.path.p, url.path.n + 1);
  sk_arena_fini(&arena);
  if (code == SK_OK) code = take_params(db, path, err);
  return code == SK_OK ? resolve(db, path, !options->must_exist, err) : code;
}

/* -- whose they are ------------------------------------------------------------------------------------------------ */

struct beside {
  char path[PATH_MAX + 8];
};

static struct beside beside(const struct sq_db *db, const char *suffix) {
  struct beside b;
  snprintf(b.path, sizeof b.path, "%s%s", db->path, suffix);
  return b;
}

/* May the database's owner use it as well as we? */
static bool suits_owner(const struct stat *st, const struct stat *of) {
  return st->st_uid == of->st_uid || st->st_gid == of->st_gid || (st->st_mode & 0006) == 0006;
}

/* Makes a new file with the database's owner and mode, whatever the umask is.  Returns its descriptor; -1 with errno
 * when that fails, and then no file is left. */
static int make_beside(const struct sq_db *db, const char *path) {
  struct stat of, st;
  if (stat(db->path, &of) != 0) return -1;
  int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return -1;
  bool given = fchown(fd, geteuid() == 0 ? of.st_uid : (uid_t)-1, of.st_gid) == 0;
  if (fchmod(fd, of.st_mode & 0666) == 0 && fstat(fd, &st) == 0 && (given || suits_owner(&st, &of))) return fd;
  unlink(path);
  close(fd);
  errno = EPERM;
  return -1;
}

int sk_sq_files_open_lock(const struct sq_db *db) {
  for (int tries = 0; tries < 2; tries++) {
    int fd = open(db->lock_path, O_RDWR | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) fd = make_beside(db, db->lock_path);
    if (fd >= 0 || errno != EEXIST) return fd; /* else another process has just made it */
  }
  return -1;
}

enum sk_code sk_sq_files_complete(struct sq_db *db) {
  static const char *const suffixes[] = { "-wal", "-shm" };
  for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
    struct beside b = beside(db, suffixes[i]);
    int fd = make_beside(db, b.path);
    if (fd >= 0)
      close(fd);
    else if (errno != EEXIST)
      return sk_err_set(&db->err, SK_EUNAVAILABLE, "%s: it cannot be made for the owner of %s: %s", b.path, db->path,
                        strerror(errno));
  }
  return SK_OK;
}

/* -- what we may do ------------------------------------------------------------------------------------------------ */

static bool may(const char *path, int how) { return faccessat(AT_FDCWD, path, how, AT_EACCESS) == 0; }

static enum sk_code deny(struct sq_db *db, const char *path) {
  return sk_err_set(&db->denied, SK_EUNAVAILABLE, "%s: %s", path, strerror(errno));
}

/* Can the database and each file beside it be written, or made?  db->denied says which can't. */
static enum sk_code check_writing(struct sq_db *db) {
  static const char *const suffixes[] = { "", "-wal", "-shm", "-lock" };
  char folder[PATH_MAX];
  split(db->path, folder);
  bool may_make = may(folder, W_OK | X_OK);
  for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
    struct beside b = beside(db, suffixes[i]);
    if (may(b.path, R_OK | W_OK)) continue;
    if (errno != ENOENT) return deny(db, b.path);
    if (!may_make && !may(folder, W_OK | X_OK)) return deny(db, folder);
  }
  return SK_OK;
}

/* Chooses how a client reads a database that it cannot write. */
static enum sk_code choose_reading(struct sq_db *db, struct sk_err *err) {
  struct beside log = beside(db, "-wal"), index = beside(db, "-shm");
  struct stat st;
  const char *unreadable = may(db->path, R_OK) ? NULL : db->path;
  bool has_log = stat(log.path, &st) == 0, has_index = access(index.path, F_OK) == 0;
  if (!unreadable && has_log && !may(log.path, R_OK)) unreadable = log.path;
  if (!unreadable && has_log && has_index && !may(index.path, R_OK)) unreadable = index.path;
  if (unreadable && !may(unreadable, R_OK))
    return sk_err_set(err, SK_EUNAVAILABLE, "%s: %s", unreadable, strerror(errno));
  db->access = has_log && has_index ? SQ_READS_LIVE : has_log && st.st_size > 0 ? SQ_READS_LOG : SQ_READS_STILL;
  return SK_OK;
}

/* A new, empty database. */
static enum sk_code make_database(struct sq_db *db, struct sk_err *err) {
  char folder[PATH_MAX];
  struct stat st;
  split(db->path, folder);
  mode_t mode = stat(folder, &st) == 0 && (st.st_mode & S_ISGID) ? 0660 : 0600;
  int fd = open(db->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
  if (fd < 0) return errno == EEXIST ? SK_OK : sk_err_set(err, SK_EUNAVAILABLE, "%s: %s", db->path, strerror(errno));
  int rc = fchmod(fd, mode); /* whatever the umask */
  if (rc != 0) sk_err_set(err, SK_EUNAVAILABLE, "%s: %s", db->path, strerror(errno));
  close(fd);
  return rc == 0 ? SK_OK : err->code;
}

enum sk_code sk_sq_files_decide(struct sq_db *db, bool must_exist, bool must_write, struct sk_err *err) {
  struct stat st;
  db->access = SQ_WRITES;
  db->denied = (struct sk_err){ 0 };
  if (stat(db->path, &st) != 0) {
    if (errno != ENOENT && errno != ENOTDIR)
      return sk_err_set(err, SK_EUNAVAILABLE, "%s: %s", db->path, strerror(errno));
    return must_exist ? sk_err_set(err, SK_ENOTFOUND, "no store at %s", db->path) : make_database(db, err);
  }
  if (check_writing(db) == SK_OK) return SK_OK;
  return must_write ? sk_err_set(err, SK_EUNAVAILABLE, "%s", db->denied.message) : choose_reading(db, err);
}

/* -- opening, and what happens meanwhile --------------------------------------------------------------------------- */

/* "file:/path?query", with what has a meaning in a URI written as %XX.  NULL: out of memory. */
static char *uri_of(const char *path, const char *query) {
  char *uri = malloc(3 * strlen(path) + strlen(query) + sizeof "file:?"), *at = uri;
  if (uri == NULL) return NULL;
  at += sprintf(at, "file:");
  for (; *path; path++) at += strchr("?#%", *path) ? sprintf(at, "%%%02X", (unsigned)*path) : sprintf(at, "%c", *path);
  sprintf(at, "?%s", query);
  return uri;
}

static int open_uri(const struct sq_db *db, const char *query, const char *vfs, sqlite3 **out) {
  char *uri = uri_of(db->path, query);
  if (uri == NULL) return SQLITE_NOMEM;
  int rc = sqlite3_open_v2(uri, out, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, vfs);
  free(uri);
  return rc;
}

static void take_stamp(const struct sq_db *db, struct sq_stamp *out) {
  struct beside log = beside(db, "-wal"), index = beside(db, "-shm");
  struct stat file = { 0 }, wal = { 0 };
  memset(out, 0, sizeof *out);
  if (stat(db->path, &file) == 0)
    *out = (struct sq_stamp){ .ino = file.st_ino, .bytes = file.st_size, .changed = file.st_mtim };
  if (stat(log.path, &wal) == 0) {
    out->log_bytes = wal.st_size;
    out->log_changed = wal.st_mtim;
  }
  out->has_index = access(index.path, F_OK) == 0;
}

static bool same_time(const struct timespec *a, const struct timespec *b) {
  return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool sk_sq_files_changed(const struct sq_db *db) {
  if (db->db == NULL) return true;
  if (db->access == SQ_WRITES || db->access == SQ_READS_LIVE) return false;
  struct sq_stamp now;
  take_stamp(db, &now);
  const struct sq_stamp *then = &db->stamp;
  return now.ino != then->ino || now.bytes != then->bytes || !same_time(&now.changed, &then->changed) ||
         now.log_bytes != then->log_bytes || !same_time(&now.log_changed, &then->log_changed) ||
         now.has_index != then->has_index;
}

bool sk_sq_files_are_ours(const struct sq_db *db, int64_t application_id) {
  sqlite3 *look = NULL;
  sqlite3_stmt *st = NULL;
  bool ours = open_uri(db, "mode=ro&immutable=1", NULL, &look) == SQLITE_OK &&
              sqlite3_prepare_v2(look, "PRAGMA application_id", -1, &st, NULL) == SQLITE_OK &&
              sqlite3_step(st) == SQLITE_ROW && sqlite3_column_int64(st, 0) == application_id;
  sqlite3_finalize(st);
  sqlite3_close(look);
  return ours;
}

int sk_sq_files_open(struct sq_db *db, sqlite3 **out) {
  take_stamp(db, &db->stamp);
  switch (db->access) {
  case SQ_WRITES: return sqlite3_open_v2(db->path, out, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
  case SQ_READS_LIVE: return open_uri(db, "mode=ro&readonly_shm=1", NULL, out);
  case SQ_READS_STILL: return open_uri(db, "mode=ro&immutable=1", NULL, out);
  case SQ_READS_LOG: break;
  }
  int rc = open_uri(db, "mode=ro", "unix-none", out); /* whose locks are none: there is no index to hold them */
  if (rc == SQLITE_OK) rc = sqlite3_db_config(*out, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
  return rc == SQLITE_OK ? sqlite3_exec(*out, "PRAGMA locking_mode=EXCLUSIVE", NULL, NULL, NULL) : rc;
}
