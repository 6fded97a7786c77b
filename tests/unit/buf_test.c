/* buf_test.c - buffers, slices and arenas. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"

static void assert_buf(const struct sk_buf *b, const char *expected) {
  assert_int_equal(b->n, strlen(expected));
  assert_memory_equal(b->p, expected, b->n);
}

static void appends_grow_it_and_keep_the_bytes(void **state) {
  (void)state;
  struct sk_buf b = { 0 };
  for (int i = 0; i < 1000; i++) sk_buf_addf(&b, "%d,", i);
  assert_false(b.failed);
  assert_int_equal(b.n, 10 * 2 + 90 * 3 + 900 * 4);
  assert_memory_equal(b.p, "0,1,2,", 6);
  assert_memory_equal(b.p + b.n - 4, "999,", 4);
  sk_buf_fini(&b);
  assert_null(b.p);
}

static void a_request_beyond_memory_marks_it_failed_and_keeps_what_it_had(void **state) {
  (void)state;
  struct sk_buf b = { 0 };
  sk_buf_add_c(&b, "kept");
  assert_false(sk_buf_reserve(&b, SIZE_MAX - 2));
  assert_true(b.failed);
  sk_buf_add_c(&b, "ignored");
  assert_buf(&b, "kept");
  sk_buf_clear(&b);
  sk_buf_add_c(&b, "again");
  assert_buf(&b, "again");
  sk_buf_fini(&b);
}

static void fixed_width_numbers_are_little_endian(void **state) {
  (void)state;
  struct sk_buf b = { 0 };
  sk_buf_add_u32(&b, 0x01020304);
  sk_buf_add_u64(&b, 0x1122334455667788);
  assert_int_equal(b.n, 12);
  assert_memory_equal(b.p, "\x04\x03\x02\x01\x88\x77\x66\x55\x44\x33\x22\x11", 12);
  sk_buf_fini(&b);
}

static void json_strings_escape_what_json_cannot_hold(void **state) {
  (void)state;
  struct sk_buf b = { 0 };
  sk_buf_add_json(&b, sk_str("a\"\\\n\0\xff", 6));
  assert_buf(&b, "\"a\\\"\\\\\\n\\u0000\xff\"");
  sk_buf_clear(&b);
  sk_buf_add_json(&b, sk_str(NULL, 0));
  assert_buf(&b, "\"\"");
  sk_buf_fini(&b);
}

static void consume_drops_the_beginning(void **state) {
  (void)state;
  struct sk_buf b = { 0 };
  sk_buf_add_c(&b, "abcdef");
  struct sk_buf empty = { 0 };
  sk_buf_consume(&empty, 0);
  sk_buf_consume(&b, 0);
  sk_buf_consume(&b, 2);
  assert_buf(&b, "cdef");
  sk_buf_consume(&b, 4);
  assert_int_equal(b.n, 0);
  sk_buf_fini(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(appends_grow_it_and_keep_the_bytes),
    cmocka_unit_test(a_request_beyond_memory_marks_it_failed_and_keeps_what_it_had),
    cmocka_unit_test(fixed_width_numbers_are_little_endian),
    cmocka_unit_test(json_strings_escape_what_json_cannot_hold),
    cmocka_unit_test(consume_drops_the_beginning),
  };
  return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
