/* json_out_test.c - the command's output: JSON that is valid whatever a job carries, text that is fit for a terminal.
 *
 * The application is no library, so its sources under test are compiled in here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <time.h>

#include "app/json_out.c"
#include "app/text.c"

static void assert_text(struct sk_buf *out, const char *expected) {
  assert_false(out->failed);
  sk_buf_add_byte(out, '\0');
  assert_string_equal(out->p, expected);
  sk_buf_fini(out);
}

static void spliced_json_stays_as_it_is(void **state) {
  (void)state;
  static const char *const texts[] = { "[1, \"a\\\\\\\"\\n\", {\"b\":null}]", "9007199254740993",
                                       "\"\xc3\xa9\xf0\x9f\xa6\xa2\"", "\"\\ud83e\\udda2\"" };
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    struct sk_buf out = { 0 };
    sk_json_out_raw(&out, sk_str_c(texts[i]));
    assert_text(&out, texts[i]);
  }
}

static void bytes_that_are_no_utf8_become_replacements(void **state) {
  (void)state;
  struct sk_buf out = { 0 };
  sk_json_out_raw(&out, SK_STR_LIT("[\"a\xff\xc3\",\"\xed\xa0\x80\",\"\\ud800x\",\"\xe2\x82\"]"));
  assert_text(&out, "[\"a\xef\xbf\xbd\xef\xbf\xbd\",\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\",\"\\ufffdx\","
                    "\"\xef\xbf\xbd\xef\xbf\xbd\"]");
  out = (struct sk_buf){ 0 };
  sk_json_out_text(&out, SK_STR_LIT("\"\xff\n"));
  assert_text(&out, "\"\\\"\xef\xbf\xbd\\n\"");
}

static void what_is_no_json_becomes_a_string_and_nothing_null(void **state) {
  (void)state;
  struct sk_buf out = { 0 };
  sk_json_out_raw(&out, SK_STR_LIT("[1,"));
  assert_text(&out, "\"[1,\"");
  out = (struct sk_buf){ 0 };
  sk_json_out_raw(&out, sk_str(NULL, 0));
  assert_text(&out, "null");
}

static void a_job_is_an_object_with_every_field(void **state) {
  (void)state;
  struct sk_job job;
  sk_job_init(&job);
  job.id = SK_STR_LIT("j1");
  job.task = SK_STR_LIT("add");
  job.args = SK_STR_LIT("[1,2]");
  job.retries = 3;
  job.attempts = 1;
  job.enqueued_ms = 1795298914123;
  job.error_kind = SK_KIND_TIMEOUT;
  job.error = SK_STR_LIT("too slow");
  struct sk_view view = { .id = job.id,
                          .queue = SK_STR_LIT("q"),
                          .state = SK_STATE_RUNNING,
                          .priority = -1,
                          .running_since_ms = 1795298914999,
                          .engine = SK_STR_LIT("e1"),
                          .percent = 50,
                          .progress_text = SK_STR_LIT("half"),
                          .log = SK_STR_LIT("7 new\n"),
                          .stopping = true };
  job.history = SK_STR_LIT("5 done\n");
  job.log = SK_STR_LIT("6 old\n");
  struct sk_buf out = { 0 };
  sk_json_out_job(&out, &view, &job);
  assert_int_equal(sk_json_check(sk_buf_str(&out), 8, NULL), SK_OK);
  assert_text(
      &out, "{\"id\":\"j1\",\"task\":\"add\",\"queue\":\"q\",\"state\":\"running\",\"priority\":-1,\"args\":[1,2],"
            "\"meta\":{},"
            "\"attempts\":1,\"attempt\":2,\"retries\":3,\"crashes\":0,\"recoveries\":0,\"enqueued_at\":\"2026-11-21T22:"
            "08:34.123Z\","
            "\"due_at\":null,\"started_at\":\"2026-11-21T22:08:34.999Z\",\"finished_at\":null,"
            "\"error\":{\"kind\":\"timeout\",\"message\":\"too slow\",\"traceback\":null},\"result\":null,"
            "\"progress\":{\"percent\":50,\"message\":\"half\"},\"engine\":\"e1\",\"stopping\":true,\"held_back\":null,"
            "\"history\":[{\"at\":\"1970-01-01T00:00:00.005Z\",\"event\":\"done\",\"detail\":null}],"
            "\"log\":[{\"at\":\"1970-01-01T00:00:00.006Z\",\"text\":\"old\"},{\"at\":\"1970-01-01T00:00:00.007Z\","
            "\"text\":\"new\"}]}");
  sk_job_init(&job);
  view = (struct sk_view){ .id = SK_STR_LIT("j2"), .queue = SK_STR_LIT("q"), .state = SK_STATE_READY, .percent = -1 };
  sk_json_out_job(&out, &view, &job);
  assert_text(
      &out, "{\"id\":\"j2\",\"task\":\"\",\"queue\":\"q\",\"state\":\"ready\",\"priority\":0,\"args\":null,\"meta\":{},"
            "\"attempts\":0,\"attempt\":null,\"retries\":null,\"crashes\":0,\"recoveries\":0,\"enqueued_at\":null,"
            "\"due_at\":null,"
            "\"started_at\":null,\"finished_at\":null,\"error\":null,\"result\":null,\"progress\":null,\"engine\":null,"
            "\"stopping\":false,\"held_back\":null,\"history\":[],\"log\":[]}");
}

static void controls_that_a_terminal_obeys_become_escapes(void **state) {
  (void)state;
  struct sk_buf out = { 0 };
  sk_json_out_raw(&out, SK_STR_LIT("[\"a\xc2\x9bm\x7f\x9b\"]"));
  assert_text(&out, "[\"a\\u009bm\\u007f\xef\xbf\xbd\"]");
  sk_json_out_text(&out, SK_STR_LIT("\x1b[1m\xc2\x9bm"));
  assert_text(&out, "\"\\u001b[1m\\u009bm\"");
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(spliced_json_stays_as_it_is),
    cmocka_unit_test(bytes_that_are_no_utf8_become_replacements),
    cmocka_unit_test(what_is_no_json_becomes_a_string_and_nothing_null),
    cmocka_unit_test(a_job_is_an_object_with_every_field),
    cmocka_unit_test(controls_that_a_terminal_obeys_become_escapes),
  };
  return cmocka_run_group_tests_name("json_out", tests, NULL, NULL);
}
