/* arena.c - see arena.h. */
#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>

enum { ARENA_BLOCK_BYTES = 16 * 1024 };

struct sk_arena_block {
  struct sk_arena_block *next;
  size_t used;
  size_t cap;
  alignas(max_align_t) char bytes[];
};

void sk_arena_fini(struct sk_arena *a) {
  struct sk_arena_block *b = a->blocks;
  while (b) {
    struct sk_arena_block *next = b->next;
    free(b);
    b = next;
  }
  a->blocks = NULL;
}

void *sk_arena_alloc(struct sk_arena *a, size_t n) {
  size_t align = alignof(max_align_t);
  if (n > SIZE_MAX / 2) return NULL;
  n = (n + align - 1) / align * align;
  struct sk_arena_block *b = a->blocks;
  if (b == NULL || b->cap - b->used < n) {
    size_t cap = n > ARENA_BLOCK_BYTES ? n : ARENA_BLOCK_BYTES;
    b = malloc(sizeof *b + cap);
    if (b == NULL) return NULL;
    *b = (struct sk_arena_block){ .next = a->blocks, .cap = cap };
    a->blocks = b;
  }
  void *p = b->bytes + b->used;
  b->used += n;
  return memset(p, 0, n);
}

void *sk_arena_array(struct sk_arena *a, size_t n, size_t size) {
  if (size != 0 && n > SIZE_MAX / size) return NULL;
  return sk_arena_alloc(a, n * size);
}

struct sk_str sk_arena_copy(struct sk_arena *a, struct sk_str s) {
  char *p = sk_arena_alloc(a, s.n + 1);
  if (p == NULL) return sk_str(NULL, 0);
  if (s.n) memcpy(p, s.p, s.n);
  return sk_str(p, s.n);
}

void sk_arena_move(struct sk_arena *a, struct sk_arena *from) {
  struct sk_arena_block **end = &from->blocks;
  while (*end) end = &(*end)->next;
  *end = a->blocks;
  a->blocks = from->blocks;
  from->blocks = NULL;
}
