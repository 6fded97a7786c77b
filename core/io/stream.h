/* stream.h - a connection to a server: TCP or a unix socket, plain or with TLS.
 *
 *   sk_stream_new ──► resolving ──► connecting ──► (TLS handshake) ──► open ──► closed
 *                                      │ next address                            ▲
 *                                      └─────────────────────────────────────────┘ timeout, refused, reset, end
 *
 * Writers append to the stream's buffer, which is sent in one write before the loop next waits. Callbacks run on the
 * loop, or inside sk_stream_wait for callers that block, and never inside any other call. */
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
  /* Gives bytes that have arrived. The callee may free the stream. */
  void (*bytes)(void *ctx, struct sk_str in);
  /* The connection failed or ended; err says how. Called once, as the last event. The callee may free the stream. */
  void (*closed)(void *ctx, const struct sk_err *err);
  void *ctx;
};

struct sk_stream_options {
  const char *host; /* name or address; copied */
  uint16_t port;
  const char *path; /* path of a unix socket, in place of host and port; copied */
  struct sk_tls_context
      *tls;           /* TLS with `host`, for which the certificate must be; borrowed until the stream is freed */
  int64_t connect_ms; /* how long the opening may take */
  bool at_once;       /* looks the name up inside sk_stream_new, for callers of sk_stream_wait */
  struct sk_stream_events events;
};

/* NULL only when out of memory; any other failure comes as `closed`. A stream that is not open yet takes bytes. */
struct sk_stream *sk_stream_new(struct sk_loop *loop, const struct sk_stream_options *options, struct sk_err *err);
/* Returns the buffer to append to; its bytes are sent before the loop next waits. */
struct sk_buf *sk_stream_out(struct sk_stream *s);
/* Returns how many of the appended bytes the other side has taken so far. */
uint64_t sk_stream_taken(const struct sk_stream *s);
/* Returns what sk_stream_taken will return once all appended bytes are taken; with TLS a little less than that. */
uint64_t sk_stream_appended(const struct sk_stream *s);
/* Blocks until an event of this stream, for timeout_ms at most; callbacks run inside. For streams made `at_once`. */
void sk_stream_wait(struct sk_stream *s, int64_t timeout_ms);
/* True when the connection stands and the other side has not answered the start of TLS: a port without TLS may never do
 * so. */
bool sk_stream_awaits_tls(const struct sk_stream *s);
/* Frees the stream; no callback runs any more. NULL is fine. */
void sk_stream_free(struct sk_stream *s);

#endif
