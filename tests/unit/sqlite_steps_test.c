/* Nothing keeps others from the sqlite store's thread for long: each transaction of an operation or a chore runs a
 * bounded number of SQLite's instructions, however many jobs, groups, queues or bytes there are.  Counted, not timed.
 * */
#include "sqlite_world.h"
#include "store/sqlite/sqlite.h"

/* Twenty milliseconds of one core, and half of what one look at each of JOBS jobs takes. */
enum { STEPS_MAX = 200000, JOBS = 30000, BATCH = 1000 };

static struct world *the_world;
static struct sk_enqueue_item template;
static int64_t added;

static struct sq_db *open_db(struct world *w, const char *engine) {
  char url[160];
  snprintf(url, sizeof url, "sqlite:%s", w->path);
  struct sk_store_options options = { .url = sk_str_c(url), .engine = sk_str_c(engine), .lease_ms = 15000 };
  if (w->wall_ms == 0) w->wall_ms = w->mono_ms = 1000000;
  options.clock = (struct sk_store_clock){ world_wall, world_mono, w };
  struct sq_db *db = sk_sq_db_open(&options, &w->err);
  if (db == NULL) fail_msg("%s", w->err.message);
  if (engine) assert_int_equal(sk_sq_sign_on(db, sk_str_c(engine), 15000), SK_OK);
  the_world = w;
  template = (struct sk_enqueue_item){ .queue = SK_STR_LIT("q"), .task = SK_STR_LIT("t"), .record = SK_STR_LIT("r") };
  added = 0;
  return db;
}

/* Instructions since the last call. */
static int64_t count_steps(struct sq_db *db) {
  int64_t n = 0;
  for (int i = 0; i < SQL_STMTS; i++) n += sqlite3_stmt_status(db->stmts[i], SQLITE_STMTSTATUS_VM_STEP, 1);
  return n;
}

static void assert_short(struct sq_db *db, const char *what) {
  int64_t n = count_steps(db);
  if (n > STEPS_MAX) fail_msg("%s: %lld instructions in one transaction", what, (long long)n);
}

/* Runs `call` in a write transaction that must be short. */
#define WRITE(db, what, call)                                                                                          \
  do {                                                                                                                 \
    count_steps(db);                                                                                                   \
    assert_int_equal(sk_sq_begin(db), SK_OK);                                                                          \
    assert_int_equal(sk_sq_end(db, (call)), SK_OK);                                                                    \
    assert_short(db, what);                                                                                            \
  } while (0)

/* Adds n jobs like `template`, with ids that go on. */
static void add(struct sq_db *db, size_t n) {
  while (n > 0) {
    static struct sk_enqueue_item items[BATCH];
    static char ids[BATCH][16];
    size_t some = n < BATCH ? n : BATCH;
    for (size_t i = 0; i < some; i++) {
      snprintf(ids[i], sizeof ids[i], "j%08lld", (long long)added++);
      items[i] = template;
      items[i].id = sk_str_c(ids[i]);
    }
    struct sk_enqueue_op op = { .items = items, .items_n = some };
    assert_int_equal(sk_sq_begin(db), SK_OK);
    assert_int_equal(sk_sq_end(db, sk_sq_enqueue(db, &op)), SK_OK);
    for (size_t i = 0; i < some; i++) assert_int_equal(items[i].status, SK_OK);
    sk_arena_fini(&op.op.arena);
    n -= some;
  }
}

static struct sk_fetch_op take(struct sq_db *db, size_t want) {
  static struct sk_fetch_queue from;
  from = (struct sk_fetch_queue){ .name = template.queue, .quota = want };
  struct sk_fetch_op op = { .queues = &from, .queues_n = 1, .want = want };
  WRITE(db, "fetch", sk_sq_fetch(db, &op));
  sk_sq_fetch_done(db, &op);
  return op;
}

