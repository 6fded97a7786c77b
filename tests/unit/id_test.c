/* id_test.c - ids and clocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/limits.h"
#include "logic/name.h"

static void an_id_is_26_characters_that_begin_with_its_time(void **state) {
  (void)state;
  struct sk_idgen gen = { 0 };
  char id[SK_ID_BYTES + 1];
  sk_id_next(&gen, 1469918176385, id); /* the time of the example in ULID's specification */
  assert_int_equal(strlen(id), SK_ID_BYTES);
  assert_memory_equal(id, "01ARYZ6S41", 10);
  assert_int_equal(sk_id_check(sk_str_c(id), NULL), SK_OK);
  assert_true(SK_ID_BYTES <= SK_ID_BYTES_MAX);
}

static void ids_of_a_generator_ascend_whatever_the_clock_does(void **state) {
  (void)state;
  struct sk_idgen gen = { 0 };
  char last[SK_ID_BYTES + 1] = "", id[SK_ID_BYTES + 1];
  for (int i = 0; i < 20000; i++) {
    int64_t now = 1700000000000 + (i % 7 == 0 ? -3600000 : i / 100);
    sk_id_next(&gen, now, id);
    assert_true(strcmp(last, id) < 0);
    memcpy(last, id, sizeof last);
  }
}

static void a_generator_carries_from_the_low_to_the_high_bits_and_into_the_time(void **state) {
  (void)state;
  struct sk_idgen gen = { .last_ms = 1000, .hi = 0x7fff, .lo = UINT64_MAX };
  char before[SK_ID_BYTES + 1], id[SK_ID_BYTES + 1];
  sk_id_next(&gen, 1000, id);
  assert_int_equal(gen.hi, 0x8000);
  assert_int_equal(gen.lo, 0);
  assert_memory_equal(id + 10, "G000000000000000", 16);
  gen = (struct sk_idgen){ .last_ms = 1000, .hi = UINT16_MAX, .lo = UINT64_MAX - 1 };
  sk_id_next(&gen, 1000, before);
  assert_memory_equal(before + 10, "ZZZZZZZZZZZZZZZZ", 16);
  sk_id_next(&gen, 1000, id);
  assert_int_equal(gen.last_ms, 1001);
  assert_true(strcmp(before, id) < 0);
}

static void two_generators_differ(void **state) {
  (void)state;
  struct sk_idgen a = { 0 }, b = { 0 };
  char x[SK_ID_BYTES + 1], y[SK_ID_BYTES + 1];
  sk_id_next(&a, 5, x);
  sk_id_next(&b, 5, y);
  assert_string_not_equal(x, y);
}

static void the_copy_of_a_generator_in_a_forked_process_goes_its_own_way(void **state) {
  (void)state;
  struct sk_idgen gen = { 0 };
  char id[SK_ID_BYTES + 1], other[SK_ID_BYTES + 1] = "";
  sk_id_next(&gen, 1000, id);
  int pipes[2];
  assert_int_equal(pipe(pipes), 0);
  pid_t pid = fork();
  if (pid == 0) {
    sk_id_next(&gen, 1000, id);
    _exit(write(pipes[1], id, sizeof id) == sizeof id ? 0 : 1);
  }
  assert_int_equal(read(pipes[0], other, sizeof other), sizeof other);
  assert_int_equal(waitpid(pid, NULL, 0), pid);
  close(pipes[0]);
  close(pipes[1]);
  sk_id_next(&gen, 1000, id);
  assert_memory_equal(id, other, 10);               /* the same millisecond, */
  assert_memory_not_equal(id + 10, other + 10, 14); /* and not one after the other */
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(an_id_is_26_characters_that_begin_with_its_time),
    cmocka_unit_test(ids_of_a_generator_ascend_whatever_the_clock_does),
    cmocka_unit_test(a_generator_carries_from_the_low_to_the_high_bits_and_into_the_time),
    cmocka_unit_test(two_generators_differ),
    cmocka_unit_test(the_copy_of_a_generator_in_a_forked_process_goes_its_own_way),
  };
  return cmocka_run_group_tests_name("id", tests, NULL, NULL);
}
