/* watchdog.c - see watchdog.h.  Each interval is WATCHDOG_SHARE of turn_ms_max. */
#include "io/watchdog.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "io/loop.h"

enum { WATCHDOG_SHARE = 10 };

struct sk_watchdog {
  struct sk_watchdog_options options;
  struct sk_async *call; /* to the loop */
  atomic_uint answered;  /* the last call that the loop has heard; */
  atomic_uint called;    /* ... the last one there was */
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t wake;
  bool over; /* guarded by lock */
};

static void on_call(void *ctx) {
  struct sk_watchdog *w = ctx;
  atomic_store(&w->answered, atomic_load(&w->called));
}

/* Waits for one interval; true when the watch is over. */
static bool wait_interval(struct sk_watchdog *w, int64_t ms) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec += (time_t)(ms / 1000);
  until.tv_nsec += (long)(ms % 1000) * 1000000;
  if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
  pthread_mutex_lock(&w->lock);
  while (!w->over && pthread_cond_timedwait(&w->wake, &w->lock, &until) == 0) continue;
  bool over = w->over;
  pthread_mutex_unlock(&w->lock);
  return over;
}

/* One interval after a long stop counts as one: then the loop has the others to answer in. */
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
  sigset_t all, before; /* signals are the loop's */
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int rc = pthread_create(&w->thread, NULL, watch, w);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return rc == 0 ? SK_OK : sk_err_set(err, SK_ESYS, "watchdog: its thread can't be started");
}

static void destroy(struct sk_watchdog *w) {
  sk_async_free(w->call);
  pthread_cond_destroy(&w->wake);
  pthread_mutex_destroy(&w->lock);
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
  pthread_mutex_init(&w->lock, NULL);
  pthread_condattr_t attr;
  pthread_condattr_init(&attr);
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  pthread_cond_init(&w->wake, &attr);
  pthread_condattr_destroy(&attr);
  enum sk_code code = start_thread(w, err);
  if (code != SK_OK)
    destroy(w);
  else
    *out = w;
  return code;
}

void sk_watchdog_stop(struct sk_watchdog *w) {
  if (w == NULL) return;
  pthread_mutex_lock(&w->lock);
  w->over = true;
  pthread_cond_signal(&w->wake);
  pthread_mutex_unlock(&w->lock);
  pthread_join(w->thread, NULL);
  destroy(w);
}
