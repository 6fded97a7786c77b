/* relay_test.c - what a child process prints, cleaned for a terminal, and how it ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "app/out.c" /* the library has no application code */
#include "app/relay.c"

static FILE *files[2];   /* in place of stdout and stderr */
static int originals[2]; /* copies of the real ones */

static int capture(void **state) {
  (void)state;
  fflush(NULL);
  for (int i = 0; i < 2; i++) {
    originals[i] = dup(STDOUT_FILENO + i);
    files[i] = tmpfile();
    if (originals[i] < 0 || files[i] == NULL) return -1;
    dup2(fileno(files[i]), STDOUT_FILENO + i);
  }
  return 0;
}

static int release(void **state) {
  (void)state;
  fflush(NULL);
  for (int i = 0; i < 2; i++) {
    dup2(originals[i], STDOUT_FILENO + i);
    close(originals[i]);
    fclose(files[i]);
  }
  return 0;
}

static void assert_printed(int i, const char *expected) {
  char text[512] = "";
  ssize_t n = pread(fileno(files[i]), text, sizeof text - 1, 0);
  assert_true(n >= 0);
  assert_string_equal(text, expected);
}

static int print_controls(void *ctx) {
  printf("a\x1b[1m \xc2\x9b b\nno newline\x07");
  fflush(stdout);
  fprintf(stderr, "e\xff\t\r\n");
  return *(int *)ctx;
}

static void output_loses_its_controls_and_the_value_comes_back(void **state) {
  (void)state;
  int value = 7;
  assert_int_equal(sk_relay_run("check", print_controls, &value), 7);
  assert_printed(0, "a [1m   b\nno newline ");
  assert_printed(1, "e\xef\xbf\xbd\t \n");
}

static int abort_after_a_word(void *ctx) {
  (void)ctx;
  fprintf(stderr, "last words\n");
  abort();
}

static void a_signal_that_ends_the_child_is_named(void **state) {
  (void)state;
  assert_int_equal(sk_relay_run("check", abort_after_a_word, NULL), SK_EXIT_FAILED);
  assert_printed(1, "last words\nskein check: signal 6 (Aborted) ended the process that loads the scripts\n");
}

static int leave_a_program_behind(void *ctx) {
  (void)ctx;
  printf("before\n");
  fflush(stdout);
  if (fork() == 0) { /* holds both streams open until its parent's parent, the test, has gone on */
    prctl(PR_SET_PDEATHSIG, 0);
    char *argv[] = { "sleep", "30", NULL };
    execvp("sleep", argv);
    _exit(127);
  }
  return 0;
}

static void a_program_that_the_child_leaves_is_not_waited_for(void **state) {
  (void)state;
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  assert_int_equal(sk_relay_run("check", leave_a_program_behind, NULL), 0);
  assert_printed(0, "before\n");
  char path[64], children[64] = "";
  snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
  FILE *f = fopen(path, "r"); /* the orphan is a child of this process now */
  assert_non_null(f);
  assert_non_null(fgets(children, sizeof children, f));
  fclose(f);
  pid_t orphan = atoi(children);
  assert_true(orphan > 0);
  kill(orphan, SIGKILL);
  assert_int_equal(waitpid(orphan, NULL, 0), orphan);
}

#define T(f) cmocka_unit_test_setup_teardown(f, capture, release)

int main(void) {
  const struct CMUnitTest tests[] = {
    T(output_loses_its_controls_and_the_value_comes_back),
    T(a_signal_that_ends_the_child_is_named),
    T(a_program_that_the_child_leaves_is_not_waited_for),
  };
  return cmocka_run_group_tests_name("relay", tests, NULL, NULL);
}
