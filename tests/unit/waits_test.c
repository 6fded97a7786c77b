/* waits_test.c - those who wait for a job's end, on a memory store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "engine/waits.h"
#include "io/loop.h"
#include "store/store.h"

enum { WAITERS = 1000 };

struct world {
  struct sk_loop *loop;
  struct sk_store *real;
  struct sk_store store; /* counts and fails looks on their way to the real one */
  struct sk_store_ops ops;
  struct sk_waits *waits;
  struct sk_defer *later;
  struct sk_op *failing;
  struct sk_op *held; /* an answer of the real store that has not been given */
  void (*held_cb)(struct sk_op *op, void *ctx);
  void *held_ctx;
  long looks, ids;
  bool fail, hold, idle;
};

static struct world *the_world;

static void set_flag(void *ctx) { *(bool *)ctx = true; }

static void fail_later(void *ctx) {
  struct world *w = ctx;
  struct sk_op *op = w->failing;
  op->status = sk_err_set(&op->err, SK_EUNAVAILABLE, "away");
  op->cb(op, op->ctx);
}

static void hold_answer(struct sk_op *op, void *ctx) { ((struct world *)ctx)->held = op; }

static void give_answer(struct world *w) {
  struct sk_op *op = w->held;
  w->held = NULL;
  w->hold = false;
  op->cb = w->held_cb;
  op->ctx = w->held_ctx;
  op->cb(op, op->ctx);
}

static void counted_get(struct sk_store *s, struct sk_get_op *op) {
  struct world *w = the_world;
  (void)s;
  w->looks++;
  w->ids += (long)op->ids_n;
  if (w->hold) {
    w->held_cb = op->op.cb;
    w->held_ctx = op->op.ctx;
    op->op.cb = hold_answer;
    op->op.ctx = w;
  }
  if (!w->fail) {
    w->real->ops->get(w->real, op);
    return;
  }
  op->op.arena = (struct sk_arena){ 0 };
  w->failing = &op->op;
  sk_defer_mark(w->later);
}

static int setup(void **state) {
  struct world *w = the_world = calloc(1, sizeof *w);
  struct sk_err err;
  w->loop = sk_loop_new(&err);
  struct sk_store_options options = { .url = SK_STR_LIT("memory:") };
  assert_int_equal(sk_store_open(w->loop, &options, NULL, &w->real, &err), SK_OK);
  w->ops.get = counted_get;
  w->store.ops = &w->ops;
  w->later = sk_defer_new(w->loop, fail_later, w);
  w->waits = sk_waits_new(w->loop, set_flag, &w->idle);
  sk_waits_use(w->waits, &w->store);
  *state = w;
  return 0;
}

static int teardown(void **state) {
  struct world *w = *state;
  sk_waits_stop(w->waits);
  while (!sk_waits_idle(w->waits)) sk_loop_turn(w->loop, true);
  sk_waits_free(w->waits);
  sk_defer_free(w->later);
  bool closed = false;
  w->real->ops->close(w->real, set_flag, &closed);
  while (!closed) sk_loop_turn(w->loop, true);
  sk_loop_free(w->loop);
  free(w);
  return 0;
}

static void op_done(struct sk_op *op, void *ctx) {
  (void)op;
  *(bool *)ctx = true;
}

static void add_job(struct world *w, const char *id) {
  struct sk_enqueue_item item = {
    .id = sk_str_c(id), .queue = SK_STR_LIT("q"), .task = SK_STR_LIT("t"), .record = SK_STR_LIT("S\x01")
  };
  bool done = false;
  struct sk_enqueue_op op = { .op = { .cb = op_done, .ctx = &done }, .items = &item, .items_n = 1 };
  w->real->ops->enqueue(w->real, &op);
  while (!done) sk_loop_turn(w->loop, true);
  sk_op_fini(&op.op);
}

static void cancel_job(struct world *w, const char *id) {
  struct sk_str ids = sk_str_c(id);
  bool done = false;
  struct sk_change_op op = {
    .op = { .cb = op_done, .ctx = &done }, .verb = SK_VERB_CANCEL, .ids = &ids, .ids_n = 1, .keep_ms = 60000
  };
  w->real->ops->change(w->real, &op);
  while (!done) sk_loop_turn(w->loop, true);
  assert_int_equal(op.changed, 1);
  sk_op_fini(&op.op);
}

struct answer {
  int n;
  enum sk_code code;
  enum sk_state state;
};

static void on_waited(void *ctx, enum sk_code code, const struct sk_view *view) {
  struct answer *a = ctx;
  a->n++;
  a->code = code;
  a->state = view ? view->state : SK_STATE_NONE;
  assert_true((code == SK_OK) == (view != NULL));
}

