/* sqlite_test.c - what the contract suite (tests/contract) can't see of the sqlite store: its files, other processes, the disk.
 *
 * The full disk is a tmpfs of 2 MB when this process may mount one, else a limit on the size of files; both make write(2) fail.
 * fdatasync is counted by a definition of it here, which SQLite finds first. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/clock.h"
#include "base/id.h"
#include "io/loop.h"
#include "logic/record.h"
#include "store/openers.h"

static int syncs;

__attribute__((visibility("default"))) int fdatasync(int fd) {
  __atomic_add_fetch(&syncs, 1, __ATOMIC_SEQ_CST);
  return (int)syscall(SYS_fdatasync, fd);
}

static int syncs_taken(void) { return __atomic_exchange_n(&syncs, 0, __ATOMIC_SEQ_CST); }

/* -- a test's world -------------------------------------------------------------------------------------------------------- */

struct world {
  char dir[64];
  char path[128]; /* of the store */
  struct sk_loop *loop;
  struct sk_store *store;
  struct sk_err err;
  bool closed;
  int waiting;
  int changed;
  struct sk_idgen ids;
  int64_t wall_ms, mono_ms; /* 0: the machine's clocks */
};

static int setup(void **state) {
  struct world *w = calloc(1, sizeof *w);
  snprintf(w->dir, sizeof w->dir, "/tmp/skein-sqlite-XXXXXX");
  assert_non_null(mkdtemp(w->dir));
  snprintf(w->path, sizeof w->path, "%s/jobs.db", w->dir);
  *state = w;
  return 0;
}

static void close_store(struct world *w);

static int teardown(void **state) {
  struct world *w = *state;
  close_store(w);
  umount2(w->dir, MNT_DETACH); /* of a test that failed half way */
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", w->dir);
  assert_int_equal(system(command), 0);
  free(w);
  return 0;
}

static void on_changed(void *ctx) { ((struct world *)ctx)->changed++; }
static void on_closed(void *ctx) { ((struct world *)ctx)->closed = true; }
static int64_t world_wall(void *ctx) { return ((struct world *)ctx)->wall_ms; }
static int64_t world_mono(void *ctx) { return ((struct world *)ctx)->mono_ms; }

struct opening {
  const char *engine;
  bool normal, must_exist;
};
#define open_store(w, ...) open_with(w, (struct opening){ __VA_ARGS__ })

static enum sk_code open_with(struct world *w, struct opening o) {
  char url[160];
  snprintf(url, sizeof url, "sqlite:%s", w->path);
  const struct sk_store_events events = { on_changed, w };
  struct sk_store_options options = {
    .url = sk_str_c(url),
    .engine = sk_str_c(o.engine),
    .lease_ms = 15000,
    .durability = o.normal ? SK_DURABLE_NORMAL : SK_DURABLE_FULL,
    .must_exist = o.must_exist,
  };
  if (w->wall_ms) options.clock = (struct sk_store_clock){ world_wall, world_mono, w };
  w->loop = sk_loop_new(NULL);
  enum sk_code code = sk_store_open(w->loop, &options, &events, &w->store, &w->err);
  if (code == SK_OK) return code;
  sk_loop_free(w->loop);
  w->loop = NULL;
  w->store = NULL;
  return code;
}

static void close_store(struct world *w) {
  if (w->store == NULL) return;
  w->closed = false;
  w->store->ops->close(w->store, on_closed, w);
  while (!w->closed) sk_loop_turn(w->loop, true);
  w->store = NULL;
  sk_loop_free(w->loop);
  w->loop = NULL;
}

static void on_op(struct sk_op *op, void *ctx) {
  (void)op;
  ((struct world *)ctx)->waiting--;
}

#define RUN(w, slot, operation)                                                 \
  do {                                                                          \
    (operation)->op.cb = on_op;                                                 \
    (operation)->op.ctx = (w);                                                  \
    (w)->waiting++;                                                             \
    (w)->store->ops->slot((w)->store, (operation));                             \
    while ((w)->waiting > 0) sk_loop_turn((w)->loop, true);                     \
  } while (0)

