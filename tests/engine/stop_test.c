/* stop_test.c - the ends of an engine: stop, stop now, drain, hold; at every moment, in time, and with nothing left
 * behind. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "world.h"

static const char HOLD[] = "skein.task('hold', function(job, n) fx('start', n) await('go') fx('end', n) end) "
                           "skein.task('quick', { keep = 60 }, function(job) fx('quick') end)";

/* Waits for the end and returns how long it took. */
static int64_t time_to_end(struct world *w) {
  int64_t from = sk_clock_mono_ms();
  world_ended(w);
  return sk_clock_mono_ms() - from;
}

static void stopped_before_any_worker_is_ready(void **state) {
  struct world *w = *state;
  w->options.workers = 4;
  script(w, "while true do end");
  world_start(w);
  sk_engine_stop(w->engine, false);
  assert_true(time_to_end(w) < 2000);
  world_start(w);
  turn_for(w, 50);
  sk_engine_stop(w->engine, false);
  assert_true(time_to_end(w) < 2000);
}

static void jobs_that_arrive_while_it_stops_go_back(void **state) {
  struct world *w = *state;
  script(w, HOLD);
  world_start(w);
  until(w, is_ready(w, 1) && !w->engine->fetching);
  w->gate.keep[OP_FETCH] = true;
  for (int i = 0; i < 5; i++) enqueue(w, "hold", "[1]");
  until(w, !sk_list_empty(&w->gate.kept));
  gate_open(w);
  sk_engine_stop(w->engine, false); /* the answer is on its way */
  assert_true(time_to_end(w) < 2000);
  assert_int_equal(effects(w, "start"), 0);
  assert_int_equal(jobs_in(w, SK_STATE_READY), 5);
}

static void running_jobs_finish_and_waiting_ones_go_back(void **state) {
  struct world *w = *state;
  w->options.concurrency = 2;
  script(w, HOLD);
  world_start(w);
  until(w, is_ready(w, 1));
  w->engine->per_ms = 1; /* more are taken than can run */
  sk_engine_hold(w->engine, true);
  for (int i = 0; i < 6; i++) enqueue(w, "hold", "[1]");
  sk_engine_hold(w->engine, false);
  until(w, effects(w, "start") == 2);
  sk_engine_stop(w->engine, false);
  until(w, jobs_in(w, SK_STATE_READY) == 4);
  write_file(w, "go", "");
  assert_true(time_to_end(w) < 2000);
  assert_int_equal(effects(w, "end"), 2);
  assert_int_equal(jobs_in(w, SK_STATE_READY), 4);
}

static void the_second_stop_does_not_wait(void **state) {
  struct world *w = *state;
  script(w, HOLD);
  world_start(w);
  struct told t = enqueue(w, "hold", "[1]");
  until(w, effects(w, "start") == 1);
  sk_engine_stop(w->engine, false);
  turn_for(w, 50);
  assert_false(w->stopped);
  sk_engine_stop(w->engine, false);
  assert_true(time_to_end(w) < 2000);
  assert_int_equal(see(w, t).state, SK_STATE_READY);
  assert_int_equal(see(w, t).crashes + see(w, t).attempts, 0);
}

static void shutdown_timeout_is_kept(void **state) {
  struct world *w = *state;
  w->options.shutdown_timeout_ms = 200;
  script(w, "skein.task('spin', function(job) fx('start') while true do end end)");
  world_start(w);
  struct told t = enqueue(w, "spin", "[]");
  until(w, effects(w, "start") == 1);
  sk_engine_stop(w->engine, false);
  int64_t ms = time_to_end(w);
  assert_in_range(ms, 150, 2000);
  assert_int_equal(see(w, t).state, SK_STATE_READY);
  assert_int_equal(see(w, t).crashes, 0);
}

static void a_worker_that_dies_of_a_job_while_it_drains_is_told_and_counted(void **state) {
  struct world *w = *state;
  script(w, "skein.task('t', function(job) fx('start') await('go') os.exit(0) end)");
  world_start(w);
  struct told t = enqueue(w, "t", "[]");
  until(w, effects(w, "start") == 1);
  sk_engine_stop(w->engine, false);
  write_file(w, "go", "");
  time_to_end(w);
  assert_int_equal(see(w, t).crashes, 1);
  assert_int_equal(logged(w, "worker died"), 1);
}

/* A request of a job whose worker is gone: the engine ends when it is answered. */
static void a_request_under_way_does_not_hold_up_the_end(void **state) {
  struct world *w = *state;
  script(w,
         "skein.task('t', function(job) fx('asks') skein.enqueue('quick') end) skein.task('quick', function(job) end)");
  world_start(w);
  until(w, is_ready(w, 1));
  w->gate.keep[OP_ENQUEUE] = true;
  enqueue(w, "t", "[]");
  until(w, !sk_list_empty(&w->gate.kept));
  sk_engine_stop(w->engine, true);
  until(w, sk_list_empty(&w->engine->workers) && sk_settle_idle(w->engine));
  turn_for(w, 20);
  assert_false(w->stopped);
  gate_open(w);
  assert_true(time_to_end(w) < 1000);
}

