/* log.h - log lines on stderr or in a file, as text or JSON. Each write(2) takes whole lines, so that lines of several
 * processes do not mix.
 *
 *   2026-11-21T22:08:34.123Z INFO  worker started worker=1 pid=4711
 *   {"time":"2026-11-21T22:08:34.123Z","level":"info","message":"worker started","worker":1,"pid":4711}
 *
 * A message is a sentence without a full stop; facts follow it as pairs of key and value. A line is valid UTF-8 without
 * control characters that a terminal obeys, whatever bytes the message has, and a JSON line is one valid object. A Lua
 * traceback at the end of a message is a field of its own in JSON, and indented lines in text. */
#ifndef SK_BASE_LOG_H
#define SK_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct sk_log_sink;

enum sk_log_level { SK_LOG_DEBUG, SK_LOG_INFO, SK_LOG_WARN, SK_LOG_ERROR, SK_LOG_OFF };

struct sk_log {
  int fd;
  enum sk_log_level level; /* lines below it are dropped */
  bool json;
  bool color;
  const char *path; /* borrowed; NULL for stderr */
  struct sk_log_sink
      *sink; /* a thread that writes the lines (log_sink.h); NULL: the caller writes them and may block */
};

/* Logs text to stderr from level INFO on. */
void sk_log_init(struct sk_log *log);
/* Reads "debug", "info", "warn", "error" or "off"; false for any other name. */
bool sk_log_level_parse(struct sk_str name, enum sk_log_level *out);
/* Appends to the file at path in place of stderr, or opens it anew after a rotation. On failure the old file stays. */
enum sk_code sk_log_reopen(struct sk_log *log, const char *path, struct sk_err *err);

struct sk_log_fact {
  const char *key;
  struct sk_str value;
  bool number; /* the value is a decimal number, written without quotes in JSON */
};
void sk_log_line(const struct sk_log *log, enum sk_log_level level, struct sk_str message,
                 const struct sk_log_fact *facts, size_t n);

/* printf-style, without facts. */
void sk_logf(const struct sk_log *log, enum sk_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
