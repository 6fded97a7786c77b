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

enum sk_code sk_store_open(struct sk_loop *loop, const struct sk_store_options *options, const struct sk_store_events *events,
                           struct sk_store **out, struct sk_err *err) {
  *out = NULL;
  struct sk_str url = options->url;
  const char *colon = url.n ? memchr(url.p, ':', url.n) : NULL;
  if (colon == NULL)
    return sk_err_set(err, SK_EINVAL, "store URL \"%.*s\" has no scheme: expected " KNOWN_SCHEMES, SK_STR_ARG(sk_str_head(url, 200)));
  struct sk_str name = sk_str(url.p, (size_t)(colon - url.p));
  for (size_t i = 0; i < SCHEMES_N; i++)
    if (sk_str_eq_c(name, schemes[i].name)) return schemes[i].open(loop, options, events, out, err);
  return sk_err_set(err, SK_EINVAL, "store URL \"%.*s\": this build knows no scheme \"%.*s\", only " KNOWN_SCHEMES,
                    SK_STR_ARG(sk_str_head(url, 200)), SK_STR_ARG(sk_str_head(name, 40)));
}

void sk_op_fini(struct sk_op *op) { sk_arena_fini(&op->arena); }

int64_t sk_store_wall_ms(const struct sk_store_clock *clock) {
  return clock->wall_ms ? clock->wall_ms(clock->ctx) : sk_clock_wall_ms();
}

int64_t sk_store_mono_ms(const struct sk_store_clock *clock) {
  return clock->mono_ms ? clock->mono_ms(clock->ctx) : sk_clock_boot_ms();
}
