/* watchdog.h - a thread that notices when the loop does not go on.
 *
 * The thread calls on the loop at intervals; the loop answers between two of its callbacks.  When it has not answered for turn_ms_max
 * while this process was running, `late` is called, once, on the watchdog's thread.  Time in which the whole process stood still (it
 * was stopped by a signal, or the machine was suspended) does not count: the thread counts the intervals that it has seen itself. */
#ifndef SK_IO_WATCHDOG_H
#define SK_IO_WATCHDOG_H

#include <stdint.h>

#include "base/err.h"

struct sk_loop;
struct sk_watchdog;

struct sk_watchdog_options {
  int64_t turn_ms_max;
  /* The loop has not answered for ms.  On the watchdog's thread, while the loop's own thread is busy somewhere: it must touch nothing
   * that belongs to that one. */
  void (*late)(void *ctx, int64_t ms);
  void *ctx;
};

enum sk_code sk_watchdog_start(struct sk_loop *loop, const struct sk_watchdog_options *options,
                               struct sk_watchdog **out, struct sk_err *err);
/* Waits for the thread's end.  NULL is fine. */
void sk_watchdog_stop(struct sk_watchdog *w);

#endif