enum { JOBS_MAX = 1000 };

/* Enqueues n jobs with records that carry `bytes` of args. */
static enum sk_code put(struct world *w, size_t n, size_t bytes, int64_t delay_ms) {
  struct sk_enqueue_item *items = calloc(n, sizeof *items);
  struct sk_arena arena = { 0 };
  char *args = malloc(bytes + 1);
  memset(args, 'x', bytes);
  for (size_t i = 0; i < n; i++) {
    char id[SK_ID_BYTES + 1];
    struct sk_job job;
    struct sk_buf record = { 0 };
    sk_id_next(&w->ids, sk_clock_wall_ms(), id);
    sk_job_init(&job);
    job.id = sk_arena_copy(&arena, sk_str(id, SK_ID_BYTES));
    job.task = SK_STR_LIT("t");
    job.queue = SK_STR_LIT("q");
    job.args = sk_str(args, bytes);
    sk_record_encode(&job, &record);
    items[i] = (struct sk_enqueue_item){ .id = job.id, .task = job.task, .queue = job.queue, .delay_ms = delay_ms };
    items[i].record = sk_arena_copy(&arena, sk_buf_str(&record));
    sk_buf_fini(&record);
  }
  struct sk_enqueue_op op = { .items = items, .items_n = n };
  RUN(w, enqueue, &op);
  w->err = op.op.err;
  if (op.op.status == SK_OK)
    for (size_t i = 0; i < n; i++) assert_int_equal(items[i].status, SK_OK);
  sk_op_fini(&op.op);
  sk_arena_fini(&arena);
  free(args);
  free(items);
  return op.op.status;
}

static const struct sk_fetch_queue queue_q = { { "q", 1 }, JOBS_MAX };

static struct sk_fetch_op fetch(struct world *w, size_t want) {
  struct sk_fetch_op op = { .queues = &queue_q, .queues_n = 1, .want = want };
  RUN(w, fetch, &op);
  assert_int_equal(op.op.status, SK_OK);
  return op;
}

/* Settles all that was fetched in one way; returns the operation's status. */
static enum sk_code settle(struct world *w, const struct sk_fetch_op *from, enum sk_settle_kind kind, int64_t keep_ms) {
  struct sk_settle_item items[JOBS_MAX];
  assert_true(from->held_n <= JOBS_MAX);
  for (size_t i = 0; i < from->held_n; i++) {
    const struct sk_held *held = &from->held[i];
    items[i] = (struct sk_settle_item){ .id = held->id, .queue = held->queue, .fence = held->fence, .kind = kind, .keep_ms = keep_ms };
    items[i].record = held->record;
  }
  struct sk_settle_op op = { .items = items, .items_n = from->held_n };
  RUN(w, settle, &op);
  if (op.op.status == SK_OK)
    for (size_t i = 0; i < from->held_n; i++) assert_int_equal(items[i].status, SK_OK);
  sk_op_fini(&op.op);
  return op.op.status;
}

static struct sk_beat_op beat(struct world *w) {
  struct sk_beat_op op = { .recovered = 0 };
  RUN(w, beat, &op);
  assert_int_equal(op.op.status, SK_OK);
  sk_op_fini(&op.op);
  return op;
}

/* Jobs of queue "q" in a state. */
static int64_t count(struct world *w, enum sk_state state) {
  struct sk_count_op op = { .queues_n = 0 };
  RUN(w, count, &op);
  assert_int_equal(op.op.status, SK_OK);
  int64_t n = 0;
  for (size_t i = 0; i < op.queues_n; i++)
    if (sk_str_eq_c(op.queues[i].name, "q")) n = op.queues[i].states[state];
  sk_op_fini(&op.op);
  return n;
}

/* -- the file itself ------------------------------------------------------------------------------------------------------- */

