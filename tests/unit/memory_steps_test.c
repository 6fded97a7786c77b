/* memory_steps_test.c - no turn of the loop is long, however much the memory store holds: the longest one of each
 * kind of operation over 300,000 jobs, in CPU time of this thread, so that a busy machine does no harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/limits.h"
#include "io/loop.h"
#include "logic/record.h"
#include "store/store.h"

enum { JOBS = 300000, HELD = 100000, LEASE_MS = 10000 };

/* Sanitizers make everything some ten times as slow. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { TURN_MS_MAX = 200 };
#else
enum { TURN_MS_MAX = 20 };
#endif

struct world {
  struct sk_loop *loop;
  struct sk_store *store, *other; /* engines */
  int64_t wall_ms, mono_ms;
};

static int64_t wall_ms(void *ctx) { return ((struct world *)ctx)->wall_ms; }
static int64_t mono_ms(void *ctx) { return ((struct world *)ctx)->mono_ms; }

static double cpu_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void on_done(struct sk_op *op, void *ctx) {
  (void)op;
  *(bool *)ctx = true;
}
static void on_closed(void *ctx) { *(bool *)ctx = true; }

/* Turns the loop until the flag is set, and `more` times; the longest turn must not be long. */
static void turn_until(struct world *w, const char *what, const bool *flag, int more) {
  double longest = 0;
  while (!*flag || more-- > 0) {
    double from = cpu_ms();
    sk_loop_turn(w->loop, !*flag);
    double took = cpu_ms() - from;
    if (took > longest) longest = took;
  }
  print_message("%s: longest turn %.1f ms\n", what, longest);
  if (longest > TURN_MS_MAX) fail_msg("%s: a turn of %.1f ms", what, longest);
}

