/* tls.h - the client's side of TLS, without a socket: encrypted bytes go in and out through buffers, which stream.c
 * moves.
 *
 * The server's certificate is always verified: against the system's authorities or those of `ca`, and for the host's
 * name. */
#ifndef SK_IO_TLS_H
#define SK_IO_TLS_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

struct sk_tls_context; /* certificates and keys, which connections share */
struct sk_tls;         /* one connection */

struct sk_tls_options {   /* paths of PEM files; NULL: none */
  const char *ca;         /* certificate authorities, in place of the system's */
  const char *cert, *key; /* certificate of the client and its key; NULL: the key is in cert's file */
};

/* NULL with err; SK_EINVAL names the file that cannot be used. */
struct sk_tls_context *sk_tls_context_new(const struct sk_tls_options *options, struct sk_err *err);
void sk_tls_context_free(struct sk_tls_context *context);

/* host: the name or address for which the certificate must be. */
struct sk_tls *sk_tls_new(struct sk_tls_context *context, const char *host, struct sk_err *err);
void sk_tls_free(struct sk_tls *t);

/* Takes encrypted bytes (none in the first call: the client begins) and appends the answer to wire. *ready: the
 * handshake is done. */
enum sk_code sk_tls_feed(struct sk_tls *t, struct sk_str in, struct sk_buf *wire, bool *ready, struct sk_err *err);
/* Copies up to n plain bytes to out and returns their number; 0: none for now. *ended: the other side will send no
 * more. */
size_t sk_tls_read(struct sk_tls *t, char *out, size_t n, bool *ended);
/* Appends plain bytes to wire, encrypted. Only after the handshake. */
enum sk_code sk_tls_write(struct sk_tls *t, struct sk_str plain, struct sk_buf *wire, struct sk_err *err);

#endif
