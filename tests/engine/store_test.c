/* store_test.c - an engine whose store fails, in each of its operations, and works again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>

#include "world.h"

static const char TASKS[] = "skein.task('t', { keep = 60 }, function(job) fx('t') end) "
                            "skein.task('hold', { keep = 60 }, function(job) fx('hold') await('go') return 1 end)";

static void start_ready(struct world *w) {
  world_start(w);
  until(w, is_ready(w, 1) && !w->engine->fetching && !w->engine->declaring && !w->engine->beating);
}

static void fetching_goes_on_after_an_outage_and_does_not_spin_during_it(void **state) {
  struct world *w = *state;
  script(w, TASKS);
  start_ready(w);
  w->gate.fail[OP_FETCH] = true;
  w->gate.calls[OP_FETCH] = 0;
  struct told t = enqueue(w, "t", "[]");
  turn_for(w, 400);
  assert_in_range(w->gate.calls[OP_FETCH], 2, 12);
  w->gate.fail[OP_FETCH] = false;
  until(w, see(w, t).state == SK_STATE_DONE);
  assert_int_equal(logged(w, "fetching jobs failed: the test's store is away"), 1);
  assert_int_equal(logged(w, "works again"), 1);
}

static void outcomes_are_settled_when_the_store_is_back(void **state) {
  struct world *w = *state;
  script(w, TASKS);
  start_ready(w);
  struct told t[20];
  for (int i = 0; i < 20; i++) t[i] = enqueue(w, "hold", "[]");
  until(w, effects(w, "hold") == 10);
  w->gate.fail[OP_SETTLE] = true;
  w->gate.calls[OP_SETTLE] = 0;
  write_file(w, "go", "");
  until(w, w->gate.calls[OP_SETTLE] >= 4);
  assert_int_equal(jobs_in(w, SK_STATE_DONE), 0);
  turn_for(w, 300);
  assert_true(w->gate.calls[OP_SETTLE] < 20);
  w->gate.fail[OP_SETTLE] = false;
  for (int i = 0; i < 20; i++) {
    until(w, see(w, t[i]).state == SK_STATE_DONE);
    assert_int_equal(see(w, t[i]).attempts, 1);
  }
  assert_int_equal(effects(w, "hold"), 20);
  assert_int_equal(logged(w, "settling jobs failed"), 1); /* although fetching works all the while */
}

static void an_outage_of_everything_is_told_once_and_survived(void **state) {
  struct world *w = *state;
  w->options.store.lease_ms = 1500; /* so that beats fall into it */
  script(w, TASKS);
  start_ready(w);
  struct told held = enqueue(w, "hold", "[]");
  until(w, effects(w, "hold") == 1);
  gate_fail_all(w, true);
  memset(w->gate.calls, 0, sizeof w->gate.calls);
  write_file(w, "go", "");
  struct told t = enqueue(w, "t", "[]");
  int64_t from = sk_clock_mono_ms();
  until(w, w->gate.calls[OP_FETCH] > 2 && w->gate.calls[OP_SETTLE] > 2 && w->gate.calls[OP_BEAT] > 2);
  int64_t calls_max = 20 + (sk_clock_mono_ms() - from) / 50;
  for (int i = 0; i < OPS; i++) assert_true(w->gate.calls[i] < calls_max);
  gate_fail_all(w, false);
  until(w, see(w, held).state == SK_STATE_DONE && see(w, t).state == SK_STATE_DONE);
  until(w, w->engine->troubles == 0);
  assert_int_equal(logged(w, "trying again until it works"), 1);
  assert_int_equal(logged(w, "works again"), 1);
}

static void a_beat_that_fails_is_tried_again_before_the_lease_ends(void **state) {
  struct world *w = *state;
  w->options.store.lease_ms = 3000;
  script(w, TASKS);
  start_ready(w);
  w->gate.fail[OP_BEAT] = true;
  w->gate.calls[OP_BEAT] = 0;
  until(w, w->gate.calls[OP_BEAT] == 1);
  int64_t from = sk_clock_mono_ms();
  until(w, w->gate.calls[OP_BEAT] == 4);
  assert_true(sk_clock_mono_ms() - from < 1000); /* not a third of the lease later each */
}

static void a_beat_that_took_long_is_followed_by_another_at_once(void **state) {
  struct world *w = *state;
  w->options.store.lease_ms = 3000;
  script(w, TASKS);
  start_ready(w);
  w->gate.keep[OP_BEAT] = true;
  w->gate.calls[OP_BEAT] = 0;
  until(w, w->gate.calls[OP_BEAT] == 1);
  until(w, w->engine->beat_late);
  int64_t from = sk_clock_mono_ms();
  gate_open(w);
  until(w, w->gate.calls[OP_BEAT] == 2);
  assert_true(sk_clock_mono_ms() - from < 500); /* not a third of the lease later */
  until(w, w->gate.calls[OP_BEAT] == 3);
  assert_true(sk_clock_mono_ms() - from > 500); /* ... as the next one */
}

