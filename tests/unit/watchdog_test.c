/* watchdog_test.c - the thread that notices a loop that does not go on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/loop.h"
#include "io/watchdog.h"

enum { TURN_MS_MAX = 200 };

static atomic_bool is_late;

static void note_late(void *ctx, int64_t ms) {
  (void)ctx;
  atomic_store(&is_late, ms >= TURN_MS_MAX);
}

static void spin_until_late(void *ctx) {
  (void)ctx;
  while (!atomic_load(&is_late)) continue;
}

struct quiet {
  struct sk_loop *loop;
  struct sk_timer *timer;
  int left;
};

/* Many short turns, in all longer than one turn may be. */
static void on_short_turn(void *ctx) {
  struct quiet *q = ctx;
  if (--q->left > 0) sk_timer_start(q->timer, TURN_MS_MAX / 10);
}

static struct sk_watchdog *start(struct sk_loop *loop) {
  struct sk_err err;
  struct sk_watchdog *w = NULL;
  atomic_store(&is_late, false);
  struct sk_watchdog_options options = { .turn_ms_max = TURN_MS_MAX, .late = note_late };
  assert_int_equal(sk_watchdog_start(loop, &options, &w, &err), SK_OK);
  return w;
}

static void a_turn_without_an_end_is_noticed(void **state) {
  (void)state;
  struct sk_loop *loop = sk_loop_new(NULL);
  struct sk_watchdog *w = start(loop);
  struct sk_timer *timer = sk_timer_new(loop, spin_until_late, NULL);
  sk_timer_start(timer, 1);
  while (!atomic_load(&is_late)) sk_loop_turn(loop, true);
  sk_timer_free(timer);
  sk_watchdog_stop(w);
  sk_loop_free(loop);
}

static void many_short_turns_and_an_idle_loop_are_fine(void **state) {
  (void)state;
  struct quiet q = { .loop = sk_loop_new(NULL), .left = 30 };
  q.timer = sk_timer_new(q.loop, on_short_turn, &q);
  struct sk_watchdog *w = start(q.loop);
  sk_timer_start(q.timer, 0);
  while (q.left > 0) sk_loop_turn(q.loop, true);
  assert_false(atomic_load(&is_late));
  sk_timer_free(q.timer);
  sk_watchdog_stop(w);
  sk_loop_free(q.loop);
}

static void die(void *ctx, int64_t ms) {
  (void)ctx, (void)ms;
  _exit(9);
}

/* A process with a watchdog that counts its turns: exit status 0 after `left` of them. */
static int run_child(void) {
  struct quiet q = { .loop = sk_loop_new(NULL), .left = 30 };
  q.timer = sk_timer_new(q.loop, on_short_turn, &q);
  struct sk_watchdog *w = NULL;
  struct sk_watchdog_options options = { .turn_ms_max = TURN_MS_MAX, .late = die };
  if (sk_watchdog_start(q.loop, &options, &w, NULL) != SK_OK) return 1;
  sk_timer_start(q.timer, 0);
  while (q.left > 0) sk_loop_turn(q.loop, true);
  sk_watchdog_stop(w);
  return 0;
}

static void a_process_that_was_stopped_is_not_late(void **state) {
  (void)state;
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) _exit(run_child());
  int status;
  for (int i = 0; i < 2; i++) {
    usleep(TURN_MS_MAX / 2 * 1000); /* it is somewhere in its turns */
    kill(pid, SIGSTOP);
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
    usleep(3 * TURN_MS_MAX * 1000); /* what is tested: a time in which it stands still */
    kill(pid, SIGCONT);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_turn_without_an_end_is_noticed),
    cmocka_unit_test(many_short_turns_and_an_idle_loop_are_fine),
    cmocka_unit_test(a_process_that_was_stopped_is_not_late),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
