/* clock.c - see clock.h. */
#include "base/clock.h"

#include <time.h>

static int64_t read_us(clockid_t clock) {
  struct timespec ts;
  clock_gettime(clock, &ts);
  return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t sk_clock_wall_us(void) { return read_us(CLOCK_REALTIME); }
int64_t sk_clock_wall_ms(void) { return sk_clock_wall_us() / 1000; }
int64_t sk_clock_mono_us(void) { return read_us(CLOCK_MONOTONIC); }
int64_t sk_clock_mono_ms(void) { return sk_clock_mono_us() / 1000; }
