/* cancel_test.c - jobs that are cancelled while they run, wait in the engine, or end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "world.h"

enum { SOON_MS = 100 };

static const char SLEEP[] =
    "local function handler(what) return function(job, err) fx(what, err.kind) end end "
    "skein.task('sleep', { keep = 60, on_error = handler('on_error'), on_death = handler('on_death') }, "
    "function(job, n) fx('start', n) while job:active() do skein.sleep(60) end fx('over') end) "
    "skein.task('loop', { keep = 60 }, function(job) fx('loop') while true do end end) "
    "skein.task('deaf', { keep = 60 }, function(job) fx('deaf') while true do pcall(skein.sleep, 60) end end) "
    "skein.task('good', { keep = 60 }, function(job) fx('good', pid) await('go') end) "
    "skein.task('fail', { keep = 60, retries = 5 }, function(job) fx('fail') await('go') error('oh') end) ";

static enum sk_code cancel(struct world *w, struct told t) {
  struct sk_str id = sk_str_c(t.id);
  struct sk_change_op op = { .verb = SK_VERB_CANCEL, .ids = &id, .ids_n = 1, .keep_ms = 60000 };
  look(w, change, &op);
  enum sk_code code = op.statuses[0];
  sk_op_fini(&op.op);
  return code;
}

static void is_cancelled_within(struct world *w, struct told t, int64_t ms) {
  int64_t from = sk_clock_mono_ms();
  assert_int_equal(cancel(w, t), SK_OK);
  until(w, see(w, t).state == SK_STATE_CANCELLED);
  assert_true(sk_clock_mono_ms() - from < ms);
}

static void a_job_that_waits_is_cancelled_at_once(void **state) {
  struct world *w = *state;
  script(w, SLEEP);
  world_start(w);
  struct told t = enqueue(w, "sleep", "[1]");
  until(w, effects(w, "start") == 1);
  is_cancelled_within(w, t, SOON_MS);
  struct seen s = see(w, t);
  assert_int_equal(s.kind, SK_KIND_CANCELLED);
  assert_int_equal(s.attempts, 0);        /* a cancel is no failure */
  assert_int_equal(effects(w, "on_"), 0); /* and no handler runs for it */
  until(w, sk_engine_runs_n(w->engine) == 0 && worker_of(w, 1)->load == 0);
  assert_int_equal(w->engine->totals.retried + w->engine->totals.dead, 0);
}

static void a_full_engine_hears_of_it(void **state) {
  struct world *w = *state;
  w->options.concurrency = 1;
  script(w, SLEEP);
  world_start(w);
  struct told t[5];
  for (int i = 0; i < 5; i++) t[i] = enqueue(w, "sleep", "[1]");
  for (int i = 0; i < 5; i++) {
    until(w, effects(w, "start") == i + 1);
    is_cancelled_within(w, t[i], SOON_MS);
  }
}

static void one_that_holds_still_hears_of_it(void **state) {
  struct world *w = *state;
  script(w, SLEEP);
  world_start(w);
  struct told t = enqueue(w, "sleep", "[1]");
  until(w, effects(w, "start") == 1);
  sk_engine_hold(w->engine, true);
  is_cancelled_within(w, t, SOON_MS);
}

static void one_that_stops_hears_of_it(void **state) {
  struct world *w = *state;
  script(w, SLEEP);
  world_start(w);
  struct told t = enqueue(w, "sleep", "[1]");
  until(w, effects(w, "start") == 1);
  sk_engine_stop(w->engine, false);
  is_cancelled_within(w, t, SOON_MS);
  world_ended(w);
}

static void a_job_can_cancel_another_of_its_engine(void **state) {
  struct world *w = *state;
  w->options.concurrency = 2;
  script(w, "skein.task('sleep', { keep = 60 }, function(job) fx('start') skein.sleep(60) end) "
            "skein.task('cancel', { keep = 60 }, function(job, id) assert(skein.handle(id):cancel()) fx('told') end)");
  world_start(w);
  struct told t = enqueue(w, "sleep", "[]");
  until(w, effects(w, "start") == 1);
  char args[64];
  snprintf(args, sizeof args, "[\"%s\"]", t.id);
  enqueue(w, "cancel", args);
  until(w, effects(w, "told") == 1);
  int64_t from = sk_clock_mono_ms();
  until(w, see(w, t).state == SK_STATE_CANCELLED);
  assert_true(sk_clock_mono_ms() - from < SOON_MS);
}

