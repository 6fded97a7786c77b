/* queue_set_test.c - engine/queue_set.h: which queues a fetch names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/limits.h"
#include "engine/queue_set.h"

static struct sk_queue_set_entry *add(struct sk_queue_set *s, int i, uint32_t weight) {
  char name[24];
  snprintf(name, sizeof name, "q%d", i);
  return sk_queue_set_find(s, sk_str_c(name), weight, true);
}

static void only_queues_that_may_have_something_are_named(void **ctx) {
  (void)ctx;
  struct sk_queue_set s = { .all = true };
  struct sk_fetch_queue out[SK_FETCH_QUEUES_MAX];
  bool no_memory;
  for (int i = 0; i < 5000; i++) assert_non_null(add(&s, i, 1));
  assert_int_equal(sk_queue_set_pick(&s, 10, 7, out, &no_memory), 0);
  sk_queue_set_maybe(add(&s, 4321, 1));
  assert_int_equal(sk_queue_set_pick(&s, 10, 7, out, &no_memory), 1);
  assert_true(sk_str_eq_c(out[0].name, "q4321"));
  assert_int_equal(out[0].quota, 10);
  out[0].has_more = false;
  out[0].due_in_ms = 50;
  sk_queue_set_found(&s, out, 1000);
  assert_false(sk_queue_set_any_maybe(&s));
  assert_int_equal(sk_queue_set_due(&s, 1049), 1050);
  assert_false(sk_queue_set_any_maybe(&s));
  assert_true(sk_queue_set_due(&s, 1050) == SK_QUEUE_SET_NEVER);
  assert_true(sk_queue_set_any_maybe(&s));
  sk_queue_set_fini(&s);
}

static void what_is_said_while_a_fetch_is_under_way_is_not_forgotten(void **ctx) {
  (void)ctx;
  struct sk_queue_set s = { .all = true };
  struct sk_fetch_queue out[SK_FETCH_QUEUES_MAX];
  bool no_memory;
  sk_queue_set_maybe(add(&s, 1, 1));
  assert_int_equal(sk_queue_set_pick(&s, 1, 1, out, &no_memory), 1);
  sk_queue_set_maybe(add(&s, 1, 1));
  out[0].has_more = false;
  out[0].due_in_ms = -1;
  sk_queue_set_found(&s, out, 1);
  assert_true(sk_queue_set_any_maybe(&s));
  sk_queue_set_fini(&s);
}

static void all_of_very_many_have_their_turn(void **ctx) {
  (void)ctx;
  struct sk_queue_set s = { .all = true };
  struct sk_fetch_queue out[SK_FETCH_QUEUES_MAX];
  bool no_memory, *seen = calloc(5000, sizeof *seen);
  for (int i = 0; i < 5000; i++) sk_queue_set_maybe(add(&s, i, 1));
  size_t met = 0;
  for (int pick = 0; pick < 5000 && met < 5000; pick++) { /* all have more, always */
    size_t n = sk_queue_set_pick(&s, 10, (uint64_t)pick * 2654435761u, out, &no_memory);
    assert_int_equal(n, SK_FETCH_QUEUES_MAX);
    for (size_t i = 0; i < n; i++) {
      int k = atoi(out[i].name.p + 1);
      met += !seen[k];
      seen[k] = true;
      out[i].has_more = true;
      out[i].due_in_ms = -1;
    }
    sk_queue_set_found(&s, out, 1);
  }
  assert_int_equal(met, 5000);
  free(seen);
  sk_queue_set_fini(&s);
}

static void a_strict_order_names_the_first(void **ctx) {
  (void)ctx;
  struct sk_queue_set s = { 0 };
  struct sk_fetch_queue out[SK_FETCH_QUEUES_MAX];
  bool no_memory;
  for (int i = 0; i < 200; i++) {
    struct sk_queue_set_entry *queue = add(&s, i, 0);
    if (i % 2) sk_queue_set_maybe(queue);
  }
  assert_int_equal(sk_queue_set_pick(&s, 10, 3, out, &no_memory), SK_FETCH_QUEUES_MAX);
  for (int i = 0; i < SK_FETCH_QUEUES_MAX; i++) assert_int_equal(atoi(out[i].name.p + 1), i * 2 + 1);
  sk_queue_set_fini(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(only_queues_that_may_have_something_are_named),
    cmocka_unit_test(what_is_said_while_a_fetch_is_under_way_is_not_forgotten),
    cmocka_unit_test(all_of_very_many_have_their_turn),
    cmocka_unit_test(a_strict_order_names_the_first),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
