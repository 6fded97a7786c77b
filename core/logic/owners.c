/* owners.c - see owners.h. */
#include "logic/owners.h"

#include <inttypes.h>

#include "base/limits.h"
#include "logic/fields.h"

/* The next owner and its time; false at the end. */
static bool next(struct sk_str *rest, struct sk_str *owner, int64_t *ms) {
  if (rest->n == 0) return false;
  *owner = sk_fields_next(rest, ' ');
  return rest->n > 0 && sk_fields_number(sk_fields_next(rest, ' '), ms);
}

void sk_owners_update(struct sk_str owners, struct sk_str owner, bool declares, int64_t now_ms, struct sk_buf *out) {
  struct sk_str other;
  int64_t ms;
  size_t n = out->n;
  if (declares) sk_buf_addf(out, "%.*s %" PRId64, SK_STR_ARG(owner), now_ms);
  while (next(&owners, &other, &ms))
    if (!sk_str_eq(other, owner) && ms > now_ms - SK_DECLARED_KEEP_MS)
      sk_buf_addf(out, "%s%.*s %" PRId64, out->n > n ? " " : "", SK_STR_ARG(other), ms);
}

bool sk_owners_has(struct sk_str owners, struct sk_str owner) {
  struct sk_str other;
  int64_t ms;
  while (next(&owners, &other, &ms))
    if (sk_str_eq(other, owner)) return true;
  return false;
}
