/* tls.h - TLS as a client, without a socket: bytes of the wire go in and out of buffers, stream.c moves them.
 *
 * The server's certificate is always verified: against the system's authorities or those of `ca`, and for the host's name. */
#ifndef SK_IO_TLS_H
#define SK_IO_TLS_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

struct sk_tls_context; /* what connections share: certificates and keys */
struct sk_tls;         /* one connection */

struct sk_tls_options {   /* paths of PEM files; NULL: none */
  const char *ca;         /* authorities, in place of the system's */
  const char *cert, *key; /* of the client; the key may be in cert's file */
};

/* SK_EINVAL names the file that can't be used. */
struct sk_tls_context *sk_tls_context_new(const struct sk_tls_options *options, struct sk_err *err);
void sk_tls_context_free(struct sk_tls_context *context);

/* host: a name or an address, which the certificate must be for. */
struct sk_tls *sk_tls_new(struct sk_tls_context *context, const char *host, struct sk_err *err);
void sk_tls_free(struct sk_tls *t);

/* Takes bytes of the wire (at first none: the client begins), appends what must be sent to wire.  *ready: the handshake is done. */
enum sk_code sk_tls_feed(struct sk_tls *t, struct sk_str in, struct sk_buf *wire, bool *ready, struct sk_err *err);
/* Plain bytes that have arrived: how many, up to n; 0: none for now.  *ended: the other side said that it sends no more. */
size_t sk_tls_read(struct sk_tls *t, char *out, size_t n, bool *ended);
/* Appends plain bytes to wire, encrypted.  After the handshake. */
enum sk_code sk_tls_write(struct sk_tls *t, struct sk_str plain, struct sk_buf *wire, struct sk_err *err);

#endif
