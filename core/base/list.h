/* list.h - an intrusive doubly linked ring (after libuv's queue.h). A node is in one list at most, and that list is its
 * state. A head, and a node that is in no list, point to themselves. */
#ifndef SK_BASE_LIST_H
#define SK_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct sk_list {
  struct sk_list *next;
  struct sk_list *prev;
};

#define SK_CONTAINER(ptr, type, field) ((type *)(void *)((char *)(ptr)-offsetof(type, field)))

static inline void sk_list_init(struct sk_list *l) { l->next = l->prev = l; }
static inline bool sk_list_empty(const struct sk_list *l) { return l->next == l; }

static inline void sk_list_push(struct sk_list *l, struct sk_list *node) { /* appends */
  node->prev = l->prev;
  node->next = l;
  l->prev->next = node;
  l->prev = node;
}

static inline void sk_list_push_front(struct sk_list *l, struct sk_list *node) { sk_list_push(l->next, node); }

static inline void sk_list_remove(struct sk_list *node) {
  node->prev->next = node->next;
  node->next->prev = node->prev;
  sk_list_init(node);
}

/* Removes and returns the first node; NULL when the list is empty. */
static inline struct sk_list *sk_list_pop(struct sk_list *l) {
  if (sk_list_empty(l)) return NULL;
  struct sk_list *node = l->next;
  sk_list_remove(node);
  return node;
}

/* Moves all nodes of `from` to the end of `to`. */
static inline void sk_list_move(struct sk_list *to, struct sk_list *from) {
  if (sk_list_empty(from)) return;
  from->next->prev = to->prev;
  to->prev->next = from->next;
  from->prev->next = to;
  to->prev = from->prev;
  sk_list_init(from);
}

#define SK_LIST_EACH(it, head) for (struct sk_list *it = (head)->next; it != (head); it = it->next)
/* The same for bodies that may remove `it`. */
#define SK_LIST_EACH_SAFE(it, head)                                                                                    \
  for (struct sk_list *it = (head)->next, *it##_next = it->next; it != (head); it = it##_next, it##_next = it->next)

#endif
