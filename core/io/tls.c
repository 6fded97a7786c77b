/* tls.c - see tls.h. OpenSSL reads from and writes to memory BIOs. */
#include "io/tls.h"

#include <arpa/inet.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

struct sk_tls_context {
  SSL_CTX *ssl;
};

struct sk_tls {
  SSL *ssl;
  BIO *in, *out; /* owned by ssl */
  bool ready;
};

/* Returns OpenSSL's last error as text and empties its queue. */
static const char *last_error(void) {
  unsigned long code = ERR_peek_last_error();
  const char *reason = code ? ERR_reason_error_string(code) : NULL;
  ERR_clear_error();
  return reason ? reason : "unknown error";
}

/* -- the context --------------------------------------------------------------------------------------------------- */

static enum sk_code load_files(SSL_CTX *ssl, const struct sk_tls_options *o, struct sk_err *err) {
  if (o->ca ? SSL_CTX_load_verify_file(ssl, o->ca) != 1 : SSL_CTX_set_default_verify_paths(ssl) != 1)
    return sk_err_set(err, SK_EINVAL, "TLS: ca \"%s\": %s", o->ca ? o->ca : "(the system's)", last_error());
  if (o->cert && SSL_CTX_use_certificate_chain_file(ssl, o->cert) != 1)
    return sk_err_set(err, SK_EINVAL, "TLS: cert \"%s\": %s", o->cert, last_error());
  const char *key = o->key ? o->key : o->cert;
  if (key && SSL_CTX_use_PrivateKey_file(ssl, key, SSL_FILETYPE_PEM) != 1)
    return sk_err_set(err, SK_EINVAL, "TLS: key \"%s\": %s", key, last_error());
  return SK_OK;
}

struct sk_tls_context *sk_tls_context_new(const struct sk_tls_options *options, struct sk_err *err) {
  struct sk_tls_context *context = calloc(1, sizeof *context);
  if (context) context->ssl = SSL_CTX_new(TLS_client_method());
  if (context == NULL || context->ssl == NULL) {
    free(context);
    sk_err_set(err, SK_ENOMEM, "TLS: out of memory");
    return NULL;
  }
  SSL_CTX_set_min_proto_version(context->ssl, TLS1_2_VERSION);
  SSL_CTX_set_verify(context->ssl, SSL_VERIFY_PEER, NULL);
  if (load_files(context->ssl, options, err) == SK_OK) return context;
  sk_tls_context_free(context);
  return NULL;
}

void sk_tls_context_free(struct sk_tls_context *context) {
  if (context == NULL) return;
  SSL_CTX_free(context->ssl);
  free(context);
}

/* -- a connection -------------------------------------------------------------------------------------------------- */

static bool is_address(const char *host) {
  unsigned char bytes[16];
  return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

static bool expect_host(SSL *ssl, const char *host) {
  if (is_address(host)) return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
  return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

struct sk_tls *sk_tls_new(struct sk_tls_context *context, const char *host, struct sk_err *err) {
  struct sk_tls *t = calloc(1, sizeof *t);
  if (t) t->ssl = SSL_new(context->ssl);
  if (t && t->ssl) {
    t->in = BIO_new(BIO_s_mem());
    t->out = BIO_new(BIO_s_mem());
    if (t->in && t->out) {
      SSL_set_bio(t->ssl, t->in, t->out);
      SSL_set_connect_state(t->ssl);
      if (expect_host(t->ssl, host)) return t;
    } else {
      BIO_free(t->in);
      BIO_free(t->out);
    }
  }
  sk_tls_free(t);
  sk_err_set(err, SK_ENOMEM, "TLS: %s", last_error());
  return NULL;
}

void sk_tls_free(struct sk_tls *t) {
  if (t == NULL) return;
  SSL_free(t->ssl);
  free(t);
}

/* Appends the bytes that OpenSSL wants to send to wire. */
static void drain(struct sk_tls *t, struct sk_buf *wire) {
  char *bytes;
  long n = BIO_get_mem_data(t->out, &bytes);
  if (n > 0) sk_buf_add(wire, bytes, (size_t)n);
  (void)BIO_reset(t->out);
}

static enum sk_code failed(struct sk_tls *t, struct sk_err *err) {
  long verify = SSL_get_verify_result(t->ssl);
  if (!t->ready && verify != X509_V_OK) {
    ERR_clear_error();
    return sk_err_set(err, SK_EUNAVAILABLE, "TLS: the server's certificate: %s", X509_verify_cert_error_string(verify));
  }
  return sk_err_set(err, SK_EUNAVAILABLE, "TLS: %s", last_error());
}

enum sk_code sk_tls_feed(struct sk_tls *t, struct sk_str in, struct sk_buf *wire, bool *ready, struct sk_err *err) {
  while (in.n > 0) {
    int n = BIO_write(t->in, in.p, in.n > INT_MAX ? INT_MAX : (int)in.n);
    if (n <= 0) return sk_err_set(err, SK_ENOMEM, "TLS: out of memory");
    in = sk_str(in.p + n, in.n - (size_t)n);
  }
  enum sk_code code = SK_OK;
  if (!t->ready) {
    int rc = SSL_do_handshake(t->ssl);
    if (rc == 1)
      t->ready = true;
    else if (SSL_get_error(t->ssl, rc) != SSL_ERROR_WANT_READ)
      code = failed(t, err);
  }
  drain(t, wire); /* an alert must be sent, too */
  *ready = t->ready;
  return code;
}

size_t sk_tls_read(struct sk_tls *t, char *out, size_t n, bool *ended) {
  int got = SSL_read(t->ssl, out, n > INT_MAX ? INT_MAX : (int)n);
  *ended = got <= 0 && SSL_get_error(t->ssl, got) != SSL_ERROR_WANT_READ;
  if (*ended) ERR_clear_error();
  return got > 0 ? (size_t)got : 0;
}

enum sk_code sk_tls_write(struct sk_tls *t, struct sk_str plain, struct sk_buf *wire, struct sk_err *err) {
  while (plain.n > 0) {
    int n = SSL_write(t->ssl, plain.p, plain.n > INT_MAX ? INT_MAX : (int)plain.n);
    if (n <= 0) return failed(t, err);
    plain = sk_str(plain.p + n, plain.n - (size_t)n);
  }
  drain(t, wire);
  return SK_OK;
}
