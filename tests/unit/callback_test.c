/* callback_test.c - callbacks in a record: read one by one, checked, and their args filled. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "logic/callback.h"
#include "logic/record.h"
#include "logic/wire.h"

static void add(struct sk_buf *out, const char *id, const char *task, int64_t due_ms, int64_t delay_ms) {
  struct sk_job job;
  sk_job_init(&job);
  job.id = sk_str_c(id);
  job.task = sk_str_c(task);
  job.queue = SK_STR_LIT("q");
  job.args = SK_STR_LIT("[]");
  struct sk_buf record = { 0 };
  sk_record_encode(&job, &record);
  sk_wire_add_str(out, sk_buf_str(&record));
  sk_wire_add_i64(out, due_ms);
  sk_wire_add_i64(out, delay_ms);
  sk_buf_fini(&record);
}

static void they_are_read_one_by_one(void **state) {
  (void)state;
  struct sk_buf b = { 0 };
  add(&b, "a", "t", 0, 5);
  add(&b, "b", "u", 7, 0);
  struct sk_str rest = sk_buf_str(&b);
  struct sk_callback c;
  struct sk_job job;
  assert_int_equal(sk_callback_next(&rest, &c, NULL), SK_OK);
  assert_int_equal(sk_record_decode(c.record, &job, NULL), SK_OK);
  assert_true(sk_str_eq_c(job.id, "a"));
  assert_int_equal(c.delay_ms, 5);
  assert_int_equal(sk_callback_next(&rest, &c, NULL), SK_OK);
  assert_int_equal(c.due_ms, 7);
  assert_int_equal(sk_callback_next(&rest, &c, NULL), SK_ENOTFOUND);
  assert_int_equal(sk_callbacks_check(sk_buf_str(&b), SK_ARGS_BYTES_MAX, NULL), SK_OK);
  sk_buf_fini(&b);
}

static void every_cut_is_found(void **state) {
  (void)state;
  struct sk_buf b = { 0 };
  add(&b, "a", "t", 0, 0);
  struct sk_err err;
  for (size_t n = 1; n < b.n; n++) {
    char *part = malloc(n);
    memcpy(part, b.p, n);
    assert_int_equal(sk_callbacks_check(sk_str(part, n), SK_ARGS_BYTES_MAX, &err), SK_ECORRUPT);
    free(part);
  }
  sk_buf_fini(&b);
  assert_int_equal(sk_callbacks_check(sk_str(NULL, 0), SK_ARGS_BYTES_MAX, &err), SK_OK);
}

static void what_is_no_job_is_refused(void **state) {
  (void)state;
  const struct {
    const char *id, *task;
    int64_t due_ms, delay_ms;
    enum sk_code code;
  } cases[] = {
    { "a", "bad name", 0, 0, SK_EINVAL },
    { "", "t", 0, 0, SK_EINVAL },
    { "a", "t", 0, -1, SK_ECORRUPT },
    { "a", "t", -1, 0, SK_ECORRUPT },
    { "a", "t", 0, SK_SECONDS_MAX * 1000, SK_OK },
    { "a", "t", 0, SK_SECONDS_MAX * 1000 + 1, SK_ECORRUPT },
    { "a", "t", 2 * SK_SECONDS_MAX * 1000, 0, SK_OK },
    { "a", "t", 2 * SK_SECONDS_MAX * 1000 + 1, 0, SK_ECORRUPT },
  };
  struct sk_err err;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct sk_buf b = { 0 };
    add(&b, cases[i].id, cases[i].task, cases[i].due_ms, cases[i].delay_ms);
    assert_int_equal(sk_callbacks_check(sk_buf_str(&b), SK_ARGS_BYTES_MAX, &err), cases[i].code);
    sk_buf_fini(&b);
  }
}

static void they_are_limited_in_bytes(void **state) {
  (void)state;
  struct sk_buf b = { 0 };
  struct sk_err err;
  while (b.n <= SK_CALLBACKS_BYTES_MAX) add(&b, "a", "t", 0, 0);
  assert_int_equal(sk_callbacks_check(sk_buf_str(&b), SK_ARGS_BYTES_MAX, &err), SK_ELIMIT);
  assert_non_null(strstr(err.message, "bytes"));
  sk_buf_fini(&b);
}

static void they_are_limited_in_number(void **state) {
  (void)state;
  struct sk_buf b = { 0 };
  struct sk_err err;
  for (int i = 0; i < SK_CALLBACKS_MAX; i++) add(&b, "a", "t", 0, 0);
  assert_int_equal(sk_callbacks_check(sk_buf_str(&b), SK_ARGS_BYTES_MAX, &err), SK_OK);
  add(&b, "a", "t", 0, 0);
  assert_int_equal(sk_callbacks_check(sk_buf_str(&b), SK_ARGS_BYTES_MAX, &err), SK_ELIMIT);
  assert_string_equal(err.message, "callbacks: more than 100, the limit");
  sk_buf_fini(&b);
}

static void args_get_a_value_at_either_end(void **state) {
  (void)state;
  const struct {
    const char *args, *appended, *prepended;
  } cases[] = {
    { "[]", "[9]", "[9]" },
    { "[ ]", "[9]", "[9]" },
    { "[1]", "[1,9]", "[9,1]" },
    { " [ \"]\" , [2] ]\n", "[\"]\" , [2],9]", "[9,\"]\" , [2]]" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct sk_buf a = { 0 }, p = { 0 };
    sk_callback_append(sk_str_c(cases[i].args), SK_STR_LIT("9"), &a);
    sk_callback_prepend(sk_str_c(cases[i].args), SK_STR_LIT("9"), &p);
    assert_true(sk_str_eq_c(sk_buf_str(&a), cases[i].appended));
    assert_true(sk_str_eq_c(sk_buf_str(&p), cases[i].prepended));
    sk_buf_fini(&a);
    sk_buf_fini(&p);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(they_are_read_one_by_one),   cmocka_unit_test(every_cut_is_found),
    cmocka_unit_test(what_is_no_job_is_refused),  cmocka_unit_test(they_are_limited_in_bytes),
    cmocka_unit_test(they_are_limited_in_number), cmocka_unit_test(args_get_a_value_at_either_end),
  };
  return cmocka_run_group_tests_name("callback", tests, NULL, NULL);
}
