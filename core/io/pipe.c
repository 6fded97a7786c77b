/* pipe.c - see pipe.h.  Frees itself in the close callback; a write in flight keeps its own buffer. */
#include "io/pipe.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "io/loop.h"

enum {
  PIPE_READ_BYTES = 64 * 1024,
  PIPE_SOCKET_BYTES = 512 * 1024,
  PIPE_DRAIN_BYTES_MAX =
      16 * 1024 * 1024, /* more than any socket holds: whoever writes on is not the one that has ended */
};

struct sk_pipe {
  uv_pipe_t uv;
  struct sk_loop *loop;
  struct sk_pipe_events events;
  struct sk_buf in;      /* the start of a frame whose end has not come yet */
  int64_t half_ms;       /* when that start came */
  struct sk_buf out;     /* appended, not handed to the kernel */
  struct sk_buf sending; /* in flight */
  uv_write_t write;
  struct sk_flush flush;
  bool writing;
  bool closed; /* events.closed was called */
  bool *freed; /* where to note that it was freed, while events.bytes runs */
  char chunk[PIPE_READ_BYTES];
};

static void report_closed(struct sk_pipe *p, int rc) {
  if (p->closed) return;
  p->closed = true;
  uv_read_stop((uv_stream_t *)&p->uv);
  struct sk_err err;
  bool orderly = rc == UV_EOF || rc == UV_ECONNRESET || rc == UV_EPIPE;
  if (!orderly) sk_err_set(&err, rc == UV_ENOMEM ? SK_ENOMEM : SK_ESYS, "pipe: %s", uv_strerror(rc));
  p->events.closed(p->events.ctx, orderly ? NULL : &err);
}

/* -- reading ------------------------------------------------------------------------------------------------------------------ */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  (void)suggested;
  struct sk_pipe *p = handle->data;
  *buf = uv_buf_init(p->chunk, sizeof p->chunk);
}

/* Hands over p->chunk's first n bytes, behind what was kept.  False when the pipe is closed or freed since. */
static bool deliver(struct sk_pipe *p, size_t n) {
  bool buffered = p->in.n > 0;
  struct sk_str in = sk_str(p->chunk, n);
  if (buffered) {
    sk_buf_add(&p->in, p->chunk, n);
    in = sk_buf_str(&p->in);
  }
  size_t used = 0;
  if (!p->in.failed) {
    bool freed = false;
    p->freed = &freed;
    used = p->events.bytes(p->events.ctx, in);
    if (freed) return false;
    p->freed = NULL;
    assert(used <= in.n);
  }
  if (buffered)
    sk_buf_consume(&p->in, used);
  else if (used < in.n)
    sk_buf_add(&p->in, in.p + used, in.n - used);
  if (p->in.n > 0 && (used > 0 || !buffered)) p->half_ms = sk_loop_now_ms(p->loop);
  if (!p->in.failed) return !p->closed;
  report_closed(p, UV_ENOMEM);
  return false;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
  (void)buf; /* p->chunk */
  if (n > 0)
    deliver(stream->data, (size_t)n);
  else if (n < 0)
    report_closed(stream->data, (int)n);
}

void sk_pipe_drain(struct sk_pipe *p) {
  uv_os_fd_t fd;
  if (p->closed || uv_fileno((const uv_handle_t *)&p->uv, &fd) != 0) return;
  for (size_t got = 0; got < PIPE_DRAIN_BYTES_MAX;) {
    ssize_t n = read(fd, p->chunk, sizeof p->chunk);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    got += (size_t)n;
    if (!deliver(p, (size_t)n)) return;
  }
  report_closed(p, UV_EOF);
}

/* -- writing ------------------------------------------------------------------------------------------------------------------ */

static void send_or_fail(struct sk_pipe *p);

static void on_written(uv_write_t *req, int status) {
  struct sk_pipe *p = req->data;
  p->writing = false;
  sk_buf_clear(&p->sending);
  if (uv_is_closing((uv_handle_t *)&p->uv)) return;
  if (status < 0)
    sk_pipe_drain(p);
  else
    send_or_fail(p);
}

/* Writes what the kernel takes now; hands the rest to uv.  False when the socket takes nothing any more. */
static bool send_out(struct sk_pipe *p) {
  if (p->writing || p->closed || p->out.n == 0) return true;
  uv_buf_t buf = uv_buf_init(p->out.p, (unsigned)p->out.n);
  int n = uv_try_write((uv_stream_t *)&p->uv, &buf, 1);
  if (n < 0 && n != UV_EAGAIN) return false;
  if (n > 0) sk_buf_consume(&p->out, (size_t)n);
  if (p->out.n == 0) return true;
  struct sk_buf swap = p->sending;
  p->sending = p->out;
  p->out = swap;
  p->writing = true;
  p->write.data = p;
  buf = uv_buf_init(p->sending.p, (unsigned)p->sending.n);
  if (uv_write(&p->write, (uv_stream_t *)&p->uv, &buf, 1, on_written) == 0) return true;
  p->writing = false;
  sk_buf_clear(&p->sending);
  return false;
}

/* Sends, or ends the pipe.  A frame that memory had no room for is a hole in the stream: nothing may follow it.  A socket that
 * takes nothing any more may still hold what the other side said last. */
static void send_or_fail(struct sk_pipe *p) {
  if (p->out.failed)
    report_closed(p, UV_ENOMEM);
  else if (!send_out(p))
    sk_pipe_drain(p);
}

static void flush_later(struct sk_flush *f) { send_or_fail(SK_CONTAINER(f, struct sk_pipe, flush)); }

struct sk_pipe *sk_pipe_new(struct sk_loop *loop, int fd, const struct sk_pipe_events *events, struct sk_err *err) {
  struct sk_pipe *p = calloc(1, sizeof *p);
  if (p == NULL) {
    close(fd);
    sk_err_set(err, SK_ENOMEM, "pipe: out of memory");
    return NULL;
  }
  p->loop = loop;
  p->events = *events;
  p->flush.flush = flush_later;
  sk_list_init(&p->flush.node);
  uv_pipe_init(sk_loop_uv(loop), &p->uv, 0);
  p->uv.data = p;
  sk_loop_count_handle(loop, 1);
  int rc = uv_pipe_open(&p->uv, fd);
  if (rc == 0) rc = uv_read_start((uv_stream_t *)&p->uv, on_alloc, on_read);
  if (rc == 0) return p;
  sk_err_set(err, SK_ESYS, "pipe: %s", uv_strerror(rc));
  sk_pipe_free(p);
  return NULL;
}

struct sk_buf *sk_pipe_out(struct sk_pipe *p) {
  sk_loop_want_flush(p->loop, &p->flush);
  return &p->out;
}

int64_t sk_pipe_half_for_ms(const struct sk_pipe *p) {
  return p->in.n > 0 ? sk_loop_now_ms(p->loop) - p->half_ms + 1 : 0;
}

size_t sk_pipe_pending(const struct sk_pipe *p) { return p->out.n + p->sending.n; }
void sk_pipe_flush(struct sk_pipe *p) {
  if (!p->out.failed && !send_out(p)) sk_buf_clear(&p->out);
}

struct sk_str sk_pipe_rest(const struct sk_pipe *p) {
  return sk_buf_str(&p->in);
}

void sk_pipe_unref(struct sk_pipe *p) { uv_unref((uv_handle_t *)&p->uv); }

static void on_closed(uv_handle_t *handle) {
  struct sk_pipe *p = handle->data;
  sk_buf_fini(&p->in);
  sk_buf_fini(&p->out);
  sk_buf_fini(&p->sending);
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
