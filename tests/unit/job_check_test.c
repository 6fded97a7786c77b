/* job_check_test.c - which jobs are accepted, and what the refusals of the others say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/limits.h"
#include "logic/job_check.h"

static struct sk_job a_good_job(void) {
  struct sk_job job;
  sk_job_init(&job);
  job.id = SK_STR_LIT("01ARYZ6S41");
  job.task = SK_STR_LIT("email.welcome");
  job.queue = SK_STR_LIT("mail");
  job.args = SK_STR_LIT("[1,\"two\",{\"three\":[]}]");
  return job;
}

static enum sk_code check(const struct sk_job *job, struct sk_err *err) {
  return sk_job_check(job, SK_ARGS_BYTES_MAX, err);
}

static void assert_refused(const struct sk_job *job, enum sk_code code, const char *sentence) {
  struct sk_err err = { 0 };
  assert_int_equal(check(job, &err), code);
  assert_int_equal(err.code, code);
  if (strstr(err.message, sentence) == NULL) fail_msg("\"%s\" does not hold \"%s\"", err.message, sentence);
}

static void a_plain_job_is_accepted_and_so_is_one_with_everything_set(void **state) {
  (void)state;
  struct sk_job job = a_good_job();
  assert_int_equal(check(&job, NULL), SK_OK);
  job.meta = SK_STR_LIT("{\"tenant\":7}");
  job.priority = SK_PRIORITY_MAX;
  job.retries = SK_RETRIES_MAX;
  job.timeout_ms = job.keep_ms = SK_SECONDS_MAX * 1000;
  job.enqueued_ms = job.expires_ms = 1800000000000;
  job.keep_dead = job.immutable = 1;
  job.backoff = SK_STR_LIT("list;1;5");
  job.retry_queue = SK_STR_LIT("slow");
  job.on_success = job.on_error = SK_STR_LIT("callbacks");
  job.unique = SK_STR_LIT("reject;0;=key");
  job.limit = SK_STR_LIT("1;0;0;0;any;=group");
  job.result = SK_STR_LIT("null");
  assert_int_equal(check(&job, NULL), SK_OK);
}

static void each_wrong_part_is_named(void **state) {
  (void)state;
  struct sk_job job;
#define REFUSED(field, value, code, sentence)                                                                          \
  do {                                                                                                                 \
    job = a_good_job();                                                                                                \
    job.field = value;                                                                                                 \
    assert_refused(&job, code, sentence);                                                                              \
  } while (0)
  REFUSED(id, SK_STR_LIT(""), SK_EINVAL, "job id \"\"");
  REFUSED(task, SK_STR_LIT("no spaces"), SK_EINVAL, "task \"no spaces\"");
  REFUSED(queue, SK_STR_LIT(""), SK_EINVAL, "queue \"\"");
  REFUSED(retry_queue, SK_STR_LIT("a/b"), SK_EINVAL, "retry_queue \"a/b\"");
  REFUSED(backoff, SK_STR_LIT("soon"), SK_EINVAL, "backoff \"soon\"");
  REFUSED(args, SK_STR_LIT(""), SK_EINVAL, "args: expected a JSON array");
  REFUSED(args, SK_STR_LIT("{}"), SK_EINVAL, "args: expected a JSON array, found {}");
  REFUSED(args, SK_STR_LIT("[1,]"), SK_EINVAL, "args: JSON at byte 3: expected a value, found ']'");
  REFUSED(args, SK_STR_LIT("[1] 2"), SK_EINVAL, "args: JSON at byte 4");
  REFUSED(meta, SK_STR_LIT("[]"), SK_EINVAL, "meta: expected a JSON object, found []");
  REFUSED(meta, SK_STR_LIT("{"), SK_EINVAL, "meta: JSON ends at byte 1");
  REFUSED(unique, SK_STR_LIT("reject;5"), SK_EINVAL, "unique \"reject;5\": expected mode;ttl_ms;=key");
  REFUSED(limit, SK_STR_LIT("1;0;0;0;any;task"), SK_EINVAL, "limit \"1;0;0;0;any;task\": expected concurrency");
  REFUSED(result, SK_STR_LIT("nope"), SK_EINVAL, "result: JSON");
  REFUSED(priority, 3, SK_ELIMIT, "priority 3: expected -2 to 2");
  REFUSED(priority, -3, SK_EINVAL, "priority -3: expected -2 to 2");
  REFUSED(retries, SK_RETRIES_MAX + 1, SK_ELIMIT, "retries 1000001: expected 0 to 1000000");
  REFUSED(retries, -2, SK_EINVAL, "retries -2: expected 0 to 1000000");
  REFUSED(timeout_ms, SK_SECONDS_MAX * 1000 + 1, SK_ELIMIT, "timeout (ms) 3153600000001");
  REFUSED(keep_ms, INT64_MIN, SK_EINVAL, "keep (ms)");
  REFUSED(expires_ms, INT64_MAX, SK_ELIMIT, "expires (ms)");
  REFUSED(enqueued_ms, -1, SK_EINVAL, "enqueued_at (ms) -1");
  REFUSED(keep_dead, 2, SK_ELIMIT, "dead 2: expected 0 to 1");
  REFUSED(immutable, -2, SK_EINVAL, "immutable -2");
  REFUSED(attempts, -1, SK_EINVAL, "attempts -1");
  REFUSED(error_kind, (enum sk_error_kind)SK_KINDS, SK_ELIMIT, "error kind 9");
#undef REFUSED
}

static char big[SK_ARGS_BYTES_MAX + 2];

/* A JSON text of n bytes: open, a long string, close. */
static struct sk_str json_of(size_t n, const char *open, const char *close) {
  size_t head = strlen(open), tail = strlen(close);
  memset(big, 'x', n);
  memcpy(big, open, head);
  memcpy(big + n - tail, close, tail);
  return sk_str(big, n);
}

