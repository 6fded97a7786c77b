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
/* Returns n zeroed bytes, aligned for any type; NULL when out of memory. */
void *sk_arena_alloc(struct sk_arena *a, size_t n);
/* Returns a zeroed array of n elements of `size` bytes; NULL when out of memory or when n * size overflows. */
void *sk_arena_array(struct sk_arena *a, size_t n, size_t size);
/* Returns a copy of s, followed by a NUL that is not counted; p is NULL when out of memory. */
struct sk_str sk_arena_copy(struct sk_arena *a, struct sk_str s);
/* Moves all memory of `from` to a; addresses stay the same. */
void sk_arena_move(struct sk_arena *a, struct sk_arena *from);

#endif
