/* redis/conn.c - one connection to Redis: made, greeted, lost and made again, with growing pauses.
 *
 *                  ┌──────── sentinel: "the master is at ..."
 *   DOWN ──► ASKING ──► DIALING ──► GREETING ──► READY
 *     ▲         │           │  ▲        │          │       any failure: `down`, and after the pause another
 *     └─────────┴───────────┴──┼────────┴──────────┘       try, at the next of the URL's hosts
 *                              └── cluster: "MOVED slot host:port"
 *
 * The greeting sends AUTH, SELECT and INFO.  A subscriber then sends SUBSCRIBE.  Any other connection makes sure that
 * the server is the master, tries whether transactions are allowed, makes sure that a cluster's node has our slot (all
 * our keys have one hash tag, so there is one slot), and asks which rights are lacking.  A server that owes a reply and
 * sends nothing for the timeout counts as gone; a subscriber, which is owed nothing, sends a question now and then. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/clock.h"
#include "base/id.h"
#include "io/loop.h"
#include "io/stream.h"
#include "store/redis/errors.h"
#include "store/redis/redis.h"

enum { PING_MS = 10000, PAUSE_MAX_MS = 1000, VERSION_MIN_MAJOR = 6, VERSION_MIN_MINOR = 2 };

enum stage { DOWN, ASKING, DIALING, GREETING, READY };
enum greeting {
  GREET_AUTH,
  GREET_SELECT,
  GREET_NAME,
  GREET_INFO,
  GREET_POLICY,
  GREET_TIME,
  GREET_MULTI,
  GREET_EXEC,
  GREET_SLOT,
  GREET_RIGHTS,
  GREET_SUBSCRIBE,
  GREETINGS
};

struct rd_conn {
  struct sk_loop *loop;
  const struct rd_config *config;
  struct rd_conn_events events;
  bool subscriber;
  enum stage stage;
  struct sk_stream *stream;
  struct rd_reader *reader;
  struct sk_timer *again; /* the next try */
  struct sk_timer *watch; /* runs while replies are owed */
  size_t owed;            /* replies */
  bool heard;             /* bytes came since the watch was set */
  int64_t pause_ms;
  enum greeting greetings[GREETINGS];
  size_t greetings_n, greeted;
  int64_t opened_us; /* when the greeting was sent; monotonic */
  char host[256];    /* where to dial */
  uint16_t port;
  size_t hosts_at; /* of the URL's hosts, the one tried last */
  unsigned moves;  /* since it was last ready: two nodes may name each other */
  bool at_once;
  bool warned;          /* of maxmemory-policy */
  bool can_multi;       /* this user may use transactions */
  bool auth_owed;       /* the sentinel's next reply is to AUTH */
  int64_t try_until_ms; /* while it is not ready: when this host's time is over; monotonic */
  uint64_t taken;       /* bytes that the server had taken when the watch looked last, */
  uint64_t on_the_way;  /* ... and that it will have taken with the requests of then */
  bool *freed;
};

enum { MOVES_MAX = 8 };

/* How long one host may take: one silent host at the head of a list must not use up the whole time. */
static int64_t host_ms(const struct rd_conn *c) {
  size_t hosts = c->config->url.hosts_n;
  return c->stage == READY || hosts < 2 ? c->config->timeout_ms : c->config->timeout_ms / (int64_t)(hosts + 1);
}

static void begin(struct rd_conn *c, bool at_once);
static void dial_as(struct rd_conn *c, enum stage stage);

/* -- down and up again --------------------------------------------------------------------------------------------- */

static void on_again(void *ctx) { begin(ctx, false); }

static void hang_up(struct rd_conn *c) {
  sk_stream_free(c->stream);
  c->stream = NULL;
  sk_rd_reader_free(c->reader);
  c->reader = NULL;
  c->owed = 0;
  c->taken = c->on_the_way = 0;
  c->auth_owed = false;
  sk_timer_stop(c->watch);
}