static int64_t ask(const char *path, const char *sql) {
  sqlite3 *db;
  sqlite3_stmt *st;
  assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
  if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK) fail_msg("%s: %s", sql, sqlite3_errmsg(db));
  int64_t n = sqlite3_step(st) == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
  sqlite3_finalize(st);
  sqlite3_close(db);
  return n;
}

/* The counts, the side tables and the jobs tell the same story. */
static void assert_sound(const char *path) {
  static const char *const differences[] = {
    "SELECT count(*) FROM queue WHERE c2 <> (SELECT count(*) FROM job WHERE job.q=queue.q AND state IN (2, 8))",
    "SELECT count(*) FROM queue WHERE c1 <> (SELECT count(*) FROM job WHERE job.q=queue.q AND state=1)",
    "SELECT count(*) FROM queue WHERE c3 <> (SELECT count(*) FROM job WHERE job.q=queue.q AND state=3)",
    "SELECT count(*) FROM queue WHERE c4 <> (SELECT count(*) FROM job WHERE job.q=queue.q AND state=4)",
    "SELECT count(*) FROM queue WHERE c5 <> (SELECT count(*) FROM job WHERE job.q=queue.q AND state=5)",
    "SELECT count(*) FROM queue WHERE c6 <> (SELECT count(*) FROM job WHERE job.q=queue.q AND state=6)",
    "SELECT count(*) FROM queue WHERE c7 <> (SELECT count(*) FROM job WHERE job.q=queue.q AND state=7)",
    "SELECT count(*) FROM queue WHERE front <> (SELECT count(*) FROM front WHERE front.q=queue.q)",
    "SELECT (SELECT count(*) FROM job WHERE state=8) - (SELECT count(*) FROM job JOIN front USING (n, q, rank) WHERE state=8)",
    "SELECT (SELECT count(*) FROM front) - (SELECT count(*) FROM job WHERE state=8)",
    "SELECT (SELECT count(*) FROM job WHERE state IN (1, 4)) -"
    " (SELECT count(*) FROM job JOIN later USING (n, q, due, ord) WHERE state IN (1, 4))",
    "SELECT (SELECT count(*) FROM later) - (SELECT count(*) FROM job WHERE state IN (1, 4))",
    "SELECT (SELECT count(*) FROM job WHERE state > 4 AND state < 8) - (SELECT count(*) FROM job JOIN ended USING (n, state, ord))",
    "SELECT (SELECT count(*) FROM ended) - (SELECT count(*) FROM job WHERE state > 4 AND state < 8)",
    "SELECT (SELECT count(*) FROM kept) - (SELECT count(*) FROM job JOIN kept USING (n) WHERE keep_until=until)",
    "SELECT count(*) FROM job WHERE state=3 AND hold - 72057594037927936 NOT IN (SELECT fence FROM hold)",
    "SELECT count(*) FROM hold WHERE engine NOT IN (SELECT num FROM engine)",
  };
  for (size_t i = 0; i < sizeof differences / sizeof differences[0]; i++)
    if (ask(path, differences[i]) != 0) fail_msg("not sound: %s", differences[i]);
}

static void write_file(const char *path, const void *bytes, size_t n) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  assert_int_equal(write(fd, bytes, n), n);
  close(fd);
}

static void assert_file(const char *path, const void *bytes, size_t n) {
  char *now = malloc(n + 1);
  int fd = open(path, O_RDONLY);
  assert_int_equal(read(fd, now, n + 1), n);
  assert_memory_equal(now, bytes, n);
  close(fd);
  free(now);
}

static void assert_says(const struct world *w, const char *part) {
  if (strstr(w->err.message, part) == NULL) fail_msg("\"%s\" does not say \"%s\"", w->err.message, part);
}

/* -- opening --------------------------------------------------------------------------------------------------------------- */

static void an_empty_path_is_refused(void **state) {
  struct world *w = *state;
  w->path[0] = 0;
  assert_int_equal(open_store(w), SK_EINVAL);
  assert_says(w, "path");
}

