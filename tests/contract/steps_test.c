/* steps_test.c - store.h: what looks through all jobs does so in steps, which nobody sees who has more jobs than one
 * step's: list, and changes by filter; and a fetch of more due jobs than one promotes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
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
    sk_op_fini(&op.op);
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

/* Jobs of QUEUES queues: more than a step names, so that the order is merged of several steps. */
enum { QUEUES = 150 };

static const char *queue_of(struct world *w, int i) {
  char text[24];
  snprintf(text, sizeof text, "wide%d", i * 7 % QUEUES);
  return sk_arena_copy(&w->arena, sk_str_c(text)).p;
}

static void fill_wide(struct handle *h, int64_t delay_ms) {
  struct world *w = h->world;
  for (int first = 0; first < JOBS; first += BATCH) {
    struct sk_enqueue_item items[BATCH];
    for (int i = 0, n = first; i < BATCH; i++, n++)
      items[i] = item(w, .id = id_of(w, n), .queue = queue_of(w, n), .task = n % 2 ? "odd" : "even",
                      .delay_ms = delay_ms ? delay_ms + n * 37 % 11 * 60000 : 0);
    struct sk_enqueue_op op = { .items = items, .items_n = BATCH };
    assert_code(run_enqueue(h, &op), SK_OK);
    sk_op_fini(&op.op);
  }
}

/* One listing of scheduled jobs from offset on: by due time, those of equal times in the order of their ids. */
static void check_due_order(struct handle *h, size_t offset, size_t limit, size_t expected) {
  struct sk_list_op op = { .filter = { .state = SK_STATE_SCHEDULED }, .offset = offset, .limit = limit };
  assert_code(run_list(h, &op), SK_OK);
  assert_int_equal(op.views_n, expected);
  for (size_t i = 1; i < op.views_n; i++) {
    assert_true(op.views[i].due_ms >= op.views[i - 1].due_ms);
    if (op.views[i].due_ms == op.views[i - 1].due_ms)
      assert_true(atoi(op.views[i].id.p + 1) > atoi(op.views[i - 1].id.p + 1));
  }
  sk_op_fini(&op.op);
}

static void jobs_of_many_queues_are_listed_in_one_order(void **ctx) {
  struct handle *h = open_engine(*ctx, "e1");
  fill_wide(h, 60000);
  assert_int_equal(check_listing(h, JOBS), JOBS / 2);
  check_due_order(h, 0, JOBS, JOBS);
  check_due_order(h, JOBS - 10, 10, 10);
  check_due_order(h, JOBS - 10, 1000, 10);
  check_due_order(h, JOBS, 10, 0);
  check_due_order(h, 3, 1, 1);
  size_t n;
  const char **one = list_in_pieces(h, (struct sk_filter){ .queue = text("wide7") }, JOBS, &n);
  assert_int_equal(n, (JOBS + QUEUES - 1) / QUEUES);
  assert_true(atoi(one[0] + 1) % QUEUES * 7 % QUEUES == 7);
  assert_int_equal(change_all(h, SK_VERB_PROMOTE, (struct sk_filter){ .task = text("odd") }, 0), JOBS / 2);
  check_due_order(h, JOBS / 2 - 7, 100, 7);
  assert_int_equal(check_listing(h, JOBS), JOBS / 2);
  assert_int_equal(change_all(h, SK_VERB_DELETE, (struct sk_filter){ 0 }, 0), JOBS);
  assert_int_equal(check_listing(h, 0), 0);
}

static void ready_jobs_of_many_queues_are_listed_in_one_order(void **ctx) {
  struct handle *h = open_engine(*ctx, "e1");
  fill_wide(h, 0);
  assert_int_equal(check_listing(h, JOBS), JOBS / 2);
  size_t n;
  list_in_pieces(h, (struct sk_filter){ .state = SK_STATE_READY }, 700, &n);
  assert_int_equal(n, JOBS);
  assert_int_equal(change_all(h, SK_VERB_CANCEL, (struct sk_filter){ .task = text("odd") }, 60000), JOBS / 2);
  assert_int_equal(check_listing(h, JOBS), JOBS / 2);
}

