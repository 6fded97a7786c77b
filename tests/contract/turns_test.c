/* turns_test.c - store.h, GROUPS: the groups of a queue take turns, many groups stay within their limits, and blocked
 * jobs cost the others nothing. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "contract.h"

#define TWO(group) "2;0;0;0;any;=" group

/* -- turns --------------------------------------------------------------------------------------------------------- */

/* How many of the first n held jobs have ids that begin with c. */
static int begin_with(const struct sk_fetch_op *op, size_t n, char c) {
  int found = 0;
  for (size_t i = 0; i < n && i < op->jobs_n; i++) found += op->jobs[i].id.p[0] == c;
  return found;
}

static void put_many(struct handle *h, const char *prefix, int n, const char *limit, int32_t priority) {
  struct sk_enqueue_item items[100];
  for (int i = 0; i < n;) {
    size_t batch = 0;
    for (; batch < 100 && i < n; batch++, i++) {
      char id[32];
      snprintf(id, sizeof id, "%s%d", prefix, i);
      items[batch] = item(h->world, .id = id, .limit = limit, .priority = priority);
    }
    struct sk_enqueue_op op = { .items = items, .items_n = batch };
    assert_code(run_enqueue(h, &op), SK_OK);
    sk_op_fini(&op.op);
  }
}

static void a_tenant_with_many_jobs_does_not_starve_one_with_few(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put_many(h, "a", 1000, "0;1000000;1000;1000;any;=a", 0);
  put_many(h, "b", 10, "0;1000000;1000;1000;any;=b", 0);
  struct sk_fetch_op *op = take(h, 22, "q", NULL);
  assert_int_equal(begin_with(op, 22, 'b'), 10);
  assert_int_equal(begin_with(op, 22, 'a'), 12);
}

static void groups_and_jobs_without_one_take_turns(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put_many(h, "p", 40, NULL, 0);
  put_many(h, "a", 40, "100;0;0;0;any;=a", 0);
  put_many(h, "b", 40, "100;0;0;0;any;=b", 0);
  struct sk_fetch_op *op = take(h, 60, "q", NULL);
  for (size_t n = 0; n <= 60; n++) {
    int p = begin_with(op, n, 'p'), a = begin_with(op, n, 'a'), b = begin_with(op, n, 'b');
    assert_true(abs(p - a) <= 1 && abs(p - b) <= 1 && abs(a - b) <= 1);
  }
  assert_int_equal(take(h, 60, "q", NULL)->jobs_n, 60);
}

static void turns_go_on_from_fetch_to_fetch(void **ctx) {
  struct world *w = *ctx;
  struct handle *a = open_engine(w, "e1"), *b = open_engine(w, "e2");
  put_many(a, "p", 20, NULL, 0);
  put_many(a, "x", 20, "100;0;0;0;any;=x", 0);
  put_many(a, "y", 20, "100;0;0;0;any;=y", 0);
  int taken[128] = { 0 };
  for (int i = 0; i < 30; i++) {
    struct sk_fetch_op *op = take(i % 2 ? a : b, 1, "q", NULL);
    taken[(int)op->jobs[0].id.p[0]]++;
  }
  assert_int_equal(taken['p'], 10);
  assert_int_equal(taken['x'], 10);
  assert_int_equal(taken['y'], 10);
}

/* More groups than a fetch takes jobs, of which some have few jobs or few slots. */
static void many_groups_take_turns_in_the_order_in_which_they_came(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put_many(h, "a", 3, "100;0;0;0;any;=a", 0);
  put_many(h, "b", 1, "100;0;0;0;any;=b", 0);
  put_many(h, "c", 3, "2;0;0;0;any;=c", 0);
  put_many(h, "d", 3, "0;1;1000;1;any;=d", 0);
  put_many(h, "e", 6, "100;0;0;0;any;=e", 0);
  assert_string_equal(ids_of(w, take(h, 3, "q", NULL)), "a0 b0 c0");
  assert_string_equal(ids_of(w, take(h, 4, "q", NULL)), "d0 e0 a1 c1");
  put_many(h, "f", 2, "100;0;0;0;any;=f", 0);
  assert_string_equal(ids_of(w, take(h, 3, "q", NULL)), "e1 a2 f0");
  assert_string_equal(ids_of(w, take(h, 9, "q", NULL)), "e2 f1 e3 e4 e5");
}

static void priorities_go_before_turns(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put_many(h, "p", 5, NULL, 0);
  put_many(h, "a", 5, "100;0;0;0;any;=a", 1);
  put_many(h, "b", 5, "100;0;0;0;any;=b", 0);
  struct sk_fetch_op *op = take(h, 5, "q", NULL);
  assert_int_equal(begin_with(op, 5, 'a'), 5);
}

