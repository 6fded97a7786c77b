/* sqlite.c - the handle of the sqlite store: the slots of store.h, its thread, batches and chores, the `changed` event.
 *
 * One thread of the store's own does all that touches the file, so that no fsync delays the loop.  The thread takes all
 * that is submitted, up to BATCH_WEIGHT_MAX, as one batch: the writing operations in one transaction with one commit,
 * then the reading operations, then it sends all answers.  When a batch fails, each of its operations is tried in a
 * transaction of its own, so that an operation fails for its own reasons only.
 *
 * With durability full, an operation that must last is answered when a second thread has synced the log (sync.c).  The
 * others of its batch, and later batches, do not wait for that.  So answers may come in another order than the
 * submissions, and jobs that are not on the disk yet can already be fetched and listed.
 *
 * Between batches the thread does checkpoints and the long chores, a bounded step of each at a time: gets and lists
 * that need several steps, changes by filter, backups, expiry, takeovers. */
#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "io/loop.h"
#include "store/sqlite/sqlite.h"

enum {
  BATCH_WEIGHT_MAX = 2048, /* about so many items in one transaction; an operation is never split */
  READ_TRIES = 10,         /* of a read whose files change meanwhile */
  HINT_PAUSE_MS = 1,       /* between two looks for commits of others */
  KEEP_ALIVE_MS = 1000000000,
};

enum kind { ENQUEUE, FETCH, SETTLE, BEAT, GET, LIST, COUNT, CHANGE, PAUSE, PROGRESS, DECLARE, TASKS, BACKUP };

struct sq_store {
  struct sk_store store; /* first: the vtable sees this */
  struct sq_db *db;      /* the thread's */
  struct sq_sync *sync;  /* the thread's; NULL: durability normal */
  pthread_t thread;

  /* Fields of the loop's thread. */
  struct sk_async *wake;
  struct sk_timer *keep_alive; /* runs while operations are submitted: only then the loop must go on */
  struct sk_watch *watch;      /* of PATH-lock; NULL: there are no events, or the file cannot be watched */
  struct sk_timer *hint_pause;
  bool hinted; /* a hint came during the pause */
  size_t submitted;
  struct sk_store_events events;
  void (*close_cb)(void *ctx);
  void *close_ctx;
  _Atomic bool hurry; /* read by the thread */

  /* Fields of the store's thread. */
  struct sk_list sweeps;    /* of sk_op.node: filtered changes */
  struct sq_sweep sweep;    /* the first of them; op NULL: not begun */
  struct sk_list walks;     /* of sq_walk.node: gets, lists and counts that take several steps */
  struct sk_list backups;   /* of sk_op.node */
  struct sq_backup *backup; /* the first of them; NULL: not begun */
  int64_t told_version;     /* PRAGMA data_version when `changed` was last told */

  pthread_mutex_t lock; /* guards what follows */
  pthread_cond_t work;
  struct sk_list pending; /* of sk_op.node */
  struct sk_list answers; /* of sk_op.node */
  bool check;             /* someone may have committed: look */
  bool closing;
  bool changed;
  bool finished; /* the thread has ended */
};

/* -- batches: on the thread ---------------------------------------------------------------------------------------- */

static bool is_read(const struct sk_op *op) {
  return op->kind == GET || op->kind == LIST || op->kind == COUNT || op->kind == TASKS;
}

/* Must the effect survive a power cut?  Moves to RUNNING and back need not: the jobs are READY then. */
static bool is_durable(const struct sk_op *op) {
  return op->kind == ENQUEUE || op->kind == SETTLE || op->kind == CHANGE || op->kind == PAUSE || op->kind == DECLARE;
}

static bool is_sweep(const struct sk_op *op) {
  return op->kind == CHANGE && ((const struct sk_change_op *)(const void *)op)->ids_n == 0;
}

static size_t weight_of(const struct sk_op *op) {
  const void *whole = op;
  switch ((enum kind)op->kind) {
  case ENQUEUE: return 1 + ((const struct sk_enqueue_op *)whole)->items_n;
  case FETCH: return 1 + ((const struct sk_fetch_op *)whole)->want;
  case SETTLE: return 1 + ((const struct sk_settle_op *)whole)->items_n;
  case CHANGE: return 1 + ((const struct sk_change_op *)whole)->ids_n;
  case BEAT:
  case GET:
  case LIST:
  case COUNT:
  case PAUSE:
  case PROGRESS:
  case DECLARE:
  case TASKS:
  case BACKUP: break;
  }
  return 1;
}

