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

static void slices_compare_by_bytes(void **state) {
  (void)state;
  assert_true(sk_str_eq(sk_str("a\0b", 3), sk_str("a\0b", 3)));
  assert_false(sk_str_eq(sk_str("a\0b", 3), sk_str("a\0c", 3)));
  assert_true(sk_str_eq(sk_str(NULL, 0), sk_str("x", 0)));
  assert_true(sk_str_starts(SK_STR_LIT("skein"), "ske"));
  assert_false(sk_str_starts(SK_STR_LIT("sk"), "ske"));
  assert_int_equal(sk_str_head(SK_STR_LIT("skein"), 2).n, 2);
  assert_int_equal(sk_str_head(SK_STR_LIT("skein"), 9).n, 5);
}

static void an_arena_gives_zeroed_memory_that_stays_where_it_is(void **state) {
  (void)state;
  struct sk_arena a = { 0 };
  char *first = sk_arena_alloc(&a, 3);
  memcpy(first, "abc", 3);
  for (int i = 1; i < 500; i++) {
    unsigned char *p = sk_arena_alloc(&a, (size_t)i * 17);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
    for (int k = 0; k < i * 17; k++) assert_int_equal(p[k], 0);
    memset(p, 0xee, (size_t)i * 17);
  }
  assert_memory_equal(first, "abc", 3);
  assert_string_equal(sk_arena_copy(&a, SK_STR_LIT("copy")).p, "copy");
  assert_string_equal(sk_arena_copy(&a, sk_str(NULL, 0)).p, "");
  sk_arena_fini(&a);
}

static void an_arena_refuses_sizes_that_overflow(void **state) {
  (void)state;
  struct sk_arena a = { 0 };
  assert_null(sk_arena_array(&a, SIZE_MAX / 4, 8));
  assert_null(sk_arena_alloc(&a, SIZE_MAX - 1));
  assert_non_null(sk_arena_array(&a, 0, 8));
  sk_arena_fini(&a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(appends_grow_it_and_keep_the_bytes),
    cmocka_unit_test(a_request_beyond_memory_marks_it_failed_and_keeps_what_it_had),
    cmocka_unit_test(fixed_width_numbers_are_little_endian),
    cmocka_unit_test(json_strings_escape_what_json_cannot_hold),
    cmocka_unit_test(consume_drops_the_beginning),
    cmocka_unit_test(slices_compare_by_bytes),
    cmocka_unit_test(an_arena_gives_zeroed_memory_that_stays_where_it_is),
    cmocka_unit_test(an_arena_refuses_sizes_that_overflow),
  };
  return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
