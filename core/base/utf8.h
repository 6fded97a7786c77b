/* utf8.h - text of unknown origin made fit for people and for JSON: what is no UTF-8 becomes U+FFFD, and the control characters that a
 * terminal obeys (C0, DEL, and C1 such as U+009B) never pass as they are. */
#ifndef SK_BASE_UTF8_H
#define SK_BASE_UTF8_H

#include "base/buf.h"
#include "base/str.h"

/* The bytes of the character that s (1 byte or more) begins with; 0 when that is no UTF-8. */
size_t sk_utf8_length(struct sk_str s);

/* Whether the character of n bytes that s begins with is a control character: C0 (newline and tab included), DEL or C1. */
bool sk_utf8_is_control(struct sk_str s, size_t n);

/* Appends s for a terminal: control characters become spaces.  With `lines` newlines and tabs stay. */
void sk_utf8_add_clean(struct sk_buf *out, struct sk_str s, bool lines);

/* Appends s as a JSON string, quotes included: valid UTF-8 whatever s is, with every control character as an escape. */
void sk_utf8_add_json(struct sk_buf *out, struct sk_str s);

#endif
