/* model_test.c - thousands of random operations on a store and on a model of it, which must agree after each.
 *
 * The model is an array of jobs and the rules of store.h, sorted anew whenever an order is needed.  A failure prints the seed;
 * SEED=n runs it again, STEPS=n runs longer. */
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "contract.h"

enum { IDS = 50, QUEUES = 3, ENGINES = 2, STEPS = 3000 };
#define NEVER INT64_MAX
#define KEEP_MS 1000000000000LL /* longer than the test's clock goes */

struct model_job {
  char id[16];
  enum sk_state state;
  int queue;
  int32_t priority;
  int64_t due_ms; /* NEVER: first in, first out */
  uint64_t seq;
  bool waited; /* due_ms is a time that it waited for, and it was not fetched since */
  int holder;
  uint64_t fence; /* the last under this id */
  int64_t attempts, recoveries;
};

struct model_engine {
  struct handle *h;
  int64_t beat_ms;
  bool gone; /* given up, and nothing asked since */
  bool lost; /* given up, and not told */
};

struct model {
  struct world *w;
  struct handle *client;
  uint64_t random;
  uint64_t seq;
  struct model_job jobs[IDS];
  struct model_engine engines[ENGINES];
  bool paused[QUEUES];
  struct sk_counters counters;
  int opened;
};

static const char *const queue_names[QUEUES] = { "qa", "qb", "qc" };

static uint64_t draw(struct model *m) { /* splitmix64 */
  uint64_t z = m->random += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}
static int below(struct model *m, int n) { return (int)(draw(m) % (uint64_t)n); }
static int64_t now(const struct model *m) { return atomic_load(&m->w->wall_ms); }

static int queue_index(struct sk_str name) {
  for (int q = 0; q < QUEUES; q++)
    if (sk_str_eq_c(name, queue_names[q])) return q;
  fail_msg("unknown queue");
  return -1;
}

/* -- orders ---------------------------------------------------------------------------------------------------------------- */

static int compare_place(const struct model_job *a, const struct model_job *b) {
  if (a->due_ms != b->due_ms) return a->due_ms < b->due_ms ? -1 : 1;
  return (a->seq > b->seq) - (a->seq < b->seq);
}

static int compare(const void *pa, const void *pb) {
  const struct model_job *a = *(struct model_job *const *)pa, *b = *(struct model_job *const *)pb;
  if (a->state != b->state) return a->state < b->state ? -1 : 1;
  if (a->state == SK_STATE_RUNNING) return (a->fence > b->fence) - (a->fence < b->fence);
  if (sk_state_is_final(a->state)) return (b->seq > a->seq) - (b->seq < a->seq);
  if (a->state == SK_STATE_READY && a->queue != b->queue) return a->queue - b->queue;
  if (a->state == SK_STATE_READY && a->priority != b->priority) return b->priority - a->priority;
  return compare_place(a, b);
}

static size_t sorted(struct model *m, struct model_job *out[IDS]) {
  size_t n = 0;
  for (int i = 0; i < IDS; i++)
    if (m->jobs[i].state != SK_STATE_NONE) out[n++] = &m->jobs[i];
  qsort(out, n, sizeof *out, compare);
  return n;
}

static struct model_job *next_ready(struct model *m, int queue) {
  struct model_job *all[IDS];
  size_t n = sorted(m, all);
  for (size_t i = 0; i < n; i++)
    if (all[i]->state == SK_STATE_READY && all[i]->queue == queue) return all[i];
  return NULL;
}

/* -- moves ----------------------------------------------------------------------------------------------------------------- */

static void ready_last(struct model *m, struct model_job *job) {
  job->state = SK_STATE_READY;
  job->due_ms = NEVER;
  job->waited = false;
  job->seq = ++m->seq;
}

static void wait_until(struct model *m, struct model_job *job, enum sk_state state, int64_t due_ms) {
  job->state = due_ms <= now(m) ? SK_STATE_READY : state;
  job->due_ms = due_ms;
  job->waited = true;
  job->seq = ++m->seq;
}

static void finish(struct model *m, struct model_job *job, enum sk_state state) {
  job->state = state;
  job->seq = ++m->seq;
}