static void the_folder_is_made_when_only_that_is_missing(void **state) {
  struct world *w = *state;
  snprintf(w->path, sizeof w->path, "%s/a/jobs.db", w->dir);
  assert_int_equal(open_store(w), SK_OK);
  close_store(w);
  snprintf(w->path, sizeof w->path, "%s/b/c/jobs.db", w->dir);
  assert_int_equal(open_store(w), SK_EUNAVAILABLE);
  assert_says(w, w->path);
  assert_says(w, "No such file");
}

static void must_exist_makes_nothing(void **state) {
  struct world *w = *state;
  snprintf(w->path, sizeof w->path, "%s/a/jobs.db", w->dir);
  assert_int_equal(open_store(w, .must_exist = true), SK_ENOTFOUND);
  char want[160];
  snprintf(want, sizeof want, "no store at %s", w->path);
  assert_string_equal(w->err.message, want);
  snprintf(want, sizeof want, "%s/a", w->dir);
  assert_int_not_equal(access(want, F_OK), 0);
}

static void a_garbage_file_stays_as_it_is(void **state) {
  struct world *w = *state;
  static const char garbage[] = "this is a diary, and no database at all\n";
  write_file(w->path, garbage, sizeof garbage);
  assert_int_equal(open_store(w, .engine = "e"), SK_ECORRUPT);
  assert_says(w, w->path);
  assert_file(w->path, garbage, sizeof garbage);
}

static void a_database_of_another_program_stays_as_it_is(void **state) {
  struct world *w = *state;
  sqlite3 *db;
  assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
  assert_int_equal(sqlite3_exec(db, "CREATE TABLE job (n); INSERT INTO job VALUES (1)", NULL, NULL, NULL), SQLITE_OK);
  sqlite3_close(db);
  char bytes[8192];
  int fd = open(w->path, O_RDONLY);
  ssize_t n = read(fd, bytes, sizeof bytes);
  close(fd);
  assert_int_equal(open_store(w), SK_ECORRUPT);
  assert_says(w, "another program");
  assert_file(w->path, bytes, (size_t)n);
}

static void a_newer_schema_stays_as_it_is(void **state) {
  struct world *w = *state;
  assert_int_equal(open_store(w), SK_OK);
  assert_int_equal(put(w, 3, 10, 0), SK_OK);
  close_store(w);
  ask(w->path, "PRAGMA user_version=7");
  int64_t cookie = ask(w->path, "PRAGMA schema_version");
  assert_int_equal(open_store(w, .engine = "e"), SK_EVERSION);
  char want[256];
  snprintf(want, sizeof want, "%s: schema version 7, this skein knows up to 1", w->path);
  assert_string_equal(w->err.message, want);
  assert_int_equal(ask(w->path, "PRAGMA user_version"), 7);
  assert_int_equal(ask(w->path, "PRAGMA schema_version"), cookie);
  assert_int_equal(ask(w->path, "SELECT count(*) FROM job"), 3);
  assert_int_equal(ask(w->path, "SELECT count(*) FROM engine"), 0);
}

static void an_empty_file_becomes_a_store(void **state) {
  struct world *w = *state;
  write_file(w->path, "", 0);
  assert_int_equal(open_store(w), SK_OK);
  assert_int_equal(put(w, 1, 10, 0), SK_OK);
  close_store(w);
  assert_int_equal(ask(w->path, "PRAGMA user_version"), 1);
  assert_int_equal(ask(w->path, "PRAGMA application_id"), 0x536b656e);
}

static void a_folder_that_cant_be_written_is_said(void **state) {
  struct world *w = *state;
  if (mount("none", w->dir, "tmpfs", MS_RDONLY, NULL) != 0) {
    if (geteuid() == 0) {
      print_message("skipped: as root, and no file system can be mounted: %s\n", strerror(errno));
      return;
    }
    assert_int_equal(chmod(w->dir, 0555), 0);
  }
  assert_int_equal(open_store(w), SK_EUNAVAILABLE);
  assert_says(w, w->path);
  umount(w->dir);
  assert_int_equal(chmod(w->dir, 0755), 0);
}