static void payloads_are_accepted_at_their_limit_and_refused_one_past_it(void **state) {
  (void)state;
  struct sk_job job = a_good_job();
  job.args = json_of(SK_ARGS_BYTES_MAX, "[\"", "\"]");
  assert_int_equal(check(&job, NULL), SK_OK);
  job.args = json_of(SK_ARGS_BYTES_MAX + 1, "[\"", "\"]");
  assert_refused(&job, SK_ELIMIT, "args: 1048577 bytes of JSON, expected at most 1048576");
  job.args = json_of(100, "[\"", "\"]");
  assert_int_equal(sk_job_check(&job, 100, NULL), SK_OK);
  assert_int_equal(sk_job_check(&job, 99, NULL), SK_ELIMIT);
  job = a_good_job();
  job.meta = json_of(SK_META_BYTES_MAX, "{\"", "\":1}");
  assert_int_equal(check(&job, NULL), SK_OK);
  job.meta = json_of(SK_META_BYTES_MAX + 1, "{\"", "\":1}");
  assert_refused(&job, SK_ELIMIT, "meta: 65537 bytes");
  job = a_good_job();
  job.on_success = json_of(SK_CALLBACKS_BYTES_MAX + 1, "[\"", "\"]");
  assert_refused(&job, SK_ELIMIT, "on_success: 262145 bytes");
  job = a_good_job();
  job.error = sk_str(big, SK_ERROR_BYTES_MAX + 1);
  assert_refused(&job, SK_ELIMIT, "error: 4097 bytes, expected at most 4096");
}

static void each_text_is_accepted_at_its_limit_and_refused_one_past_it(void **state) {
  (void)state;
  const struct {
    size_t offset, bytes_max;
    const char *name;
  } texts[] = {
    { offsetof(struct sk_job, meta), SK_META_BYTES_MAX, "meta: 65537 bytes" },
    { offsetof(struct sk_job, on_success), SK_CALLBACKS_BYTES_MAX, "on_success: 262145 bytes" },
    { offsetof(struct sk_job, on_error), SK_CALLBACKS_BYTES_MAX, "on_error: 262145 bytes" },
    { offsetof(struct sk_job, history), SK_HISTORY_BYTES_MAX, "history: 8193 bytes" },
    { offsetof(struct sk_job, log), SK_JOB_LOG_BYTES_MAX, "log: 16385 bytes" },
    { offsetof(struct sk_job, result), SK_RESULT_BYTES_MAX, "result: 1048577 bytes" },
    { offsetof(struct sk_job, error), SK_ERROR_BYTES_MAX, "error: 4097 bytes" },
    { offsetof(struct sk_job, traceback), SK_TRACEBACK_BYTES_MAX, "traceback: 8193 bytes" },
  };
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    struct sk_job job = a_good_job();
    struct sk_str *text = (struct sk_str *)(void *)((char *)&job + texts[i].offset);
    struct sk_err err = { 0 };
    *text = sk_str(big, texts[i].bytes_max);
    assert_int_equal(sk_job_check_shape(&job, SK_ARGS_BYTES_MAX, &err), SK_OK);
    text->n++;
    assert_int_equal(sk_job_check_shape(&job, SK_ARGS_BYTES_MAX, &err), SK_ELIMIT);
    assert_non_null(strstr(err.message, texts[i].name));
  }
}