static size_t take_n(struct sq_db *db, size_t want) {
  struct sk_fetch_op op = take(db, want);
  size_t n = op.jobs_n;
  sk_arena_fini(&op.op.arena);
  return n;
}

/* Changes all jobs that match; returns how many. */
static size_t change_all(struct sq_db *db, enum sk_verb verb, struct sk_filter filter, int64_t keep_ms) {
  struct sk_change_op op = { .verb = verb, .filter = filter, .keep_ms = keep_ms };
  struct sq_sweep sweep;
  for (sk_sq_sweep(&sweep, &op); !sweep.over;) {
    count_steps(db);
    assert_int_equal(sk_sq_sweep_step(db, &sweep), SK_OK);
    assert_short(db, "change by filter");
  }
  return op.changed;
}

/* Lists what matches; returns how many steps that took. */
static int list(struct sq_db *db, struct sk_filter filter, size_t limit, size_t *found) {
  struct sk_list_op op = { .filter = filter, .limit = limit };
  struct sq_walk walk;
  int steps = 0;
  for (sk_sq_walk_list(&walk, &op); !walk.over; steps++) {
    count_steps(db);
    assert_int_equal(sk_sq_begin_read(db), SK_OK);
    assert_int_equal(walk.step(&walk, db), SK_OK);
    sk_sq_end_read(db);
    assert_short(db, "list");
  }
  *found = op.views_n;
  sk_arena_fini(&op.op.arena);
  return steps;
}

/* Looks whether the tables tell one story, where that is no matter of minutes. */
static void done(struct world *w, struct sq_db *db) {
  sk_sq_db_close(db);
  if (ask(w->path, "SELECT count(*) FROM job") < 5000) assert_sound(w->path);
}

/* -- looking ------------------------------------------------------------------------------------------------------- */

static void assert_nothing_is_found_in_steps(struct sq_db *db, enum sk_state state) {
  size_t found;
  struct sk_filter filter = { .state = state, .task = SK_STR_LIT("nosuch") };
  assert_true(list(db, filter, 100, &found) >= JOBS / 4000);
  assert_int_equal(found, 0);
  filter.queue = SK_STR_LIT("q");
  assert_true(list(db, filter, 100, &found) >= JOBS / 4000);
  assert_int_equal(found, 0);
  filter.task = SK_STR_LIT("t");
  assert_int_equal(list(db, filter, 100, &found), 1);
  assert_int_equal(found, 100);
}

static void a_list_that_matches_nothing_goes_in_steps(void **state) {
  struct world *w = *state;
  struct sq_db *db = open_db(w, "e");
  template.delay_ms = 1000;
  add(db, JOBS);
  assert_nothing_is_found_in_steps(db, SK_STATE_SCHEDULED);
  assert_int_equal(change_all(db, SK_VERB_CANCEL, (struct sk_filter){ 0 }, 10), JOBS);
  assert_nothing_is_found_in_steps(db, SK_STATE_CANCELLED);
  assert_int_equal(change_all(db, SK_VERB_RETRY, (struct sk_filter){ .state = SK_STATE_CANCELLED }, 0), JOBS);
  assert_nothing_is_found_in_steps(db, SK_STATE_READY);
  for (size_t taken = 0; taken < JOBS;) taken += take_n(db, 1024);
  assert_nothing_is_found_in_steps(db, SK_STATE_RUNNING);
  done(w, db);
}

static void ready_jobs_of_groups_are_listed_in_steps(void **state) {
  struct world *w = *state;
  struct sq_db *db = open_db(w, NULL);
  template.limit = (struct sk_limit){ .group = SK_STR_LIT("g"), .concurrency = 1 };
  add(db, JOBS);
  assert_nothing_is_found_in_steps(db, SK_STATE_READY);
  done(w, db);
}

