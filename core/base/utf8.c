/* utf8.c - see utf8.h. */
#include "base/utf8.h"

#define REPLACEMENT "\xef\xbf\xbd"

size_t sk_utf8_length(struct sk_str s) {
  const unsigned char *p = (const unsigned char *)s.p;
  if (p[0] < 0x80) return 1;
  size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
  if (p[0] < 0xc2 || p[0] > 0xf4 || s.n < n) return 0;
  for (size_t i = 1; i < n; i++)
    if ((p[i] & 0xc0) != 0x80) return 0;
  bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
  bool surrogate = p[0] == 0xed && p[1] >= 0xa0;
  bool beyond = p[0] == 0xf4 && p[1] >= 0x90;
  return overlong || surrogate || beyond ? 0 : n;
}

bool sk_utf8_is_control(struct sk_str s, size_t n) {
  unsigned char c = (unsigned char)s.p[0];
  return c < 0x20 || c == 0x7f || (n == 2 && c == 0xc2 && (unsigned char)s.p[1] < 0xa0);
}

void sk_utf8_add_clean(struct sk_buf *out, struct sk_str s, bool lines) {
  while (s.n > 0) {
    size_t n = sk_utf8_length(s);
    if (n == 0)
      sk_buf_add_c(out, REPLACEMENT);
    else if (lines && (s.p[0] == '\n' || s.p[0] == '\t'))
      sk_buf_add_byte(out, s.p[0]);
    else if (sk_utf8_is_control(s, n))
      sk_buf_add_byte(out, ' ');
    else
      sk_buf_add(out, s.p, n);
    if (n == 0) n = 1;
    s = sk_str(s.p + n, s.n - n);
  }
}

/* c is the code of a control character, a quote or a backslash. */
static void add_escape(struct sk_buf *out, unsigned c) {
  switch (c) {
  case '"': sk_buf_add_c(out, "\\\""); return;
  case '\\': sk_buf_add_c(out, "\\\\"); return;
  case '\n': sk_buf_add_c(out, "\\n"); return;
  case '\r': sk_buf_add_c(out, "\\r"); return;
  case '\t': sk_buf_add_c(out, "\\t"); return;
  default: sk_buf_addf(out, "\\u%04x", c); return;
  }
}

void sk_utf8_add_json(struct sk_buf *out, struct sk_str s) {
  sk_buf_add_byte(out, '"');
  while (s.n > 0) {
    size_t n = sk_utf8_length(s);
    unsigned char c = (unsigned char)s.p[0];
    if (n == 0)
      sk_buf_add_c(out, REPLACEMENT);
    else if (sk_utf8_is_control(s, n))
      add_escape(out, n == 2 ? (unsigned char)s.p[1] : c); /* C1 is C2 80 to C2 9F for 80 to 9F */
    else if (c == '"' || c == '\\')
      add_escape(out, c);
    else
      sk_buf_add(out, s.p, n);
    if (n == 0) n = 1;
    s = sk_str(s.p + n, s.n - n);
  }
  sk_buf_add_byte(out, '"');
}