static void two_hundred_args_are_accepted_and_one_more_is_not(void **state) {
  (void)state;
  char text[2 * SK_ARGS_COUNT_MAX + 4] = "[0";
  struct sk_job job = a_good_job();
  for (int i = 1; i < SK_ARGS_COUNT_MAX; i++) strcat(text, ",0");
  strcat(text, "]");
  job.args = sk_str_c(text);
  assert_int_equal(check(&job, NULL), SK_OK);
  strcpy(text + strlen(text) - 1, ",0]");
  job.args = sk_str_c(text);
  assert_refused(&job, SK_ELIMIT, "args: 201 values, expected at most 200");
}

/* [[[...]]] with n levels. */
static struct sk_str nested(size_t n) {
  memset(big, '[', n);
  memset(big + n, ']', n);
  return sk_str(big, 2 * n);
}

static void an_arg_nests_64_deep_and_not_65(void **state) {
  (void)state;
  struct sk_job job = a_good_job();
  job.args = nested(1 + SK_JSON_DEPTH_MAX);
  assert_int_equal(check(&job, NULL), SK_OK);
  job.args = nested(1 + SK_JSON_DEPTH_MAX + 1);
  assert_refused(&job, SK_ELIMIT, "args: JSON at byte 65: nested more than 65 deep");
  job = a_good_job();
  job.result = nested(SK_JSON_DEPTH_MAX);
  assert_int_equal(check(&job, NULL), SK_OK);
  job.result = nested(SK_JSON_DEPTH_MAX + 1);
  assert_refused(&job, SK_ELIMIT, "result: JSON at byte 64");
}

static void the_shape_is_names_numbers_and_sizes_and_nothing_inside(void **state) {
  (void)state;
  struct sk_err err;
  struct sk_job job = a_good_job();
  job.args = SK_STR_LIT("{not json");
  job.meta = job.on_success = job.on_error = job.result = SK_STR_LIT("]]]");
  assert_int_equal(sk_job_check_shape(&job, SK_ARGS_BYTES_MAX, &err), SK_OK);
  assert_int_equal(sk_job_check_shape(&job, job.args.n - 1, &err), SK_ELIMIT);
  assert_non_null(strstr(err.message, "args: 9 bytes of JSON, expected at most 8"));
  job.priority = 3;
  assert_int_equal(sk_job_check_shape(&job, SK_ARGS_BYTES_MAX, &err), SK_ELIMIT);
  job = a_good_job();
  job.queue = SK_STR_LIT("two words");
  assert_int_equal(sk_job_check_shape(&job, SK_ARGS_BYTES_MAX, &err), SK_EINVAL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_plain_job_is_accepted_and_so_is_one_with_everything_set),
    cmocka_unit_test(each_wrong_part_is_named),
    cmocka_unit_test(payloads_are_accepted_at_their_limit_and_refused_one_past_it),
    cmocka_unit_test(each_text_is_accepted_at_its_limit_and_refused_one_past_it),
    cmocka_unit_test(two_hundred_args_are_accepted_and_one_more_is_not),
    cmocka_unit_test(an_arg_nests_64_deep_and_not_65),
    cmocka_unit_test(the_shape_is_names_numbers_and_sizes_and_nothing_inside),
  };
  return cmocka_run_group_tests_name("job_check", tests, NULL, NULL);
}