static void what_waits_inside_the_engine_never_starts(void **state) {
  struct world *w = *state;
  script(w, SLEEP);
  world_start(w);
  until(w, is_ready(w, 1));
  struct sk_worker *worker = worker_of(w, 1);
  uint32_t free_n = worker->free_n;
  worker->free_n = 0; /* the engine has capacity, and no worker a free slot */
  struct told t = enqueue(w, "sleep", "[1]");
  until(w, w->engine->local_n == 1);
  is_cancelled_within(w, t, SOON_MS);
  worker->free_n = free_n;
  struct told other = enqueue(w, "sleep", "[2]");
  until(w, effects(w, "start 2") == 1);
  assert_int_equal(effects(w, "start 1"), 0);
  is_cancelled_within(w, other, SOON_MS);
}

static void what_was_only_offered_never_starts(void **state) {
  struct world *w = *state;
  w->options.concurrency = 1;
  script(w, "skein.task('t', { keep = 60 }, function(job, n) fx('start', n) burn(400) end)");
  world_start(w);
  until(w, is_ready(w, 1));
  w->engine->per_ms = 10; /* as if jobs were short: more are offered than can run */
  sk_engine_hold(w->engine, true);
  struct told first = enqueue(w, "t", "[1]"), second = enqueue(w, "t", "[2]");
  sk_engine_hold(w->engine, false);
  until(w, worker_of(w, 1)->load == 2 && effects(w, "start 1") == 1);
  is_cancelled_within(w, second, SOON_MS);
  until(w, see(w, first).state == SK_STATE_DONE);
  assert_int_equal(effects(w, "start 2"), 0);
}

static void a_stop_can_not_be_swallowed_for_ever(void **state) {
  struct world *w = *state;
  script(w, SLEEP);
  world_start(w);
  struct told t = enqueue(w, "deaf", "[]");
  until(w, effects(w, "deaf") == 1);
  is_cancelled_within(w, t, SOON_MS);
  assert_int_equal(w->engine->totals.workers_died, 0);
}

static void a_job_that_keeps_the_cpu_is_killed_and_its_neighbour_runs_again(void **state) {
  struct world *w = *state;
  w->options.concurrency = 2;
  script(w, SLEEP);
  world_start(w);
  struct told good = enqueue(w, "good", "[]");
  until(w, effects(w, "good") == 1);
  struct told loop = enqueue(w, "loop", "[]");
  until(w, effects(w, "loop") == 1);
  int64_t from = sk_clock_mono_ms();
  assert_int_equal(cancel(w, loop), SK_OK);
  assert_int_equal(cancel(w, loop), SK_OK);
  until(w, see(w, loop).state == SK_STATE_CANCELLED);
  assert_in_range(sk_clock_mono_ms() - from, SK_HARD_GRACE_MS, SK_HARD_GRACE_MS + 2000);
  assert_int_equal(logged(w, "was cancelled and does not stop"), 1);
  until(w, effects(w, "good") == 2);
  write_file(w, "go", "");
  until(w, see(w, good).state == SK_STATE_DONE);
  assert_int_equal(see(w, good).crashes, 0);
  assert_int_equal(effects(w, "loop"), 1);
}

static void one_that_fails_before_it_hears_of_it_is_cancelled_all_the_same(void **state) {
  struct world *w = *state;
  script(w, SLEEP);
  world_start(w);
  struct told t = enqueue(w, "fail", "[]");
  until(w, effects(w, "fail") == 1);
  until(w, !w->engine->fetching);
  w->gate.keep[OP_FETCH] = true; /* the answer would name the cancelled job */
  assert_int_equal(cancel(w, t), SK_OK);
  write_file(w, "go", "");
  until(w, see(w, t).state == SK_STATE_CANCELLED);
  gate_open(w);
  until(w, sk_engine_runs_n(w->engine) == 0);
  assert_int_equal(effects(w, "fail"), 1);
  assert_int_equal(w->engine->totals.cancelled, 1);
}

static void one_that_returns_before_it_hears_of_it_is_done(void **state) {
  struct world *w = *state;
  script(w, SLEEP);
  world_start(w);
  struct told t = enqueue(w, "good", "[]");
  until(w, effects(w, "good") == 1);
  until(w, !w->engine->fetching);
  w->gate.keep[OP_FETCH] = true;
  assert_int_equal(cancel(w, t), SK_OK);
  write_file(w, "go", "");
  until(w, see(w, t).state == SK_STATE_DONE);
  gate_open(w);
}