/* -- durability ------------------------------------------------------------------------------------------------------------ */

static void full_durability_syncs_what_was_promised(void **state) {
  struct world *w = *state;
  assert_int_equal(open_store(w, .engine = "e"), SK_OK);
  syncs_taken();
  assert_int_equal(put(w, 10, 10, 0), SK_OK);
  assert_true(syncs_taken() >= 1);
  struct sk_fetch_op held = fetch(w, 10);
  beat(w);
  assert_int_equal(syncs_taken(), 0); /* at a power cut they are READY again */
  assert_int_equal(settle(w, &held, SK_SETTLE_DONE, 0), SK_OK);
  assert_true(syncs_taken() >= 1);
  sk_op_fini(&held.op);
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

/* -- a full disk ----------------------------------------------------------------------------------------------------------- */

enum { DISK_BYTES = 2 * 1024 * 1024 };

struct small_disk {
  bool mounted;
  struct rlimit old;
};

static struct small_disk shrink_disk(struct world *w) {
  struct small_disk disk = { .mounted = mount("none", w->dir, "tmpfs", 0, "size=2m") == 0 };
  if (disk.mounted) return disk;
  print_message("no file system can be mounted (%s): files are limited in size instead\n", strerror(errno));
  getrlimit(RLIMIT_FSIZE, &disk.old);
  signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &(struct rlimit){ DISK_BYTES, disk.old.rlim_max });
  return disk;
}

/* Makes room. */
static void grow_disk(struct world *w, const struct small_disk *disk) {
  if (disk->mounted)
    assert_int_equal(mount("none", w->dir, "tmpfs", MS_REMOUNT, "size=64m"), 0);
  else
    setrlimit(RLIMIT_FSIZE, &disk->old);
}

static void a_full_disk_undoes_the_group_and_room_brings_the_store_back(void **state) {
  struct world *w = *state;
  struct small_disk disk = shrink_disk(w);
  assert_int_equal(open_store(w, .engine = "e"), SK_OK);
  int64_t in = 0;
  enum sk_code code;
  while ((code = put(w, 10, 2000, 0)) == SK_OK && in < 10000) in += 10;
  assert_int_equal(code, SK_EUNAVAILABLE);
  assert_says(w, w->path);
  assert_true(in > 0);
  assert_int_equal(count(w, SK_STATE_READY), in); /* reading works, and nothing is half done */
  assert_int_equal(put(w, 10, 2000, 0), SK_EUNAVAILABLE);
  assert_int_equal(count(w, SK_STATE_READY), in);
  grow_disk(w, &disk);
  assert_int_equal(put(w, 10, 2000, 0), SK_OK);
  in += 10;
  for (int64_t n; in > 0; in -= n) {
    struct sk_fetch_op held = fetch(w, 100);
    n = (int64_t)held.held_n;
    assert_true(n > 0);
    assert_int_equal(settle(w, &held, SK_SETTLE_DONE, 0), SK_OK);
    sk_op_fini(&held.op);
  }
  assert_int_equal(count(w, SK_STATE_READY) + count(w, SK_STATE_RUNNING), 0);
  close_store(w);
  assert_sound(w->path);
  if (disk.mounted) assert_int_equal(umount(w->dir), 0);
}

static void a_disk_that_is_full_at_open_is_said(void **state) {
  struct world *w = *state;
  if (mount("none", w->dir, "tmpfs", 0, "size=8k") != 0) {
    print_message("skipped: no file system can be mounted: %s\n", strerror(errno));
    return;
  }
  assert_int_equal(open_store(w), SK_EUNAVAILABLE);
  assert_says(w, w->path);
  assert_int_equal(umount(w->dir), 0);
}

/* -- other processes ------------------------------------------------------------------------------------------------------- */