static void hand_back(struct model *m, int engine, bool recovered) {
  for (int i = 0; i < IDS; i++) {
    struct model_job *job = &m->jobs[i];
    if (job->state != SK_STATE_RUNNING || job->holder != engine) continue;
    job->state = SK_STATE_READY;
    if (!recovered) continue;
    job->recoveries++;
    m->counters.recovered++;
  }
}

/* Engine `by`, or one that is being opened (-1), gives up those whose lease is over. */
static void recover(struct model *m, int by) {
  int64_t mono_ms = atomic_load(&m->w->mono_ms);
  for (int e = 0; e < ENGINES; e++) {
    struct model_engine *engine = &m->engines[e];
    if (e == by || engine->h == NULL || engine->gone || mono_ms - engine->beat_ms < LEASE_MS) continue;
    engine->gone = engine->lost = true;
    hand_back(m, e, true);
  }
}

/* An engine that was given up asks for something. */
static struct handle *enter(struct model *m, int engine) {
  struct model_engine *e = &m->engines[engine];
  if (e->gone) e->beat_ms = atomic_load(&m->w->mono_ms);
  e->gone = false;
  return e->h;
}

/* -- steps ----------------------------------------------------------------------------------------------------------------- */

static void step_enqueue(struct model *m) {
  struct sk_enqueue_item items[4];
  enum sk_code want[4];
  size_t n = (size_t)below(m, 4) + 1;
  for (size_t i = 0; i < n; i++) {
    struct model_job *job = &m->jobs[below(m, IDS)];
    int queue = below(m, QUEUES);
    int64_t delay_ms = below(m, 2) ? below(m, 300) : 0;
    int32_t priority = below(m, 5) - 2;
    items[i] = item(m->w, .id = job->id, .queue = queue_names[queue], .priority = priority, .delay_ms = delay_ms);
    want[i] = job->state == SK_STATE_NONE ? SK_OK : SK_EEXISTS;
    if (want[i] != SK_OK) continue;
    job->queue = queue;
    job->priority = priority;
    job->attempts = job->recoveries = 0;
    if (delay_ms > 0)
      wait_until(m, job, SK_STATE_SCHEDULED, now(m) + delay_ms);
    else
      ready_last(m, job);
    m->counters.enqueued++;
  }
  struct sk_enqueue_op op = { .items = items, .items_n = n };
  assert_code(run_enqueue(below(m, 2) ? m->client : m->engines[0].h, &op), SK_OK);
  for (size_t i = 0; i < n; i++) assert_code(items[i].status, want[i]);
  sk_op_fini(&op.op);
}

static void expect_held(struct model *m, int engine, const struct sk_fetch_op *op, size_t *at, size_t quota, int queue) {
  struct model_job *job;
  while (!m->paused[queue] && quota-- > 0 && *at < op->want && (job = next_ready(m, queue)) != NULL) {
    if (*at >= op->held_n) fail_msg("%s is missing in the fetch", job->id);
    const struct sk_held *held = &op->held[(*at)++];
    if (!sk_str_eq_c(held->id, job->id)) fail_msg("got %.*s, want %s", SK_STR_ARG(held->id), job->id);
    assert_true(sk_str_eq_c(held->queue, queue_names[queue]));
    assert_int_equal(held->priority, job->priority);
    assert_true(held->fence > job->fence);
    if (job->due_ms == NEVER) assert_int_equal(held->late_ms, 0);
    if (job->waited) assert_int_equal(held->late_ms, now(m) - job->due_ms);
    job->state = SK_STATE_RUNNING;
    job->waited = false;
    job->holder = engine;
    job->fence = held->fence;
  }
}

