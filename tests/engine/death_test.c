/* death_test.c - workers that die, and what becomes of their jobs and of the engine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "world.h"

static const char HOLD[] =
    "skein.task('hold', { keep = 60 }, function(job, n) fx('start', n, pid) await('go') fx('end', n) end)";

static void jobs_that_ran_when_their_worker_was_killed_run_again_and_count_a_crash(void **state) {
  struct world *w = *state;
  script(w, HOLD);
  world_start(w);
  struct told t[3];
  for (int i = 0; i < 3; i++) t[i] = enqueue(w, "hold", "[1]");
  until(w, effects(w, "start") == 3);
  int64_t killed = sk_clock_mono_ms();
  kill(worker_of(w, 1)->pid, SIGKILL);
  until(w, effects(w, "start") == 6);
  assert_true(sk_clock_mono_ms() - killed < 1000);
  write_file(w, "go", "");
  for (int i = 0; i < 3; i++) {
    until(w, see(w, t[i]).state == SK_STATE_DONE);
    assert_int_equal(see(w, t[i]).crashes, 1);
    assert_int_equal(see(w, t[i]).attempts, 1);
  }
}

static void jobs_that_were_only_offered_count_nothing(void **state) {
  struct world *w = *state;
  w->options.concurrency = 1;
  script(w, HOLD);
  world_start(w);
  until(w, is_ready(w, 1));
  w->engine->per_ms = 10; /* as if jobs were short: more are offered than can run */
  sk_engine_hold(w->engine, true);
  struct told first = enqueue(w, "hold", "[1]"), second = enqueue(w, "hold", "[2]");
  sk_engine_hold(w->engine, false);
  until(w, effects(w, "start 1") == 1 && worker_of(w, 1)->load == 2);
  kill(worker_of(w, 1)->pid, SIGKILL);
  write_file(w, "go", "");
  until(w, see(w, first).state == SK_STATE_DONE && see(w, second).state == SK_STATE_DONE);
  assert_int_equal(see(w, first).crashes, 1);
  assert_int_equal(see(w, second).crashes, 0);
}

static void the_job_on_the_cpu_is_the_culprit_and_its_neighbours_are_not(void **state) {
  struct world *w = *state;
  w->options.concurrency = 2;
  script(w, "skein.task('hold', { keep = 60 }, function(job, n) fx('start', n, pid) await('go') end) "
            "skein.task('poison', function(job) await('ready') os.exit(7) end)");
  world_start(w);
  struct told hold = enqueue(w, "hold", "[1]");
  until(w, effects(w, "start") == 1);
  struct told poison = enqueue(w, "poison", "[]");
  write_file(w, "ready", "");
  until(w, see(w, poison).state == SK_STATE_DEAD);
  struct seen s = see(w, poison);
  assert_int_equal(s.crashes, 3);
  assert_int_equal(s.kind, SK_KIND_CRASH);
  assert_non_null(strstr(s.error, "exited with status 7 while it ran (crash 3 of 3)"));
  write_file(w, "go", "");
  until(w, see(w, hold).state == SK_STATE_DONE);
  assert_int_equal(see(w, hold).crashes, 0);
}

/* One worker; the jobs that crashed twice already are suspects, and only the first of them runs at first. */
static void suspects_wait_for_each_other_but_not_for_long(void **state) {
  struct world *w = *state;
  script(w, HOLD);
  world_start(w);
  struct told t[3];
  for (int i = 0; i < 3; i++) t[i] = enqueue(w, "hold", "[1]");
  for (int deaths = 1; deaths <= 2; deaths++) {
    until(w, effects(w, "start") == 3 * deaths);
    kill(worker_of(w, 1)->pid, SIGKILL);
    until(w, w->engine->totals.workers_died == deaths);
  }
  until(w, effects(w, "start") == 7);
  int64_t from = sk_clock_mono_ms();
  struct told other = enqueue(w, "hold", "[2]"); /* not a suspect: it starts at once */
  until(w, effects(w, "start 2") == 1);
  assert_int_equal(effects(w, "start 1"), 7);
  until(w, effects(w, "start 1") == 9);
  assert_in_range(sk_clock_mono_ms() - from, 500, 5000);
  kill(worker_of(w, 1)->pid, SIGKILL);
  for (int i = 0; i < 3; i++) until(w, see(w, t[i]).state == SK_STATE_DEAD);
  write_file(w, "go", "");
  until(w, see(w, other).state == SK_STATE_DONE);
  assert_int_equal(see(w, other).crashes, 0); /* the suspects were to blame */
}

