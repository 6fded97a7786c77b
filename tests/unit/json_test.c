/* json_test.c - JSON text: the grammar, the walk over it, strings and numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "logic/json.h"

static enum sk_code check(const char *text) {
  size_t n = strlen(text);
  char *exact = malloc(n ? n : 1); /* so that the sanitizer sees a read past the end */
  memcpy(exact, text, n);
  enum sk_code code = sk_json_check(sk_str(exact, n), 8, NULL);
  free(exact);
  return code;
}

static void well_formed_text_is_accepted(void **state) {
  (void)state;
  const char *good[] = { "null",
                         "true",
                         "false",
                         "0",
                         "-0",
                         "12.5e+3",
                         "1E-7",
                         "\"\"",
                         "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"",
                         "[]",
                         "{}",
                         " [ 1 , 2 ] ",
                         "\t\r\n{ \"a\" : [ { } , [ ] ] , \"\" : null }\n",
                         "\"\xff\xfe\x80\"",
                         "\"\\ud800\"",
                         "\"\\udc00\\ud800\"",
                         "[[[[[[[[]]]]]]]]",
                         "{\"a\":1,\"a\":2}",
                         "\"\x7f\"" };
  for (size_t i = 0; i < sizeof good / sizeof *good; i++)
    if (check(good[i]) != SK_OK) fail_msg("refused: %s", good[i]);
}

static void numbers_beyond_a_double_are_refused_and_those_it_holds_are_not(void **state) {
  (void)state;
  static const char *const good[] = { "1e308",
                                      "1.7976931348623157e308",
                                      "17976931348623157e292",
                                      "-1.79e+308",
                                      "0e999999999999",
                                      "0.0e400",
                                      "0.00001e312",
                                      "1e-400",
                                      "123456789012345678901234567890" };
  static const char *const bad[] = { "1e400",
                                     "-1e400",
                                     "1.8e308",
                                     "1e309",
                                     "1E+99999999999999999999",
                                     "0.001e312",
                                     "[1,2e308]",
                                     "{\"a\":1e999}",
                                     "1797693134862315807938e287" };
  for (size_t i = 0; i < sizeof good / sizeof *good; i++)
    if (check(good[i]) != SK_OK) fail_msg("refused: %s", good[i]);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (check(bad[i]) != SK_EINVAL) fail_msg("accepted: %s", bad[i]);
  char digits[400];
  memset(digits, '9', sizeof digits);
  assert_int_equal(sk_json_check(sk_str(digits, 308), 1, NULL), SK_OK);
  assert_int_equal(sk_json_check(sk_str(digits, 309), 1, NULL), SK_EINVAL);
  memset(digits, '1', sizeof digits);
  assert_int_equal(sk_json_check(sk_str(digits, 309), 1, NULL), SK_OK);
  assert_int_equal(sk_json_check(sk_str(digits, 310), 1, NULL), SK_EINVAL);
}

static void malformed_text_is_refused(void **state) {
  (void)state;
  const char *bad[] = { "",
                        " ",
                        "nul",
                        "nulL",
                        "True",
                        "01",
                        "-",
                        "+1",
                        "1.",
                        ".5",
                        "1e",
                        "1e+",
                        "0x10",
                        "NaN",
                        "\"",
                        "\"\\\"",
                        "\"\\x\"",
                        "\"\n\"",
                        "\"\x01\"",
                        "\"\\u12g4\"",
                        "\"\\u123\"",
                        "[",
                        "[1",
                        "[1,",
                        "[1,]",
                        "[,1]",
                        "[1 2]",
                        "]",
                        "{",
                        "{}}",
                        "{\"a\"}",
                        "{\"a\":}",
                        "{\"a\":1,}",
                        "{a:1}",
                        "{1:1}",
                        "{\"a\":1 \"b\":2}",
                        "[1}",
                        "{\"a\":1]",
                        "1 2",
                        "[] []",
                        "'a'",
                        "[1]//",
                        "\"\\ud83d\\u\"",
                        "tru",
                        "-a",
                        "1.e5",
                        "[\"a]",
                        "\v1",
                        "\xef\xbb\xbf{}" };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (check(bad[i]) != SK_EINVAL) fail_msg("not refused: %s", bad[i]);
}