static enum sk_code perform(struct sq_db *db, struct sk_op *op) {
  void *whole = op;
  sk_arena_fini(&op->arena); /* of a try that was rolled back */
  switch ((enum kind)op->kind) {
  case ENQUEUE: return sk_sq_enqueue(db, whole);
  case FETCH: return sk_sq_fetch(db, whole);
  case SETTLE: return sk_sq_settle(db, whole);
  case BEAT: return sk_sq_beat(db, whole);
  case CHANGE: return sk_sq_change_ids(db, whole);
  case PAUSE: return sk_sq_pause(db, whole);
  case PROGRESS: return sk_sq_progress(db, whole);
  case DECLARE: return sk_sq_declare(db, whole);
  case TASKS: return sk_sq_tasks(db, whole);
  case GET:
  case LIST:
  case COUNT:
  case BACKUP: break; /* in steps */
  }
  return SK_EUNSUPPORTED;
}

/* Finishes an operation after its commit. */
static void committed(struct sq_db *db, struct sk_op *op) {
  if (op->kind == FETCH) sk_sq_fetch_done(db, (void *)op);
  if (op->kind == SETTLE) sk_sq_settle_done(db, (void *)op);
  if (op->kind == BEAT) db->self.lost = false; /* it has been told */
}

static void set_status(struct sq_db *db, struct sk_op *op, enum sk_code code) {
  op->status = code;
  if (code != SK_OK) op->err = db->err;
  if (op->kind == BEAT) ((struct sk_beat_op *)(void *)op)->gone = code != SK_OK && db->gone;
}

/* All of `ops` in one transaction; on failure nothing happened, and *culprit is the one that failed: NULL when that was
 * none of them (the transaction did not begin, or not commit), so that the others would fare no better. */
static enum sk_code write_batch(struct sq_db *db, struct sk_list *ops, struct sk_op **culprit) {
  *culprit = NULL;
  enum sk_code code = sk_sq_begin(db);
  if (code != SK_OK) return code;
  SK_LIST_EACH (it, ops) {
    struct sk_op *op = SK_CONTAINER(it, struct sk_op, node);
    code = perform(db, op);
    if (code == SK_OK) continue;
    sk_sq_rollback(db);
    *culprit = op;
    return code;
  }
  code = sk_sq_commit(db);
  if (code != SK_OK) return code;
  if (db->notify) sk_sq_poke(db);
  SK_LIST_EACH (it, ops) {
    struct sk_op *op = SK_CONTAINER(it, struct sk_op, node);
    committed(db, op);
    op->status = SK_OK;
  }
  return SK_OK;
}

static void fail_all(struct sq_db *db, struct sk_list *ops, enum sk_code code) {
  SK_LIST_EACH (it, ops) set_status(db, SK_CONTAINER(it, struct sk_op, node), code);
}

/* The earliest deadline; 0: none has one. */
static int64_t first_deadline(const struct sk_list *ops) {
  int64_t first = 0;
  SK_LIST_EACH (it, ops) {
    int64_t at = SK_CONTAINER(it, struct sk_op, node)->until_ms;
    if (at != 0 && (first == 0 || at < first)) first = at;
  }
  return first;
}

static void write_one_by_one(struct sq_db *db, struct sk_list *ops) {
  struct sk_list left, one;
  struct sk_op *culprit = NULL;
  sk_list_init(&left);
  sk_list_init(&one);
  sk_list_move(&left, ops);
  for (struct sk_list *it; (it = sk_list_pop(&left)) != NULL; sk_list_move(ops, &one)) {
    sk_list_push(&one, it);
    db->deadline_ms = first_deadline(&one);
    enum sk_code code = write_batch(db, &one, &culprit);
    if (code == SK_OK) continue;
    fail_all(db, &one, code);
    if (culprit != NULL) continue;
    fail_all(db, &left, code);
    sk_list_move(&one, &left);
  }
}

