/* request.h - requests of scripts and programs to the store: enqueue, look up, wait, change.
 *
 * One executor serves both ways in: REQUEST frames of workers, which the core runs on its store, and the Lua client
 * outside the engine (core/lua/client.c), which runs them on a store of its own.  Payloads consist of the numbers and
 * strs of wire.h.
 *
 *   ENQUEUE   i64 block_ms, u8 fresh, u32 n, n x (str record, i64 due_ms, i64 delay_ms)
 *             Answer: n x u8 code, then str holder for each code EXISTS, in order (store.h).
 *             fresh: all ids are, as store.h says.  block_ms > 0: jobs that a full queue refuses (LIMIT) are tried
 *             again for so long, whenever something changes.
 *   GET       u32 n, n x str id
 *             Answer: n x view
 *   WAIT      str id, i64 timeout_ms (-1: for ever)
 *             Answer: the view, final or of an unknown job, or TIMEOUT.
 *   LIST      u8 state, str queue, str task, u32 offset, u32 limit
 *             Answer: u32 n, n x view
 *   COUNT     -
 *             Answer: u32 n, n x (str queue, u8 paused, 8 x i64), 8 x i64 counters
 *   CHANGE    u8 verb, i64 keep_ms, u32 n, n x str id, u8 state, str queue, str task (n = 0: by this filter)
 *             Answer: i64 changed, n x u8 code
 *   PAUSE     str queue, u8 paused
 *             Answer: -
 *   TASKS     -
 *             Answer: u32 n, n x (str name, str queue, i32 priority, str template),
 *             u32 n, n x queue settings (logic/queue_settings.h), u32 moves (store.h)
 *
 *   view := u8 state, str id, str queue, str record, i32 priority, i64 due_ms, i64 running_since_ms, str engine,
 *           i32 percent, str progress, str log, u8 stopping, u8 blocked_by */
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

/* Called once: with SK_OK and the bytes of the answer, or with another code and a sentence; borrowed until return.  It
 * is called inside the call that asked only when memory is out, and else later. */
typedef void (*sk_answer_cb)(void *ctx, enum sk_code code, struct sk_str answer);

struct sk_requests_options {
  struct sk_loop *loop;
  struct sk_store *store; /* borrowed; must outlive the requests; NULL: set later by sk_requests_use */
  size_t args_bytes_max;
  /* A request has added or moved jobs, so there may be jobs to fetch, due in due_in_ms or later (0: now).  items: the
   * jobs are among these; NULL: any queue may have some.  May be NULL. */
  void (*added)(void *ctx, const struct sk_enqueue_item *items, size_t n, int64_t due_in_ms);
  /* The request whose sk_answer_cb has that ctx waits for capacity in a queue.  May be NULL. */
  void (*blocked)(void *ctx);
  /* A request has cancelled jobs, maybe running ones.  May be NULL. */
  void (*cancelled)(void *ctx);
  /* After sk_requests_stop: the last operation of a wait is over.  May be NULL. */
  void (*idle)(void *ctx);
  void *ctx;
};

struct sk_requests *sk_requests_new(const struct sk_requests_options *options, struct sk_err *err);
/* Sets the deadline of the next requests (sk_op.deadline_ms); 0: that of the store. */
void sk_requests_until(struct sk_requests *rs, int64_t deadline_ms);
void sk_requests_use(struct sk_requests *rs, struct sk_store *store);
/* Copies payload.  owner names the asker for sk_requests_abandon. */
void sk_requests_run(struct sk_requests *rs, uint64_t owner, unsigned operation, struct sk_str payload, sk_answer_cb cb,
                     void *ctx);
/* ENQUEUE of jobs that this process has made and checked: items of sk_enqueue_item_init, with their slices in *texts.
 * Takes both: items is freed after the answer, *texts is empty on return. */
void sk_requests_enqueue(struct sk_requests *rs, struct sk_enqueue_item *items, size_t n, struct sk_arena *texts,
                         sk_answer_cb cb, void *ctx);
/* That owner is gone: its requests wait no longer; each of them is answered all the same. */
void sk_requests_abandon(struct sk_requests *rs, uint64_t owner);
/* The store reports a change: requests that wait look again. */
void sk_requests_changed(struct sk_requests *rs);
/* This process has fetched jobs, so their queues may have capacity. */
void sk_requests_fetched(struct sk_requests *rs);
/* This job has ended. */
void sk_requests_settled(struct sk_requests *rs, struct sk_str id);
/* Answers all waits with SK_ECANCELLED, and refuses all further requests. */
void sk_requests_stop(struct sk_requests *rs);
/* True when no store operation is under way and no request waits. */
int sk_requests_idle(const struct sk_requests *rs);
/* Only when idle. */
void sk_requests_free(struct sk_requests *rs);

#endif