static void a_get_of_many_bytes_goes_in_steps(void **state) {
  struct world *w = *state;
  struct sq_db *db = open_db(w, NULL);
  enum { BYTES = 1024 * 1024, N = 20 };
  char *record = calloc(1, BYTES);
  template.record = sk_str(record, BYTES);
  add(db, N);
  struct sk_str ids[N + 2000];
  for (int i = 0; i < N + 2000; i++) ids[i] = i < N ? sk_str_c("j00000007") : SK_STR_LIT("nosuch");
  struct sk_get_op op = { .ids = ids, .ids_n = N + 2000 };
  struct sq_walk walk;
  int steps = 0;
  for (sk_sq_walk_get(&walk, &op); !walk.over; steps++) {
    assert_int_equal(sk_sq_begin_read(db), SK_OK);
    assert_int_equal(walk.step(&walk, db), SK_OK);
    sk_sq_end_read(db);
    assert_true(walk.bytes <= SK_BATCH_BYTES_MAX + BYTES);
    assert_short(db, "get");
  }
  assert_true(steps >= N / 4 + 2000 / 500);
  for (int i = 0; i < N; i++) assert_int_equal(op.views[i].record.n, BYTES);
  assert_int_equal(op.views[N].state, SK_STATE_NONE);
  sk_arena_fini(&op.op.arena);
  free(record);
  done(w, db);
}

static void a_count_of_thousands_of_queues_is_short(void **state) {
  struct world *w = *state;
  struct sq_db *db = open_db(w, NULL);
  for (int i = 0; i < 2000; i++) {
    char name[16];
    snprintf(name, sizeof name, "q%d", i);
    template.queue = sk_str_c(name);
    add(db, 1);
  }
  struct sk_count_op op = { .queues_n = 0 };
  db->epoch++; /* as if another connection had committed: no row is cached */
  struct sq_walk walk;
  int steps = 0;
  for (sk_sq_walk_count(&walk, &op); !walk.over; steps++) {
    count_steps(db);
    assert_int_equal(sk_sq_begin_read(db), SK_OK);
    assert_int_equal(walk.step(&walk, db), SK_OK);
    sk_sq_end_read(db);
    assert_short(db, "count");
  }
  assert_true(steps > 1);
  assert_false(op.moving);
  assert_int_equal(op.queues_n, 2000);
  for (size_t i = 0; i < 2000; i++) assert_int_equal(op.queues[i].states[SK_STATE_READY], 1);
  sk_arena_fini(&op.op.arena);
  done(w, db);
}

/* -- fetch --------------------------------------------------------------------------------------------------------- */

static void a_fetch_of_many_that_are_due_is_short(void **state) {
  struct world *w = *state;
  struct sq_db *db = open_db(w, "e");
  template.delay_ms = 1000;
  add(db, JOBS);
  w->wall_ms += 2000;
  size_t taken = 0;
  for (int i = 0; taken < JOBS && i < JOBS; i++) taken += take_n(db, 1024);
  assert_int_equal(taken, JOBS);
  done(w, db);
}

static void a_fetch_behind_many_cancelled_jobs_is_short(void **state) {
  struct world *w = *state;
  struct sq_db *db = open_db(w, "e");
  add(db, JOBS);
  assert_int_equal(change_all(db, SK_VERB_CANCEL, (struct sk_filter){ 0 }, 100000), JOBS);
  add(db, 1);
  size_t taken = 0;
  int fetches = 0;
  for (bool more = true; more; fetches++) {
    struct sk_fetch_op op = take(db, 10);
    taken += op.jobs_n;
    more = op.has_more;
    sk_arena_fini(&op.op.arena);
  }
  assert_int_equal(taken, 1);
  assert_true(fetches > JOBS / 4000);
  assert_int_equal(take_n(db, 10), 0);
  done(w, db);
}