/* Moves those whose deadline is over to `late`, failed with code.  False when there are none. */
static bool take_late(struct sq_db *db, struct sk_list *ops, struct sk_list *late, enum sk_code code) {
  int64_t now_ms = sk_clock_mono_ms();
  bool any = false;
  SK_LIST_EACH_SAFE(it, ops) {
    struct sk_op *op = SK_CONTAINER(it, struct sk_op, node);
    if (op->until_ms == 0 || op->until_ms > now_ms) continue;
    set_status(db, op, code);
    sk_list_remove(it);
    sk_list_push(late, it);
    any = true;
  }
  return any;
}

static void write_all(struct sq_db *db, struct sk_list *ops) {
  struct sk_list late;
  sk_list_init(&late);
  while (!sk_list_empty(ops)) {
    struct sk_op *culprit;
    db->deadline_ms = first_deadline(ops);
    enum sk_code code = write_batch(db, ops, &culprit);
    if (code == SK_OK) break;
    bool alone = ops->next == ops->prev;
    if (culprit != NULL && !alone) {
      write_one_by_one(db, ops);
      break;
    }
    if (culprit == NULL && code == SK_EUNAVAILABLE && take_late(db, ops, &late, code))
      continue; /* the others have time */
    fail_all(db, ops, code);
    break;
  }
  db->deadline_ms = 0;
  sk_list_move(ops, &late);
}

/* One reading transaction: a step of the walk, or the whole operation. */
static enum sk_code read_once(struct sq_db *db, struct sk_op *op, struct sq_walk *w) {
  enum sk_code code = sk_sq_files_changed(db) ? sk_sq_reopen(db) : SK_OK;
  if (code == SK_OK) code = sk_sq_begin_read(db);
  if (code != SK_OK) return code;
  code = w ? w->step(w, db) : perform(db, op);
  sk_sq_end_read(db);
  return code;
}

/* Reads again when the files have changed under a connection that holds no lock. */
static enum sk_code read_one(struct sq_db *db, struct sk_op *op, struct sq_walk *w) {
  struct sq_walk before = w ? *w : (struct sq_walk){ 0 };
  enum sk_code code = read_once(db, op, w);
  for (int i = 1; i < READ_TRIES && sk_sq_files_changed(db); i++) {
    if (w) *w = before;
    code = read_once(db, op, w);
  }
  if (code == SK_OK && sk_sq_files_changed(db))
    code = sk_err_set(&db->err, SK_EUNAVAILABLE, "%s: the file changes all the time while it is read: try again",
                      db->path);
  return code;
}

static enum sk_code walk_step(struct sq_db *db, struct sq_walk *w) {
  db->deadline_ms = 0; /* others' transactions are waited for anew in each step */
  return read_one(db, w->op, w);
}

/* The first step of a get, list or count; true: it needs others. */
static bool walk_begin(struct sq_store *s, struct sk_op *op) {
  struct sq_walk *w = malloc(sizeof *w);
  enum sk_code code = w ? SK_OK : sk_sq_no_memory(s->db);
  if (w && op->kind == GET) sk_sq_walk_get(w, (void *)op);
  if (w && op->kind == LIST) sk_sq_walk_list(w, (void *)op);
  if (w && op->kind == COUNT) sk_sq_walk_count(w, (void *)op);
  if (w) code = read_one(s->db, op, w);
  bool goes_on = code == SK_OK && !w->over;
  if (goes_on)
    sk_list_push(&s->walks, &w->node);
  else
    free(w);
  set_status(s->db, op, code);
  return goes_on;
}

static void read_all(struct sq_store *s, struct sk_list *ops) {
  SK_LIST_EACH_SAFE(it, ops) {
    struct sk_op *op = SK_CONTAINER(it, struct sk_op, node);
    bool walks = op->kind == GET || op->kind == LIST || op->kind == COUNT;
    s->db->deadline_ms = op->until_ms;
    if (!walks)
      set_status(s->db, op, read_one(s->db, op, NULL));
    else if (walk_begin(s, op))
      sk_list_remove(it);
  }
  s->db->deadline_ms = 0;
}

/* Sends operations to the loop, which calls their callbacks.  Called on either thread. */
static void answer(void *ctx, struct sk_list *ops) {
  struct sq_store *s = ctx;
  if (sk_list_empty(ops)) return;
  pthread_mutex_lock(&s->lock);
  sk_list_move(&s->answers, ops);
  pthread_mutex_unlock(&s->lock);
  sk_async_send(s->wake);
}

