/* redis_conn.c - one connection to Redis: made, greeted, lost and made again, with growing pauses.
 *
 *   DOWN ──► DIALING ──► GREETING ──► READY
 *     ▲         │            │          │       any failure: `down`, and another try after the pause
 *     └─────────┴────────────┴──────────┘
 *
 * Greeting: AUTH, SELECT, INFO; a subscriber then SUBSCRIBEs.  A server that owes a reply and says nothing for the timeout is taken for gone; a subscriber, which is owed
 * nothing, asks now and then. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/id.h"
#include "io/loop.h"
#include "io/stream.h"
#include "store/redis.h"

enum { PING_MS = 10000, VERSION_MIN_MAJOR = 6, VERSION_MIN_MINOR = 2 };

enum stage { DOWN, DIALING, GREETING, READY };
enum greeting { GREET_AUTH, GREET_SELECT, GREET_NAME, GREET_INFO, GREET_POLICY, GREET_SUBSCRIBE, GREETINGS };

struct rd_conn {
  struct sk_loop *loop;
  const struct rd_config *config;
  struct rd_conn_events events;
  bool subscriber;
  enum stage stage;
  struct sk_stream *stream;
  struct rd_reader *reader;
  struct sk_timer *again;   /* the next try */
  struct sk_timer *watch;   /* runs while replies are owed */
  size_t owed;              /* replies */
  bool heard;               /* bytes came since the watch was set */
  int64_t pause_ms;
  enum greeting greetings[GREETINGS];
  size_t greetings_n, greeted;
  bool warned;              /* of maxmemory-policy */
  bool *freed;
};

static void dial(struct rd_conn *c, bool at_once);

/* -- down and up again ------------------------------------------------------------------------------------------------------ */

static void on_again(void *ctx) { dial(ctx, false); }

static void go_down(struct rd_conn *c, const struct sk_err *err) {
  if (c->stage == DOWN) return;
  bool was_ready = c->stage == READY;
  c->stage = DOWN;
  sk_stream_free(c->stream);
  c->stream = NULL;
  sk_rd_reader_free(c->reader);
  c->reader = NULL;
  c->owed = 0;
  sk_timer_stop(c->watch);
  if (was_ready) {
    c->pause_ms = 0; /* at once, but not all clients in the same moment */
    sk_timer_start(c->again, (int64_t)(sk_id_random() % 10));
  } else {
    c->pause_ms = c->pause_ms ? c->pause_ms * 2 : SK_STORE_BACKOFF_MIN_MS;
    if (c->pause_ms > SK_STORE_BACKOFF_MAX_MS) c->pause_ms = SK_STORE_BACKOFF_MAX_MS;
    sk_timer_start(c->again, c->pause_ms / 2 + (int64_t)(sk_id_random() % (uint64_t)(c->pause_ms / 2 + 1)));
  }
  struct sk_err why = *err; /* may be the stream's own */
  c->events.down(c->events.ctx, &why);
}

static void on_watch(void *ctx) {
  struct rd_conn *c = ctx;
  if (c->heard && c->stage != DIALING) {
    c->heard = false;
    sk_timer_start(c->watch, c->config->timeout_ms);
    return;
  }
  if (c->subscriber && c->stage == READY && c->owed == 0) {
    struct rd_command ping = { 0 };
    sk_rd_arg_c(&ping, "PING");
    if (sk_rd_command_end(&ping, sk_stream_out(c->stream))) c->owed = 1;
    sk_buf_fini(&ping.args);
    sk_timer_start(c->watch, c->config->timeout_ms);
    return;
  }
  struct sk_err err;
  sk_err_set(&err, SK_EUNAVAILABLE, "%s: no answer within %.1f s", c->config->shown, (double)c->config->timeout_ms / 1000.0);
  go_down(c, &err);
}

void sk_rd_conn_expect(struct rd_conn *c, size_t replies) {
  if (c->owed == 0 && replies > 0) {
    c->heard = false;
    sk_timer_start(c->watch, c->config->timeout_ms);
  }
  c->owed += replies;
}

static void count_reply(struct rd_conn *c) {
  if (c->owed > 0 && --c->owed > 0) return;
  if (c->subscriber && c->stage == READY)
    sk_timer_start(c->watch, PING_MS);
  else
    sk_timer_stop(c->watch);
}

/* -- greeting --------------------------------------------------------------------------------------------------------------- */

static void greet(struct rd_conn *c, struct rd_command *command, enum greeting g) {
  if (sk_rd_command_end(command, sk_stream_out(c->stream))) c->greetings[c->greetings_n++] = g;
}