static void no_job_dies_for_its_neighbour(void **state) {
  struct world *w = *state;
  w->options.concurrency = 2;
  script(w, "skein.task('good', { keep = 60 }, function(job) skein.sleep(0.1) end) "
            "skein.task('sly', { keep = 60 }, function(job) uv.new_timer():start(10, 0, function() os.exit(9) end) "
            "skein.sleep(60) end)");
  world_start(w);
  struct told sly = enqueue(w, "sly", "[]"), good = enqueue(w, "good", "[]"); /* dies when no job is on the CPU */
  until(w, see(w, sly).state == SK_STATE_DEAD);
  until(w, see(w, good).state == SK_STATE_DONE);
}

/* The late job sleeps, with a timeout, while another one, without one, keeps the CPU for ever. */
static void a_hard_timeout_is_the_fault_of_the_neighbour_that_keeps_the_cpu(void **state) {
  struct world *w = *state;
  w->options.concurrency = 2;
  script(w, "skein.task('late', { timeout = 0.3, keep = 60 }, function(job) if there('go') then return 1 end "
            "fx('late') skein.sleep(10) end) "
            "skein.task('hog', { keep = 60 }, function(job) if there('go') then return 1 end fx('hog') while true do "
            "end end)");
  world_start(w);
  struct told late = enqueue(w, "late", "[]");
  until(w, effects(w, "late") == 1);
  struct told hog = enqueue(w, "hog", "[]");
  until(w, effects(w, "hog") == 1);
  write_file(w, "go", "");
  until(w, see(w, hog).state == SK_STATE_DONE && see(w, late).state == SK_STATE_DONE);
  assert_int_equal(see(w, hog).crashes, 1);
  assert_int_equal(see(w, late).crashes, 0);
  assert_int_equal(see(w, late).attempts, 1); /* only the one that succeeded */
  assert_int_equal(logged(w, "kept it from stopping"), 1);
}

/* A fork without exec: the child holds the worker's end of the pipe open. */
static void a_worker_is_reaped_although_its_child_holds_the_pipe(void **state) {
  struct world *w = *state;
  script(w, "skein.task('t', { keep = 60 }, function(job) if there('forked') then return 1 end "
            "local child = ffi.C.fork() if child == 0 then ffi.C.sleep(60) ffi.C._exit(0) end "
            "fx('child', child) local f = io.open(DIR .. '/forked', 'w') f:close() os.exit(3) end)");
  world_start(w);
  int64_t from = sk_clock_mono_ms();
  struct told t = enqueue(w, "t", "[]");
  until(w, see(w, t).state == SK_STATE_DONE);
  assert_true(sk_clock_mono_ms() - from < 5000);
  assert_int_equal(see(w, t).crashes, 1);
  char line[64];
  last_effect(w, "child", line, sizeof line);
  int child = atoi(line + sizeof "child");
  assert_true(child > 0 && kill(child, SIGKILL) == 0);
}

static void what_a_worker_said_before_it_died_counts(void **state) {
  struct world *w = *state;
  script(w, "skein.task('quick', { keep = 60 }, function(job) return 1 end) "
            "skein.task('last', function(job) skein.sleep(0.02) if not there('once') then io.open(DIR .. '/once', "
            "'w'):close() os.exit(1) end end)");
  world_start(w);
  struct told quick = enqueue(w, "quick", "[]");
  enqueue(w, "last", "[]");
  until(w, see(w, quick).state == SK_STATE_DONE);
  until(w, w->engine->totals.workers_died == 1);
  until(w, is_ready(w, 1));
  assert_int_equal(see(w, quick).state, SK_STATE_DONE);
  assert_int_equal(see(w, quick).crashes, 0);
}

static void nonsense_on_the_pipe_ends_the_worker_and_is_logged_once(void **state) {
  struct world *w = *state;
  script(w, "skein.task('t', function(job) local junk = ('z'):rep(200000) ffi.C.write(3, junk, #junk) while true do "
            "end end)");
  world_start(w);
  struct told t = enqueue(w, "t", "[]");
  until(w, see(w, t).state == SK_STATE_DEAD);
  assert_int_equal(see(w, t).crashes, 3);
  assert_non_null(strstr(see(w, t).error, "a frame without sense"));
  assert_int_equal(logged(w, "without sense: killing it"), 3);
}

static void a_frame_of_a_job_that_it_does_not_run_ends_the_worker(void **state) {
  struct world *w = *state;
  script(w, "skein.task('t', function(job) " /* DONE of slot 3 with an empty result */
            "local junk = '\\8\\0\\0\\0\\8\\3\\0\\0\\0\\0\\0\\0\\0' ffi.C.write(3, junk, #junk) await('never') end)");
  world_start(w);
  struct told t = enqueue(w, "t", "[]");
  until(w, see(w, t).crashes >= 1);
  assert_true(logged(w, "a frame of type 8 without sense") >= 1);
}

