/* model_test.c - thousands of random operations on a store and on a model of it (model.h), which must agree after each.
 * Which group has the next turn is the store's own decision; the test checks that the job is the first of a lane that
 * may be taken from.  In the end all waiting jobs are run to their end, and no slot and no lock may be left over.
 *
 * A failure prints the seed; SEED=n runs it again, STEPS=n runs longer. */
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "model.h"

enum { STEPS = 3000, THIRD_MS = (LEASE_MS + 2) / 3 };
#define KEEP_MS 1000000000000LL /* longer than the test's clock goes */

/* Engine `by` looks at the others and gives up those that it has seen do nothing for a lease; a third of a lease at
 * most counts for each look, and nothing after a whole one without. */
static void recover(struct model *m, int by) {
  struct model_engine *judge = &m->engines[by];
  int64_t now_ms = atomic_load(&m->w->mono_ms), gap_ms = now_ms - judge->looked_ms;
  judge->looked_ms = now_ms;
  for (int e = 0; e < ENGINES; e++) {
    struct model_engine *engine = &m->engines[e];
    struct model_watch *watch = &judge->watches[e];
    if (e == by || engine->h == NULL || engine->gone) continue;
    if (watch->mark != engine->mark || gap_ms >= LEASE_MS)
      *watch = (struct model_watch){ .mark = engine->mark };
    else
      watch->still_ms += gap_ms < THIRD_MS ? gap_ms : THIRD_MS;
    if (watch->still_ms < LEASE_MS) continue;
    engine->gone = engine->lost = true;
    hand_back(m, e, true);
  }
}

/* An engine that was given up enters anew with its next operation. */
static struct handle *enter(struct model *m, int engine) {
  struct model_engine *e = &m->engines[engine];
  if (e->gone) e->mark = ++m->marks;
  e->gone = false;
  return e->h;
}

/* -- steps --------------------------------------------------------------------------------------------------------- */

static const char *const lock_modes[] = { "", "reject;0", "reject;300", "replace;0", "replace;300", "throttle;300" };

/* The numbers of a group change from job to job; its strictness does not. */
static const char *draw_limit(struct model *m, int group, char out[64]) {
  if (group == STRICT_GROUP)
    snprintf(out, 64, "1;0;0;0;strict;=g%d", group);
  else if (below(m, 2))
    snprintf(out, 64, "%d;0;0;0;any;=g%d", 1 + below(m, 3), group);
  else
    snprintf(out, 64, "%d;%d;1000;%d;any;=g%d", below(m, 3), 5 + below(m, 20), 1 + below(m, 3), group);
  return out;
}

static struct sk_enqueue_item draw_item(struct model *m, struct model_item *drawn) {
  *drawn = (struct model_item){
    .job = &m->jobs[below(m, IDS)],
    .queue = below(m, QUEUES),
    .priority = below(m, 5) - 2,
    .delay_ms = below(m, 2) ? below(m, 300) : 0,
    .key = below(m, KEYS),
    .group = below(m, 2) ? below(m, MODEL_GROUPS) : -1,
  };
  char lock[64] = "", limit[64] = "";
  const char *mode = below(m, 2) ? lock_modes[below(m, 6)] : "";
  if (*mode) snprintf(lock, sizeof lock, "%s;=key%d", mode, drawn->key);
  if (drawn->group >= 0) draw_limit(m, drawn->group, limit);
  struct sk_enqueue_item one =
      item(m->w, .id = drawn->job->id, .queue = queue_names[drawn->queue], .priority = drawn->priority,
           .delay_ms = drawn->delay_ms, .lock = lock, .limit = limit);
  drawn->lock = one.lock;
  drawn->limit = one.limit;
  return one;
}