static void on_opened(void *ctx) {
  struct rd_conn *c = ctx;
  const struct rd_config *config = c->config;
  struct rd_command m = { 0 };
  c->stage = GREETING;
  c->greetings_n = c->greeted = 0;
  if (config->url.password.n) {
    sk_rd_arg_c(&m, "AUTH");
    if (config->url.user.n) sk_rd_arg(&m, config->url.user);
    sk_rd_arg(&m, config->url.password);
    greet(c, &m, GREET_AUTH);
  }
  if (config->db != 0) {
    sk_rd_arg_c(&m, "SELECT");
    sk_rd_arg_int(&m, config->db);
    greet(c, &m, GREET_SELECT);
  }
  sk_rd_arg_c(&m, "CLIENT");
  sk_rd_arg_c(&m, "SETNAME");
  sk_rd_arg_c(&m, "skein");
  greet(c, &m, GREET_NAME);
  sk_rd_arg_c(&m, "INFO");
  greet(c, &m, GREET_INFO);
  if (c->subscriber) {
    sk_rd_arg_c(&m, "SUBSCRIBE");
    sk_rd_arg(&m, config->channel);
    greet(c, &m, GREET_SUBSCRIBE);
  } else {
    sk_rd_arg_c(&m, "CONFIG");
    sk_rd_arg_c(&m, "GET");
    sk_rd_arg_c(&m, "maxmemory-policy");
    greet(c, &m, GREET_POLICY);
  }
  sk_buf_fini(&m.args);
  sk_timer_stop(c->watch);
  sk_rd_conn_expect(c, c->greetings_n);
}

/* The value of "name:value\r\n" in what INFO says. */
static struct sk_str info_field(struct sk_str info, const char *name) {
  size_t n = strlen(name);
  for (const char *at = info.p, *end = info.p + info.n; at < end;) {
    const char *eol = memchr(at, '\r', (size_t)(end - at));
    if (eol == NULL) eol = end;
    size_t line = (size_t)(eol - at);
    if (line > n && memcmp(at, name, n) == 0 && at[n] == ':') return sk_str(at + n + 1, line - n - 1);
    at = eol + 2;
  }
  return sk_str(NULL, 0);
}

static enum sk_code check_version(const struct rd_conn *c, struct sk_str info, struct sk_err *err) {
  struct sk_str version = info_field(info, "redis_version");
  int major = 0, minor = 0;
  char text[32];
  snprintf(text, sizeof text, "%.*s", SK_STR_ARG(sk_str_head(version, sizeof text - 1)));
  if (sscanf(text, "%d.%d", &major, &minor) != 2) return SK_OK; /* not for us to judge */
  if (major > VERSION_MIN_MAJOR || (major == VERSION_MIN_MAJOR && minor >= VERSION_MIN_MINOR)) return SK_OK;
  return sk_err_set(err, SK_EUNSUPPORTED, "%s: Redis %s, expected %d.%d or newer", c->config->shown, text, VERSION_MIN_MAJOR, VERSION_MIN_MINOR);
}

static void check_policy(struct rd_conn *c, const struct rd_reply *reply) {
  struct sk_str policy = sk_rd_text(reply, 1);
  if (policy.n == 0 || sk_str_eq_c(policy, "noeviction") || c->warned || c->config->log == NULL) return;
  c->warned = true;
  sk_logf(c->config->log, SK_LOG_WARN, "%s: maxmemory-policy is \"%.*s\", expected \"noeviction\": Redis may throw jobs away when its memory is full",
          c->config->shown, SK_STR_ARG(policy));
}

static enum sk_code check_greeting(struct rd_conn *c, enum greeting g, const struct rd_reply *reply, struct sk_err *err) {
  bool failed = reply->type == RD_ERROR;
  switch (g) {
    case GREET_NAME:
      return SK_OK;
    case GREET_POLICY:
      if (!failed) check_policy(c, reply);
      return SK_OK;
    case GREET_INFO:
      if (!failed) return check_version(c, reply->text, err);
      if (!sk_str_starts(reply->text, "LOADING")) return SK_OK; /* may be forbidden */
      break;
    case GREET_AUTH:
    case GREET_SELECT:
    case GREET_SUBSCRIBE:
    case GREETINGS:
      if (!failed) return SK_OK;
      break;
  }
  static const char *const what[] = { [GREET_AUTH] = "AUTH", [GREET_SELECT] = "SELECT", [GREET_INFO] = "INFO", [GREET_SUBSCRIBE] = "SUBSCRIBE" };
  return sk_err_set(err, SK_EUNAVAILABLE, "%s: %s: %.*s", c->config->shown, what[g], SK_STR_ARG(sk_str_head(reply->text, 200)));
}

