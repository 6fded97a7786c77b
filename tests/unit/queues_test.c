/* queues_test.c - which queues are served, and in which order and shares. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "logic/queues.h"

struct parsed {
  struct sk_arena arena;
  struct sk_queue_spec *specs;
  size_t n;
  enum sk_code code;
  struct sk_err err;
};

static struct parsed parse(const char *text) {
  struct parsed p = { .n = 99 };
  p.code = sk_queues_parse(sk_str_c(text), &p.arena, &p.specs, &p.n, &p.err);
  return p;
}

static void assert_specs(const char *text, size_t n, const struct sk_queue_spec *expected) {
  struct parsed p = parse(text);
  assert_int_equal(p.code, SK_OK);
  assert_int_equal(p.n, n);
  for (size_t i = 0; i < n; i++) {
    assert_true(sk_str_eq(p.specs[i].name, expected[i].name));
    assert_int_equal(p.specs[i].weight, expected[i].weight);
  }
  sk_arena_fini(&p.arena);
}

static void names_are_separated_by_commas_or_spaces_and_strict_without_weights(void **state) {
  (void)state;
  const struct sk_queue_spec two[] = { { SK_STR_LIT("critical"), 0 }, { SK_STR_LIT("default"), 0 } };
  assert_specs("critical default", 2, two);
  assert_specs("critical,default", 2, two);
  assert_specs("  critical ,\tdefault,\n", 2, two);
}

static void with_a_weight_anywhere_the_others_count_one(void **state) {
  (void)state;
  assert_specs("a:5,b:2", 2, (struct sk_queue_spec[]){ { SK_STR_LIT("a"), 5 }, { SK_STR_LIT("b"), 2 } });
  assert_specs("a,b:1000", 2,
               (struct sk_queue_spec[]){ { SK_STR_LIT("a"), 1 }, { SK_STR_LIT("b"), SK_QUEUE_WEIGHT_MAX } });
}

static void a_name_with_colons_is_given_with_its_weight(void **state) {
  (void)state;
  assert_specs("mail:eu:1 mail:eu:us:7", 2,
               (struct sk_queue_spec[]){ { SK_STR_LIT("mail:eu"), 1 }, { SK_STR_LIT("mail:eu:us"), 7 } });
  assert_specs("a::2 b", 2, (struct sk_queue_spec[]){ { SK_STR_LIT("a:"), 2 }, { SK_STR_LIT("b"), 1 } });
}

static void what_is_wrong_is_named(void **state) {
  (void)state;
  const struct {
    const char *text, *message;
  } cases[] = {
    { "", "queues \"\": expected at least one name, as in \"critical,default\" or \"a:5,b:2\"" },
    { " , ", "queues \"\": expected at least one name, as in \"critical,default\" or \"a:5,b:2\"" },
    { "a:0", "queue \"a\": weight \"0\", expected a whole number from 1 to 1000" },
    { "a:1001", "queue \"a\": weight \"1001\", expected a whole number from 1 to 1000" },
    { "a:99999999999999999999",
      "queue \"a\": weight \"99999999999999999999\", expected a whole number from 1 to 1000" },
    { "a:-1", "queue \"a\": weight \"-1\", expected a whole number from 1 to 1000" },
    { "a:1.5", "queue \"a\": weight \"1.5\", expected a whole number from 1 to 1000" },
    { "a:5x", "queue \"a\": weight \"5x\", expected a whole number from 1 to 1000" },
    { "a:x", "queue \"a\": weight \"x\", expected a whole number from 1 to 1000; a queue whose name has a colon needs "
             "a weight, as in a:x:1" },
    { "a:b:x", "queue \"a:b\": weight \"x\", expected a whole number from 1 to 1000; a queue whose name has a colon "
               "needs a weight, as in a:b:x:1" },
    { "a:", "queue \"a\": weight \"\", expected a whole number from 1 to 1000; a queue whose name has a colon needs a "
            "weight, as in a::1" },
    { "a b a", "queue \"a\" is named twice, expected each once" },
    { "a:1 a:2", "queue \"a\" is named twice, expected each once" },
    { "a/b", "queue \"a/b\": byte 2 is 0x2f, expected letters, digits or _ . : -" },
    { ":5", "queue \"\": expected a name of 1 to 200 letters, digits or _ . : -" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct parsed p = parse(cases[i].text);
    assert_int_equal(p.code, SK_EINVAL);
    assert_string_equal(p.err.message, cases[i].message);
    assert_int_equal(p.n, 0);
    sk_arena_fini(&p.arena);
  }
}

static void a_thousand_queues_are_accepted_and_one_more_is_not(void **state) {
  (void)state;
  static char text[(SK_QUEUES_MAX + 1) * 8];
  size_t at = 0;
  for (int i = 0; i < SK_QUEUES_MAX; i++) at += (size_t)sprintf(text + at, "q%d ", i);
  struct parsed p = parse(text);
  assert_int_equal(p.code, SK_OK);
  assert_int_equal(p.n, SK_QUEUES_MAX);
  sk_arena_fini(&p.arena);
  strcpy(text + at, "more");
  p = parse(text);
  assert_int_equal(p.code, SK_ELIMIT);
  sk_arena_fini(&p.arena);
}

static void a_strict_plan_is_in_order_and_lets_each_queue_fill_the_fetch(void **state) {
  (void)state;
  const struct sk_queue_spec specs[3] = { { SK_STR_LIT("a"), 0 }, { SK_STR_LIT("b"), 0 }, { SK_STR_LIT("c"), 0 } };
  struct sk_queue_plan plan[3];
  sk_queues_plan(specs, 3, 17, 12345, plan);
  for (size_t i = 0; i < 3; i++) {
    assert_int_equal(plan[i].index, i);
    assert_int_equal(plan[i].quota, 17);
  }
  sk_queues_plan(specs, 0, 17, 1, NULL);
}

enum { N = 4, ROUNDS = 200000 };
static const struct sk_queue_spec WEIGHTED[N] = {
  { SK_STR_LIT("a"), 5 }, { SK_STR_LIT("b"), 2 }, { SK_STR_LIT("c"), 1 }, { SK_STR_LIT("d"), 12 }
};
enum { SUM = 20 };

/* The rounds' random numbers count up: the plan itself has to mix them. */
static void assert_near(double count, double probability) {
  double mean = ROUNDS * probability, sigma = sqrt(ROUNDS * probability * (1 - probability));
  if (fabs(count - mean) > 5 * sigma) fail_msg("%.0f times, expected %.0f +- %.0f", count, mean, 5 * sigma);
}

