/* memory/table.c - see memory/table.h. */
#include "store/memory/table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/id.h"
#include "store/memory/memory.h"

enum {
  TABLE_CAP_MIN = 64,
  LINE_SLOTS = 64 / sizeof(struct mem_slot), /* of a cache line */
  HUGE_PAGE_BYTES = 2 << 20,
  MOVED = 8, /* old slots that an add moves at least; 2 are enough to be done before the table is full again */
};

/* -- hash ---------------------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t a, uint64_t b) {
  __extension__ unsigned __int128 product = (unsigned __int128)a * b;
  return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Loads eight bytes: the constant size makes it one instruction. */
static uint64_t word_at(const char *p) {
  uint64_t word;
  memcpy(&word, p, sizeof word);
  return word;
}

/* Hashes word by word; the last word overlaps the one before it. */
uint64_t sk_mem_hash(const struct mem_table *t, struct sk_str id) {
  uint64_t h = t->key ^ id.n, factor = 0x9e3779b97f4a7c15u ^ t->key >> 1, last = 0;
  for (size_t i = 0; i + 8 < id.n; i += 8) h = mix(h ^ word_at(id.p + i), factor);
  if (id.n >= 8)
    last = word_at(id.p + id.n - 8);
  else if (id.n > 0)
    memcpy(&last, id.p, id.n);
  return mix(mix(h ^ last, factor), 0xbf58476d1ce4e5b9u);
}

/* -- slots --------------------------------------------------------------------------------------------------------- */

static size_t slot_after(size_t cap, size_t i) { return (i + 1) & (cap - 1); }
static size_t home_of(size_t cap, uint64_t hash) { return (size_t)hash & (cap - 1); }

static void put(struct mem_slot *slots, size_t cap, struct mem_slot slot) {
  size_t i = home_of(cap, slot.hash);
  while (slots[i].job != NULL) i = slot_after(cap, i);
  slots[i] = slot;
}

