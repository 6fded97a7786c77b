/* nearest.h - "did you mean": the known name nearest to a misspelt one. */
#ifndef SK_LOGIC_NEAREST_H
#define SK_LOGIC_NEAREST_H

#include <stddef.h>

#include "base/str.h"

struct sk_nearest {
  struct sk_str word; /* borrowed */
  struct sk_str name; /* the nearest tried so far that is near enough; n == 0: none; borrowed */
  size_t distance;    /* of `name`; without one, the smallest distance that is too far */
};

void sk_nearest_init(struct sk_nearest *n, struct sk_str word);
/* Compares the word with one more known name, and keeps the name in n->name when it is the nearest so far.  Of names
 * that are equally near, the first one is kept. */
void sk_nearest_try(struct sk_nearest *n, struct sk_str name);

#endif