static void a_fetch_takes_a_bounded_number_of_bytes(void **state) {
  struct world *w = *state;
  struct sq_db *db = open_db(w, "e");
  enum { BYTES = 1024 * 1024, N = 15 };
  char *record = calloc(1, BYTES);
  template.record = sk_str(record, BYTES);
  add(db, N);
  template.limit = (struct sk_limit){ .group = SK_STR_LIT("g"), .concurrency = 1000 };
  add(db, N);
  template.limit = (struct sk_limit){ 0 };
  template.delay_ms = 10;
  add(db, N);
  w->wall_ms += 20;
  size_t taken = 0;
  while (taken < 3 * N) {
    struct sk_fetch_op op = take(db, 1000);
    assert_true(op.jobs_n >= 1 && op.jobs_n <= SK_BATCH_BYTES_MAX / BYTES);
    taken += op.jobs_n;
    assert_int_equal(op.has_more, taken < 3 * N);
    sk_arena_fini(&op.op.arena);
  }
  free(record);
  done(w, db);
}

static void a_record_larger_than_the_bound_is_fetched_alone(void **state) {
  struct world *w = *state;
  struct sq_db *db = open_db(w, "e");
  char *record = calloc(1, SK_RECORD_BYTES_MAX);
  template.record = sk_str(record, SK_RECORD_BYTES_MAX);
  add(db, 2);
  assert_int_equal(take_n(db, 10), 1);
  assert_int_equal(take_n(db, 10), 1);
  free(record);
  done(w, db);
}

static void a_fetch_opens_a_bounded_number_of_lanes(void **state) {
  struct world *w = *state;
  struct sq_db *db = open_db(w, "e");
  enum { GROUPS = 4000 };
  for (int i = 0; i < GROUPS; i++) {
    char name[16];
    snprintf(name, sizeof name, "g%d", i);
    template.limit =
        (struct sk_limit){ .group = sk_str_c(name), .concurrency = 0, .rate = 1, .per_ms = 1000, .burst = 1 };
    add(db, 2);
  }
  size_t taken = 0;
  for (int i = 0; taken < GROUPS && i < GROUPS; i++) taken += take_n(db, 1000);
  assert_int_equal(taken, GROUPS);
  w->wall_ms += 1000; /* all are open again */
  for (int i = 0; taken < 2 * GROUPS && i < GROUPS; i++) taken += take_n(db, 1000);
  assert_int_equal(taken, 2 * GROUPS);
  done(w, db);
}

static void a_fetch_looks_at_a_bounded_number_of_stops(void **state) {
  struct world *w = *state;
  struct sq_db *db = open_db(w, "e");
  add(db, JOBS);
  size_t taken = 0, told = 0;
  while (taken < JOBS) taken += take_n(db, 1024);
  assert_int_equal(change_all(db, SK_VERB_CANCEL, (struct sk_filter){ 0 }, 0), JOBS);
  for (int i = 0; told < JOBS && i < JOBS / 500; i++) {
    struct sk_fetch_op op = take(db, 1);
    assert_true(op.stops_n > 0);
    told += op.stops_n;
    sk_arena_fini(&op.op.arena);
  }
  assert_int_equal(told, JOBS);
  sk_sq_db_close(db);
}

static void a_full_queue_drops_its_oldest_behind_many_cancelled_jobs_in_steps(void **state) {
  struct world *w = *state;
  struct sq_db *db = open_db(w, NULL);
  struct sk_queue_settings settings = { .name = SK_STR_LIT("q"), .max_len = 1, .overflow = SK_OVERFLOW_DROP_OLDEST };
  struct sk_declare_op declare = { .queues = &settings, .queues_n = 1 };
  add(db, JOBS);
  assert_int_equal(change_all(db, SK_VERB_CANCEL, (struct sk_filter){ 0 }, 100000), JOBS);
  add(db, 1);
  WRITE(db, "declare", sk_sq_declare(db, &declare));
  enum sk_code status = SK_ELIMIT;
  for (int i = 0; status == SK_ELIMIT && i <= JOBS / 1000 + 1; i++) {
    struct sk_enqueue_item item = template;
    item.id = SK_STR_LIT("last");
    struct sk_enqueue_op op = { .items = &item, .items_n = 1 };
    WRITE(db, "enqueue", sk_sq_enqueue(db, &op));
    status = item.status;
    sk_arena_fini(&op.op.arena);
  }
  assert_int_equal(status, SK_OK);
  done(w, db);
}

