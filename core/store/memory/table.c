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
  LINE_SLOTS = 64 / sizeof(struct mem_slot), /* of a line of the cache */
  HUGE_PAGE_BYTES = 2 << 20,
};

void sk_mem_table_init(struct mem_table *t) { *t = (struct mem_table){ .key = sk_id_random() }; }
void sk_mem_table_fini(struct mem_table *t) { free(t->slots); }

/* -- hash ---------------------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t a, uint64_t b) {
  __extension__ unsigned __int128 product = (unsigned __int128)a * b;
  return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Eight bytes: a size that the compiler knows makes it one load. */
static uint64_t word_at(const char *p) {
  uint64_t word;
  memcpy(&word, p, sizeof word);
  return word;
}

/* Word by word; the last one overlaps the one before it. */
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

static size_t slot_after(const struct mem_table *t, size_t i) { return (i + 1) & (t->cap - 1); }
static size_t home_of(const struct mem_table *t, uint64_t hash) { return (size_t)hash & (t->cap - 1); }

static size_t free_slot(const struct mem_table *t, uint64_t hash) {
  size_t i = home_of(t, hash);
  while (t->slots[i].job != NULL) i = slot_after(t, i);
  return i;
}

/* Free ones.  Many of them ask for huge pages: ids lie all over, so that nearly each would miss the TLB too, and
 * after a fork, which an engine does for each worker, nearly each would fault on a page of its own. */
static struct mem_slot *slots_new(size_t cap) {
  size_t bytes = cap * sizeof(struct mem_slot);
  if (bytes < HUGE_PAGE_BYTES) return calloc(cap, sizeof(struct mem_slot));
  struct mem_slot *slots = aligned_alloc(HUGE_PAGE_BYTES, bytes);
  if (slots == NULL) return NULL;
  madvise(slots, bytes, MADV_HUGEPAGE); /* a kernel without them takes small ones */
  return memset(slots, 0, bytes);
}

/* Room for one more, with at most two thirds of the slots taken. */
static bool reserve(struct mem_table *t) {
  if (t->n + 1 <= t->cap / 3 * 2) return true;
  struct mem_table grown = { .cap = t->cap ? t->cap * 2 : TABLE_CAP_MIN, .n = t->n, .key = t->key };
  grown.slots = slots_new(grown.cap);
  if (grown.slots == NULL) return false;
  for (size_t i = 0; i < t->cap; i++)
    if (t->slots[i].job != NULL) grown.slots[free_slot(&grown, t->slots[i].hash)] = t->slots[i];
  free(t->slots);
  *t = grown;
  return true;
}

void sk_mem_table_prefetch(const struct mem_table *t, struct sk_str id) {
  if (t->n == 0) return;
  size_t home = home_of(t, sk_mem_hash(t, id));
  __builtin_prefetch(&t->slots[home]);
  __builtin_prefetch(&t->slots[(home + LINE_SLOTS) & (t->cap - 1)]); /* whoever looks goes on to a free one */
}

struct mem_job *sk_mem_table_find(const struct mem_table *t, struct sk_str id) {
  if (t->n == 0) return NULL;
  uint64_t hash = sk_mem_hash(t, id);
  for (size_t i = home_of(t, hash); t->slots[i].job != NULL; i = slot_after(t, i))
    if (t->slots[i].hash == hash && sk_str_eq(t->slots[i].job->id, id)) return t->slots[i].job;
  return NULL;
}

bool sk_mem_table_add(struct mem_table *t, struct mem_job *job) {
  if (!reserve(t)) return false;
  uint64_t hash = sk_mem_hash(t, job->id);
  t->slots[free_slot(t, hash)] = (struct mem_slot){ .hash = hash, .job = job };
  t->n++;
  return true;
}

void sk_mem_table_remove(struct mem_table *t, const struct mem_job *job) {
  assert(t->n > 0);
  size_t hole = home_of(t, sk_mem_hash(t, job->id));
  while (t->slots[hole].job != job) {
    assert(t->slots[hole].job != NULL);
    hole = slot_after(t, hole);
  }
  /* Those behind it move up, unless that would put them before their home. */
  for (size_t i = slot_after(t, hole); t->slots[i].job != NULL; i = slot_after(t, i)) {
    size_t home = home_of(t, t->slots[i].hash);
    if (((i - home) & (t->cap - 1)) < ((i - hole) & (t->cap - 1))) continue;
    t->slots[hole] = t->slots[i];
    hole = i;
  }
  t->slots[hole].job = NULL;
  t->n--;
}

struct mem_job *sk_mem_table_next(const struct mem_table *t, size_t *at) {
  while (*at < t->cap) {
    struct mem_job *job = t->slots[(*at)++].job;
    if (job != NULL) return job;
  }
  return NULL;
}