static void settle_down(struct world *w) {
  for (int i = 0; i < 50; i++) sk_loop_turn(w->loop, false);
}

static void a_job_that_is_over_or_unknown_is_answered_at_once(void **state) {
  struct world *w = *state;
  struct answer unknown = { 0 }, over = { 0 };
  add_job(w, "a");
  cancel_job(w, "a");
  assert_non_null(sk_waits_add(w->waits, SK_STR_LIT("a"), -1, on_waited, &over));
  assert_non_null(sk_waits_add(w->waits, SK_STR_LIT("nobody"), 5000, on_waited, &unknown));
  assert_int_equal(over.n + unknown.n, 0); /* not inside the call */
  settle_down(w);
  assert_int_equal(over.n, 1);
  assert_int_equal(over.state, SK_STATE_CANCELLED);
  assert_int_equal(unknown.n, 1);
  assert_int_equal(unknown.code, SK_OK);
  assert_true(sk_waits_idle(w->waits));
}

static void who_waits_hears_of_the_end_and_nobody_looks_in_between(void **state) {
  struct world *w = *state;
  struct answer a[3] = { { 0 } };
  add_job(w, "a");
  for (int i = 0; i < 3; i++) sk_waits_add(w->waits, SK_STR_LIT("a"), i == 0 ? -1 : 60000, on_waited, &a[i]);
  settle_down(w);
  long looks = w->looks;
  settle_down(w);
  assert_int_equal(w->looks, looks);
  cancel_job(w, "a");
  sk_waits_settled(w->waits, SK_STR_LIT("another"));
  settle_down(w);
  assert_int_equal(w->looks, looks);
  sk_waits_settled(w->waits, SK_STR_LIT("a"));
  settle_down(w);
  assert_int_equal(w->looks, looks + 1);
  for (int i = 0; i < 3; i++) assert_true(a[i].n == 1 && a[i].code == SK_OK && a[i].state == SK_STATE_CANCELLED);
}

static void many_waits_are_looked_at_together(void **state) {
  struct world *w = *state;
  static struct answer a[WAITERS];
  memset(a, 0, sizeof a);
  char id[16];
  for (int i = 0; i < WAITERS; i++) {
    snprintf(id, sizeof id, "j%d", i % 100);
    if (i < 100) add_job(w, id);
    sk_waits_add(w->waits, sk_str_c(id), -1, on_waited, &a[i]);
  }
  settle_down(w);
  w->looks = w->ids = 0;
  sk_waits_changed(w->waits);
  settle_down(w);
  assert_int_equal(w->looks, 1); /* each job once, all of them in one operation */
  assert_int_equal(w->ids, 100);
  for (int i = 0; i < WAITERS; i++) assert_int_equal(a[i].n, 0);
  for (int i = 0; i < 100; i++) {
    snprintf(id, sizeof id, "j%d", i);
    cancel_job(w, id);
  }
  sk_waits_changed(w->waits);
  while (a[0].n == 0) sk_loop_turn(w->loop, true);
  settle_down(w);
  for (int i = 0; i < WAITERS; i++) assert_int_equal(a[i].n, 1);
}

/* Others change something all the time, and none of the many jobs that are waited for ends.  The time
 * bounds how many are looked at, each job has its turn, and a job that this engine settles is looked at next. */
static void what_others_change_does_not_set_the_number_of_looks(void **state) {
  struct world *w = *state;
  enum { JOBS = 5000, IDS_PER_MS = 25, LOOK_MAX = 256 };
  static struct answer a[JOBS];
  memset(a, 0, sizeof a);
  char id[16];
  for (int i = 0; i < JOBS; i++) {
    snprintf(id, sizeof id, "j%d", i);
    add_job(w, id);
    sk_waits_add(w->waits, sk_str_c(id), -1, on_waited, &a[i]);
  }
  while (w->ids < JOBS) sk_loop_turn(w->loop, false);
  settle_down(w);
  cancel_job(w, "j4999");
  w->ids = 0;
  int64_t from = sk_clock_mono_ms();
  bool settled = false;
  while (a[4999].n == 0) {
    sk_waits_changed(w->waits);
    sk_loop_turn(w->loop, false);
    if (settled || w->ids < JOBS / 2) continue;
    cancel_job(w, "j0"); /* it had its turn just now */
    long ids = w->ids;
    sk_waits_settled(w->waits, SK_STR_LIT("j0"));
    settled = true;
    while (a[0].n == 0) sk_loop_turn(w->loop, false);
    assert_true(w->ids - ids <= 2 * LOOK_MAX);
  }
  assert_in_range(w->ids, JOBS / 2, (sk_clock_mono_ms() - from + 50) * IDS_PER_MS + 2 * LOOK_MAX);
}

