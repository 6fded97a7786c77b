/* text.h - taking small texts apart: words between separators, whole numbers. */
#ifndef SK_LOGIC_TEXT_H
#define SK_LOGIC_TEXT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"

/* What stands before the first `separator`, which is taken off *rest with it; all of *rest when there is none. */
static inline struct sk_str sk_text_until(struct sk_str *rest, char separator) {
  const char *at = rest->n ? memchr(rest->p, separator, rest->n) : NULL;
  struct sk_str word = at ? sk_str(rest->p, (size_t)(at - rest->p)) : *rest;
  *rest = at ? sk_str(at + 1, rest->n - word.n - 1) : sk_str(rest->p + rest->n, 0);
  return word;
}

/* 1 to 18 digits and nothing else; false, and *out is 0, for anything else. */
static inline bool sk_text_number(struct sk_str word, int64_t *out) {
  *out = 0;
  if (word.n == 0 || word.n > 18) return false;
  int64_t v = 0;
  for (size_t i = 0; i < word.n; i++) {
    if (word.p[i] < '0' || word.p[i] > '9') return false;
    v = v * 10 + (word.p[i] - '0');
  }
  *out = v;
  return true;
}

#endif