/* -- chores -------------------------------------------------------------------------------------------------------- */

static void a_takeover_goes_in_steps(void **state) {
  struct world *w = *state;
  struct sq_db *db = open_db(w, "dead");
  add(db, JOBS);
  for (size_t taken = 0; taken < JOBS;) taken += take_n(db, 1024);
  sk_sq_db_close(db); /* as a process that dies: nothing is handed back */
  db = open_db(w, NULL);
  size_t all = 0, recovered;
  int steps = 0;
  do {
    WRITE(db, "takeover", sk_sq_recover(db, &recovered));
    all += recovered;
    steps++;
  } while (db->giving != 0);
  assert_int_equal(all, JOBS);
  assert_true(steps >= JOBS / 300);
  done(w, db);
}

static void kept_records_are_dropped_in_steps_of_bounded_bytes(void **state) {
  struct world *w = *state;
  struct sq_db *db = open_db(w, NULL);
  enum { BYTES = 1024 * 1024, N = 12 };
  char *record = calloc(1, BYTES);
  template.record = sk_str(record, BYTES);
  add(db, N);
  assert_int_equal(change_all(db, SK_VERB_CANCEL, (struct sk_filter){ 0 }, 10), N);
  w->wall_ms += 20;
  int steps = 0;
  do {
    WRITE(db, "expiry", sk_sq_expire(db));
    steps++;
  } while (db->expiry_due);
  assert_true(steps >= N * BYTES / SK_BATCH_BYTES_MAX);
  assert_int_equal(ask(w->path, "SELECT count(*) FROM job"), 0);
  free(record);
  done(w, db);
}

static void a_limit_that_is_strict_no_more_frees_its_slot_among_many_scheduled_jobs(void **state) {
  struct world *w = *state;
  struct sq_db *db = open_db(w, "e");
  struct sk_job job;
  struct sk_buf strict = { 0 }, any = { 0 };
  sk_job_init(&job);
  job.task = SK_STR_LIT("t");
  job.queue = SK_STR_LIT("q");
  job.limit = SK_STR_LIT("1;0;0;0;strict;t/a");
  sk_record_encode(&job, &strict);
  job.limit = SK_STR_LIT("1;0;0;0;any;t/a");
  sk_record_encode(&job, &any);
  struct sk_task_item task = { .name = SK_STR_LIT("t"), .queue = SK_STR_LIT("q"), .template = sk_buf_str(&strict) };
  struct sk_declare_op declare = { .items = &task, .items_n = 1 };
  WRITE(db, "declare", sk_sq_declare(db, &declare));
  template.limit = (struct sk_limit){ .group = SK_STR_LIT("t/a"), .concurrency = 1, .strict = true };
  add(db, 2);
  struct sk_fetch_op op = take(db, 2);
  assert_int_equal(op.jobs_n, 1);
  struct sk_settle_item item = { .id = op.jobs[0].id, .queue = op.jobs[0].queue, .fence = op.jobs[0].fence };
  item.kind = SK_SETTLE_RETRY;
  item.record = op.jobs[0].record;
  item.delay_ms = 600000;
  struct sk_settle_op settle = { .items = &item, .items_n = 1 };
  WRITE(db, "settle", sk_sq_settle(db, &settle));
  sk_sq_settle_done(db, &settle);
  sk_arena_fini(&op.op.arena);
  template.limit = (struct sk_limit){ 0 };
  template.delay_ms = 3600000;
  add(db, JOBS);
  assert_int_equal(take_n(db, 2), 0);
  task.template = sk_buf_str(&any);
  WRITE(db, "declare", sk_sq_declare(db, &declare));
  assert_int_equal(take_n(db, 2), 1);
  sk_buf_fini(&strict);
  sk_buf_fini(&any);
  done(w, db);
}