static void the_message_says_where_and_what_was_expected(void **state) {
  (void)state;
  const struct {
    const char *text, *message;
  } cases[] = {
    { "[1,2", "JSON ends at byte 4 where ',' or ']' was expected" },
    { "{\"a\" 1}", "JSON at byte 5: expected ':', found '1'" },
    { "[tru]", "JSON at byte 4: expected true, false or null, found ']'" },
    { "\"a\tb\"", "JSON at byte 2: expected a string's byte (control bytes are written as escapes), found byte 0x09" },
    { "", "JSON ends at byte 0 where a value was expected" },
    { "[[[]]]", "JSON at byte 2: nested more than 2 deep" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct sk_err err = { 0 };
    assert_int_not_equal(sk_json_check(sk_str_c(cases[i].text), 2, &err), SK_OK);
    assert_string_equal(err.message, cases[i].message);
  }
}

static void depth_is_accepted_at_the_limit_and_refused_one_past_it(void **state) {
  (void)state;
  static char text[2 * SK_JSON_WALK_DEPTH_MAX + 2];
  for (size_t max = 0; max <= SK_JSON_WALK_DEPTH_MAX; max += max < 130 ? 1 : 447) {
    memset(text, '[', max);
    memset(text + max, ']', max);
    if (max > 0) assert_int_equal(sk_json_check(sk_str(text, 2 * max), max, NULL), SK_OK);
    memset(text, '[', max + 1);
    memset(text + max + 1, ']', max + 1);
    assert_int_equal(sk_json_check(sk_str(text, 2 * max + 2), max, NULL), SK_ELIMIT);
  }
  assert_int_equal(sk_json_check(SK_STR_LIT("1"), 0, NULL), SK_OK);
}

static void closing_bytes_match_their_openings_at_every_depth(void **state) {
  (void)state;
  char text[1000] = "";
  const int levels = 100; /* of alternating kinds, past the first word of bits */
  for (int i = 0; i < levels; i++) strcat(text, i % 3 ? "{\"k\":" : "[");
  strcat(text, "0");
  for (int i = levels - 1; i >= 0; i--) strcat(text, i % 3 ? "}" : "]");
  assert_int_equal(sk_json_check(sk_str_c(text), 100, NULL), SK_OK);
  size_t n = strlen(text);
  for (size_t i = n - (size_t)levels; i < n; i++) {
    char was = text[i];
    text[i] = was == '}' ? ']' : '}';
    assert_int_equal(sk_json_check(sk_str_c(text), 100, NULL), SK_EINVAL);
    text[i] = was;
  }
}

static void the_type_is_told_by_the_first_byte(void **state) {
  (void)state;
  assert_int_equal(sk_json_type(SK_STR_LIT(" \n{")), SK_JSON_OBJECT);
  assert_int_equal(sk_json_type(SK_STR_LIT("[")), SK_JSON_ARRAY);
  assert_int_equal(sk_json_type(SK_STR_LIT("\"")), SK_JSON_STRING);
  assert_int_equal(sk_json_type(SK_STR_LIT("-1")), SK_JSON_NUMBER);
  assert_int_equal(sk_json_type(SK_STR_LIT("false")), SK_JSON_BOOL);
  assert_int_equal(sk_json_type(SK_STR_LIT("null")), SK_JSON_NULL);
  assert_int_equal(sk_json_type(SK_STR_LIT("+")), SK_JSON_NONE);
  assert_int_equal(sk_json_type(sk_str(NULL, 0)), SK_JSON_NONE);
  assert_int_equal(sk_json_check(sk_str(NULL, 0), 1, NULL), SK_EINVAL);
}

static void a_reader_gives_the_elements_of_an_array(void **state) {
  (void)state;
  struct sk_json_reader r;
  struct sk_str key, value;
  assert_int_equal(sk_json_open(&r, SK_STR_LIT(" [ 1 , {\"a\":[2,\"]\"]} ,\"x\" ] "), NULL), SK_OK);
  const char *expected[] = { "1", "{\"a\":[2,\"]\"]}", "\"x\"" };
  for (int i = 0; i < 3; i++) {
    assert_true(sk_json_next(&r, &key, &value));
    assert_int_equal(key.n, 0);
    assert_true(sk_str_eq_c(value, expected[i]));
  }
  assert_false(sk_json_next(&r, &key, &value));
  assert_false(sk_json_next(&r, &key, &value));
  assert_int_equal(sk_json_end(&r, NULL), SK_OK);
}

static void a_reader_gives_the_members_of_an_object(void **state) {
  (void)state;
  struct sk_json_reader r;
  struct sk_str key, value;
  assert_int_equal(sk_json_open(&r, SK_STR_LIT("{\"a\\n\" : null, \"\":[ ]}"), NULL), SK_OK);
  assert_true(sk_json_next(&r, &key, &value));
  assert_true(sk_str_eq_c(key, "\"a\\n\""));
  assert_true(sk_str_eq_c(value, "null"));
  assert_true(sk_json_next(&r, &key, &value));
  assert_true(sk_str_eq_c(key, "\"\""));
  assert_true(sk_str_eq_c(value, "[ ]"));
  assert_false(sk_json_next(&r, &key, &value));
  assert_int_equal(sk_json_end(&r, NULL), SK_OK);
}

static void a_reader_stops_at_malformed_text_and_says_so(void **state) {
  (void)state;
  const char *bad[] = { "[1,]", "[1 2]", "[", "{\"a\":1,}", "{\"a\"}", "{1:2}", "[1]x", "{}]", "[[}]" };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct sk_json_reader r;
    struct sk_str key, value;
    struct sk_err err = { 0 };
    assert_int_equal(sk_json_open(&r, sk_str_c(bad[i]), NULL), SK_OK);
    while (sk_json_next(&r, &key, &value)) {}
    assert_int_equal(sk_json_end(&r, &err), SK_EINVAL);
    assert_memory_equal(err.message, "JSON ", 5);
  }
  struct sk_json_reader r;
  struct sk_str key, value;
  assert_int_equal(sk_json_open(&r, SK_STR_LIT("1"), NULL), SK_EINVAL);
  assert_false(sk_json_next(&r, &key, &value));
}