/* Answers operations that are committed or failed; those that must last only when they are on the disk. */
static void answer_written(struct sq_store *s, struct sk_list *ops) {
  struct sk_list lasting, others;
  sk_list_init(&lasting);
  sk_list_init(&others);
  for (struct sk_list *it; (it = sk_list_pop(ops)) != NULL;) {
    const struct sk_op *op = SK_CONTAINER(it, struct sk_op, node);
    sk_list_push(s->sync != NULL && op->status == SK_OK && is_durable(op) ? &lasting : &others, it);
  }
  answer(s, &others);
  if (sk_list_empty(&lasting)) return;
  if (sk_sq_sync_failed(s->sync) && sk_sq_start_over(s->db) == SK_OK) sk_sq_sync_mended(s->sync);
  sk_sq_sync_wait(s->sync, &lasting);
}

static void run_batch(struct sq_store *s, struct sk_list *batch) {
  struct sk_list writes, reads;
  sk_list_init(&writes);
  sk_list_init(&reads);
  for (struct sk_list *it; (it = sk_list_pop(batch)) != NULL;) {
    const struct sk_op *op = SK_CONTAINER(it, struct sk_op, node);
    sk_list_push(is_read(op) ? &reads : is_sweep(op) ? &s->sweeps : op->kind == BACKUP ? &s->backups : &writes, it);
  }
  write_all(s->db, &writes);
  answer_written(s, &writes);
  read_all(s, &reads);
  answer(s, &reads);
}

/* -- chores: on the thread ----------------------------------------------------------------------------------------- */

static void answer_one(struct sq_store *s, struct sk_op *op, bool written) {
  struct sk_list done;
  sk_list_init(&done);
  sk_list_push(&done, &op->node);
  if (written)
    answer_written(s, &done);
  else
    answer(s, &done);
}

/* A step of the first filtered change, which is answered when it is done or fails. */
static void sweep_on(struct sq_store *s) {
  struct sk_op *op = SK_CONTAINER(s->sweeps.next, struct sk_op, node);
  if (s->sweep.op == NULL) sk_sq_sweep(&s->sweep, (void *)op);
  enum sk_code code = sk_sq_sweep_step(s->db, &s->sweep);
  if (code == SK_OK && !s->sweep.over && atomic_load(&s->hurry))
    code = sk_err_set(&s->db->err, SK_EUNKNOWN, "change: this process stops: some jobs were changed and others not");
  if (code == SK_OK && !s->sweep.over) return;
  set_status(s->db, op, code);
  s->sweep = (struct sq_sweep){ 0 };
  sk_list_remove(&op->node);
  answer_one(s, op, true);
}

/* A step of the first get or list that takes several; then it is the next one's turn. */
static void walk_on(struct sq_store *s) {
  struct sq_walk *w = SK_CONTAINER(sk_list_pop(&s->walks), struct sq_walk, node);
  enum sk_code code = walk_step(s->db, w);
  if (code == SK_OK && !w->over && atomic_load(&s->hurry))
    code = sk_err_set(&s->db->err, SK_EUNAVAILABLE, "list: this process stops");
  if (code == SK_OK && !w->over) {
    sk_list_push(&s->walks, &w->node);
    return;
  }
  set_status(s->db, w->op, code);
  answer_one(s, w->op, false);
  free(w);
}

static void expire_on(struct sq_store *s) {
  enum sk_code code = sk_sq_begin(s->db);
  if (code == SK_OK) code = sk_sq_end(s->db, sk_sq_expire(s->db));
  if (code != SK_OK) s->db->expiry_due = false; /* the next beat tries again */
}

/* Makes READY the next jobs of a dead engine, and tells the loop, since this engine may fetch them. */
static void recover_on(struct sq_store *s) {
  size_t recovered = 0;
  enum sk_code code = sk_sq_begin(s->db);
  if (code == SK_OK) code = sk_sq_end(s->db, sk_sq_recover(s->db, &recovered));
  if (code != SK_OK) s->db->giving = 0; /* the next beat tries again */
  if (code != SK_OK || recovered == 0) return;
  pthread_mutex_lock(&s->lock);
  s->changed = true;
  pthread_mutex_unlock(&s->lock);
  sk_async_send(s->wake);
}

