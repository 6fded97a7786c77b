/* loop.h - the event loop and what hangs on it: timers, wake-ups from other threads, signals, file watches, deferred calls.
 *
 * The only layer that includes uv.h.  Handles are opaque and made by `_new`; `_free` stops the handle at once (its callback does
 * not run any more) and returns its memory when libuv lets go of it.  Callbacks run on the loop's thread and never inside the
 * call that registered them. */
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
/* Runs until sk_loop_stop, or until nothing is left that could call back. */
void sk_loop_run(struct sk_loop *loop);
void sk_loop_stop(struct sk_loop *loop);
/* Runs one turn: waits for at least one event when `wait`, and handles what is there.  False when nothing is left alive. */
bool sk_loop_turn(struct sk_loop *loop, bool wait);
/* Closes what libuv still holds and frees the loop.  Handles must have been freed before; one that was not is our bug (assert). */
void sk_loop_free(struct sk_loop *loop);
/* In a child of fork(), at once: closes its copies of the loop's descriptors, which are the parent's too, and touches nothing else.
 * The loop, and all that hangs on it, must not be used any more, nor freed. */
void sk_loop_forsake(struct sk_loop *loop);
/* False when the process has closed the loop's own descriptor under its feet. */
bool sk_loop_is_whole(const struct sk_loop *loop);
/* For luv, which runs scripts' handles on the same loop. */
struct uv_loop_s *sk_loop_uv(struct sk_loop *loop);
/* Calls each(handle->data) for every handle of the loop that is not of core/io: those that luv has made.  Must not raise a Lua error. */
void sk_loop_each_foreign(struct sk_loop *loop, void (*each)(void *data, void *ctx), void *ctx);
/* libuv's version, e.g. "1.44.2". */
const char *sk_loop_version(void);
/* Monotonic ms, read once per turn. */
int64_t sk_loop_now_ms(struct sk_loop *loop);

struct sk_timer *sk_timer_new(struct sk_loop *loop, sk_io_cb cb, void *ctx);
/* Calls back once after delay_ms (0: next turn).  Starting it again moves it. */
void sk_timer_start(struct sk_timer *t, int64_t delay_ms);
void sk_timer_stop(struct sk_timer *t);
bool sk_timer_active(const struct sk_timer *t);
void sk_timer_free(struct sk_timer *t);
/* An unreferenced handle does not keep sk_loop_run running. */
void sk_timer_unref(struct sk_timer *t);

/* A wake-up that any thread, and a signal handler, may send; sends between two turns arrive as one. */
struct sk_async *sk_async_new(struct sk_loop *loop, sk_io_cb cb, void *ctx);
void sk_async_send(struct sk_async *a);
void sk_async_unref(struct sk_async *a);
void sk_async_free(struct sk_async *a);

struct sk_signal *sk_signal_new(struct sk_loop *loop, int signum, void (*cb)(void *ctx, int signum), void *ctx);
void sk_signal_free(struct sk_signal *s);
/* The loop hears a signal at the end of a turn.  Has one come of which it has not heard yet?  For those that are noted, after
 * sk_signal_new. */
void sk_signal_note(int signum);
bool sk_signal_noted(int signum);

/* Calls back once before the loop next waits, however often it was marked since; then the pipes that were written to are
 * flushed (pipe.h).  This is how work is batched: callbacks take note, the deferred call acts on all of it.  A deferred call that
 * marks itself comes again after the loop has looked at what else there is. */
struct sk_defer;
struct sk_defer *sk_defer_new(struct sk_loop *loop, sk_io_cb cb, void *ctx);
void sk_defer_mark(struct sk_defer *d);
void sk_defer_free(struct sk_defer *d);

/* Calls back when the file or folder at path changes (inotify).  NULL when it can't be watched; err says why. */
struct sk_watch *sk_watch_new(struct sk_loop *loop, const char *path, sk_io_cb cb, void *ctx, struct sk_err *err);
void sk_watch_unref(struct sk_watch *w);
void sk_watch_free(struct sk_watch *w);

/* For the files of core/io/ only: calls flush(node) before the loop next waits, after the deferred calls. */
struct sk_flush {
  struct sk_list node;
  void (*flush)(struct sk_flush *f);
};
void sk_loop_want_flush(struct sk_loop *loop, struct sk_flush *f);
/* ... and count handles that other files of core/io/ make, so that sk_loop_free can check them. */
void sk_loop_count_handle(struct sk_loop *loop, int by);

#endif