static void step_fetch(struct model *m) {
  int engine = below(m, ENGINES), first = below(m, QUEUES);
  struct sk_fetch_queue queues[QUEUES];
  struct sk_fetch_op op = { .queues = queues, .queues_n = (size_t)below(m, QUEUES + 1), .want = (size_t)below(m, 6) };
  for (int i = 0; i < QUEUES; i++) queues[i] = (struct sk_fetch_queue){ text(queue_names[(first + i) % QUEUES]), (size_t)below(m, 4) };
  assert_code(run_fetch(enter(m, engine), &op), SK_OK);

  int64_t due_in_ms = -1;
  for (size_t i = 0; i < op.queues_n; i++)
    for (int j = 0; j < IDS; j++) {
      struct model_job *job = &m->jobs[j];
      if ((job->state != SK_STATE_SCHEDULED && job->state != SK_STATE_RETRY) || job->queue != queue_index(queues[i].name)) continue;
      int64_t in_ms = job->due_ms - now(m);
      if (in_ms <= 0)
        job->state = SK_STATE_READY;
      else if (due_in_ms < 0 || in_ms < due_in_ms)
        due_in_ms = in_ms;
    }
  assert_int_equal(op.due_in_ms, due_in_ms);
  size_t at = 0;
  for (size_t i = 0; i < op.queues_n; i++) expect_held(m, engine, &op, &at, queues[i].quota, queue_index(queues[i].name));
  for (size_t i = 0; i < op.queues_n; i++) expect_held(m, engine, &op, &at, op.want, queue_index(queues[i].name));
  assert_int_equal(op.held_n, at);
  bool more = false;
  for (size_t i = 0; i < op.queues_n; i++) {
    int queue = queue_index(queues[i].name);
    if (!m->paused[queue] && next_ready(m, queue)) more = true;
  }
  assert_int_equal(op.more, more);
  sk_op_fini(&op.op);
}

static void settle_in_model(struct model *m, struct model_job *job, const struct sk_settle_item *one) {
  enum sk_settle_kind kind = one->kind;
  if (one->crashed) m->counters.crashed++;
  if (one->record.n) job->attempts++;
  switch (kind) {
    case SK_SETTLE_DONE:
      m->counters.done++;
      finish(m, job, one->keep_ms ? SK_STATE_DONE : SK_STATE_NONE);
      break;
    case SK_SETTLE_CANCELLED:
      m->counters.cancelled++;
      finish(m, job, one->keep_ms ? SK_STATE_CANCELLED : SK_STATE_NONE);
      break;
    case SK_SETTLE_DEAD:
      m->counters.dead++;
      finish(m, job, SK_STATE_DEAD);
      break;
    case SK_SETTLE_DROP:
      m->counters.discarded++;
      job->state = SK_STATE_NONE;
      break;
    case SK_SETTLE_RELEASE:
      job->state = SK_STATE_READY;
      break;
    case SK_SETTLE_RETRY:
    case SK_SETTLE_SNOOZE:
      if (kind == SK_SETTLE_RETRY) m->counters.retried++;
      if (one->to_queue.n) job->queue = queue_index(one->to_queue);
      wait_until(m, job, kind == SK_SETTLE_RETRY ? SK_STATE_RETRY : SK_STATE_SCHEDULED, now(m) + one->delay_ms);
      break;
  }
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
    want[n++] = held && !astray ? SK_OK : SK_ESTALE;
    if (held && !astray) settle_in_model(m, job, one);
  }
  struct sk_settle_op op = { .items = items, .items_n = n };
  assert_code(run_settle(enter(m, engine), &op), SK_OK);
  for (size_t i = 0; i < n; i++) assert_code(items[i].status, want[i]);
  sk_op_fini(&op.op);
}

static void step_beat(struct model *m) {
  int engine = below(m, ENGINES);
  int64_t before = m->counters.recovered;
  const struct sk_beat_op *op = beat(enter(m, engine));
  m->engines[engine].beat_ms = atomic_load(&m->w->mono_ms);
  recover(m, engine);
  assert_int_equal(op->lost, m->engines[engine].lost);
  assert_int_equal(op->recovered, m->counters.recovered - before);
  m->engines[engine].lost = false;
}