/* The shared page: overwritten, and taken away if that were possible. */
static void a_worker_that_scribbles_over_the_shared_page_hurts_only_itself(void **state) {
  struct world *w = *state;
  w->options.concurrency = 3;
  script(w,
         "skein.task('good', { keep = 60 }, function(job) return 1 end) "
         "skein.task('hold', { timeout = 100 }, function(job) fx('hold') await('go') end) "
         "skein.task('bad', function(job) fx('cut', ffi.C.ftruncate(4, 0)) "
         "local p = ffi.C.mmap(nil, 4096, 3, 1, 4, 0) ffi.fill(p, 4096, 0xff) fx('filled') burn(200) os.exit(1) end)");
  world_start(w);
  enqueue(w, "hold", "[]");
  until(w, effects(w, "hold") == 1);
  struct told bad = enqueue(w, "bad", "[]");
  until(w, effects(w, "filled") == 1);
  assert_int_equal(effects(w, "cut -1"), 1);
  sk_engine_trace(w->engine);
  write_file(w, "go", "");                      /* lets its neighbours end */
  until(w, see(w, bad).state == SK_STATE_DEAD); /* it is the culprit although it has overwritten the page */
  struct told good = enqueue(w, "good", "[]");
  until(w, see(w, good).state == SK_STATE_DONE);
}

static void a_worker_that_dies_idle_is_replaced_at_a_growing_pace(void **state) {
  struct world *w = *state;
  script(w, "skein.task('t', function(job) end) local t = uv.new_timer() t:start(1, 0, function() os.exit(1) end)");
  world_start(w);
  until(w, w->engine->totals.workers_died >= 1);
  turn_for(w, 600);
  assert_true(w->engine->totals.workers_died <= 4);
}

/* -- death while loading ------------------------------------------------------------------------------------------- */

static void assert_never_started(struct world *w, const char *why) {
  world_start(w);
  until(w, w->stopped);
  struct sk_err err = { 0 };
  assert_int_equal(sk_engine_outcome(w->engine, &err), SK_EINVAL);
  if (strstr(err.message, why) == NULL) fail_msg("\"%s\" does not hold \"%s\"", err.message, why);
  engine_free(w);
}

static void one_worker_that_refuses_ends_the_engine(void **state) {
  struct world *w = *state;
  script(w, "error('no good')");
  assert_never_started(w, "no good");
}

static void many_workers_that_refuse_end_the_engine_once(void **state) {
  struct world *w = *state;
  w->options.workers = 8;
  script(w, "error('no good')");
  assert_never_started(w, "no good");
  assert_int_equal(logged(w, "no good"), 0); /* the caller of the engine reports it */
}

static void scripts_that_end_the_process_end_the_engine(void **state) {
  struct world *w = *state;
  script(w, "fx('load') os.exit(5)");
  assert_never_started(w, "the last one exited with status 5");
  assert_int_equal(effects(w, "load"), 3); /* a single death may be an accident */
}

static void one_death_while_loading_is_an_accident(void **state) {
  struct world *w = *state;
  script(w, "skein.task('t', { keep = 60 }, function() return 1 end) "
            "if not there('once') then io.open(DIR .. '/once', 'w'):close() ffi.C.kill(pid, 9) end");
  world_start(w);
  struct told t = enqueue(w, "t", "[]");
  until(w, see(w, t).state == SK_STATE_DONE);
}

static void a_program_that_is_not_there_ends_the_engine(void **state) {
  struct world *w = *state;
  w->options.program = "/nonexistent/skein";
  script(w, HOLD);
  world_start(w);
  until(w, w->stopped);
  struct sk_err err = { 0 };
  assert_int_equal(sk_engine_outcome(w->engine, &err), SK_ESYS);
  assert_non_null(strstr(err.message, "/nonexistent/skein"));
  engine_free(w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    T(jobs_that_ran_when_their_worker_was_killed_run_again_and_count_a_crash),
    T(jobs_that_were_only_offered_count_nothing),
    T(the_job_on_the_cpu_is_the_culprit_and_its_neighbours_are_not),
    T(suspects_wait_for_each_other_but_not_for_long),
    T(no_job_dies_for_its_neighbour),
    T(a_hard_timeout_is_the_fault_of_the_neighbour_that_keeps_the_cpu),
    T(a_worker_is_reaped_although_its_child_holds_the_pipe),
    T(what_a_worker_said_before_it_died_counts),
    T(nonsense_on_the_pipe_ends_the_worker_and_is_logged_once),
    T(a_frame_of_a_job_that_it_does_not_run_ends_the_worker),
    T(a_worker_that_scribbles_over_the_shared_page_hurts_only_itself),
    T(a_worker_that_dies_idle_is_replaced_at_a_growing_pace),
    T(one_worker_that_refuses_ends_the_engine),
    T(many_workers_that_refuse_end_the_engine_once),
    T(scripts_that_end_the_process_end_the_engine),
    T(one_death_while_loading_is_an_accident),
    T(a_program_that_is_not_there_ends_the_engine),
  };
  return cmocka_run_group_tests_name("engine_death", tests, NULL, NULL);
}