/* Does a step of the first backup, which is answered when it is done or fails. */
static void backup_on(struct sq_store *s) {
  struct sk_op *op = SK_CONTAINER(s->backups.next, struct sk_op, node);
  struct sk_backup_op *whole = (void *)op;
  bool done = false;
  enum sk_code code = s->backup ? SK_OK : sk_sq_backup_begin(s->db, whole->path, &s->backup);
  if (code == SK_OK && atomic_load(&s->hurry))
    code = sk_err_set(&s->db->err, SK_EUNAVAILABLE, "backup: not finished, because this process stops");
  if (code == SK_OK) code = sk_sq_backup_step(s->backup, &done);
  if (code == SK_OK && !done) return;
  if (code == SK_OK) code = sk_sq_backup_finish(s->backup, &whole->bytes);
  set_status(s->db, op, code);
  if (s->backup) sk_sq_backup_end(s->backup);
  s->backup = NULL;
  sk_list_remove(&op->node);
  answer_one(s, op, false);
}

static bool has_chores(const struct sq_store *s) {
  return !sk_list_empty(&s->sweeps) || !sk_list_empty(&s->walks) || !sk_list_empty(&s->backups) || s->db->expiry_due ||
         s->db->giving != 0 || (s->db->shrink_due && sk_clock_mono_ms() >= s->db->shrink_at_ms);
}

static void check_changed(struct sq_store *s) {
  if (s->db->db == NULL || !sk_sq_changed_by_others(s->db, &s->told_version)) return;
  pthread_mutex_lock(&s->lock);
  s->changed = true;
  pthread_mutex_unlock(&s->lock);
  sk_async_send(s->wake);
}

/* -- the thread ---------------------------------------------------------------------------------------------------- */

static void wait_for_work(struct sq_store *s) {
  if (!s->db->shrink_due) {
    pthread_cond_wait(&s->work, &s->lock);
    return;
  }
  int64_t at_ms = s->db->shrink_at_ms;
  struct timespec at = { .tv_sec = at_ms / 1000, .tv_nsec = at_ms % 1000 * 1000000 };
  pthread_cond_timedwait(&s->work, &s->lock, &at);
}

/* Waits for work, and takes a batch of it.  *check: somebody else may have committed.  False when the store is closing
 * and all is done. */
static bool next_work(struct sq_store *s, struct sk_list *batch, bool *check) {
  pthread_mutex_lock(&s->lock);
  while (sk_list_empty(&s->pending) && !s->check && !s->closing && !has_chores(s)) wait_for_work(s);
  size_t weight = 0;
  while (!sk_list_empty(&s->pending)) {
    struct sk_list *first = s->pending.next;
    weight += weight_of(SK_CONTAINER(first, struct sk_op, node));
    if (weight > BATCH_WEIGHT_MAX && !sk_list_empty(batch)) break;
    sk_list_remove(first);
    sk_list_push(batch, first);
  }
  *check = s->check;
  s->check = false;
  bool over = s->closing && sk_list_empty(batch) && sk_list_empty(&s->sweeps) && sk_list_empty(&s->walks) &&
              sk_list_empty(&s->backups);
  pthread_mutex_unlock(&s->lock);
  return !over;
}

static void finish(struct sq_store *s) {
  if (s->sync != NULL) sk_sq_sync_stop(s->sync);
  if (s->db->self.num != 0 && !s->db->gone && sk_sq_sign_off(s->db) != SK_OK && s->db->log)
    sk_logf(s->db->log, SK_LOG_WARN, "%s; its jobs are ready again when the store is opened next", s->db->err.message);
  if (s->db->self.num != 0 && !atomic_load(&s->hurry)) sk_sq_space_close(s->db);
  sk_sq_db_close(s->db); /* which copies the log into the database if no one else has it open */
  pthread_mutex_lock(&s->lock);
  s->finished = true;
  pthread_mutex_unlock(&s->lock);
  sk_async_send(s->wake);
}