static void many_are_cancelled_together(void **state) {
  struct world *w = *state;
  enum { N = 300 };
  w->options.concurrency = N;
  script(w, SLEEP);
  world_start(w);
  for (int i = 0; i < N; i++) enqueue(w, "sleep", "[1]");
  until(w, effects(w, "start") == N);
  struct sk_change_op op = { .verb = SK_VERB_CANCEL, .filter = { .state = SK_STATE_RUNNING }, .keep_ms = 60000 };
  look(w, change, &op);
  assert_int_equal(op.changed, N);
  sk_op_fini(&op.op);
  until(w, jobs_in(w, SK_STATE_CANCELLED) == N);
}

static void one_in_a_worker_that_drains_after_a_reload_hears_of_it(void **state) {
  struct world *w = *state;
  script(w, SLEEP);
  world_start(w);
  struct told t = enqueue(w, "sleep", "[1]");
  until(w, effects(w, "start 1") == 1);
  uint64_t serial = worker_of(w, 1)->serial;
  sk_engine_reload(w->engine);
  until(w, is_ready(w, 1) && worker_of(w, 1)->serial != serial);
  is_cancelled_within(w, t, SOON_MS);
  until(w, workers_n(w) == 1);
}

static void one_past_its_hard_timeout_too_is_cancelled(void **state) {
  struct world *w = *state;
  script(w, "skein.task('loop', { keep = 60, timeout = 0.05, retries = 5, on_error = function() fx('error') end }, "
            "function(job) fx('loop') while true do end end)");
  world_start(w);
  struct told t = enqueue(w, "loop", "[]");
  until(w, effects(w, "loop") == 1);
  is_cancelled_within(w, t, SK_HARD_GRACE_MS + 2000);
  until(w, sk_engine_runs_n(w->engine) == 0);
  assert_int_equal(effects(w, "loop") + effects(w, "error"), 1);
}

/* The job is cancelled while its late handlers wait or run: they may run, but the job ends as cancelled. */
static void one_whose_handlers_run_is_cancelled_after_them(void **state) {
  struct world *w = *state;
  script(w, "skein.task('crash', { keep = 60, on_death = function() fx('death') await('go') end }, function(job) "
            "ffi.C._exit(7) end)");
  world_start(w);
  struct told t = enqueue(w, "crash", "[]");
  until(w, effects(w, "death") == 1);
  assert_int_equal(cancel(w, t), SK_OK);
  turn_for(w, 50);
  assert_int_equal(see(w, t).state, SK_STATE_RUNNING);
  write_file(w, "go", "");
  until(w, see(w, t).state == SK_STATE_CANCELLED);
  until(w, sk_engine_runs_n(w->engine) == 0);
  assert_int_equal(w->engine->totals.dead, 0);
}

static void a_suspect_that_waits_for_its_turn_never_starts(void **state) {
  struct world *w = *state;
  w->options.policy.crashes_max = 2;
  script(w, "skein.task('crash', { keep = 60 }, function(job) fx('crash') await('go') end)");
  world_start(w);
  struct told t[2] = { enqueue(w, "crash", "[]"), enqueue(w, "crash", "[]") };
  until(w, effects(w, "crash") == 2);
  kill(worker_of(w, 1)->pid, SIGKILL); /* no job is on the CPU: both count a crash */
  until(w, w->engine->suspects_n == 1 && effects(w, "crash") == 3);
  struct sk_str waits = SK_RUN_OF(w->engine->suspects.next)->id;
  int which = sk_str_eq_c(waits, t[1].id);
  is_cancelled_within(w, t[which], SOON_MS);
  write_file(w, "go", "");
  until(w, see(w, t[!which]).state == SK_STATE_DONE);
  assert_int_equal(effects(w, "crash"), 3);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    T(a_job_that_waits_is_cancelled_at_once),
    T(a_full_engine_hears_of_it),
    T(one_that_holds_still_hears_of_it),
    T(one_that_stops_hears_of_it),
    T(a_job_can_cancel_another_of_its_engine),
    T(what_waits_inside_the_engine_never_starts),
    T(what_was_only_offered_never_starts),
    T(a_stop_can_not_be_swallowed_for_ever),
    T(a_job_that_keeps_the_cpu_is_killed_and_its_neighbour_runs_again),
    T(one_that_fails_before_it_hears_of_it_is_cancelled_all_the_same),
    T(one_that_returns_before_it_hears_of_it_is_done),
    T(many_are_cancelled_together),
    T(one_in_a_worker_that_drains_after_a_reload_hears_of_it),
    T(one_past_its_hard_timeout_too_is_cancelled),
    T(one_whose_handlers_run_is_cancelled_after_them),
    T(a_suspect_that_waits_for_its_turn_never_starts),
  };
  return cmocka_run_group_tests_name("engine_cancel", tests, NULL, NULL);
}