static void within_its_turns_a_group_goes_first_in_first_out(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  put_many(h, "a", 5, "100;0;0;0;any;=a", 0);
  put_many(h, "b", 5, "100;0;0;0;any;=b", 0);
  struct sk_fetch_op *op = take(h, 10, "q", NULL);
  int next[2] = { 0, 0 };
  for (size_t i = 0; i < op->jobs_n; i++)
    assert_int_equal(op->jobs[i].id.p[1] - '0', next[op->jobs[i].id.p[0] - 'a']++);
}

static void quotas_hold_with_groups(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  for (const char *id = "a\0b\0c\0"; *id; id += 2) put(h, .id = id, .queue = "x", .limit = TWO("g"));
  put(h, .id = "d", .queue = "y", .limit = TWO("g"));
  put(h, .id = "e", .queue = "y");
  struct sk_fetch_queue queues[] = { { text("x"), 1 }, { text("y"), 1 } };
  struct sk_fetch_op op = { .queues = queues, .queues_n = 2, .want = 9 };
  assert_code(run_fetch(h, &op), SK_OK);
  assert_int_equal(op.jobs_n, 3);
  assert_true(sk_str_eq_c(op.jobs[0].id, "a"));
  assert_true(sk_str_eq_c(op.jobs[1].queue, "y"));
  assert_false(op.has_more);
  sk_op_fini(&op.op);
}

/* -- many ---------------------------------------------------------------------------------------------------------- */

enum { TENANTS = 200, TENANT_JOBS = 5, TENANT_SLOTS = 2 };

struct drain {
  struct world *w;
  struct handle *engines[3];
  struct sk_fetched *jobs[3][64]; /* copies in the arena */
  size_t jobs_n[3];
  int running[TENANTS];
  int ended;
  uint64_t seed;
};

static int tenant_of(struct sk_str id) { return atoi(id.p + 1); }

static void drain_take(struct drain *d, int e) {
  struct sk_fetch_op *op = take(d->engines[e], 1 + (size_t)drawn(&d->seed, 20), "q", NULL);
  for (size_t i = 0; i < op->jobs_n; i++) {
    if (d->jobs_n[e] == 64) {
      settle(d->engines[e], &op->jobs[i], .kind = SK_SETTLE_RELEASE);
      continue;
    }
    d->jobs[e][d->jobs_n[e]++] = &op->jobs[i];
    assert_true(++d->running[tenant_of(op->jobs[i].id)] <= TENANT_SLOTS);
  }
}

static void drain_settle(struct drain *d, int e) {
  if (d->jobs_n[e] == 0) return;
  size_t at = (size_t)drawn(&d->seed, (int)d->jobs_n[e]);
  struct sk_fetched *held = d->jobs[e][at];
  d->jobs[e][at] = d->jobs[e][--d->jobs_n[e]];
  int dice = drawn(&d->seed, 10);
  struct fate fate = { .kind = dice < 6   ? SK_SETTLE_DONE
                               : dice < 8 ? SK_SETTLE_RELEASE
                               : dice < 9 ? SK_SETTLE_RETRY
                                          : SK_SETTLE_DROP };
  if (fate.kind == SK_SETTLE_RETRY) fate.delay_ms = drawn(&d->seed, 50);
  assert_code(settle_one(d->engines[e], held, fate), SK_OK);
  d->running[tenant_of(held->id)]--;
  if (fate.kind == SK_SETTLE_DONE || fate.kind == SK_SETTLE_DROP) d->ended++;
}

/* The engine is given up: what it held is the others' to take. */
static void drain_crash(struct drain *d, int e) {
  for (int round = 0; round <= SK_BEATS_PER_LEASE; round++) {
    for (int i = 0; i < 3; i++)
      if (i != e) beat(d->engines[i]);
    world_advance(d->w, LEASE_MS / SK_BEATS_PER_LEASE + 1);
  }
  for (size_t i = 0; i < d->jobs_n[e]; i++) d->running[tenant_of(d->jobs[e][i]->id)]--;
  d->jobs_n[e] = 0;
}