static void a_weighted_plan_is_a_permutation_with_each_first_by_its_weight(void **state) {
  (void)state;
  int first[N] = { 0 }, second_after_d[N] = { 0 }, d_first = 0;
  for (uint64_t r = 0; r < ROUNDS; r++) {
    struct sk_queue_plan plan[N];
    sk_queues_plan(WEIGHTED, N, 10, r, plan);
    unsigned seen = 0;
    for (int i = 0; i < N; i++) seen |= 1u << plan[i].index;
    assert_int_equal(seen, (1u << N) - 1);
    first[plan[0].index]++;
    if (plan[0].index != 3) continue;
    d_first++;
    second_after_d[plan[1].index]++;
  }
  for (int i = 0; i < N; i++) assert_near(first[i], WEIGHTED[i].weight / (double)SUM);
  for (int i = 0; i < 3; i++) assert_true(fabs(second_after_d[i] / (double)d_first - WEIGHTED[i].weight / 8.0) < 0.01);
}

static void a_want_of_one_goes_to_one_queue_by_its_weight(void **state) {
  (void)state;
  int winner[N] = { 0 };
  for (uint64_t r = 0; r < ROUNDS; r++) {
    struct sk_queue_plan plan[N];
    sk_queues_plan(WEIGHTED, N, 1, r, plan);
    size_t sum = 0;
    for (int i = 0; i < N; i++) {
      sum += plan[i].quota;
      if (plan[i].quota) winner[plan[i].index]++;
    }
    assert_int_equal(sum, 1);
  }
  for (int i = 0; i < N; i++) assert_near(winner[i], WEIGHTED[i].weight / (double)SUM);
}

