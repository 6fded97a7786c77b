/* record_test.c - the stored form of a job, both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "logic/record.h"

static uint64_t seed = 42;
static uint64_t next_random(void) { return (seed = seed * 6364136223846793005u + 1442695040888963407u) >> 16; }

static const char POOL[] =
    "a pool of bytes \0\x01\xff\x80 from which random texts are cut, long enough for lengths of two LEB128 bytes: "
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789";

static struct sk_str random_text(void) {
  if (next_random() % 3 == 0) return sk_str(NULL, 0);
  size_t from = next_random() % (sizeof POOL - 1);
  return sk_str(POOL + from, next_random() % (sizeof POOL - from));
}

static int64_t random_number(int64_t unset) {
  if (next_random() % 3 == 0) return unset;
  return (int64_t)((next_random() << 16 ^ next_random()) >> (1 + next_random() % 62));
}

static struct sk_job random_job(void) {
  struct sk_job job;
  sk_job_init(&job);
  struct sk_str *texts[] = { &job.id,          &job.task,       &job.queue,    &job.args,  &job.meta,      &job.backoff,
                             &job.retry_queue, &job.on_success, &job.on_error, &job.error, &job.traceback, &job.result,
                             &job.unique,      &job.limit,      &job.history,  &job.log };
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) *texts[i] = random_text();
  int64_t *options[] = { &job.retries, &job.timeout_ms, &job.keep_ms, &job.expires_ms };
  for (size_t i = 0; i < sizeof options / sizeof *options; i++) *options[i] = random_number(SK_UNSET);
  int64_t *counts[] = { &job.enqueued_ms, &job.attempts,   &job.crashes,    &job.unknowns,
                        &job.recoveries,  &job.started_ms, &job.finished_ms };
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) *counts[i] = random_number(0);
  job.priority = (int32_t)(next_random() % 5) - 2;
  job.keep_dead = (int32_t)(next_random() % 3) - 1;
  job.immutable = (int32_t)(next_random() % 3) - 1;
  job.error_kind = (enum sk_error_kind)(next_random() % SK_KINDS);
  return job;
}

static void assert_same(const struct sk_job *a, const struct sk_job *b) {
  const struct sk_str *x[] = { &a->id,     &a->task,        &a->queue,      &a->args,     &a->meta,  &a->backoff,
                               &a->rest,   &a->retry_queue, &a->on_success, &a->on_error, &a->error, &a->traceback,
                               &a->result, &a->unique,      &a->limit,      &a->history,  &a->log };
  const struct sk_str *y[] = { &b->id,     &b->task,        &b->queue,      &b->args,     &b->meta,  &b->backoff,
                               &b->rest,   &b->retry_queue, &b->on_success, &b->on_error, &b->error, &b->traceback,
                               &b->result, &b->unique,      &b->limit,      &b->history,  &b->log };
  for (size_t i = 0; i < sizeof x / sizeof *x; i++) assert_true(sk_str_eq(*x[i], *y[i]));
  const int64_t m[] = { a->retries,    a->timeout_ms, a->keep_ms,   a->expires_ms, a->enqueued_ms,
                        a->attempts,   a->crashes,    a->unknowns,  a->started_ms, a->finished_ms,
                        a->recoveries, a->priority,   a->keep_dead, a->immutable,  a->error_kind };
  const int64_t n[] = { b->retries,    b->timeout_ms, b->keep_ms,   b->expires_ms, b->enqueued_ms,
                        b->attempts,   b->crashes,    b->unknowns,  b->started_ms, b->finished_ms,
                        b->recoveries, b->priority,   b->keep_dead, b->immutable,  b->error_kind };
  assert_memory_equal(m, n, sizeof m);
}

static void every_job_survives_encoding_and_decoding(void **state) {
  (void)state;
  struct sk_buf bytes = { 0 }, again = { 0 };
  for (int i = 0; i < 5000; i++) {
    struct sk_job job = random_job(), back;
    sk_buf_clear(&bytes);
    sk_buf_clear(&again);
    sk_record_encode(&job, &bytes);
    assert_false(bytes.failed);
    assert_int_equal(sk_record_decode(sk_buf_str(&bytes), &back, NULL), SK_OK);
    assert_same(&job, &back);
    sk_record_encode(&back, &again);
    assert_true(sk_str_eq(sk_buf_str(&bytes), sk_buf_str(&again)));
  }
  sk_buf_fini(&bytes);
  sk_buf_fini(&again);
}

static void a_record_cut_anywhere_is_refused_or_a_shorter_record(void **state) {
  (void)state;
  struct sk_buf bytes = { 0 };
  for (int i = 0; i < 50; i++) {
    struct sk_job job = random_job(), back;
    sk_buf_clear(&bytes);
    sk_record_encode(&job, &bytes);
    for (size_t n = 0; n < bytes.n; n++) {
      char *exact = malloc(n ? n : 1); /* so that the sanitizer sees a read past the end */
      memcpy(exact, bytes.p, n);
      enum sk_code code = sk_record_decode(sk_str(exact, n), &back, NULL);
      assert_true(code == SK_OK || code == SK_ECORRUPT);
      if (n < 2) assert_int_equal(code, SK_ECORRUPT);
      free(exact);
    }
  }
  sk_buf_fini(&bytes);
}