static void *thread_main(void *arg) {
  struct sq_store *s = arg;
  struct sk_list batch;
  sk_list_init(&batch);
  for (bool check; next_work(s, &batch, &check);) {
    run_batch(s, &batch);
    if (check) check_changed(s);
    sk_sq_space_tidy(s->db);
    if (!sk_list_empty(&s->walks)) walk_on(s);
    if (!sk_list_empty(&s->sweeps)) sweep_on(s);
    if (!sk_list_empty(&s->backups)) backup_on(s);
    if (s->db->expiry_due) expire_on(s);
    if (s->db->shrink_due) sk_sq_space_shrink(s->db);
    if (s->db->giving != 0) recover_on(s);
  }
  finish(s);
  return NULL;
}

/* -- the loop's side ----------------------------------------------------------------------------------------------- */

static void on_nothing(void *ctx) { (void)ctx; }

static void store_free(struct sq_store *s) {
  sk_async_free(s->wake);
  sk_timer_free(s->keep_alive);
  sk_timer_free(s->hint_pause);
  sk_watch_free(s->watch);
  pthread_mutex_destroy(&s->lock);
  pthread_cond_destroy(&s->work);
  free(s);
}

static void on_wake(void *ctx) {
  struct sq_store *s = ctx;
  struct sk_list answers;
  sk_list_init(&answers);
  pthread_mutex_lock(&s->lock);
  sk_list_move(&answers, &s->answers);
  bool changed = s->changed, finished = s->finished;
  s->changed = false;
  pthread_mutex_unlock(&s->lock);
  if (changed && s->close_cb == NULL) s->events.changed(s->events.ctx);
  for (struct sk_list *it; (it = sk_list_pop(&answers)) != NULL;) {
    struct sk_op *op = SK_CONTAINER(it, struct sk_op, node);
    if (--s->submitted == 0 && s->close_cb == NULL) sk_timer_stop(s->keep_alive);
    op->cb(op, op->ctx);
  }
  if (!finished) return;
  pthread_join(s->thread, NULL);
  void (*cb)(void *) = s->close_cb;
  void *cb_ctx = s->close_ctx;
  store_free(s);
  cb(cb_ctx);
}

static void ask_check(struct sq_store *s) {
  pthread_mutex_lock(&s->lock);
  s->check = true;
  pthread_cond_signal(&s->work);
  pthread_mutex_unlock(&s->lock);
}

/* Called when somebody, maybe this handle, has committed something.  Has the thread look, at most once in
 * HINT_PAUSE_MS. */
static void on_hint(void *ctx) {
  struct sq_store *s = ctx;
  if (s->close_cb != NULL) return;
  if (sk_timer_active(s->hint_pause)) {
    s->hinted = true;
    return;
  }
  sk_timer_start(s->hint_pause, HINT_PAUSE_MS);
  ask_check(s);
}

static void on_hint_pause(void *ctx) {
  struct sq_store *s = ctx;
  if (!s->hinted) return;
  s->hinted = false;
  on_hint(s);
}

/* Must it be answered within the timeout of the URL?  Engines repeat their own operations by themselves. */
static bool has_deadline(enum kind kind) {
  return kind == ENQUEUE || kind == GET || kind == LIST || kind == COUNT || kind == CHANGE || kind == PAUSE ||
         kind == TASKS;
}

/* Submits an operation, or answers it with the status `checked` when a check refused it (op->err has the sentence). */
static void submit(struct sk_store *store, struct sk_op *op, enum kind kind, enum sk_code checked) {
  struct sq_store *s = SK_CONTAINER(store, struct sq_store, store);
  assert(s->close_cb == NULL && op->cb != NULL);
  op->arena = (struct sk_arena){ 0 };
  op->kind = (int)kind;
  op->status = checked;
  op->until_ms = !has_deadline(kind) ? 0 : op->deadline_ms ? op->deadline_ms : sk_clock_mono_ms() + store->timeout_ms;
  if (s->submitted++ == 0) sk_timer_start(s->keep_alive, KEEP_ALIVE_MS);
  pthread_mutex_lock(&s->lock);
  sk_list_push(checked == SK_OK ? &s->pending : &s->answers, &op->node);
  if (checked == SK_OK) pthread_cond_signal(&s->work);
  pthread_mutex_unlock(&s->lock);
  if (checked != SK_OK) sk_async_send(s->wake);
}

/* -- slots --------------------------------------------------------------------------------------------------------- */

