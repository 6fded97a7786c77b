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
#include "app/table.c"
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

static void times_are_local_with_their_offset_unless_utc_is_asked_for(void **state) {
  (void)state;
  char text[SK_TIME_BYTES];
  static const struct {
    const char *zone, *text;
  } cases[] = { { "Europe/Berlin", "2026-11-21T23:08:34.123+01:00" },
                { "America/St_Johns", "2026-11-21T18:38:34.123-03:30" },
                { "UTC", "2026-11-21T22:08:34.123+00:00" } };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    setenv("TZ", cases[i].zone, 1);
    tzset();
    sk_text_time(1795298914123, false, text);
    assert_string_equal(text, cases[i].text);
    sk_text_time(1795298914123, true, text);
    assert_string_equal(text, "2026-11-21T22:08:34.123Z");
  }
}

static void controls_that_a_terminal_obeys_become_escapes(void **state) {
  (void)state;
  struct sk_buf out = { 0 };
  sk_json_out_raw(&out, SK_STR_LIT("[\"a\xc2\x9bm\x7f\x9b\"]"));
  assert_text(&out, "[\"a\\u009bm\\u007f\xef\xbf\xbd\"]");
  sk_json_out_text(&out, SK_STR_LIT("\x1b[1m\xc2\x9bm"));
  assert_text(&out, "\"\\u001b[1m\\u009bm\"");
}

static void times_and_spans_read_well(void **state) {
  (void)state;
  char text[SK_TIME_BYTES];
  static const struct {
    int64_t ms;
    const char *text;
  } spans[] = { { 0, "0ms" },     { 999, "999ms" },     { 1500, "1.5s" },     { 59999, "59s" },
                { 120000, "2m" }, { 3600000, "1h00m" }, { 7800000, "2h10m" }, { 259200000, "3d" } };
  for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) {
    sk_text_span(spans[i].ms, text);
    assert_string_equal(text, spans[i].text);
  }
  sk_text_when(5000, 0, text);
  assert_string_equal(text, "in 5.0s");
  sk_text_when(600000, 30, text);
  assert_string_equal(text, "in 10m");
  sk_text_when(0, 180000, text);
  assert_string_equal(text, "3m ago");
  sk_text_time(-1, true, text);
  assert_string_equal(text, "1969-12-31T23:59:59.999Z");
  sk_text_time(INT64_MAX, true, text); /* beyond any calendar */
  assert_string_equal(text, "9223372036854775807");
}

static void a_table_is_aligned_and_harmless(void **state) {
  (void)state;
  static const char *const heads[] = { "NAME", ">N", "NOTE" };
  struct sk_table t;
  sk_table_init(&t, heads, 3);
  sk_table_add(&t, SK_STR_LIT("\xc3\xa9t\xc3\xa9"));
  sk_table_add_int(&t, 12345);
  sk_table_add(&t, SK_STR_LIT("red \x1b[31m\xc2\x9b alarm\xff"));
  sk_table_add(&t, SK_STR_LIT("longer"));
  sk_table_add_int(&t, -1);
  sk_table_add(&t, SK_STR_LIT("0123456789012345678901234567890123456789012345678901234567890"));
  sk_table_add(&t, SK_STR_LIT("x"));
  sk_table_add_int(&t, 0);
  sk_table_add(&t, SK_STR_LIT(""));
  struct sk_buf out = { 0 };
  sk_table_print(&t, &out);
  sk_table_fini(&t);
  assert_text(&out, "NAME        N  NOTE\n"
                    "\xc3\xa9t\xc3\xa9     12345  red  [31m  alarm\xef\xbf\xbd\n"
                    "longer     -1  012345678901234567890123456789012345678901234567890123456...\n"
                    "x           0\n");
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(spliced_json_stays_as_it_is),
    cmocka_unit_test(bytes_that_are_no_utf8_become_replacements),
    cmocka_unit_test(what_is_no_json_becomes_a_string_and_nothing_null),
    cmocka_unit_test(a_job_is_an_object_with_every_field),
    cmocka_unit_test(times_and_spans_read_well),
    cmocka_unit_test(times_are_local_with_their_offset_unless_utc_is_asked_for),
    cmocka_unit_test(controls_that_a_terminal_obeys_become_escapes),
    cmocka_unit_test(a_table_is_aligned_and_harmless),
  };
  return cmocka_run_group_tests_name("json_out", tests, NULL, NULL);
}
