/* fields.h - takes texts apart that consist of fields with a separator between them ("reject;5000;=key"). */
#ifndef SK_LOGIC_FIELDS_H
#define SK_LOGIC_FIELDS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"

/* Takes the next field and its separator off *rest, and returns the field.  Without a separator the field is all of
 * *rest. */
static inline struct sk_str sk_fields_next(struct sk_str *rest, char separator) {
  const char *at = rest->n ? memchr(rest->p, separator, rest->n) : NULL;
  struct sk_str field = at ? sk_str(rest->p, (size_t)(at - rest->p)) : *rest;
  *rest = at ? sk_str(at + 1, rest->n - field.n - 1) : sk_str(rest->p + rest->n, 0);
  return field;
}

/* Reads a field of 1 to 18 digits and nothing else.  Returns false, and *out is 0, for anything else. */
static inline bool sk_fields_number(struct sk_str field, int64_t *out) {
  *out = 0;
  if (field.n == 0 || field.n > 18) return false;
  int64_t v = 0;
  for (size_t i = 0; i < field.n; i++) {
    if (field.p[i] < '0' || field.p[i] > '9') return false;
    v = v * 10 + (field.p[i] - '0');
  }
  *out = v;
  return true;
}

#endif