/* Forks a child that runs body (when told, if `later`; else this returns once it has) and then waits to be killed.  SQLite's
 * state must not cross a fork: fork before anything is open. */
static pid_t in_child(struct world *w, void (*body)(struct world *), bool later, int *tell) {
  int up[2], down[2];
  assert_int_equal(pipe(up) | pipe(down), 0);
  pid_t pid = fork();
  char byte = 0;
  if (pid == 0) {
    close(down[1]);
    if (later && read(down[0], &byte, 1) != 1) _exit(2);
    body(w);
    if (write(up[1], &byte, 1) != 1 || read(down[0], &byte, 1) < 0) _exit(2);
    _exit(0);
  }
  close(up[1]);
  close(down[0]);
  if (!later) assert_int_equal(read(up[0], &byte, 1), 1);
  close(up[0]);
  *tell = down[1];
  return pid;
}

static void kill_child(pid_t pid, int tell) {
  kill(pid, SIGKILL);
  assert_int_equal(waitpid(pid, NULL, 0), pid);
  close(tell);
}

static void hold_five(struct world *w) {
  if (open_store(w, .engine = "child") != SK_OK) _exit(3);
  if (fetch(w, 5).held_n != 5) _exit(4);
}

static void the_jobs_of_a_dead_process_are_ready_at_the_next_open(void **state) {
  struct world *w = *state;
  assert_int_equal(open_store(w), SK_OK);
  assert_int_equal(put(w, 8, 10, 0), SK_OK);
  close_store(w);
  int tell;
  pid_t pid = in_child(w, hold_five, false, &tell);
  kill_child(pid, tell);
  assert_int_equal(open_store(w, .engine = "child"), SK_OK);
  assert_int_equal(count(w, SK_STATE_RUNNING), 0);
  struct sk_fetch_op held = fetch(w, 8);
  assert_int_equal(held.held_n, 8);
  for (size_t i = 0; i < 8; i++) {
    struct sk_job job;
    assert_int_equal(sk_record_decode(held.held[i].record, &job, NULL), SK_OK);
    assert_int_equal(job.recoveries, i < 5); /* and they are first again */
  }
  sk_op_fini(&held.op);
  close_store(w);
  assert_sound(w->path);
}

static void a_dead_process_is_noticed_by_a_beat_and_a_living_one_is_left_alone(void **state) {
  struct world *w = *state;
  assert_int_equal(open_store(w), SK_OK);
  assert_int_equal(put(w, 8, 10, 0), SK_OK);
  close_store(w);
  int tell;
  pid_t pid = in_child(w, hold_five, false, &tell);
  assert_int_equal(open_store(w, .engine = "e"), SK_OK);
  assert_int_equal(beat(w).recovered, 0);
  assert_int_equal(count(w, SK_STATE_RUNNING), 5);
  kill_child(pid, tell);
  assert_int_equal(beat(w).recovered, 5);
  assert_int_equal(count(w, SK_STATE_READY), 8);
}

static void put_200(struct world *w) {
  if (open_store(w) != SK_OK) _exit(3);
  for (int i = 0; i < 20; i++)
    if (put(w, 10, 50, 0) != SK_OK) _exit(4);
  close_store(w);
}

static void processes_that_make_and_fill_a_store_at_once_agree(void **state) {
  struct world *w = *state;
  enum { PROCESSES = 6 };
  pid_t pids[PROCESSES];
  for (int i = 0; i < PROCESSES; i++) {
    pids[i] = fork();
    if (pids[i] == 0) {
      put_200(w);
      _exit(0);
    }
  }
  for (int i = 0; i < PROCESSES; i++) {
    int status;
    assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
    assert_int_equal(status, 0);
  }
  assert_int_equal(open_store(w), SK_OK);
  assert_int_equal(count(w, SK_STATE_READY), PROCESSES * 200);
  close_store(w);
  assert_sound(w->path);
}