static void queues_are_listed_again_without_a_spin(void **state) {
  struct world *w = *state;
  script(w, TASKS);
  world_start(w);
  w->gate.fail[OP_COUNT] = true;
  until(w, is_ready(w, 1));
  struct told t = enqueue_with(w, "t", "[]", &(struct extra){ .queue = "unheard-of" });
  turn_for(w, 300);
  assert_true(w->gate.calls[OP_COUNT] < 40);
  w->gate.fail[OP_COUNT] = false;
  int64_t from = sk_clock_mono_ms();
  until(w, see(w, t).state == SK_STATE_DONE);
  assert_true(sk_clock_mono_ms() - from < 2000);
}

static void tasks_are_declared_when_the_store_is_back(void **state) {
  struct world *w = *state;
  w->options.store.lease_ms = 1000;
  script(w, "skein.task('t', { queue = 'mail' }, function(job) end)");
  world_start(w);
  w->gate.fail[OP_DECLARE] = true;
  until(w, w->gate.calls[OP_DECLARE] == 1 && is_ready(w, 1));
  turn_for(w, 20);
  w->gate.fail[OP_DECLARE] = false;
  until(w, w->gate.calls[OP_DECLARE] == 2 && !w->engine->declaring);
  struct sk_tasks_op op = { 0 };
  look(w, tasks, &op);
  assert_int_equal(op.items_n, 1);
  assert_true(sk_str_eq_c(op.items[0].queue, "mail"));
  sk_op_fini(&op.op);
}

static void a_job_that_waits_for_another_hears_of_its_end_after_an_outage(void **state) {
  struct world *w = *state;
  script(w, "skein.task('child', { keep = 60 }, function(job) await('go') return 7 end) "
            "skein.task('parent', { keep = 60 }, function(job) local h = skein.enqueue('child') fx('waits') fx('got', "
            "h:wait(10)) end)");
  start_ready(w);
  enqueue(w, "parent", "[]");
  until(w, effects(w, "waits") == 1);
  turn_for(w, 20);
  w->gate.fail[OP_GET] = true;
  w->gate.calls[OP_GET] = 0;
  write_file(w, "go", "");
  until(w, w->gate.calls[OP_GET] >= 1);
  w->gate.fail[OP_GET] = false;
  until(w, effects(w, "got 7") == 1);
}

/* One beat of another engine; how many jobs it took over. */
static size_t beat(struct world *w, struct sk_store *store) {
  struct sk_beat_op op = { 0 };
  bool done = false;
  op.op.cb = op_done;
  op.op.ctx = &done;
  store->ops->beat(store, &op);
  until(w, done);
  sk_op_fini(&op.op);
  return op.recovered;
}

static void a_lost_lease_gives_up_what_has_not_started(void **state) {
  struct world *w = *state;
  w->options.concurrency = 1;
  w->options.store.lease_ms = 1000;
  script(w, TASKS);
  start_ready(w);
  w->engine->per_ms = 1;
  sk_engine_hold(w->engine, true);
  struct told t[4];
  for (int i = 0; i < 4; i++) t[i] = enqueue(w, "hold", "[]");
  sk_engine_hold(w->engine, false);
  until(w, effects(w, "hold") == 1 && sk_engine_runs_n(w->engine) == 4);
  w->engine->silent_since_ms = INT64_MAX / 2; /* the jobs do not count as long, so the engine keeps them */
  sk_engine_hold(w->engine, true);            /* so that it fetches none of them again */
  w->gate.keep[OP_BEAT] = true;
  /* Another engine on the same store gives ours up. */
  struct sk_store_options other = w->options.store;
  other.engine = SK_STR_LIT("other");
  other.lease_ms = 60000;
  struct sk_store *store;
  struct sk_err err;
  assert_int_equal(sk_store_open(w->loop, &other, NULL, &store, &err), SK_OK);
  for (size_t recovered = 0; recovered < 4;) recovered += beat(w, store);
  gate_open(w);
  until(w, sk_engine_runs_n(w->engine) == 1 && logged(w, "lease had ended") == 1);
  write_file(w, "go", "");
  until(w, w->engine->totals.stale == 1); /* only the job that ran is logged */
  assert_int_equal(logged(w, "was given to another engine"), 1);
  w->engine->silent_since_ms = 0;
  sk_engine_hold(w->engine, false);
  for (int i = 0; i < 4; i++) until(w, see(w, t[i]).state == SK_STATE_DONE);
  bool closed = false;
  store->ops->close(store, set_flag, &closed);
  until(w, closed);
}

