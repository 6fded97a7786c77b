/* queue_set.h - the queues that an engine serves, and which of them may have jobs.
 *
 * A fetch names only queues that may have jobs: those that an event named, in which the last fetch left jobs, or whose
 * earliest job is due. So its cost does not grow with the number of queues. */
#ifndef SK_ENGINE_QUEUE_SET_H
#define SK_ENGINE_QUEUE_SET_H

#include "base/arena.h"
#include "base/limits.h"
#include "logic/queues.h"
#include "store/store.h"

#define SK_QUEUE_SET_NEVER INT64_MAX

struct sk_queue_set_entry {
  struct sk_queue_spec spec; /* its name lives in sk_queue_set.names */
  bool maybe;                /* it may have jobs */
  bool again;                /* the same, found out since the fetch under way was sent */
  int64_t due_at_ms;         /* when its earliest job is due, monotonic; SK_QUEUE_SET_NEVER: none is known */
};

struct sk_queue_set {
  struct sk_queue_set_entry *queues; /* owned array */
  size_t n, cap;
  uint32_t *slots; /* owned: a hash table of indexes into queues, from 1 */
  size_t slots_n;
  struct sk_arena names;
  bool all;                    /* every queue of the store is served: new names are added */
  size_t turn;                 /* where the next pick of very many begins */
  struct sk_queue_spec *specs; /* owned, like plan: room for a pick */
  struct sk_queue_plan *plan;
  size_t *picked; /* owned: indexes of the queues of the fetch under way, SK_FETCH_QUEUES_MAX */
  size_t picked_n;
};

void sk_queue_set_fini(struct sk_queue_set *s);
/* Forgets all queues. */
void sk_queue_set_clear(struct sk_queue_set *s, bool all);
/* The queue of that name; with `add` it is added if it is missing.  NULL: it is missing, or memory is out. */
struct sk_queue_set_entry *sk_queue_set_find(struct sk_queue_set *s, struct sk_str name, uint32_t weight, bool add);
/* One queue, or all, may have jobs. */
void sk_queue_set_maybe(struct sk_queue_set_entry *queue);
void sk_queue_set_maybe_all(struct sk_queue_set *s);
bool sk_queue_set_any_maybe(const struct sk_queue_set *s);
/* Queues whose earliest job is due may have jobs.  Returns when the next one is due. */
int64_t sk_queue_set_due(struct sk_queue_set *s, int64_t now_ms);
/* Picks the queues that a fetch of `want` jobs is to name, at most SK_FETCH_QUEUES_MAX, and their quotas.  0: none may
 * have jobs, or memory is out (*no_memory). */
size_t sk_queue_set_pick(struct sk_queue_set *s, size_t want, uint64_t random, struct sk_fetch_queue *out,
                         bool *no_memory);
/* Takes over what that fetch found in them. */
void sk_queue_set_found(struct sk_queue_set *s, const struct sk_fetch_queue *queues, int64_t now_ms);

#endif
