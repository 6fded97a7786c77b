/* engine_mourn_test.c - handlers of attempts that ended without them; callbacks; what is kept of a job's life. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine_world.h"
#include "logic/wire.h"

/* -- handlers in another worker ------------------------------------------------------------------------------------------------------ */

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

/* Scripts that load no more when the last worker has gone: there is nobody to run handlers. */
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

/* The scripts were being loaded anew when the stop came: the one worker for what is left takes no others along. */
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
  assert_int_equal(logged(w, "worker started"), 5); /* two, two that were loading, and the one */
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

/* -- callbacks ------------------------------------------------------------------------------------------------------------------------- */

static const char TELL[] = "skein.task('tell', function(job, ...) local t = { ... } for i = 1, #t do t[i] = t[i] == "
                           "skein.null and 'null' or t[i] end "
                           "fx('told', unpack(t)) end) ";

static void callbacks_get_the_result_or_the_error(void **state) {
  struct world *w = *state;
  char text[2048];
  snprintf(text, sizeof text, "%s%s", TELL,
           "skein.task('good', function(job, v) return v end) skein.task('bad', { retries = 1, backoff = { 0 } }, "
           "function(job) error('ouch', 0) end) "
           "local tell = { { task = 'tell', args = { 'x' } }, { task = 'tell', args = {}, delay = 0.05 } } "
           "skein.task('go', function(job) skein.enqueue({ task = 'good', on_success = tell, on_error = tell }, 42) "
           "skein.enqueue({ task = 'good', on_success = { task = 'tell', args = { 'fixed' } }, immutable = true }, 43) "
           "skein.enqueue({ task = 'good', on_success = { task = 'tell', args = { 'nil' } } }) "
           "skein.enqueue({ task = 'bad', dead = false, on_success = tell, on_error = { task = 'tell', args = { 'y' } "
           "} }) end)");
  script(w, text);
  world_start(w);
  enqueue(w, "go", "[]");
  until(w, effects(w, "told") == 5);
  assert_int_equal(effects(w, "told x 42"), 1);
  assert_int_equal(effects(w, "told 42"), 1);
  assert_int_equal(effects(w, "told fixed"), 1);
  assert_int_equal(effects(w, "told fixed 43"), 0);
  assert_int_equal(effects(w, "told nil null"), 1);
  assert_int_equal(effects(w, "told ouch y"), 1);
}

static void a_result_that_does_not_fit_is_null_and_the_job_is_done(void **state) {
  struct world *w = *state;
  char text[2048];
  snprintf(text, sizeof text, "%s%s", TELL,
           "skein.task('big', { keep = 60 }, function(job) return ('x'):rep(1000) end) "
           "local many = {} for i = 1, 200 do many[i] = i end "
           "skein.task('go', function(job) fx('id', skein.enqueue({ task = 'big', on_success = { task = 'tell', args = "
           "{ 'short' } } }).id) "
           "skein.enqueue({ task = 'big', on_success = { task = 'tell', args = many } }) end)");
  script(w, text);
  w->options.args_bytes_max = 900;
  world_start(w);
  enqueue(w, "go", "[]");
  until(w, effects(w, "told") == 2);
  assert_int_equal(effects(w, "told short null"), 1);
  assert_int_equal(effects(w, "199 200"), 1);
  assert_int_equal(logged(w, "gets null"), 1);
  assert_int_equal(logged(w, "gets nothing"), 1);
  char line[128];
  last_effect(w, "id", line, sizeof line);
  struct told t;
  snprintf(t.id, sizeof t.id, "%.26s", line + 3);
  assert_int_equal(see(w, t).state, SK_STATE_DONE);
}

/* Enqueues a job of task `good` as no client of ours would: with on_success as it is. */
static void enqueue_odd(struct world *w, struct sk_str on_success) {
  struct sk_job job;
  sk_job_init(&job);
  job.id = SK_STR_LIT("odd");
  job.task = SK_STR_LIT("good");
  job.queue = SK_STR_LIT("default");
  job.args = SK_STR_LIT("[]");
  job.on_success = on_success;
  struct sk_buf record = { 0 };
  sk_record_encode(&job, &record);
  struct sk_enqueue_item item = { .id = job.id, .queue = job.queue, .task = job.task, .record = sk_buf_str(&record) };
  struct sk_enqueue_op op = { .items = &item, .items_n = 1 };
  look(w, enqueue, &op);
  sk_op_fini(&op.op);
  sk_buf_fini(&record);
}