static void elements_are_counted(void **state) {
  (void)state;
  size_t n = 99;
  assert_int_equal(sk_json_array_count(SK_STR_LIT("[]"), &n, NULL), SK_OK);
  assert_int_equal(n, 0);
  assert_int_equal(sk_json_array_count(SK_STR_LIT("[[1,2],\"a,b\",{\"c\":[3]}]"), &n, NULL), SK_OK);
  assert_int_equal(n, 3);
  assert_int_equal(sk_json_array_count(SK_STR_LIT("{}"), &n, NULL), SK_EINVAL);
  assert_int_equal(sk_json_array_count(SK_STR_LIT("[1,"), &n, NULL), SK_EINVAL);
}

static void a_member_is_found_by_what_its_name_stands_for(void **state) {
  (void)state;
  struct sk_str object =
                    SK_STR_LIT("{\"a\":1,\"t\\u0061sk\":\"x\",\"n\":{\"a\":2},\"a\":3,\"\\ud83d\\ude00\":4,\"\":5}"),
                value;
  assert_true(sk_json_find(object, SK_STR_LIT("task"), &value) && sk_str_eq_c(value, "\"x\""));
  assert_true(sk_json_find(object, SK_STR_LIT("a"), &value) && sk_str_eq_c(value, "3"));
  assert_true(sk_json_find(object, SK_STR_LIT("\xf0\x9f\x98\x80"), &value) && sk_str_eq_c(value, "4"));
  assert_true(sk_json_find(object, SK_STR_LIT(""), &value) && sk_str_eq_c(value, "5"));
  assert_false(sk_json_find(object, SK_STR_LIT("tas"), &value));
  assert_false(sk_json_find(object, SK_STR_LIT("tasks"), &value));
  assert_false(sk_json_find(SK_STR_LIT("[1]"), SK_STR_LIT("a"), &value));
  assert_false(sk_json_find(SK_STR_LIT("{\"a\":1,}"), SK_STR_LIT("a"), &value));
}

