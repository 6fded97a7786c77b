/* shown.c - see shown.h. */
#include "logic/shown.h"

struct sk_shown sk_shown(struct sk_str s) {
  struct sk_shown out;
  struct sk_str head = sk_str_head(s, SK_SHOWN_BYTES_MAX);
  for (size_t i = 0; i < head.n; i++) out.text[i] = head.p[i] >= ' ' && head.p[i] < 0x7f ? head.p[i] : '?';
  strcpy(out.text + head.n, s.n > head.n ? "..." : "");
  return out;
}