static void step_enqueue(struct model *m) {
  struct sk_enqueue_item items[4];
  enum sk_code want[4];
  char holders[4][16];
  size_t n = (size_t)below(m, 4) + 1;
  for (size_t i = 0; i < n; i++) {
    struct model_item drawn;
    items[i] = draw_item(m, &drawn);
    want[i] = enqueue_in_model(m, &drawn, holders[i]);
  }
  struct sk_enqueue_op op = { .items = items, .items_n = n };
  assert_code(run_enqueue(below(m, 2) ? m->client : m->engines[0].h, &op), SK_OK);
  for (size_t i = 0; i < n; i++) {
    assert_code(items[i].status, want[i]);
    if (!sk_str_eq_c(items[i].holder, holders[i]))
      fail_msg("holder: got %.*s, want %s", SK_STR_ARG(items[i].holder), holders[i]);
  }
  sk_op_fini(&op.op);
}

/* Checks a job that was taken: nothing blocks it, no job of a higher priority could be taken, and it is the first of
 * its lane. */
static void expect_one(struct model *m, int engine, const struct sk_fetched *taken, int queue, int32_t priority) {
  struct model_job *job = job_named(m, taken->id);
  if (job == NULL || job->state != SK_STATE_READY || job->queue != queue)
    fail_msg("%.*s is not ready in %s", SK_STR_ARG(taken->id), queue_names[queue]);
  if (blocked_in_model(m, job) != SK_BLOCKED_BY_NOTHING) fail_msg("%s is blocked", job->id);
  if (job->priority != priority || !is_first_of_its_lane(m, job)) fail_msg("%s is not the next of its lane", job->id);
  assert_true(sk_str_eq_c(taken->queue, queue_names[queue]));
  assert_int_equal(taken->priority, job->priority);
  assert_true(taken->fence > job->fence);
  if (job->due_ms == NEVER) assert_int_equal(taken->late_ms, 0);
  if (job->waited) assert_int_equal(taken->late_ms, now(m) - job->due_ms);
  run(m, job, engine, taken->fence);
}

static void expect_held(struct model *m, int engine, const struct sk_fetch_op *op, size_t *at, size_t quota,
                        int queue) {
  int32_t priority;
  while (!m->paused[queue] && quota-- > 0 && *at < op->want && next_priority(m, queue, &priority)) {
    if (*at >= op->jobs_n) fail_msg("a job of %s, priority %d, is missing in the fetch", queue_names[queue], priority);
    expect_one(m, engine, &op->jobs[(*at)++], queue, priority);
  }
}

static void promote_in_model(struct model *m, int queue) {
  for (int i = 0; i < IDS; i++) {
    struct model_job *job = &m->jobs[i];
    bool waits = job->state == SK_STATE_SCHEDULED || job->state == SK_STATE_RETRY;
    if (waits && job->queue == queue && job->due_ms <= now(m)) job->state = SK_STATE_READY;
  }
}

static void expect_rest(struct model *m, const struct sk_fetch_op *op) {
  int64_t due_in_ms = -1;
  bool more = false;
  int32_t priority;
  for (size_t i = 0; i < op->queues_n; i++) {
    int queue = queue_index(op->queues[i].name);
    int64_t in_ms = due_in_model(m, queue);
    if (in_ms >= 0 && (due_in_ms < 0 || in_ms < due_in_ms)) due_in_ms = in_ms;
    if (!m->paused[queue] && next_priority(m, queue, &priority)) more = true;
  }
  assert_int_equal(op->due_in_ms, due_in_ms);
  assert_int_equal(op->has_more, more);
}

static void expect_stops(struct model *m, int engine, const struct sk_fetch_op *op) {
  size_t n = 0;
  for (int i = 0; i < IDS; i++) {
    const struct model_job *job = &m->jobs[i];
    if (job->state != SK_STATE_RUNNING || job->holder != engine || !job->stopping) continue;
    size_t at = 0;
    while (at < op->stops_n && !sk_str_eq_c(op->stops[at], job->id)) at++;
    if (at == op->stops_n) fail_msg("%s is missing among the stops", job->id);
    n++;
  }
  assert_int_equal(op->stops_n, n);
}

