/* text.h - times, spans and texts in the form in which people read them. */
#ifndef SK_APP_TEXT_H
#define SK_APP_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

#define SK_TIME_BYTES 32 /* bytes of a time or an age with its NUL */

/* Writes "2026-11-21T23:08:34.123+01:00", local time with its offset; with `utc` "2026-11-21T22:08:34.123Z". */
void sk_text_time(int64_t wall_ms, bool utc, char out[SK_TIME_BYTES]);
/* Writes a span: "250ms", "1.5s", "42s", "5m", "2h10m", "3d". */
void sk_text_span(int64_t ms, char out[SK_TIME_BYTES]);
/* Writes the distance from now: "in 5s", "3m ago". */
void sk_text_when(int64_t wall_ms, int64_t now_ms, char out[SK_TIME_BYTES]);

/* Returns the columns that clean text (base/utf8.h) takes, one for each character. */
size_t sk_text_width(struct sk_str s);
/* Returns s up to its first newline. */
struct sk_str sk_text_first_line(struct sk_str s);

#endif
