/* queue_settings_test.c - the table of a queue's settings, and each form in which they travel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/limits.h"
#include "logic/queue_settings.h"
#include "logic/wire.h"

static const struct sk_queue_settings MAIL = {
  .name = { "mail", 4 },
  .max_len = 10,
  .overflow = SK_OVERFLOW_BLOCK,
  .block_ms = 500,
  .limit = { .concurrency = 2, .rate = 5, .per_ms = 1000, .burst = 3 },
};

static void every_setting_has_a_row_of_its_own(void **state) {
  (void)state;
  struct sk_queue_settings q = { .name = MAIL.name };
  for (size_t i = 0; i < SK_QUEUE_SETTINGS; i++) sk_queue_settings_set(&q, i, sk_queue_settings_get(&MAIL, i));
  assert_memory_equal(&q, &MAIL, sizeof q);
  for (size_t i = 0; i < SK_QUEUE_SETTINGS; i++) {
    struct sk_queue_settings other = MAIL;
    assert_true(sk_queue_settings_same(&other, &MAIL));
    sk_queue_settings_set(&other, i, sk_queue_settings_get(&MAIL, i) - 1);
    assert_false(sk_queue_settings_same(&other, &MAIL));
    for (size_t k = 0; k < SK_QUEUE_SETTINGS; k++)
      if (k != i) assert_int_equal(sk_queue_settings_get(&other, k), sk_queue_settings_get(&MAIL, k));
  }
}

static void a_max_len_a_concurrency_or_a_rate_has_an_effect(void **state) {
  (void)state;
  assert_false(sk_queue_settings_any(&(struct sk_queue_settings){ .overflow = SK_OVERFLOW_BLOCK, .block_ms = 5 }));
  assert_true(sk_queue_settings_any(&(struct sk_queue_settings){ .max_len = 1 }));
  assert_true(sk_queue_settings_any(&(struct sk_queue_settings){ .limit.concurrency = 1 }));
  assert_true(sk_queue_settings_any(&(struct sk_queue_settings){ .limit.rate = 1 }));
}

static void each_setting_is_valid_at_its_limit_and_not_past_it(void **state) {
  (void)state;
  assert_true(sk_queue_settings_valid(&MAIL));
  for (size_t i = 0; i < SK_QUEUE_SETTINGS; i++) {
    struct sk_queue_settings q = MAIL;
    sk_queue_settings_set(&q, i, sk_queue_settings_table[i].max);
    assert_true(sk_queue_settings_valid(&q));
    sk_queue_settings_set(&q, i, sk_queue_settings_table[i].max + 1);
    assert_false(sk_queue_settings_valid(&q));
    if (sk_queue_settings_table[i].type == SK_SETTING_OVERFLOW) continue;
    sk_queue_settings_set(&q, i, -1);
    assert_false(sk_queue_settings_valid(&q));
  }
  struct sk_queue_settings q = MAIL;
  q.limit.burst = 0;
  assert_false(sk_queue_settings_valid(&q));
  q.limit = (struct sk_limit){ .per_ms = 1000 };
  assert_false(sk_queue_settings_valid(&q));
  q = MAIL;
  q.name = SK_STR_LIT("no name");
  assert_false(sk_queue_settings_valid(&q));
}

static void they_pass_through_a_frame_unchanged(void **state) {
  (void)state;
  struct sk_buf b = { 0 };
  sk_queue_settings_write(&b, &MAIL);
  struct sk_reader r = sk_reader(sk_buf_str(&b));
  struct sk_queue_settings q = sk_queue_settings_read(&r);
  assert_true(sk_reader_done(&r));
  assert_true(sk_str_eq(q.name, MAIL.name));
  assert_true(sk_queue_settings_same(&q, &MAIL));
  for (size_t n = 0; n < b.n; n++) {
    r = sk_reader(sk_str(b.p, n));
    sk_queue_settings_read(&r);
    assert_true(r.bad);
  }
  sk_buf_fini(&b);
}

static void assert_text(const struct sk_queue_settings *q, int64_t number_max, const char *expected) {
  struct sk_buf b = { 0 };
  sk_queue_settings_print(&b, q, number_max);
  sk_buf_add_byte(&b, '\0');
  assert_string_equal(b.p, expected);
  sk_buf_fini(&b);
}

static void they_pass_through_text_unchanged(void **state) {
  (void)state;
  assert_text(&MAIL, INT64_MAX, "10;block;500;2;5;1000;3");
  assert_text(&(struct sk_queue_settings){ .block_ms = 5 }, INT64_MAX, "");
  assert_text(&(struct sk_queue_settings){ .max_len = 5000, .overflow = SK_OVERFLOW_DROP_OLDEST, .block_ms = -1 }, 100,
              "100;drop_oldest;0;0;0;0;0");
  struct sk_queue_settings q = sk_queue_settings_parse(SK_STR_LIT("10;block;500;2;5;1000;3"));
  assert_true(sk_queue_settings_same(&q, &MAIL));
  q = sk_queue_settings_parse(SK_STR_LIT("10;strange;x;-2;5"));
  assert_true(sk_queue_settings_same(&q, &(struct sk_queue_settings){ .max_len = 10, .limit.rate = 5 }));
  q = sk_queue_settings_parse(sk_str(NULL, 0));
  assert_false(sk_queue_settings_any(&q));
}

static void an_overflow_has_a_word(void **state) {
  (void)state;
  for (int i = 0; i < SK_OVERFLOWS; i++)
    assert_int_equal(sk_overflow_parse(sk_str_c(sk_overflow_name((enum sk_overflow)i))), i);
  assert_int_equal(sk_overflow_parse(SK_STR_LIT("else")), SK_OVERFLOW_REJECT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(every_setting_has_a_row_of_its_own),
    cmocka_unit_test(a_max_len_a_concurrency_or_a_rate_has_an_effect),
    cmocka_unit_test(each_setting_is_valid_at_its_limit_and_not_past_it),
    cmocka_unit_test(they_pass_through_a_frame_unchanged),
    cmocka_unit_test(they_pass_through_text_unchanged),
    cmocka_unit_test(an_overflow_has_a_word),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
