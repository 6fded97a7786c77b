/* sweep_test.c - what the guard kills, and what not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/sweep.h"

#define MARK SK_SWEEP_MARK "=0123456789abcdef"

/* Starts a shell with that script, which writes a number and a line feed to descriptor 9, in that environment; returns
 * its pid. */
static pid_t start(const char *script, char *const environment[], int *number) {
  int fds[2];
  assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, fds[1], 9);
  char *argv[] = { "sh", "-c", (char *)(uintptr_t)script, NULL };
  pid_t pid;
  assert_int_equal(posix_spawn(&pid, "/bin/sh", &actions, NULL, argv, environment), 0);
  posix_spawn_file_actions_destroy(&actions);
  close(fds[1]);
  char text[32] = "";
  size_t n = 0;
  while (n + 1 < sizeof text && read(fds[0], text + n, 1) == 1 && text[n] != '\n') n++;
  close(fds[0]);
  assert_int_equal(text[n], '\n');
  if (number) *number = atoi(text);
  return pid;
}

static const char SLEEPER[] = "echo $$ >&9; exec 9>&-; exec sleep 600";
static const char PATH[] = "PATH=/usr/bin:/bin";

static pid_t start_marked(const char *mark) {
  char *environment[] = { "A=b", (char *)(uintptr_t)mark, (char *)(uintptr_t)PATH, NULL };
  return start(SLEEPER, environment, NULL);
}

static bool runs(pid_t pid) { return waitpid(pid, NULL, WNOHANG) == 0; }

static void end(pid_t pid) {
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
}

static void one_with_the_mark_is_killed_and_one_with_a_longer_mark_is_not(void **state) {
  (void)state;
  pid_t marked = start_marked(MARK ".1"), longer = start_marked(MARK ".12"), other = start_marked("X" MARK ".1");
  sk_sweep(MARK ".1", true);
  assert_false(runs(marked));
  assert_true(runs(longer) && runs(other));
  sk_sweep(MARK ".", false);
  assert_false(runs(longer));
  assert_true(runs(other));
  end(other);
}

/* A child that has cleared its environment, in a session of its own. */
static void what_descends_from_one_with_the_mark_is_killed(void **state) {
  (void)state;
  assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  char *environment[] = { (char *)(uintptr_t)PATH, MARK ".2", NULL };
  int child;
  pid_t parent =
      start("env -i setsid /bin/sh -c 'echo $$ >&9; exec 9>&-; exec /bin/sleep 600' & wait", environment, &child);
  assert_int_equal(kill(child, 0), 0);
  sk_sweep(MARK ".2", true);
  assert_false(runs(parent));
  assert_int_equal(waitpid(child, NULL, 0), child); /* this process has adopted it */
}

static void only_a_child_of_this_process_is_killed_by_its_pid(void **state) {
  (void)state;
  char *environment[] = { (char *)(uintptr_t)PATH, NULL };
  int grandchild;
  pid_t parent = start("/bin/sh -c 'echo $$ >&9; exec 9>&-; exec sleep 600' & wait", environment, &grandchild);
  sk_sweep_child(grandchild);
  sk_sweep_child(getpid());
  assert_true(runs(parent));
  assert_int_equal(kill(grandchild, 0), 0);
  sk_sweep_child(parent);
  assert_int_equal(waitpid(parent, NULL, 0), parent);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(one_with_the_mark_is_killed_and_one_with_a_longer_mark_is_not),
    cmocka_unit_test(what_descends_from_one_with_the_mark_is_killed),
    cmocka_unit_test(only_a_child_of_this_process_is_killed_by_its_pid),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
