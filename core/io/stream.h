/* stream.h - a connection to a server: TCP or a unix socket, plain or with TLS.
 *
 *   sk_stream_new ──► resolving ──► connecting ──► (TLS handshake) ──► open ──► closed
 *                                      │ next address                            ▲
 *                                      └─────────────────────────────────────────┘ timeout, refused, reset, end
 *
 * Writing appends to the stream's buffer; all that was appended goes out in one write before the loop next waits.  Callbacks come
 * on the loop, or inside sk_stream_wait for those who must block, never inside any other call. */
#ifndef SK_IO_STREAM_H
#define SK_IO_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct sk_loop;
struct sk_stream;
struct sk_tls_context;

struct sk_stream_events {
  void (*opened)(void *ctx);
  /* Bytes that have arrived.  The callee may free the stream. */
  void (*bytes)(void *ctx, struct sk_str in);
  /* The connection failed or ended; err says how.  Comes once, last.  The callee may free the stream. */
  void (*closed)(void *ctx, const struct sk_err *err);
  void *ctx;
};

struct sk_stream_options {
  const char *host; /* name or address; copied */
  uint16_t port;
  const char *path; /* of a unix socket, in place of host and port; copied */
  struct sk_tls_context
      *tls;           /* speak TLS with host, which its certificate must be for; borrowed until the stream is freed */
  int64_t connect_ms; /* at most this long until it is open */
  bool at_once;       /* look the name up inside the call, for sk_stream_wait */
  struct sk_stream_events events;
};

/* NULL only when out of memory; everything else comes as `closed`.  An unopened stream may be written to. */
struct sk_stream *sk_stream_new(struct sk_loop *loop, const struct sk_stream_options *options, struct sk_err *err);
/* The buffer to append to; its bytes are sent before the loop next waits. */
struct sk_buf *sk_stream_out(struct sk_stream *s);
/* How many bytes of what was appended the other side has taken so far. */
uint64_t sk_stream_taken(const struct sk_stream *s);
/* The same count once everything that has been appended is taken; with TLS a little less than that. */
uint64_t sk_stream_appended(const struct sk_stream *s);
/* Blocks until something happened on this stream alone, at most timeout_ms; callbacks come inside.  For streams made `at_once`. */
void sk_stream_wait(struct sk_stream *s, int64_t timeout_ms);
/* It is connected, and the other side has not answered the beginning of TLS: a port that does not speak it may never do so. */
bool sk_stream_awaits_tls(const struct sk_stream *s);
/* No callback comes any more.  NULL is fine. */
void sk_stream_free(struct sk_stream *s);

#endif