/* The on_success of a job's stored record. */
static void read_on_success(struct world *w, const char *id, struct sk_buf *out) {
  struct sk_str name = sk_str_c(id);
  struct sk_get_op op = { .ids = &name, .ids_n = 1 };
  look(w, get, &op);
  struct sk_job job;
  assert_int_equal(sk_record_decode(op.views[0].record, &job, NULL), SK_OK);
  sk_buf_add_str(out, job.on_success);
  sk_op_fini(&op.op);
}

/* It does not run: its callbacks would be lost with its success.  The record keeps them as they are. */
static void assert_dead_for_its_callbacks(struct world *w, struct sk_str on_success, const char *why) {
  struct told t = { "odd" };
  until(w, see(w, t).state == SK_STATE_DEAD);
  assert_non_null(strstr(see(w, t).error, why));
  assert_int_equal(logged(w, "moved to the dead jobs"), 1);
  assert_int_equal(effects(w, "ran"), 0);
  struct sk_buf kept = { 0 };
  read_on_success(w, "odd", &kept);
  assert_true(sk_str_eq(sk_buf_str(&kept), on_success));
  sk_buf_fini(&kept);
}

static void a_job_with_callbacks_that_can_not_be_read_is_dead_with_the_reason(void **state) {
  struct world *w = *state;
  script(w, "skein.task('good', { keep = 60 }, function(job) fx('ran') end)");
  world_start(w);
  enqueue_odd(w, SK_STR_LIT("nonsense"));
  assert_dead_for_its_callbacks(w, SK_STR_LIT("nonsense"), "callback: cut short");
}

static void add_callback(struct sk_buf *out, const char *id, struct sk_str args) {
  struct sk_job job;
  struct sk_buf record = { 0 };
  sk_job_init(&job);
  job.id = sk_str_c(id);
  job.task = SK_STR_LIT("tell");
  job.queue = SK_STR_LIT("default");
  job.args = args;
  sk_record_encode(&job, &record);
  sk_wire_add_str(out, sk_buf_str(&record));
  sk_wire_add_i64(out, 0);
  sk_wire_add_i64(out, 0);
  sk_buf_fini(&record);
}

/* Callbacks of another client, with a larger args_bytes_max or without a check of its own: they can be enqueued, so they are. */
static void callbacks_with_args_that_take_no_result_are_enqueued_as_they_are(void **state) {
  struct world *w = *state;
  char large[2000];
  memset(large, ' ', sizeof large);
  large[0] = '[';
  large[sizeof large - 1] = ']';
  struct sk_buf callbacks = { 0 };
  add_callback(&callbacks, "large", sk_str(large, sizeof large));
  add_callback(&callbacks, "odd-args", SK_STR_LIT("{}"));
  script(w, "skein.task('good', { keep = 60 }, function(job) return 1 end)"
            "skein.task('tell', { retries = 0 }, function(job, ...) fx('told', select('#', ...)) end)");
  w->options.args_bytes_max = 900;
  world_start(w);
  enqueue_odd(w, sk_buf_str(&callbacks));
  sk_buf_fini(&callbacks);
  until(w, see(w, (struct told){ "odd" }).state == SK_STATE_DONE);
  until(w, see(w, (struct told){ "odd-args" }).state == SK_STATE_DEAD); /* it cannot run, and that is seen */
  until(w, effects(w, "told 0") == 1);
  assert_int_equal(logged(w, "gets nothing"), 2);
  assert_int_equal(logged(w, "left out"), 0);
}

/* Callbacks that their locks keep out, and queues that are full, which let them in. */
static void a_callback_that_is_refused_is_told_and_the_job_is_done(void **state) {
  struct world *w = *state;
  char text[2048];
  snprintf(text, sizeof text, "%s%s", TELL,
           "skein.queue('full', { max_len = 1 }) skein.task('good', { keep = 60 }, function(job) end) "
           "skein.task('go', function(job) local wait = { task = 'tell', queue = 'full', delay = 60, args = { 'locked' "
           "}, unique = { key = 1 } } skein.enqueue(wait) "
           "fx('id', skein.enqueue({ task = 'good', on_success = { { task = 'tell', args = { 'locked' }, unique = { "
           "key = 1 } }, "
           "{ task = 'tell', queue = 'full', args = { 'let in' } } } }).id) end)");
  script(w, text);
  world_start(w);
  enqueue(w, "go", "[]");
  until(w, effects(w, "told let in") == 1);
  char line[128];
  struct told t;
  last_effect(w, "id", line, sizeof line);
  snprintf(t.id, sizeof t.id, "%.26s", line + 3);
  until(w, see(w, t).state == SK_STATE_DONE && w->engine->runs_n == 0);
  assert_int_equal(effects(w, "locked"), 0);
  assert_int_equal(logged(w, "is not added: job"), 1);
}

