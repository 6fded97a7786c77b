/* callbacks_test.c - callbacks at the end of a job, and what a kept job tells of its life. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "world.h"
#include "logic/wire.h"

/* -- callbacks ----------------------------------------------------------------------------------------------------- */

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

/* Enqueues a job of task `good` with any on_success, which Skein's own clients would refuse. */
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

/* The job has not run, since its success would lose the callbacks.  Its record keeps them as they were. */
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

/* Callbacks of another client, with a larger args_bytes_max or without a check of its own: they can be enqueued, so
 * they are. */
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

/* A lock keeps a callback out; a full queue does not. */
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
  until(w, see(w, t).state == SK_STATE_DONE && sk_engine_runs_n(w->engine) == 0);
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

/* -- what is kept -------------------------------------------------------------------------------------------------- */

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

static void a_job_keeps_its_history_and_its_last_lines(void **state) {
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
    T(callbacks_get_the_result_or_the_error),
    T(a_result_that_does_not_fit_is_null_and_the_job_is_done),
    T(a_job_with_callbacks_that_can_not_be_read_is_dead_with_the_reason),
    T(callbacks_with_args_that_take_no_result_are_enqueued_as_they_are),
    T(a_callback_that_is_refused_is_told_and_the_job_is_done),
    T(a_job_with_callbacks_past_the_limit_is_dead_with_the_reason),
    T(a_job_keeps_its_history_and_its_last_lines),
    T(crashes_stay_in_the_history),
  };
  return cmocka_run_group_tests_name("engine_callbacks", tests, NULL, NULL);
}