/* -- queues that hold nothing -------------------------------------------------------------------------------------- */

static void forget(struct sq_db *db) { WRITE(db, "forget queues", sk_sq_queues_forget(db)); }

static int64_t queues(struct world *w) { return ask(w->path, "SELECT count(*) FROM queue"); }

static void delete_all(struct sq_db *db) { change_all(db, SK_VERB_DELETE, (struct sk_filter){ 0 }, 0); }

static void a_queue_that_holds_nothing_for_long_is_forgotten(void **state) {
  struct world *w = *state;
  struct sq_db *db = open_db(w, NULL);
  add(db, 1);
  w->wall_ms += 2 * SQ_QUEUE_KEEP_MS;
  forget(db);
  assert_int_equal(queues(w), 1); /* it holds a job */
  delete_all(db);
  w->wall_ms += SQ_QUEUE_KEEP_MS - 1;
  forget(db);
  assert_int_equal(queues(w), 1); /* not for long enough */
  int64_t version = db->head.queues_version;
  w->wall_ms += 1;
  forget(db);
  assert_int_equal(queues(w), 0);
  assert_true(db->head.queues_version > version);
  add(db, 1);
  assert_int_equal(queues(w), 1);
  done(w, db);
}

static void a_queue_that_is_paused_or_has_settings_is_not_forgotten(void **state) {
  struct world *w = *state;
  struct sq_db *db = open_db(w, NULL);
  struct sk_queue_settings settings = { .name = SK_STR_LIT("b"), .max_len = 5 };
  struct sk_declare_op declare = { .queues = &settings, .queues_n = 1 };
  struct sk_pause_op pause = { .queue = SK_STR_LIT("a"), .paused = true };
  WRITE(db, "pause", sk_sq_pause(db, &pause));
  WRITE(db, "declare", sk_sq_declare(db, &declare));
  template.queue = SK_STR_LIT("b");
  add(db, 1);
  delete_all(db);
  w->wall_ms += 2 * SQ_QUEUE_KEEP_MS;
  forget(db);
  assert_int_equal(queues(w), 2);
  pause.paused = false;
  WRITE(db, "pause", sk_sq_pause(db, &pause));
  settings.max_len = 0;
  WRITE(db, "declare", sk_sq_declare(db, &declare));
  w->wall_ms += 2 * SQ_QUEUE_KEEP_MS;
  forget(db);
  assert_int_equal(queues(w), 0);
  done(w, db);
}

static void numbers_of_forgotten_queues_are_used_again(void **state) {
  struct world *w = *state;
  struct sq_db *db = open_db(w, NULL);
  add(db, 1);
  ask(w->path, "UPDATE queue SET q=65535");
  ask(w->path, "UPDATE job SET q=65535, n=(65535<<47)+(n&((1<<47)-1))");
  sk_sq_forget(db);
  struct sk_enqueue_item item = template;
  item.id = SK_STR_LIT("x");
  item.queue = SK_STR_LIT("one too many");
  struct sk_enqueue_op op = { .items = &item, .items_n = 1 };
  WRITE(db, "enqueue", sk_sq_enqueue(db, &op));
  assert_int_equal(item.status, SK_ELIMIT);
  delete_all(db);
  w->wall_ms += 2 * SQ_QUEUE_KEEP_MS;
  forget(db);
  WRITE(db, "enqueue", sk_sq_enqueue(db, &op));
  assert_int_equal(item.status, SK_OK);
  assert_int_equal(ask(w->path, "SELECT q FROM queue"), 65535);
  done(w, db);
}

