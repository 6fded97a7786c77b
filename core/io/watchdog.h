/* watchdog.h - a thread that notices when the loop stands still.
 *
 * The thread calls on the loop at intervals, and the loop answers between two of its callbacks. When the loop has not
 * answered for turn_ms_max while this process was running, `late` is called once, on the watchdog's thread. The thread
 * counts the intervals that it has waited itself, so time in which the whole process stood still (a stop signal, a
 * suspended machine) does not count. */
#ifndef SK_IO_WATCHDOG_H
#define SK_IO_WATCHDOG_H

#include <stdint.h>

#include "base/err.h"

struct sk_loop;
struct sk_watchdog;

struct sk_watchdog_options {
  int64_t turn_ms_max;
  /* The loop has not answered for ms. Called on the watchdog's thread while the loop's thread is busy: it must not
   * touch data of that thread. */
  void (*late)(void *ctx, int64_t ms);
  void *ctx;
};

enum sk_code sk_watchdog_start(struct sk_loop *loop, const struct sk_watchdog_options *options,
                               struct sk_watchdog **out, struct sk_err *err);
/* Ends the thread and waits for its end. NULL is fine. */
void sk_watchdog_stop(struct sk_watchdog *w);

#endif
