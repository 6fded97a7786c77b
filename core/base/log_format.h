/* log_format.h - one log line as bytes, text or JSON. */
#ifndef SK_BASE_LOG_FORMAT_H
#define SK_BASE_LOG_FORMAT_H

#include "base/log.h"

/* "debug", "info", "warn", "error" or "off". */
const char *sk_log_level_name(enum sk_log_level level);

/* Appends the line that sk_log_line writes, with its newline.  `n` facts follow the message. */
void sk_log_format(const struct sk_log *log, enum sk_log_level level, struct sk_str message,
                   const struct sk_log_fact *facts, size_t n, struct sk_buf *out);

#endif
