/* loop.c - see loop.h. Each handle struct embeds its uv handle and is freed in its close callback, as libuv demands. */
#include "io/loop.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

struct sk_loop {
  uv_loop_t uv;
  uv_prepare_t before_wait;
  uv_idle_t no_wait;       /* active while a deferred call is marked: the loop is then alive and does not wait */
  size_t handles;          /* our handles that are not freed yet */
  struct sk_list deferred; /* marked struct sk_defer */
  struct sk_list flushes;  /* struct sk_flush */
};

struct sk_defer {
  struct sk_list node; /* in loop->deferred while it is marked */
  struct sk_loop *loop;
  sk_io_cb cb;
  void *ctx;
};

struct sk_timer {
  uv_timer_t uv;
  struct sk_loop *loop;
  sk_io_cb cb;
  void *ctx;
};

struct sk_async {
  uv_async_t uv;
  struct sk_loop *loop;
  sk_io_cb cb;
  void *ctx;
};

struct sk_signal {
  uv_signal_t uv;
  struct sk_loop *loop;
  void (*cb)(void *ctx, int signum);
  void *ctx;
};

struct sk_watch {
  uv_fs_event_t uv;
  struct sk_loop *loop;
  sk_io_cb cb;
  void *ctx;
};

static void do_nothing(uv_idle_t *uv) { (void)uv; }

static void run_before_wait(uv_prepare_t *uv) {
  struct sk_loop *loop = uv->data;
  struct sk_list now,
      *node; /* calls that they mark run in the next turn: two that mark each other must not keep events out */
  sk_list_init(&now);
  sk_list_move(&now, &loop->deferred);
  while ((node = sk_list_pop(&now)) != NULL) {
    struct sk_defer *d = SK_CONTAINER(node, struct sk_defer, node);
    d->cb(d->ctx);
  }
  while ((node = sk_list_pop(&loop->flushes)) != NULL) {
    struct sk_flush *f = SK_CONTAINER(node, struct sk_flush, node);
    f->flush(f);
  }
  if (sk_list_empty(&loop->deferred)) uv_idle_stop(&loop->no_wait);
}

struct sk_loop *sk_loop_new(struct sk_err *err) {
  struct sk_loop *loop = calloc(1, sizeof *loop);
  if (loop == NULL) {
    sk_err_set(err, SK_ENOMEM, "event loop: out of memory");
    return NULL;
  }
  int rc = uv_loop_init(&loop->uv);
  if (rc != 0) {
    sk_err_set(err, SK_ESYS, "event loop: %s", uv_strerror(rc));
    free(loop);
    return NULL;
  }
  loop->uv.data = loop;
  sk_list_init(&loop->deferred);
  sk_list_init(&loop->flushes);
  uv_prepare_init(&loop->uv, &loop->before_wait);
  loop->before_wait.data = loop;
  uv_prepare_start(&loop->before_wait, run_before_wait);
  uv_unref((uv_handle_t *)&loop->before_wait);
  uv_idle_init(&loop->uv, &loop->no_wait);
  return loop;
}

void sk_loop_run(struct sk_loop *loop) { uv_run(&loop->uv, UV_RUN_DEFAULT); }
void sk_loop_stop(struct sk_loop *loop) { uv_stop(&loop->uv); }
bool sk_loop_turn(struct sk_loop *loop, bool wait) {
  return uv_run(&loop->uv, wait ? UV_RUN_ONCE : UV_RUN_NOWAIT) != 0;
}
const char *sk_loop_version(void) { return uv_version_string(); }
struct uv_loop_s *sk_loop_uv(struct sk_loop *loop) {
  return &loop->uv;
}
int64_t sk_loop_now_ms(struct sk_loop *loop) { return (int64_t)uv_now(&loop->uv); }

struct foreign {
  struct sk_loop *loop;
  void (*each)(void *data, void *ctx);
  void *ctx;
};

/* Our handles point to themselves: each is the first member of its struct, which is its data. */
static void visit_foreign(uv_handle_t *handle, void *arg) {
  const struct foreign *f = arg;
  bool ours = handle->data == handle || handle->data == f->loop || handle == (const uv_handle_t *)&f->loop->no_wait;
  if (!ours && handle->data) f->each(handle->data, f->ctx);
}

