/* shown.h - a value as an error message shows it: short and printable, whatever bytes a client sent. */
#ifndef SK_LOGIC_SHOWN_H
#define SK_LOGIC_SHOWN_H

#include "base/str.h"

enum { SK_SHOWN_BYTES_MAX = 60 };

struct sk_shown {
  char text[SK_SHOWN_BYTES_MAX + 4]; /* ends with NUL */
};

/* Returns the first SK_SHOWN_BYTES_MAX bytes of s, with "?" for each byte that is not printable ASCII, and "..." when s
 * is longer. */
struct sk_shown sk_shown(struct sk_str s);

#endif