/* A worker that has died waited for many jobs, some of them together with others. */
static void many_waits_are_abandoned_one_by_one(void **state) {
  struct world *w = *state;
  enum { WAITS = 30000 };
  static struct answer a[WAITS];
  static struct sk_wait *waits[WAITS];
  memset(a, 0, sizeof a);
  char id[16];
  for (int i = 0; i < WAITS; i++) {
    snprintf(id, sizeof id, "j%d", i / 2);
    if (i % 2 == 0) add_job(w, id);
    waits[i] = sk_waits_add(w->waits, sk_str_c(id), 60000, on_waited, &a[i]);
  }
  settle_down(w);
  int64_t from = sk_clock_mono_ms();
  for (int i = 0; i < WAITS; i += 2) sk_waits_abandon(waits[i]);
  assert_true(sk_clock_mono_ms() - from < 500); /* a look at all for each of them took seconds */
  for (int i = 0; i < WAITS; i++) assert_int_equal(a[i].n, i % 2 == 0);
  for (int i = 1; i < WAITS; i += 2) sk_waits_abandon(waits[i]);
  assert_int_equal(a[1].code, SK_ECANCELLED);
}

static void a_change_during_a_look_is_not_lost(void **state) {
  struct world *w = *state;
  struct answer a = { 0 };
  add_job(w, "a");
  sk_waits_add(w->waits, SK_STR_LIT("a"), -1, on_waited, &a);
  cancel_job(w, "a"); /* turns the loop: the look may have its answer already */
  sk_waits_settled(w->waits, SK_STR_LIT("a"));
  sk_waits_settled(w->waits, SK_STR_LIT("a"));
  settle_down(w);
  assert_int_equal(a.n, 1);
}

/* The answer of a look is older than the change of the job, and comes after it. */
static void a_change_is_not_lost_when_the_look_under_way_has_not_seen_it(void **state) {
  struct world *w = *state;
  struct answer a = { 0 }, other = { 0 };
  add_job(w, "a");
  add_job(w, "b");
  w->hold = true;
  sk_waits_add(w->waits, SK_STR_LIT("a"), -1, on_waited, &a);
  while (w->held == NULL) sk_loop_turn(w->loop, true);
  sk_waits_add(w->waits, SK_STR_LIT("b"), -1, on_waited, &other);
  cancel_job(w, "a");
  sk_waits_changed(w->waits);
  give_answer(w);
  assert_int_equal(a.n, 0);
  settle_down(w);
  assert_int_equal(a.n, 1);
  assert_int_equal(a.state, SK_STATE_CANCELLED);
  assert_int_equal(other.n, 0);
  long looks = w->looks;
  settle_down(w);
  assert_int_equal(w->looks, looks); /* one more look was enough */
  sk_waits_stop(w->waits);           /* while `other` is there to be answered */
}

/* The same, with a look that fails: the next one is sent after a pause. */
static void a_change_is_not_lost_when_the_look_under_way_fails(void **state) {
  struct world *w = *state;
  struct answer a = { 0 };
  add_job(w, "a");
  w->fail = true;
  sk_waits_add(w->waits, SK_STR_LIT("a"), -1, on_waited, &a);
  cancel_job(w, "a");
  sk_waits_changed(w->waits);
  w->fail = false;
  settle_down(w);
  while (a.n == 0) sk_loop_turn(w->loop, true);
  assert_int_equal(a.state, SK_STATE_CANCELLED);
}

/* An answer begins another wait, while other answers of the same look are still to be given. */
static struct sk_waits *chain_waits;

static void on_waited_wait_again(void *ctx, enum sk_code code, const struct sk_view *view) {
  on_waited(ctx, code, view);
  if (code == SK_OK) sk_waits_add(chain_waits, SK_STR_LIT("c"), -1, on_waited, (struct answer *)ctx + 1);
}

