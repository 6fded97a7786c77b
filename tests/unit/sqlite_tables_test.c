/* What only some jobs have in the sqlite store (locks, groups, bounds, stops), looked at in the file itself: whatever
 * happened, its tables tell the same story, nothing is left of what is over, no statement reads more than it needs, and
 * a file of the first version becomes one of this version. */
#include "sqlite_world.h"

/* -- operations ---------------------------------------------------------------------------------------------------- */

__attribute__((format(printf, 1, 2))) static struct sk_str text(const char *format, ...) {
  static char texts[8][64];
  static unsigned next;
  char *s = texts[next++ % 8];
  va_list args;
  va_start(args, format);
  int n = vsnprintf(s, sizeof texts[0], format, args);
  va_end(args);
  return sk_str(s, (size_t)n);
}

static enum sk_code enqueue(struct world *w, struct sk_enqueue_item item) {
  struct sk_enqueue_op op = { .items = &item, .items_n = 1 };
  if (item.queue.n == 0) item.queue = SK_STR_LIT("q");
  item.task = item.record = SK_STR_LIT("t");
  RUN(w, enqueue, &op);
  assert_int_equal(op.op.status, SK_OK);
  sk_op_fini(&op.op);
  return item.status;
}

static void change(struct world *w, enum sk_verb verb, struct sk_str id, int64_t keep_ms) {
  struct sk_change_op op = { .verb = verb, .ids = &id, .ids_n = 1, .keep_ms = keep_ms };
  RUN(w, change, &op);
  assert_int_equal(op.op.status, SK_OK);
  sk_op_fini(&op.op);
}

static void bind_queue(struct world *w, struct sk_queue_settings queue) {
  struct sk_declare_op op = { .queues = &queue, .queues_n = 1 };
  RUN(w, declare, &op);
  assert_int_equal(op.op.status, SK_OK);
  sk_op_fini(&op.op);
}

static struct sk_limit group(const char *name, int64_t concurrency, int64_t rate) {
  return (struct sk_limit){
    .group = sk_str_c(name), .concurrency = concurrency, .rate = rate, .per_ms = rate ? 1000 : 0, .burst = rate ? 1 : 0
  };
}

/* -- any order of things ------------------------------------------------------------------------------------------- */

enum { STEPS = 3000, AUDIT_EVERY = 150, IDS = 200 };

struct chaos {
  struct world *w;
  uint32_t seed;
  struct sk_settle_item jobs[IDS]; /* ids and queues point into names */
  size_t jobs_n;
  char names[IDS][2][16];
};

static uint32_t roll(struct chaos *c, uint32_t sides) {
  c->seed = c->seed * 1664525u + 1013904223u;
  return (c->seed >> 8) % sides;
}

static void add_some(struct chaos *c) {
  static const char *const groups[] = { "a", "b", "c" };
  uint32_t g = roll(c, 6), lock = roll(c, 8);
  struct sk_enqueue_item item = {
    .id = text("j%u", roll(c, IDS)),
    .queue = text("q%u", roll(c, 2)),
    .priority = (int32_t)roll(c, 2),
    .delay_ms = roll(c, 4) ? 0 : (int64_t)roll(c, 500),
  };
  if (g < 3) item.limit = group(groups[g], 1 + g, g == 1 ? 50 : 0);
  if (g == 2) item.limit = (struct sk_limit){ .group = sk_str_c("c"), .concurrency = 1, .strict = true };
  if (lock < 4)
    item.lock = (struct sk_lock){ .mode = (enum sk_lock_mode)lock,
                                  .key = text("k%u", roll(c, 5)),
                                  .ttl_ms = lock == 3 ? 100 : 0 };
  enqueue(c->w, item);
}

static void take_some(struct chaos *c) {
  static struct sk_fetch_queue queues[] = { { { "q0", 2 }, 2 }, { { "q1", 2 }, 1 } };
  struct sk_fetch_op op = { .queues = queues, .queues_n = 2, .want = roll(c, 5) };
  if (c->jobs_n + op.want > IDS) return;
  RUN(c->w, fetch, &op);
  assert_int_equal(op.op.status, SK_OK);
  for (size_t i = 0; i < op.jobs_n; i++) {
    size_t at = c->jobs_n++;
    snprintf(c->names[at][0], 16, "%.*s", SK_STR_ARG(op.jobs[i].id));
    snprintf(c->names[at][1], 16, "%.*s", SK_STR_ARG(op.jobs[i].queue));
    c->jobs[at] = (struct sk_settle_item){ .fence = op.jobs[i].fence };
  }
  sk_op_fini(&op.op);
}

