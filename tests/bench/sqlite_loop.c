/* sqlite_loop.c - the yardstick for the sqlite store, and the store beside it.
 *
 *   sqlite_loop [-n JOBS] [-b BACKLOG] [-r ROUNDS] [-d full|normal] [-o DIR] [-m 0..5]
 *
 * The bare loop is the least that SQLite can be asked to do for a queue with the same guarantee: one table with an id
 * (text, unique) and a record of 200 bytes; a transaction that inserts 100, one that marks the first 100 as taken, one
 * that deletes those 100; statements prepared once, WAL, the same PRAGMA synchronous.  The store moves the same jobs
 * through its vtable (enqueue, fetch, settle, 100 each):
 *   by turns    each operation waits for the one before, as in the bare loop
 *   in flight   a batch is enqueued while the one before is fetched and the one before that is settled, as an engine
 *   does
 *   with locks  by turns, each job with a lock of its own
 *   in a group  by turns, all in one group with as many slots as run at once, and more jobs waiting
 *   in groups   by turns, each in one of 1000 groups with a slot and a bucket that is never empty
 * Rounds alternate between them, so that a noisy machine is noisy to all; the medians are printed.  -m runs only one of
 * them, for a profiler. */
#include <getopt.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"
#include "io/loop.h"
#include "store/store.h"

enum { BATCH = 100, RECORD_BYTES = 200, ROUNDS_MAX = 99, MODES = 6, GROUPS = 1000 };

enum extra { EXTRA_NONE, EXTRA_LOCKS, EXTRA_GROUP, EXTRA_GROUPS };

struct bench {
  const char *dir;
  int64_t jobs, backlog;
  bool full;
  struct sk_idgen ids;
  char record[RECORD_BYTES];
};

static void die(const char *what, const char *why) {
  fprintf(stderr, "sqlite_loop: %s: %s\n", what, why);
  exit(1);
}

static void remove_files(const char *path) {
  static const char *const suffixes[] = { "", "-wal", "-shm", "-lock" };
  for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
    char name[512];
    snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
    unlink(name);
  }
}

/* -- the bare loop ------------------------------------------------------------------------------------------------- */

struct bare {
  sqlite3 *db;
  sqlite3_stmt *begin, *commit, *insert, *select, *mark, *delete;
};

static sqlite3_stmt *prepare(struct bare *b, const char *sql) {
  sqlite3_stmt *st;
  if (sqlite3_prepare_v3(b->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL) != SQLITE_OK)
    die(sql, sqlite3_errmsg(b->db));
  return st;
}

static void run(struct bare *b, sqlite3_stmt *st) {
  if (sqlite3_step(st) != SQLITE_DONE) die("bare loop", sqlite3_errmsg(b->db));
  sqlite3_reset(st);
}

