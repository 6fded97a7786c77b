/* dispatch_test.c - which jobs an engine holds, and which worker gets them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "world.h"

static void a_job_runs_and_the_engine_stops(void **state) {
  struct world *w = *state;
  script(w, "skein.task('add', function(job, a, b) fx('add', a + b) return a + b end)");
  world_start(w);
  struct told t = enqueue(w, "add", "[1,2]");
  until(w, see(w, t).state == SK_STATE_DONE);
  assert_int_equal(effects(w, "add 3"), 1);
  sk_engine_stop(w->engine, false);
  world_ended(w);
}

static void with_one_slot_and_long_jobs_only_one_is_held(void **state) {
  struct world *w = *state;
  w->options.concurrency = 1;
  script(w, "skein.task('nap', function(job) skein.sleep(0.02) fx('nap') end)");
  world_start(w);
  for (int i = 0; i < 10; i++) enqueue(w, "nap", "[]");
  size_t most = 0;
  until(w, (most = sk_engine_runs_n(w->engine) > most ? sk_engine_runs_n(w->engine) : most, effects(w, "nap") == 10));
  assert_int_equal(most, 1);
}

/* Short jobs make the engine fetch ahead; when long ones follow, what is held too much goes back, and an urgent one is
 * next. */
static void jobs_that_turn_out_long_are_handed_back(void **state) {
  struct world *w = *state;
  w->options.concurrency = 1;
  script(w, "skein.task('short', function(job) end) "
            "skein.task('long', function(job) fx('long') await('go') end) "
            "skein.task('urgent', function(job) local n = 0 for _ in io.lines(DIR .. '/fx') do n = n + 1 end "
            "fx('urgent after', n) end)");
  for (int i = 0; i < 4000; i++) enqueue(w, "short", "[]");
  for (int i = 0; i < 300; i++) enqueue(w, "long", "[]");
  world_start(w);
  until(w, effects(w, "long") == 1 && sk_engine_runs_n(w->engine) == 1);
  until(w, jobs_in(w, SK_STATE_READY) == 299);
  assert_int_equal(jobs_in(w, SK_STATE_RUNNING), 1);
  enqueue_with(w, "urgent", "[]", &(struct extra){ .priority = 2 });
  write_file(w, "go", "");
  until(w, effects(w, "urgent") == 1);
  assert_int_equal(effects(w, "urgent after 1") + effects(w, "urgent after 2"), 1);
  until(w, effects(w, "long") == 300);
}

static void a_job_that_keeps_the_cpu_lets_go_of_its_neighbours(void **state) {
  struct world *w = *state;
  script(w, "skein.task('hog', function(job) fx('hog') while not there('go') do end end) "
            "skein.task('other', function(job) fx('other') end)");
  world_start(w);
  enqueue_with(w, "hog", "[]", &(struct extra){ .priority = 1 });
  for (int i = 0; i < 5; i++) enqueue(w, "other", "[]");
  until(w, effects(w, "hog") == 1);
  until(w, sk_engine_runs_n(w->engine) == 1);
  until(w, jobs_in(w, SK_STATE_READY) == 5);
  turn_for(w, 150); /* several looks of the janitor: they are not fetched again while it is stuck */
  assert_int_equal(sk_engine_runs_n(w->engine), 1);
  write_file(w, "go", "");
  until(w, effects(w, "other") == 5);
}

/* Two workers; the one's jobs take long, the other's are done at once.  Jobs are dealt out in turns. */
static void a_busy_worker_gives_to_an_idle_one(void **state) {
  struct world *w = *state;
  w->options.workers = 2;
  w->options.concurrency = 4;
  script(w, "skein.task('t', function(job, ms) burn(ms) fx('t', ms, pid) end)");
  world_start(w);
  until(w, is_ready(w, 1) && is_ready(w, 2));
  sk_engine_hold(w->engine, true);
  for (int i = 0; i < 8; i++) enqueue(w, "t", i % 2 == 0 ? "[90]" : "[0]");
  sk_engine_hold(w->engine, false);
  until(w, effects(w, "t ") == 8);
  char one[64], other[64];
  snprintf(one, sizeof one, "t 90 %d", worker_of(w, 1)->pid);
  snprintf(other, sizeof other, "t 90 %d", worker_of(w, 2)->pid);
  assert_int_equal(effects(w, one) + effects(w, other), 4);
  assert_true(effects(w, one) > 0 && effects(w, other) > 0);
}

/* The worker that is busy is the first of the list, and it is offered a suspect that it can't start; the other worker
 * is idle.  The two must not pass the suspect to each other for ever. */
static void an_idle_worker_takes_the_suspect_of_a_busy_one(void **state) {
  struct world *w = *state;
  w->options.workers = 2;
  w->options.concurrency = 4;
  script(w, "skein.task('hog', function(job) fx('hog') while not there('go') do end end) "
            "skein.task('last', function(job) fx('last', pid) end)");
  world_start(w);
  until(w, is_ready(w, 1) && is_ready(w, 2));
  enqueue(w, "hog", "[]");
  until(w, effects(w, "hog") == 1);
  for (int i = 1; i <= 20; i++) {
    enqueue_with(w, "last", "[]", &(struct extra){ .crashes = 2 });
    until(w, effects(w, "last") == i);
  }
  write_file(w, "go", "");
}