static void settle_some(struct chaos *c) {
  if (c->jobs_n == 0) return;
  size_t at = roll(c, (uint32_t)c->jobs_n), last = c->jobs_n - 1;
  struct sk_enqueue_item follow = { .id = text("f%u", roll(c, IDS)),
                                    .queue = SK_STR_LIT("q1"),
                                    .task = SK_STR_LIT("t"),
                                    .record = SK_STR_LIT("t"),
                                    .limit = group("a", 2, 0) };
  struct sk_settle_item item = {
    .id = sk_str_c(c->names[at][0]),
    .queue = sk_str_c(c->names[at][1]),
    .fence = c->jobs[at].fence,
    .kind = (enum sk_settle_kind)roll(c, SK_SETTLE_KINDS),
    .record = SK_STR_LIT("r"),
    .to_queue = roll(c, 2) ? SK_STR_LIT("q0") : (struct sk_str){ 0 },
    .delay_ms = (int64_t)roll(c, 3) * 100,
    .keep_ms = (int64_t)roll(c, 2) * 1000,
    .callbacks = &follow,
    .callbacks_n = roll(c, 4) == 0,
  };
  struct sk_settle_op op = { .items = &item, .items_n = 1 };
  RUN(c->w, settle, &op);
  assert_int_equal(op.op.status, SK_OK);
  sk_op_fini(&op.op);
  if (item.status == SK_ESTATE) return; /* to be settled as cancelled */
  assert_int_equal(item.status, SK_OK);
  c->jobs[at] = c->jobs[last];
  if (at != last) memcpy(c->names[at], c->names[last], sizeof c->names[at]);
  c->jobs_n--;
}

static void say_something(struct chaos *c) {
  if (c->jobs_n == 0) return;
  size_t at = roll(c, (uint32_t)c->jobs_n);
  struct sk_progress_item item = { .id = sk_str_c(c->names[at][0]),
                                   .fence = c->jobs[at].fence,
                                   .percent = (int32_t)roll(c, 100),
                                   .progress_text = SK_STR_LIT("so far"),
                                   .log = SK_STR_LIT("1 a line") };
  struct sk_progress_op op = { .items = &item, .items_n = 1 };
  RUN(c->w, progress, &op);
  assert_int_equal(op.op.status, SK_OK);
  sk_op_fini(&op.op);
}

static void step(struct chaos *c) {
  uint32_t what = roll(c, 22);
  if (what < 7)
    add_some(c);
  else if (what < 11)
    take_some(c);
  else if (what < 15)
    settle_some(c);
  else if (what < 18)
    change(c->w, (enum sk_verb)roll(c, 4), text("j%u", roll(c, IDS)), (int64_t)roll(c, 2) * 500);
  else if (what == 18)
    c->w->wall_ms += roll(c, 50);
  else if (what < 21)
    say_something(c);
  else
    beat(c->w);
}

static void whatever_happens_the_tables_tell_the_same_story(void **state) {
  struct world *w = *state;
  w->wall_ms = w->mono_ms = 1000000;
  for (uint32_t seed = 1; seed <= 3; seed++) {
    struct chaos c = { .w = w, .seed = seed };
    assert_int_equal(open_store(w, .engine = "e", .normal = true), SK_OK);
    bind_queue(
        w, (struct sk_queue_settings){ .name = SK_STR_LIT("q0"), .max_len = 20, .overflow = SK_OVERFLOW_DROP_OLDEST });
    bind_queue(w, (struct sk_queue_settings){ .name = SK_STR_LIT("q1"),
                                              .limit = { .concurrency = 6, .rate = 200, .per_ms = 1000, .burst = 3 } });
    for (int i = 0; i < STEPS; i++) {
      step(&c);
      if (i % AUDIT_EVERY == 0) assert_sound(w->path);
    }
    close_store(w); /* which hands back what is held */
    assert_sound(w->path);
  }
}

