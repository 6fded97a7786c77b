/* stream.c - see stream.h. The socket is our own, and libuv only says when it is ready, so that a caller that must
 * block can wait for the socket without the loop. A stream keeps no loop running: its user holds another handle. */
#include "io/stream.h"

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include "io/loop.h"
#include "io/tls.h"

enum { READ_BYTES = 64 * 1024, READS_MAX = 16 };

enum stage { RESOLVING, CONNECTING, GREETING, OPEN, CLOSED };

/* One attempt at one address. libuv's handle outlives the stream until its close callback. */
struct socket {
  uv_poll_t uv;
  struct sk_stream *stream; /* NULL when the stream has let it go */
  int fd;
  int interest;
};

struct sk_stream {
  struct sk_loop *loop;
  struct sk_stream_events events;
  enum stage stage;
  struct socket *socket;             /* in CONNECTING, GREETING and OPEN */
  uv_getaddrinfo_t *lookup;          /* in RESOLVING, unless at_once */
  struct addrinfo *addresses, *next; /* owned, from uv */
  struct sk_timer *deadline;         /* bounds the opening */
  struct sk_err failure;             /* why the last address failed */
  struct sk_buf out;                 /* plain bytes, as appended */
  struct sk_tls_context *tls_context;
  struct sk_tls *tls; /* owned */
  char *host;         /* owned; only with TLS */
  struct sk_buf wire; /* only with TLS: encrypted bytes to be sent */
  uint64_t sent;      /* number of bytes given to the kernel */
  struct sk_flush flush;
  bool *freed;     /* set to true by sk_stream_free, while an event runs; else NULL */
  char where[300]; /* host:port, or the path */
  char *chunk;     /* READ_BYTES */
};

static void on_ready(uv_poll_t *uv, int status, int events);
static void connect_next(struct sk_stream *s);

/* -- sockets ------------------------------------------------------------------------------------------------------- */

static void on_socket_closed(uv_handle_t *handle) {
  struct socket *k = handle->data;
  close(k->fd);
  free(k);
}

static void let_go(struct sk_stream *s) {
  if (s->socket == NULL) return;
  s->socket->stream = NULL;
  sk_loop_count_handle(s->loop, -1);
  uv_close((uv_handle_t *)&s->socket->uv, on_socket_closed);
  s->socket = NULL;
}

static void want(struct socket *k, int interest) {
  if (k->interest == interest) return;
  k->interest = interest;
  uv_poll_start(&k->uv, interest, on_ready);
}

/* Reports the end once. */
static void fail(struct sk_stream *s, const struct sk_err *err) {
  if (s->stage == CLOSED) return;
  s->stage = CLOSED;
  let_go(s);
  sk_timer_stop(s->deadline);
  s->events.closed(s->events.ctx, err);
}

static void fail_errno(struct sk_stream *s, int number) {
  struct sk_err err;
  sk_err_set(&err, SK_EUNAVAILABLE, "%s: %s", s->where, strerror(number));
  fail(s, &err);
}

static void fail_end(struct sk_stream *s) {
  struct sk_err err;
  sk_err_set(&err, SK_EUNAVAILABLE, "%s: the server closed the connection", s->where);
  fail(s, &err);
}

