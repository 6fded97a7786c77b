/* buf.c - see buf.h. */
#include "base/buf.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUF_BYTES_MIN = 64 };

void sk_buf_fini(struct sk_buf *b) {
  free(b->p);
  *b = (struct sk_buf){ 0 };
}

bool sk_buf_grow(struct sk_buf *b, size_t n) {
  if (b->failed) return false;
  if (n > SIZE_MAX / 2 - b->n) goto fail;
  size_t need = b->n + n;
  size_t cap = b->cap ? b->cap : BUF_BYTES_MIN;
  while (cap < need) cap *= 2;
  char *p = realloc(b->p, cap);
  if (p == NULL) goto fail;
  b->p = p;
  b->cap = cap;
  return true;
fail:
  b->failed = true;
  return false;
}

void sk_buf_add_c(struct sk_buf *b, const char *z) { sk_buf_add(b, z, strlen(z)); }

void sk_buf_addf(struct sk_buf *b, const char *fmt, ...) {
  va_list ap, again;
  va_start(ap, fmt);
  va_copy(again, ap);
  int n = vsnprintf(NULL, 0, fmt, ap);
  va_end(ap);
  if (n >= 0 && sk_buf_reserve(b, (size_t)n + 1)) {
    vsnprintf(b->p + b->n, (size_t)n + 1, fmt, again);
    b->n += (size_t)n;
  }
  va_end(again);
}

void sk_buf_add_u32(struct sk_buf *b, uint32_t v) {
  unsigned char le[4];
  for (int i = 0; i < 4; i++) le[i] = (unsigned char)(v >> (8 * i));
  sk_buf_add(b, le, sizeof le);
}

void sk_buf_add_u64(struct sk_buf *b, uint64_t v) {
  unsigned char le[8];
  for (int i = 0; i < 8; i++) le[i] = (unsigned char)(v >> (8 * i));
  sk_buf_add(b, le, sizeof le);
}

static void add_json_escape(struct sk_buf *b, unsigned char c) {
  switch (c) {
  case '"': sk_buf_add_c(b, "\\\""); return;
  case '\\': sk_buf_add_c(b, "\\\\"); return;
  case '\n': sk_buf_add_c(b, "\\n"); return;
  case '\r': sk_buf_add_c(b, "\\r"); return;
  case '\t': sk_buf_add_c(b, "\\t"); return;
  default: break;
  }
  static const char hex[] = "0123456789abcdef";
  char esc[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };
  sk_buf_add(b, esc, sizeof esc);
}

void sk_buf_add_json(struct sk_buf *b, struct sk_str s) {
  sk_buf_add_byte(b, '"');
  size_t from = 0;
  for (size_t i = 0; i < s.n; i++) {
    unsigned char c = (unsigned char)s.p[i];
    if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) continue;
    sk_buf_add(b, s.p + from, i - from);
    add_json_escape(b, c);
    from = i + 1;
  }
  if (s.n > from) sk_buf_add(b, s.p + from, s.n - from);
  sk_buf_add_byte(b, '"');
}

void sk_buf_consume(struct sk_buf *b, size_t n) {
  assert(n <= b->n);
  if (n == 0) return; /* an empty buffer has no bytes to point to */
  memmove(b->p, b->p + n, b->n - n);
  b->n -= n;
}