void sk_loop_each_foreign(struct sk_loop *loop, void (*each)(void *data, void *ctx), void *ctx) {
  uv_walk(&loop->uv, visit_foreign, &(struct foreign){ loop, each, ctx });
}

static void close_foreign(uv_handle_t *handle, void *arg) {
  (void)arg;
  if (!uv_is_closing(handle)) uv_close(handle, NULL);
}

void sk_loop_free(struct sk_loop *loop) {
  assert(loop->handles == 0);
  uv_walk(&loop->uv, close_foreign, NULL); /* handles that scripts have left open through luv */
  uv_run(&loop->uv, UV_RUN_DEFAULT);
  int rc = uv_loop_close(&loop->uv);
  assert(rc == 0);
  free(loop);
}

static void close_fd(int fd) {
  if (fd >= 0) close(fd);
}

static void close_descriptor(uv_handle_t *handle, void *arg) {
  (void)arg;
  uv_os_fd_t fd;
  if (uv_fileno(handle, &fd) == 0) close_fd(fd);
}

void sk_loop_forsake(struct sk_loop *loop) {
  uv_walk(&loop->uv, close_descriptor, NULL);
  close_fd(loop->uv.async_io_watcher.fd);
  close_fd(loop->uv.inotify_fd);
  close_fd(loop->uv.backend_fd);
}

bool sk_loop_is_whole(const struct sk_loop *loop) { return fcntl(uv_backend_fd(&loop->uv), F_GETFD) >= 0; }

void sk_loop_want_flush(struct sk_loop *loop, struct sk_flush *f) {
  if (sk_list_empty(&f->node)) sk_list_push(&loop->flushes, &f->node);
}

void sk_loop_count_handle(struct sk_loop *loop, int by) {
  assert(by > 0 || loop->handles > 0);
  loop->handles += (size_t)by;
}

struct sk_defer *sk_defer_new(struct sk_loop *loop, sk_io_cb cb, void *ctx) {
  struct sk_defer *d = malloc(sizeof *d);
  if (d == NULL) return NULL;
  *d = (struct sk_defer){ .loop = loop, .cb = cb, .ctx = ctx };
  sk_list_init(&d->node);
  return d;
}

void sk_defer_mark(struct sk_defer *d) {
  if (!sk_list_empty(&d->node)) return;
  sk_list_push(&d->loop->deferred, &d->node);
  uv_idle_start(&d->loop->no_wait, do_nothing);
}

void sk_defer_free(struct sk_defer *d) {
  if (d == NULL) return;
  sk_list_remove(&d->node);
  free(d);
}

static void on_closed(uv_handle_t *handle) { free(handle->data); }

static void close_own(struct sk_loop *loop, uv_handle_t *handle) {
  assert(loop->handles > 0 && !uv_is_closing(handle));
  loop->handles--;
  uv_close(handle, on_closed);
}

static void on_timer(uv_timer_t *uv) {
  struct sk_timer *t = uv->data;
  t->cb(t->ctx);
}

struct sk_timer *sk_timer_new(struct sk_loop *loop, sk_io_cb cb, void *ctx) {
  struct sk_timer *t = calloc(1, sizeof *t);
  if (t == NULL) return NULL;
  *t = (struct sk_timer){ .loop = loop, .cb = cb, .ctx = ctx };
  uv_timer_init(&loop->uv, &t->uv);
  t->uv.data = t;
  loop->handles++;
  return t;
}

void sk_timer_start(struct sk_timer *t, int64_t delay_ms) {
  uv_update_time(&t->loop->uv); /* libuv counts from the start of the turn, which may be long ago */
  uv_timer_start(&t->uv, on_timer, delay_ms > 0 ? (uint64_t)delay_ms : 0, 0);
}

void sk_timer_stop(struct sk_timer *t) { uv_timer_stop(&t->uv); }
bool sk_timer_active(const struct sk_timer *t) { return uv_is_active((const uv_handle_t *)&t->uv) != 0; }
void sk_timer_unref(struct sk_timer *t) { uv_unref((uv_handle_t *)&t->uv); }

