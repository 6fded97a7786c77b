/* sqlite/sync.c - durability "full": commits do not wait for the disk, their answers do.
 *
 *   store's thread:  commit ── wait ──► waiting ops ──► fdatasync(PATH-wal), once for all that wait ── answer ──►  loop
 *                    commit ...                          on this thread
 *
 * So the store's thread goes on with other operations, and a fetch never waits for the disk.  The log is
 * written in order, and a sync that begins after a commit covers it and all before it.  A commit that a checkpoint has
 * moved out of the log meanwhile is safe too: SQLite (synchronous=NORMAL) syncs the log before it copies from it, and
 * the database before the log may start over (walCheckpoint in its wal.c).
 *
 * The log is synced through a descriptor of our own, since SQLite's belongs to the store's thread.  SQLite takes no
 * POSIX lock on the log (only on the database and PATH-shm), so closing this descriptor drops none.  It stays open as
 * long as the store, so that Linux reports to it every failure to write the log back.  The file stays the same one:
 * SQLite removes it with the last connection, and ours is open.  Its name is on the disk before it holds a commit:
 * SQLite syncs its header and the folder when it begins the log.
 *
 * WHEN A SYNC FAILS, Linux reports that once and then takes the lost pages for written, so a later sync of the same log
 * proves nothing.  Those who waited are told SK_EUNKNOWN, and so is everyone after them, until the store's thread has
 * copied the whole log into the database, synced that, and emptied the log (sk_sq_start_over), which it tries at every
 * commit that wants to last.  What remains: a power cut between a failed sync and the emptied log may leave an old log
 * beside a newer database. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/sqlite/sqlite.h"

struct sq_sync {
  const char *path; /* of the store; borrowed */
  const struct sk_log *log;
  int wal_fd;
  pthread_t thread;
  void (*answer)(void *ctx, struct sk_list *ops);
  void *ctx;

  pthread_mutex_t lock; /* guards what follows */
  pthread_cond_t work;
  struct sk_list waiting; /* of sk_op.node: committed */
  bool failed;            /* the log on the disk may have a hole */
  bool stopping;
};

static int sync_log(const struct sq_sync *y) {
  int rc;
  do rc = fdatasync(y->wal_fd);
  while (rc != 0 && errno == EINTR);
  return rc == 0 ? 0 : errno;
}

static void fail_all(const struct sq_sync *y, struct sk_list *ops, int why) {
  SK_LIST_EACH (it, ops) {
    struct sk_op *op = SK_CONTAINER(it, struct sk_op, node);
    op->status = sk_err_set(&op->err, SK_EUNKNOWN, "%s-wal: done, but it may not have reached the disk: %s", y->path,
                            why ? strerror(why) : "an earlier sync failed");
  }
}

/* Waits for operations to sync; false when there are none and there will be no more. */
static bool next_batch(struct sq_sync *y, struct sk_list *batch, bool *failed) {
  pthread_mutex_lock(&y->lock);
  while (sk_list_empty(&y->waiting) && !y->stopping) pthread_cond_wait(&y->work, &y->lock);
  sk_list_move(batch, &y->waiting);
  *failed = y->failed;
  pthread_mutex_unlock(&y->lock);
  return !sk_list_empty(batch);
}

static void *sync_main(void *arg) {
  struct sq_sync *y = arg;
  struct sk_list batch;
  sk_list_init(&batch);
  for (bool failed; next_batch(y, &batch, &failed); y->answer(y->ctx, &batch)) {
    int why = failed ? 0 : sync_log(y);
    if (!failed && why == 0) continue;
    fail_all(y, &batch, why);
    if (failed) continue;
    if (y->log) sk_logf(y->log, SK_LOG_ERROR, "%s-wal: it cannot be synced to the disk: %s", y->path, strerror(why));
    pthread_mutex_lock(&y->lock);
    y->failed = true;
    pthread_mutex_unlock(&y->lock);
  }
  return NULL;
}

/* -- from the store's thread --------------------------------------------------------------------------------------- */

void sk_sq_sync_wait(struct sq_sync *y, struct sk_list *ops) {
  pthread_mutex_lock(&y->lock);
  sk_list_move(&y->waiting, ops);
  pthread_cond_signal(&y->work);
  pthread_mutex_unlock(&y->lock);
}

bool sk_sq_sync_failed(struct sq_sync *y) {
  pthread_mutex_lock(&y->lock);
  bool failed = y->failed;
  pthread_mutex_unlock(&y->lock);
  return failed;
}

void sk_sq_sync_mended(struct sq_sync *y) {
  pthread_mutex_lock(&y->lock);
  y->failed = false;
  pthread_mutex_unlock(&y->lock);
}

/* -- life ---------------------------------------------------------------------------------------------------------- */

static void sync_free(struct sq_sync *y) {
  if (y->wal_fd >= 0) close(y->wal_fd);
  pthread_mutex_destroy(&y->lock);
  pthread_cond_destroy(&y->work);
  free(y);
}

static int open_log(const char *path) {
  size_t bytes = strlen(path) + sizeof "-wal";
  char *name = malloc(bytes);
  if (name == NULL) return -1; /* errno is ENOMEM */
  snprintf(name, bytes, "%s-wal", path);
  int fd = open(name, O_RDWR | O_CLOEXEC);
  int why = errno;
  free(name);
  errno = why;
  return fd;
}

enum sk_code sk_sq_sync_start(const struct sq_db *db, void (*answer)(void *ctx, struct sk_list *ops), void *ctx,
                              struct sq_sync **out, struct sk_err *err) {
  struct sq_sync *y = calloc(1, sizeof *y);
  if (y == NULL) return sk_err_set(err, SK_ENOMEM, "%s: out of memory", db->path);
  y->path = db->path;
  y->log = db->log;
  y->answer = answer;
  y->ctx = ctx;
  sk_list_init(&y->waiting);
  pthread_mutex_init(&y->lock, NULL);
  pthread_cond_init(&y->work, NULL);
  y->wal_fd = open_log(db->path);
  enum sk_code code = SK_OK;
  if (y->wal_fd < 0)
    code = sk_err_set(err, SK_EUNAVAILABLE, "%s-wal: %s", db->path, strerror(errno));
  else
    code = sk_sq_thread(db, &y->thread, sync_main, y, err);
  if (code == SK_OK)
    *out = y;
  else
    sync_free(y);
  return code;
}

void sk_sq_sync_stop(struct sq_sync *y) {
  pthread_mutex_lock(&y->lock);
  y->stopping = true;
  pthread_cond_signal(&y->work);
  pthread_mutex_unlock(&y->lock);
  pthread_join(y->thread, NULL);
  sync_free(y);
}
