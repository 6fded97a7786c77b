/* arena.h - memory that is freed all at once.  Addresses stay put while it grows. */
#ifndef SK_BASE_ARENA_H
#define SK_BASE_ARENA_H

#include <stddef.h>

#include "base/str.h"

struct sk_arena_block;
struct sk_arena {
  struct sk_arena_block *blocks; /* owned */
};

/* A zeroed struct is an empty arena. */
void sk_arena_fini(struct sk_arena *a);
/* n bytes, zeroed, aligned for any type; NULL when out of memory. */
void *sk_arena_alloc(struct sk_arena *a, size_t n);
/* An array of n elements of `size` bytes, zeroed; NULL when out of memory or when n * size overflows. */
void *sk_arena_array(struct sk_arena *a, size_t n, size_t size);
/* A copy of s, followed by a NUL; a slice with p == NULL when out of memory. */
struct sk_str sk_arena_copy(struct sk_arena *a, struct sk_str s);
/* Moves all that `from` holds into a; addresses stay. */
void sk_arena_move(struct sk_arena *a, struct sk_arena *from);

#endif
