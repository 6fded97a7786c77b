/* out.c - see out.h. All output of commands goes through here, so that no byte of a job, a script or a store reaches a
 * terminal as a control character, and no password of a URL is shown. main.c ignores SIGPIPE, so a closed pipe shows
 * here as EPIPE. */
#include "app/out.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/exits.h"
#include "base/utf8.h"
#include "logic/url.h"

enum { STDERR_WAIT_MS = 1000 };         /* how long a message waits for its reader */
enum { MESSAGE_BYTES_MAX = 16 * 1024 }; /* fits the longest stored error; a longer message is cut */

/* Returns 0 or an errno. */
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

void sk_out_stderr(struct sk_str line) {
  struct pollfd ready = { .fd = STDERR_FILENO, .events = POLLOUT };
  bool reads = poll(&ready, 1, STDERR_WAIT_MS) != 0;
  if (line.n > 0 && reads) write_all(STDERR_FILENO, line.p, line.n); /* an error here has no place for a complaint */
}

void sk_out_error(const char *verb, const char *fmt, ...) {
  char message[MESSAGE_BYTES_MAX];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(message, sizeof message, fmt, ap);
  va_end(ap);
  sk_url_mask_in(message, strlen(message));
  struct sk_buf line = { 0 };
  sk_buf_addf(&line, verb ? "skein %s: " : "skein%s: ", verb ? verb : "");
  sk_utf8_add_clean(&line, sk_str_c(message), true);
  sk_buf_add_byte(&line, '\n');
  sk_out_stderr(sk_buf_str(&line));
  sk_buf_fini(&line);
}

int sk_out_clean(int fd, struct sk_str text) {
  struct sk_buf clean = { 0 };
  sk_utf8_add_clean(&clean, text, true);
  int error = clean.failed ? ENOMEM : write_all(fd, clean.p, clean.n);
  sk_buf_fini(&clean);
  return error;
}

int sk_out_finish(const char *verb, struct sk_buf *text, int exit_code) {
  if (text->failed) {
    sk_out_error(verb, "out of memory");
    exit_code = SK_EXIT_INTERNAL;
  } else {
    int error = sk_out_clean(STDOUT_FILENO, sk_buf_str(text));
    if (error != 0 && error != EPIPE) {
      sk_out_error(verb, "stdout: %s", strerror(error));
      exit_code = SK_EXIT_FAILED;
    }
  }
  sk_buf_fini(text);
  return exit_code;
}
