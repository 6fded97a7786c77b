/* loop.h - the event loop with its timers, wake-ups from other threads, signals, file watches and deferred calls.
 *
 * Only core/io includes uv.h. Handles are opaque and made by `_new`. `_free` stops a handle at once (its callback does
 * not run any more); its memory is freed when libuv lets go of it. Callbacks run on the loop's thread and never inside
 * the call that registered them. */
#ifndef SK_IO_LOOP_H
#define SK_IO_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"

struct uv_loop_s;
struct sk_loop;
struct sk_timer;
struct sk_async;
struct sk_signal;
struct sk_watch;

typedef void (*sk_io_cb)(void *ctx);

struct sk_loop *sk_loop_new(struct sk_err *err);
/* Runs until sk_loop_stop, or until no handle is left that could call back. */
void sk_loop_run(struct sk_loop *loop);
void sk_loop_stop(struct sk_loop *loop);
/* Runs one turn and handles all events that are there; with `wait` it waits for at least one. False when no handle is
 * alive. */
bool sk_loop_turn(struct sk_loop *loop, bool wait);
/* Closes the handles that scripts have left and frees the loop. Our own handles must have been freed before
 * (assert). */
void sk_loop_free(struct sk_loop *loop);
/* For a child of fork(): closes its copies of the loop's descriptors, which are the parent's too, and touches nothing
 * else. The loop and its handles must not be used or freed afterwards. */
void sk_loop_forsake(struct sk_loop *loop);
/* False when the process has closed the loop's own descriptor. */
bool sk_loop_is_whole(const struct sk_loop *loop);
/* Returns libuv's loop, for luv, which runs scripts' handles on it. */
struct uv_loop_s *sk_loop_uv(struct sk_loop *loop);
/* Calls each(handle->data) for every handle that core/io did not make: those of luv. `each` must not raise a Lua
 * error. */
void sk_loop_each_foreign(struct sk_loop *loop, void (*each)(void *data, void *ctx), void *ctx);
/* Returns libuv's version, such as "1.44.2". */
const char *sk_loop_version(void);
/* Returns monotonic ms, read once per turn. */
int64_t sk_loop_now_ms(struct sk_loop *loop);

struct sk_timer *sk_timer_new(struct sk_loop *loop, sk_io_cb cb, void *ctx);
/* Calls back once after delay_ms (0: in the next turn). A second start moves the timer. */
void sk_timer_start(struct sk_timer *t, int64_t delay_ms);
void sk_timer_stop(struct sk_timer *t);
bool sk_timer_active(const struct sk_timer *t);
void sk_timer_free(struct sk_timer *t);
/* A handle without a reference does not keep sk_loop_run running. */
void sk_timer_unref(struct sk_timer *t);

/* A wake-up that any thread and any signal handler may send. Several sends between two turns arrive as one call. */
struct sk_async *sk_async_new(struct sk_loop *loop, sk_io_cb cb, void *ctx);
void sk_async_send(struct sk_async *a);
void sk_async_unref(struct sk_async *a);
void sk_async_free(struct sk_async *a);

struct sk_signal *sk_signal_new(struct sk_loop *loop, int signum, void (*cb)(void *ctx, int signum), void *ctx);
void sk_signal_free(struct sk_signal *s);
/* sk_signal_noted tells, in the middle of a turn, whether a signal has come that the loop handles only at the turn's
 * end. sk_signal_note asks for that; call it after sk_signal_new. */
void sk_signal_note(int signum);
bool sk_signal_noted(int signum);

/* A deferred call runs once before the loop next waits, however often it was marked; then the pipes are flushed
 * (pipe.h). Work is batched this way: callbacks mark, and the deferred call handles all of it. A deferred call that
 * marks itself runs again after the loop has looked at other events. */
struct sk_defer;
struct sk_defer *sk_defer_new(struct sk_loop *loop, sk_io_cb cb, void *ctx);
void sk_defer_mark(struct sk_defer *d);
void sk_defer_free(struct sk_defer *d);

/* Calls back when the file or folder at path changes (inotify). NULL with err when it cannot be watched. */
struct sk_watch *sk_watch_new(struct sk_loop *loop, const char *path, sk_io_cb cb, void *ctx, struct sk_err *err);
void sk_watch_unref(struct sk_watch *w);
void sk_watch_free(struct sk_watch *w);

/* For core/io only: calls flush(node) before the loop next waits, after the deferred calls. */
struct sk_flush {
  struct sk_list node;
  void (*flush)(struct sk_flush *f);
};
void sk_loop_want_flush(struct sk_loop *loop, struct sk_flush *f);
/* For core/io only: counts handles of other files, so that sk_loop_free can check them. */
void sk_loop_count_handle(struct sk_loop *loop, int by);

#endif
