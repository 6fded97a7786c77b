/* queues.h - which queues an engine serves, and which of them to try for one fetch.
 *
 *   queues := queue ((","|" ")+ queue)*      queue := name [":" weight]      weight := 1 .. SK_QUEUE_WEIGHT_MAX
 *
 * Without weights the order is strict: a queue is served when those before it are empty.  With a weight anywhere, each
 * queue gets its share of the jobs while all of them have some; the others take what one leaves.  No weight means 1.
 * What follows the last colon is always the weight, so a queue whose name has colons is given with one: "mail:eu:1". */
#ifndef SK_LOGIC_QUEUES_H
#define SK_LOGIC_QUEUES_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

struct sk_queue_spec {
  struct sk_str name;
  uint32_t weight; /* 0 = strict; either all of a set are 0 or none is */
};

/* Text of a flag or of QUEUES.  The names point into text, the array lives in arena.  SK_EINVAL: no queue named, a bad
 * name or weight, one named twice; SK_ELIMIT: more than SK_QUEUES_MAX; SK_ENOMEM. */
enum sk_code sk_queues_parse(struct sk_str text, struct sk_arena *arena, struct sk_queue_spec **specs, size_t *n,
                             struct sk_err *err);

struct sk_queue_plan {
  size_t index; /* into specs */
  size_t quota; /* for the first pass of a fetch (store.h); may be 0 */
  double key;   /* scratch */
};

/* Fills out[0 .. n-1], the order in which to try the queues.  Pure: the same random number gives the same plan.
 * Strict: in order, each with the quota `want`.  Weighted: a random order (the first is queue i with probability
 * weight_i / sum, and so on among the rest) and quotas that sum to `want` exactly and are want * weight_i / sum on
 * average, each off by less than 1; so for want = 1 one queue has quota 1, queue i with probability weight_i / sum. */
void sk_queues_plan(const struct sk_queue_spec *specs, size_t n, size_t want, uint64_t random,
                    struct sk_queue_plan *out);

#endif
