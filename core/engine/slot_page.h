/* slot_page.h - the memory that the core shares with one worker: the state of each slot, and the job on the CPU.
 *
 * A worker that is stuck in a compiled loop answers no frame, so the core reads here what it must know of it.  Each
 * slot has one word:
 *
 *     generation << 2 | FREE, OFFERED, STARTED or REVOKED
 *
 * The core writes OFFERED under a new generation when it sends a JOB frame.  Then exactly one of two compare-and-swaps
 * succeeds: the worker's OFFERED -> STARTED, or the core's OFFERED -> REVOKED, to give the job to another worker.  The
 * worker drops a JOB frame whose generation is not that of the slot.  So a job that was offered ahead can always be
 * taken back, and a core that reaps a worker knows exactly which jobs had started.
 *
 * `running` is slot + 1 while the code of that job is on the CPU, and 0 while the worker waits.  When a worker dies, it
 * names the culprit.
 *
 * A broken worker may write anything here.  So the core keeps slots_n for itself and takes every number from here
 * through the functions below.  The memory is sealed: the worker cannot shrink it while the core reads it. */
#ifndef SK_ENGINE_SLOT_PAGE_H
#define SK_ENGINE_SLOT_PAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum sk_slot_state { SK_SLOT_FREE, SK_SLOT_OFFERED, SK_SLOT_STARTED, SK_SLOT_REVOKED };

struct sk_slot_page_slot {
  _Atomic uint64_t word;
  _Atomic int64_t started_ms; /* monotonic; valid once STARTED */
};

struct sk_slot_page {
  _Atomic uint32_t running;
  _Atomic int64_t running_since_ms; /* monotonic */
  _Atomic uint64_t heap_bytes;      /* of the worker's Lua state */
  uint32_t slots_n;                 /* for the worker */
  _Atomic uint32_t stopping;        /* written by the core; not 0: the engine stops */
  struct sk_slot_page_slot slots[];
};

/* Makes the memory for slots_n slots.  *fd is for the worker; the caller closes it. */
enum sk_code sk_slot_page_make(uint32_t slots_n, struct sk_slot_page **out, int *fd, struct sk_err *err);
/* Maps it in the worker. */
enum sk_code sk_slot_page_map(int fd, struct sk_slot_page **out, struct sk_err *err);
void sk_slot_page_unmap(struct sk_slot_page *s, uint32_t slots_n);

static inline uint64_t sk_slot_page_word(uint32_t generation, enum sk_slot_state state) {
  return (uint64_t)generation << 2 | (uint64_t)state;
}

/* True when the slot was in `from` under this generation, and so is in `to` now. */
static inline bool sk_slot_page_move(struct sk_slot_page *s, uint32_t slot, uint32_t generation,
                                     enum sk_slot_state from, enum sk_slot_state to) {
  uint64_t expected = sk_slot_page_word(generation, from);
  return atomic_compare_exchange_strong(&s->slots[slot].word, &expected, sk_slot_page_word(generation, to));
}

static inline bool sk_slot_page_is(const struct sk_slot_page *s, uint32_t slot, uint32_t generation,
                                   enum sk_slot_state state) {
  return atomic_load(&s->slots[slot].word) == sk_slot_page_word(generation, state);
}

static inline int64_t sk_slot_page_past_ms(int64_t ms, int64_t now_ms) {
  return ms < 0 ? 0 : ms > now_ms ? now_ms : ms;
}

/* When the job in a slot started, never later than now; 0: the worker has not written it yet. */
static inline int64_t sk_slot_page_started_ms(const struct sk_slot_page *s, uint32_t slot, int64_t now_ms) {
  return sk_slot_page_past_ms(atomic_load(&s->slots[slot].started_ms), now_ms);
}

/* How long the job on the CPU has been there without a pause; -1: no job is. */
static inline int64_t sk_slot_page_running_for_ms(const struct sk_slot_page *s, int64_t now_ms) {
  if (atomic_load(&s->running) == 0) return -1;
  return now_ms - sk_slot_page_past_ms(atomic_load(&s->running_since_ms), now_ms);
}

#endif