static void a_number_is_not_used_again_while_a_job_that_moved_away_has_it(void **state) {
  struct world *w = *state;
  struct sq_db *db = open_db(w, "e");
  add(db, 1);
  struct sk_fetch_op op = take(db, 1);
  struct sk_settle_item item = { .id = op.jobs[0].id, .queue = op.jobs[0].queue, .fence = op.jobs[0].fence };
  item.kind = SK_SETTLE_RETRY;
  item.record = op.jobs[0].record;
  item.to_queue = SK_STR_LIT("other");
  item.delay_ms = 1000;
  struct sk_settle_op settle = { .items = &item, .items_n = 1 };
  WRITE(db, "settle", sk_sq_settle(db, &settle));
  sk_arena_fini(&op.op.arena);
  w->wall_ms += 2 * SQ_QUEUE_KEEP_MS;
  forget(db);
  assert_int_equal(queues(w), 2);
  delete_all(db);
  w->wall_ms += 2 * SQ_QUEUE_KEEP_MS;
  forget(db);
  assert_int_equal(queues(w), 0);
  done(w, db);
}

static void another_process_notices_that_a_queue_was_forgotten_and_its_number_used_again(void **state) {
  struct world *w = *state;
  struct sq_db *db = open_db(w, NULL), *other = open_db(w, NULL);
  add(db, 1);
  add(other, 1); /* both know it by name and number */
  delete_all(db);
  w->wall_ms += 2 * SQ_QUEUE_KEEP_MS;
  forget(db);
  template.queue = SK_STR_LIT("new");
  add(db, 1);
  template.queue = SK_STR_LIT("q");
  add(other, 1);
  assert_int_equal(ask(w->path, "SELECT count(*) FROM queue WHERE c2=1"), 2);
  size_t found;
  list(db, (struct sk_filter){ .queue = SK_STR_LIT("new") }, 10, &found);
  assert_int_equal(found, 1);
  list(other, (struct sk_filter){ .queue = SK_STR_LIT("new") }, 10, &found);
  assert_int_equal(found, 1);
  sk_sq_db_close(other);
  done(w, db);
}

static void thousands_of_queues_are_forgotten_a_few_at_a_time(void **state) {
  struct world *w = *state;
  struct sq_db *db = open_db(w, NULL);
  enum { QUEUES = 3000 };
  for (int i = 0; i < QUEUES; i++) {
    char name[16];
    snprintf(name, sizeof name, "q%d", i);
    template.queue = sk_str_c(name);
    add(db, 1);
  }
  delete_all(db);
  w->wall_ms += 2 * SQ_QUEUE_KEEP_MS;
  for (int i = 0; i < QUEUES / 200; i++) forget(db);
  assert_int_equal(queues(w), 0);
  done(w, db);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
    T(a_list_that_matches_nothing_goes_in_steps),
    T(ready_jobs_of_groups_are_listed_in_steps),
    T(a_get_of_many_bytes_goes_in_steps),
    T(a_count_of_thousands_of_queues_is_short),
    T(a_fetch_of_many_that_are_due_is_short),
    T(a_fetch_behind_many_cancelled_jobs_is_short),
    T(a_fetch_takes_a_bounded_number_of_bytes),
    T(a_record_larger_than_the_bound_is_fetched_alone),
    T(a_fetch_opens_a_bounded_number_of_lanes),
    T(a_fetch_looks_at_a_bounded_number_of_stops),
    T(a_full_queue_drops_its_oldest_behind_many_cancelled_jobs_in_steps),
    T(a_takeover_goes_in_steps),
    T(kept_records_are_dropped_in_steps_of_bounded_bytes),
    T(a_limit_that_is_strict_no_more_frees_its_slot_among_many_scheduled_jobs),
    T(a_queue_that_holds_nothing_for_long_is_forgotten),
    T(a_queue_that_is_paused_or_has_settings_is_not_forgotten),
    T(numbers_of_forgotten_queues_are_used_again),
    T(a_number_is_not_used_again_while_a_job_that_moved_away_has_it),
    T(another_process_notices_that_a_queue_was_forgotten_and_its_number_used_again),
    T(thousands_of_queues_are_forgotten_a_few_at_a_time),
  };
  return cmocka_run_group_tests_name("sqlite_steps", tests, NULL, NULL);
}
