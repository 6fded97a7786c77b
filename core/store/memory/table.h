/* memory/table.h - the memory store's jobs by id: open addressing with linear probing.  Finding a job among millions
 * costs two cache misses (the slot, the job), an id that is not there one; those of a batch overlap
 * (sk_mem_table_prefetch). The hash has a random key of the table's own, so that nobody can choose ids that collide. */
#ifndef SK_STORE_MEMORY_TABLE_H
#define SK_STORE_MEMORY_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct mem_job;

struct mem_slot {
  uint64_t hash;
  struct mem_job *job; /* borrowed; NULL: free */
};

/* A table that is full gets twice as many slots, and each later add moves some of the old ones: no add moves them all.
 * Large slots are made before they are needed, and each add until then touches some of their pages. */
struct mem_table {
  struct mem_slot *slots; /* owned; NULL while it never had a job */
  size_t cap;             /* of slots; a power of two */
  struct mem_slot *old;   /* owned; the slots before it grew; NULL: all of them are moved */
  size_t old_cap;         /* of old */
  size_t old_at;          /* the next of them to be moved; it is empty, or the one before it is */
  size_t old_left;        /* how many are to be moved */
  struct mem_slot *next;  /* owned; the slots that it will grow into, of twice the cap; NULL: not needed soon */
  size_t next_touched;    /* bytes of them whose pages are there */
  size_t n;               /* jobs in slots and old */
  uint64_t key;
};

/* The table's hash of any bytes. */
uint64_t sk_mem_hash(const struct mem_table *t, struct sk_str s);

void sk_mem_table_init(struct mem_table *t);
/* Frees the slots, not the jobs. */
void sk_mem_table_fini(struct mem_table *t);
/* Sets the id's slot on its way into the cache: for all of a batch before the first of them is looked for. */
void sk_mem_table_prefetch(const struct mem_table *t, struct sk_str id);
/* NULL when there is none. */
struct mem_job *sk_mem_table_find(const struct mem_table *t, struct sk_str id);
/* Adds a job whose id is not in the table; false when out of memory. */
bool sk_mem_table_add(struct mem_table *t, struct mem_job *job);
/* Takes out a job that is in the table. */
void sk_mem_table_remove(struct mem_table *t, const struct mem_job *job);

/* The first job at or after slot *at, which moves behind it; NULL at the end.  The table must not change meanwhile. */
struct mem_job *sk_mem_table_next(const struct mem_table *t, size_t *at);

#endif