/* The call itself is in no turn. */
#define RUN(w, handle, verb, operation)                                                                                \
  do {                                                                                                                 \
    bool done = false;                                                                                                 \
    (operation)->op.cb = on_done;                                                                                      \
    (operation)->op.ctx = &done;                                                                                       \
    double from = cpu_ms();                                                                                            \
    (handle)->ops->verb(handle, operation);                                                                            \
    double took = cpu_ms() - from;                                                                                     \
    if (took > TURN_MS_MAX) fail_msg(#verb ": a call of %.1f ms", took);                                               \
    turn_until(w, #verb, &done, 300);                                                                                  \
    assert_int_equal((operation)->op.status, SK_OK);                                                                   \
  } while (0)

static struct sk_store *open_engine(struct world *w, const char *name) {
  struct sk_store *store;
  const struct sk_store_options options = {
    .url = SK_STR_LIT("memory:steps"),
    .engine = sk_str_c(name),
    .lease_ms = LEASE_MS,
    .clock = { .wall_ms = wall_ms, .mono_ms = mono_ms, .ctx = w },
  };
  assert_int_equal(sk_store_open(w->loop, &options, NULL, &store, NULL), SK_OK);
  return store;
}

static int setup(void **state) {
  struct world *w = calloc(1, sizeof *w);
  w->loop = sk_loop_new(NULL);
  w->wall_ms = 1800000000000;
  w->mono_ms = 1000000;
  w->store = open_engine(w, "e1");
  w->other = open_engine(w, "e2");
  *state = w;
  return 0;
}

static int teardown(void **state) {
  struct world *w = *state;
  struct sk_store *const stores[] = { w->store, w->other };
  for (int i = 0; i < 2; i++) {
    bool closed = false;
    stores[i]->ops->close(stores[i], on_closed, &closed);
    while (!closed) sk_loop_turn(w->loop, true);
  }
  sk_loop_free(w->loop);
  free(w);
  return 0;
}

static void fill(struct world *w, int n, int64_t delay_ms, bool limited) {
  struct sk_buf record = { 0 };
  struct sk_job job;
  sk_job_init(&job);
  job.id = job.task = SK_STR_LIT("t");
  job.args = SK_STR_LIT("[1,2,3]");
  sk_record_encode(&job, &record);
  static struct sk_enqueue_item items[SK_ENQUEUE_BATCH_MAX];
  static char ids[SK_ENQUEUE_BATCH_MAX][16], groups[SK_ENQUEUE_BATCH_MAX][16];
  for (int first = 0; first < n; first += SK_ENQUEUE_BATCH_MAX) {
    for (int i = 0; i < SK_ENQUEUE_BATCH_MAX; i++) {
      snprintf(ids[i], sizeof ids[i], "j%d", first + i);
      snprintf(groups[i], sizeof groups[i], "t/%d", (first + i) / 2);
      items[i] = (struct sk_enqueue_item){
        .id = sk_str_c(ids[i]),
        .queue = SK_STR_LIT("q"),
        .task = i % 2 ? SK_STR_LIT("odd") : SK_STR_LIT("even"),
        .record = sk_buf_str(&record),
        .delay_ms = delay_ms,
      };
      if (limited) items[i].limit = (struct sk_limit){ sk_str_c(groups[i]), 0, 1, 1000, 1, false };
    }
    struct sk_enqueue_op op = { .items = items, .items_n = SK_ENQUEUE_BATCH_MAX };
    bool done = false;
    op.op.cb = on_done;
    op.op.ctx = &done;
    double from = cpu_ms();
    w->store->ops->enqueue(w->store, &op);
    if (cpu_ms() - from > TURN_MS_MAX) fail_msg("enqueue: a call of %.1f ms", cpu_ms() - from);
    while (!done) sk_loop_turn(w->loop, true);
    sk_op_fini(&op.op);
  }
  sk_buf_fini(&record);
}

/* Fetches until there is nothing for `least` jobs; returns how many came. */
static size_t take(struct world *w, size_t least) {
  size_t taken = 0;
  for (size_t fetches = 0; taken < least && fetches < JOBS; fetches++) {
    struct sk_fetch_queue queue = { .name = SK_STR_LIT("q"), .quota = 1000 };
    struct sk_fetch_op op = { .queues = &queue, .queues_n = 1, .want = 1000 };
    bool done = false;
    op.op.cb = on_done;
    op.op.ctx = &done;
    double from = cpu_ms();
    w->store->ops->fetch(w->store, &op);
    if (cpu_ms() - from > TURN_MS_MAX) fail_msg("fetch: a call of %.1f ms", cpu_ms() - from);
    while (!done) sk_loop_turn(w->loop, true);
    assert_true(op.jobs_n > 0 || op.has_more || op.due_in_ms == 1);
    taken += op.jobs_n;
    sk_op_fini(&op.op);
  }
  return taken;
}

static void change(struct world *w, enum sk_verb verb, struct sk_filter filter, int64_t keep_ms, size_t want) {
  struct sk_change_op op = { .verb = verb, .filter = filter, .keep_ms = keep_ms };
  RUN(w, w->store, change, &op);
  assert_int_equal(op.changed, want);
  sk_op_fini(&op.op);
}

static size_t beat(struct world *w, struct sk_store *store) {
  struct sk_beat_op op = { 0 };
  RUN(w, store, beat, &op);
  sk_op_fini(&op.op);
  return op.recovered;
}

static void lists_and_changes_go_in_short_turns(void **state) {
  struct world *w = *state;
  fill(w, JOBS, 0, false);
  const size_t offsets[] = { 0, JOBS - 5000 };
  for (int i = 0; i < 2; i++) {
    struct sk_list_op list = { .offset = offsets[i], .limit = 5000 };
    RUN(w, w->store, list, &list);
    assert_int_equal(list.views_n, 5000);
    sk_op_fini(&list.op);
  }
  struct sk_list_op none = { .filter = { .task = SK_STR_LIT("nosuch") }, .limit = 10 };
  RUN(w, w->store, list, &none);
  assert_int_equal(none.views_n, 0);
  sk_op_fini(&none.op);
  change(w, SK_VERB_CANCEL, (struct sk_filter){ .task = SK_STR_LIT("odd") }, 1000, JOBS / 2);
  w->wall_ms += 2000;
  beat(w, w->store); /* those that were kept for a second are dropped */
  struct sk_count_op count = { 0 };
  RUN(w, w->store, count, &count);
  assert_int_equal(count.queues[0].states[SK_STATE_CANCELLED], 0);
  sk_op_fini(&count.op);
  change(w, SK_VERB_DELETE, (struct sk_filter){ .task = SK_STR_LIT("even") }, 0, JOBS / 2);
}

static void jobs_due_at_one_moment_come_in_short_calls(void **state) {
  struct world *w = *state;
  fill(w, JOBS, 1000, false);
  w->wall_ms += 2000;
  assert_int_equal(take(w, JOBS), JOBS);
}

static void a_takeover_goes_in_short_turns(void **state) {
  struct world *w = *state;
  fill(w, HELD, 0, false);
  assert_int_equal(take(w, HELD), HELD);
  size_t recovered = 0;
  for (int i = 0; i < 6; i++) {
    recovered += beat(w, w->other);
    w->wall_ms += LEASE_MS / SK_BEATS_PER_LEASE + 1;
    w->mono_ms += LEASE_MS / SK_BEATS_PER_LEASE + 1;
  }
  assert_true(recovered > 0);
  struct sk_count_op count = { 0 };
  RUN(w, w->other, count, &count);
  assert_int_equal(count.queues[0].states[SK_STATE_READY], HELD);
  assert_int_equal(count.counters.recovered, HELD);
  sk_op_fini(&count.op);
}

static void groups_get_their_tokens_and_a_new_clock_in_short_turns(void **state) {
  struct world *w = *state;
  fill(w, JOBS, 0, true);
  assert_int_equal(take(w, JOBS / 2), JOBS / 2); /* one of each group; the other waits for a token */
  w->wall_ms -= 3600000;
  beat(w, w->store);
  w->wall_ms += 1000000;
  assert_int_equal(take(w, JOBS / 2), JOBS / 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(lists_and_changes_go_in_short_turns, setup, teardown),
    cmocka_unit_test_setup_teardown(jobs_due_at_one_moment_come_in_short_calls, setup, teardown),
    cmocka_unit_test_setup_teardown(a_takeover_goes_in_short_turns, setup, teardown),
    cmocka_unit_test_setup_teardown(groups_get_their_tokens_and_a_new_clock_in_short_turns, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
