/* out.h - the output of commands: data on stdout, everything else on stderr. */
#ifndef SK_APP_OUT_H
#define SK_APP_OUT_H

#include "base/buf.h"

/* Prints "skein VERB: message" on stderr, or "skein: message" when verb is NULL. */
void sk_out_error(const char *verb, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Writes a whole line to stderr as it is, unless its reader takes nothing for a second. */
void sk_out_stderr(struct sk_str line);

/* Writes text to a file descriptor without control characters other than newlines and tabs. Returns 0 or an errno. */
int sk_out_clean(int fd, struct sk_str text);

/* Writes text to stdout and frees it. Returns `exit_code`; SK_EXIT_FAILED after a message when stdout cannot be
 * written; SK_EXIT_INTERNAL when text has failed (out of memory). A closed pipe is not an error: the command then ends
 * without a message. */
int sk_out_finish(const char *verb, struct sk_buf *text, int exit_code);

#endif
