/* sqlite_sync_test.c - durability of the sqlite store: what was answered is on the disk, and who need not wait for that
 * does not.
 *
 * fdatasync is counted, held up and made to fail by a definition of it here, which SQLite and the store find first. */
#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "sqlite_world.h"

/* -- the disk ------------------------------------------------------------------------------------------------------ */

static struct {
  pthread_mutex_t lock;
  pthread_cond_t let_go;
  int syncs;          /* that were begun */
  int failing;        /* as many fail */
  bool held;          /* they wait until let go */
  off_t synced_bytes; /* of the file synced last, when that was begun */
} disk = { .lock = PTHREAD_MUTEX_INITIALIZER, .let_go = PTHREAD_COND_INITIALIZER };

/* Seen by libraries too. */
__attribute__((visibility("default"))) int fdatasync(int fd) {
  struct stat st = { .st_size = -1 };
  fstat(fd, &st);
  pthread_mutex_lock(&disk.lock);
  disk.syncs++;
  while (disk.held) pthread_cond_wait(&disk.let_go, &disk.lock);
  bool fails = disk.failing > 0 && disk.failing-- > 0;
  pthread_mutex_unlock(&disk.lock);
  int rc = fails ? -1 : (int)syscall(SYS_fdatasync, fd);
  if (fails) errno = EIO;
  pthread_mutex_lock(&disk.lock);
  if (rc == 0) disk.synced_bytes = st.st_size;
  pthread_mutex_unlock(&disk.lock);
  return rc;
}

static int syncs_taken(void) {
  pthread_mutex_lock(&disk.lock);
  int n = disk.syncs;
  disk.syncs = 0;
  pthread_mutex_unlock(&disk.lock);
  return n;
}

static void hold_syncs(bool held) {
  pthread_mutex_lock(&disk.lock);
  disk.held = held;
  pthread_cond_broadcast(&disk.let_go);
  pthread_mutex_unlock(&disk.lock);
}

static void fail_syncs(int n) {
  pthread_mutex_lock(&disk.lock);
  disk.failing = n;
  pthread_mutex_unlock(&disk.lock);
}

static off_t synced_bytes(void) {
  pthread_mutex_lock(&disk.lock);
  off_t bytes = disk.synced_bytes;
  pthread_mutex_unlock(&disk.lock);
  return bytes;
}

static int let_go(void **state) {
  hold_syncs(false);
  fail_syncs(0);
  return teardown(state);
}

/* -- tests --------------------------------------------------------------------------------------------------------- */

/* Of the log, which only grows in these tests. */
static off_t log_bytes(const struct world *w) {
  char path[160];
  struct stat st;
  snprintf(path, sizeof path, "%s-wal", w->path);
  assert_int_equal(stat(path, &st), 0);
  return st.st_size;
}

static void full_durability_syncs_what_was_promised(void **state) {
  struct world *w = *state;
  assert_int_equal(open_store(w, .engine = "e"), SK_OK);
  syncs_taken();
  assert_int_equal(put(w, 10, 10, 0), SK_OK);
  assert_int_equal(syncs_taken(), 1);
  assert_int_equal(synced_bytes(), log_bytes(w));
  struct sk_fetch_op held = fetch(w, 10);
  beat(w);
  assert_int_equal(syncs_taken(), 0); /* at a power cut they are READY again */
  assert_true(synced_bytes() < log_bytes(w));
  assert_int_equal(settle(w, &held, SK_SETTLE_DONE, 0), SK_OK);
  assert_int_equal(syncs_taken(), 1);
  assert_int_equal(synced_bytes(), log_bytes(w));
  sk_op_fini(&held.op);
}

/* An operation on one job that is submitted and not waited for. */
struct lone {
  struct sk_enqueue_op enqueue;
  struct sk_enqueue_item item;
  int waiting;
};

static void on_lone(struct sk_op *op, void *ctx) {
  (void)op;
  --*(int *)ctx;
}