static enum sk_code change_in_model(struct model *m, struct model_job *job, enum sk_verb verb, int64_t keep_ms) {
  enum sk_state s = job->state;
  bool waits = s == SK_STATE_SCHEDULED || s == SK_STATE_RETRY;
  if (s == SK_STATE_NONE) return SK_ENOTFOUND;
  switch (verb) {
    case SK_VERB_CANCEL:
      if (!waits && s != SK_STATE_READY) return SK_ESTATE;
      m->counters.cancelled++;
      finish(m, job, keep_ms ? SK_STATE_CANCELLED : SK_STATE_NONE);
      return SK_OK;
    case SK_VERB_DELETE:
      if (s == SK_STATE_RUNNING) return SK_ESTATE;
      job->state = SK_STATE_NONE;
      return SK_OK;
    case SK_VERB_RETRY:
      if (s != SK_STATE_DEAD && s != SK_STATE_RETRY && s != SK_STATE_CANCELLED) return SK_ESTATE;
      if (s != SK_STATE_RETRY) job->attempts = 0;
      ready_last(m, job);
      return SK_OK;
    case SK_VERB_PROMOTE:
      if (!waits) return SK_ESTATE;
      wait_until(m, job, s, now(m));
  }
  return SK_OK;
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

static void open_model_engine(struct model *m, int e) {
  char id[16];
  snprintf(id, sizeof id, "engine%d", m->opened++);
  m->engines[e].h = NULL;
  recover(m, -1);
  m->engines[e] = (struct model_engine){ .h = open_engine(m->w, id), .beat_ms = atomic_load(&m->w->mono_ms) };
}

static void step_reopen(struct model *m) {
  if (m->w->handles_n == HANDLES_MAX) return;
  int e = below(m, ENGINES);
  close_handle(m->engines[e].h);
  hand_back(m, e, false);
  open_model_engine(m, e);
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
  if (dice < 990) return world_advance(m->w, below(m, 2 * LEASE_MS));
  int queue = below(m, QUEUES);
  m->paused[queue] = !m->paused[queue];
  set_paused(m->client, queue_names[queue], m->paused[queue]);
}

/* -- agreement ------------------------------------------------------------------------------------------------------------- */

/* The job that a view is of. */
static struct model_job *job_of(struct model *m, const struct sk_view *v) {
  for (int i = 0; i < IDS; i++)
    if (sk_str_eq_c(v->id, m->jobs[i].id)) return &m->jobs[i];
  return NULL;
}

/* Those of one fetch may share a fence: their order among themselves is the store's own. */
static bool same_place(const struct model_job *a, const struct model_job *b) {
  return a == b || (a && a->state == SK_STATE_RUNNING && b->state == SK_STATE_RUNNING && a->fence == b->fence);
}

static void check_jobs(struct model *m) {
  struct model_job *all[IDS];
  size_t n = sorted(m, all);
  size_t listed_at[IDS] = { 0 };
  struct sk_list_op op = { .limit = 1000 };
  assert_code(run_list(m->client, &op), SK_OK);
  for (size_t i = 0; i < op.views_n && i < n; i++) {
    const struct sk_view *v = &op.views[i];
    struct model_job *job = job_of(m, v);
    if (!same_place(job, all[i]) || v->state != job->state || listed_at[job - m->jobs] != 0)
      fail_msg("place %zu of the list: got %.*s, %s; want %s, %s", i, SK_STR_ARG(v->id), sk_state_name(v->state), all[i]->id,
               sk_state_name(all[i]->state));
    listed_at[job - m->jobs] = i + 1;
    assert_true(sk_str_eq_c(v->queue, queue_names[job->queue]));
    assert_int_equal(v->priority, job->priority);
    bool waits = job->state == SK_STATE_SCHEDULED || job->state == SK_STATE_RETRY;
    assert_int_equal(v->due_ms, waits ? job->due_ms : 0);
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
    int queue = queue_index(op.queues[i].name);
    assert_memory_equal(op.queues[i].states, states[queue], sizeof states[queue]);
    assert_int_equal(op.queues[i].paused, m->paused[queue]);
  }
  assert_memory_equal(&op.counters, &m->counters, sizeof m->counters);
  sk_op_fini(&op.op);
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
  for (uint64_t i = 0; i < steps; i++) {
    step(m);
    check_jobs(m);
    check_counts(m);
    if (i % 64 == 0) world_forget(m->w);
  }
}

static const struct CMUnitTest tests[] = {
  cmocka_unit_test(random_operations_agree_with_a_model),
};
const struct suite model_suite = SUITE("model", tests);
