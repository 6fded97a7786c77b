/* utf8.h - makes text of unknown origin fit for people and for JSON: bytes that are not UTF-8 become U+FFFD, and
 * control characters that a terminal obeys (C0, DEL, and C1 such as U+009B) never pass unchanged. */
#ifndef SK_BASE_UTF8_H
#define SK_BASE_UTF8_H

#include "base/buf.h"
#include "base/str.h"

/* Returns the length of the character at the start of s, which has 1 byte or more; 0 when it is not UTF-8. */
size_t sk_utf8_length(struct sk_str s);

/* Whether the character of n bytes at the start of s is a control character: C0 (newline and tab included), DEL or
 * C1. */
bool sk_utf8_is_control(struct sk_str s, size_t n);

/* Appends s for a terminal: control characters become spaces. With `lines` newlines and tabs stay. */
void sk_utf8_add_clean(struct sk_buf *out, struct sk_str s, bool lines);

/* Appends s as a JSON string with its quotes. It is valid UTF-8 whatever s is, and every control character is an
 * escape. */
void sk_utf8_add_json(struct sk_buf *out, struct sk_str s);

#endif
