/* pipe.c - see pipe.h. The socket, or a pipe that is only read, is our own, and libuv only says when it is ready. So a
 * process that computes can wait for it without the loop, and a pipe that is not read keeps its bytes in the kernel.
 * The struct is freed in the close callback. */
#include "io/pipe.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "io/loop.h"

enum {
  PIPE_READ_BYTES = 64 * 1024,
  PIPE_READS_MAX = 16, /* reads in one turn of the loop, so that others get their turn */
  PIPE_SOCKET_BYTES = 512 * 1024,
  PIPE_KEEP_BYTES = 1024 * 1024,           /* capacity that an empty buffer keeps */
  PIPE_DRAIN_BYTES_MAX = 16 * 1024 * 1024, /* more than a socket holds: a process that writes on has not ended */
};

struct sk_pipe {
  uv_poll_t uv;
  int fd;
  int interest; /* the events that uv waits for */
  struct sk_loop *loop;
  struct sk_pipe_events events;
  struct sk_buf in;  /* bytes received and not consumed yet */
  int64_t half_ms;   /* when the start of the incomplete frame came; monotonic */
  struct sk_buf out; /* bytes appended and not sent */
  size_t out_at;     /* the kernel has taken all bytes of `out` before this */
  struct sk_flush flush;
  bool full;   /* the kernel did not take all bytes: uv says when it takes more */
  bool paused; /* sk_pipe_read has stopped the reading */
  bool again;  /* the bytes in `in` must be given again */
  bool closed; /* events.closed was called */
  bool *freed; /* set to true by sk_pipe_free, while an event runs; else NULL */
  char chunk[PIPE_READ_BYTES];
};

static void on_ready(uv_poll_t *uv, int status, int events);

static void update_interest(struct sk_pipe *p) {
  int interest = p->closed ? 0 : (p->paused ? 0 : UV_READABLE) | (p->full ? UV_WRITABLE : 0);
  if (interest == p->interest) return;
  p->interest = interest;
  if (interest)
    uv_poll_start(&p->uv, interest, on_ready);
  else
    uv_poll_stop(&p->uv);
}

static void report_closed(struct sk_pipe *p, int number) {
  if (p->closed) return;
  p->closed = true;
  update_interest(p);
  struct sk_err err;
  bool orderly = number == 0 || number == ECONNRESET || number == EPIPE;
  if (!orderly) sk_err_set(&err, number == ENOMEM ? SK_ENOMEM : SK_ESYS, "pipe: %s", strerror(number));
  p->events.closed(p->events.ctx, orderly ? NULL : &err);
}

/* Frees the memory of an empty buffer that was large once. */
static void give_back(struct sk_buf *b) {
  if (b->n > 0 || b->failed) return;
  if (b->cap > PIPE_KEEP_BYTES)
    sk_buf_fini(b);
  else
    sk_buf_clear(b);
}

/* -- reading ------------------------------------------------------------------------------------------------------- */

/* Gives `in`, which is p->in or new bytes; *used is how much of it was consumed. False when the callee has freed the
 * pipe. */
static bool hand_over(struct sk_pipe *p, struct sk_str in, size_t *used) {
  bool freed = false;
  p->freed = &freed;
  *used = p->events.bytes(p->events.ctx, in);
  if (freed) return false;
  p->freed = NULL;
  assert(*used <= in.n);
  return true;
}

/* Gives the first n bytes of p->chunk after the bytes that were kept. False when the pipe was closed or freed. */
static bool deliver(struct sk_pipe *p, size_t n) {
  bool buffered = p->in.n > 0;
  struct sk_str in = sk_str(p->chunk, n);
  if (buffered) {
    sk_buf_add(&p->in, p->chunk, n);
    in = sk_buf_str(&p->in);
  }
  size_t used = 0;
  if (!p->in.failed && !p->paused && !hand_over(p, in, &used)) return false;
  if (buffered)
    sk_buf_consume(&p->in, used);
  else if (used < in.n)
    sk_buf_add(&p->in, in.p + used, in.n - used);
  if (p->in.n > 0 && (used > 0 || !buffered)) p->half_ms = sk_loop_now_ms(p->loop);
  give_back(&p->in);
  if (!p->in.failed) return !p->closed;
  report_closed(p, ENOMEM);
  return false;
}

/* Gives the kept bytes again. False when the pipe was closed or freed. */
static bool deliver_again(struct sk_pipe *p) {
  p->again = false;
  if (p->closed || p->paused || p->in.n == 0 || p->in.failed) return !p->closed;
  size_t used = 0;
  if (!hand_over(p, sk_buf_str(&p->in), &used)) return false;
  sk_buf_consume(&p->in, used);
  p->half_ms = sk_loop_now_ms(p->loop);
  give_back(&p->in);
  return !p->closed;
}

static void receive(struct sk_pipe *p) {
  for (int i = 0; i < PIPE_READS_MAX && !p->paused; i++) {
    ssize_t n = read(p->fd, p->chunk, sizeof p->chunk);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
      report_closed(p, n < 0 ? errno : 0);
      return;
    }
    if (!deliver(p, (size_t)n) || (size_t)n < sizeof p->chunk) return;
  }
}

void sk_pipe_read(struct sk_pipe *p, bool on) {
  if (p->closed || p->paused == !on) return;
  p->paused = !on;
  update_interest(p);
  if (!on || p->in.n == 0) return;
  p->again = true;
  sk_loop_want_flush(p->loop, &p->flush);
}

