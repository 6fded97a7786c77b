/* options.c - see options.h. */
#include "app/options.h"

#include <assert.h>
#include <string.h>

#include "app/exits.h"
#include "logic/nearest.h"
#include "app/out.h"

static const struct sk_option HELP = { "help", 'h', NULL, "show this text" };

struct parser {
  const struct sk_command *command;
  struct sk_args *out;
  char **argv;
  int argc;
  int at; /* index of the word that is being read */
  struct sk_err *err;
};

static const struct sk_option *by_letter(const struct sk_command *command, char letter) {
  for (size_t i = 0; i < command->options_n; i++)
    if (command->options[i].letter == letter) return &command->options[i];
  return letter == HELP.letter ? &HELP : NULL;
}

static const struct sk_option *by_name(const struct sk_command *command, struct sk_str name) {
  for (size_t i = 0; i < command->options_n; i++)
    if (sk_str_eq_c(name, command->options[i].name)) return &command->options[i];
  return sk_str_eq_c(name, HELP.name) ? &HELP : NULL;
}

static void give(struct parser *p, const struct sk_option *option, const char *value) {
  if (option == &HELP)
    p->out->help = true;
  else
    p->out->values[option - p->command->options] = value;
}

/* Takes the next word as the value of `option`, which the user wrote as `spelling`. */
static enum sk_code give_next(struct parser *p, const struct sk_option *option, const char *spelling) {
  const char *next = p->at + 1 < p->argc ? p->argv[p->at + 1] : NULL;
  if (next == NULL) return sk_err_set(p->err, SK_EINVAL, "%s needs a value: %s %s", spelling, spelling, option->arg);
  if (strncmp(next, "--", 2) == 0)
    return sk_err_set(p->err, SK_EINVAL, "%s needs a value before %s (a value that begins with -- is given as --%s=%s)",
                      spelling, next, option->name, next);
  p->at++;
  give(p, option, next);
  return SK_OK;
}

static enum sk_code unknown_name(struct parser *p, struct sk_str name) {
  struct sk_nearest nearest;
  sk_nearest_init(&nearest, name);
  for (size_t i = 0; i < p->command->options_n; i++) sk_nearest_try(&nearest, sk_str_c(p->command->options[i].name));
  sk_nearest_try(&nearest, sk_str_c(HELP.name));
  if (nearest.name.n == 0)
    return sk_err_set(p->err, SK_EINVAL, "unknown option --%.*s", SK_STR_ARG(sk_str_head(name, 100)));
  return sk_err_set(p->err, SK_EINVAL, "unknown option --%.*s; did you mean --%.*s?", SK_STR_ARG(name),
                    SK_STR_ARG(nearest.name));
}

static enum sk_code read_long(struct parser *p, const char *word) {
  const char *equals = strchr(word, '=');
  struct sk_str name = sk_str(word + 2, equals ? (size_t)(equals - word) - 2 : strlen(word) - 2);
  const struct sk_option *option = by_name(p->command, name);
  if (option == NULL) return unknown_name(p, name);
  if (option->arg == NULL && equals) return sk_err_set(p->err, SK_EINVAL, "--%s takes no value", option->name);
  if (option->arg != NULL && !equals) return give_next(p, option, word);
  give(p, option, equals ? equals + 1 : "");
  return SK_OK;
}

static enum sk_code read_letters(struct parser *p, const char *word) {
  for (const char *c = word + 1; *c; c++) {
    const struct sk_option *option = by_letter(p->command, *c);
    char spelling[3] = { '-', *c, '\0' };
    if (option == NULL)
      return sk_err_set(p->err, SK_EINVAL, "unknown option %s%s%s", spelling, c == word + 1 ? "" : " in ",
                        c == word + 1 ? "" : word);
    if (option->arg != NULL) {
      if (c[1] == '\0') return give_next(p, option, spelling);
      give(p, option, c + 1);
      return SK_OK;
    }
    give(p, option, "");
  }
  return SK_OK;
}

