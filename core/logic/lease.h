/* lease.h - when an engine counts as gone, as a pure function of what another engine has seen of it.
 *
 * Each engine has a mark in the store, a number that grows with each thing it does there.  Whoever judges looks at all
 * marks with each of its own beats and counts, on its own monotonic clock, for how long a mark has stood still: no
 * clock of the store and no clock of the other engine counts, so none that steps can end a lease.
 *
 * Time in which nobody could reach the store counts for nobody:
 *  - a look vouches for at most the time between two beats, however long ago the look before it was;
 *  - a judge that has not looked for as long as its own lease begins anew, since what it has missed says nothing. */
#ifndef SK_LOGIC_LEASE_H
#define SK_LOGIC_LEASE_H

#include <stdbool.h>
#include <stdint.h>

/* What a judge knows of one engine; zeroed: it has not seen it yet. */
struct sk_lease_watch {
  bool seen;
  uint64_t mark;
  int64_t still_ms; /* how long the mark has stood still, as far as that counts */
};

/* How much of the time since the judge's last look counts; gap_ms < 0: there was none.  *missed: begin anew. */
int64_t sk_lease_counts(int64_t gap_ms, int64_t own_lease_ms, bool *missed);

/* Takes in a look at an engine with that lease; true: it is gone. */
bool sk_lease_look(struct sk_lease_watch *watch, uint64_t mark, int64_t lease_ms, int64_t counts_ms, bool missed);

#endif