static void nothing_is_left_of_what_is_over(void **state) {
  struct world *w = *state;
  w->wall_ms = w->mono_ms = 1000000;
  assert_int_equal(open_store(w, .engine = "e", .normal = true), SK_OK);
  for (unsigned i = 0; i < 100; i++) {
    struct sk_enqueue_item item = { .id = text("j%u", i),
                                    .limit = group("g", 0, 100),
                                    .lock = { SK_LOCK_THROTTLE, text("k%u", i), 5000 } };
    item.limit.group = text("g%u", i);
    assert_int_equal(enqueue(w, item), SK_OK);
  }
  struct sk_fetch_op taken = fetch(w, 100);
  assert_int_equal(taken.jobs_n, 100);
  change(w, SK_VERB_CANCEL, SK_STR_LIT("j7"), 0);
  assert_int_equal(ask(w->path, "SELECT count(*) FROM stop"), 1);
  assert_int_equal(settle(w, &taken, SK_SETTLE_DONE, 0), SK_OK);
  sk_op_fini(&taken.op);
  assert_int_equal(ask(w->path, "SELECT count(*) FROM stop"), 0);
  assert_int_equal(ask(w->path, "SELECT count(*) FROM limit_group"), 100); /* their buckets are not full */
  w->wall_ms += 1000;
  beat(w);
  assert_int_equal(ask(w->path, "SELECT count(*) FROM limit_group"), 0);
  assert_int_equal(ask(w->path, "SELECT count(*) FROM group_lane"), 0);
  assert_int_equal(ask(w->path, "SELECT count(*) FROM lock"), 100);
  w->wall_ms += 4000;
  beat(w);
  assert_int_equal(ask(w->path, "SELECT count(*) FROM lock"), 0);
  close_store(w);
  assert_sound(w->path);
}

/* -- statements ---------------------------------------------------------------------------------------------------- */

static const char *const SQL[][2] = {
#define SQ_STMT(name, sql) { #name, sql },
#include "store/sqlite/sql.h"
#undef SQ_STMT
};

/* Those that look at all there is: few rows, or what was asked for. */
static bool may_scan(const char *name) {
  static const char *const names[] = {
    "HEAD",     "HEAD_SAVE",                  /* one row */
    "QUEUES",   "QUEUE_COUNTS",    "ENGINES", /* all are asked for, by name or number */
    "SETTINGS", "SETTINGS_OWNERS",            /* as many as the scripts declare */
    "TASKS",    "TASKS_FORGET",               /* the same */
    "OLDEST",                                 /* three rows at most */
    "STOPS",
  };
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if (strcmp(name, names[i]) == 0) return true;
  return false;
}

static void every_statement_has_its_index(void **state) {
  struct world *w = *state;
  assert_int_equal(open_store(w), SK_OK);
  close_store(w);
  sqlite3 *db;
  assert_int_equal(sqlite3_open_v2(w->path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
  for (size_t i = 0; i < sizeof SQL / sizeof SQL[0]; i++) {
    sqlite3_stmt *st;
    char *explain = sqlite3_mprintf("EXPLAIN QUERY PLAN %s", SQL[i][1]);
    bool plain = strncmp(SQL[i][1], "PRAGMA", 6) == 0 || may_scan(SQL[i][0]);
    if (!plain) {
      if (sqlite3_prepare_v2(db, explain, -1, &st, NULL) != SQLITE_OK)
        fail_msg("%s: %s", SQL[i][0], sqlite3_errmsg(db));
      while (sqlite3_step(st) == SQLITE_ROW) {
        const char *detail = (const char *)sqlite3_column_text(st, 3);
        if (strncmp(detail, "SCAN", 4) == 0 || strstr(detail, "TEMP B-TREE")) fail_msg("%s: %s", SQL[i][0], detail);
      }
      sqlite3_finalize(st);
    }
    sqlite3_free(explain);
  }
  sqlite3_close(db);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
    T(whatever_happens_the_tables_tell_the_same_story),
    T(nothing_is_left_of_what_is_over),
    T(every_statement_has_its_index),
  };
  return cmocka_run_group_tests_name("sqlite_tables", tests, NULL, NULL);
}
