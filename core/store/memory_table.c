/* memory_table.c - see memory_table.h. */
#include "store/memory_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "store/memory.h"

enum { TABLE_CAP_MIN = 64 };

void sk_mem_table_init(struct mem_table *t) { *t = (struct mem_table){ .key = sk_id_random() }; }
void sk_mem_table_fini(struct mem_table *t) { free(t->slots); }

/* -- hash ------------------------------------------------------------------------------------------------------------------ */

static uint64_t mix(uint64_t a, uint64_t b) {
  __extension__ unsigned __int128 product = (unsigned __int128)a * b;
  return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t sk_mem_hash(const struct mem_table *t, struct sk_str id) {
  uint64_t h = t->key ^ id.n;
  for (size_t i = 0; i < id.n; i += 8) {
    uint64_t word = 0;
    memcpy(&word, id.p + i, id.n - i < 8 ? id.n - i : 8);
    h = mix(h ^ word, 0x9e3779b97f4a7c15u ^ t->key >> 1);
  }
  return mix(h, 0xbf58476d1ce4e5b9u);
}

/* -- slots ----------------------------------------------------------------------------------------------------------------- */

static size_t slot_after(const struct mem_table *t, size_t i) { return (i + 1) & (t->cap - 1); }
static size_t home_of(const struct mem_table *t, uint64_t hash) { return (size_t)hash & (t->cap - 1); }

static size_t free_slot(const struct mem_table *t, uint64_t hash) {
  size_t i = home_of(t, hash);
  while (t->slots[i].job != NULL) i = slot_after(t, i);
  return i;
}

/* Room for one more, with at most two thirds of the slots taken. */
static bool reserve(struct mem_table *t) {
  if (t->n + 1 <= t->cap / 3 * 2) return true;
  struct mem_table grown = { .cap = t->cap ? t->cap * 2 : TABLE_CAP_MIN, .n = t->n, .key = t->key };
  grown.slots = calloc(grown.cap, sizeof *grown.slots);
  if (grown.slots == NULL) return false;
  for (size_t i = 0; i < t->cap; i++)
    if (t->slots[i].job != NULL) grown.slots[free_slot(&grown, t->slots[i].hash)] = t->slots[i];
  free(t->slots);
  *t = grown;
  return true;
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
