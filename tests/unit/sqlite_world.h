/* sqlite_world.h - a test's world for the programs that look inside the sqlite store: a folder, a loop, a store in it,
 * operations that are waited for, and the file as another program sees it. */
#ifndef TEST_SQLITE_WORLD_H
#define TEST_SQLITE_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/clock.h"
#include "base/id.h"
#include "io/loop.h"
#include "logic/record.h"
#include "store/openers.h"

/* -- a test's world ------------------------------------------------------------------------------------------------ */

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

static inline int setup(void **state) {
  struct world *w = calloc(1, sizeof *w);
  snprintf(w->dir, sizeof w->dir, "/tmp/skein-sqlite-XXXXXX");
  assert_non_null(mkdtemp(w->dir));
  snprintf(w->path, sizeof w->path, "%s/jobs.db", w->dir);
  *state = w;
  return 0;
}

static inline void close_store(struct world *w);

static inline int teardown(void **state) {
  struct world *w = *state;
  close_store(w);
  umount2(w->dir, MNT_DETACH); /* of a test that failed half way */
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", w->dir);
  assert_int_equal(system(command), 0);
  free(w);
  return 0;
}

static inline void on_changed(void *ctx) { ((struct world *)ctx)->changed++; }
static inline void on_closed(void *ctx) { ((struct world *)ctx)->closed = true; }
static inline int64_t world_wall(void *ctx) { return ((struct world *)ctx)->wall_ms; }
static inline int64_t world_mono(void *ctx) { return ((struct world *)ctx)->mono_ms; }

struct opening {
  const char *engine;
  bool normal, must_exist;
};
#define open_store(w, ...) open_with(w, (struct opening){ __VA_ARGS__ })

