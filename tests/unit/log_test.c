/* log_test.c - log lines and error sentences, read back from a file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/utf8.h"
#include "logic/json.h"

struct fixture {
  char path[32];
  struct sk_log log;
  char text[4 * SK_LOG_LINE_BYTES_MAX];
};

static int setup(void **state) {
  struct fixture *f = calloc(1, sizeof *f);
  strcpy(f->path, "/tmp/skein-log-XXXXXX");
  int fd = mkstemp(f->path);
  if (fd < 0) return -1;
  close(fd);
  sk_log_init(&f->log);
  if (sk_log_reopen(&f->log, f->path, NULL) != SK_OK) return -1;
  *state = f;
  return 0;
}

static int teardown(void **state) {
  struct fixture *f = *state;
  close(f->log.fd);
  unlink(f->path);
  free(f);
  return 0;
}

static const char *written(struct fixture *f) {
  int fd = open(f->path, O_RDONLY);
  ssize_t n = read(fd, f->text, sizeof f->text - 1);
  close(fd);
  assert_true(n >= 0);
  f->text[n] = '\0';
  return f->text;
}

static void a_text_line_has_time_level_message_and_facts(void **state) {
  struct fixture *f = *state;
  struct sk_log_fact facts[] = { { .key = "worker", .value = SK_STR_LIT("1") },
                                 { .key = "why", .value = SK_STR_LIT("two words") },
                                 { .key = "none", .value = SK_STR_LIT("") } };
  sk_log_line(&f->log, SK_LOG_INFO, SK_STR_LIT("worker started"), facts, 3);
  const char *line = written(f);
  assert_int_equal(line[4], '-');
  assert_int_equal(line[23], 'Z');
  assert_string_equal(line + 24, " INFO  worker started worker=1 why=\"two words\" none=\"\"\n");
}

static void a_json_line_is_one_json_object(void **state) {
  struct fixture *f = *state;
  struct sk_log_fact fact = { .key = "job", .value = sk_str("a\"b\0c", 5) };
  f->log.json = true;
  sk_log_line(&f->log, SK_LOG_ERROR, SK_STR_LIT("bad\nthing"), &fact, 1);
  const char *line = written(f);
  assert_int_equal(sk_json_check(sk_str_c(line), 4, NULL), SK_OK);
  assert_non_null(strstr(line, "\"level\":\"error\",\"message\":\"bad\\nthing\",\"job\":\"a\\\"b\\u0000c\"}\n"));
}

static void a_number_is_one_in_json_and_a_traceback_is_a_field(void **state) {
  struct fixture *f = *state;
  struct sk_log_fact fact = { .key = "worker", .value = SK_STR_LIT("7"), .number = true };
  f->log.json = true;
  sk_log_line(&f->log, SK_LOG_ERROR, SK_STR_LIT("a.lua:1: oops\nstack traceback:\n\ta.lua:1"), &fact, 1);
  assert_non_null(strstr(written(f), "\"message\":\"a.lua:1: oops\",\"worker\":7,"
                                     "\"traceback\":\"stack traceback:\\n\\ta.lua:1\"}\n"));
}

static void whatever_bytes_it_holds_a_json_line_is_valid(void **state) {
  struct fixture *f = *state;
  char all[256];
  for (int i = 0; i < 256; i++) all[i] = (char)i;
  struct sk_log_fact fact = { .key = "job", .value = sk_str(all, sizeof all) };
  f->log.json = true;
  sk_log_line(&f->log, SK_LOG_ERROR, sk_str(all, sizeof all), &fact, 1);
  sk_log_line(&f->log, SK_LOG_ERROR, SK_STR_LIT("\xc2\x9b[m \xed\xa0\x80 \xf0\x9f\x98"), NULL, 0);
  const char *line = written(f);
  for (int n = 0; n < 2; n++) {
    const char *end = strchr(line, '\n');
    struct sk_str s = sk_str(line, (size_t)(end - line));
    assert_int_equal(sk_json_check(s, 4, NULL), SK_OK);
    for (size_t i = 0; i < s.n;) {
      size_t bytes = sk_utf8_length(sk_str(s.p + i, s.n - i));
      assert_true(bytes > 0 && !sk_utf8_is_control(sk_str(s.p + i, s.n - i), bytes));
      i += bytes;
    }
    line = end + 1;
  }
}

static void no_control_reaches_a_text_line_in_utf8_or_not(void **state) {
  struct fixture *f = *state;
  struct sk_log_fact fact = { .key = "task", .value = SK_STR_LIT("\xc2\x9b\x9b") };
  sk_log_line(&f->log, SK_LOG_INFO, SK_STR_LIT("a\xc2\x9b[m\x9b-\r\x7f"), &fact, 1);
  assert_non_null(strstr(written(f), "a?[m\xef\xbf\xbd-?? task=\"\\u009b\xef\xbf\xbd\"\n"));
}

static void lines_below_the_level_are_dropped(void **state) {
  struct fixture *f = *state;
  f->log.level = SK_LOG_WARN;
  sk_logf(&f->log, SK_LOG_INFO, "not %s", "this");
  sk_logf(&f->log, SK_LOG_WARN, "this %d", 1);
  assert_null(strstr(written(f), "not"));
  assert_non_null(strstr(written(f), " WARN  this 1\n"));
}

static void a_traceback_keeps_its_lines_indented_and_other_control_bytes_go(void **state) {
  struct fixture *f = *state;
  sk_log_line(&f->log, SK_LOG_INFO, SK_STR_LIT("one\ntwo\033[1m"), NULL, 0);
  assert_non_null(strstr(written(f), "one\n    two?[1m\n"));
}

static void a_line_at_the_limit_is_whole_and_one_past_it_is_cut(void **state) {
  struct fixture *f = *state;
  static char long_text[SK_LOG_LINE_BYTES_MAX + 1];
  memset(long_text, 'x', sizeof long_text);
  sk_log_line(&f->log, SK_LOG_INFO, sk_str(long_text, SK_LOG_LINE_BYTES_MAX), NULL, 0);
  size_t whole = strlen(written(f));
  sk_log_line(&f->log, SK_LOG_INFO, sk_str(long_text, SK_LOG_LINE_BYTES_MAX + 1), NULL, 0);
  assert_int_equal(strlen(written(f)), 2 * whole);
}

static void a_file_that_cannot_be_opened_keeps_the_old_one(void **state) {
  struct fixture *f = *state;
  struct sk_err err;
  assert_int_equal(sk_log_reopen(&f->log, "/nonexistent/x.log", &err), SK_ESYS);
  assert_non_null(strstr(err.message, "/nonexistent/x.log"));
  sk_logf(&f->log, SK_LOG_INFO, "still here");
  assert_non_null(strstr(written(f), "still here"));
}

static void levels_are_parsed_by_name(void **state) {
  (void)state;
  enum sk_log_level level = SK_LOG_DEBUG;
  assert_true(sk_log_level_parse(SK_STR_LIT("off"), &level));
  assert_int_equal(level, SK_LOG_OFF);
  assert_false(sk_log_level_parse(SK_STR_LIT("loud"), &level));
  assert_int_equal(level, SK_LOG_OFF);
}

#define WITH_FILE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
    WITH_FILE(a_text_line_has_time_level_message_and_facts),
    WITH_FILE(a_json_line_is_one_json_object),
    WITH_FILE(a_number_is_one_in_json_and_a_traceback_is_a_field),
    WITH_FILE(whatever_bytes_it_holds_a_json_line_is_valid),
    WITH_FILE(no_control_reaches_a_text_line_in_utf8_or_not),
    WITH_FILE(lines_below_the_level_are_dropped),
    WITH_FILE(a_traceback_keeps_its_lines_indented_and_other_control_bytes_go),
    WITH_FILE(a_line_at_the_limit_is_whole_and_one_past_it_is_cut),
    WITH_FILE(a_file_that_cannot_be_opened_keeps_the_old_one),
    cmocka_unit_test(levels_are_parsed_by_name),
  };
  return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