static void progress_of_a_chatty_job_takes_no_memory(void **state) {
  struct world *w = *state;
  script(w, "skein.task('chat', { keep = 60 }, function(job) local note = ('x'):rep(1000) "
            "job:progress(1, note) fx('first') await('more') for i = 1, 3000 do job:progress(i % 100, note) if i % 100 "
            "== 0 then skein.sleep(0) end end "
            "fx('all') await('go') end)");
  start_ready(w);
  w->gate.keep[OP_PROGRESS] = true;
  struct told t = enqueue(w, "chat", "[]");
  until(w, effects(w, "first") == 1 && !sk_list_empty(&w->gate.kept));
  write_file(w, "more", "");
  struct mallinfo2 before = mallinfo2();
  until(w, effects(w, "all") == 1);
  turn_for(w, 30);
  assert_true(mallinfo2().uordblks - before.uordblks < 300000); /* they said 3 MB */
  gate_open(w);
  write_file(w, "go", "");
  until(w, see(w, t).state == SK_STATE_DONE);
}

/* Twenty jobs end in one batch, and the store refuses one in the middle of it. */
static void end_twenty(struct world *w, struct told t[20], enum sk_code code, bool refuse_dead) {
  w->options.store.lease_ms = 1500; /* so that beats come soon */
  w->options.concurrency = 20;
  script(w, TASKS);
  start_ready(w);
  for (int i = 0; i < 20; i++) t[i] = enqueue(w, "hold", "[]");
  until(w, effects(w, "hold") == 20);
  w->gate.refuse = sk_str(t[11].id, SK_ID_BYTES);
  w->gate.refuse_code = code;
  w->gate.refuse_dead = refuse_dead;
  w->gate.calls[OP_SETTLE] = 0;
  write_file(w, "go", "");
  for (int i = 0; i < 20; i++)
    if (i != 11) until(w, see(w, t[i]).state == SK_STATE_DONE);
}

static void an_item_that_the_store_refuses_is_dead_with_the_reason_and_its_batch_is_settled(void **state) {
  struct world *w = *state;
  struct told t[20];
  end_twenty(w, t, SK_ELIMIT, false);
  until(w, see(w, t[11]).state == SK_STATE_DEAD);
  assert_true(w->gate.calls[OP_SETTLE] < 60);
  assert_int_equal(logged(w, "the store refuses its outcome: the test's store refuses it"), 1);
  assert_int_equal(logged(w, "settling jobs failed"), 0);
}

static void an_item_that_a_script_fails_at_is_dead_when_it_fails_again_after_a_beat(void **state) {
  struct world *w = *state;
  struct told t[20];
  end_twenty(w, t, SK_ECORRUPT, false);
  assert_int_equal(see(w, t[11]).state, SK_STATE_RUNNING);
  until(w, see(w, t[11]).state == SK_STATE_DEAD);
  assert_int_equal(logged(w, "set aside until the next beat"), 1);
}

static void an_item_that_cannot_even_be_dead_waits_from_beat_to_beat_and_holds_up_nothing(void **state) {
  struct world *w = *state;
  struct told t[20];
  end_twenty(w, t, SK_EINVAL, true);
  until(w, !sk_list_empty(&w->engine->set_aside));
  long calls = w->gate.calls[OP_SETTLE];
  turn_for(w, 300);
  assert_true(w->gate.calls[OP_SETTLE] - calls <= 2);
  struct told more = enqueue(w, "t", "[]");
  until(w, see(w, more).state == SK_STATE_DONE);
  w->gate.refuse.n = 0;
  until(w, see(w, t[11]).state == SK_STATE_DEAD);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    T(fetching_goes_on_after_an_outage_and_does_not_spin_during_it),
    T(outcomes_are_settled_when_the_store_is_back),
    T(an_outage_of_everything_is_told_once_and_survived),
    T(a_beat_that_fails_is_tried_again_before_the_lease_ends),
    T(a_beat_that_took_long_is_followed_by_another_at_once),
    T(queues_are_listed_again_without_a_spin),
    T(tasks_are_declared_when_the_store_is_back),
    T(a_job_that_waits_for_another_hears_of_its_end_after_an_outage),
    T(a_lost_lease_gives_up_what_has_not_started),
    T(progress_of_a_chatty_job_takes_no_memory),
    T(an_item_that_the_store_refuses_is_dead_with_the_reason_and_its_batch_is_settled),
    T(an_item_that_a_script_fails_at_is_dead_when_it_fails_again_after_a_beat),
    T(an_item_that_cannot_even_be_dead_waits_from_beat_to_beat_and_holds_up_nothing),
  };
  return cmocka_run_group_tests_name("engine_store", tests, NULL, NULL);
}
