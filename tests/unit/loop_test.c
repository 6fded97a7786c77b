/* loop_test.c - the event loop's deferred calls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>

#include "io/loop.h"

static struct sk_loop *loop;

static int setup(void **state) {
  struct sk_err err;
  signal(SIGPIPE, SIG_IGN);
  *state = loop = sk_loop_new(&err);
  return loop ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  sk_loop_free(loop);
  return 0;
}

struct marks {
  struct sk_defer *defer, *other;
  int calls, other_calls;
  bool rung;
};

static void ring(void *ctx) { ((struct marks *)ctx)->rung = true; }

static void mark_again(void *ctx) {
  struct marks *m = ctx;
  m->calls++;
  sk_defer_mark(m->defer);
}

static void mark_other(void *ctx) {
  struct marks *m = ctx;
  m->calls++;
  sk_defer_mark(m->other);
}

static void count_other(void *ctx) { ((struct marks *)ctx)->other_calls++; }

static void marked_often_it_comes_once(void **state) {
  (void)state;
  struct marks m = { 0 };
  m.other = sk_defer_new(loop, count_other, &m);
  for (int i = 0; i < 5; i++) sk_defer_mark(m.other);
  assert_int_equal(m.other_calls, 0);
  sk_loop_turn(loop, false);
  sk_loop_turn(loop, false);
  assert_int_equal(m.other_calls, 1);
  sk_defer_mark(m.other);
  sk_defer_free(m.other); /* while marked */
  sk_loop_turn(loop, false);
  assert_int_equal(m.other_calls, 1);
}

static void one_that_marks_itself_keeps_no_event_out(void **state) {
  (void)state;
  struct marks m = { 0 };
  m.defer = sk_defer_new(loop, mark_again, &m);
  struct sk_timer *t = sk_timer_new(loop, ring, &m);
  sk_timer_start(t, 2);
  sk_defer_mark(m.defer);
  while (!m.rung) sk_loop_turn(loop, true);
  assert_true(m.calls > 1);
  sk_defer_free(m.defer);
  sk_timer_free(t);
}

static void what_it_marks_comes_without_a_wait(void **state) {
  (void)state;
  struct marks m = { 0 };
  m.defer = sk_defer_new(loop, mark_other, &m);
  m.other = sk_defer_new(loop, count_other, &m);
  struct sk_timer *t = sk_timer_new(loop, ring, &m);
  sk_timer_start(t, 60000);
  sk_defer_mark(m.defer);
  for (int i = 0; i < 3 && m.other_calls == 0; i++) sk_loop_turn(loop, true);
  assert_int_equal(m.other_calls, 1);
  assert_false(m.rung);
  sk_defer_free(m.defer);
  sk_defer_free(m.other);
  sk_timer_free(t);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
    T(marked_often_it_comes_once),
    T(one_that_marks_itself_keeps_no_event_out),
    T(what_it_marks_comes_without_a_wait),
  };
  return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