static struct socket *socket_new(struct sk_stream *s, int family) {
  struct socket *k = calloc(1, sizeof *k);
  if (k == NULL) return NULL;
  k->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (k->fd < 0 || uv_poll_init(sk_loop_uv(s->loop), &k->uv, k->fd) != 0) {
    if (k->fd >= 0) close(k->fd);
    free(k);
    return NULL;
  }
  int on = 1;
  if (family != AF_UNIX) setsockopt(k->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (family != AF_UNIX) setsockopt(k->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  k->uv.data = k;
  k->stream = s;
  uv_unref((uv_handle_t *)&k->uv);
  sk_loop_count_handle(s->loop, 1);
  return k;
}

static bool start_connect(struct sk_stream *s, const struct sockaddr *address, socklen_t n) {
  errno = ENOMEM;
  s->socket = socket_new(s, address->sa_family);
  int number = errno;
  if (s->socket != NULL) {
    if (connect(s->socket->fd, address, n) == 0 || errno == EINPROGRESS) {
      want(s->socket, UV_WRITABLE);
      return true;
    }
    number = errno;
    let_go(s);
  }
  sk_err_set(&s->failure, SK_EUNAVAILABLE, "%s: %s", s->where, strerror(number));
  return false;
}

static void connect_next(struct sk_stream *s) {
  s->stage = CONNECTING;
  while (s->next != NULL) {
    const struct addrinfo *a = s->next;
    s->next = a->ai_next;
    if (start_connect(s, a->ai_addr, a->ai_addrlen)) return;
  }
  struct sk_err err = s->failure;
  fail(s, &err);
}

static void connect_unix(struct sk_stream *s, const char *path) {
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  size_t n = strlen(path);
  s->stage = CONNECTING;
  if (n >= sizeof address.sun_path) {
    sk_err_set(&s->failure, SK_EUNAVAILABLE, "%.100s...: a socket's path has at most %zu bytes", path,
               sizeof address.sun_path - 1);
  } else {
    memcpy(address.sun_path, path, n);
    start_connect(s, (const struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1));
  }
}

/* -- looking the name up ------------------------------------------------------------------------------------------- */

static void use_addresses(struct sk_stream *s, int rc, struct addrinfo *addresses) {
  if (rc != 0) {
    struct sk_err err;
    sk_err_set(&err, SK_EUNAVAILABLE, "%s: %s", s->where, uv_strerror(rc));
    fail(s, &err);
    return;
  }
  s->addresses = s->next = addresses;
  connect_next(s);
}

static void on_lookup(uv_getaddrinfo_t *req, int rc, struct addrinfo *addresses) {
  struct sk_stream *s = req->data;
  free(req);
  if (s == NULL) {
    uv_freeaddrinfo(addresses);
    return;
  }
  s->lookup = NULL;
  use_addresses(s, rc, addresses);
}

static bool start_lookup(struct sk_stream *s, const struct sk_stream_options *o) {
  uv_getaddrinfo_t *req = calloc(1, sizeof *req);
  if (req == NULL) return false;
  char port[8];
  snprintf(port, sizeof port, "%u", (unsigned)o->port);
  const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
  req->data = s;
  int rc = uv_getaddrinfo(sk_loop_uv(s->loop), req, o->at_once ? NULL : on_lookup, o->host, port, &hints);
  if (rc == 0 && !o->at_once) {
    s->lookup = req;
    return true;
  }
  if (rc == 0) {
    s->addresses = s->next = req->addrinfo;
  } else {
    sk_err_set(&s->failure, SK_EUNAVAILABLE, "%s: %s", s->where, uv_strerror(rc));
  }
  free(req);
  return true;
}

/* -- reading and writing ------------------------------------------------------------------------------------------- */

/* Writes what the kernel takes now. */
static void send_out(struct sk_stream *s) {
  struct sk_err err;
  if (s->tls && s->stage == OPEN && s->out.n > 0) {
    if (sk_tls_write(s->tls, sk_buf_str(&s->out), &s->wire, &err) != SK_OK) {
      fail(s, &err);
      return;
    }
    sk_buf_clear(&s->out);
  }
  struct sk_buf *out = s->tls ? &s->wire : &s->out;
  if (s->socket == NULL || (s->stage != OPEN && s->stage != GREETING) || out->n == 0) return;
  size_t at = 0;
  while (at < out->n) {
    ssize_t n = send(s->socket->fd, out->p + at, out->n - at, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0)
      break; /* the kernel is full; an error shows again when reading, after the last bytes of the other side */
    at += (size_t)n;
  }
  s->sent += at;
  sk_buf_consume(out, at);
  want(s->socket, out->n > 0 ? UV_READABLE | UV_WRITABLE : UV_READABLE);
}

/* Callers of tell_opened and take_encrypted must look at *freed afterwards. */
static void tell_opened(struct sk_stream *s, const bool *freed) {
  s->stage = OPEN;
  sk_timer_stop(s->deadline);
  s->events.opened(s->events.ctx);
  if (!*freed) send_out(s);
}

static void take_encrypted(struct sk_stream *s, struct sk_str in, const bool *freed) {
  struct sk_err err;
  bool ready = false, ended = false;
  if (sk_tls_feed(s->tls, in, &s->wire, &ready, &err) != SK_OK) {
    send_out(s);
    sk_err_wrap(&err, "%s", s->where);
    fail(s, &err);
    return;
  }
  send_out(s);
  if (ready && s->stage == GREETING) tell_opened(s, freed);
  for (size_t n; !*freed && s->stage == OPEN && (n = sk_tls_read(s->tls, s->chunk, READ_BYTES, &ended)) > 0;)
    s->events.bytes(s->events.ctx, sk_str(s->chunk, n));
  if (!*freed && ended && s->stage == OPEN) fail_end(s);
}

static void receive(struct sk_stream *s) {
  bool freed = false;
  s->freed = &freed;
  for (int i = 0; i < READS_MAX; i++) {
    ssize_t n = recv(s->socket->fd, s->chunk, READ_BYTES, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
    if (n <= 0) {
      if (n < 0)
        fail_errno(s, errno);
      else
        fail_end(s);
      if (freed) return;
      break;
    }
    if (s->tls)
      take_encrypted(s, sk_str(s->chunk, (size_t)n), &freed);
    else
      s->events.bytes(s->events.ctx, sk_str(s->chunk, (size_t)n));
    if (freed) return;
    if (s->stage == CLOSED || n < READ_BYTES) break;
  }
  s->freed = NULL;
}

static bool start_tls(struct sk_stream *s) {
  struct sk_err err;
  bool ready;
  s->tls = sk_tls_new(s->tls_context, s->host, &err);
  if (s->tls != NULL && sk_tls_feed(s->tls, sk_str(NULL, 0), &s->wire, &ready, &err) == SK_OK) return true;
  fail(s, &err);
  return false;
}

static void finish_connect(struct sk_stream *s) {
  int number = 0;
  socklen_t n = sizeof number;
  if (getsockopt(s->socket->fd, SOL_SOCKET, SO_ERROR, &number, &n) != 0) number = errno;
  if (number != 0) {
    sk_err_set(&s->failure, SK_EUNAVAILABLE, "%s: %s", s->where, strerror(number));
    let_go(s);
    connect_next(s);
    return;
  }
  want(s->socket, UV_READABLE);
  bool freed = false;
  s->freed = &freed;
  if (s->tls_context == NULL) {
    tell_opened(s, &freed);
  } else {
    s->stage = GREETING;
    if (start_tls(s)) send_out(s);
  }
  if (!freed) s->freed = NULL;
}

static void handle(struct sk_stream *s, bool readable, bool writable) {
  if (s->stage == CONNECTING) {
    finish_connect(s);
    return;
  }
  if (writable) send_out(s);
  if (readable) receive(s);
}

static void on_ready(uv_poll_t *uv, int status, int events) {
  struct socket *k = uv->data;
  if (k->stream == NULL) return;
  if (status < 0) events = UV_READABLE; /* the read tells the error */
  handle(k->stream, (events & UV_READABLE) != 0, (events & UV_WRITABLE) != 0);
}

static void flush_later(struct sk_flush *f) { send_out(SK_CONTAINER(f, struct sk_stream, flush)); }

static void on_deadline(void *ctx) {
  struct sk_stream *s = ctx;
  if (s->socket == NULL && s->lookup == NULL) { /* it could not begin */
    struct sk_err err = s->failure;
    fail(s, &err);
    return;
  }
  if (s->stage == GREETING) {
    struct sk_err err;
    sk_err_set(&err, SK_EUNAVAILABLE, "%s: the server took the connection and does not answer TLS", s->where);
    fail(s, &err);
    return;
  }
  fail_errno(s, ETIMEDOUT);
}

/* -- the stream ---------------------------------------------------------------------------------------------------- */

static void start(struct sk_stream *s, const struct sk_stream_options *o) {
  int64_t wait_ms = o->connect_ms;
  if (o->path) {
    connect_unix(s, o->path);
  } else if (!start_lookup(s, o)) {
    sk_err_set(&s->failure, SK_ENOMEM, "%s: out of memory", s->where);
  }
  if (s->stage == RESOLVING && s->addresses) { /* looked up at once; a failure is reported later */
    s->stage = CONNECTING;
    for (; s->socket == NULL && s->next; s->next = s->next->ai_next)
      if (start_connect(s, s->next->ai_addr, s->next->ai_addrlen)) {
        s->next = s->next->ai_next;
        break;
      }
  }
  if (s->socket == NULL && s->lookup == NULL) wait_ms = 0;
  sk_timer_start(s->deadline, wait_ms);
}

struct sk_stream *sk_stream_new(struct sk_loop *loop, const struct sk_stream_options *options, struct sk_err *err) {
  struct sk_stream *s = calloc(1, sizeof *s);
  if (s) s->chunk = malloc(READ_BYTES);
  if (s) s->deadline = sk_timer_new(loop, on_deadline, s);
  if (s == NULL || s->chunk == NULL || s->deadline == NULL) {
    if (s) sk_timer_free(s->deadline);
    if (s) free(s->chunk);
    free(s);
    sk_err_set(err, SK_ENOMEM, "connection: out of memory");
    return NULL;
  }
  sk_timer_unref(s->deadline);
  s->loop = loop;
  s->flush.flush = flush_later;
  sk_list_init(&s->flush.node);
  s->events = options->events;
  s->tls_context = options->tls;
  if (options->tls && (s->host = strdup(options->host)) == NULL) {
    sk_stream_free(s);
    sk_err_set(err, SK_ENOMEM, "connection: out of memory");
    return NULL;
  }
  if (options->path)
    snprintf(s->where, sizeof s->where, "%s", options->path);
  else
    snprintf(s->where, sizeof s->where, "%.250s:%u", options->host, (unsigned)options->port);
  start(s, options);
  return s;
}

struct sk_buf *sk_stream_out(struct sk_stream *s) {
  sk_loop_want_flush(s->loop, &s->flush);
  return &s->out;
}

uint64_t sk_stream_taken(const struct sk_stream *s) {
  int waiting = 0; /* bytes that wait in the kernel */
  if (s->socket == NULL || ioctl(s->socket->fd, SIOCOUTQ, &waiting) != 0 || waiting < 0) waiting = 0;
  return s->sent > (uint64_t)waiting ? s->sent - (uint64_t)waiting : 0;
}

uint64_t sk_stream_appended(const struct sk_stream *s) { return s->sent + s->wire.n + s->out.n; }

void sk_stream_wait(struct sk_stream *s, int64_t timeout_ms) {
  if (s->stage == CLOSED) return;
  if (s->socket == NULL) {
    on_deadline(s);
    return;
  }
  send_out(s);
  bool writing = s->stage == CONNECTING || (s->stage == OPEN && s->out.n > 0) || s->wire.n > 0;
  struct pollfd p = { .fd = s->socket->fd, .events = (short)(writing ? POLLIN | POLLOUT : POLLIN) };
  int rc = poll(&p, 1, timeout_ms > INT32_MAX ? INT32_MAX : (int)timeout_ms);
  if (rc > 0) handle(s, (p.revents & (POLLIN | POLLHUP | POLLERR)) != 0, (p.revents & POLLOUT) != 0);
}

bool sk_stream_awaits_tls(const struct sk_stream *s) { return s->stage == GREETING; }

void sk_stream_free(struct sk_stream *s) {
  if (s == NULL) return;
  if (s->freed) *s->freed = true;
  let_go(s);
  if (s->lookup) {
    s->lookup->data = NULL;
    uv_cancel((uv_req_t *)s->lookup);
  }
  if (s->addresses) uv_freeaddrinfo(s->addresses);
  sk_timer_free(s->deadline);
  sk_list_remove(&s->flush.node);
  sk_buf_fini(&s->out);
  sk_buf_fini(&s->wire);
  sk_tls_free(s->tls);
  free(s->host);
  free(s->chunk);
  free(s);
}