static void go_down(struct rd_conn *c, const struct sk_err *err) {
  if (c->stage == DOWN) return;
  bool was_ready = c->stage == READY;
  c->stage = DOWN;
  c->moves = 0;
  hang_up(c);
  if (c->at_once && !was_ready &&
      c->hosts_at < c->config->url.hosts_n) { /* whoever waits for the first try wants all hosts tried */
    begin(c, true);
    return;
  }
  c->at_once = false;
  if (was_ready) {
    c->pause_ms = 0; /* at once, but not all clients in the same moment */
    sk_timer_start(c->again, (int64_t)(sk_id_random() % 10));
  } else {
    c->pause_ms = c->pause_ms ? c->pause_ms * 2 : SK_STORE_BACKOFF_MIN_MS;
    if (c->pause_ms > PAUSE_MAX_MS) c->pause_ms = PAUSE_MAX_MS;
    sk_timer_start(c->again, c->pause_ms / 2 + (int64_t)(sk_id_random() % (uint64_t)(c->pause_ms / 2 + 1)));
  }
  struct sk_err why = *err; /* may be the stream's own */
  c->events.down(c->events.ctx, &why);
}

/* Notes a large request that is on its way: the server is alive while it takes its bytes. */
static void note_large(struct rd_conn *c) {
  enum { LARGE_BYTES = 64 * 1024 };
  if (c->stream == NULL || c->stage != READY || sk_stream_out(c->stream)->n <= LARGE_BYTES) return;
  if (c->taken >= c->on_the_way) c->taken = sk_stream_taken(c->stream);
  c->on_the_way = sk_stream_appended(c->stream);
}

/* True when the server has sent anything since the last question, or has taken more of a large request that was on its
 * way then.  Bytes of later requests do not count, because a network that swallows everything takes them too. */
static bool shows_life(struct rd_conn *c) {
  if (c->heard) {
    c->heard = false;
    return true;
  }
  if (c->stream == NULL || c->stage != READY || c->taken >= c->on_the_way) return false;
  uint64_t before = c->taken;
  c->taken = sk_stream_taken(c->stream);
  return c->taken > before;
}

/* What may be wrong with a server that took the connection and says nothing. */
static const char *what_tls(const struct rd_conn *c) {
  if (c->stream == NULL || !sk_stream_awaits_tls(c->stream)) return "";
  return ": it took the connection and does not answer TLS; for a port without TLS write redis:// in place of "
         "rediss://";
}

void sk_rd_conn_tell_late(const struct rd_conn *c, int64_t ms, struct sk_err *err) {
  sk_err_set(err, SK_EUNAVAILABLE, "%s: no answer within %.1f s%s", c->config->shown, (double)ms / 1000.0, what_tls(c));
}

