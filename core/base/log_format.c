/* log_format.c - see log_format.h. */
#include "base/log_format.h"

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/utf8.h"

static const char *const LEVEL_NAMES[] = { "debug", "info", "warn", "error", "off" };
static const char *const LEVEL_TAGS[] = { "DEBUG", "INFO ", "WARN ", "ERROR", "OFF  " };
static const char *const LEVEL_COLORS[] = { "\033[2m", "", "\033[33m", "\033[31m", "" };

const char *sk_log_level_name(enum sk_log_level level) { return LEVEL_NAMES[level]; }

static void add_time(struct sk_buf *b) {
  int64_t us = sk_clock_wall_us();
  time_t s = (time_t)(us / 1000000);
  struct tm tm;
  gmtime_r(&s, &tm);
  char text[40];
  size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
  sk_buf_add(b, text, n);
  sk_buf_addf(b, ".%03dZ", (int)(us / 1000 % 1000));
}

/* In a text line a value is quoted when it has a space, a control character or a byte that is not UTF-8. */
static bool is_plain(struct sk_str s) {
  if (s.n == 0) return false;
  while (s.n > 0) {
    size_t n = sk_utf8_length(s);
    if (n == 0 || s.p[0] == ' ' || s.p[0] == '"' || sk_utf8_is_control(s, n)) return false;
    s = sk_str(s.p + n, s.n - n);
  }
  return true;
}

/* A message keeps its tabs, and its newlines with an indent (tracebacks); other control characters become "?". */
static void add_message(struct sk_buf *b, struct sk_str s) {
  while (s.n > 0) {
    size_t n = sk_utf8_length(s);
    if (n == 0)
      sk_buf_add_c(b, "\xef\xbf\xbd");
    else if (s.p[0] == '\n')
      sk_buf_add_c(b, "\n    ");
    else if (s.p[0] != '\t' && sk_utf8_is_control(s, n))
      sk_buf_add_byte(b, '?');
    else
      sk_buf_add(b, s.p, n);
    if (n == 0) n = 1;
    s = sk_str(s.p + n, s.n - n);
  }
}

static void add_text(struct sk_buf *b, const struct sk_log *log, enum sk_log_level level, struct sk_str message,
                     const struct sk_log_fact *facts, size_t n) {
  add_time(b);
  sk_buf_addf(b, " %s%s%s ", log->color ? LEVEL_COLORS[level] : "", LEVEL_TAGS[level], log->color ? "\033[0m" : "");
  add_message(b, message);
  for (size_t i = 0; i < n; i++) {
    sk_buf_addf(b, " %s=", facts[i].key);
    if (is_plain(facts[i].value))
      sk_buf_add_str(b, facts[i].value);
    else
      sk_utf8_add_json(b, facts[i].value);
  }
}

/* The part of s from Lua's traceback on; empty when there is none. */
static struct sk_str traceback_in(struct sk_str s) {
  static const char head[] = "\nstack traceback:\n";
  const char *at = s.n ? memmem(s.p, s.n, head, sizeof head - 1) : NULL;
  return at ? sk_str(at + 1, (size_t)(s.p + s.n - at) - 1) : sk_str(NULL, 0);
}

static void add_object(struct sk_buf *b, enum sk_log_level level, struct sk_str message,
                       const struct sk_log_fact *facts, size_t n) {
  struct sk_str traceback = traceback_in(message);
  if (traceback.n > 0) message.n -= traceback.n + 1;
  sk_buf_add_c(b, "{\"time\":\"");
  add_time(b);
  sk_buf_addf(b, "\",\"level\":\"%s\",\"message\":", LEVEL_NAMES[level]);
  sk_utf8_add_json(b, message);
  for (size_t i = 0; i < n; i++) {
    sk_buf_addf(b, ",\"%s\":", facts[i].key);
    if (facts[i].number)
      sk_buf_add_str(b, facts[i].value);
    else
      sk_utf8_add_json(b, facts[i].value);
  }
  if (traceback.n > 0) {
    sk_buf_add_c(b, ",\"traceback\":");
    sk_utf8_add_json(b, traceback);
  }
  sk_buf_add_byte(b, '}');
}

void sk_log_format(const struct sk_log *log, enum sk_log_level level, struct sk_str message,
                   const struct sk_log_fact *facts, size_t n, struct sk_buf *out) {
  struct sk_str cut = sk_str_head(message, SK_LOG_LINE_BYTES_MAX);
  if (log->json)
    add_object(out, level, cut, facts, n);
  else
    add_text(out, log, level, cut, facts, n);
  sk_buf_add_byte(out, '\n');
}
