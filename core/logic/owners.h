/* owners.h - the applications that declare a task or a queue's settings, and when each last declared it, as a text that
 * the stores keep beside it.
 *
 *   owners := [ owner " " ms { " " owner " " ms } ]      owner: a word; ms: by the store's clock
 *
 * What is declared exists while it has an owner.  An owner that declares other things and leaves it out is removed.  So
 * is an owner that has declared nothing for SK_DECLARED_KEEP_MS. */
#ifndef SK_LOGIC_OWNERS_H
#define SK_LOGIC_OWNERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

/* Appends the owners after a declaration of `owner` that names the thing (declares is true) or leaves it out.  Appends
 * nothing when no owner is left.  Check out->failed afterwards. */
void sk_owners_update(struct sk_str owners, struct sk_str owner, bool declares, int64_t now_ms, struct sk_buf *out);
bool sk_owners_has(struct sk_str owners, struct sk_str owner);

#endif