static void take_greeting(struct rd_conn *c, const struct rd_reply *reply) {
  struct sk_err err = { 0 };
  enum sk_code code = check_greeting(c, c->greetings[c->greeted], reply, &err);
  count_reply(c);
  if (code != SK_OK) {
    go_down(c, &err);
    return;
  }
  if (++c->greeted < c->greetings_n) return;
  c->stage = READY;
  c->pause_ms = 0;
  if (c->subscriber) sk_timer_start(c->watch, PING_MS);
  c->events.ready(c->events.ctx);
}

/* -- bytes ------------------------------------------------------------------------------------------------------------------ */

static void on_bytes(void *ctx, struct sk_str in) {
  struct rd_conn *c = ctx;
  struct sk_err err = { 0 };
  bool freed = false;
  c->freed = &freed;
  c->heard = true;
  enum sk_code code = sk_rd_reader_feed(c->reader, in, &err);
  while (code == SK_OK && !freed && c->reader) {
    struct rd_reply *reply;
    struct sk_arena arena = { 0 };
    code = sk_rd_reader_next(c->reader, &reply, &arena, &err);
    if (code != SK_OK || reply == NULL) break;
    if (c->stage == GREETING) {
      take_greeting(c, reply);
      sk_arena_fini(&arena);
    } else {
      bool pong = c->subscriber && sk_rd_number(reply, 1) == 0 && sk_str_eq_c(sk_rd_text(reply, 0), "pong");
      if (!c->subscriber || pong) count_reply(c);
      if (pong)
        sk_arena_fini(&arena);
      else
        c->events.reply(c->events.ctx, reply, &arena);
    }
  }
  if (freed) return;
  c->freed = NULL;
  if (code != SK_OK) go_down(c, &err);
}

static void on_closed(void *ctx, const struct sk_err *err) { go_down(ctx, err); }

static void dial(struct rd_conn *c, bool at_once) {
  struct sk_err err = { 0 };
  c->stage = DIALING;
  c->reader = sk_rd_reader_new();
  const struct sk_stream_options options = {
    .host = c->config->host,
    .port = c->config->port,
    .path = c->config->path,
    .connect_ms = c->config->timeout_ms,
    .at_once = at_once,
    .events = { .opened = on_opened, .bytes = on_bytes, .closed = on_closed, .ctx = c },
  };
  if (c->reader) c->stream = sk_stream_new(c->loop, &options, &err);
  if (c->stream != NULL) return;
  sk_err_set(&err, SK_ENOMEM, "%s: out of memory", c->config->shown);
  go_down(c, &err);
}

/* -- the connection ---------------------------------------------------------------------------------------------------------- */

struct rd_conn *sk_rd_conn_new(struct sk_loop *loop, const struct rd_config *config, bool subscriber, const struct rd_conn_events *events) {
  struct rd_conn *c = calloc(1, sizeof *c);
  if (c == NULL) return NULL;
  *c = (struct rd_conn){ .loop = loop, .config = config, .events = *events, .subscriber = subscriber };
  c->again = sk_timer_new(loop, on_again, c);
  c->watch = sk_timer_new(loop, on_watch, c);
  if (c->again && c->watch) {
    sk_timer_unref(c->again);
    sk_timer_unref(c->watch);
    return c;
  }
  sk_rd_conn_free(c);
  return NULL;
}

void sk_rd_conn_start(struct rd_conn *c, bool at_once) { dial(c, at_once); }

void sk_rd_conn_wait(struct rd_conn *c, int64_t timeout_ms) {
  if (c->stream) sk_stream_wait(c->stream, timeout_ms);
}

void sk_rd_conn_drop(struct rd_conn *c, const struct sk_err *err) { go_down(c, err); }
bool sk_rd_conn_is_ready(const struct rd_conn *c) { return c->stage == READY; }
bool sk_rd_conn_is_down(const struct rd_conn *c) { return c->stage == DOWN; }
struct sk_buf *sk_rd_conn_out(struct rd_conn *c) { return sk_stream_out(c->stream); }

void sk_rd_conn_free(struct rd_conn *c) {
  if (c == NULL) return;
  if (c->freed) *c->freed = true;
  sk_stream_free(c->stream);
  sk_rd_reader_free(c->reader);
  sk_timer_free(c->again);
  sk_timer_free(c->watch);
  free(c);
}