static void on_watch(void *ctx) {
  struct rd_conn *c = ctx;
  if (shows_life(c)) {
    sk_timer_start(c->watch, host_ms(c));
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
  sk_rd_conn_tell_late(c, c->config->timeout_ms, &err);
  go_down(c, &err);
}

void sk_rd_conn_expect(struct rd_conn *c, size_t replies) {
  if (c->owed == 0 && replies > 0) {
    c->heard = false;
    sk_timer_start(c->watch, host_ms(c));
  }
  c->owed += replies;
  note_large(c);
}

static void count_reply(struct rd_conn *c) {
  if (c->owed > 0 && --c->owed > 0) return;
  if (c->subscriber && c->stage == READY)
    sk_timer_start(c->watch, PING_MS);
  else
    sk_timer_stop(c->watch);
}

/* -- greeting ------------------------------------------------------------------------------------------------------ */

static void greet(struct rd_conn *c, struct rd_command *command, enum greeting g) {
  if (sk_rd_command_end(command, sk_stream_out(c->stream))) c->greetings[c->greetings_n++] = g;
}

static void ask_sentinel(struct rd_conn *c) {
  struct rd_command m = { 0 };
  const struct rd_config *config = c->config;
  if (config->sentinel_password.n) {
    sk_rd_arg_c(&m, "AUTH");
    if (config->sentinel_user.n) sk_rd_arg(&m, config->sentinel_user);
    sk_rd_arg(&m, config->sentinel_password);
    c->auth_owed = sk_rd_command_end(&m, sk_stream_out(c->stream));
    if (c->auth_owed) sk_rd_conn_expect(c, 1);
  }
  sk_rd_arg_c(&m, "SENTINEL");
  sk_rd_arg_c(&m, "get-master-addr-by-name");
  sk_rd_arg_c(&m, c->config->master);
  if (sk_rd_command_end(&m, sk_stream_out(c->stream))) sk_rd_conn_expect(c, 1);
  sk_buf_fini(&m.args);
}

/* Asks which rights are missing, before a script could fail for want of one. */
static void greet_rights(struct rd_conn *c, struct rd_command *m) {
  const struct rd_config *config = c->config;
  sk_rd_arg_c(m, "EVAL");
  sk_rd_arg(m, config->rights);
  sk_rd_arg_int(m, 1);
  sk_rd_arg(m, config->channel); /* no key, but of our prefix */
  sk_rd_arg(m, config->channel);
  greet(c, m, GREET_RIGHTS);
}

static void on_opened(void *ctx) {
  struct rd_conn *c = ctx;
  const struct rd_config *config = c->config;
  if (c->stage == ASKING) {
    ask_sentinel(c);
    return;
  }
  struct rd_command m = { 0 };
  c->stage = GREETING;
  c->opened_us = sk_clock_mono_us();
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
    sk_rd_arg_c(&m, "TIME");
    greet(c, &m, GREET_TIME);
    sk_rd_arg_c(&m, "MULTI");
    greet(c, &m, GREET_MULTI);
    sk_rd_arg_c(&m, "EXEC");
    greet(c, &m, GREET_EXEC);
  }
  if (config->cluster && !c->subscriber) {
    sk_rd_arg_c(&m, "EXISTS");
    sk_rd_arg(&m, config->channel); /* no key, but of our slot */
    greet(c, &m, GREET_SLOT);
  }
  if (!c->subscriber) greet_rights(c, &m);
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
  return sk_err_set(err, SK_EUNSUPPORTED, "%s: Redis %s, expected %d.%d or newer", c->config->shown, text,
                    VERSION_MIN_MAJOR, VERSION_MIN_MINOR);
}

static enum sk_code check_info(const struct rd_conn *c, struct sk_str info, struct sk_err *err) {
  enum sk_code code = check_version(c, info, err);
  if (code != SK_OK || c->subscriber || !sk_str_eq_c(info_field(info, "role"), "slave")) return code;
  if (c->config->cluster) return SK_OK; /* it will name its master */
  return sk_err_set(err, SK_EUNAVAILABLE, "%s: %s:%u is a replica (READONLY), expected the master", c->config->shown,
                    c->host, (unsigned)c->port);
}

static void check_policy(struct rd_conn *c, const struct rd_reply *reply) {
  struct sk_str policy = sk_rd_text(reply, 1);
  if (policy.n == 0 || sk_str_eq_c(policy, "noeviction") || c->warned || c->config->log == NULL) return;
  c->warned = true;
  sk_logf(
      c->config->log, SK_LOG_WARN,
      "%s: maxmemory-policy is \"%.*s\", expected \"noeviction\": Redis may throw jobs away when its memory is full",
      c->config->shown, SK_STR_ARG(policy));
}

/* The user whom the server takes us for, for messages. */
static struct sk_str user_of(const struct rd_conn *c) {
  return c->config->url.user.n ? c->config->url.user : SK_STR_LIT("default");
}

static enum sk_code lacks(const struct rd_conn *c, struct sk_str what, struct sk_err *err) {
  return sk_err_set(
      err, SK_EUNAVAILABLE,
      "%s: user \"%.*s\" has no right to %.*s (docs/PROTOCOL.md, \"Rights\", has the rule for ACL SETUSER)",
      c->config->shown, SK_STR_ARG(sk_str_head(user_of(c), 60)), SK_STR_ARG(what));
}

/* Reads the reply of the script `rights`.  Where EVAL itself is not allowed, scripts are sent by SCRIPT LOAD; other
 * errors are not about rights. */