static void submit_lone(struct world *w, struct lone *l, const char *id) {
  l->item = (struct sk_enqueue_item){
    .id = sk_str_c(id), .queue = SK_STR_LIT("q"), .task = SK_STR_LIT("t"), .record = SK_STR_LIT("r")
  };
  l->enqueue = (struct sk_enqueue_op){ .op = { .cb = on_lone, .ctx = &l->waiting }, .items = &l->item, .items_n = 1 };
  l->waiting = 1;
  w->store->ops->enqueue(w->store, &l->enqueue);
}

static void await_lone(struct world *w, struct lone *l) {
  while (l->waiting > 0) sk_loop_turn(w->loop, true);
}

static void nothing_is_answered_before_its_sync_and_a_fetch_does_not_wait_for_it(void **state) {
  struct world *w = *state;
  struct lone lone;
  assert_int_equal(open_store(w, .engine = "e"), SK_OK);
  syncs_taken();
  hold_syncs(true);
  submit_lone(w, &lone, "a");
  while (count(w, SK_STATE_READY) == 0) { /* until it is committed */
  }
  struct sk_fetch_op held = fetch(w, 1);
  assert_int_equal(held.jobs_n, 1);
  beat(w);
  assert_int_equal(lone.waiting, 1);
  hold_syncs(false);
  await_lone(w, &lone);
  assert_int_equal(lone.enqueue.op.status, SK_OK);
  assert_int_equal(syncs_taken(), 1);

  hold_syncs(true);
  struct sk_settle_item item = {
    .id = held.jobs[0].id, .queue = held.jobs[0].queue, .fence = held.jobs[0].fence, .kind = SK_SETTLE_DONE
  };
  int waiting = 1;
  struct sk_settle_op settle_op = { .op = { .cb = on_lone, .ctx = &waiting }, .items = &item, .items_n = 1 };
  w->store->ops->settle(w->store, &settle_op);
  while (count(w, SK_STATE_RUNNING) == 1) {}
  struct sk_fetch_op none = fetch(w, 1);
  assert_int_equal(none.jobs_n, 0);
  assert_int_equal(waiting, 1);
  hold_syncs(false);
  while (waiting > 0) sk_loop_turn(w->loop, true);
  assert_int_equal(settle_op.op.status, SK_OK);
  assert_int_equal(item.status, SK_OK);
  sk_op_fini(&none.op);
  sk_op_fini(&held.op);
}

static void commits_that_wait_share_a_sync(void **state) {
  struct world *w = *state;
  enum { COMMITS = 6 };
  struct lone lones[COMMITS];
  static const char *const ids[COMMITS] = { "a", "b", "c", "d", "e", "f" };
  assert_int_equal(open_store(w), SK_OK);
  assert_int_equal(put(w, 1, 10, 0), SK_OK);
  syncs_taken();
  hold_syncs(true);
  for (int i = 0; i < COMMITS; i++) {
    submit_lone(w, &lones[i], ids[i]);
    while (count(w, SK_STATE_READY) < i + 2) {}
  }
  hold_syncs(false);
  for (int i = 0; i < COMMITS; i++) await_lone(w, &lones[i]);
  assert_in_range(syncs_taken(), 1, 2); /* the first commits', and one that all others waited for */
  assert_int_equal(synced_bytes(), log_bytes(w));
}

static void close_waits_for_the_disk(void **state) {
  struct world *w = *state;
  struct lone lone;
  assert_int_equal(open_store(w), SK_OK);
  hold_syncs(true);
  submit_lone(w, &lone, "a");
  while (count(w, SK_STATE_READY) == 0) {}
  w->store->ops->close(w->store, on_closed, w);
  for (int i = 0; i < 100; i++) sk_loop_turn(w->loop, false);
  assert_int_equal(lone.waiting, 1);
  assert_false(w->closed);
  hold_syncs(false);
  await_lone(w, &lone);
  assert_int_equal(lone.enqueue.op.status, SK_OK);
  while (!w->closed) sk_loop_turn(w->loop, true);
  w->store = NULL;
  sk_loop_free(w->loop);
}