static void work_forever(struct world *w) {
  if (open_store(w, .engine = "child", .normal = true) != SK_OK) _exit(3);
  for (int i = 0;; i++) {
    if (put(w, 20, 50, i % 3 ? 0 : 1) != SK_OK) _exit(4);
    struct sk_fetch_op held = fetch(w, 15);
    const enum sk_settle_kind kinds[] = { SK_SETTLE_DONE, SK_SETTLE_RETRY, SK_SETTLE_DEAD, SK_SETTLE_RELEASE, SK_SETTLE_SNOOZE };
    if (i % 4 && settle(w, &held, kinds[i % 5], i % 2) != SK_OK) _exit(5);
    sk_op_fini(&held.op);
  }
}

static void a_kill_at_any_moment_leaves_a_sound_store(void **state) {
  struct world *w = *state;
  for (int round = 0; round < 12; round++) {
    pid_t pid = fork();
    if (pid == 0) work_forever(w);
    /* Not a wait for something: the kill shall hit wherever it is by then. */
    usleep(20000 + (useconds_t)(sk_id_random() % 30000));
    kill(pid, SIGKILL);
    int status;
    waitpid(pid, &status, 0);
    assert_true(WIFSIGNALED(status));
    if (access(w->path, F_OK) != 0) continue;
    enum sk_code code = open_store(w, .engine = "e");
    assert_int_equal(code, SK_OK);
    assert_int_equal(count(w, SK_STATE_RUNNING), 0);
    close_store(w);
    assert_sound(w->path);
  }
}

static void a_transaction_of_another_program_is_waited_for(void **state) {
  struct world *w = *state;
  sqlite3 *db;
  assert_int_equal(open_store(w), SK_OK);
  assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
  assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
  struct sk_pause_op op = { .op = { .cb = on_op, .ctx = w }, .queue = SK_STR_LIT("q"), .paused = true };
  w->waiting++;
  w->store->ops->pause(w->store, &op);
  for (int i = 0; i < 100; i++) sk_loop_turn(w->loop, false);
  assert_int_equal(w->waiting, 1);
  assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
  sqlite3_close(db);
  while (w->waiting > 0) sk_loop_turn(w->loop, true);
  assert_int_equal(op.op.status, SK_OK);
  sk_op_fini(&op.op);
}

static void on_late(void *ctx) { *(bool *)ctx = true; }

static void enqueue_one(struct world *w) {
  if (open_store(w) != SK_OK || put(w, 1, 10, 0) != SK_OK) _exit(3);
}

static void another_process_is_heard_without_polling(void **state) {
  struct world *w = *state;
  signal(SIGPIPE, SIG_IGN);
  int tell;
  pid_t pid = in_child(w, enqueue_one, true, &tell);
  assert_int_equal(open_store(w), SK_OK);
  bool late = false;
  struct sk_timer *guard = sk_timer_new(w->loop, on_late, &late);
  sk_timer_start(guard, 15000);
  assert_int_equal(write(tell, "", 1), 1);
  while (w->changed == 0 && !late) sk_loop_turn(w->loop, true);
  sk_timer_free(guard);
  assert_false(late);
  assert_int_equal(count(w, SK_STATE_READY), 1);
  kill_child(pid, tell);
}

/* -- long chores ----------------------------------------------------------------------------------------------------------- */

struct order {
  bool paused, cancelled, paused_first;
};

static void on_cancelled(struct sk_op *op, void *ctx) {
  (void)op;
  ((struct order *)ctx)->cancelled = true;
}

static void on_paused(struct sk_op *op, void *ctx) {
  (void)op;
  struct order *order = ctx;
  order->paused = true;
  order->paused_first = !order->cancelled;
}

