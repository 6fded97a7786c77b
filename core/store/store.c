/* store.c - opens a store by its URL's scheme; what all stores share. */
#include "store/store.h"

#include "base/clock.h"
#include "store/openers.h"

struct scheme {
  const char *name; /* what stands before the URL's first ':' */
  sk_store_opener open;
};

static const struct scheme schemes[] = {
  { "memory", sk_memory_open },
  { "sqlite", sk_sqlite_open },
};
enum { SCHEMES_N = sizeof schemes / sizeof schemes[0] };

#define KNOWN_SCHEMES "\"memory:\", \"memory:NAME\" or \"sqlite:PATH\""

/* A URL's password is not for logs: the text between "://" and the last '@' is left out.  For messages: cut at 200 bytes. */
struct shown {
  struct sk_str head, tail;
  const char *gap;
};
static struct shown show_url(struct sk_str url) {
  struct shown shown = { .head = sk_str_head(url, 200), .gap = "" };
  for (size_t i = 0; i + 3 <= url.n; i++) {
    if (memcmp(url.p + i, "://", 3) != 0) continue;
    const char *at = memrchr(url.p + i, '@', url.n - i);
    if (at == NULL) break;
    shown.head = sk_str_head(sk_str(url.p, i + 3), 100);
    shown.gap = "***";
    shown.tail = sk_str_head(sk_str(at, url.n - (size_t)(at - url.p)), 100);
    break;
  }
  return shown;
}

enum sk_code sk_store_open(struct sk_loop *loop, const struct sk_store_options *options, const struct sk_store_events *events,
                           struct sk_store **out, struct sk_err *err) {
  *out = NULL;
  struct sk_str url = options->url;
  const char *colon = url.n ? memchr(url.p, ':', url.n) : NULL;
  struct sk_str name = sk_str(url.p, colon ? (size_t)(colon - url.p) : 0);
  for (size_t i = 0; colon && i < SCHEMES_N; i++)
    if (sk_str_eq_c(name, schemes[i].name)) return schemes[i].open(loop, options, events, out, err);
  struct shown shown = show_url(url);
  return sk_err_set(err, SK_EINVAL, "store URL \"%.*s%s%.*s\": %s; this build knows " KNOWN_SCHEMES, SK_STR_ARG(shown.head),
                    shown.gap, SK_STR_ARG(shown.tail), colon ? "unknown scheme" : "it has no scheme");
}

void sk_op_fini(struct sk_op *op) { sk_arena_fini(&op->arena); }

int64_t sk_store_wall_ms(const struct sk_store_clock *clock) {
  return clock->wall_ms ? clock->wall_ms(clock->ctx) : sk_clock_wall_ms();
}

int64_t sk_store_mono_ms(const struct sk_store_clock *clock) {
  return clock->mono_ms ? clock->mono_ms(clock->ctx) : sk_clock_mono_ms();
}