static enum sk_code check_rights(struct rd_conn *c, const struct rd_reply *reply, struct sk_err *err) {
  struct sk_buf missing = { 0 };
  if (reply->type == RD_ERROR) {
    if (sk_rd_errors_classify(reply->text, NULL) != RD_TROUBLE_NO_RIGHT) return SK_OK;
    if (memmem(reply->text.p, reply->text.n, " key", 4) == NULL) { /* no "permissions to access a key": it is EVAL */
      c->can_multi = false;
      return SK_OK;
    }
    sk_buf_addf(&missing, "use keys {%.*s}:*", SK_STR_ARG(c->config->prefix));
  }
  for (size_t i = 0; reply->type == RD_ARRAY && i < reply->n; i++)
    sk_buf_addf(&missing, "%s%.*s", i ? ", " : "", SK_STR_ARG(sk_rd_text(reply, i)));
  enum sk_code code = missing.n ? lacks(c, sk_str_head(sk_buf_str(&missing), 250), err) : SK_OK;
  sk_buf_fini(&missing);
  return code;
}

/* While the slot moves its old owner says ASK for a key that is not there, and is the one to wait at. */
static bool is_moving(const struct rd_reply *reply) {
  return sk_rd_errors_classify(reply->text, NULL) == RD_TROUBLE_SLOT && !sk_str_starts(reply->text, "CLUSTERDOWN");
}

static void take_time(struct rd_conn *c, const struct rd_reply *reply) {
  int64_t server_us;
  if (sk_rd_time_read(reply, &server_us)) c->events.clock(c->events.ctx, server_us, c->opened_us, sk_clock_mono_us());
}

static enum sk_code check_greeting(struct rd_conn *c, enum greeting g, const struct rd_reply *reply,
                                   struct sk_err *err) {
  bool failed = reply->type == RD_ERROR;
  switch (g) {
  case GREET_NAME: return SK_OK;
  case GREET_POLICY:
    if (!failed) check_policy(c, reply);
    return SK_OK;
  case GREET_TIME:
    if (!failed) take_time(c, reply);
    return SK_OK;
  case GREET_MULTI: c->can_multi = !failed; return SK_OK;
  case GREET_EXEC: c->can_multi = c->can_multi && !failed; return SK_OK;
  case GREET_INFO:
    if (!failed) return check_info(c, reply->text, err);
    if (sk_str_starts(reply->text, "NOPERM")) return SK_OK;
    break;
  case GREET_RIGHTS: return check_rights(c, reply, err);
  case GREET_SLOT:
    if (!failed || is_moving(reply)) return SK_OK;
    break;
  case GREET_AUTH:
  case GREET_SELECT:
  case GREET_SUBSCRIBE:
  case GREETINGS:
    if (!failed) return SK_OK;
    break;
  }
  static const char *const what[] = { [GREET_AUTH] = "AUTH",
                                      [GREET_SELECT] = "SELECT",
                                      [GREET_INFO] = "INFO",
                                      [GREET_SLOT] = "EXISTS",
                                      [GREET_SUBSCRIBE] = "SUBSCRIBE" };
  return sk_err_set(err, SK_EUNAVAILABLE, "%s: %s: %.*s", c->config->shown, what[g],
                    SK_STR_ARG(sk_str_head(reply->text, 200)));
}

/* "MOVED 3999 127.0.0.1:6381": takes the address over. */
static bool read_moved(struct rd_conn *c, struct sk_str text) {
  const char *space = text.n ? memrchr(text.p, ' ', text.n) : NULL,
             *colon = text.n ? memrchr(text.p, ':', text.n) : NULL;
  if (!sk_str_starts(text, "MOVED ") || colon == NULL || colon < space) return false;
  size_t host_n = (size_t)(colon - space - 1);
  unsigned port = 0;
  for (const char *p = colon + 1; p < text.p + text.n && *p >= '0' && *p <= '9'; p++)
    port = port * 10 + (unsigned)(*p - '0');
  if (port == 0 || port > UINT16_MAX || host_n >= sizeof c->host) return false;
  if (host_n > 0) snprintf(c->host, sizeof c->host, "%.*s", (int)host_n, space + 1); /* else the host that says so */
  c->port = (uint16_t)port;
  return true;
}

