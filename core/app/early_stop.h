/* early_stop.h - signals to stop while the store is being opened.
 *
 * The loop hears signals, but it does not turn while sk_store_open waits for a server or for another process.  Until the store is open
 * nothing was fetched and no worker runs, so the process may end at once: a thread of its own waits for TERM, INT and QUIT and ends it. */
#ifndef SK_APP_EARLY_STOP_H
#define SK_APP_EARLY_STOP_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

#include "base/log.h"

struct sk_early_stop {
  const struct sk_log *log;
  pthread_t thread;
  sigset_t before; /* the caller's signal mask */
  bool running;
};

/* From the thread that opens the store, before other threads are there; log is borrowed until the end. */
void sk_early_stop_begin(struct sk_early_stop *s, const struct sk_log *log);
/* From then on the loop hears the signals again, also those that came meanwhile.  Does nothing the second time. */
void sk_early_stop_end(struct sk_early_stop *s);

#endif
