/* nearest_test.c - the known name that is nearest to a misspelt one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "logic/nearest.h"

static void suggestions_are_near(void **state) {
  (void)state;
  struct sk_nearest n;
  sk_nearest_init(&n, SK_STR_LIT("enqeue"));
  sk_nearest_try(&n, sk_str_c("run"));
  sk_nearest_try(&n, sk_str_c("queues"));
  sk_nearest_try(&n, sk_str_c("enqueue"));
  assert_true(sk_str_eq_c(n.name, "enqueue"));
  sk_nearest_init(&n, SK_STR_LIT("zz"));
  sk_nearest_try(&n, sk_str_c("run"));
  sk_nearest_try(&n, sk_str_c("job"));
  assert_int_equal(n.name.n, 0);
}

static const char *nearest_of(const char *word, const char *first, const char *second) {
  struct sk_nearest n;
  sk_nearest_init(&n, sk_str_c(word));
  sk_nearest_try(&n, sk_str_c(first));
  sk_nearest_try(&n, sk_str_c(second));
  if (n.name.n == 0) return "";
  return n.name.p == first ? first : second;
}

static void a_third_of_a_word_may_be_wrong(void **state) {
  (void)state;
  assert_string_equal(nearest_of("ab", "abc", "x"), "abc");
  assert_string_equal(nearest_of("abc", "abcde", "x"), ""); /* two mistakes in three characters */
  assert_string_equal(nearest_of("abcd", "abcdef", "x"), "abcdef");
  assert_string_equal(nearest_of("abcdefgh", "abcdefghijk", "x"), ""); /* three mistakes in eight characters */
  assert_string_equal(nearest_of("abcdefghi", "abcdefghijkl", "x"), "abcdefghijkl");
  assert_string_equal(nearest_of("abcdefghi", "abcdefghijklm", "x"), "");
  assert_string_equal(nearest_of("a", "b", "c"), ""); /* nothing of the word is in these names */
  assert_string_equal(nearest_of("", "a", "b"), "");
}

static void the_first_of_equally_near_names_is_kept(void **state) {
  (void)state;
  assert_string_equal(nearest_of("at", "bat", "cat"), "bat");
  assert_string_equal(nearest_of("at", "cat", "bat"), "cat");
}

static void long_words_have_no_neighbours(void **state) {
  (void)state;
  char word[66] = { 0 }, name[88] = { 0 };
  memset(word, 'a', 64);
  memset(name, 'a', 85);
  assert_string_equal(nearest_of(word, name, "x"), name); /* 64 bytes, 21 mistakes */
  name[85] = 'a';
  assert_string_equal(nearest_of(word, name, "x"), "");
  word[64] = 'a';
  name[66] = '\0';
  assert_string_equal(nearest_of(word, name, "x"), "");
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(suggestions_are_near),
    cmocka_unit_test(a_third_of_a_word_may_be_wrong),
    cmocka_unit_test(the_first_of_equally_near_names_is_kept),
    cmocka_unit_test(long_words_have_no_neighbours),
  };
  return cmocka_run_group_tests_name("nearest", tests, NULL, NULL);
}