/* The sentinel's answers: to AUTH, and then the master's address, or nil. */
static void take_address(struct rd_conn *c, const struct rd_reply *reply) {
  struct sk_str host = sk_rd_text(reply, 0), port = sk_rd_text(reply, 1);
  struct sk_err err;
  bool auth = c->auth_owed;
  c->auth_owed = false;
  if (auth && reply->type != RD_ERROR) {
    count_reply(c);
    return;
  }
  if (auth || (reply->type == RD_ERROR && sk_rd_errors_classify(reply->text, NULL) == RD_TROUBLE_NO_RIGHT)) {
    sk_err_set(&err, SK_EUNAVAILABLE,
               "%s: sentinel %s:%u: %.*s (sentinel_user and sentinel_password of the URL are for sentinels)",
               c->config->shown, c->host, (unsigned)c->port, SK_STR_ARG(sk_str_head(reply->text, 200)));
    go_down(c, &err);
    return;
  }
  if (host.n == 0 || host.n >= sizeof c->host || port.n == 0) {
    sk_err_set(&err, SK_EUNAVAILABLE, "%s: sentinel %s:%u does not know a master of that name%s%.*s", c->config->shown,
               c->host, (unsigned)c->port, reply->type == RD_ERROR ? ": " : "",
               reply->type == RD_ERROR ? (int)reply->text.n : 0, reply->text.p ? reply->text.p : "");
    go_down(c, &err);
    return;
  }
  snprintf(c->host, sizeof c->host, "%.*s", SK_STR_ARG(host));
  c->port = (uint16_t)strtoul(port.p, NULL, 10); /* texts end in a NUL */
  hang_up(c);
  dial_as(c, DIALING);
}

static void take_greeting(struct rd_conn *c, const struct rd_reply *reply) {
  struct sk_err err = { 0 };
  if (c->greetings[c->greeted] == GREET_SLOT && reply->type == RD_ERROR && c->moves < MOVES_MAX &&
      read_moved(c, reply->text)) {
    c->moves++;
    hang_up(c);
    dial_as(c, DIALING);
    return;
  }
  enum sk_code code = check_greeting(c, c->greetings[c->greeted], reply, &err);
  count_reply(c);
  if (code != SK_OK) {
    go_down(c, &err);
    return;
  }
  if (++c->greeted < c->greetings_n) return;
  c->stage = READY;
  c->pause_ms = 0;
  c->moves = 0;
  if (c->subscriber) sk_timer_start(c->watch, PING_MS);
  c->events.ready(c->events.ctx);
}

/* -- bytes --------------------------------------------------------------------------------------------------------- */

/* What a port with TLS answers to a command of Redis: an alert of TLS, or nothing and an end. */
static bool is_tls_alert(const struct rd_conn *c, struct sk_str in) {
  return c->config->tls == NULL && in.n > 1 && in.p[0] == 0x15 && in.p[1] == 0x03;
}

static enum sk_code tell_tls_port(const struct rd_conn *c, struct sk_err *err) {
  return sk_err_set(err, SK_EUNAVAILABLE, "%s: the port answers with TLS: write rediss:// in place of redis://",
                    c->config->shown);
}

