/* url.h - a store's URL, taken apart.
 *
 *   memory:                                      redis+unix://[user:password@]PATH[?db=n]
 *   sqlite:PATH                                  redis+sentinel://[user:password@]h1[:port],h2.../master[/db]
 *   redis://[user:password@]host[:port][/db]     redis+cluster://[user:password@]h1[:port],h2...
 *   rediss://..., rediss+sentinel://..., rediss+cluster://...: the same with TLS
 *   amqp://[user:password@]host[:port],.../vhost    amqps://...    sqs://[key:secret@][host][/segments]
 *
 * All but memory and sqlite may end in ?name=value&...  A sqlite path is taken as it is, to the end of the text,
 * without escapes.  Everything else is percent-decoded; so "/", "?", "#", "%" and "@" within a user or password must be
 * written as %2F, %3F, %23, %25, %40.  No message ever quotes a user or a password. */
#ifndef SK_LOGIC_URL_H
#define SK_LOGIC_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum { SK_URL_BYTES_MAX = 4096, SK_URL_HOSTS_MAX = 64 };

struct sk_url_host {
  struct sk_str name; /* an IPv6 address stands without its brackets */
  uint16_t port; /* the scheme's default when the URL has none: 6379, sentinel 26379, amqp 5672, amqps 5671, sqs 443 */
};
struct sk_url_param {
  struct sk_str name, value;
};
struct sk_url {
  struct sk_str scheme;            /* "memory", "sqlite", "redis", "rediss", "redis+unix", ...; lower case */
  struct sk_str user, password;    /* p == NULL when absent */
  const struct sk_url_host *hosts; /* "localhost" when the URL names none (sqs: none) */
  size_t hosts_n;
  struct sk_str path; /* memory, sqlite, redis+unix: the path, as it is for open(2) */
  /* the others: the path's parts between slashes, decoded; a trailing empty one is dropped */
  const struct sk_str *segments;
  size_t segments_n;
  const struct sk_url_param *params;
  size_t params_n;
};

/* All slices end in a NUL (not counted) and live in arena.  SK_EINVAL, SK_ELIMIT, SK_ENOMEM. */
enum sk_code sk_url_parse(struct sk_str text, struct sk_arena *arena, struct sk_url *out, struct sk_err *err);

/* The first parameter of that name; p == NULL when there is none. */
struct sk_str sk_url_param(const struct sk_url *url, const char *name);

/* Appends text fit for a log: what may be a password (and a parameter whose name has "pass", "secret" or "token" in it)
 * is "***". Any text will do, well-formed or not; when in doubt it hides more. */
void sk_url_redact(struct sk_str text, struct sk_buf *out);

/* The same in place, each byte of a secret a "*": for the command line that other users of the machine see. */
void sk_url_mask(char *text, size_t n);
/* The same for every URL that stands somewhere in a sentence. */
void sk_url_mask_in(char *text, size_t n);

#endif