/* More queues than a step of a count looks at. */
static void thousands_of_queues_are_counted_each_once(void **ctx) {
  enum { MANY = 3000 };
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  for (int first = 0; first < MANY; first += BATCH) {
    struct sk_enqueue_item items[BATCH];
    for (int i = 0, n = first; i < BATCH; i++, n++)
      items[i] = item(w, .id = id_of(w, n), .queue = id_of(w, n), .delay_ms = n % 3 ? 0 : 60000);
    struct sk_enqueue_op op = { .items = items, .items_n = BATCH };
    assert_code(run_enqueue(h, &op), SK_OK);
    sk_op_fini(&op.op);
  }
  const struct sk_count_op *all = count(h);
  assert_int_equal(all->queues_n, MANY);
  assert_false(all->moving);
  assert_int_equal(all->counters.enqueued, MANY);
  for (int i = 0; i < MANY; i++) {
    assert_string_equal(sk_arena_copy(&w->arena, all->queues[i].name).p, id_of(w, i));
    assert_int_equal(all->queues[i].states[SK_STATE_SCHEDULED], i % 3 == 0);
    assert_int_equal(all->queues[i].states[SK_STATE_READY], i % 3 != 0);
  }
}

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

/* -- between the steps --------------------------------------------------------------------------------------------- */

struct under_way {
  struct sk_change_op op;
  bool done;
};

static void on_changed(struct sk_op *op, void *ctx) {
  ((struct under_way *)ctx)->done = true;
  if (op->status != SK_OK) fail_msg("change: %s", op->err.message);
}

/* Begins a change by filter and does not wait for it. */
static void begin_change(struct handle *h, struct under_way *c, enum sk_verb verb, struct sk_filter filter) {
  *c = (struct under_way){ .op = { .op = { .cb = on_changed, .ctx = c }, .verb = verb, .filter = filter } };
  h->store->ops->change(h->store, &c->op);
}

/* An operation that is submitted behind a change by filter. */
struct behind {
  const struct under_way *change;
  bool done, came_first;
};

static void on_behind(struct sk_op *op, void *ctx) {
  struct behind *b = ctx;
  assert_code(op->status, SK_OK);
  b->came_first = !b->change->done;
  b->done = true;
}

static void other_operations_have_their_turn_between_steps(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  fill(h, false, 0);
  struct under_way c;
  struct behind got = { .change = &c }, put = { .change = &c };
  struct sk_str id = text("nosuch");
  struct sk_enqueue_item one = item(w, .id = "later", .queue = "y");
  struct sk_get_op get = { .op = { .cb = on_behind, .ctx = &got }, .ids = &id, .ids_n = 1 };
  struct sk_enqueue_op enqueue = { .op = { .cb = on_behind, .ctx = &put }, .items = &one, .items_n = 1 };
  begin_change(h, &c, SK_VERB_CANCEL, (struct sk_filter){ .task = text("odd") });
  h->store->ops->get(h->store, &get);
  h->store->ops->enqueue(h->store, &enqueue);
  world_await(w, &c.done);
  world_await(w, &got.done);
  world_await(w, &put.done);
  assert_true(got.came_first && put.came_first);
  assert_code(one.status, SK_OK);
  assert_int_equal(c.op.changed, JOBS / 2);
  sk_op_fini(&get.op);
  sk_op_fini(&enqueue.op);
  sk_op_fini(&c.op.op);
}

/* Each job is either deleted by the filter, taken and settled, or deleted by its id; no job is two of it, or
 * nothing. */
