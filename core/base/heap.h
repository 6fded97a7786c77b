/* heap.h - a binary min-heap of nodes that are embedded in their owners' structs. The key is an int64; equal keys come
 * out in the order in which they went in. A node knows its place, so that removing any node is O(log n), as is every
 * other operation. */
#ifndef SK_BASE_HEAP_H
#define SK_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sk_heap_node {
  int64_t key;
  uint64_t seq; /* order of insertion; breaks ties */
  size_t at;    /* index + 1 in the heap; 0 when it is in no heap */
};

struct sk_heap {
  struct sk_heap_node **nodes; /* owned array of borrowed nodes */
  size_t n;
  size_t cap;
  uint64_t seq;
};

void sk_heap_fini(struct sk_heap *h);
/* Reserves room for one more node, so that the next insert cannot fail; false when out of memory. */
bool sk_heap_reserve(struct sk_heap *h);
/* Reserves room for n nodes in all; false when out of memory. */
bool sk_heap_reserve_for(struct sk_heap *h, size_t n);
/* Inserts node with this key; false when out of memory. The node must not be in a heap. */
bool sk_heap_insert(struct sk_heap *h, struct sk_heap_node *node, int64_t key);
void sk_heap_remove(struct sk_heap *h, struct sk_heap_node *node);
static inline struct sk_heap_node *sk_heap_first(const struct sk_heap *h) { return h->n ? h->nodes[0] : NULL; }
static inline bool sk_heap_has(const struct sk_heap_node *node) { return node->at != 0; }

#endif