static void step_fetch(struct model *m) {
  int engine = below(m, ENGINES), first = below(m, QUEUES);
  struct sk_fetch_queue queues[QUEUES];
  struct sk_fetch_op op = { .queues = queues, .queues_n = (size_t)below(m, QUEUES + 1), .want = (size_t)below(m, 6) };
  for (int i = 0; i < QUEUES; i++)
    queues[i] = (struct sk_fetch_queue){ text(queue_names[(first + i) % QUEUES]), (size_t)below(m, 4) };
  assert_code(run_fetch(enter(m, engine), &op), SK_OK);

  size_t at = 0;
  for (size_t i = 0; i < op.queues_n; i++) promote_in_model(m, queue_index(queues[i].name));
  for (size_t i = 0; i < op.queues_n; i++)
    expect_held(m, engine, &op, &at, queues[i].quota, queue_index(queues[i].name));
  for (size_t i = 0; i < op.queues_n; i++) expect_held(m, engine, &op, &at, op.want, queue_index(queues[i].name));
  assert_int_equal(op.jobs_n, at);
  expect_rest(m, &op);
  expect_stops(m, engine, &op);
  sk_op_fini(&op.op);
}

static struct sk_str model_record(struct model *m, const struct model_job *job, int64_t attempts) {
  struct sk_job record = decoded(item(m->w, .id = job->id).record);
  record.attempts = attempts;
  record.recoveries = job->recoveries;
  return record_of(m->w, &record);
}

static void step_settle(struct model *m) {
  int engine = below(m, ENGINES);
  struct sk_settle_item items[3];
  memset(items, 0, sizeof items);
  enum sk_code want[3];
  size_t n = 0;
  for (int i = 0, from = below(m, IDS); i < IDS && n < 3; i++) {
    struct model_job *job = &m->jobs[(from + i) % IDS];
    bool held = job->state == SK_STATE_RUNNING && job->holder == engine, astray = below(m, 40) == 0;
    if (!held && !astray) continue;
    struct sk_settle_item *one = &items[n];
    *one = (struct sk_settle_item){
      .id = text(job->id),
      .queue = text(queue_names[job->queue]),
      .fence = job->fence - (astray && held && job->fence > 0),
      .kind = (enum sk_settle_kind)below(m, SK_SETTLE_KINDS),
      .delay_ms = below(m, 3) ? below(m, 300) : 0,
      .keep_ms = below(m, 2) ? KEEP_MS : 0,
      .to_queue = below(m, 3) ? text(NULL) : text(queue_names[below(m, QUEUES)]),
      .crashed = below(m, 5) == 0,
    };
    if (one->kind != SK_SETTLE_RELEASE || below(m, 2)) one->record = model_record(m, job, job->attempts + 1);
    want[n++] = held && !astray ? settle_in_model(m, job, one) : SK_ESTALE;
  }
  struct sk_settle_op op = { .items = items, .items_n = n };
  assert_code(run_settle(enter(m, engine), &op), SK_OK);
  for (size_t i = 0; i < n; i++) assert_code(items[i].status, want[i]);
  sk_op_fini(&op.op);
}

static void beat_in_model(struct model *m, int engine) {
  int64_t before = m->counters.recovered;
  const struct sk_beat_op *op = beat(enter(m, engine));
  m->engines[engine].mark = ++m->marks;
  recover(m, engine);
  assert_int_equal(op->lost, m->engines[engine].lost);
  assert_int_equal(op->recovered, m->counters.recovered - before);
  m->engines[engine].lost = false;
}

static void step_beat(struct model *m) { beat_in_model(m, below(m, ENGINES)); }

/* Some engines beat in turns for a while and the others do not, while time goes on. */
static void step_silence(struct model *m) {
  unsigned beating = (unsigned)below(m, 1 << ENGINES);
  for (int round = 3 + below(m, 3); round > 0; round--) {
    for (int e = 0; e < ENGINES; e++)
      if (beating >> e & 1) beat_in_model(m, e);
    world_advance(m->w, THIRD_MS - 10 + below(m, 20));
  }
}

