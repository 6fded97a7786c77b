/* lease.c - see lease.h. */
#include "logic/lease.h"

#include "base/limits.h"

int64_t sk_lease_counts(int64_t gap_ms, int64_t own_lease_ms, bool *missed) {
  *missed = gap_ms < 0 || gap_ms >= own_lease_ms;
  if (*missed) return 0;
  /* Rounded up, so that as many looks as there are beats in a lease make a whole one. */
  int64_t most_ms = (own_lease_ms + SK_BEATS_PER_LEASE - 1) / SK_BEATS_PER_LEASE;
  return gap_ms < most_ms ? gap_ms : most_ms;
}

bool sk_lease_look(struct sk_lease_watch *watch, uint64_t mark, int64_t lease_ms, int64_t counts_ms, bool missed) {
  bool moved = !watch->seen || watch->mark != mark;
  watch->seen = true;
  watch->mark = mark;
  watch->still_ms = moved || missed ? 0 : watch->still_ms + counts_ms;
  return watch->still_ms >= lease_ms;
}