static void quotas_sum_to_want_and_follow_the_weights_on_average(void **state) {
  (void)state;
  const size_t wants[] = { 0, 1, 3, 7, 20, 100, SK_FETCH_BATCH_MAX };
  for (size_t w = 0; w < sizeof wants / sizeof *wants; w++) {
    double total[N] = { 0 };
    for (uint64_t r = 0; r < 20000; r++) {
      struct sk_queue_plan plan[N];
      sk_queues_plan(WEIGHTED, N, wants[w], r * 0x9e3779b97f4a7c15u, plan);
      size_t sum = 0;
      for (int i = 0; i < N; i++) {
        double slot_page = (double)wants[w] * WEIGHTED[plan[i].index].weight / SUM;
        assert_true(fabs((double)plan[i].quota - slot_page) < 1);
        sum += plan[i].quota;
        total[plan[i].index] += (double)plan[i].quota;
      }
      assert_int_equal(sum, wants[w]);
    }
    for (int i = 0; i < N; i++)
      assert_true(fabs(total[i] / 20000 - (double)wants[w] * WEIGHTED[i].weight / SUM) < 0.02);
  }
}

static void the_same_random_number_gives_the_same_plan(void **state) {
  (void)state;
  struct sk_queue_plan a[N], b[N];
  for (uint64_t r = 0; r < 100; r++) {
    sk_queues_plan(WEIGHTED, N, 9, r, a);
    sk_queues_plan(WEIGHTED, N, 9, r, b);
    for (int i = 0; i < N; i++) assert_true(a[i].index == b[i].index && a[i].quota == b[i].quota);
  }
}

static void the_greatest_number_of_queues_and_weights_is_planned(void **state) {
  (void)state;
  static struct sk_queue_spec specs[SK_QUEUES_MAX];
  static struct sk_queue_plan plan[SK_QUEUES_MAX];
  for (int i = 0; i < SK_QUEUES_MAX; i++) specs[i] = (struct sk_queue_spec){ SK_STR_LIT("q"), SK_QUEUE_WEIGHT_MAX };
  sk_queues_plan(specs, SK_QUEUES_MAX, SK_FETCH_BATCH_MAX, 3, plan);
  size_t sum = 0;
  for (int i = 0; i < SK_QUEUES_MAX; i++) sum += plan[i].quota;
  assert_int_equal(sum, SK_FETCH_BATCH_MAX);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(names_are_separated_by_commas_or_spaces_and_strict_without_weights),
    cmocka_unit_test(with_a_weight_anywhere_the_others_count_one),
    cmocka_unit_test(a_name_with_colons_is_given_with_its_weight),
    cmocka_unit_test(what_is_wrong_is_named),
    cmocka_unit_test(a_thousand_queues_are_accepted_and_one_more_is_not),
    cmocka_unit_test(a_strict_plan_is_in_order_and_lets_each_queue_fill_the_fetch),
    cmocka_unit_test(a_weighted_plan_is_a_permutation_with_each_first_by_its_weight),
    cmocka_unit_test(a_want_of_one_goes_to_one_queue_by_its_weight),
    cmocka_unit_test(quotas_sum_to_want_and_follow_the_weights_on_average),
    cmocka_unit_test(the_same_random_number_gives_the_same_plan),
    cmocka_unit_test(the_greatest_number_of_queues_and_weights_is_planned),
  };
  return cmocka_run_group_tests_name("queues", tests, NULL, NULL);
}
