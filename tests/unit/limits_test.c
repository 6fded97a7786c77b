/* limits_test.c - that the limits fit each other.  Each is tested at its value and one past it where it is applied:
 * names and ids in name_test, payloads, args and nesting in job_check_test and lua_json_test, numbers in job_check_test
 * and backoff_test, queues in queues_test, log lines in log_test; batches and listings in the store contract. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/limits.h"
#include "logic/job_check.h"
#include "logic/json.h"
#include "logic/record.h"

static struct sk_str filled(size_t n, const char *open, const char *close) {
  char *p = malloc(n);
  memset(p, 'x', n);
  memcpy(p, open, strlen(open));
  memcpy(p + n - strlen(close), close, strlen(close));
  return sk_str(p, n);
}

/* A job with every part as long as it may be. */
static void fill(struct sk_job *job) {
  sk_job_init(job);
  job->id = filled(SK_ID_BYTES_MAX, "", "");
  job->task = filled(SK_NAME_BYTES_MAX, "", "");
  job->queue = filled(SK_NAME_BYTES_MAX, "", "");
  job->retry_queue = filled(SK_NAME_BYTES_MAX, "", "");
  job->args = filled(SK_ARGS_BYTES_MAX, "[\"", "\"]");
  job->meta = filled(SK_META_BYTES_MAX, "{\"", "\":1}");
  job->on_success = filled(SK_CALLBACKS_BYTES_MAX, "[\"", "\"]");
  job->on_error = filled(SK_CALLBACKS_BYTES_MAX, "[\"", "\"]");
  job->error = filled(SK_ERROR_BYTES_MAX, "", "");
  job->traceback = filled(SK_TRACEBACK_BYTES_MAX, "", "");
  job->result = filled(SK_RESULT_BYTES_MAX, "\"", "\"");
  job->enqueued_ms = job->expires_ms = job->started_ms = job->finished_ms = 2 * SK_SECONDS_MAX * 1000;
  job->retries = SK_RETRIES_MAX;
}

static void release(struct sk_job *job) {
  const struct sk_str texts[] = { job->id,         job->task,     job->queue, job->retry_queue, job->args,  job->meta,
                                  job->on_success, job->on_error, job->error, job->traceback,   job->result };
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) free((void *)(uintptr_t)texts[i].p);
}

static void the_greatest_job_is_accepted_and_fits_a_record_and_a_frame(void **state) {
  (void)state;
  struct sk_job job, back;
  struct sk_buf record = { 0 };
  struct sk_err err = { 0 };
  fill(&job);
  if (sk_job_check(&job, SK_ARGS_BYTES_MAX, &err) != SK_OK) fail_msg("%s", err.message);
  sk_record_encode(&job, &record);
  assert_true(record.n <= SK_RECORD_BYTES_MAX);
  assert_true(record.n + SK_RESULT_BYTES_MAX + 1024 <= SK_FRAME_BYTES_MAX);
  assert_int_equal(sk_record_decode(sk_buf_str(&record), &back, NULL), SK_OK);
  assert_int_equal(back.finished_ms, job.finished_ms);
  sk_buf_fini(&record);
  release(&job);
}

static void the_limits_fit_each_other(void **state) {
  (void)state;
  assert_true(SK_ID_BYTES <= SK_ID_BYTES_MAX);
  assert_true(4 * SK_JSON_DEPTH_MAX <= SK_JSON_WALK_DEPTH_MAX);
  assert_int_equal(SK_PRIORITY_MAX - SK_PRIORITY_MIN + 1, SK_PRIORITIES);
  assert_true(SK_FETCH_BATCH_MAX <= SK_PREFETCH_MAX);
  assert_true(SK_STORE_BACKOFF_MIN_MS < SK_STORE_BACKOFF_MAX_MS && SK_STORE_BACKOFF_MAX_MS < SK_LEASE_MS);
  assert_true(SK_SECONDS_MAX <= INT64_MAX / 1000000 / 2); /* twice the longest time, in microseconds */
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(the_greatest_job_is_accepted_and_fits_a_record_and_a_frame),
    cmocka_unit_test(the_limits_fit_each_other),
  };
  return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
