/* sqlite_test.c - what the contract suite (tests/contract) can't see of the sqlite store: its files and other
 * processes.
 *
 * The full disk is a tmpfs of 2 MB when this process may mount one, else a limit on the size of files; both make
 * write(2) fail. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "sqlite_world.h"

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

/* -- opening ------------------------------------------------------------------------------------------------------- */

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
  snprintf(want, sizeof want, "%s: schema version 7, this skein knows up to 1: use a newer skein", w->path);
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

/* -- a full disk --------------------------------------------------------------------------------------------------- */

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
    n = (int64_t)held.jobs_n;
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

/* -- other processes ----------------------------------------------------------------------------------------------- */

/* Forks a child that runs body (when told, if `later`; else this returns once it has) and then waits to be killed.
 * SQLite's state must not cross a fork: fork before anything is open. */
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
  if (fetch(w, 5).jobs_n != 5) _exit(4);
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
  assert_int_equal(held.jobs_n, 8);
  for (size_t i = 0; i < 8; i++) {
    struct sk_job job;
    assert_int_equal(sk_record_decode(held.jobs[i].record, &job, NULL), SK_OK);
    assert_int_equal(job.recoveries, i < 5); /* and they are first again */
  }
  sk_op_fini(&held.op);
  close_store(w);
  assert_sound(w->path);
}

static void hold_thousands(struct world *w) {
  if (open_store(w, .engine = "child", .normal = true) != SK_OK) _exit(3);
  for (int i = 0; i < 3; i++)
    if (put(w, 1000, 10, 0) != SK_OK || fetch(w, 1000).jobs_n != 1000) _exit(4);
}

static void an_open_takes_back_all_jobs_of_a_dead_process_however_many(void **state) {
  struct world *w = *state;
  int tell;
  pid_t pid = in_child(w, hold_thousands, false, &tell);
  kill_child(pid, tell);
  assert_int_equal(open_store(w, .engine = "e"), SK_OK);
  assert_int_equal(count(w, SK_STATE_RUNNING), 0);
  assert_int_equal(count(w, SK_STATE_READY), 3000);
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
  if (open_store(w) != SK_OK) {
    fprintf(stderr, "%s\n", w->err.message); /* the parent only sees the status */
    _exit(3);
  }
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
    const enum sk_settle_kind kinds[] = { SK_SETTLE_DONE, SK_SETTLE_RETRY, SK_SETTLE_DEAD, SK_SETTLE_RELEASE,
                                          SK_SETTLE_SNOOZE };
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

/* -- long chores --------------------------------------------------------------------------------------------------- */

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
  while (count(w, SK_STATE_DONE) > 0) {}
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
    T(a_full_disk_undoes_the_group_and_room_brings_the_store_back),
    T(a_disk_that_is_full_at_open_is_said),
    T(the_jobs_of_a_dead_process_are_ready_at_the_next_open),
    T(an_open_takes_back_all_jobs_of_a_dead_process_however_many),
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