static void step_change(struct model *m) {
  struct model_job *job = &m->jobs[below(m, IDS)];
  enum sk_verb verb = (enum sk_verb)below(m, 4);
  int64_t keep_ms = below(m, 2) ? KEEP_MS : 0;
  enum sk_code want = change_in_model(m, job, verb, keep_ms);
  assert_code(change(m->client, verb, job->id, keep_ms), want);
}

/* Only deletes, since the order in which a filter's jobs are changed is the store's own. */
static void step_delete_all(struct model *m) {
  int queue = below(m, QUEUES);
  enum sk_state s = (enum sk_state)below(m, SK_STATES);
  size_t want = 0;
  for (int i = 0; i < IDS; i++) {
    struct model_job *job = &m->jobs[i];
    if (job->queue != queue || (s != SK_STATE_NONE && job->state != s)) continue;
    if (change_in_model(m, job, SK_VERB_DELETE, 0) == SK_OK) want++;
  }
  const struct sk_filter filter = { .queue = text(queue_names[queue]), .state = s };
  assert_int_equal(change_all(m->client, SK_VERB_DELETE, filter, 0), want);
}

static void on_swept(struct sk_op *op, void *ctx) {
  struct model_sweep *sweep = ctx;
  assert_code(op->status, SK_OK);
  assert_int_equal(sweep->op.changed, SWEPT);
  sweep->done = true;
}

static void end_sweep(struct model *m) {
  if (!m->sweep.running) return;
  world_await(m->w, &m->sweep.done);
  sk_op_fini(&m->sweep.op.op);
  m->sweep.running = false;
}

/* Adds jobs for a sweep, more than one step takes, and begins to delete them. */
static void step_sweep(struct model *m) {
  end_sweep(m);
  enum { BATCH = 500 };
  static struct sk_enqueue_item items[BATCH];
  for (int first = 0; first < SWEPT; first += BATCH) {
    for (int i = 0; i < BATCH; i++) {
      char id[16];
      snprintf(id, sizeof id, "s%d", first + i);
      items[i] = item(m->w, .id = id, .queue = SWEPT_NAME, .task = SWEPT_NAME, .priority = below(m, 5) - 2,
                      .delay_ms = below(m, 2) ? below(m, 300) : 0);
    }
    struct sk_enqueue_op op = { .items = items, .items_n = BATCH };
    assert_code(run_enqueue(m->client, &op), SK_OK);
    sk_op_fini(&op.op);
  }
  m->counters.enqueued += SWEPT;
  m->sweep = (struct model_sweep){ .op = { .op = { .cb = on_swept, .ctx = &m->sweep },
                                           .verb = SK_VERB_DELETE,
                                           .filter = { .task = text(SWEPT_NAME) } },
                                   .running = true };
  m->client->store->ops->change(m->client->store, &m->sweep.op);
}

static void open_model_engine(struct model *m, int e) {
  char id[16];
  snprintf(id, sizeof id, "engine%d", m->opened++);
  m->engines[e] = (struct model_engine){ .h = open_engine(m->w, id), .mark = ++m->marks, .looked_ms = -LEASE_MS };
  recover(m, e);
}

static void step_reopen(struct model *m) {
  if (m->w->handles_n == HANDLES_MAX) return;
  int e = below(m, ENGINES);
  close_handle(m->engines[e].h);
  hand_back(m, e, false);
  open_model_engine(m, e);
}

/* Queue 1 always has the same rate; all else changes. */
static void configure_in_model(struct model *m, int queue, int64_t max_len, int64_t concurrency) {
  struct sk_queue_settings *settings = &m->settings[queue];
  *settings = (struct sk_queue_settings){ .name = text(queue_names[queue]),
                                          .max_len = max_len,
                                          .limit = { .concurrency = concurrency } };
  settings->overflow = (enum sk_overflow)below(m, 3);
  if (queue == 1) {
    settings->limit.rate = 20;
    settings->limit.per_ms = 1000;
    settings->limit.burst = 3;
  }
  bind_one(m->client, *settings);
}