static void bare_open(struct bare *b, const char *path, bool full) {
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  if (sqlite3_open_v2(path, &b->db, flags, NULL) != SQLITE_OK) die(path, "can't open");
  const char *setup =
      "PRAGMA journal_mode=WAL; PRAGMA secure_delete=OFF; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-32768;"
      "CREATE TABLE job (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, state INTEGER NOT NULL, record BLOB NOT NULL)";
  if (sqlite3_exec(b->db, setup, NULL, NULL, NULL) != SQLITE_OK) die("bare loop", sqlite3_errmsg(b->db));
  sqlite3_exec(b->db, full ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL", NULL, NULL, NULL);
  b->begin = prepare(b, "BEGIN IMMEDIATE");
  b->commit = prepare(b, "COMMIT");
  b->insert = prepare(b, "INSERT INTO job (id, state, record) VALUES (?1, 0, ?2)");
  b->select = prepare(b, "SELECT n, id, record FROM job WHERE state=0 ORDER BY n LIMIT ?1");
  b->mark = prepare(b, "UPDATE job SET state=1 WHERE n=?1");
  b->delete = prepare(b, "DELETE FROM job WHERE id=?1");
}

static void bare_insert(struct bare *b, struct bench *bench) {
  run(b, b->begin);
  for (int i = 0; i < BATCH; i++) {
    char id[SK_ID_BYTES + 1];
    sk_id_next(&bench->ids, sk_clock_wall_ms(), id);
    sqlite3_bind_text(b->insert, 1, id, SK_ID_BYTES, SQLITE_STATIC);
    sqlite3_bind_blob(b->insert, 2, bench->record, RECORD_BYTES, SQLITE_STATIC);
    run(b, b->insert);
  }
  run(b, b->commit);
}

static void bare_move(struct bare *b) {
  int64_t ns[BATCH];
  char ids[BATCH][SK_ID_BYTES], records[BATCH][RECORD_BYTES];
  int n = 0;
  run(b, b->begin);
  sqlite3_bind_int(b->select, 1, BATCH);
  for (; sqlite3_step(b->select) == SQLITE_ROW; n++) {
    ns[n] = sqlite3_column_int64(b->select, 0);
    memcpy(ids[n], sqlite3_column_text(b->select, 1), SK_ID_BYTES);
    memcpy(records[n], sqlite3_column_blob(b->select, 2), RECORD_BYTES);
  }
  sqlite3_reset(b->select);
  for (int i = 0; i < n; i++) {
    sqlite3_bind_int64(b->mark, 1, ns[i]);
    run(b, b->mark);
  }
  run(b, b->commit);
  if (n != BATCH) die("bare loop", "jobs are missing");
  run(b, b->begin);
  for (int i = 0; i < n; i++) {
    sqlite3_bind_text(b->delete, 1, ids[i], SK_ID_BYTES, SQLITE_STATIC);
    run(b, b->delete);
  }
  run(b, b->commit);
}

static double bare_loop(struct bench *bench) {
  char path[512];
  struct bare b;
  snprintf(path, sizeof path, "%s/bare.db", bench->dir);
  remove_files(path);
  bare_open(&b, path, bench->full);
  for (int64_t i = 0; i < bench->backlog; i += BATCH) bare_insert(&b, bench);
  int64_t start_us = sk_clock_mono_us();
  for (int64_t i = 0; i < bench->jobs; i += BATCH) {
    bare_insert(&b, bench);
    bare_move(&b);
  }
  double rate = (double)bench->jobs * 1e6 / (double)(sk_clock_mono_us() - start_us);
  sqlite3_stmt *const all[] = { b.begin, b.commit, b.insert, b.select, b.mark, b.delete };
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) sqlite3_finalize(all[i]);
  sqlite3_close(b.db);
  remove_files(path);
  return rate;
}

/* -- the store ----------------------------------------------------------------------------------------------------- */

struct moving {
  struct bench *bench;
  struct sk_loop *loop;
  struct sk_store *store;
  int waiting; /* operations not answered yet */
  bool closed;
  enum extra extra;
  char groups[GROUPS][8];
  int next_group;
  struct sk_enqueue_op enqueue;
  struct sk_enqueue_item items[BATCH];
  char ids[BATCH][SK_ID_BYTES + 1];
  struct sk_fetch_op fetch[2]; /* the one at work, and the one whose jobs are being settled */
  struct sk_settle_op settle;
  struct sk_settle_item settled[BATCH];
};

static void on_op(struct sk_op *op, void *ctx) {
  struct moving *m = ctx;
  if (op->status != SK_OK) die("store", op->err.message);
  m->waiting--;
}

static void await(struct moving *m) {
  while (m->waiting > 0) sk_loop_turn(m->loop, true);
}