static void an_answer_can_begin_another_wait(void **state) {
  struct world *w = *state;
  static struct answer a[6];
  memset(a, 0, sizeof a);
  char id[2] = "a";
  chain_waits = w->waits;
  for (int i = 0; i < 3; i++) {
    id[0] = (char)('a' + i);
    add_job(w, id);
  }
  w->hold = true; /* the look for "b" alone: the next one has "a" and "c" */
  struct answer b = { 0 };
  sk_waits_add(w->waits, SK_STR_LIT("b"), -1, on_waited, &b);
  while (w->held == NULL) sk_loop_turn(w->loop, true);
  sk_waits_add(w->waits, SK_STR_LIT("a"), -1, on_waited_wait_again, &a[0]);
  sk_waits_add(w->waits, SK_STR_LIT("c"), -1, on_waited, &a[2]);
  cancel_job(w, "a");
  cancel_job(w, "b");
  cancel_job(w, "c");
  sk_waits_changed(w->waits);
  give_answer(w);
  settle_down(w);
  assert_int_equal(b.n, 1);
  for (int i = 0; i < 3; i++) assert_int_equal(a[i].n, 1);
  assert_true(sk_waits_idle(w->waits));
}

static void its_time_is_over(void **state) {
  struct world *w = *state;
  static struct answer later; /* answered by the teardown */
  struct answer soon = { 0 }, poll = { 0 };
  later = (struct answer){ 0 };
  add_job(w, "a");
  sk_waits_add(w->waits, SK_STR_LIT("a"), 5, on_waited, &soon);
  sk_waits_add(w->waits, SK_STR_LIT("a"), 0, on_waited, &poll);
  sk_waits_add(w->waits, SK_STR_LIT("a"), 60000, on_waited, &later);
  while (soon.n == 0 || poll.n == 0) sk_loop_turn(w->loop, true);
  assert_int_equal(soon.code, SK_ETIMEOUT);
  assert_int_equal(poll.code, SK_ETIMEOUT);
  assert_int_equal(later.n, 0);
}

/* A timeout of 0 asks how it is now. */
static void a_wait_for_no_time_looks_once(void **state) {
  struct world *w = *state;
  struct answer a = { 0 };
  add_job(w, "a");
  cancel_job(w, "a");
  sk_waits_add(w->waits, SK_STR_LIT("a"), 0, on_waited, &a);
  while (a.n == 0) sk_loop_turn(w->loop, true);
  assert_int_equal(a.code, SK_OK);
}

static void an_outage_ends_no_wait_and_is_tried_again(void **state) {
  struct world *w = *state;
  struct answer a = { 0 }, timed = { 0 };
  add_job(w, "a");
  w->fail = true;
  sk_waits_add(w->waits, SK_STR_LIT("a"), -1, on_waited, &a);
  sk_waits_add(w->waits, SK_STR_LIT("a"), 10, on_waited, &timed);
  while (timed.n == 0) sk_loop_turn(w->loop, true);
  assert_int_equal(timed.code, SK_ETIMEOUT);
  assert_true(w->looks < 5); /* it does not spin */
  cancel_job(w, "a");
  w->fail = false;
  while (a.n == 0) sk_loop_turn(w->loop, true); /* nobody tells: it looks by itself */
  assert_int_equal(a.state, SK_STATE_CANCELLED);
}

static void a_stop_answers_everyone_also_while_it_looks(void **state) {
  struct world *w = *state;
  struct answer a = { 0 }, b = { 0 };
  add_job(w, "a");
  add_job(w, "b");
  sk_waits_add(w->waits, SK_STR_LIT("a"), -1, on_waited, &a);
  settle_down(w);
  sk_waits_add(w->waits, SK_STR_LIT("b"), 60000, on_waited, &b); /* this look is under way */
  sk_waits_stop(w->waits);
  assert_int_equal(a.code, SK_ECANCELLED);
  assert_int_equal(b.code, SK_ECANCELLED);
  assert_false(sk_waits_idle(w->waits));
  assert_false(w->idle);
  while (!w->idle) sk_loop_turn(w->loop, true);
  assert_true(sk_waits_idle(w->waits));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
    T(a_job_that_is_over_or_unknown_is_answered_at_once),
    T(who_waits_hears_of_the_end_and_nobody_looks_in_between),
    T(many_waits_are_looked_at_together),
    T(what_others_change_does_not_set_the_number_of_looks),
    T(many_waits_are_abandoned_one_by_one),
    T(a_change_during_a_look_is_not_lost),
    T(a_change_is_not_lost_when_the_look_under_way_has_not_seen_it),
    T(a_change_is_not_lost_when_the_look_under_way_fails),
    T(an_answer_can_begin_another_wait),
    T(its_time_is_over),
    T(a_wait_for_no_time_looks_once),
    T(an_outage_ends_no_wait_and_is_tried_again),
    T(a_stop_answers_everyone_also_while_it_looks),
  };
  return cmocka_run_group_tests_name("waits", tests, NULL, NULL);
}