static void a_change_in_steps_passes_over_what_goes_meanwhile(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  fill(h, false, 0);
  struct under_way c;
  size_t settled = 0, deleted = 0;
  begin_change(h, &c, SK_VERB_DELETE, (struct sk_filter){ 0 });
  for (int i = JOBS; !c.done && i-- > 0;) {
    struct sk_fetch_op *op = take(h, 7, "q", "z", NULL);
    for (size_t k = 0; k < op->jobs_n; k++) {
      assert_code(settle(h, &op->jobs[k], .kind = k % 2 ? SK_SETTLE_DROP : SK_SETTLE_DONE), SK_OK);
      settled++;
    }
    deleted += change(h, SK_VERB_DELETE, id_of(w, i), 0) == SK_OK;
    if (i % 64 == 0) world_forget(w);
  }
  world_await(w, &c.done);
  assert_true(settled + deleted > 0);
  assert_int_equal(c.op.changed + settled + deleted, JOBS);
  sk_op_fini(&c.op.op);
  assert_int_equal(check_listing(h, 0), 0);
}

static void what_a_closed_engine_held_is_ready_for_others(void **ctx) {
  struct world *w = *ctx;
  struct handle *first = open_engine(w, "e1"), *h = open_engine(w, "e2");
  fill(first, false, 0);
  size_t n;
  const char **before = list_in_pieces(first, (struct sk_filter){ 0 }, JOBS, &n);
  for (size_t taken = 0; taken < JOBS;) taken += take(first, 1000, "q", "z", NULL)->jobs_n;
  close_handle(first);
  const char **after = list_in_pieces(h, (struct sk_filter){ .state = SK_STATE_READY }, JOBS, &n);
  assert_int_equal(n, JOBS);
  for (size_t i = 0; i < n; i++) assert_string_equal(after[i], before[i]);
}

/* -- large jobs ---------------------------------------------------------------------------------------------------- */

enum { SMALL_N = 60, LARGE_N = 40, LARGE_BYTES = 400 * 1024, LARGE_BATCH = 8 };

/* Small jobs, then large ones.  With a limit every third job has a group. */
static void fill_large(struct handle *h, const char *limit) {
  struct world *w = h->world;
  char *args = sk_arena_array(&w->arena, LARGE_BYTES, 1);
  memset(args, 'a', LARGE_BYTES);
  args[0] = args[LARGE_BYTES - 1] = '"';
  for (int first = 0; first < SMALL_N + LARGE_N; first += LARGE_BATCH) {
    struct sk_enqueue_item items[LARGE_BATCH];
    size_t n = 0;
    for (int i = first; i < first + LARGE_BATCH && i < SMALL_N + LARGE_N; i++) {
      items[n] = item(w, .id = id_of(w, i), .limit = i % 3 == 0 ? limit : NULL);
      struct sk_job job = decoded(items[n].record);
      job.args = i < SMALL_N ? job.args : sk_str(args, LARGE_BYTES);
      items[n++].record = record_of(w, &job);
    }
    struct sk_enqueue_op op = { .items = items, .items_n = n };
    assert_code(run_enqueue(h, &op), SK_OK);
    sk_op_fini(&op.op);
  }
}

/* Fetches all jobs in turn.  Jobs with a group come in the order of their ids, and so do the others. */
static void take_large(struct handle *h, size_t jobs) {
  int last[2] = { -1, -1 };
  for (size_t taken = 0; taken < jobs;) {
    struct sk_fetch_op *op = take(h, 100, "q", NULL);
    size_t bytes = 0;
    assert_true(op->jobs_n > 0);
    for (size_t i = 0; i < op->jobs_n; i++) {
      int id = atoi(op->jobs[i].id.p + 1), *before = &last[id % 3 == 0];
      assert_true(id > *before);
      assert_int_equal(op->jobs[i].wrong.n, 0);
      *before = id;
      bytes += op->jobs[i].record.n;
    }
    taken += op->jobs_n;
    assert_int_equal(op->has_more, taken < jobs);
    assert_true(bytes < SK_BATCH_BYTES_MAX + LARGE_BYTES + 1000);
  }
}

