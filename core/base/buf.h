/* buf.h - a growing byte buffer. An append never fails half way: when memory runs out the buffer is marked `failed`,
 * keeps its bytes, and ignores later appends. A writer therefore checks `failed` once, at the end. */
#ifndef SK_BASE_BUF_H
#define SK_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"

struct sk_buf {
  char *p; /* owned; NULL while empty */
  size_t n;
  size_t cap;
  bool failed;
};

/* A zeroed struct is an empty buffer.  fini frees the bytes and makes it empty again. */
void sk_buf_fini(struct sk_buf *b);
static inline void sk_buf_clear(struct sk_buf *b) { b->n = 0, b->failed = false; }
static inline struct sk_str sk_buf_str(const struct sk_buf *b) { return sk_str(b->p, b->n); }

/* Reserves room for n more bytes; false (and `failed` is set) when out of memory. */
bool sk_buf_grow(struct sk_buf *b, size_t n); /* the slow path of sk_buf_reserve */
static inline bool sk_buf_reserve(struct sk_buf *b, size_t n) {
  return (!b->failed && n <= b->cap - b->n) || sk_buf_grow(b, n);
}
static inline void sk_buf_add(struct sk_buf *b, const void *bytes, size_t n) {
  if (n == 0 || !sk_buf_reserve(b, n)) return;
  memcpy(b->p + b->n, bytes, n);
  b->n += n;
}
static inline void sk_buf_add_str(struct sk_buf *b, struct sk_str s) { sk_buf_add(b, s.p, s.n); }
static inline void sk_buf_add_byte(struct sk_buf *b, char c) {
  if (sk_buf_reserve(b, 1)) b->p[b->n++] = c;
}
void sk_buf_add_c(struct sk_buf *b, const char *z);
void sk_buf_addf(struct sk_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sk_buf_add_u32(struct sk_buf *b, uint32_t v); /* little-endian, fixed width */
void sk_buf_add_u64(struct sk_buf *b, uint64_t v);
/* Appends s as a JSON string with its quotes. Bytes that are not UTF-8 pass unchanged. */
void sk_buf_add_json(struct sk_buf *b, struct sk_str s);
/* Drops the first n bytes. */
void sk_buf_consume(struct sk_buf *b, size_t n);

#endif
