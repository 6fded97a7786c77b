/* queue_set.c - see queue_set.h. */
#include "engine/queue_set.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

/* When more queues than this may have jobs, one pick does not weigh all of them: they take turns. */
enum { WEIGHED_MAX = 4 * SK_FETCH_QUEUES_MAX };

void sk_queue_set_fini(struct sk_queue_set *s) {
  free(s->queues);
  free(s->slots);
  free(s->specs);
  free(s->plan);
  free(s->picked);
  sk_arena_fini(&s->names);
  *s = (struct sk_queue_set){ 0 };
}

void sk_queue_set_clear(struct sk_queue_set *s, bool all) {
  sk_queue_set_fini(s);
  s->all = all;
}

/* -- by name ------------------------------------------------------------------------------------------------------- */

static size_t hash_of(struct sk_str name) {
  uint64_t h = 1469598103934665603u; /* FNV-1a */
  for (size_t i = 0; i < name.n; i++) h = (h ^ (unsigned char)name.p[i]) * 1099511628211u;
  return (size_t)(h ^ h >> 32);
}

/* The place of the name in the table, whether it is there or not. */
static uint32_t *slot_of(const struct sk_queue_set *s, struct sk_str name) {
  size_t at = hash_of(name) & (s->slots_n - 1);
  while (s->slots[at] != 0 && !sk_str_eq(s->queues[s->slots[at] - 1].spec.name, name)) at = (at + 1) & (s->slots_n - 1);
  return &s->slots[at];
}

static bool grow(struct sk_queue_set *s) {
  if (s->n < s->cap) return true;
  size_t cap = s->cap ? s->cap * 2 : 16;
  struct sk_queue_set_entry *queues = realloc(s->queues, cap * sizeof *queues);
  if (queues) s->queues = queues;
  uint32_t *slots = queues ? calloc(cap * 4, sizeof *slots) : NULL;
  if (slots == NULL) return false;
  free(s->slots);
  s->slots = slots;
  s->slots_n = cap * 4;
  s->cap = cap;
  for (size_t i = 0; i < s->n; i++) *slot_of(s, s->queues[i].spec.name) = (uint32_t)i + 1;
  return true;
}

struct sk_queue_set_entry *sk_queue_set_find(struct sk_queue_set *s, struct sk_str name, uint32_t weight, bool add) {
  uint32_t *slot = s->slots_n ? slot_of(s, name) : NULL;
  if (slot != NULL && *slot != 0) return &s->queues[*slot - 1];
  if (!add || s->n >= UINT32_MAX || !grow(s)) return NULL;
  struct sk_str copy = sk_arena_copy(&s->names, name);
  if (copy.p == NULL) return NULL;
  s->queues[s->n] = (struct sk_queue_set_entry){ .spec = { copy, weight }, .due_at_ms = SK_QUEUE_SET_NEVER };
  *slot_of(s, copy) = (uint32_t)++s->n;
  return &s->queues[s->n - 1];
}

/* -- which may have jobs ------------------------------------------------------------------------------------------- */

void sk_queue_set_maybe(struct sk_queue_set_entry *queue) { queue->maybe = queue->again = true; }

void sk_queue_set_maybe_all(struct sk_queue_set *s) {
  for (size_t i = 0; i < s->n; i++) sk_queue_set_maybe(&s->queues[i]);
}

bool sk_queue_set_any_maybe(const struct sk_queue_set *s) {
  for (size_t i = 0; i < s->n; i++)
    if (s->queues[i].maybe) return true;
  return false;
}

int64_t sk_queue_set_due(struct sk_queue_set *s, int64_t now_ms) {
  int64_t next_ms = SK_QUEUE_SET_NEVER;
  for (size_t i = 0; i < s->n; i++) {
    struct sk_queue_set_entry *queue = &s->queues[i];
    if (queue->due_at_ms <= now_ms) {
      queue->due_at_ms = SK_QUEUE_SET_NEVER; /* the fetch reports the next due time */
      sk_queue_set_maybe(queue);
    }
    if (queue->due_at_ms < next_ms) next_ms = queue->due_at_ms;
  }
  return next_ms;
}

/* -- picking ------------------------------------------------------------------------------------------------------- */

static bool reserve(struct sk_queue_set *s) {
  if (s->specs == NULL) s->specs = calloc(WEIGHED_MAX, sizeof *s->specs);
  if (s->plan == NULL) s->plan = calloc(WEIGHED_MAX, sizeof *s->plan);
  if (s->picked == NULL) s->picked = calloc(WEIGHED_MAX, sizeof *s->picked);
  return s->specs && s->plan && s->picked;
}

size_t sk_queue_set_pick(struct sk_queue_set *s, size_t want, uint64_t random, struct sk_fetch_queue *out,
                         bool *no_memory) {
  *no_memory = !reserve(s);
  s->picked_n = 0;
  if (*no_memory || s->n == 0) return 0;
  bool strict = s->queues[0].spec.weight == 0;
  size_t first = strict ? 0 : s->turn % s->n, most = strict ? SK_FETCH_QUEUES_MAX : WEIGHED_MAX, n = 0, last = first;
  size_t candidates[WEIGHED_MAX];
  for (size_t i = 0; i < s->n && n < most; i++) {
    last = (first + i) % s->n;
    if (s->queues[last].maybe) candidates[n++] = last;
  }
  if (n == most) s->turn = last + 1;
  for (size_t i = 0; i < n; i++) s->specs[i] = s->queues[candidates[i]].spec;
  if (n == 0) return 0;
  sk_queues_plan(s->specs, n, want, random, s->plan);
  s->picked_n = n < SK_FETCH_QUEUES_MAX ? n : SK_FETCH_QUEUES_MAX;
  for (size_t i = 0; i < s->picked_n; i++) {
    s->picked[i] = candidates[s->plan[i].index];
    s->queues[s->picked[i]].again = false;
    out[i] = (struct sk_fetch_queue){ .name = s->queues[s->picked[i]].spec.name, .quota = s->plan[i].quota };
  }
  return s->picked_n;
}

void sk_queue_set_found(struct sk_queue_set *s, const struct sk_fetch_queue *queues, int64_t now_ms) {
  for (size_t i = 0; i < s->picked_n; i++) {
    struct sk_queue_set_entry *queue = &s->queues[s->picked[i]];
    queue->maybe = queues[i].has_more || queue->again;
    queue->due_at_ms = queues[i].due_in_ms >= 0 ? now_ms + queues[i].due_in_ms : SK_QUEUE_SET_NEVER;
  }
  s->picked_n = 0;
}
