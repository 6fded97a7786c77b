/* lease.h - when an engine counts as gone, as a pure function of what another engine has seen of it.
 *
 * Each engine has a mark in the store, a number that grows with each operation of that engine.  A judge is any engine
 * that beats: with each beat it looks at all marks and counts, on its own monotonic clock, how long a mark has stood
 * still.  The clocks of the store and of the other engine do not count, so a clock that steps ends no lease.
 *
 * Time in which nobody could reach the store counts for no engine:
 *  - a look counts for at most the time between two beats, however long ago the look before it was;
 *  - a judge that has not looked for as long as its own lease begins anew, because it knows nothing of that time. */
#ifndef SK_LOGIC_LEASE_H
#define SK_LOGIC_LEASE_H

#include <stdbool.h>
#include <stdint.h>

/* What a judge knows of another engine; zeroed: the judge has not seen that engine yet. */
struct sk_lease_watch {
  bool seen;
  uint64_t mark;
  int64_t still_ms; /* how long the mark has stood still, as far as that counts */
};

/* Returns how much of gap_ms, the time since the judge's last look, counts; gap_ms < 0: this is its first look.  Sets
 * *missed when the judge must begin anew. */
int64_t sk_lease_counts(int64_t gap_ms, int64_t own_lease_ms, bool *missed);

/* Takes in a look at an engine whose lease is lease_ms.  Returns true when that engine is gone. */
bool sk_lease_look(struct sk_lease_watch *watch, uint64_t mark, int64_t lease_ms, int64_t counts_ms, bool missed);

#endif
