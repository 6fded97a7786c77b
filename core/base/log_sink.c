/* log_sink.c - see log_sink.h.
 *
 *   sk_log_line ──► lines (bounded, under the lock) ──the thread takes all──► writing ──► the file descriptor
 *
 * The thread blocks in write(2) while the reader does not read. Other threads wait for it for a bounded time only. */
#include "base/log_sink.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/log_format.h"

enum {
  WRITE_BYTES_MAX = 4096,  /* PIPE_BUF: a write of this size to a pipe is not mixed with another process's */
  KEEP_BYTES = 256 * 1024, /* capacity that an empty buffer keeps */
};

struct sk_log_sink {
  int fd;
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t wake;   /* wakes the thread: there is work */
  pthread_cond_t rested; /* signalled by the thread: all is written, or it has ended */
  struct sk_buf lines;   /* lines to be written; guarded by lock, like all fields below */
  size_t lost;
  struct sk_log as; /* the log at its last line: level, form and color for the line about lost lines */
  bool busy;        /* the thread is writing */
  bool over;        /* the thread must end when all is written */
  bool ended;       /* the thread has ended */
  bool abandoned;   /* nobody waits for the thread, which then frees the sink */
};

/* Does nothing when memory runs out. */
static void add_lost(struct sk_buf *b, const struct sk_log *as, size_t lost) {
  if (lost == 0) return;
  char text[120];
  int n = snprintf(text, sizeof text, "%zu log lines were lost: the reader of the log did not read for a while", lost);
  sk_log_format(as, SK_LOG_WARN, sk_str(text, (size_t)n), NULL, 0, b);
}

/* Returns how many bytes one write takes: whole lines, or a piece of a longer line. */
static size_t piece_of(struct sk_str rest) {
  if (rest.n <= WRITE_BYTES_MAX) return rest.n;
  const char *end = memrchr(rest.p, '\n', WRITE_BYTES_MAX);
  return end ? (size_t)(end - rest.p) + 1 : WRITE_BYTES_MAX;
}

/* Errors are ignored: a log that cannot be written has no place for a complaint. */
static void write_all(int fd, struct sk_str rest) {
  while (rest.n > 0) {
    ssize_t n = write(fd, rest.p, piece_of(rest));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) { /* another process has made the descriptor non-blocking */
      struct pollfd ready = { .fd = fd, .events = POLLOUT };
      poll(&ready, 1, -1);
      continue;
    }
    if (n <= 0) return;
    rest = sk_str(rest.p + n, rest.n - (size_t)n);
  }
}

static void destroy(struct sk_log_sink *s) {
  pthread_cond_destroy(&s->wake);
  pthread_cond_destroy(&s->rested);
  pthread_mutex_destroy(&s->lock);
  sk_buf_fini(&s->lines);
  free(s);
}

static bool has_work(const struct sk_log_sink *s) { return s->lines.n > 0 || s->lost > 0; }

static void *write_lines(void *ctx) {
  struct sk_log_sink *s = ctx;
  struct sk_buf writing = { 0 };
  pthread_mutex_lock(&s->lock);
  for (;;) {
    while (!has_work(s) && !s->over) pthread_cond_wait(&s->wake, &s->lock);
    if (!has_work(s)) break;
    struct sk_buf swap = writing;
    writing = s->lines;
    s->lines = swap;
    add_lost(&writing, &s->as, s->lost);
    s->lost = 0;
    s->busy = true;
    pthread_mutex_unlock(&s->lock);
    write_all(s->fd, sk_buf_str(&writing));
    if (writing.cap > KEEP_BYTES) sk_buf_fini(&writing);
    sk_buf_clear(&writing);
    pthread_mutex_lock(&s->lock);
    s->busy = false;
    if (!has_work(s)) pthread_cond_broadcast(&s->rested);
  }
  s->ended = true;
  bool abandoned = s->abandoned;
  pthread_cond_broadcast(&s->rested);
  pthread_mutex_unlock(&s->lock);
  sk_buf_fini(&writing);
  if (abandoned) destroy(s);
  return NULL;
}

void sk_log_sink_put(struct sk_log_sink *s, const struct sk_log *log, struct sk_str line) {
  pthread_mutex_lock(&s->lock);
  bool idle = !has_work(s);
  bool room = s->lines.n + line.n <= SK_LOG_BUFFER_BYTES_MAX;
  if (room) sk_buf_add_str(&s->lines, line);
  if (!room || s->lines.failed) s->lost++;
  s->lines.failed = false;
  s->as = *log;
  if (idle) pthread_cond_signal(&s->wake);
  pthread_mutex_unlock(&s->lock);
}

/* Waits until all is written or the time is over. The caller holds the lock. */
static void wait_rested(struct sk_log_sink *s) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec += SK_LOG_FLUSH_MS / 1000;
  until.tv_nsec += SK_LOG_FLUSH_MS % 1000 * 1000000L;
  if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
  while (!s->ended && (s->over || s->busy || has_work(s)))
    if (pthread_cond_timedwait(&s->rested, &s->lock, &until) != 0) return;
}

void sk_log_sink_flush(const struct sk_log *log) {
  struct sk_log_sink *s = log->sink;
  if (s == NULL) return;
  pthread_mutex_lock(&s->lock);
  wait_rested(s);
  pthread_mutex_unlock(&s->lock);
}

void sk_log_sink_stop(struct sk_log *log) {
  struct sk_log_sink *s = log->sink;
  if (s == NULL) return;
  log->sink = NULL;
  pthread_mutex_lock(&s->lock);
  s->over = true;
  pthread_cond_signal(&s->wake);
  wait_rested(s);
  bool ended = s->ended;
  s->abandoned = !ended;
  pthread_t thread = s->thread; /* read before the unlock: an abandoned sink belongs to the thread */
  pthread_mutex_unlock(&s->lock);
  if (ended) {
    pthread_join(thread, NULL);
    destroy(s);
  } else {
    pthread_detach(thread);
    log->level = SK_LOG_OFF;
  }
}

enum sk_code sk_log_sink_start(struct sk_log *log, struct sk_err *err) {
  struct sk_log_sink *s = calloc(1, sizeof *s);
  if (s == NULL) return sk_err_set(err, SK_ENOMEM, "log: out of memory");
  s->fd = log->fd;
  s->as = *log;
  pthread_mutex_init(&s->lock, NULL);
  pthread_cond_init(&s->wake, NULL);
  pthread_condattr_t attr;
  pthread_condattr_init(&attr);
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  pthread_cond_init(&s->rested, &attr);
  pthread_condattr_destroy(&attr);
  sigset_t all, before; /* signals must reach the loop's thread */
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int rc = pthread_create(&s->thread, NULL, write_lines, s);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (rc != 0) {
    destroy(s);
    return sk_err_set(err, SK_ESYS, "log: its thread cannot be started: %s", strerror(rc));
  }
  log->sink = s;
  return SK_OK;
}