static void after_a_failed_sync_nothing_is_promised_until_the_log_is_emptied(void **state) {
  struct world *w = *state;
  assert_int_equal(open_store(w), SK_OK);
  assert_int_equal(put(w, 1, 10, 0), SK_OK);
  fail_syncs(1);
  assert_int_equal(put(w, 1, 10, 0), SK_EUNKNOWN);
  assert_says(w, w->path);
  assert_says(w, strerror(EIO));
  assert_int_equal(count(w, SK_STATE_READY), 2);

  /* The log can't be emptied while another program reads from it, and syncs that work now prove nothing. */
  sqlite3 *reader;
  assert_int_equal(sqlite3_open(w->path, &reader), SQLITE_OK);
  assert_int_equal(sqlite3_exec(reader, "BEGIN; SELECT count(*) FROM job", NULL, NULL, NULL), SQLITE_OK);
  assert_int_equal(put(w, 1, 10, 0), SK_EUNKNOWN);
  assert_says(w, "an earlier sync failed");
  assert_int_equal(put(w, 1, 10, 0), SK_EUNKNOWN);
  sqlite3_close(reader);

  /* The first sync of the next try fails as well: SQLite's descriptor is told of the failure, too. */
  fail_syncs(1);
  assert_int_equal(put(w, 1, 10, 0), SK_OK);
  assert_int_equal(log_bytes(w), 0);
  assert_int_equal(count(w, SK_STATE_READY), 5);
  assert_int_equal(put(w, 1, 10, 0), SK_OK);
  assert_true(log_bytes(w) > 0);
  assert_int_equal(synced_bytes(), log_bytes(w));
  close_store(w);
  assert_sound(w->path);
}

static void normal_durability_does_not_wait_for_the_disk(void **state) {
  struct world *w = *state;
  assert_int_equal(open_store(w, .engine = "e", .normal = true), SK_OK);
  syncs_taken();
  assert_int_equal(put(w, 10, 10, 0), SK_OK);
  struct sk_fetch_op held = fetch(w, 10);
  assert_int_equal(settle(w, &held, SK_SETTLE_DONE, 0), SK_OK);
  assert_int_equal(syncs_taken(), 0);
  sk_op_fini(&held.op);
}

static void operations_submitted_together_share_a_commit(void **state) {
  struct world *w = *state;
  enum { OPS = 50 };
  struct sk_enqueue_op ops[OPS];
  struct sk_enqueue_item items[OPS];
  char ids[OPS][16];
  assert_int_equal(open_store(w), SK_OK);
  syncs_taken();
  for (int i = 0; i < OPS; i++) {
    snprintf(ids[i], sizeof ids[i], "j%d", i);
    items[i] = (struct sk_enqueue_item){ .id = sk_str_c(ids[i]), .queue = SK_STR_LIT("q"), .task = SK_STR_LIT("t") };
    items[i].record = SK_STR_LIT("r");
    ops[i] = (struct sk_enqueue_op){ .op = { .cb = on_op, .ctx = w }, .items = &items[i], .items_n = 1 };
    w->waiting++;
    w->store->ops->enqueue(w->store, &ops[i]);
  }
  while (w->waiting > 0) sk_loop_turn(w->loop, true);
  for (int i = 0; i < OPS; i++) assert_int_equal(ops[i].op.status, SK_OK);
  assert_true(syncs_taken() < OPS / 2);
  assert_int_equal(count(w, SK_STATE_READY), OPS);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, let_go)
  const struct CMUnitTest tests[] = {
    T(full_durability_syncs_what_was_promised),
    T(nothing_is_answered_before_its_sync_and_a_fetch_does_not_wait_for_it),
    T(commits_that_wait_share_a_sync),
    T(close_waits_for_the_disk),
    T(after_a_failed_sync_nothing_is_promised_until_the_log_is_emptied),
    T(normal_durability_does_not_wait_for_the_disk),
    T(operations_submitted_together_share_a_commit),
  };
  return cmocka_run_group_tests_name("sqlite sync", tests, NULL, NULL);
}
