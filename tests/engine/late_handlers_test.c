/* late_handlers_test.c - handlers of attempts that ended without them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "world.h"

static void a_hard_timeout_runs_the_handlers_in_the_next_worker(void **state) {
  struct world *w = *state;
  script(w, "skein.task('loop', { timeout = 0.05, retries = 1, backoff = { 0.01 }, on_error = function(job, err) "
            "fx('error', job.id, err.kind, job.attempt, pid) end, on_death = function(job, err) fx('death', job.id, "
            "err.kind, job.attempt) end }, "
            "function(job) fx('start') while true do end end)");
  world_start(w);
  struct told t = enqueue(w, "loop", "[]");
  until(w, see(w, t).state == SK_STATE_DEAD);
  char line[128], expected[128];
  last_effect(w, "death", line, sizeof line);
  snprintf(expected, sizeof expected, "death %s timeout 2", t.id);
  assert_string_equal(line, expected);
  snprintf(expected, sizeof expected, "error %s timeout 1", t.id);
  assert_int_equal(effects(w, expected), 1);
  assert_int_equal(effects(w, "death"), 1);
  assert_int_equal(see(w, t).attempts, 2); /* the handlers cost none */
}

static void a_death_by_crashes_runs_the_death_handler(void **state) {
  struct world *w = *state;
  script(w, "skein.on('death', function(job, err) fx('death', err.kind, err.message) end) "
            "skein.on('error', function(job, err) fx('error') end) "
            "skein.task('crash', function(job) fx('start') ffi.C._exit(7) end)");
  world_start(w);
  struct told t = enqueue(w, "crash", "[]");
  until(w, see(w, t).state == SK_STATE_DEAD);
  assert_int_equal(effects(w, "start"), 3);
  assert_int_equal(effects(w, "death crash"), 1);
  assert_int_equal(effects(w, "error"), 0); /* a crash that is not the last is no failure */
}

static void an_expired_job_runs_the_death_handlers_and_an_unknown_one_those_for_all(void **state) {
  struct world *w = *state;
  w->options.policy.unknown_max = 1;
  script(w, "skein.on('death', function(job, err) fx('all', job.task, err.kind) end) "
            "skein.task('t', { on_death = function(job, err) fx('own', err.kind) end }, function(job) fx('ran') end)");
  world_start(w);
  until(w, is_ready(w, 1));
  sk_engine_hold(w->engine, true);
  struct told expired = enqueue_with(w, "t", "[]", &(struct extra){ .expires_in_ms = 1 }),
              unknown = enqueue(w, "none", "[]");
  int64_t after = sk_clock_wall_ms() + 5;
  until(w, sk_clock_wall_ms() > after);
  sk_engine_hold(w->engine, false);
  until(w, see(w, expired).state == SK_STATE_DEAD && see(w, unknown).state == SK_STATE_DEAD);
  assert_int_equal(effects(w, "own expired"), 1);
  assert_int_equal(effects(w, "all t expired"), 1);
  assert_int_equal(effects(w, "all none unknown_task"), 1);
  assert_int_equal(effects(w, "ran"), 0);
}

static void without_handlers_nothing_waits_for_a_worker(void **state) {
  struct world *w = *state;
  script(w, "skein.task('t', { on_error = function() end }, function(job) end)");
  world_start(w);
  until(w, is_ready(w, 1));
  worker_of(w, 1)->free_n = 0;
  sk_engine_hold(w->engine, true);
  struct told t = enqueue_with(w, "t", "[]", &(struct extra){ .expires_in_ms = 1 });
  int64_t after = sk_clock_wall_ms() + 5;
  until(w, sk_clock_wall_ms() > after);
  sk_engine_hold(w->engine, false);
  until(w, see(w, t).state == SK_STATE_DEAD);
  worker_of(w, 1)->free_n = worker_of(w, 1)->slots_n;
}

static void a_worker_that_dies_of_the_handlers_changes_nothing(void **state) {
  struct world *w = *state;
  script(w, "skein.task('crash', { on_death = function(job) fx('death') ffi.C._exit(8) end }, function(job) "
            "ffi.C._exit(7) end)");
  world_start(w);
  struct told t = enqueue(w, "crash", "[]");
  until(w, see(w, t).state == SK_STATE_DEAD);
  struct seen s = see(w, t);
  assert_int_equal(s.crashes, 3);
  assert_non_null(strstr(s.error, "exited with status 7"));
  assert_int_equal(effects(w, "death"), 1);
  assert_int_equal(logged(w, "the worker that ran its handlers exited with status 8; it is dead all the same"), 1);
}

