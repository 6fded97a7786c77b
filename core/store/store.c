/* store.c - opens a store by its URL's scheme; what all stores share. */
#include "store/store.h"

#include "base/buf.h"
#include "base/clock.h"
#include "logic/url.h"
#include "store/openers.h"

struct scheme {
  const char *name; /* what stands before the URL's first ':' */
  sk_store_opener open;
};

static const struct scheme schemes[] = {
  { "memory", sk_memory_open },       { "sqlite", sk_sqlite_open },         { "redis", sk_redis_open },
  { "rediss", sk_redis_open },        { "redis+unix", sk_redis_open },      { "redis+sentinel", sk_redis_open },
  { "redis+cluster", sk_redis_open }, { "rediss+sentinel", sk_redis_open }, { "rediss+cluster", sk_redis_open },
};
enum { SCHEMES_N = sizeof schemes / sizeof schemes[0] };

#define KNOWN_SCHEMES                                                                                                  \
  "\"memory:\", \"memory:NAME\", \"sqlite:PATH\", \"redis://HOST\", \"rediss://HOST\", \"redis+unix://PATH\", "        \
  "\"redis+sentinel://HOSTS/MASTER\" or \"redis+cluster://HOSTS\""

enum sk_code sk_store_open(struct sk_loop *loop, const struct sk_store_options *options,
                           const struct sk_store_events *events, struct sk_store **out, struct sk_err *err) {
  *out = NULL;
  struct sk_str url = options->url;
  const char *colon = url.n ? memchr(url.p, ':', url.n) : NULL;
  struct sk_str name = sk_str(url.p, colon ? (size_t)(colon - url.p) : 0);
  for (size_t i = 0; colon && i < SCHEMES_N; i++)
    if (sk_str_eq_c(name, schemes[i].name)) return schemes[i].open(loop, options, events, out, err);
  struct sk_buf shown = { 0 };
  sk_url_redact(sk_str_head(url, 200), &shown);
  enum sk_code code = sk_err_set(err, SK_EINVAL, "store URL \"%.*s\" %s; this build knows " KNOWN_SCHEMES,
                                 SK_STR_ARG(shown), colon ? "has an unknown scheme" : "has no scheme");
  sk_buf_fini(&shown);
  return code;
}

enum sk_code sk_enqueue_item_init(struct sk_enqueue_item *item, const struct sk_job *job, struct sk_str record,
                                  struct sk_err *err) {
  *item = (struct sk_enqueue_item){
    .id = job->id, .queue = job->queue, .task = job->task, .record = record, .priority = job->priority
  };
  enum sk_code code = sk_lock_parse(job->unique, &item->lock, err);
  return code == SK_OK ? sk_limit_parse(job->limit, &item->limit, err) : code;
}

void sk_op_fini(struct sk_op *op) { sk_arena_fini(&op->arena); }

int64_t sk_store_wall_ms(const struct sk_store_clock *clock) {
  return clock->wall_ms ? clock->wall_ms(clock->ctx) : sk_clock_wall_ms();
}

int64_t sk_store_mono_ms(const struct sk_store_clock *clock) {
  return clock->mono_ms ? clock->mono_ms(clock->ctx) : sk_clock_mono_ms();
}
