/* watch.h - what a store handle has seen of the other engines of its store, beat by beat (logic/lease.h says when one
 * is gone). */
#ifndef SK_STORE_WATCH_H
#define SK_STORE_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct sk_watched;

struct sk_watches { /* zeroed: empty */
  struct sk_watched *all;
  bool looked; /* has there been a round? */
  int64_t looked_ms;
  /* The round that goes on. */
  uint64_t round;
  int64_t counts_ms;
  bool missed;
};

/* Begins a round: one successful beat of this engine.  now_ms is this machine's monotonic clock. */
void sk_watches_begin(struct sk_watches *w, int64_t now_ms, int64_t own_lease_ms);
/* Looks at an engine, whose name is any bytes that mean no other engine ever; true: its lease is over.  Once a round
 * counts. */
bool sk_watches_look(struct sk_watches *w, struct sk_str name, uint64_t mark, int64_t lease_ms);
/* Ends the round: engines that it has not named are forgotten. */
void sk_watches_end(struct sk_watches *w);
/* Forgets all: the next round is the first. */
void sk_watches_fini(struct sk_watches *w);

#endif