static void three_engines_and_many_groups_stay_within_every_limit_to_the_end(void **ctx) {
  struct drain *d = calloc(1, sizeof *d);
  assert_non_null(d);
  d->w = *ctx;
  d->seed = 11;
  const char *const names[] = { "e1", "e2", "e3" };
  for (int e = 0; e < 3; e++) d->engines[e] = open_engine(d->w, names[e]);
  for (int t = 0; t < TENANTS; t++) {
    char prefix[16], limit[32];
    snprintf(prefix, sizeof prefix, "t%d.", t);
    snprintf(limit, sizeof limit, "%d;0;0;0;any;=tenant%d", TENANT_SLOTS, t);
    put_many(d->engines[0], prefix, TENANT_JOBS, limit, t % 3 - 1);
  }
  for (int step = 0; d->ended < TENANTS * TENANT_JOBS; step++) {
    if (step > 50000) fail_msg("%d of %d jobs have ended: a slot is lost", d->ended, TENANTS * TENANT_JOBS);
    int e = drawn(&d->seed, 3), dice = drawn(&d->seed, 300);
    if (dice < 100)
      drain_take(d, e);
    else if (dice < 290)
      drain_settle(d, e);
    else if (dice < 299)
      world_advance(d->w, drawn(&d->seed, 50));
    else
      drain_crash(d, e);
  }
  assert_int_equal(take(d->engines[0], 9, "q", NULL)->jobs_n, 0);
  assert_string_equal(listed(d->engines[0], .state = SK_STATE_NONE), "");
  free(d);
}

/* -- what it costs ------------------------------------------------------------------------------------------------- */

enum { HELD_BACK = 100000, COST_GROUPS = 10000, TRIES = 60 };

/* The least time of many that a job takes from its enqueue to its end. */
static int64_t least_us_of_a_job(struct handle *h, const char *queue) {
  int64_t least = INT64_MAX;
  for (int i = 0; i < TRIES; i++) {
    char id[32];
    snprintf(id, sizeof id, "probe.%s.%d", queue, i);
    int64_t start = sk_clock_mono_us();
    put(h, .id = id, .queue = queue);
    struct sk_fetch_op *op = take(h, 1, queue, NULL);
    assert_string_equal(ids_of(h->world, op), id);
    assert_code(settle(h, &op->jobs[0], .kind = SK_SETTLE_DONE), SK_OK);
    int64_t took = sk_clock_mono_us() - start;
    if (took < least) least = took;
  }
  return least;
}

/* HELD_BACK jobs of COST_GROUPS groups in queue "q", of each group one more than it may start. */
static void fill_with_groups(struct handle *h, const char *numbers) {
  for (int i = 0; i < HELD_BACK;) {
    struct sk_enqueue_item items[SK_ENQUEUE_BATCH_MAX];
    for (int j = 0; j < SK_ENQUEUE_BATCH_MAX; j++, i++) {
      char id[32], limit[64];
      snprintf(id, sizeof id, "g%d", i);
      snprintf(limit, sizeof limit, "%s;any;=group%d", numbers, i % COST_GROUPS);
      items[j] = item(h->world, .id = id, .limit = limit);
    }
    struct sk_enqueue_op op = { .items = items, .items_n = SK_ENQUEUE_BATCH_MAX };
    assert_code(run_enqueue(h, &op), SK_OK);
    sk_op_fini(&op.op);
    world_forget(h->world);
  }
  int started = 0;
  for (struct sk_fetch_op *op = take(h, 1000, "q", NULL); op->jobs_n; op = take(h, 1000, "q", NULL)) {
    started += (int)op->jobs_n;
    world_forget(h->world);
  }
  assert_int_equal(started, COST_GROUPS);
}

static void check_cost(struct world *w, const char *numbers) {
  struct handle *h = open_engine(w, "e1");
  fill_with_groups(h, numbers);
  int64_t alone = least_us_of_a_job(h, "other"), among = least_us_of_a_job(h, "q");
  if (among > 5 * alone + 200)
    fail_msg("a job takes %lld us among held back ones, %lld us alone", (long long)among, (long long)alone);
}

static void a_hundred_thousand_jobs_held_back_by_concurrency_cost_the_others_nothing(void **ctx) {
  check_cost(*ctx, "1;0;0;0");
}
static void a_hundred_thousand_jobs_held_back_by_rate_cost_the_others_nothing(void **ctx) {
  check_cost(*ctx, "0;1;1000000000;1");
}

static const struct CMUnitTest tests[] = {
  cmocka_unit_test(a_tenant_with_many_jobs_does_not_starve_one_with_few),
  cmocka_unit_test(groups_and_jobs_without_one_take_turns),
  cmocka_unit_test(turns_go_on_from_fetch_to_fetch),
  cmocka_unit_test(many_groups_take_turns_in_the_order_in_which_they_came),
  cmocka_unit_test(priorities_go_before_turns),
  cmocka_unit_test(within_its_turns_a_group_goes_first_in_first_out),
  cmocka_unit_test(quotas_hold_with_groups),
  cmocka_unit_test(three_engines_and_many_groups_stay_within_every_limit_to_the_end),
  cmocka_unit_test(a_hundred_thousand_jobs_held_back_by_concurrency_cost_the_others_nothing),
  cmocka_unit_test(a_hundred_thousand_jobs_held_back_by_rate_cost_the_others_nothing),
};
const struct suite turns_suite = SUITE("turns", tests);
