/* early_stop.h - signals that stop the engine while its store is being opened.
 *
 * The loop handles signals, but it does not turn while sk_store_open waits for a server or for another process. Until
 * the store is open no job was fetched and no worker runs, so the process may end at once: a thread waits for TERM, INT
 * and QUIT and ends the process. */
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

/* Starts the thread. Called by the thread that opens the store, before there are other threads; log is borrowed until
 * sk_early_stop_end. */
void sk_early_stop_begin(struct sk_early_stop *s, const struct sk_log *log);
/* Ends the thread; the loop then handles signals again, also those that came meanwhile. A second call does nothing. */
void sk_early_stop_end(struct sk_early_stop *s);

#endif