static void add_extra(struct moving *m, struct sk_enqueue_item *item) {
  if (m->extra == EXTRA_LOCKS) item->lock = (struct sk_lock){ .mode = SK_LOCK_REJECT, .key = item->id };
  if (m->extra == EXTRA_GROUP) item->limit = (struct sk_limit){ .group = SK_STR_LIT("g"), .concurrency = BATCH };
  if (m->extra != EXTRA_GROUPS) return;
  char *name = m->groups[m->next_group++ % GROUPS];
  item->limit =
      (struct sk_limit){ .group = sk_str_c(name), .concurrency = 1, .rate = 1000000, .per_ms = 1, .burst = 1000 };
}

static void submit_enqueue(struct moving *m) {
  for (int i = 0; i < BATCH; i++) {
    sk_id_next(&m->bench->ids, sk_clock_wall_ms(), m->ids[i]);
    m->items[i] = (struct sk_enqueue_item){
      .id = sk_str(m->ids[i], SK_ID_BYTES),
      .queue = SK_STR_LIT("default"),
      .task = SK_STR_LIT("bench.noop"),
      .record = sk_str(m->bench->record, RECORD_BYTES),
    };
    add_extra(m, &m->items[i]);
  }
  m->enqueue = (struct sk_enqueue_op){ .op = { .cb = on_op, .ctx = m }, .items = m->items, .items_n = BATCH };
  m->waiting++;
  m->store->ops->enqueue(m->store, &m->enqueue);
}

static void submit_fetch(struct moving *m) {
  static struct sk_fetch_queue queue = { { "default", sizeof "default" - 1 }, BATCH };
  m->fetch[0] = (struct sk_fetch_op){ .op = { .cb = on_op, .ctx = m }, .queues = &queue, .queues_n = 1, .want = BATCH };
  m->waiting++;
  m->store->ops->fetch(m->store, &m->fetch[0]);
}

/* Settles what fetch[1] holds. */
static void submit_settle(struct moving *m) {
  const struct sk_fetch_op *from = &m->fetch[1];
  for (size_t i = 0; i < from->jobs_n; i++) {
    const struct sk_fetched *held = &from->jobs[i];
    m->settled[i] =
        (struct sk_settle_item){ .id = held->id, .queue = held->queue, .fence = held->fence, .kind = SK_SETTLE_DONE };
  }
  m->settle = (struct sk_settle_op){ .op = { .cb = on_op, .ctx = m }, .items = m->settled, .items_n = from->jobs_n };
  m->waiting++;
  m->store->ops->settle(m->store, &m->settle);
}

static void finish_settle(struct moving *m) {
  for (size_t i = 0; i < m->settle.items_n; i++)
    if (m->settled[i].status != SK_OK) die("settle", sk_code_name(m->settled[i].status));
  sk_op_fini(&m->fetch[1].op);
  sk_op_fini(&m->settle.op);
}

static void by_turns(struct moving *m) {
  for (int64_t i = 0; i < m->bench->jobs; i += BATCH) {
    submit_enqueue(m);
    await(m);
    submit_fetch(m);
    await(m);
    if (m->fetch[0].jobs_n != BATCH) die("fetch", "jobs are missing");
    m->fetch[1] = m->fetch[0];
    submit_settle(m);
    await(m);
    finish_settle(m);
    sk_op_fini(&m->enqueue.op);
  }
}

static void in_flight(struct moving *m) {
  int64_t done = 0;
  submit_enqueue(m);
  await(m);
  for (bool first = true; done < m->bench->jobs; first = false) {
    submit_enqueue(m);
    submit_fetch(m);
    if (!first) submit_settle(m);
    await(m);
    if (m->fetch[0].jobs_n != BATCH) die("fetch", "jobs are missing");
    if (!first) {
      done += (int64_t)m->settle.items_n;
      finish_settle(m);
    }
    m->fetch[1] = m->fetch[0];
    sk_op_fini(&m->enqueue.op);
  }
  sk_op_fini(&m->fetch[1].op);
}

static void on_closed(void *ctx) { ((struct moving *)ctx)->closed = true; }

