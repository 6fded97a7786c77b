/* heap.h - a binary min-heap of nodes that live in their owners' structs, ordered by an int64 key, equal keys first in first
 * out.  Every operation is O(log n); a node knows its place, so removing any of them is too. */
#ifndef SK_BASE_HEAP_H
#define SK_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sk_heap_node {
  int64_t key;
  uint64_t seq; /* order of insertion; breaks ties */
  size_t at;    /* index + 1 in the heap; 0 when in none */
};

struct sk_heap {
  struct sk_heap_node **nodes; /* owned array of borrowed nodes */
  size_t n;
  size_t cap;
  uint64_t seq;
};

void sk_heap_fini(struct sk_heap *h);
/* Makes room for one more node, so that the next insert can't fail; false when out of memory. */
bool sk_heap_reserve(struct sk_heap *h);
/* ... for n nodes in all. */
bool sk_heap_reserve_for(struct sk_heap *h, size_t n);
/* Inserts node under key; false when out of memory.  The node must be in no heap. */
bool sk_heap_insert(struct sk_heap *h, struct sk_heap_node *node, int64_t key);
void sk_heap_remove(struct sk_heap *h, struct sk_heap_node *node);
static inline struct sk_heap_node *sk_heap_first(const struct sk_heap *h) { return h->n ? h->nodes[0] : NULL; }
static inline bool sk_heap_has(const struct sk_heap_node *node) { return node->at != 0; }

#endif
