/* watchdog.c - see watchdog.h. An interval is turn_ms_max / WATCHDOG_SHARE. */
#include "io/watchdog.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "io/loop.h"

enum { WATCHDOG_SHARE = 10 };

struct sk_watchdog {
  struct sk_watchdog_options options;
  struct sk_async *call; /* the call to the loop */
  atomic_uint answered;  /* number of the last call that the loop has answered */
  atomic_uint called;    /* number of the last call */
  pthread_t thread;
  int over_fd; /* an eventfd: readable when the thread is to end */
};

static void on_call(void *ctx) {
  struct sk_watchdog *w = ctx;
  atomic_store(&w->answered, atomic_load(&w->called));
}

/* Waits for one interval; true when the watch is over. poll() measures spans of time and not points in time, so the
 * wait is right whatever happens to the clocks. */
static bool wait_interval(const struct sk_watchdog *w, int64_t ms) {
  struct pollfd over = { .fd = w->over_fd, .events = POLLIN };
  int ready;
  do ready = poll(&over, 1, (int)ms);
  while (ready < 0 && errno == EINTR);
  return ready != 0;
}

/* After a long stop of the process at most one interval counts: the loop has the others to answer in. */
static void *watch(void *ctx) {
  struct sk_watchdog *w = ctx;
  int64_t interval_ms = w->options.turn_ms_max / WATCHDOG_SHARE > 0 ? w->options.turn_ms_max / WATCHDOG_SHARE : 1;
  int missed = 0;
  while (!wait_interval(w, interval_ms)) {
    if (atomic_load(&w->answered) == atomic_load(&w->called)) {
      missed = 0;
      atomic_fetch_add(&w->called, 1);
      sk_async_send(w->call);
    } else if (++missed == WATCHDOG_SHARE) {
      w->options.late(w->options.ctx, missed * interval_ms);
    }
  }
  return NULL;
}

static enum sk_code start_thread(struct sk_watchdog *w, struct sk_err *err) {
  sigset_t all, before; /* signals must reach the loop's thread */
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int rc = pthread_create(&w->thread, NULL, watch, w);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return rc == 0 ? SK_OK : sk_err_set(err, SK_ESYS, "watchdog: its thread cannot be started");
}

static void destroy(struct sk_watchdog *w) {
  sk_async_free(w->call);
  if (w->over_fd >= 0) close(w->over_fd);
  free(w);
}

enum sk_code sk_watchdog_start(struct sk_loop *loop, const struct sk_watchdog_options *options,
                               struct sk_watchdog **out, struct sk_err *err) {
  struct sk_watchdog *w = calloc(1, sizeof *w);
  if (w) w->call = sk_async_new(loop, on_call, w);
  if (w == NULL || w->call == NULL) {
    free(w);
    return sk_err_set(err, SK_ENOMEM, "watchdog: out of memory");
  }
  sk_async_unref(w->call);
  w->options = *options;
  w->over_fd = eventfd(0, EFD_CLOEXEC);
  enum sk_code code =
      w->over_fd >= 0 ? start_thread(w, err) : sk_err_set(err, SK_ESYS, "watchdog: eventfd: %s", strerror(errno));
  if (code != SK_OK)
    destroy(w);
  else
    *out = w;
  return code;
}

void sk_watchdog_stop(struct sk_watchdog *w) {
  if (w == NULL) return;
  eventfd_write(w->over_fd, 1);
  pthread_join(w->thread, NULL);
  destroy(w);
}