static enum sk_code check_engine(struct sk_store *store, const char *what, struct sk_err *err) {
  const struct sq_db *db = SK_CONTAINER(store, struct sq_store, store)->db;
  return sk_check_engine(db->self.name.n > 0, what, err); /* the name was set before the thread started */
}

static void sqlite_enqueue(struct sk_store *store, struct sk_enqueue_op *op) {
  op->op.err = (struct sk_err){ 0 };
  submit(store, &op->op, ENQUEUE, sk_check_enqueue(op->items, op->items_n, &op->op.err));
}

static void sqlite_fetch(struct sk_store *store, struct sk_fetch_op *op) {
  op->op.err = (struct sk_err){ 0 };
  op->jobs = NULL;
  op->jobs_n = 0;
  enum sk_code code = check_engine(store, "fetch", &op->op.err);
  if (code == SK_OK) code = sk_check_fetch(op, &op->op.err);
  submit(store, &op->op, FETCH, code);
}

static void sqlite_settle(struct sk_store *store, struct sk_settle_op *op) {
  op->op.err = (struct sk_err){ 0 };
  enum sk_code code = check_engine(store, "settle", &op->op.err);
  if (code == SK_OK) code = sk_check_settle(op, &op->op.err);
  submit(store, &op->op, SETTLE, code);
}

static void sqlite_beat(struct sk_store *store, struct sk_beat_op *op) {
  op->op.err = (struct sk_err){ 0 };
  submit(store, &op->op, BEAT, check_engine(store, "beat", &op->op.err));
}

static void sqlite_get(struct sk_store *store, struct sk_get_op *op) {
  op->op.err = (struct sk_err){ 0 };
  submit(store, &op->op, GET, SK_OK);
}

static void sqlite_list(struct sk_store *store, struct sk_list_op *op) {
  op->op.err = (struct sk_err){ 0 };
  op->views = NULL;
  op->views_n = 0;
  submit(store, &op->op, LIST, sk_check_list(op, &op->op.err));
}

static void sqlite_count(struct sk_store *store, struct sk_count_op *op) {
  op->op.err = (struct sk_err){ 0 };
  submit(store, &op->op, COUNT, SK_OK);
}

static void sqlite_change(struct sk_store *store, struct sk_change_op *op) {
  op->op.err = (struct sk_err){ 0 };
  op->changed = 0;
  submit(store, &op->op, CHANGE, SK_OK);
}

static void sqlite_pause(struct sk_store *store, struct sk_pause_op *op) {
  op->op.err = (struct sk_err){ 0 };
  submit(store, &op->op, PAUSE, sk_check_pause(op, &op->op.err));
}

static void sqlite_progress(struct sk_store *store, struct sk_progress_op *op) {
  op->op.err = (struct sk_err){ 0 };
  submit(store, &op->op, PROGRESS, check_engine(store, "progress", &op->op.err));
}

static void sqlite_declare(struct sk_store *store, struct sk_declare_op *op) {
  op->op.err = (struct sk_err){ 0 };
  submit(store, &op->op, DECLARE, sk_check_declare(op, &op->op.err));
}

static void sqlite_tasks(struct sk_store *store, struct sk_tasks_op *op) {
  op->op.err = (struct sk_err){ 0 };
  submit(store, &op->op, TASKS, SK_OK);
}

static void sqlite_backup(struct sk_store *store, struct sk_backup_op *op) {
  op->op.err = (struct sk_err){ 0 };
  submit(store, &op->op, BACKUP, SK_OK);
}

static void sqlite_close(struct sk_store *store, void (*cb)(void *ctx), void *ctx) {
  struct sq_store *s = SK_CONTAINER(store, struct sq_store, store);
  assert(s->close_cb == NULL && cb != NULL);
  s->close_cb = cb;
  s->close_ctx = ctx;
  sk_timer_start(s->keep_alive, KEEP_ALIVE_MS);
  pthread_mutex_lock(&s->lock);
  s->closing = true;
  pthread_cond_signal(&s->work);
  pthread_mutex_unlock(&s->lock);
}

static int64_t sqlite_now_ms(struct sk_store *store) {
  return sk_store_wall_ms(&SK_CONTAINER(store, struct sq_store, store)->db->clock);
}

