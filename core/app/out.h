/* out.h - what the command says: data on stdout, everything else on stderr. */
#ifndef SK_APP_OUT_H
#define SK_APP_OUT_H

#include "base/buf.h"

/* "skein VERB: message" on stderr; "skein: message" when verb is NULL. */
void sk_out_error(const char *verb, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Writes a whole line to stderr as it is, unless nobody takes it within a second. */
void sk_out_stderr(struct sk_str line);

/* Writes text to a file descriptor without control characters but newlines and tabs.  0 or an errno. */
int sk_out_clean(int fd, struct sk_str text);

/* Writes all of text to stdout and frees it.  Returns `exit_code`; SK_EXIT_FAILED after a message when stdout can't be written;
 * SK_EXIT_INTERNAL when text has failed (out of memory).  A closed pipe is nobody's fault: it ends quietly. */
int sk_out_finish(const char *verb, struct sk_buf *text, int exit_code);

#endif