static void strings_are_unescaped_to_utf8_and_other_bytes_pass(void **state) {
  (void)state;
  const struct {
    struct sk_str text, bytes;
  } cases[] = {
    { SK_STR_LIT("\"\""), SK_STR_LIT("") },
    { SK_STR_LIT("\"plain\""), SK_STR_LIT("plain") },
    { SK_STR_LIT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), SK_STR_LIT("\"\\/\b\f\n\r\t") },
    { SK_STR_LIT("\"a\\u0000b\\u007f\\u0080\\u07FF\\u0800\\uffff\""),
      SK_STR_LIT("a\0b\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf") },
    { SK_STR_LIT("\"\\uD83D\\uDE00\\udbff\\udfff\""), SK_STR_LIT("\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf") },
    { SK_STR_LIT("\"\\ud800\\u0041\\udc00\""), SK_STR_LIT("\xed\xa0\x80"
                                                          "A\xed\xb0\x80") },
    { SK_STR_LIT("\"\xff\xc3\\n\x80 and a longer run of plain bytes\""),
      SK_STR_LIT("\xff\xc3\n\x80 and a longer run of plain bytes") },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct sk_buf b = { 0 };
    assert_true(sk_json_unescape(cases[i].text, &b));
    assert_true(sk_str_eq(sk_buf_str(&b), cases[i].bytes));
    sk_buf_fini(&b);
  }
  struct sk_buf b = { 0 };
  assert_false(sk_json_unescape(SK_STR_LIT("\"a"), &b));
  assert_false(sk_json_unescape(SK_STR_LIT("1"), &b));
  assert_false(sk_json_unescape(SK_STR_LIT("\"a\"b\""), &b));
  assert_false(sk_json_unescape(SK_STR_LIT("\""), &b));
  assert_int_equal(b.n, 0);
}

static void what_a_buffer_writes_as_json_is_read_back(void **state) {
  (void)state;
  char bytes[256];
  for (int i = 0; i < 256; i++) bytes[i] = (char)i;
  for (size_t from = 0; from < 256; from += 5)
    for (size_t n = 0; n <= 256 - from; n += 3) {
      struct sk_buf text = { 0 }, back = { 0 };
      sk_buf_add_json(&text, sk_str(bytes + from, n));
      assert_int_equal(sk_json_check(sk_buf_str(&text), 0, NULL), SK_OK);
      assert_true(sk_json_unescape(sk_buf_str(&text), &back));
      assert_true(sk_str_eq(sk_buf_str(&back), sk_str(bytes + from, n)));
      sk_buf_fini(&text);
      sk_buf_fini(&back);
    }
}

static void plain_runs_end_at_each_special_byte_wherever_it_stands(void **state) {
  (void)state;
  char text[40];
  for (int c = 0; c < 256; c++)
    for (size_t at = 0; at < sizeof text; at++)
      for (int fill = 0; fill < 2; fill++) {
        memset(text, fill ? 0x80 : 'a', sizeof text);
        text[at] = (char)c;
        bool special = c < 0x20 || c == '"' || c == '\\';
        assert_ptr_equal(sk_json_plain_end(text, text + sizeof text), text + (special ? at : sizeof text));
      }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(well_formed_text_is_accepted),
    cmocka_unit_test(malformed_text_is_refused),
    cmocka_unit_test(numbers_beyond_a_double_are_refused_and_those_it_holds_are_not),
    cmocka_unit_test(the_message_says_where_and_what_was_expected),
    cmocka_unit_test(depth_is_accepted_at_the_limit_and_refused_one_past_it),
    cmocka_unit_test(closing_bytes_match_their_openings_at_every_depth),
    cmocka_unit_test(the_type_is_told_by_the_first_byte),
    cmocka_unit_test(a_reader_gives_the_elements_of_an_array),
    cmocka_unit_test(a_reader_gives_the_members_of_an_object),
    cmocka_unit_test(a_reader_stops_at_malformed_text_and_says_so),
    cmocka_unit_test(elements_are_counted),
    cmocka_unit_test(a_member_is_found_by_what_its_name_stands_for),
    cmocka_unit_test(strings_are_unescaped_to_utf8_and_other_bytes_pass),
    cmocka_unit_test(what_a_buffer_writes_as_json_is_read_back),
    cmocka_unit_test(plain_runs_end_at_each_special_byte_wherever_it_stands),
  };
  return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