static void who_waits_for_a_job_does_not_hold_up_the_end(void **state) {
  struct world *w = *state;
  script(w, "skein.task('t', function(job) fx('waits') skein.enqueue_in(3600, 'quick'):wait() end) skein.task('quick', "
            "function(job) end)");
  world_start(w);
  enqueue(w, "t", "[]");
  until(w, effects(w, "waits") == 1);
  w->gate.keep[OP_GET] = true;
  turn_for(w, 20);
  sk_engine_stop(w->engine, true);
  turn_for(w, 20);
  gate_open(w);
  assert_true(time_to_end(w) < 1000);
}

static void without_its_store_it_ends_in_time_and_says_what_is_lost(void **state) {
  struct world *w = *state;
  w->options.shutdown_timeout_ms = 300;
  script(w, "skein.task('t', function(job) fx('start') await('go') fx('end') end)");
  world_start(w);
  enqueue(w, "t", "[]");
  until(w, effects(w, "start") == 1);
  gate_fail_all(w, true);
  write_file(w, "go", "");
  until(w, effects(w, "end") == 1);
  sk_engine_stop(w->engine, false);
  assert_in_range(time_to_end(w), 200, 3000);
  assert_int_equal(logged(w, "the store did not take 1 outcomes: those jobs run again"), 1);
  assert_int_equal(jobs_in(w, SK_STATE_READY), 1);
}

static void held_it_fetches_nothing_and_goes_on_after(void **state) {
  struct world *w = *state;
  script(w, HOLD);
  world_start(w);
  until(w, is_ready(w, 1));
  sk_engine_hold(w->engine, true);
  struct told t = enqueue(w, "quick", "[]");
  turn_for(w, 100);
  assert_int_equal(see(w, t).state, SK_STATE_READY);
  sk_engine_hold(w->engine, false);
  until(w, see(w, t).state == SK_STATE_DONE);
}

/* -- drain --------------------------------------------------------------------------------------------------------- */

static void a_drain_of_nothing_ends_at_once(void **state) {
  struct world *w = *state;
  w->options.drain = true;
  script(w, HOLD);
  world_start(w);
  assert_true(time_to_end(w) < 2000);
}

static void a_drain_ends_after_the_last_job_that_jobs_enqueued(void **state) {
  struct world *w = *state;
  w->options.drain = true;
  script(w, "skein.task('t', { retries = 1, backoff = { 0.1 } }, function(job, n) fx('t', n) if n > 0 then "
            "skein.enqueue_in(0.05, 't', n - 1) end "
            "if n == 3 and job.attempt == 1 then error('once') end end)");
  enqueue(w, "t", "[5]");
  world_start(w);
  assert_true(time_to_end(w) < 3000);
  assert_int_equal(effects(w, "t 0"), 2); /* 3 ran twice, so 2, 1 and 0 did */
  assert_int_equal(jobs_in(w, SK_STATE_READY) + jobs_in(w, SK_STATE_SCHEDULED) + jobs_in(w, SK_STATE_RETRY), 0);
}

/* A count of many queues goes in steps; others may move a job meanwhile. */
static void a_drain_counts_again_when_the_store_changed_while_it_counted(void **state) {
  struct world *w = *state;
  w->options.drain = true;
  script(w, HOLD);
  world_start(w);
  w->gate.moving_n = LONG_MAX;
  until(w, w->engine->drain_doubted || w->stopped);
  assert_true(w->engine->drain_doubted && !w->engine->drained);
  w->gate.moving_n = 0;
  assert_true(time_to_end(w) < 2000);
}

static void a_drain_ends_though_others_keep_the_store_changing(void **state) {
  struct world *w = *state;
  w->options.drain = true;
  script(w, HOLD);
  world_start(w);
  w->gate.moving_n = LONG_MAX;
  assert_true(time_to_end(w) < 2000);
}

/* A drain does not wait for the jobs of a paused queue, even if they are due tomorrow. */
static void a_drain_does_not_wait_for_a_paused_queue(void **state) {
  struct world *w = *state;
  w->options.drain = true;
  script(w, HOLD);
  enqueue_with(w, "quick", "[]", &(struct extra){ .queue = "later", .delay_ms = 86400000 });
  enqueue(w, "quick", "[]");
  struct sk_pause_op pause = { .queue = SK_STR_LIT("later"), .paused = true };
  look(w, pause, &pause);
  sk_op_fini(&pause.op);
  world_start(w);
  assert_true(time_to_end(w) < 2000);
  assert_int_equal(effects(w, "quick"), 1);
}

/* A job of a group of one in a queue that the test's engine is to drain, behind one that keeps the group's slot in a
 * paused queue. */