void sk_pipe_drain(struct sk_pipe *p) {
  if (p->closed) return;
  p->paused = false;
  if (!deliver_again(p)) return;
  for (size_t got = 0; got < PIPE_DRAIN_BYTES_MAX;) {
    ssize_t n = read(p->fd, p->chunk, sizeof p->chunk);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    got += (size_t)n;
    p->paused = false;
    if (!deliver(p, (size_t)n)) return;
  }
  report_closed(p, 0);
}

/* -- writing ------------------------------------------------------------------------------------------------------- */

/* Writes what the kernel takes now. False when the socket takes no bytes any more. */
static bool send_out(struct sk_pipe *p) {
  while (p->out_at < p->out.n) {
    ssize_t n = send(p->fd, p->out.p + p->out_at, p->out.n - p->out_at, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0) return false;
    p->out_at += (size_t)n;
  }
  if (p->out_at == p->out.n || p->out_at > p->out.n / 2) {
    sk_buf_consume(&p->out, p->out_at);
    p->out_at = 0;
    give_back(&p->out);
  }
  return true;
}

/* Sends, or ends the pipe. A frame for which memory ran out is a hole in the stream, and nothing must follow it. A
 * socket that takes no bytes any more may still hold the last words of the other side. */
static void send_or_fail(struct sk_pipe *p) {
  if (p->closed) return;
  bool was_full = p->full;
  if (p->out.failed) {
    report_closed(p, ENOMEM);
    return;
  }
  if (!send_out(p)) {
    sk_pipe_drain(p);
    return;
  }
  p->full = p->out.n > 0;
  update_interest(p);
  if (was_full && !p->full && p->events.sent) p->events.sent(p->events.ctx);
}

static void flush_later(struct sk_flush *f) {
  struct sk_pipe *p = SK_CONTAINER(f, struct sk_pipe, flush);
  if (p->again && !deliver_again(p)) return;
  send_or_fail(p);
}

static void on_ready(uv_poll_t *uv, int status, int events) {
  struct sk_pipe *p = uv->data;
  if (status < 0) { /* the other end is gone, and libuv has stopped watching */
    p->interest = 0;
    sk_pipe_drain(p);
    return;
  }
  if (events & UV_WRITABLE) {
    bool freed = false, *outer = p->freed;
    p->freed = &freed;
    send_or_fail(p);
    if (freed) return;
    p->freed = outer;
  }
  if ((events & UV_READABLE) && !p->closed) receive(p);
}

struct sk_buf *sk_pipe_out(struct sk_pipe *p) {
  sk_loop_want_flush(p->loop, &p->flush);
  return &p->out;
}

int64_t sk_pipe_half_for_ms(const struct sk_pipe *p) {
  return p->in.n > 0 && !p->paused && !p->again ? sk_loop_now_ms(p->loop) - p->half_ms + 1 : 0;
}

size_t sk_pipe_pending(const struct sk_pipe *p) { return p->out.n - p->out_at; }

void sk_pipe_flush(struct sk_pipe *p) {
  if (p->closed || p->out.failed) return;
  if (!send_out(p)) sk_buf_clear(&p->out), p->out_at = 0;
}

bool sk_pipe_press(struct sk_pipe *p, size_t bytes_max, int wait_ms) {
  sk_pipe_flush(p);
  while (!p->closed && !p->out.failed && sk_pipe_pending(p) > bytes_max) {
    struct pollfd ready = { .fd = p->fd, .events = POLLOUT };
    int n = poll(&ready, 1, wait_ms);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    sk_pipe_flush(p);
  }
  return sk_pipe_pending(p) <= bytes_max;
}

struct sk_str sk_pipe_rest(const struct sk_pipe *p) {
  return sk_buf_str(&p->in);
}

void sk_pipe_unref(struct sk_pipe *p) { uv_unref((uv_handle_t *)&p->uv); }

/* -- life ---------------------------------------------------------------------------------------------------------- */

struct sk_pipe *sk_pipe_new(struct sk_loop *loop, int fd, const struct sk_pipe_events *events, struct sk_err *err) {
  struct sk_pipe *p = calloc(1, sizeof *p);
  if (p == NULL) {
    close(fd);
    sk_err_set(err, SK_ENOMEM, "pipe: out of memory");
    return NULL;
  }
  p->loop = loop;
  p->fd = fd;
  p->events = *events;
  p->flush.flush = flush_later;
  sk_list_init(&p->flush.node);
  int rc = uv_poll_init(sk_loop_uv(loop), &p->uv, fd); /* makes it non-blocking */
  if (rc != 0) {
    sk_err_set(err, SK_ESYS, "pipe: %s", uv_strerror(rc));
    close(fd);
    free(p);
    return NULL;
  }
  p->uv.data = p;
  sk_loop_count_handle(loop, 1);
  update_interest(p);
  return p;
}

static void on_closed(uv_handle_t *handle) {
  struct sk_pipe *p = handle->data;
  close(p->fd);
  sk_buf_fini(&p->in);
  sk_buf_fini(&p->out);
  free(p);
}

void sk_pipe_free(struct sk_pipe *p) {
  if (p == NULL) return;
  if (p->freed) *p->freed = true;
  p->closed = true;
  sk_list_remove(&p->flush.node);
  sk_loop_count_handle(p->loop, -1);
  uv_close((uv_handle_t *)&p->uv, on_closed);
}

enum sk_code sk_pipe_pair(int fds[2], struct sk_err *err) {
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
    return sk_err_set(err, SK_ESYS, "socketpair: %s", strerror(errno));
  int bytes = PIPE_SOCKET_BYTES;
  for (int i = 0; i < 2; i++) setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
  return SK_OK;
}
