/* heap.c - see heap.h. */
#include "base/heap.h"

#include <assert.h>
#include <stdlib.h>

void sk_heap_fini(struct sk_heap *h) {
  free(h->nodes);
  *h = (struct sk_heap){ 0 };
}

static bool before(const struct sk_heap_node *a, const struct sk_heap_node *b) {
  return a->key != b->key ? a->key < b->key : a->seq < b->seq;
}

static void put(struct sk_heap *h, size_t i, struct sk_heap_node *node) {
  h->nodes[i] = node;
  node->at = i + 1;
}

static void sift_up(struct sk_heap *h, size_t i, struct sk_heap_node *node) {
  while (i > 0) {
    size_t parent = (i - 1) / 2;
    if (!before(node, h->nodes[parent])) break;
    put(h, i, h->nodes[parent]);
    i = parent;
  }
  put(h, i, node);
}

static void sift_down(struct sk_heap *h, size_t i, struct sk_heap_node *node) {
  for (;;) {
    size_t child = 2 * i + 1;
    if (child >= h->n) break;
    if (child + 1 < h->n && before(h->nodes[child + 1], h->nodes[child])) child++;
    if (!before(h->nodes[child], node)) break;
    put(h, i, h->nodes[child]);
    i = child;
  }
  put(h, i, node);
}

bool sk_heap_reserve_for(struct sk_heap *h, size_t n) {
  if (n <= h->cap) return true;
  size_t cap = h->cap ? h->cap : 16;
  while (cap < n) cap *= 2;
  struct sk_heap_node **nodes = realloc(h->nodes, cap * sizeof *nodes);
  if (nodes == NULL) return false;
  h->nodes = nodes;
  h->cap = cap;
  return true;
}

bool sk_heap_reserve(struct sk_heap *h) { return sk_heap_reserve_for(h, h->n + 1); }

bool sk_heap_insert(struct sk_heap *h, struct sk_heap_node *node, int64_t key) {
  assert(node->at == 0);
  if (!sk_heap_reserve(h)) return false;
  node->key = key;
  node->seq = h->seq++;
  sift_up(h, h->n++, node);
  return true;
}

void sk_heap_remove(struct sk_heap *h, struct sk_heap_node *node) {
  assert(node->at != 0 && node->at <= h->n && h->nodes[node->at - 1] == node);
  size_t i = node->at - 1;
  node->at = 0;
  struct sk_heap_node *last = h->nodes[--h->n];
  if (last == node) return;
  if (i > 0 && before(last, h->nodes[(i - 1) / 2]))
    sift_up(h, i, last);
  else
    sift_down(h, i, last);
}
