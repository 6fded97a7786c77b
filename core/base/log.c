/* log.c - see log.h. */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/log_format.h"
#include "base/log_sink.h"

void sk_log_init(struct sk_log *log) {
  *log = (struct sk_log){ .fd = STDERR_FILENO, .level = SK_LOG_INFO, .color = isatty(STDERR_FILENO) == 1 };
}

bool sk_log_level_parse(struct sk_str name, enum sk_log_level *out) {
  for (int i = SK_LOG_DEBUG; i <= SK_LOG_OFF; i++) {
    if (!sk_str_eq_c(name, sk_log_level_name((enum sk_log_level)i))) continue;
    *out = (enum sk_log_level)i;
    return true;
  }
  return false;
}

/* A FIFO is opened for both directions: then neither open() nor a write before the first reader blocks. */
static int open_file(const char *path) {
  const int flags = O_CREAT | O_APPEND | O_CLOEXEC;
  struct stat st;
  bool fifo = stat(path, &st) == 0 && S_ISFIFO(st.st_mode);
  return open(path, flags | (fifo ? O_RDWR : O_WRONLY), 0644);
}

/* The descriptor's number stays the same when the file is opened anew: the sink's thread may be writing to it. */
enum sk_code sk_log_reopen(struct sk_log *log, const char *path, struct sk_err *err) {
  int fd = open_file(path);
  if (fd < 0) return sk_err_set(err, SK_ESYS, "log file \"%s\": %s", path, strerror(errno));
  if (log->path == NULL) {
    log->fd = fd;
  } else {
    dup3(fd, log->fd, O_CLOEXEC);
    close(fd);
  }
  log->path = path;
  log->color = false;
  return SK_OK;
}

void sk_log_line(const struct sk_log *log, enum sk_log_level level, struct sk_str message,
                 const struct sk_log_fact *facts, size_t n) {
  if (level < log->level) return;
  struct sk_buf b = { 0 };
  sk_log_format(log, level, message, facts, n, &b);
  if (log->sink) {
    sk_log_sink_put(log->sink, log, sk_buf_str(&b));
  } else {
    ssize_t ignored = write(log->fd, b.p, b.n); /* a log that cannot be written has no place for a complaint */
    (void)ignored;
  }
  sk_buf_fini(&b);
}

void sk_logf(const struct sk_log *log, enum sk_log_level level, const char *fmt, ...) {
  if (level < log->level) return;
  char text[SK_LOG_LINE_BYTES_MAX];
  va_list ap;
  va_start(ap, fmt);
  int n = vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  if (n < 0) return;
  sk_log_line(log, level, sk_str(text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1), NULL, 0);
}
