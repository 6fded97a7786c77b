/* watch.c - see watch.h. */
#include "store/watch.h"

#include <stdlib.h>
#include <string.h>
/* Out of memory is a status: uthash then leaves hh.tbl NULL. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "logic/lease.h"

struct sk_watched {
  UT_hash_handle hh;
  struct sk_lease_watch lease;
  uint64_t round; /* the last one that named it */
  bool gone;
  char name[];
};

void sk_watches_begin(struct sk_watches *w, int64_t now_ms, int64_t own_lease_ms) {
  w->counts_ms = sk_lease_counts(w->looked ? now_ms - w->looked_ms : -1, own_lease_ms, &w->missed);
  w->looked = true;
  w->looked_ms = now_ms;
  w->round++;
}

static struct sk_watched *find(struct sk_watches *w, struct sk_str name) {
  struct sk_watched *one;
  HASH_FIND(hh, w->all, name.p, name.n, one);
  if (one != NULL) return one;
  one = calloc(1, sizeof *one + name.n);
  if (one == NULL) return NULL;
  memcpy(one->name, name.p, name.n);
  HASH_ADD_KEYPTR(hh, w->all, one->name, name.n, one);
  if (one->hh.tbl != NULL) return one;
  free(one);
  return NULL;
}

bool sk_watches_look(struct sk_watches *w, struct sk_str name, uint64_t mark, int64_t lease_ms) {
  struct sk_watched *one = find(w, name);
  if (one == NULL) return false; /* out of memory: a later round judges */
  if (one->round != w->round) one->gone = sk_lease_look(&one->lease, mark, lease_ms, w->counts_ms, w->missed);
  one->round = w->round;
  return one->gone;
}

static void forget(struct sk_watches *w, bool everyone) {
  struct sk_watched *one, *next;
  HASH_ITER(hh, w->all, one, next) {
    if (!everyone && one->round == w->round) continue;
    HASH_DEL(w->all, one);
    free(one);
  }
}

void sk_watches_end(struct sk_watches *w) { forget(w, false); }

void sk_watches_fini(struct sk_watches *w) {
  forget(w, true);
  *w = (struct sk_watches){ 0 };
}