static void step_configure(struct model *m) {
  int64_t max_len = below(m, 2) ? 4 + below(m, 20) : 0, concurrency = below(m, 2) ? 1 + below(m, 4) : 0;
  configure_in_model(m, below(m, QUEUES), max_len, concurrency);
}

static void step(struct model *m) {
  int dice = below(m, 1000);
  if (dice < 240) return step_enqueue(m);
  if (dice < 480) return step_fetch(m);
  if (dice < 690) return step_settle(m);
  if (dice < 800) return world_advance(m->w, below(m, 150));
  if (dice < 860) return step_beat(m);
  if (dice < 960) return step_change(m);
  if (dice < 970) return step_delete_all(m);
  if (dice < 980) return step_reopen(m);
  if (dice < 981) return step_sweep(m);
  if (dice < 983) return world_advance(m->w, below(m, 2 * LEASE_MS));
  if (dice < 986) return step_silence(m);
  if (dice < 992) return step_configure(m);
  int queue = below(m, QUEUES);
  m->paused[queue] = !m->paused[queue];
  set_paused(m->client, queue_names[queue], m->paused[queue]);
}

/* -- agreement ----------------------------------------------------------------------------------------------------- */

/* Those of one fetch may share a fence: their order among themselves is the store's own. */
static bool same_place(const struct model_job *a, const struct model_job *b) {
  return a == b || (a && a->state == SK_STATE_RUNNING && b->state == SK_STATE_RUNNING && a->fence == b->fence);
}

static void check_jobs(struct model *m) {
  struct model_job *all[IDS];
  size_t n = sorted(m, all);
  size_t listed_at[IDS] = { 0 };
  struct sk_list_op op = { .limit = 1000 };
  if (m->sweep.running) op.filter.task = text("t");
  assert_code(run_list(m->client, &op), SK_OK);
  for (size_t i = 0; i < op.views_n && i < n; i++) {
    const struct sk_view *v = &op.views[i];
    struct model_job *job = job_named(m, v->id);
    if (!same_place(job, all[i]) || v->state != job->state || listed_at[job - m->jobs] != 0)
      fail_msg("place %zu of the list: got %.*s, %s; want %s, %s", i, SK_STR_ARG(v->id), sk_state_name(v->state),
               all[i]->id, sk_state_name(all[i]->state));
    listed_at[job - m->jobs] = i + 1;
    assert_true(sk_str_eq_c(v->queue, queue_names[job->queue]));
    assert_int_equal(v->priority, job->priority);
    bool waits = job->state == SK_STATE_SCHEDULED || job->state == SK_STATE_RETRY;
    assert_int_equal(v->due_ms, waits ? job->due_ms : 0);
    assert_int_equal(v->stopping, job->stopping);
    struct sk_job record = decoded(v->record);
    assert_int_equal(record.attempts, job->attempts);
    assert_int_equal(record.recoveries, job->recoveries);
  }
  assert_int_equal(op.views_n, n);
  sk_op_fini(&op.op);
}

static void check_counts(struct model *m) {
  int64_t states[QUEUES][SK_STATES] = { 0 };
  for (int i = 0; i < IDS; i++)
    if (m->jobs[i].state != SK_STATE_NONE) states[m->jobs[i].queue][m->jobs[i].state]++;
  struct sk_count_op op = { 0 };
  assert_code(run_count(m->client, &op), SK_OK);
  for (size_t i = 0; i < op.queues_n; i++) {
    if (sk_str_eq_c(op.queues[i].name, SWEPT_NAME)) {
      if (!m->sweep.running)
        assert_memory_equal(op.queues[i].states, (int64_t[SK_STATES]){ 0 }, sizeof op.queues[i].states);
      continue;
    }
    int queue = queue_index(op.queues[i].name);
    assert_memory_equal(op.queues[i].states, states[queue], sizeof states[queue]);
    assert_int_equal(op.queues[i].paused, m->paused[queue]);
  }
  assert_memory_equal(&op.counters, &m->counters, sizeof m->counters);
  sk_op_fini(&op.op);
}

