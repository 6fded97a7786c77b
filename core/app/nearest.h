/* nearest.h - "did you mean": the known name nearest to a misspelt one. */
#ifndef SK_APP_NEAREST_H
#define SK_APP_NEAREST_H

#include <stddef.h>

#include "base/str.h"

struct sk_nearest {
  struct sk_str word; /* borrowed */
  const char *name;   /* the nearest tried so far that is near enough; NULL for none; borrowed */
  size_t distance;
};

void sk_nearest_init(struct sk_nearest *n, struct sk_str word);
void sk_nearest_try(struct sk_nearest *n, const char *name);

#endif