void sk_timer_free(struct sk_timer *t) {
  if (t) close_own(t->loop, (uv_handle_t *)&t->uv);
}

static void on_async(uv_async_t *uv) {
  struct sk_async *a = uv->data;
  a->cb(a->ctx);
}

struct sk_async *sk_async_new(struct sk_loop *loop, sk_io_cb cb, void *ctx) {
  struct sk_async *a = calloc(1, sizeof *a);
  if (a == NULL) return NULL;
  *a = (struct sk_async){ .loop = loop, .cb = cb, .ctx = ctx };
  if (uv_async_init(&loop->uv, &a->uv, on_async) != 0) {
    free(a);
    return NULL;
  }
  a->uv.data = a;
  loop->handles++;
  return a;
}

void sk_async_send(struct sk_async *a) { uv_async_send(&a->uv); }
void sk_async_unref(struct sk_async *a) { uv_unref((uv_handle_t *)&a->uv); }

void sk_async_free(struct sk_async *a) {
  if (a) close_own(a->loop, (uv_handle_t *)&a->uv);
}

static void on_signal(uv_signal_t *uv, int signum) {
  struct sk_signal *s = uv->data;
  s->cb(s->ctx, signum);
}

struct sk_signal *sk_signal_new(struct sk_loop *loop, int signum, void (*cb)(void *ctx, int signum), void *ctx) {
  struct sk_signal *s = calloc(1, sizeof *s);
  if (s == NULL) return NULL;
  *s = (struct sk_signal){ .loop = loop, .cb = cb, .ctx = ctx };
  uv_signal_init(&loop->uv, &s->uv);
  s->uv.data = s;
  loop->handles++;
  uv_signal_start(&s->uv, on_signal, signum);
  uv_unref((uv_handle_t *)&s->uv);
  return s;
}

/* Signals belong to the process and not to a loop: these tell which have come and who handles them. */
static volatile sig_atomic_t signals_seen[NSIG];
static struct sigaction signals_next[NSIG];

static void note_signal(int signum) {
  signals_seen[signum] = 1;
  signals_next[signum].sa_handler(signum);
}

void sk_signal_note(int signum) {
  struct sigaction sa;
  if (sigaction(signum, NULL, &sa) != 0 || sa.sa_handler == note_signal || sa.sa_handler == SIG_DFL ||
      sa.sa_handler == SIG_IGN)
    return;
  signals_next[signum] = sa;
  sa.sa_handler = note_signal;
  sigaction(signum, &sa, NULL);
}

bool sk_signal_noted(int signum) { return signals_seen[signum] != 0; }

void sk_signal_free(struct sk_signal *s) {
  if (s) close_own(s->loop, (uv_handle_t *)&s->uv);
}

static void on_watch(uv_fs_event_t *uv, const char *name, int events, int status) {
  (void)name, (void)events, (void)status;
  struct sk_watch *w = uv->data;
  w->cb(w->ctx);
}

struct sk_watch *sk_watch_new(struct sk_loop *loop, const char *path, sk_io_cb cb, void *ctx, struct sk_err *err) {
  struct sk_watch *w = calloc(1, sizeof *w);
  if (w == NULL) {
    sk_err_set(err, SK_ENOMEM, "watch on \"%s\": out of memory", path);
    return NULL;
  }
  *w = (struct sk_watch){ .loop = loop, .cb = cb, .ctx = ctx };
  uv_fs_event_init(&loop->uv, &w->uv);
  w->uv.data = w;
  loop->handles++;
  int rc = uv_fs_event_start(&w->uv, on_watch, path, 0);
  if (rc == 0) return w;
  sk_err_set(err, SK_ESYS, "watch on \"%s\": %s", path, uv_strerror(rc));
  sk_watch_free(w);
  return NULL;
}

void sk_watch_unref(struct sk_watch *w) { uv_unref((uv_handle_t *)&w->uv); }

void sk_watch_free(struct sk_watch *w) {
  if (w) close_own(w->loop, (uv_handle_t *)&w->uv);
}
