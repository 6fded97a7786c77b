/* child_test.c - child processes and how they end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/child.h"
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

struct life {
  int exit_status, term_signal, n;
};

static void on_exited(void *ctx, int exit_status, int term_signal) {
  struct life *l = ctx;
  *l = (struct life){ exit_status, term_signal, l->n + 1 };
}

static struct sk_child *start(const char *script, const int *fds, size_t fds_n, struct life *l) {
  struct sk_err err;
  char *argv[] = { "sh", "-c", (char *)(uintptr_t)script, NULL };
  struct sk_child_options o = {
    .file = "/bin/sh", .argv = argv, .fds = fds, .fds_n = fds_n, .exited = on_exited, .ctx = l
  };
  struct sk_child *c = sk_child_spawn(loop, &o, &err);
  assert_non_null(c);
  return c;
}

static void a_childs_end_is_told_once_with_its_reason(void **state) {
  (void)state;
  struct life by_itself = { 0 }, killed = { 0 };
  struct sk_child *a = start("exit 7", NULL, 0, &by_itself), *b = start("sleep 60", NULL, 0, &killed);
  sk_child_kill(b, SIGKILL);
  while (by_itself.n == 0 || killed.n == 0) sk_loop_turn(loop, true);
  assert_int_equal(by_itself.exit_status, 7);
  assert_int_equal(by_itself.term_signal, 0);
  assert_int_equal(killed.term_signal, SIGKILL);
  sk_child_kill(a, SIGKILL); /* it has ended: nothing happens */
  sk_child_free(a);
  sk_child_free(b);
  assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void a_child_gets_its_file_descriptors_as_3_and_4(void **state) {
  (void)state;
  struct life l = { 0 };
  int a[2], b[2];
  assert_int_equal(pipe2(a, O_CLOEXEC) + pipe2(b, O_CLOEXEC), 0);
  struct sk_child *c = start("echo three >&3; echo four >&4; test -t 0 || cat", (int[]){ a[1], b[1] }, 2, &l);
  close(a[1]);
  close(b[1]);
  while (l.n == 0) sk_loop_turn(loop, true); /* its stdin is empty, so it ends */
  char text[16] = "";
  assert_int_equal(read(a[0], text, sizeof text), 6);
  assert_memory_equal(text, "three\n", 6);
  assert_int_equal(read(b[0], text, sizeof text), 5);
  assert_memory_equal(text, "four\n", 5);
  close(a[0]);
  close(b[0]);
  sk_child_free(c);
}

static void a_program_that_is_not_there_is_an_error_and_leaves_no_child(void **state) {
  (void)state;
  struct sk_err err;
  struct life l = { 0 };
  char *argv[] = { "x", NULL };
  struct sk_child_options o = { .file = "/nonexistent/x", .argv = argv, .exited = on_exited, .ctx = &l };
  assert_null(sk_child_spawn(loop, &o, &err));
  assert_int_equal(err.code, SK_ESYS);
  assert_non_null(strstr(err.message, "/nonexistent/x"));
  for (int i = 0; i < 5; i++) sk_loop_turn(loop, false);
  assert_int_equal(l.n, 0);
  assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
    T(a_childs_end_is_told_once_with_its_reason),
    T(a_child_gets_its_file_descriptors_as_3_and_4),
    T(a_program_that_is_not_there_is_an_error_and_leaves_no_child),
  };
  return cmocka_run_group_tests_name("child", tests, NULL, NULL);
}