static void enqueue_behind_a_paused_one(struct world *w) {
  const char *const queues[] = { "elsewhere", "default" };
  struct sk_store_options o = w->options.store;
  struct sk_store *other;
  struct sk_err err;
  o.engine = SK_STR_LIT("other");
  assert_int_equal(sk_store_open(w->loop, &o, NULL, &other, &err), SK_OK);
  for (int i = 0; i < 2; i++) {
    struct sk_job job;
    struct sk_buf record = { 0 };
    sk_job_init(&job);
    job.id = sk_str_c(queues[i]);
    job.task = SK_STR_LIT("quick");
    job.queue = sk_str_c(queues[i]);
    job.args = SK_STR_LIT("[]");
    job.limit = SK_STR_LIT("1;0;0;0;strict;=g");
    sk_record_encode(&job, &record);
    struct sk_enqueue_item item;
    assert_int_equal(sk_enqueue_item_init(&item, &job, sk_buf_str(&record), &err), SK_OK);
    struct sk_enqueue_op op = { .items = &item, .items_n = 1 };
    look(w, enqueue, &op);
    sk_op_fini(&op.op);
    sk_buf_fini(&record);
    if (i > 0) continue;
    bool done = false;
    struct sk_fetch_op fetch = { .op = { .cb = op_done, .ctx = &done },
                                 .queues = &(struct sk_fetch_queue){ job.queue, 1 },
                                 .queues_n = 1,
                                 .want = 1 };
    other->ops->fetch(other, &fetch);
    until(w, done);
    assert_int_equal(fetch.jobs_n, 1);
    sk_op_fini(&fetch.op);
  }
  struct sk_pause_op pause = { .queue = SK_STR_LIT("elsewhere"), .paused = true };
  look(w, pause, &pause);
  sk_op_fini(&pause.op);
  bool closed = false;
  other->ops->close(other, set_flag, &closed); /* hands the job back, which keeps its slot */
  until(w, closed);
}

static void a_drain_does_not_wait_for_what_a_paused_queue_holds_back(void **state) {
  struct world *w = *state;
  w->options.drain = true;
  script(w, HOLD);
  enqueue_behind_a_paused_one(w);
  world_start(w);
  assert_true(time_to_end(w) < 2000);
  assert_int_equal(effects(w, "quick"), 0);
  assert_int_equal(see(w, (struct told){ "default" }).state, SK_STATE_READY);
}

static void a_drain_waits_for_tokens(void **state) {
  struct world *w = *state;
  w->options.drain = true;
  script(w, "skein.task('one', { limit = { rate = 1, per = 0.2 } }, function(job) fx('one') end) "
            "skein.task('go', function(job) for i = 1, 4 do skein.enqueue('one') end end)");
  enqueue(w, "go", "[]");
  world_start(w);
  assert_true(time_to_end(w) >= 600);
  assert_int_equal(effects(w, "one"), 4);
}

static void a_drain_waits_for_the_running_jobs_of_other_engines(void **state) {
  struct world *w = *state;
  script(w, HOLD);
  world_start(w);
  enqueue(w, "hold", "[1]");
  until(w, effects(w, "start") == 1);
  struct sk_engine *first = w->engine;
  struct sk_engine_options options = w->options;
  bool ended = false;
  options.drain = true;
  options.ctx = &ended;
  struct sk_engine *second;
  struct sk_err err;
  assert_int_equal(sk_engine_new(w->loop, &options, &second, &err), SK_OK);
  until(w, second->ever_ready);
  turn_for(w, 100);
  assert_false(ended);
  write_file(w, "go", "");
  int64_t from = sk_clock_mono_ms();
  until(w, ended);
  assert_true(sk_clock_mono_ms() - from < 2000);
  sk_engine_free(second);
  assert_ptr_equal(w->engine, first);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    T(stopped_before_any_worker_is_ready),
    T(jobs_that_arrive_while_it_stops_go_back),
    T(running_jobs_finish_and_waiting_ones_go_back),
    T(the_second_stop_does_not_wait),
    T(shutdown_timeout_is_kept),
    T(a_worker_that_dies_of_a_job_while_it_drains_is_told_and_counted),
    T(a_request_under_way_does_not_hold_up_the_end),
    T(who_waits_for_a_job_does_not_hold_up_the_end),
    T(without_its_store_it_ends_in_time_and_says_what_is_lost),
    T(held_it_fetches_nothing_and_goes_on_after),
    T(a_drain_of_nothing_ends_at_once),
    T(a_drain_ends_after_the_last_job_that_jobs_enqueued),
    T(a_drain_counts_again_when_the_store_changed_while_it_counted),
    T(a_drain_ends_though_others_keep_the_store_changing),
    T(a_drain_does_not_wait_for_a_paused_queue),
    T(a_drain_does_not_wait_for_what_a_paused_queue_holds_back),
    T(a_drain_waits_for_tokens),
    T(a_drain_waits_for_the_running_jobs_of_other_engines),
  };
  return cmocka_run_group_tests_name("engine_stop", tests, NULL, NULL);
}