static double store_loop(struct bench *bench, void (*move)(struct moving *), enum extra extra) {
  char path[512], url[512 + 8];
  struct sk_err err;
  static struct moving m;
  m = (struct moving){ .bench = bench, .loop = sk_loop_new(&err), .extra = extra };
  for (int i = 0; i < GROUPS; i++) snprintf(m.groups[i], sizeof m.groups[i], "g%d", i);
  if (m.loop == NULL) die("loop", err.message);
  snprintf(path, sizeof path, "%s/store.db", bench->dir);
  snprintf(url, sizeof url, "sqlite:%s", path);
  remove_files(path);
  const struct sk_store_options options = {
    .url = sk_str_c(url),
    .engine = SK_STR_LIT("bench"),
    .lease_ms = 15000,
    .durability = bench->full ? SK_DURABLE_FULL : SK_DURABLE_NORMAL,
  };
  if (sk_store_open(m.loop, &options, NULL, &m.store, &err) != SK_OK) die("open", err.message);
  for (int64_t i = 0; i < bench->backlog; i += BATCH) {
    submit_enqueue(&m);
    await(&m);
    sk_op_fini(&m.enqueue.op);
  }
  int64_t start_us = sk_clock_mono_us();
  move(&m);
  double rate = (double)bench->jobs * 1e6 / (double)(sk_clock_mono_us() - start_us);
  m.store->ops->close(m.store, on_closed, &m);
  while (!m.closed) sk_loop_turn(m.loop, true);
  sk_loop_free(m.loop);
  remove_files(path);
  return rate;
}

/* -- rounds -------------------------------------------------------------------------------------------------------- */

static int compare_rates(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *rates, int n) {
  qsort(rates, (size_t)n, sizeof *rates, compare_rates);
  return rates[n / 2];
}

int main(int argc, char **argv) {
  struct bench bench = { .dir = "/tmp", .jobs = 100000, .backlog = 1000, .full = true };
  int rounds = 3, only = -1;
  for (int c; (c = getopt(argc, argv, "n:b:r:d:o:m:")) != -1;) {
    if (c == 'n') bench.jobs = atoll(optarg);
    if (c == 'b') bench.backlog = atoll(optarg);
    if (c == 'r') rounds = atoi(optarg) < ROUNDS_MAX ? atoi(optarg) : ROUNDS_MAX;
    if (c == 'd') bench.full = strcmp(optarg, "full") == 0;
    if (c == 'o') bench.dir = optarg;
    if (c == 'm') only = atoi(optarg);
    if (c == '?') return 64;
  }
  memset(bench.record, 'r', sizeof bench.record);
  double rates[MODES][ROUNDS_MAX] = { { 0 } };
  for (int i = 0; i < rounds; i++) {
    if (only < 0 || only == 0) rates[0][i] = bare_loop(&bench);
    if (only < 0 || only == 1) rates[1][i] = store_loop(&bench, by_turns, EXTRA_NONE);
    if (only < 0 || only == 2) rates[2][i] = store_loop(&bench, in_flight, EXTRA_NONE);
    if (only < 0 || only == 3) rates[3][i] = store_loop(&bench, by_turns, EXTRA_LOCKS);
    if (only < 0 || only == 4) rates[4][i] = store_loop(&bench, by_turns, EXTRA_GROUP);
    if (only < 0 || only == 5) rates[5][i] = store_loop(&bench, by_turns, EXTRA_GROUPS);
  }
  static const char *const names[MODES] = { "bare loop",    "store, by turns", "store, in flight",
                                            "  with locks", "  in a group",    "  in groups" };
  double yardstick = median(rates[0], rounds);
  printf("sqlite, durability %s, %lld waiting, medians of %d\n", bench.full ? "full" : "normal",
         (long long)bench.backlog, rounds);
  for (int i = 0; i < MODES; i++) {
    double rate = median(rates[i], rounds);
    printf("  %-18s %9.0f jobs/s  %5.2f\n", names[i], rate, yardstick > 0 ? rate / yardstick : 0);
  }
  return 0;
}