static void a_change_of_thousands_does_not_hold_up_others(void **state) {
  struct world *w = *state;
  struct order order = { .paused = false };
  assert_int_equal(open_store(w, .normal = true), SK_OK);
  for (int i = 0; i < 8; i++) assert_int_equal(put(w, 1000, 20, i % 2 ? 60000 : 0), SK_OK);
  struct sk_change_op cancel = { .op = { .cb = on_cancelled, .ctx = &order }, .verb = SK_VERB_CANCEL, .keep_ms = 1000 };
  struct sk_pause_op pause = { .op = { .cb = on_paused, .ctx = &order }, .queue = SK_STR_LIT("q"), .paused = true };
  w->store->ops->change(w->store, &cancel);
  w->store->ops->pause(w->store, &pause);
  while (!order.paused || !order.cancelled) sk_loop_turn(w->loop, true);
  assert_true(order.paused_first);
  assert_int_equal(pause.op.status, SK_OK);
  assert_int_equal(cancel.op.status, SK_OK);
  assert_int_equal(cancel.changed, 8000);
  assert_int_equal(count(w, SK_STATE_CANCELLED), 8000);
  sk_op_fini(&cancel.op);
  sk_op_fini(&pause.op);
  close_store(w);
  assert_sound(w->path);
}

static void thousands_of_kept_records_are_dropped_after_one_beat(void **state) {
  struct world *w = *state;
  w->wall_ms = 1800000000000;
  w->mono_ms = 1000;
  assert_int_equal(open_store(w, .engine = "e", .normal = true), SK_OK);
  for (int i = 0; i < 5; i++) {
    assert_int_equal(put(w, 900, 20, 0), SK_OK);
    struct sk_fetch_op held = fetch(w, 900);
    assert_int_equal(settle(w, &held, SK_SETTLE_DONE, 5000), SK_OK);
    sk_op_fini(&held.op);
  }
  beat(w);
  assert_int_equal(count(w, SK_STATE_DONE), 4500);
  w->wall_ms += 5000;
  beat(w);
  while (count(w, SK_STATE_DONE) > 0) {
  }
  close_store(w);
  assert_sound(w->path);
  assert_int_equal(ask(w->path, "SELECT count(*) FROM kept"), 0);
}

static void notes_of_fetches_go_with_their_jobs(void **state) {
  struct world *w = *state;
  assert_int_equal(open_store(w, .engine = "e", .normal = true), SK_OK);
  for (int i = 0; i < 50; i++) {
    assert_int_equal(put(w, 3, 20, 0), SK_OK);
    struct sk_fetch_op held = fetch(w, 3);
    assert_int_equal(settle(w, &held, SK_SETTLE_DONE, 0), SK_OK);
    sk_op_fini(&held.op);
  }
  assert_true(ask(w->path, "SELECT count(*) FROM hold") <= 1);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
    T(an_empty_path_is_refused),
    T(the_folder_is_made_when_only_that_is_missing),
    T(must_exist_makes_nothing),
    T(a_garbage_file_stays_as_it_is),
    T(a_database_of_another_program_stays_as_it_is),
    T(a_newer_schema_stays_as_it_is),
    T(an_empty_file_becomes_a_store),
    T(a_folder_that_cant_be_written_is_said),
    T(full_durability_syncs_what_was_promised),
    T(normal_durability_does_not_wait_for_the_disk),
    T(operations_submitted_together_share_a_commit),
    T(a_full_disk_undoes_the_group_and_room_brings_the_store_back),
    T(a_disk_that_is_full_at_open_is_said),
    T(the_jobs_of_a_dead_process_are_ready_at_the_next_open),
    T(a_dead_process_is_noticed_by_a_beat_and_a_living_one_is_left_alone),
    T(processes_that_make_and_fill_a_store_at_once_agree),
    T(a_kill_at_any_moment_leaves_a_sound_store),
    T(a_transaction_of_another_program_is_waited_for),
    T(another_process_is_heard_without_polling),
    T(a_change_of_thousands_does_not_hold_up_others),
    T(thousands_of_kept_records_are_dropped_after_one_beat),
    T(notes_of_fetches_go_with_their_jobs),
  };
  return cmocka_run_group_tests_name("sqlite", tests, NULL, NULL);
}
