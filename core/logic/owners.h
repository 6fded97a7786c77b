/* owners.h - who has declared a thing, and when each of them said so last, as a text that the stores keep beside it.
 *
 *   owners := [ owner " " ms { " " owner " " ms } ]      owner: a word; ms: by the store's clock
 *
 * A thing is there while it has an owner.  An owner that declares without it leaves it; one that has not been heard of
 * for SK_DECLARED_KEEP_MS is forgotten. */
#ifndef SK_LOGIC_OWNERS_H
#define SK_LOGIC_OWNERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

/* Appends the owners after `owner` has declared with the thing (declares) or without it; nothing: it has none any
 * more. */
void sk_owners_update(struct sk_str owners, struct sk_str owner, bool declares, int64_t now_ms, struct sk_buf *out);
bool sk_owners_has(struct sk_str owners, struct sk_str owner);

#endif