/* Of one READY job: only get tells it. */
static void check_blocked_by(struct model *m) {
  for (int i = 0, from = below(m, IDS); i < IDS; i++) {
    const struct model_job *job = &m->jobs[(from + i) % IDS];
    if (job->state != SK_STATE_READY) continue;
    enum sk_blocked_by got = view(m->client, job->id)->blocked_by, want = blocked_in_model(m, job);
    if (got != want) fail_msg("%s: blocked by %d, want %d", job->id, got, want);
    return;
  }
}

/* All that waits is run to its end; then every lock is free and nobody stands in a group. */
static void drain(struct model *m) {
  struct handle *h = m->engines[0].h;
  for (int q = 0; q < QUEUES; q++) {
    set_paused(m->client, queue_names[q], false);
    bind_one(m->client, (struct sk_queue_settings){ .name = text(queue_names[q]) });
  }
  for (int e = 1; e < ENGINES; e++) close_handle(m->engines[e].h);
  for (int i = 0; i < IDS; i++)
    if (m->jobs[i].state == SK_STATE_RUNNING && m->jobs[i].holder == 0) {
      const struct sk_fetched held = { .id = text(m->jobs[i].id),
                                       .queue = text(queue_names[m->jobs[i].queue]),
                                       .fence = m->jobs[i].fence };
      settle(h, &held, .kind = SK_SETTLE_DROP);
    }
  for (int turn = 0; turn < 4 * IDS; turn++) {
    struct sk_fetch_op *op = take(h, 10, queue_names[0], queue_names[1], queue_names[2], NULL);
    for (size_t i = 0; i < op->jobs_n; i++) settle(h, &op->jobs[i], .kind = SK_SETTLE_DONE);
    world_advance(m->w, 300);
  }
  for (int q = 0; q < QUEUES; q++)
    for (enum sk_state s = SK_STATE_SCHEDULED; s <= SK_STATE_RETRY; s++)
      if (count_state(h, queue_names[q], s)) fail_msg("%s: %s jobs are left over", queue_names[q], sk_state_name(s));
  for (int k = 0; k < KEYS; k++) {
    char id[16], lock[32];
    snprintf(id, sizeof id, "last%d", k);
    snprintf(lock, sizeof lock, "reject;0;=key%d", k);
    assert_code(put(h, .id = id, .lock = lock), SK_OK);
  }
}

static uint64_t number_of_env(const char *name, uint64_t otherwise) {
  const char *value = getenv(name);
  return value && *value ? strtoull(value, NULL, 10) : otherwise;
}

static void random_operations_agree_with_a_model(void **ctx) {
  static struct model model; /* not of the heap: a failure leaves by longjmp */
  struct model *m = &model;
  *m = (struct model){ .w = *ctx };
  m->random = number_of_env("SEED", sk_id_random() >> 32);
  uint64_t steps = number_of_env("STEPS", STEPS);
  print_message("model: SEED=%llu STEPS=%llu\n", (unsigned long long)m->random, (unsigned long long)steps);
  m->client = open_client(m->w);
  for (int e = 0; e < ENGINES; e++) open_model_engine(m, e);
  for (int i = 0; i < IDS; i++) snprintf(m->jobs[i].id, sizeof m->jobs[i].id, "j%02d", i);
  for (int q = 0; q < QUEUES; q++) {
    set_paused(m->client, queue_names[q], false); /* so that it is counted */
    configure_in_model(m, q, 0, 0);
  }
  for (uint64_t i = 0; i < steps; i++) {
    step(m);
    if (m->sweep.done) end_sweep(m);
    check_jobs(m);
    check_counts(m);
    check_blocked_by(m);
    if (i % 64 == 0) world_forget(m->w);
  }
  end_sweep(m);
  drain(m);
}

static const struct CMUnitTest tests[] = {
  cmocka_unit_test(random_operations_agree_with_a_model),
};
const struct suite model_suite = SUITE("model", tests);
