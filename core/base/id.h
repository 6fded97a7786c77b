/* id.h - job ids. An id is a ULID (github.com/ulid/spec): 26 characters of Crockford base32, made of 48 bits of wall
 * clock in ms and 80 random bits. The ids of one generator ascend strictly, even within one millisecond and when the
 * clock is set back. After a fork both processes own a copy of the generator; each copy then draws random bits of its
 * own. */
#ifndef SK_BASE_ID_H
#define SK_BASE_ID_H

#include <stdint.h>

#define SK_ID_BYTES 26

struct sk_idgen {
  unsigned forks; /* forks between the program's start and the process that made the last id */
  uint64_t last_ms;
  uint16_t hi; /* the upper 16 of the 80 random bits of the last id */
  uint64_t lo; /* the lower 64 bits */
};

/* Writes SK_ID_BYTES characters and a NUL. A zeroed generator is ready for use. */
void sk_id_next(struct sk_idgen *gen, int64_t wall_ms, char out[SK_ID_BYTES + 1]);

/* Returns 64 bits from the kernel's random generator; costs a system call. */
uint64_t sk_id_random(void);

/* A fast generator for jitter and fair shares, not for secrets: splitmix64 (Steele, Lea, Flood 2014).  Seed it once. */
struct sk_random {
  uint64_t state;
};
static inline uint64_t sk_random_next(struct sk_random *r) {
  uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

#endif
