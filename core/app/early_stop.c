/* early_stop.c - see early_stop.h. */
#include "app/early_stop.h"

#include <unistd.h>

#include "app/exits.h"
#include "base/log_sink.h"

enum { ENOUGH = SIGURG }; /* sent to the thread when the store is open */

static void fill(sigset_t *set) {
  sigemptyset(set);
  sigaddset(set, SIGTERM);
  sigaddset(set, SIGINT);
  sigaddset(set, SIGQUIT);
}

static void *wait_for_signal(void *arg) {
  struct sk_early_stop *s = arg;
  sigset_t set;
  int signum = 0;
  fill(&set);
  sigaddset(&set, ENOUGH);
  if (sigwait(&set, &signum) != 0 || signum == ENOUGH) return NULL;
  const char *name = signum == SIGTERM ? "TERM" : signum == SIGINT ? "INT" : "QUIT";
  sk_logf(s->log, SK_LOG_INFO, "stopping (%s): the store was still being opened", name);
  sk_log_sink_flush(s->log);
  _exit(SK_EXIT_OK);
}

void sk_early_stop_begin(struct sk_early_stop *s, const struct sk_log *log) {
  sigset_t set;
  s->log = log;
  fill(&set);
  sigaddset(&set, ENOUGH);
  pthread_sigmask(SIG_BLOCK, &set, &s->before); /* the thread inherits the mask, and sigwait alone takes the signals */
  s->running = pthread_create(&s->thread, NULL, wait_for_signal, s) == 0;
  if (!s->running) pthread_sigmask(SIG_SETMASK, &s->before, NULL);
}

void sk_early_stop_end(struct sk_early_stop *s) {
  if (!s->running) return;
  s->running = false;
  pthread_kill(s->thread, ENOUGH);
  pthread_join(s->thread, NULL);
  pthread_sigmask(SIG_SETMASK, &s->before, NULL);
}