static void sqlite_hurry(struct sk_store *store) {
  atomic_store(&SK_CONTAINER(store, struct sq_store, store)->hurry, true);
}

static const struct sk_store_ops sqlite_ops = {
  .scheme = "sqlite",
  .closes_to_fork = true, /* in a child it would take the parent's locks for its own (howtocorrupt.html, 2.6) */
  .enqueue = sqlite_enqueue,
  .fetch = sqlite_fetch,
  .settle = sqlite_settle,
  .beat = sqlite_beat,
  .get = sqlite_get,
  .list = sqlite_list,
  .count = sqlite_count,
  .change = sqlite_change,
  .pause = sqlite_pause,
  .progress = sqlite_progress,
  .declare = sqlite_declare,
  .tasks = sqlite_tasks,
  .now_ms = sqlite_now_ms,
  .backup = sqlite_backup,
  .close = sqlite_close,
  .hurry = sqlite_hurry,
};

/* -- open ---------------------------------------------------------------------------------------------------------- */

static enum sk_code start_threads(struct sq_store *s, enum sk_durability durability, struct sk_err *err) {
  bool syncs = durability == SK_DURABLE_FULL && s->db->access == SQ_WRITES;
  enum sk_code code = syncs ? sk_sq_sync_start(s->db, answer, s, &s->sync, err) : SK_OK;
  if (code == SK_OK) code = sk_sq_thread(s->db, &s->thread, thread_main, s, err);
  if (code != SK_OK && s->sync != NULL) sk_sq_sync_stop(s->sync);
  return code;
}

static enum sk_code make_handles(struct sq_store *s, struct sk_loop *loop, struct sk_err *err) {
  s->wake = sk_async_new(loop, on_wake, s);
  s->keep_alive = sk_timer_new(loop, on_nothing, s);
  s->hint_pause = sk_timer_new(loop, on_hint_pause, s);
  if (s->wake == NULL || s->keep_alive == NULL || s->hint_pause == NULL)
    return sk_err_set(err, SK_ENOMEM, "%s: out of memory", s->db->path);
  sk_async_unref(s->wake);
  sk_timer_unref(s->hint_pause);
  if (s->events.changed == NULL || s->db->access != SQ_WRITES) return SK_OK;
  struct sk_err why;
  s->watch = sk_watch_new(loop, s->db->lock_path, on_hint, s, &why);
  if (s->watch != NULL)
    sk_watch_unref(s->watch);
  else if (s->db->log)
    sk_logf(s->db->log, SK_LOG_WARN, "%s: changes by other processes will be noticed late", why.message);
  return SK_OK;
}

enum sk_code sk_sqlite_open(struct sk_loop *loop, const struct sk_store_options *options,
                            const struct sk_store_events *events, struct sk_store **out, struct sk_err *err) {
  struct sk_err local = { 0 };
  if (err == NULL) err = &local;
  struct sq_store *s = calloc(1, sizeof *s);
  if (s == NULL) return sk_err_set(err, SK_ENOMEM, "store: out of memory");
  s->store.ops = &sqlite_ops;
  s->events = events ? *events : (struct sk_store_events){ 0 };
  sk_list_init(&s->sweeps);
  sk_list_init(&s->walks);
  sk_list_init(&s->backups);
  sk_list_init(&s->pending);
  sk_list_init(&s->answers);
  pthread_mutex_init(&s->lock, NULL);
  pthread_condattr_t monotonic;
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&s->work, &monotonic);
  pthread_condattr_destroy(&monotonic);
  s->db = sk_sq_db_open(options, err);
  enum sk_code code = s->db ? make_handles(s, loop, err) : err->code;
  if (code == SK_OK && options->engine.n) {
    code = sk_sq_sign_on(s->db, options->engine, options->lease_ms);
    if (code != SK_OK) *err = s->db->err;
  }
  if (s->db) s->db->hurry = &s->hurry;
  if (s->db) s->store.timeout_ms = s->db->timeout_ms;
  if (code == SK_OK) sk_sq_changed_by_others(s->db, &s->told_version);
  if (code == SK_OK) code = start_threads(s, options->durability, err);
  if (code == SK_OK) {
    *out = &s->store;
    return SK_OK;
  }
  if (s->db) sk_sq_db_close(s->db);
  store_free(s);
  return code;
}
