/* log_sink_test.c - a log whose reader stands still. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log_sink.h"

enum { LINE_BYTES = 1000, TEXT_BYTES_MAX = 3 * SK_LOG_BUFFER_BYTES_MAX };

struct world {
  int ends[2]; /* of the pipe that the log writes to */
  struct sk_log log;
  char *text; /* what was read of it */
  size_t n;
};

static int setup(void **state) {
  struct world *w = calloc(1, sizeof *w);
  if (pipe2(w->ends, O_CLOEXEC) != 0) return -1;
  sk_log_init(&w->log);
  w->log.fd = w->ends[1];
  w->text = malloc(TEXT_BYTES_MAX + 1);
  *state = w;
  return sk_log_sink_start(&w->log, NULL) == SK_OK && w->text ? 0 : -1;
}

static int teardown(void **state) {
  struct world *w = *state;
  sk_log_sink_stop(&w->log);
  for (int i = 0; i < 2; i++)
    if (w->ends[i] >= 0) close(w->ends[i]);
  free(w->text);
  free(w);
  return 0;
}

/* Reads on until the log's text has that in it. */
static void read_until(struct world *w, const char *has) {
  w->text[w->n] = '\0';
  while (strstr(w->text, has) == NULL) {
    ssize_t n = read(w->ends[0], w->text + w->n, TEXT_BYTES_MAX - w->n);
    assert_true(n > 0);
    w->n += (size_t)n;
    w->text[w->n] = '\0';
  }
}

static size_t count(const char *text, const char *has) {
  size_t n = 0;
  for (const char *p = text; (p = strstr(p, has)) != NULL; p++) n++;
  return n;
}

static void log_lines(struct world *w, int n) {
  char line[LINE_BYTES];
  memset(line, 'x', sizeof line - 1);
  line[sizeof line - 1] = '\0';
  memcpy(line, "line", 4);
  for (int i = 0; i < n; i++) sk_logf(&w->log, SK_LOG_INFO, "%s", line);
}

static void lines_come_in_order_and_whole(void **state) {
  struct world *w = *state;
  for (int i = 0; i < 1000; i++) sk_logf(&w->log, SK_LOG_INFO, "line %d.", i);
  read_until(w, "line 999.");
  const char *at = w->text;
  char has[32];
  for (int i = 0; i < 1000; i++) {
    snprintf(has, sizeof has, " line %d.\n", i);
    at = strstr(at, has);
    assert_non_null(at);
  }
}

/* More is logged than there is room for in the buffer and in the thread; nobody reads meanwhile.  Lost lines are
 * counted, and their number is told as soon as somebody reads. */
static void a_reader_that_stands_still_holds_nobody_up(void **state) {
  struct world *w = *state;
  int n = 3 * (SK_LOG_BUFFER_BYTES_MAX / LINE_BYTES);
  log_lines(w, n);
  read_until(w, "log lines were lost");
  size_t there = count(w->text, " linex");
  const char *told = strstr(w->text, "log lines were lost");
  while (told[-1] != ' ' || told[-2] < '0' || told[-2] > '9') told--;
  for (told--; told[-1] >= '0' && told[-1] <= '9';) told--;
  assert_in_range(there, SK_LOG_BUFFER_BYTES_MAX / LINE_BYTES / 2, n);
  assert_int_equal(there + strtoul(told, NULL, 10), n);
  sk_logf(&w->log, SK_LOG_INFO, "flows again");
  read_until(w, "flows again");
}

static void the_end_does_not_wait_for_it(void **state) {
  struct world *w = *state;
  log_lines(w, 200); /* more than a pipe holds */
  int64_t from = sk_clock_mono_ms();
  sk_log_sink_stop(&w->log);
  assert_in_range(sk_clock_mono_ms() - from, SK_LOG_FLUSH_MS - 10, 10 * SK_LOG_FLUSH_MS);
  sk_logf(&w->log, SK_LOG_ERROR, "nobody hears this"); /* and it does not wait either */
  close(w->ends[0]);                                   /* lets go of the thread that was left behind */
  w->ends[0] = w->ends[1] = -1;                        /* the other end is the thread's now */
}

static void the_end_waits_until_all_is_written(void **state) {
  struct world *w = *state;
  for (int i = 0; i < 100; i++) sk_logf(&w->log, SK_LOG_INFO, "line %d.", i);
  sk_log_sink_stop(&w->log);
  fcntl(w->ends[0], F_SETFL, O_NONBLOCK);
  read_until(w, "line 99.");
}

static void a_fifo_without_a_reader_can_be_opened(void **state) {
  (void)state;
  char dir[] = "/tmp/skein-fifo-XXXXXX", path[64];
  assert_non_null(mkdtemp(dir));
  snprintf(path, sizeof path, "%s/log", dir);
  assert_int_equal(mkfifo(path, 0600), 0);
  struct sk_log log;
  sk_log_init(&log);
  for (int i = 0; i < 2; i++) assert_int_equal(sk_log_reopen(&log, path, NULL), SK_OK); /* the second as after USR1 */
  sk_logf(&log, SK_LOG_INFO, "kept for a reader");
  int reader = open(path, O_RDONLY);
  char text[200] = { 0 };
  assert_true(read(reader, text, sizeof text - 1) > 0);
  assert_non_null(strstr(text, "kept for a reader"));
  close(reader);
  close(log.fd);
  unlink(path);
  rmdir(dir);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  const struct CMUnitTest tests[] = {
    T(lines_come_in_order_and_whole),
    T(a_reader_that_stands_still_holds_nobody_up),
    T(the_end_does_not_wait_for_it),
    T(the_end_waits_until_all_is_written),
    cmocka_unit_test(a_fifo_without_a_reader_can_be_opened),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
