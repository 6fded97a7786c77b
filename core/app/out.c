/* out.c - see out.h.  main.c ignores SIGPIPE, so that a closed pipe is seen here as EPIPE. */
#include "app/out.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/exits.h"

enum { STDERR_WAIT_MS = 1000 };         /* for a reader of our complaint */
enum { MESSAGE_BYTES_MAX = 16 * 1024 }; /* room for the longest stored error; what is longer is cut */

/* 0 or an errno. */
static int write_all(int fd, const char *p, size_t n) {
  while (n > 0) {
    ssize_t done = write(fd, p, n);
    if (done < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    p += done;
    n -= (size_t)done;
  }
  return 0;
}

void sk_out_error(const char *verb, const char *fmt, ...) {
  char message[MESSAGE_BYTES_MAX];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(message, sizeof message, fmt, ap);
  va_end(ap);
  struct sk_buf line = { 0 };
  sk_buf_addf(&line, verb ? "skein %s: %s\n" : "skein%s: %s\n", verb ? verb : "", message);
  struct pollfd ready = { .fd = STDERR_FILENO, .events = POLLOUT };
  bool reads = poll(&ready, 1, STDERR_WAIT_MS) != 0;
  if (line.n > 0 && reads) write_all(STDERR_FILENO, line.p, line.n); /* nowhere left to complain */
  sk_buf_fini(&line);
}

int sk_out_finish(const char *verb, struct sk_buf *text, int exit_code) {
  if (text->failed) {
    sk_out_error(verb, "out of memory");
    exit_code = SK_EXIT_INTERNAL;
  } else {
    int error = write_all(STDOUT_FILENO, text->p, text->n);
    if (error != 0 && error != EPIPE) {
      sk_out_error(verb, "stdout: %s", strerror(error));
      exit_code = SK_EXIT_FAILED;
    }
  }
  sk_buf_fini(text);
  return exit_code;
}
