/* id.c - see id.h. */
#include "base/id.h"

#include <pthread.h>
#include <sys/random.h>

#include "base/clock.h"

uint64_t sk_id_random(void) {
  uint64_t v;
  if (getrandom(&v, sizeof v, 0) == (ssize_t)sizeof v) return v;
  return (uint64_t)sk_clock_mono_us() * 0x9e3779b97f4a7c15u; /* without an entropy source distinct values must do */
}

/* The number of forks between the program's start and this process. A generator that has seen another number is a copy
 * that a fork has made. */
static unsigned forks;
static void count_fork(void) { forks++; }
static void watch_forks(void) { pthread_atfork(NULL, NULL, count_fork); }

void sk_id_next(struct sk_idgen *gen, int64_t wall_ms, char out[SK_ID_BYTES + 1]) {
  static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, watch_forks);
  uint64_t ms = (uint64_t)wall_ms & 0xffffffffffffu;
  if (ms > gen->last_ms || gen->forks != forks) {
    gen->forks = forks;
    if (ms > gen->last_ms) gen->last_ms = ms;
    gen->hi = (uint16_t)sk_id_random();
    gen->lo = sk_id_random();
  } else if (++gen->lo == 0 && ++gen->hi == 0) {
    gen->last_ms++; /* 2^80 ids in a millisecond: borrow from the next one */
  }
  uint64_t t = gen->last_ms;
  for (int i = 9; i >= 0; i--, t >>= 5) out[i] = digits[t & 31];
  uint64_t lo = gen->lo;
  for (int i = 25; i > 13; i--, lo >>= 5) out[i] = digits[lo & 31]; /* 60 low bits */
  uint64_t top = (uint64_t)gen->hi << 4 | lo;                       /* 16 + 4 bits left: 20 bits */
  for (int i = 13; i > 9; i--, top >>= 5) out[i] = digits[top & 31];
  out[SK_ID_BYTES] = '\0';
}