/* Zeroed pages, aligned to huge pages; NULL when out of memory. */
static void *pages_new(size_t bytes) {
  char *p = mmap(NULL, bytes + HUGE_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return NULL;
  size_t before = (size_t)(-(uintptr_t)p & (HUGE_PAGE_BYTES - 1));
  if (before > 0) munmap(p, before);
  if (before < HUGE_PAGE_BYTES) munmap(p + before + bytes, HUGE_PAGE_BYTES - before);
  madvise(p + before, bytes, MADV_HUGEPAGE); /* a kernel without them takes small ones */
  return p + before;
}

/* Allocates empty slots.  A large table asks for huge pages: ids are spread over all of it, so that with small pages
 * nearly each access would miss the TLB, and after a fork, which an engine does for each worker, nearly each would
 * fault. */
static struct mem_slot *slots_new(size_t cap) {
  size_t bytes = cap * sizeof(struct mem_slot);
  return bytes < HUGE_PAGE_BYTES ? calloc(cap, sizeof(struct mem_slot)) : pages_new(bytes);
}

static void slots_free(struct mem_slot *slots, size_t cap) {
  size_t bytes = cap * sizeof(struct mem_slot);
  if (slots != NULL && bytes >= HUGE_PAGE_BYTES)
    munmap(slots, bytes);
  else
    free(slots);
}

void sk_mem_table_init(struct mem_table *t) { *t = (struct mem_table){ .key = sk_id_random() }; }

void sk_mem_table_fini(struct mem_table *t) {
  slots_free(t->slots, t->cap);
  slots_free(t->old, t->old_cap);
  slots_free(t->next, t->cap * 2);
}

/* -- growing ------------------------------------------------------------------------------------------------------- */

/* Moves at least n old slots, and stops at an empty one: a run of taken slots moves as a whole, so that each job in it
 * can be found. */
static void move_on(struct mem_table *t, size_t n) {
  for (; t->old_left > 0; t->old_left--) {
    struct mem_slot *slot = &t->old[t->old_at];
    if (slot->job == NULL && n == 0) return;
    if (n > 0) n--;
    if (slot->job != NULL) put(t->slots, t->cap, *slot);
    slot->job = NULL;
    t->old_at = slot_after(t->old_cap, t->old_at);
  }
  slots_free(t->old, t->old_cap);
  t->old = NULL;
}

enum {
  TOUCHED = 256
}; /* bytes of the next slots with each add: cap / 8 adds touch all, and the table grows after cap / 6 adds */

/* Makes the next slots before the table needs them, and touches some of their pages. */
static void prepare(struct mem_table *t) {
  size_t bytes = t->cap * 2 * sizeof(struct mem_slot);
  if (t->n < t->cap / 2 || bytes < HUGE_PAGE_BYTES) return;
  if (t->next == NULL) {
    t->next = slots_new(t->cap * 2); /* when out of memory, the next add tries again */
    t->next_touched = 0;
  }
  if (t->next == NULL || t->next_touched >= bytes) return;
  ((volatile char *)t->next)[t->next_touched] = 0;
  t->next_touched += TOUCHED;
}

/* Makes room for one more job; at most two thirds of the slots are taken.  False when out of memory. */
static bool reserve(struct mem_table *t) {
  if (t->old != NULL) move_on(t, MOVED);
  prepare(t);
  if (t->n + 1 <= t->cap / 3 * 2) return true;
  if (t->old != NULL) move_on(t, t->old_left);
  size_t cap = t->cap ? t->cap * 2 : TABLE_CAP_MIN;
  struct mem_slot *grown = t->next != NULL ? t->next : slots_new(cap);
  if (grown == NULL) return false;
  t->next = NULL;
  t->old = t->slots;
  t->old_cap = t->old_left = t->cap;
  t->slots = grown;
  t->cap = cap;
  for (t->old_at = 0; t->old != NULL && t->old[t->old_at].job != NULL;) t->old_at++;
  return true;
}

/* -- jobs ---------------------------------------------------------------------------------------------------------- */

void sk_mem_table_prefetch(const struct mem_table *t, struct sk_str id) {
  if (t->n == 0) return;
  uint64_t hash = sk_mem_hash(t, id);
  size_t home = home_of(t->cap, hash);
  __builtin_prefetch(&t->slots[home]);
  __builtin_prefetch(&t->slots[(home + LINE_SLOTS) & (t->cap - 1)]); /* a search goes on to an empty slot */
  if (t->old != NULL) __builtin_prefetch(&t->old[home_of(t->old_cap, hash)]);
}

static struct mem_job *find_in(const struct mem_slot *slots, size_t cap, uint64_t hash, struct sk_str id) {
  for (size_t i = home_of(cap, hash); slots[i].job != NULL; i = slot_after(cap, i))
    if (slots[i].hash == hash && sk_str_eq(slots[i].job->id, id)) return slots[i].job;
  return NULL;
}

struct mem_job *sk_mem_table_find(const struct mem_table *t, struct sk_str id) {
  if (t->n == 0) return NULL;
  uint64_t hash = sk_mem_hash(t, id);
  struct mem_job *job = find_in(t->slots, t->cap, hash, id);
  return job == NULL && t->old != NULL ? find_in(t->old, t->old_cap, hash, id) : job;
}

bool sk_mem_table_add(struct mem_table *t, struct mem_job *job) {
  if (!reserve(t)) return false;
  put(t->slots, t->cap, (struct mem_slot){ .hash = sk_mem_hash(t, job->id), .job = job });
  t->n++;
  return true;
}

/* False: the job is not in these slots. */
static bool remove_from(struct mem_slot *slots, size_t cap, uint64_t hash, const struct mem_job *job) {
  size_t hole = home_of(cap, hash);
  for (; slots[hole].job != job; hole = slot_after(cap, hole))
    if (slots[hole].job == NULL) return false;
  /* The jobs behind it move up, unless that would put them before their home. */
  for (size_t i = slot_after(cap, hole); slots[i].job != NULL; i = slot_after(cap, i)) {
    size_t home = home_of(cap, slots[i].hash);
    if (((i - home) & (cap - 1)) < ((i - hole) & (cap - 1))) continue;
    slots[hole] = slots[i];
    hole = i;
  }
  slots[hole].job = NULL;
  return true;
}

void sk_mem_table_remove(struct mem_table *t, const struct mem_job *job) {
  assert(t->n > 0);
  uint64_t hash = sk_mem_hash(t, job->id);
  bool found = remove_from(t->slots, t->cap, hash, job);
  if (!found) found = t->old != NULL && remove_from(t->old, t->old_cap, hash, job);
  assert(found);
  t->n--;
}

struct mem_job *sk_mem_table_next(const struct mem_table *t, size_t *at) {
  size_t all = t->cap + (t->old != NULL ? t->old_cap : 0);
  while (*at < all) {
    size_t i = (*at)++;
    struct mem_job *job = i < t->cap ? t->slots[i].job : t->old[i - t->cap].job;
    if (job != NULL) return job;
  }
  return NULL;
}
