/* options.h - what a command takes, as a table; from it come the parsing, the help and the errors.
 *
 *   --name value   --name=value   -n value   -nvalue   -ab (two flags)   -- (only arguments follow)
 *
 * Options and arguments may be mixed.  "-" and negative numbers are arguments.  -h and --help need no row in the table.  An option
 * given twice counts the last time. */
#ifndef SK_APP_OPTIONS_H
#define SK_APP_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

#define SK_OPTIONS_MAX 32 /* rows of one command's table */

struct sk_option {
  const char *name; /* without dashes */
  char letter;      /* 0: none */
  const char *arg;  /* its value's name in the help; NULL: a flag */
  const char *help; /* a line or more; after "\n" the next is indented to match */
};

struct sk_command {
  const char *name;     /* "enqueue" */
  const char *usage;    /* "TASK [JSON-ARG ...] [options]" */
  const char *about;    /* a paragraph */
  const char *examples; /* lines, each ended by "\n" */
  const struct sk_option *options;
  size_t options_n;
  size_t args_min, args_max;
  const char *arg_name; /* what is missing when there are fewer than args_min: "TASK" */
};

struct sk_args {
  const struct sk_command *command;
  const char *values[SK_OPTIONS_MAX]; /* by row: its value, "" for a flag, NULL when not given; borrowed from argv */
  char **args;                        /* the arguments: argv from 1 on, reordered */
  size_t args_n;
  bool help;
};

/* Reads argv[1..argc-1] (argv[0] is the command's name); moves the arguments to the front of argv.  SK_OK, or SK_EINVAL with a
 * sentence.  The counts of arguments are checked unless help was asked for. */
enum sk_code sk_options_parse(const struct sk_command *command, int argc, char **argv, struct sk_args *out,
                              struct sk_err *err);

/* The value of option `name`, NULL when not given.  `name` must be in the command's table. */
const char *sk_args_get(const struct sk_args *args, const char *name);
static inline bool sk_args_has(const struct sk_args *args, const char *name) { return sk_args_get(args, name) != NULL; }

/* Appends the help text. */
void sk_options_help(const struct sk_command *command, struct sk_buf *out);

/* parse for a command's main function: prints help (stdout) or the usage error (stderr) itself.  Returns -1 to go on, else the
 * exit code. */
int sk_options_main(const struct sk_command *command, int argc, char **argv, struct sk_args *out);

#endif