static inline enum sk_code open_with(struct world *w, struct opening o) {
  char url[160];
  snprintf(url, sizeof url, "sqlite:%s", w->path);
  const struct sk_store_events events = { .changed = on_changed, .ctx = w };
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

static inline void close_store(struct world *w) {
  if (w->store == NULL) return;
  w->closed = false;
  w->store->ops->close(w->store, on_closed, w);
  while (!w->closed) sk_loop_turn(w->loop, true);
  w->store = NULL;
  sk_loop_free(w->loop);
  w->loop = NULL;
}

static inline void on_op(struct sk_op *op, void *ctx) {
  (void)op;
  ((struct world *)ctx)->waiting--;
}

#define RUN(w, slot, operation)                                                                                        \
  do {                                                                                                                 \
    (operation)->op.cb = on_op;                                                                                        \
    (operation)->op.ctx = (w);                                                                                         \
    (w)->waiting++;                                                                                                    \
    (w)->store->ops->slot((w)->store, (operation));                                                                    \
    while ((w)->waiting > 0) sk_loop_turn((w)->loop, true);                                                            \
  } while (0)

enum { JOBS_MAX = 1000 };

/* Enqueues n jobs with records that carry `bytes` of args. */
static inline enum sk_code put(struct world *w, size_t n, size_t bytes, int64_t delay_ms) {
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

static struct sk_fetch_queue queue_q = { { "q", 1 }, JOBS_MAX };

static inline struct sk_fetch_op fetch(struct world *w, size_t want) {
  struct sk_fetch_op op = { .queues = &queue_q, .queues_n = 1, .want = want };
  RUN(w, fetch, &op);
  assert_int_equal(op.op.status, SK_OK);
  return op;
}

/* Settles all that was fetched in one way; returns the operation's status. */
static inline enum sk_code settle(struct world *w, const struct sk_fetch_op *from, enum sk_settle_kind kind,
                                  int64_t keep_ms) {
  struct sk_settle_item items[JOBS_MAX];
  assert_true(from->jobs_n <= JOBS_MAX);
  for (size_t i = 0; i < from->jobs_n; i++) {
    const struct sk_fetched *held = &from->jobs[i];
    items[i] = (struct sk_settle_item){
      .id = held->id, .queue = held->queue, .fence = held->fence, .kind = kind, .keep_ms = keep_ms
    };
    items[i].record = held->record;
  }
  struct sk_settle_op op = { .items = items, .items_n = from->jobs_n };
  RUN(w, settle, &op);
  if (op.op.status == SK_OK)
    for (size_t i = 0; i < from->jobs_n; i++) assert_int_equal(items[i].status, SK_OK);
  sk_op_fini(&op.op);
  return op.op.status;
}

static inline struct sk_beat_op beat(struct world *w) {
  struct sk_beat_op op = { .recovered = 0 };
  RUN(w, beat, &op);
  assert_int_equal(op.op.status, SK_OK);
  sk_op_fini(&op.op);
  return op;
}

/* Jobs of queue "q" in a state. */
static inline int64_t count(struct world *w, enum sk_state state) {
  struct sk_count_op op = { .queues_n = 0 };
  RUN(w, count, &op);
  assert_int_equal(op.op.status, SK_OK);
  int64_t n = 0;
  for (size_t i = 0; i < op.queues_n; i++)
    if (sk_str_eq_c(op.queues[i].name, "q")) n = op.queues[i].states[state];
  sk_op_fini(&op.op);
  return n;
}

/* -- the file itself ----------------------------------------------------------------------------------------------- */

static inline int64_t ask(const char *path, const char *sql) {
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
static inline void assert_sound(const char *path) {
  static const char *const differences[] = {
    "SELECT count(*) FROM queue WHERE c2 <> (SELECT count(*) FROM job WHERE job.q=queue.q AND state IN (2, 8, 9))",
    "SELECT count(*) FROM queue WHERE c1 <> (SELECT count(*) FROM job WHERE job.q=queue.q AND state=1)",
    "SELECT count(*) FROM queue WHERE c3 <> (SELECT count(*) FROM job WHERE job.q=queue.q AND state=3)",
    "SELECT count(*) FROM queue WHERE c4 <> (SELECT count(*) FROM job WHERE job.q=queue.q AND state=4)",
    "SELECT count(*) FROM queue WHERE c5 <> (SELECT count(*) FROM job WHERE job.q=queue.q AND state=5)",
    "SELECT count(*) FROM queue WHERE c6 <> (SELECT count(*) FROM job WHERE job.q=queue.q AND state=6)",
    "SELECT count(*) FROM queue WHERE c7 <> (SELECT count(*) FROM job WHERE job.q=queue.q AND state=7)",
    "SELECT count(*) FROM queue WHERE front <> (SELECT count(*) FROM front WHERE front.q=queue.q)",
    "SELECT (SELECT count(*) FROM job WHERE state=8) - (SELECT count(*) FROM job JOIN front USING (n, q, rank) WHERE "
    "state=8)",
    "SELECT (SELECT count(*) FROM front) - (SELECT count(*) FROM job WHERE state=8)",
    ("SELECT (SELECT count(*) FROM job WHERE state IN (1, 4)) -"
     " (SELECT count(*) FROM job JOIN later USING (n, q, due, ord) WHERE state IN (1, 4))"),
    "SELECT (SELECT count(*) FROM later) - (SELECT count(*) FROM job WHERE state IN (1, 4))",
    ("SELECT (SELECT count(*) FROM job WHERE state IN (1, 4) AND flags&2) -"
     " (SELECT count(*) FROM job JOIN slot_kept USING (n) WHERE state IN (1, 4) AND flags&2 AND g=flags>>4)"),
    "SELECT (SELECT count(*) FROM slot_kept) - (SELECT count(*) FROM job WHERE state IN (1, 4) AND flags&2)",
    "SELECT (SELECT count(*) FROM job WHERE state > 4 AND state < 8) - (SELECT count(*) FROM job JOIN ended USING (n, "
    "state, ord))",
    "SELECT (SELECT count(*) FROM ended) - (SELECT count(*) FROM job WHERE state > 4 AND state < 8)",
    "SELECT (SELECT count(*) FROM kept) - (SELECT count(*) FROM job JOIN kept USING (n) WHERE keep_until=until)",
    "SELECT count(*) FROM job WHERE state=3 AND hold - 72057594037927936 NOT IN (SELECT fence FROM hold)",
    "SELECT count(*) FROM hold WHERE engine NOT IN (SELECT num FROM engine)",
    "SELECT count(*) FROM queue WHERE members <> (SELECT count(*) FROM group_member WHERE group_member.q=queue.q)",
    ("SELECT (SELECT count(*) FROM job WHERE state=9) -"
     " (SELECT count(*) FROM job JOIN group_member USING (n, q, rank) WHERE state=9 AND g=flags>>4)"),
    "SELECT (SELECT count(*) FROM group_member) - (SELECT count(*) FROM job WHERE state=9)",
    "SELECT count(*) FROM limit_group WHERE slots <> (SELECT count(*) FROM job WHERE flags>>4=g AND flags&2)",
    "SELECT count(*) FROM limit_group WHERE jobs <> (SELECT count(*) FROM job WHERE flags>>4=g)",
    "SELECT count(*) FROM job WHERE flags>>4 > 0 AND flags>>4 NOT IN (SELECT g FROM limit_group)",
    "SELECT count(*) FROM job WHERE flags>>4 > 0 AND (flags&2 = 0) = (state=3)  AND state IN (3, 9)",
    "SELECT (SELECT count(*) FROM group_lane WHERE g>0) - (SELECT count(*) FROM (SELECT DISTINCT g, q, rank FROM "
    "group_member))",
    "SELECT (SELECT count(*) FROM group_lane WHERE g>0) - (SELECT count(*) FROM group_lane JOIN limit_group USING (g, "
    "at))",
    "SELECT (SELECT stops FROM store) - (SELECT count(*) FROM stop)",
    "SELECT (SELECT count(*) FROM stop) - (SELECT count(*) FROM job JOIN stop USING (id) WHERE flags&4 AND state IN "
    "(2, "
    "3, 8))",
    "SELECT count(*) FROM job WHERE state IN (5, 6, 7) AND flags&7",
    "SELECT (SELECT count(*) FROM progress) - (SELECT count(*) FROM job JOIN progress USING (id) WHERE flags&8)",
    "SELECT (SELECT count(*) FROM progress) - (SELECT count(*) FROM job WHERE flags&8)",
    "SELECT count(*) FROM lock WHERE throttle=0 AND id NOT IN (SELECT id FROM job WHERE state NOT IN (5, 6, 7) AND "
    "flags&1)",
  };
  for (size_t i = 0; i < sizeof differences / sizeof differences[0]; i++)
    if (ask(path, differences[i]) != 0) fail_msg("not sound: %s", differences[i]);
}

static inline void assert_says(const struct world *w, const char *part) {
  if (strstr(w->err.message, part) == NULL) fail_msg("\"%s\" does not say \"%s\"", w->err.message, part);
}

#endif
