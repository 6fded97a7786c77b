/* options.h - the options and arguments of a command as a table, from which parsing, help and errors are made.
 *
 *   --name value   --name=value   -n value   -nvalue   -ab (two flags)   -- (only arguments follow)
 *
 * Options and arguments may be mixed. "-" and negative numbers are arguments. -h and --help need no row in the table.
 * The last value of a repeated option counts. */
#ifndef SK_APP_OPTIONS_H
#define SK_APP_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

#define SK_OPTIONS_MAX 32 /* most rows in the table of a command */

struct sk_option {
  const char *name; /* without dashes */
  char letter;      /* 0: none */
  const char *arg;  /* name of the value in the help; NULL: a flag */
  const char *help; /* one line or more; later lines are indented to match */
};

struct sk_command {
  const char *name;     /* "enqueue" */
  const char *usage;    /* "TASK [JSON-ARG ...] [options]" */
  const char *about;    /* a paragraph */
  const char *examples; /* lines, each ended by "\n" */
  const struct sk_option *options;
  size_t options_n;
  size_t args_min, args_max;
  const char *arg_name; /* name of the argument that a message misses: "TASK" */
};

struct sk_args {
  const struct sk_command *command;
  const char *values[SK_OPTIONS_MAX]; /* values by row: "" for a flag, NULL when not given; borrowed from argv */
  char **args;                        /* the arguments: argv from 1 on, reordered */
  size_t args_n;
  bool help;
};

/* Reads argv[1..argc-1] (argv[0] is the command's name) and moves the arguments to the front of argv. SK_OK, or
 * SK_EINVAL with a sentence. The number of arguments is not checked when help was asked for. */
enum sk_code sk_options_parse(const struct sk_command *command, int argc, char **argv, struct sk_args *out,
                              struct sk_err *err);

/* Returns the value of option `name`; NULL when it was not given. The command's table must have the name. */
const char *sk_args_get(const struct sk_args *args, const char *name);
static inline bool sk_args_has(const struct sk_args *args, const char *name) { return sk_args_get(args, name) != NULL; }

/* Appends the help text. */
void sk_options_help(const struct sk_command *command, struct sk_buf *out);

/* Parses for a command's main function, and prints the help (stdout) or the usage error (stderr). Returns -1 to go on,
 * else the exit code. */
int sk_options_main(const struct sk_command *command, int argc, char **argv, struct sk_args *out);

#endif