static void a_handler_that_fails_changes_nothing(void **state) {
  struct world *w = *state;
  script(w, "skein.task('crash', { on_death = function(job) fx('death') error('no') end }, function(job) "
            "ffi.C._exit(7) end)");
  world_start(w);
  struct told t = enqueue(w, "crash", "[]");
  until(w, see(w, t).state == SK_STATE_DEAD);
  assert_int_equal(effects(w, "death"), 1);
}

static void handlers_run_while_the_engine_stops(void **state) {
  struct world *w = *state;
  script(w, "skein.task('loop', { timeout = 0.05, retries = 0, on_death = function(job, err) skein.sleep(0.05) "
            "fx('death') end }, "
            "function(job) fx('start') while true do end end)");
  w->options.shutdown_timeout_ms = 60000;
  world_start(w);
  struct told t = enqueue(w, "loop", "[]");
  until(w, effects(w, "start") == 1);
  sk_engine_stop(w->engine, false);
  world_ended(w);
  assert_int_equal(see(w, t).state, SK_STATE_DEAD);
  assert_int_equal(effects(w, "death"), 1);
}

/* The scripts cannot be loaded any more when the last worker has gone, so no worker can run the handlers. */
static void handlers_that_nobody_can_load_do_not_hold_up_the_end(void **state) {
  struct world *w = *state;
  script(w, "if there('broken') then error('broken') end "
            "skein.task('loop', { timeout = 0.05, retries = 0, on_death = function(job, err) fx('death') end }, "
            "function(job) fx('start') while true do end end)");
  w->options.shutdown_timeout_ms = 60000;
  world_start(w);
  struct told t = enqueue(w, "loop", "[]");
  until(w, effects(w, "start") == 1);
  write_file(w, "broken", "");
  sk_engine_stop(w->engine, false);
  world_ended(w);
  assert_int_equal(see(w, t).state, SK_STATE_DEAD);
  assert_int_equal(effects(w, "death"), 0);
  assert_int_equal(logged(w, "worker started"), 2);
}

/* The stop comes during a reload: only one worker is started for the late handlers, not a whole round. */
static void one_worker_is_enough_for_handlers_at_the_end(void **state) {
  struct world *w = *state;
  script(w, "skein.task('loop', { timeout = 0.05, retries = 0, on_death = function(job, err) fx('death') "
            "skein.sleep(0.05) fx('over') end }, "
            "function(job) fx('start') while true do end end)");
  w->options.shutdown_timeout_ms = 60000;
  w->options.workers = 2;
  world_start(w);
  until(w, is_ready(w, 1) && is_ready(w, 2));
  struct told t = enqueue(w, "loop", "[]");
  until(w, effects(w, "start") == 1);
  sk_engine_reload(w->engine);
  sk_engine_stop(w->engine, false);
  world_ended(w);
  assert_int_equal(see(w, t).state, SK_STATE_DEAD);
  assert_int_equal(effects(w, "over"), 1);
  assert_int_equal(logged(w, "worker started"), 5); /* two, two of the reload, and one for the handlers */
}

static void a_stop_at_once_leaves_them_out_and_says_so(void **state) {
  struct world *w = *state;
  script(w, "skein.task('crash', { on_death = function(job, err) fx('death') while true do skein.sleep(60) end end }, "
            "function(job) ffi.C._exit(7) end)");
  world_start(w);
  struct told t = enqueue(w, "crash", "[]");
  until(w, effects(w, "death") == 1);
  sk_engine_stop(w->engine, true);
  world_ended(w);
  assert_int_equal(see(w, t).state, SK_STATE_DEAD);
  assert_int_equal(logged(w, "it is dead all the same"), 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    T(a_hard_timeout_runs_the_handlers_in_the_next_worker),
    T(a_death_by_crashes_runs_the_death_handler),
    T(an_expired_job_runs_the_death_handlers_and_an_unknown_one_those_for_all),
    T(without_handlers_nothing_waits_for_a_worker),
    T(a_worker_that_dies_of_the_handlers_changes_nothing),
    T(a_handler_that_fails_changes_nothing),
    T(handlers_run_while_the_engine_stops),
    T(handlers_that_nobody_can_load_do_not_hold_up_the_end),
    T(one_worker_is_enough_for_handlers_at_the_end),
    T(a_stop_at_once_leaves_them_out_and_says_so),
  };
  return cmocka_run_group_tests_name("engine_late_handlers", tests, NULL, NULL);
}
