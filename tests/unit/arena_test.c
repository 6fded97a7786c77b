/* arena_test.c - memory that is freed all at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

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
    cmocka_unit_test(an_arena_gives_zeroed_memory_that_stays_where_it_is),
    cmocka_unit_test(an_arena_refuses_sizes_that_overflow),
  };
  return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