/* A settle with so many callbacks would be refused by the store as a whole, and sent again for ever. */
static void a_job_with_callbacks_past_the_limit_is_dead_with_the_reason(void **state) {
  struct world *w = *state;
  script(w, "skein.task('good', { keep = 60 }, function(job) fx('ran') end)");
  world_start(w);
  struct sk_buf many = { 0 };
  for (int i = 0; i < SK_CALLBACKS_MAX + 1; i++) {
    char id[24];
    snprintf(id, sizeof id, "callback-%d", i);
    add_callback(&many, id, SK_STR_LIT("[]"));
  }
  enqueue_odd(w, sk_buf_str(&many));
  assert_dead_for_its_callbacks(w, sk_buf_str(&many), "more than 100, the limit");
  sk_buf_fini(&many);
  assert_int_equal(jobs_in(w, SK_STATE_READY), 0);
}

/* -- what is kept ----------------------------------------------------------------------------------------------------------------------- */

static void read_job(struct world *w, struct told t, char *history, char *log, size_t n) {
  struct sk_str id = sk_str_c(t.id);
  struct sk_get_op op = { .ids = &id, .ids_n = 1 };
  look(w, get, &op);
  struct sk_job job;
  sk_job_init(&job);
  history[0] = log[0] = '\0';
  if (op.views[0].state != SK_STATE_NONE) assert_int_equal(sk_record_decode(op.views[0].record, &job, NULL), SK_OK);
  snprintf(history, n, "%.*s", SK_STR_ARG(job.history));
  snprintf(log, n, "%.*s%.*s", SK_STR_ARG(job.log), SK_STR_ARG(op.views[0].log));
  sk_op_fini(&op.op);
}

static size_t lines_of(const char *s) {
  size_t n = 0;
  for (; *s; s++) n += *s == '\n';
  return n;
}

static void a_job_keeps_its_trail_and_its_last_lines(void **state) {
  struct world *w = *state;
  script(w, "skein.task('t', { keep = 60, retries = 1, backoff = { 0 } }, function(job) for i = 1, 60 do job:log('line "
            "%d of %d', i, job.attempt) end "
            "if job.attempt == 1 then await('go') error('no', 0) end end)");
  world_start(w);
  struct told t = enqueue(w, "t", "[]");
  char history[4096], log[20000];
  until(w, (read_job(w, t, history, log, sizeof log), lines_of(log) == 60)); /* while it runs */
  write_file(w, "go", "");
  until(w, see(w, t).state == SK_STATE_DONE);
  read_job(w, t, history, log, sizeof log);
  assert_int_equal(lines_of(log), SK_JOB_LOG_LINES_MAX);
  assert_null(strstr(log, "line 20 of 1\n"));
  assert_non_null(strstr(log, "line 21 of 1\n"));
  assert_non_null(strstr(log, "line 60 of 2\n"));
  assert_int_equal(lines_of(history), 5);
  assert_non_null(strstr(history, "worker=1 attempt=1\n"));
  assert_non_null(strstr(history, " failed error no\n"));
  assert_non_null(strstr(history, " retry in 0 s\n"));
  assert_non_null(strstr(history, " attempt=2\n"));
  assert_non_null(strstr(history, " done\n"));
}

static void crashes_stay_in_the_history(void **state) {
  struct world *w = *state;
  script(w, "skein.task('crash', function(job) ffi.C._exit(7) end)");
  world_start(w);
  struct told t = enqueue(w, "crash", "[]");
  until(w, see(w, t).state == SK_STATE_DEAD);
  char history[4096], log[4096];
  read_job(w, t, history, log, sizeof log);
  assert_int_equal(lines_of(history), 7); /* three times started and crashed, and dead */
  assert_non_null(strstr(history, " crashed its worker exited with status 7 while it ran (crash 3 of 3)\n"));
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
    T(callbacks_get_the_result_or_the_error),
    T(a_result_that_does_not_fit_is_null_and_the_job_is_done),
    T(a_job_with_callbacks_that_can_not_be_read_is_dead_with_the_reason),
    T(callbacks_with_args_that_take_no_result_are_enqueued_as_they_are),
    T(a_callback_that_is_refused_is_told_and_the_job_is_done),
    T(a_job_with_callbacks_past_the_limit_is_dead_with_the_reason),
    T(a_job_keeps_its_trail_and_its_last_lines),
    T(crashes_stay_in_the_history),
  };
  return cmocka_run_group_tests_name("engine_mourn", tests, NULL, NULL);
}
