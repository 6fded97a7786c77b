/* steps_test.c - store.h: what looks through all jobs does so in steps, which nobody sees who has more jobs than one step's: list, and
 * changes by filter; and a fetch of more due jobs than one promotes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "contract.h"

enum { JOBS = 5000, BATCH = 1000, FEW = 500 };

static const char *id_of(struct world *w, int i) {
  char text[24];
  snprintf(text, sizeof text, "j%05d", i);
  return sk_arena_copy(&w->arena, sk_str_c(text)).p;
}

/* Every second job is of task "odd"; queues "q" and "z", three priorities; with a limit every third has a group. */
static void fill(struct handle *h, bool limited, int64_t delay_ms) {
  struct world *w = h->world;
  for (int first = 0; first < JOBS; first += BATCH) {
    struct sk_enqueue_item items[BATCH];
    for (int i = 0; i < BATCH; i++) {
      int n = first + i;
      items[i] =
          item(w, .id = id_of(w, n), .queue = n % 5 ? "q" : "z", .task = n % 2 ? "odd" : "even", .priority = n % 3 - 1,
               .delay_ms = delay_ms ? delay_ms + n % 7 : 0, .limit = limited && n % 3 == 0 ? "1;0;0;0;any;=g" : NULL);
    }
    struct sk_enqueue_op op = { .items = items, .items_n = BATCH };
    assert_code(run_enqueue(h, &op), SK_OK);
  }
}

/* The ids of a listing, in pieces of `piece`. */
static const char **list_in_pieces(struct handle *h, struct sk_filter filter, size_t piece, size_t *n) {
  const char **ids = sk_arena_array(&h->world->arena, JOBS * 2, sizeof *ids);
  *n = 0;
  for (size_t got = piece; got == piece && *n + piece <= JOBS * 2;) {
    struct sk_list_op op = { .filter = filter, .offset = *n, .limit = piece };
    assert_code(run_list(h, &op), SK_OK);
    got = op.views_n;
    for (size_t i = 0; i < got; i++) ids[(*n)++] = sk_arena_copy(&h->world->arena, op.views[i].id).p;
    sk_op_fini(&op.op);
  }
  return ids;
}

/* All of one listing, and those of that task in the same order; how many that is. */
static size_t check_listing(struct handle *h, size_t jobs) {
  size_t n, m, odd = 0;
  const char **all = list_in_pieces(h, (struct sk_filter){ 0 }, JOBS, &n);
  assert_int_equal(n, jobs);
  const char **pieces = list_in_pieces(h, (struct sk_filter){ 0 }, 1250, &m);
  assert_int_equal(m, jobs);
  for (size_t i = 0; i < n; i++) assert_string_equal(all[i], pieces[i]);
  const char **filtered = list_in_pieces(h, (struct sk_filter){ .task = text("odd") }, JOBS, &m);
  for (size_t i = 0; i < n; i++)
    if (atoi(all[i] + 1) % 2) assert_string_equal(all[i], filtered[odd++]);
  assert_int_equal(m, odd);
  return odd;
}

static void look_and_change(struct world *w, bool limited, int64_t delay_ms) {
  struct handle *h = open_engine(w, "e1");
  fill(h, limited, delay_ms);
  assert_int_equal(check_listing(h, JOBS), JOBS / 2);
  size_t n;
  const char **before = list_in_pieces(h, (struct sk_filter){ .task = text("even") }, JOBS, &n);
  assert_int_equal(change_all(h, SK_VERB_CANCEL, (struct sk_filter){ .task = text("odd") }, 0), JOBS / 2);
  const char **after = list_in_pieces(h, (struct sk_filter){ 0 }, JOBS, &n);
  assert_int_equal(n, JOBS / 2);
  for (size_t i = 0; i < n; i++) assert_string_equal(after[i], before[i]);
  assert_int_equal(change_all(h, SK_VERB_CANCEL, (struct sk_filter){ .queue = text("z") }, 5000), JOBS / 10);
  assert_int_equal(change_all(h, SK_VERB_RETRY, (struct sk_filter){ .state = SK_STATE_CANCELLED }, 0), JOBS / 10);
  assert_int_equal(check_listing(h, JOBS / 2), 0);
  assert_int_equal(change_all(h, SK_VERB_DELETE, (struct sk_filter){ 0 }, 0), JOBS / 2);
  assert_int_equal(check_listing(h, 0), 0);
}

static void ready_jobs_in_many_steps(void **ctx) { look_and_change(*ctx, false, 0); }
static void ready_jobs_of_groups_in_many_steps(void **ctx) { look_and_change(*ctx, true, 0); }
static void scheduled_jobs_in_many_steps(void **ctx) { look_and_change(*ctx, false, 1000); }

static void all_that_are_due_at_one_moment_are_taken(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  fill(h, false, 1000);
  world_advance(w, 2000);
  size_t taken = 0, fetches = 0;
  while (taken < JOBS && fetches++ < JOBS) {
    struct sk_fetch_op *op = take(h, FEW, "q", "z", NULL);
    assert_true(op->jobs_n > 0 || op->has_more || (op->due_in_ms >= 0 && op->due_in_ms <= 1));
    taken += op->jobs_n;
    world_forget(w);
  }
  assert_int_equal(taken, JOBS);
}

static void what_an_engine_held_comes_back_in_many_steps(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1"), *other = open_engine(w, "e2");
  fill(h, false, 0);
  size_t n;
  const char **before = list_in_pieces(h, (struct sk_filter){ .queue = text("q") }, JOBS, &n);
  for (size_t taken = 0; taken < JOBS;) taken += take(h, 1000, "q", "z", NULL)->jobs_n;
  assert_int_equal(change_all(other, SK_VERB_CANCEL, (struct sk_filter){ .queue = text("z") }, 0), JOBS / 5);
  assert_true(outlive(other)->recovered > 0);
  for (int i = 0; i < JOBS && count(other)->counters.recovered < JOBS; i++)
    beat(other); /* what is left comes by itself */
  assert_int_equal(count(other)->counters.recovered, JOBS);
  const char **after =
      list_in_pieces(other, (struct sk_filter){ .queue = text("q"), .state = SK_STATE_READY }, JOBS, &n);
  assert_int_equal(n, JOBS - JOBS / 5);
  for (size_t i = 0; i < n; i++) assert_string_equal(after[i], before[i]);
}

static const struct CMUnitTest tests[] = {
  cmocka_unit_test(ready_jobs_in_many_steps),
  cmocka_unit_test(ready_jobs_of_groups_in_many_steps),
  cmocka_unit_test(scheduled_jobs_in_many_steps),
  cmocka_unit_test(all_that_are_due_at_one_moment_are_taken),
  cmocka_unit_test(what_an_engine_held_comes_back_in_many_steps),
};
const struct suite steps_suite = SUITE("steps", tests);