static bool is_argument(const struct sk_command *command, const char *word) {
  if (word[0] != '-' || word[1] == '\0') return true;
  bool number = (word[1] >= '0' && word[1] <= '9') || word[1] == '.';
  return number && by_letter(command, word[1]) == NULL;
}

static enum sk_code check_counts(const struct sk_command *command, const struct sk_args *args, struct sk_err *err) {
  if (args->args_n < command->args_min) return sk_err_set(err, SK_EINVAL, "%s is missing", command->arg_name);
  if (args->args_n > command->args_max)
    return sk_err_set(err, SK_EINVAL, "unexpected argument \"%.200s\"", args->args[command->args_max]);
  return SK_OK;
}

enum sk_code sk_options_parse(const struct sk_command *command, int argc, char **argv, struct sk_args *out,
                              struct sk_err *err) {
  assert(command->options_n <= SK_OPTIONS_MAX);
  *out = (struct sk_args){ .command = command, .args = argv + 1 };
  struct parser p = { .command = command, .out = out, .argv = argv, .argc = argc, .err = err };
  bool only_arguments = false;
  for (p.at = 1; p.at < argc; p.at++) {
    char *word = argv[p.at];
    enum sk_code code = SK_OK;
    if (only_arguments || is_argument(command, word))
      out->args[out->args_n++] = word;
    else if (strcmp(word, "--") == 0)
      only_arguments = true;
    else
      code = word[1] == '-' ? read_long(&p, word) : read_letters(&p, word);
    if (code != SK_OK) return code;
  }
  return out->help ? SK_OK : check_counts(command, out, err);
}

const char *sk_args_get(const struct sk_args *args, const char *name) {
  const struct sk_option *option = by_name(args->command, sk_str_c(name));
  assert(option != NULL && option != &HELP);
  return args->values[option - args->command->options];
}

static size_t left_width(const struct sk_option *option) {
  return 6 + 2 + strlen(option->name) + (option->arg ? 1 + strlen(option->arg) : 0);
}

static void help_option(const struct sk_option *option, size_t width, struct sk_buf *out) {
  if (option->letter)
    sk_buf_addf(out, "  -%c, --%s", option->letter, option->name);
  else
    sk_buf_addf(out, "      --%s", option->name);
  if (option->arg) sk_buf_addf(out, " %s", option->arg);
  sk_buf_addf(out, "%*s", (int)(width - left_width(option) + 2), "");
  for (const char *c = option->help; *c; c++) {
    sk_buf_add_byte(out, *c);
    if (*c == '\n') sk_buf_addf(out, "%*s", (int)width + 2, "");
  }
  sk_buf_add_byte(out, '\n');
}

void sk_options_help(const struct sk_command *command, struct sk_buf *out) {
  sk_buf_addf(out, "usage: skein %s %s\n\n%s\n\noptions:\n", command->name, command->usage, command->about);
  size_t width = left_width(&HELP);
  for (size_t i = 0; i < command->options_n; i++) {
    size_t w = left_width(&command->options[i]);
    if (w > width) width = w;
  }
  for (size_t i = 0; i < command->options_n; i++) help_option(&command->options[i], width, out);
  help_option(&HELP, width, out);
  if (command->examples == NULL) return;
  sk_buf_add_c(out, "\nexamples:\n");
  bool line_start = true;
  for (const char *c = command->examples; *c; c++) {
    if (line_start) sk_buf_add_c(out, "  ");
    sk_buf_add_byte(out, *c);
    line_start = *c == '\n';
  }
}

int sk_options_main(const struct sk_command *command, int argc, char **argv, struct sk_args *out) {
  struct sk_err err;
  if (sk_options_parse(command, argc, argv, out, &err) != SK_OK) {
    sk_out_error(command->name, "%s\nusage: skein %s %s (skein %s --help says more)", err.message, command->name,
                 command->usage, command->name);
    return SK_EXIT_USAGE;
  }
  if (!out->help) return -1;
  struct sk_buf text = { 0 };
  sk_options_help(command, &text);
  return sk_out_finish(command->name, &text, SK_EXIT_OK);
}