static void large_jobs_after_small_ones_are_fetched_a_few_at_a_time(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  fill_large(h, NULL);
  assert_code(change(h, SK_VERB_CANCEL, id_of(w, SMALL_N + 1), 0), SK_OK); /* leaves a tombstone in the list */
  take_large(h, SMALL_N + LARGE_N - 1);
}

static void large_jobs_of_a_group_are_fetched_a_few_at_a_time(void **ctx) {
  struct handle *h = open_engine(*ctx, "e1");
  fill_large(h, "100;0;0;0;any;=g");
  take_large(h, SMALL_N + LARGE_N);
}

static void large_jobs_that_were_handed_back_are_fetched_a_few_at_a_time(void **ctx) {
  struct world *w = *ctx;
  struct handle *first = open_engine(w, "e1"), *h = open_engine(w, "e2");
  fill_large(first, NULL);
  take_large(first, SMALL_N + LARGE_N);
  close_handle(first);
  take_large(h, SMALL_N + LARGE_N);
}

static void large_jobs_are_looked_at_and_dropped_in_steps(void **ctx) {
  struct world *w = *ctx;
  struct handle *h = open_engine(w, "e1");
  fill_large(h, NULL);
  struct sk_str ids[SMALL_N + LARGE_N + 1];
  for (int i = 0; i <= SMALL_N + LARGE_N; i++) ids[i] = text(id_of(w, i));
  struct sk_get_op op = { .ids = ids, .ids_n = SMALL_N + LARGE_N + 1 };
  assert_code(run_get(h, &op), SK_OK);
  for (int i = 0; i < SMALL_N + LARGE_N; i++) {
    assert_true(sk_str_eq(op.views[i].id, ids[i]));
    assert_int_equal(op.views[i].state, SK_STATE_READY);
    assert_int_equal(op.views[i].record.n > LARGE_BYTES, i >= SMALL_N);
  }
  assert_int_equal(op.views[SMALL_N + LARGE_N].state, SK_STATE_NONE);
  sk_op_fini(&op.op);
  assert_int_equal(change_all(h, SK_VERB_CANCEL, (struct sk_filter){ 0 }, 1000), SMALL_N + LARGE_N);
  world_advance(w, 2000);
  beat(h);
  for (int i = 0; i < LARGE_N && count_state(h, "q", SK_STATE_CANCELLED) > 0; i++) beat(h); /* or by itself */
  assert_int_equal(count_state(h, "q", SK_STATE_CANCELLED), 0);
}

static const struct CMUnitTest tests[] = {
  cmocka_unit_test(ready_jobs_in_many_steps),
  cmocka_unit_test(ready_jobs_of_groups_in_many_steps),
  cmocka_unit_test(scheduled_jobs_in_many_steps),
  cmocka_unit_test(jobs_of_many_queues_are_listed_in_one_order),
  cmocka_unit_test(ready_jobs_of_many_queues_are_listed_in_one_order),
  cmocka_unit_test(thousands_of_queues_are_counted_each_once),
  cmocka_unit_test(all_that_are_due_at_one_moment_are_taken),
  cmocka_unit_test(what_an_engine_held_comes_back_in_many_steps),
  cmocka_unit_test(other_operations_have_their_turn_between_steps),
  cmocka_unit_test(a_change_in_steps_passes_over_what_goes_meanwhile),
  cmocka_unit_test(what_a_closed_engine_held_is_ready_for_others),
  cmocka_unit_test(large_jobs_after_small_ones_are_fetched_a_few_at_a_time),
  cmocka_unit_test(large_jobs_of_a_group_are_fetched_a_few_at_a_time),
  cmocka_unit_test(large_jobs_that_were_handed_back_are_fetched_a_few_at_a_time),
  cmocka_unit_test(large_jobs_are_looked_at_and_dropped_in_steps),
};
const struct suite steps_suite = SUITE("steps", tests);