/* Each job keeps the CPU long enough to count as stuck; the next starts when it ends, not when the janitor looks next.
 */
static void a_worker_that_was_stuck_is_used_at_once(void **state) {
  struct world *w = *state;
  w->options.concurrency = 1;
  script(w, "local last skein.task('burn', function(job) "
            "if last and uv.hrtime() - last < 25e6 then fx('soon') end fx('ran') burn(130) last = uv.hrtime() end)");
  world_start(w);
  for (int i = 0; i < 8; i++) enqueue(w, "burn", "[]");
  until(w, effects(w, "ran") == 8);
  assert_true(effects(w, "soon") >= 5);
}

/* Ten jobs start one after the other without a pause: the first is settled long before the last has run. */
static void the_end_of_a_job_does_not_wait_for_its_neighbours(void **state) {
  struct world *w = *state;
  script(w, "skein.task('burn', { keep = 60 }, function(job) burn(40) fx('ran') end)");
  world_start(w);
  until(w, is_ready(w, 1));
  sk_engine_hold(w->engine, true);
  for (int i = 0; i < 10; i++) enqueue(w, "burn", "[]");
  sk_engine_hold(w->engine, false);
  until(w, jobs_in(w, SK_STATE_DONE) > 0);
  assert_true(effects(w, "ran") < 6);
}

static void a_job_that_expires_while_it_waits_for_a_worker_does_not_start(void **state) {
  struct world *w = *state;
  script(w, "skein.task('t', function(job) fx('ran') end)");
  world_start(w);
  until(w, is_ready(w, 1));
  w->engine->stopping = true; /* nothing is dispatched: the job waits inside the engine */
  struct told t = enqueue_with(w, "t", "[]", &(struct extra){ .expires_in_ms = 50 });
  w->engine->stopping = false;
  struct sk_worker *worker = worker_of(w, 1);
  worker->state = SK_WORKER_STARTING;
  w->engine->per_ms = 1; /* the engine fetches ahead, and no worker has a free slot */
  worker->state = SK_WORKER_READY;
  worker->free_n = 0;
  sk_wake_fetch(w->engine);
  until(w, w->engine->local_n == 1);
  int64_t due = sk_clock_wall_ms() + 60;
  until(w, sk_clock_wall_ms() > due);
  worker->free_n = worker->slots_n;
  sk_engine_wake(w->engine);
  until(w, see(w, t).state == SK_STATE_DEAD);
  assert_int_equal(see(w, t).kind, SK_KIND_EXPIRED);
  assert_int_equal(effects(w, "ran"), 0);
}

static void more_queues_are_served_than_a_fetch_or_an_option_names(void **state) {
  struct world *w = *state;
  script(w, "skein.task('t', function(job, n) fx('t', n) end)");
  char queue[16], args[16];
  enum { QUEUES = SK_QUEUES_MAX + 500 };
  for (int i = 0; i < QUEUES; i++) {
    snprintf(queue, sizeof queue, "q%04d", i);
    snprintf(args, sizeof args, "[%d]", i);
    enqueue_with(w, "t", args, &(struct extra){ .queue = queue });
  }
  world_start(w);
  until(w, effects(w, "t ") == QUEUES);
  enqueue_with(w, "t", "[0]", &(struct extra){ .queue = "one-more" });
  until(w, effects(w, "t ") == QUEUES + 1);
}

static void a_new_queue_is_learnt_without_counting_for_each_job(void **state) {
  struct world *w = *state;
  script(w, "skein.task('t', function(job) fx('t') end) "
            "skein.task('many', function(job) for _ = 1, 200 do skein.enqueue({ task = 't', queue = 'fresh' }) end "
            "fx('many') end)");
  world_start(w);
  enqueue(w, "many", "[]");
  until(w, effects(w, "many") == 1 && effects(w, "t") == 200 + 0);
  assert_true(w->gate.calls[OP_COUNT] < 20);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    T(a_job_runs_and_the_engine_stops),
    T(with_one_slot_and_long_jobs_only_one_is_held),
    T(jobs_that_turn_out_long_are_handed_back),
    T(a_job_that_keeps_the_cpu_lets_go_of_its_neighbours),
    T(a_busy_worker_gives_to_an_idle_one),
    T(an_idle_worker_takes_the_suspect_of_a_busy_one),
    T(a_worker_that_was_stuck_is_used_at_once),
    T(the_end_of_a_job_does_not_wait_for_its_neighbours),
    T(a_job_that_expires_while_it_waits_for_a_worker_does_not_start),
    T(more_queues_are_served_than_a_fetch_or_an_option_names),
    T(a_new_queue_is_learnt_without_counting_for_each_job),
  };
  return cmocka_run_group_tests_name("engine_dispatch", tests, NULL, NULL);
}