static void on_bytes(void *ctx, struct sk_str in) {
  struct rd_conn *c = ctx;
  struct sk_err err = { 0 };
  bool freed = false;
  c->freed = &freed;
  bool first = !c->heard && c->stage != READY;
  c->heard = true;
  enum sk_code code = first && is_tls_alert(c, in) ? tell_tls_port(c, &err) : sk_rd_reader_feed(c->reader, in, &err);
  while (code == SK_OK && !freed && c->reader) {
    struct rd_reply *reply;
    struct sk_arena arena = { 0 };
    code = sk_rd_reader_next(c->reader, &reply, &arena, &err);
    if (code != SK_OK || reply == NULL) break;
    if (c->stage == GREETING || c->stage == ASKING) {
      bool asking = c->stage == ASKING && c->auth_owed; /* one more reply of the same sentinel */
      if (c->stage == ASKING)
        take_address(c, reply);
      else
        take_greeting(c, reply);
      sk_arena_fini(&arena);
      if (c->stage != READY && c->stage != GREETING && !(c->stage == ASKING && asking))
        break; /* another connection now, or none */
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

static void on_closed(void *ctx, const struct sk_err *why) {
  struct rd_conn *c = ctx;
  struct sk_err err = *why;
  bool mute =
      (c->stage == GREETING || c->stage == ASKING) && !c->heard && c->owed > 0; /* it was open, and said nothing */
  if (mute && c->config->tls == NULL && c->config->path == NULL)
    sk_err_set(&err, why->code,
               "%s, before it said anything: if the port speaks TLS, write rediss:// in place of redis://",
               why->message);
  if (c->config->tls && strstr(why->message, "wrong version number"))
    sk_err_set(&err, why->code, "%s: what answers does not speak TLS: write redis:// in place of rediss://",
               why->message);
  go_down(c, &err);
}

static void dial_as(struct rd_conn *c, enum stage stage) {
  struct sk_err err = { 0 };
  c->stage = stage;
  c->try_until_ms = sk_clock_mono_ms() + host_ms(c);
  c->reader = sk_rd_reader_new();
  const struct sk_stream_options options = {
    .host = c->host,
    .port = c->port,
    .path = c->config->path,
    .tls = c->config->tls,
    .connect_ms = host_ms(c),
    .at_once = c->at_once,
    .events = { .opened = on_opened, .bytes = on_bytes, .closed = on_closed, .ctx = c },
  };
  if (c->reader) c->stream = sk_stream_new(c->loop, &options, &err);
  if (c->stream != NULL) return;
  sk_err_set(&err, SK_ENOMEM, "%s: out of memory", c->config->shown);
  go_down(c, &err);
}

/* A new try, at the next of the URL's hosts. */
static void begin(struct rd_conn *c, bool at_once) {
  const struct sk_url *url = &c->config->url;
  if (url->hosts_n) {
    const struct sk_url_host *host = &url->hosts[c->hosts_at++ % url->hosts_n];
    snprintf(c->host, sizeof c->host, "%.*s", SK_STR_ARG(host->name));
    c->port = host->port;
  }
  c->at_once = at_once;
  dial_as(c, c->config->master ? ASKING : DIALING);
}

/* -- the connection ------------------------------------------------------------------------------------------------ */

struct rd_conn *sk_rd_conn_new(struct sk_loop *loop, const struct rd_config *config, bool subscriber,
                               const struct rd_conn_events *events) {
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

void sk_rd_conn_start(struct rd_conn *c, bool at_once) { begin(c, at_once); }

/* No timer runs meanwhile, so the time of a host that is tried is kept here. */
void sk_rd_conn_wait(struct rd_conn *c, int64_t timeout_ms) {
  bool tried = c->stage != READY && c->stage != DOWN;
  int64_t left_ms = tried ? c->try_until_ms - sk_clock_mono_ms() : timeout_ms;
  if (left_ms < 0) left_ms = 0;
  if (c->stream) sk_stream_wait(c->stream, left_ms < timeout_ms ? left_ms : timeout_ms);
  tried = c->stage != READY && c->stage != DOWN;
  if (!tried || sk_clock_mono_ms() < c->try_until_ms) return;
  struct sk_err err;
  sk_err_set(&err, SK_EUNAVAILABLE, "%s: %s:%u: no answer within %.1f s%s", c->config->shown, c->host,
             (unsigned)c->port, (double)host_ms(c) / 1000.0, what_tls(c));
  go_down(c, &err);
}

bool sk_rd_conn_can_multi(const struct rd_conn *c) { return c->can_multi; }
void sk_rd_conn_no_multi(struct rd_conn *c) { c->can_multi = false; }

void sk_rd_conn_drop(struct rd_conn *c, const struct sk_err *err) { go_down(c, err); }

bool sk_rd_conn_move(struct rd_conn *c, struct sk_str moved, bool at_once) {
  if (!read_moved(c, moved)) return false;
  hang_up(c);
  c->at_once = at_once;
  dial_as(c, DIALING);
  return true;
}

bool sk_rd_conn_is_ready(const struct rd_conn *c) { return c->stage == READY; }
bool sk_rd_conn_is_down(const struct rd_conn *c) { return c->stage == DOWN; }
struct sk_buf *sk_rd_conn_out(struct rd_conn *c) {
  return sk_stream_out(c->stream);
}

void sk_rd_conn_free(struct rd_conn *c) {
  if (c == NULL) return;
  if (c->freed) *c->freed = true;
  sk_stream_free(c->stream);
  sk_rd_reader_free(c->reader);
  sk_timer_free(c->again);
  sk_timer_free(c->watch);
  free(c);
}