static enum sk_code decode(struct sk_str bytes, struct sk_job *job) { return sk_record_decode(bytes, job, NULL); }

static void an_empty_job_is_two_bytes_with_all_options_unset(void **state) {
  (void)state;
  struct sk_job job, back;
  struct sk_buf bytes = { 0 };
  sk_job_init(&job);
  sk_record_encode(&job, &bytes);
  assert_int_equal(bytes.n, 2);
  assert_memory_equal(bytes.p, "S\x01", 2);
  assert_int_equal(decode(sk_buf_str(&bytes), &back), SK_OK);
  assert_int_equal(back.retries, SK_UNSET);
  assert_int_equal(back.keep_dead, SK_UNSET);
  sk_buf_fini(&bytes);
}

static void an_option_of_zero_is_not_an_unset_one(void **state) {
  (void)state;
  struct sk_job job, back;
  struct sk_buf bytes = { 0 };
  sk_job_init(&job);
  job.retries = job.keep_ms = job.timeout_ms = 0;
  job.keep_dead = job.immutable = 0;
  sk_record_encode(&job, &bytes);
  assert_int_equal(decode(sk_buf_str(&bytes), &back), SK_OK);
  assert_same(&job, &back);
  sk_buf_fini(&bytes);
}

static void fields_of_a_newer_version_are_carried_along(void **state) {
  (void)state;
  struct sk_job job;
  struct sk_buf bytes = { 0 };
  struct sk_str record = SK_STR_LIT("S\x01\x01\x02id\x1c\x03new\x80\x02\x00");
  assert_int_equal(decode(record, &job), SK_OK);
  assert_true(sk_str_eq_c(job.id, "id"));
  job.attempts = 1;
  sk_record_encode(&job, &bytes);
  assert_true(sk_str_eq(sk_buf_str(&bytes), SK_STR_LIT("S\x01\x01\x02id\x12\x01\x01\x1c\x03new\x80\x02\x00")));
  sk_buf_fini(&bytes);
}

static void what_is_not_a_record_is_refused_by_reason(void **state) {
  (void)state;
  struct sk_job job;
  assert_int_equal(decode(SK_STR_LIT(""), &job), SK_ECORRUPT);
  assert_int_equal(decode(SK_STR_LIT("{\"id\":1}"), &job), SK_ECORRUPT);
  assert_int_equal(decode(SK_STR_LIT("S\x02"), &job), SK_EVERSION);
  assert_int_equal(decode(SK_STR_LIT("S\x01\x00\x00"), &job), SK_ECORRUPT); /* tag 0 */
  assert_int_equal(decode(SK_STR_LIT("S\x01\x02\x01"
                                     "a\x01\x01"
                                     "b"),
                          &job),
                   SK_ECORRUPT); /* tags descend */
  assert_int_equal(decode(SK_STR_LIT("S\x01\x01\x01"
                                     "a\x01\x01"
                                     "b"),
                          &job),
                   SK_ECORRUPT); /* a tag twice */
  assert_int_equal(decode(SK_STR_LIT("S\x01\x01\x7f"
                                     "a"),
                          &job),
                   SK_ECORRUPT); /* longer than it is */
  assert_int_equal(decode(SK_STR_LIT("S\x01\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), &job),
                   SK_ECORRUPT); /* 70-bit length */
  assert_int_equal(decode(SK_STR_LIT("S\x01\x08\x08\xff\xff\xff\xff\xff\xff\xff\xff"), &job),
                   SK_ECORRUPT); /* retries of 2^64 - 1 */
  assert_int_equal(decode(SK_STR_LIT("S\x01\x08\x09"
                                     "123456789"),
                          &job),
                   SK_ECORRUPT);
  assert_int_equal(decode(SK_STR_LIT("S\x01\x0c\x05\x01\x01\x01\x01\x01"), &job),
                   SK_ECORRUPT); /* keep_dead past 32 bits */
}

static void states_have_names_that_parse_back(void **state) {
  (void)state;
  for (int i = SK_STATE_SCHEDULED; i < SK_STATES; i++)
    assert_int_equal(sk_state_parse(sk_str_c(sk_state_name((enum sk_state)i))), i);
  assert_int_equal(sk_state_parse(SK_STR_LIT("unknown")), SK_STATE_NONE);
  assert_int_equal(sk_state_parse(SK_STR_LIT("")), SK_STATE_NONE);
  assert_string_equal(sk_state_name((enum sk_state)99), "unknown");
  assert_true(sk_state_is_final(SK_STATE_DEAD) && !sk_state_is_final(SK_STATE_RETRY));
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(every_job_survives_encoding_and_decoding),
    cmocka_unit_test(a_record_cut_anywhere_is_refused_or_a_shorter_record),
    cmocka_unit_test(an_empty_job_is_two_bytes_with_all_options_unset),
    cmocka_unit_test(an_option_of_zero_is_not_an_unset_one),
    cmocka_unit_test(fields_of_a_newer_version_are_carried_along),
    cmocka_unit_test(what_is_not_a_record_is_refused_by_reason),
    cmocka_unit_test(states_have_names_that_parse_back),
  };
  return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
