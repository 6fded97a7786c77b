/* options_test.c - command lines: what is read, what is refused and in which words.
 *
 * The application is no library, so its sources under test are compiled in here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/options.c"
#include "app/out.c"

static const struct sk_option OPTIONS[] = {
  { "store", 's', "URL", "where the jobs are" },
  { "workers", 'w', "N", "worker processes\nof this engine" },
  { "drain", 'd', NULL, "stop when all is done" },
  { "json", 0, NULL, "print JSON" },
};
static const struct sk_command COMMAND = {
  .name = "run",
  .usage = "DIR [options]",
  .about = "Runs it.",
  .examples = "skein run a\nskein run b\n",
  .options = OPTIONS,
  .options_n = sizeof OPTIONS / sizeof *OPTIONS,
  .args_min = 1,
  .args_max = 3,
  .arg_name = "DIR",
};

enum { WORDS_MAX = 16 };
static char *words[WORDS_MAX]; /* argv of the parse at hand */

/* Parses "run" and the words of `line`, which are separated by single spaces. */
static enum sk_code parse(char *line, struct sk_args *args, struct sk_err *err) {
  static char name[] = "run";
  int n = 0;
  words[n++] = name;
  for (char *save = NULL, *word = strtok_r(line, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
    assert_true(n < WORDS_MAX);
    words[n++] = word;
  }
  return sk_options_parse(&COMMAND, n, words, args, err);
}

static void values_come_in_every_spelling(void **state) {
  (void)state;
  static char lines[][32] = { "x --workers 4", "x --workers=4", "x -w 4", "-w4 x", "-dw4 x", "-w 3 x -w 4" };
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
    struct sk_args args;
    struct sk_err err;
    assert_int_equal(parse(lines[i], &args, &err), SK_OK);
    assert_string_equal(sk_args_get(&args, "workers"), "4");
    assert_int_equal(args.args_n, 1);
    assert_string_equal(args.args[0], "x");
  }
}

static void options_and_arguments_mix_and_two_dashes_end_options(void **state) {
  (void)state;
  struct sk_args args;
  struct sk_err err;
  char line[] = "a --json b -- --drain";
  assert_int_equal(parse(line, &args, &err), SK_OK);
  assert_true(sk_args_has(&args, "json"));
  assert_false(sk_args_has(&args, "drain"));
  assert_null(sk_args_get(&args, "store"));
  assert_int_equal(args.args_n, 3);
  assert_string_equal(args.args[2], "--drain");
}

static void negative_numbers_and_a_dash_are_arguments(void **state) {
  (void)state;
  struct sk_args args;
  struct sk_err err;
  char line[] = "-5 - -.5";
  assert_int_equal(parse(line, &args, &err), SK_OK);
  assert_int_equal(args.args_n, 3);
  assert_string_equal(args.args[0], "-5");
}

static void an_empty_value_is_a_value(void **state) {
  (void)state;
  struct sk_args args;
  struct sk_err err;
  char line[] = "x --store=";
  assert_int_equal(parse(line, &args, &err), SK_OK);
  assert_string_equal(sk_args_get(&args, "store"), "");
}

static void wrong_lines_are_refused_in_words(void **state) {
  (void)state;
  struct sk_args args;
  struct sk_err err;
  static struct {
    char line[40];
    const char *sentence;
  } cases[] = {
    { "x --worker 4", "unknown option --worker; did you mean --workers?" },
    { "x --jsno", "unknown option --jsno; did you mean --json?" },
    { "x --hlep", "unknown option --hlep; did you mean --help?" },
    { "x --completely-different", "unknown option --completely-different" },
    { "x -x", "unknown option -x" },
    { "x -dx", "unknown option -x in -dx" },
    { "x --workers", "--workers needs a value: --workers N" },
    { "x -dw", "-w needs a value: -w N" },
    { "x --workers --json",
      "--workers needs a value before --json (a value that begins with -- is given as --workers=--json)" },
    { "x --json=yes", "--json takes no value" },
    { "--json", "DIR is missing" },
    { "a b c d", "unexpected argument \"d\"" },
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_int_equal(parse(cases[i].line, &args, &err), SK_EINVAL);
    assert_string_equal(err.message, cases[i].sentence);
  }
}

static void help_needs_no_arguments(void **state) {
  (void)state;
  static char lines[][8] = { "--help", "-h", "-dh" };
  for (size_t i = 0; i < 3; i++) {
    struct sk_args args;
    struct sk_err err;
    assert_int_equal(parse(lines[i], &args, &err), SK_OK);
    assert_true(args.help);
  }
}

static void the_help_text_is_aligned(void **state) {
  (void)state;
  struct sk_buf out = { 0 };
  sk_options_help(&COMMAND, &out);
  sk_buf_add_byte(&out, '\0');
  assert_string_equal(out.p, "usage: skein run DIR [options]\n\nRuns it.\n\noptions:\n"
                             "  -s, --store URL  where the jobs are\n"
                             "  -w, --workers N  worker processes\n"
                             "                   of this engine\n"
                             "  -d, --drain      stop when all is done\n"
                             "      --json       print JSON\n"
                             "  -h, --help       show this text\n"
                             "\nexamples:\n  skein run a\n  skein run b\n");
  sk_buf_fini(&out);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(values_come_in_every_spelling),
    cmocka_unit_test(options_and_arguments_mix_and_two_dashes_end_options),
    cmocka_unit_test(negative_numbers_and_a_dash_are_arguments),
    cmocka_unit_test(an_empty_value_is_a_value),
    cmocka_unit_test(wrong_lines_are_refused_in_words),
    cmocka_unit_test(help_needs_no_arguments),
    cmocka_unit_test(the_help_text_is_aligned),
  };
  return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
