/* reload_test.c - new scripts under a running engine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "world.h"

static void new_scripts_are_used_while_old_jobs_finish(void **state) {
  struct world *w = *state;
  w->options.concurrency = 1;
  script(w, "skein.task('t', { keep = 60 }, function(job) fx('old') await('go') fx('old ends') end)");
  world_start(w);
  struct told old = enqueue(w, "t", "[]");
  until(w, effects(w, "old") == 1);
  script(w, "skein.task('t', { keep = 60 }, function(job) fx('new') end)");
  sk_engine_reload(w->engine);
  struct told new = enqueue(w, "t", "[]");
  until(w, see(w, new).state == SK_STATE_DONE); /* the old job takes no slot of the new worker */
  assert_int_equal(effects(w, "new"), 1);
  assert_int_equal(workers_n(w), 2);
  write_file(w, "go", "");
  until(w, see(w, old).state == SK_STATE_DONE);
  until(w, workers_n(w) == 1);
  assert_int_equal(w->engine->totals.workers_died, 0);
}

static void scripts_that_cannot_be_loaded_keep_the_old_ones(void **state) {
  struct world *w = *state;
  w->options.workers = 3;
  static const char good[] = "skein.task('t', { keep = 60 }, function(job) fx('ran', pid) end)";
  script(w, good);
  world_start(w);
  until(w, is_ready(w, 1) && is_ready(w, 2) && is_ready(w, 3));
  int pid = worker_of(w, 1)->pid;
  script(w, "error('broken on purpose')");
  sk_engine_reload(w->engine);
  until(w, logged(w, "broken on purpose") > 0 && workers_n(w) == 3);
  turn_for(w, 300);
  assert_int_equal(logged(w, "broken on purpose"), 1); /* once, however many workers, and no try after it */
  assert_int_equal(worker_of(w, 1)->pid, pid);
  struct told t = enqueue(w, "t", "[]");
  until(w, see(w, t).state == SK_STATE_DONE);

  /* One of the old ones dies: it can only be replaced once the scripts are mended. */
  kill(pid, SIGKILL);
  until(w, logged(w, "trying again") >= 2);
  assert_int_equal(sk_worker_ready_n(w->engine), 2);
  script(w, good);
  until(w, is_ready(w, 1) && is_ready(w, 2) && is_ready(w, 3) &&
               workers_n(w) == 3); /* the others follow it to the new scripts */
  t = enqueue(w, "t", "[]");
  until(w, see(w, t).state == SK_STATE_DONE);
}

static void a_reload_that_kills_its_workers_keeps_the_old_ones(void **state) {
  struct world *w = *state;
  script(w, "skein.task('t', { keep = 60 }, function(job) end)");
  world_start(w);
  until(w, is_ready(w, 1));
  script(w, "os.exit(4)");
  sk_engine_reload(w->engine);
  until(w, logged(w, "the old ones stay in use: 3 workers in a row died") == 1);
  struct told t = enqueue(w, "t", "[]");
  until(w, see(w, t).state == SK_STATE_DONE);
}

static void a_task_that_is_gone_is_unknown_and_a_new_one_is_known(void **state) {
  struct world *w = *state;
  w->options.workers = 3;
  script(w, "skein.task('gone', function(job) end)");
  world_start(w);
  until(w, is_ready(w, 1));
  script(w, "skein.task('fresh', { keep = 60 }, function(job) end)");
  sk_engine_reload(w->engine);
  until(w, w->engine->ready_round == 1);
  struct told gone = enqueue(w, "gone", "[]"), fresh = enqueue(w, "fresh", "[]");
  until(w, see(w, fresh).state == SK_STATE_DONE);
  until(w, see(w, gone).state == SK_STATE_SCHEDULED);
  assert_int_equal(see(w, gone).unknowns, 1);
  assert_int_equal(see(w, gone).attempts, 0);
}

/* Jobs that wait inside the engine when their task goes. */
static void waiting_jobs_of_a_task_that_is_gone_are_unknown(void **state) {
  struct world *w = *state;
  w->options.concurrency = 1;
  script(w, "skein.task('gone', { retries = 0 }, function(job) fx('gone') await('go') end)");
  world_start(w);
  until(w, is_ready(w, 1));
  w->engine->per_ms = 1;
  sk_engine_hold(w->engine, true);
  struct told t[3];
  for (int i = 0; i < 3; i++) t[i] = enqueue(w, "gone", "[]");
  sk_engine_hold(w->engine, false);
  until(w, effects(w, "gone") == 1);
  script(w, "skein.task('fresh', function(job) end)");
  sk_engine_reload(w->engine);
  until(w, w->engine->ready_round == 1);
  until(w, see(w, t[1]).state == SK_STATE_SCHEDULED && see(w, t[2]).state == SK_STATE_SCHEDULED);
  assert_int_equal(effects(w, "gone"), 1);
  write_file(w, "go", "");
}

static void many_reloads_at_once_start_few_workers(void **state) {
  struct world *w = *state;
  w->options.workers = 2;
  script(w, "skein.task('t', { keep = 60 }, function(job) end)");
  world_start(w);
  until(w, is_ready(w, 1) && is_ready(w, 2));
  for (int i = 0; i < 10; i++) sk_engine_reload(w->engine);
  size_t alive = 0;
  SK_LIST_EACH (n, &w->engine->workers) alive += SK_WORKER_OF(n)->state != SK_WORKER_DRAINING;
  assert_int_equal(alive, 4); /* the ready ones, and those of the last reload */
  until(w, workers_n(w) == 2 && is_ready(w, 1) && is_ready(w, 2));
  assert_int_equal(w->engine->ready_round, 10);
  struct told t = enqueue(w, "t", "[]");
  until(w, see(w, t).state == SK_STATE_DONE);
}

static void a_reload_before_any_worker_was_ready_loads_the_new_scripts(void **state) {
  struct world *w = *state;
  script(w, "fx('loading') ffi.C.sleep(60)");
  world_start(w);
  until(w, effects(w, "loading") == 1);
  script(w, "skein.task('t', { keep = 60 }, function(job) end)");
  sk_engine_reload(w->engine);
  struct told t = enqueue(w, "t", "[]");
  until(w, see(w, t).state == SK_STATE_DONE);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    T(new_scripts_are_used_while_old_jobs_finish),
    T(scripts_that_cannot_be_loaded_keep_the_old_ones),
    T(a_reload_that_kills_its_workers_keeps_the_old_ones),
    T(a_task_that_is_gone_is_unknown_and_a_new_one_is_known),
    T(waiting_jobs_of_a_task_that_is_gone_are_unknown),
    T(many_reloads_at_once_start_few_workers),
    T(a_reload_before_any_worker_was_ready_loads_the_new_scripts),
  };
  return cmocka_run_group_tests_name("engine_reload", tests, NULL, NULL);
}
