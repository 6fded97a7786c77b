/* str.h - a slice: bytes with a length, borrowed from their owner. No function here needs a NUL at the end. */
#ifndef SK_BASE_STR_H
#define SK_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct sk_str {
  const char *p;
  size_t n;
};

/* For printf's "%.*s". */
#define SK_STR_ARG(s) (int)(s).n, (s).p
#define SK_STR_LIT(lit) ((struct sk_str){ (lit), sizeof(lit) - 1 })

static inline struct sk_str sk_str(const char *p, size_t n) { return (struct sk_str){ p, n }; }

static inline struct sk_str sk_str_c(const char *z) { return (struct sk_str){ z, z ? strlen(z) : 0 }; }

static inline bool sk_str_eq(struct sk_str a, struct sk_str b) {
  return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool sk_str_eq_c(struct sk_str a, const char *z) { return sk_str_eq(a, sk_str_c(z)); }

static inline bool sk_str_starts(struct sk_str s, const char *prefix) {
  size_t n = strlen(prefix);
  return s.n >= n && memcmp(s.p, prefix, n) == 0;
}

/* Returns the first n bytes of s, or all of it when it is shorter. */
static inline struct sk_str sk_str_head(struct sk_str s, size_t n) { return sk_str(s.p, s.n < n ? s.n : n); }

#endif
