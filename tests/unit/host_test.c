/* host_test.c - an engine judges the processes of its machine by what the kernel says: one that it cannot see under
 * /proc is not dead. */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/str.h"
#include "store/redis/redis.h"

enum { DEAD = 10, ALIVE, NOT_ALLOWED };

/* A process that waits to be killed, and how it describes itself. */
struct process {
  pid_t pid;
  char text[256];
};

static void start(struct process *p) {
  int ends[2];
  assert_int_equal(0, pipe(ends));
  p->pid = fork();
  assert_true(p->pid >= 0);
  if (p->pid == 0) {
    sk_rd_describe_self(p->text, sizeof p->text);
    if (write(ends[1], p->text, strlen(p->text)) < 0) _exit(1);
    close(ends[1]);
    while (true) pause();
  }
  close(ends[1]);
  ssize_t n = read(ends[0], p->text, sizeof p->text - 1);
  close(ends[0]);
  assert_true(n > 0);
  p->text[n] = '\0';
}

static void end(struct process *p) {
  assert_int_equal(0, kill(p->pid, SIGKILL));
  assert_int_equal(p->pid, waitpid(p->pid, NULL, 0));
}

static bool is_dead(const struct process *p) { return sk_rd_is_dead((struct sk_str){ p->text, strlen(p->text) }); }

/* Mounts an empty folder over /proc/PID, for this process alone: what hidepid does to the processes of other users. */
static bool hide(const struct process *p) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%ld", (long)p->pid);
  if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
  return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 && mount("none", path, "tmpfs", MS_RDONLY, NULL) == 0;
}

/* What a process to which p is hidden says of it. */
static int judge_hidden(const struct process *p) {
  int status;
  pid_t judge = fork();
  assert_true(judge >= 0);
  if (judge == 0) {
    if (!hide(p)) _exit(NOT_ALLOWED);
    _exit(is_dead(p) ? DEAD : ALIVE);
  }
  assert_int_equal(judge, waitpid(judge, &status, 0));
  assert_true(WIFEXITED(status));
  return WEXITSTATUS(status);
}

static void test_a_process_that_lives_is_not_dead(void **state) {
  (void)state;
  struct process p;
  start(&p);
  assert_false(is_dead(&p));
  end(&p);
}

static void test_a_process_that_is_gone_is_dead(void **state) {
  (void)state;
  struct process p;
  start(&p);
  end(&p);
  assert_true(is_dead(&p));
}

static void test_a_process_that_ended_and_was_not_waited_for_is_dead(void **state) {
  (void)state;
  struct process p;
  siginfo_t info;
  start(&p);
  assert_int_equal(0, kill(p.pid, SIGKILL));
  assert_int_equal(0, waitid(P_PID, (id_t)p.pid, &info, WEXITED | WNOWAIT));
  assert_true(is_dead(&p));
  assert_int_equal(p.pid, waitpid(p.pid, NULL, 0));
}

static void test_a_process_that_cannot_be_seen_is_not_dead(void **state) {
  (void)state;
  struct process p;
  start(&p);
  int said = judge_hidden(&p);
  end(&p);
  if (said == NOT_ALLOWED) skip();
  assert_int_equal(ALIVE, said);
}

static void test_a_pid_that_was_used_anew_is_dead(void **state) {
  (void)state;
  struct process p;
  start(&p);
  /* The start time is the last word: another process had this pid before. */
  char *last = strrchr(p.text, ' ');
  snprintf(last + 1, sizeof p.text - (size_t)(last + 1 - p.text), "1");
  assert_true(is_dead(&p));
  end(&p);
}

static void test_nothing_is_known_of_a_process_elsewhere(void **state) {
  (void)state;
  struct process p;
  start(&p);
  end(&p);
  p.text[0] = p.text[0] == '0' ? '1' : '0'; /* another boot */
  assert_false(is_dead(&p));
  assert_false(sk_rd_is_dead(SK_STR_LIT("")));
  assert_false(sk_rd_is_dead(SK_STR_LIT("- - 1 1")));
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_a_process_that_lives_is_not_dead),
    cmocka_unit_test(test_a_process_that_is_gone_is_dead),
    cmocka_unit_test(test_a_process_that_ended_and_was_not_waited_for_is_dead),
    cmocka_unit_test(test_a_process_that_cannot_be_seen_is_not_dead),
    cmocka_unit_test(test_a_pid_that_was_used_anew_is_dead),
    cmocka_unit_test(test_nothing_is_known_of_a_process_elsewhere),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
