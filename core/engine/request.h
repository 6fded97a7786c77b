/* request.h - what scripts and programs ask of the store: enqueue, look, wait, change.
 *
 * One executor serves both ways in: a worker's REQUEST frames (the core runs them on its store) and the Lua client outside the
 * engine (core/lua/client.c runs them on a store of its own).  Payloads are wire.h's numbers and strs.
 *
 *   operation   payload                                               answer
 *   ENQUEUE     i64 block_ms, u8 fresh, u32 n,                        n x u8 code, then for each EXISTS in order str holder (store.h)
 *               n x (str record, i64 due_ms, i64 delay_ms)            fresh: all are, as store.h says.  block_ms > 0: jobs that a full queue refuses (ELIMIT) are tried
 *                                                                     again when something changes, for so long
 *   GET         u32 n, n x str id                                     n x view
 *   WAIT        str id, i64 timeout_ms (-1: for ever)                 view, final or of an unknown job; ETIMEOUT
 *   LIST        u8 state, str queue, str task, u32 offset, u32 limit  u32 n, n x view
 *   COUNT       -                                                     u32 n, n x (str queue, u8 paused, 8 x i64), 8 x i64 counters
 *   CHANGE      u8 verb, i64 keep_ms, u32 n, n x str id,              i64 changed, n x u8 code
 *               u8 state, str queue, str task (n = 0: by filter)
 *   PAUSE       str queue, u8 paused                                  -
 *   TASKS       -                                                     u32 n, n x (str name, str queue, i32 priority, str template),
 *                                                                     u32 n, n x (str queue, i64 max_len, u8 overflow, i64 block_ms,
 *                                                                     i64 concurrency, i64 rate, i64 per_ms, i64 burst),
 *                                                                     u32 moves (store.h)
 *
 *   view := u8 state, str id, str queue, str record, i32 priority, i64 due_ms, i64 running_since_ms, str engine, i32 percent, str note,
 *           str log, u8 stopping, u8 blocked_by */
#ifndef SK_ENGINE_REQUEST_H
#define SK_ENGINE_REQUEST_H

#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

struct sk_enqueue_item;
struct sk_loop;
struct sk_store;
struct sk_requests;

enum sk_operation {
  SK_OP_ENQUEUE = 1,
  SK_OP_GET,
  SK_OP_WAIT,
  SK_OP_LIST,
  SK_OP_COUNT,
  SK_OP_CHANGE,
  SK_OP_PAUSE,
  SK_OP_TASKS,
};

/* Called exactly once, later: SK_OK with the answer's bytes, or another code with a sentence; borrowed until return. */
typedef void (*sk_answer_cb)(void *ctx, enum sk_code code, struct sk_str answer);

struct sk_requests_options {
  struct sk_loop *loop;
  struct sk_store *store; /* borrowed; must outlive the requests; NULL: comes later (sk_requests_use) */
  size_t args_bytes_max;
  /* Jobs were added or moved by a request, so there may be something to fetch, at the latest after due_in_ms (0: now); items: they
   * are among these, NULL: who knows.  May be NULL. */
  void (*added)(void *ctx, const struct sk_enqueue_item *items, size_t n, int64_t due_in_ms);
  /* The request whose sk_answer_cb has that ctx waits for room in a queue.  May be NULL. */
  void (*blocked)(void *ctx);
  /* Jobs were cancelled by a request, running ones maybe.  May be NULL. */
  void (*cancelled)(void *ctx);
  /* The last operation is over that nobody waits for any more, after sk_requests_stop.  May be NULL. */
  void (*idle)(void *ctx);
  void *ctx;
};

struct sk_requests *sk_requests_new(const struct sk_requests_options *options, struct sk_err *err);
/* Until when what is asked for next is to be answered (sk_op.deadline_ms); 0: as the store has it. */
void sk_requests_until(struct sk_requests *rs, int64_t deadline_ms);
void sk_requests_use(struct sk_requests *rs, struct sk_store *store);
/* payload is copied.  owner: who asks, for sk_requests_abandon. */
void sk_requests_run(struct sk_requests *rs, uint64_t owner, unsigned operation, struct sk_str payload, sk_answer_cb cb,
                     void *ctx);
/* ENQUEUE of jobs that this process has made and checked itself: sk_enqueue_item_init's items, whose slices are in *texts.  Takes both
 * over: items is freed after the answer, *texts is empty on return. */
void sk_requests_enqueue(struct sk_requests *rs, struct sk_enqueue_item *items, size_t n, struct sk_arena *texts,
                         sk_answer_cb cb, void *ctx);
/* That owner is gone: none of its requests waits any more; each is answered all the same. */
void sk_requests_abandon(struct sk_requests *rs, uint64_t owner);
/* The store says that something changed: those who wait look again. */
void sk_requests_changed(struct sk_requests *rs);
/* This process has taken jobs out of their queues. */
void sk_requests_fetched(struct sk_requests *rs);
/* This job has just been settled for good. */
void sk_requests_settled(struct sk_requests *rs, struct sk_str id);
/* Answers whoever waits with SK_ECANCELLED and takes nothing more. */
void sk_requests_stop(struct sk_requests *rs);
/* True when no store operation is under way and nobody waits. */
int sk_requests_idle(const struct sk_requests *rs);
/* Only when idle. */
void sk_requests_free(struct sk_requests *rs);

#endif
