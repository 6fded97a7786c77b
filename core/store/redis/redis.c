/* redis.c - the Redis store's handle: its URL, open and close, the slots, and the parts that all its ops share
 * (redis.h). */
#include "store/redis/redis.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/id.h"
#include "redis_scripts.h"
#include "io/loop.h"
#include "io/tls.h"

enum { TIMEOUT_MS = 5000, PREFIX_BYTES_MAX = 100 };

/* -- the operations ------------------------------------------------------------------------------------------------ */

static enum rd_next load_parse(struct rd_store *s, struct sk_op *op, const struct rd_reply *reply) {
  (void)s, (void)op, (void)reply;
  return RD_DONE;
}

const struct rd_verb sk_rd_verbs[] = {
  [RD_ENQUEUE] = { sk_rd_enqueue_build, sk_rd_enqueue_parse, false },
  [RD_FETCH] = { sk_rd_fetch_build, sk_rd_fetch_parse, false },
  [RD_SETTLE] = { sk_rd_settle_build, sk_rd_settle_parse, false },
  [RD_BEAT] = { sk_rd_beat_build, sk_rd_beat_parse, false },
  [RD_GET] = { sk_rd_get_build, sk_rd_get_parse, true },
  [RD_LIST] = { sk_rd_list_build, sk_rd_list_parse, true },
  [RD_COUNT] = { sk_rd_count_build, sk_rd_count_parse, true },
  [RD_CHANGE] = { sk_rd_change_build, sk_rd_change_parse, false },
  [RD_CHANGE_MATCHING] = { sk_rd_change_build, sk_rd_change_parse, false },
  [RD_PAUSE] = { sk_rd_pause_build, sk_rd_pause_parse, false },
  [RD_PROGRESS] = { sk_rd_progress_build, sk_rd_progress_parse, false },
  [RD_DECLARE] = { sk_rd_declare_build, sk_rd_declare_parse, false },
  [RD_TASKS] = { sk_rd_tasks_build, sk_rd_tasks_parse, true },
  [RD_OPEN] = { sk_rd_open_build, sk_rd_open_parse, false },
  [RD_RECOVER] = { sk_rd_recover_build, sk_rd_recover_parse, false },
  [RD_ENTER] = { sk_rd_enter_build, sk_rd_enter_parse, false },
  [RD_LOAD] = { NULL, load_parse, false },
  [RD_RENEW] = { sk_rd_renew_build, sk_rd_renew_parse, false },
  [RD_TIME] = { sk_rd_time_build, sk_rd_time_parse, true },
  [RD_ENQUEUE_ALL] = { sk_rd_enqueue_build, sk_rd_enqueue_parse, false },
  [RD_SETTLE_ALL] = { sk_rd_settle_build, sk_rd_settle_parse, false },
  [RD_ENQUEUE_STORED] = { sk_rd_stored_build, sk_rd_stored_parse, false,
                          .replies = 4 /* MULTI, HSET, EVAL, EXEC, and each RPUSH */ },
};

/* -- slots --------------------------------------------------------------------------------------------------------- */

static struct rd_store *of(struct sk_store *store) { return SK_CONTAINER(store, struct rd_store, store); }

static enum sk_code check_engine(struct sk_store *store, const char *what, struct sk_err *err) {
  return sk_check_engine(of(store)->engine.n > 0, what, err);
}

static void redis_enqueue(struct sk_store *store, struct sk_enqueue_op *op) {
  op->op.err = (struct sk_err){ 0 };
  enum rd_kind kind = sk_rd_can_store(of(store), op->items, op->items_n) ? RD_ENQUEUE_STORED : RD_ENQUEUE;
  sk_rd_submit(of(store), &op->op, kind, sk_check_enqueue(op->items, op->items_n, &op->op.err));
}

static void redis_fetch(struct sk_store *store, struct sk_fetch_op *op) {
  op->op.err = (struct sk_err){ 0 };
  op->jobs = NULL;
  op->jobs_n = 0;
  op->stops = NULL;
  op->stops_n = 0;
  enum sk_code code = check_engine(store, "fetch", &op->op.err);
  if (code == SK_OK) code = sk_check_fetch(op, &op->op.err);
  sk_rd_submit(of(store), &op->op, RD_FETCH, code);
}

static void redis_settle(struct sk_store *store, struct sk_settle_op *op) {
  op->op.err = (struct sk_err){ 0 };
  enum sk_code code = check_engine(store, "settle", &op->op.err);
  if (code == SK_OK) code = sk_check_settle(op, &op->op.err);
  sk_rd_submit(of(store), &op->op, RD_SETTLE, code);
}

static void redis_beat(struct sk_store *store, struct sk_beat_op *op) {
  op->op.err = (struct sk_err){ 0 };
  op->recovered = 0;
  op->lost = op->moved = op->gone = false;
  sk_rd_submit(of(store), &op->op, RD_BEAT, check_engine(store, "beat", &op->op.err));
}

static void redis_get(struct sk_store *store, struct sk_get_op *op) {
  op->op.err = (struct sk_err){ 0 };
  sk_rd_get(of(store), op);
}

static void redis_list(struct sk_store *store, struct sk_list_op *op) {
  op->op.err = (struct sk_err){ 0 };
  op->views = NULL;
  op->views_n = 0;
  enum sk_code code = sk_check_list(op, &op->op.err);
  if (code == SK_OK)
    sk_rd_list(of(store), op);
  else
    sk_rd_submit(of(store), &op->op, RD_LIST, code);
}

static void on_counted(struct rd_store *s, struct sk_count_op *op, enum sk_code status, void *ctx) {
  (void)ctx;
  sk_rd_answer(s, &op->op, status);
}

static void redis_count(struct sk_store *store, struct sk_count_op *op) {
  op->op.err = (struct sk_err){ 0 };
  sk_rd_submit_in_steps(of(store), &op->op, RD_COUNT);
  sk_rd_count(of(store), op, on_counted, NULL);
}

static void redis_change(struct sk_store *store, struct sk_change_op *op) {
  op->op.err = (struct sk_err){ 0 };
  op->statuses = NULL;
  op->changed = 0;
  if (op->ids_n > 0)
    sk_rd_submit(of(store), &op->op, RD_CHANGE, SK_OK);
  else
    sk_rd_change_by_filter(of(store), op);
}

static void redis_pause(struct sk_store *store, struct sk_pause_op *op) {
  op->op.err = (struct sk_err){ 0 };
  sk_rd_submit(of(store), &op->op, RD_PAUSE, sk_check_pause(op, &op->op.err));
}

static void redis_progress(struct sk_store *store, struct sk_progress_op *op) {
  op->op.err = (struct sk_err){ 0 };
  sk_rd_submit(of(store), &op->op, RD_PROGRESS, check_engine(store, "progress", &op->op.err));
}

static void redis_declare(struct sk_store *store, struct sk_declare_op *op) {
  op->op.err = (struct sk_err){ 0 };
  sk_rd_submit(of(store), &op->op, RD_DECLARE, sk_check_declare(op, &op->op.err));
}

static void redis_tasks(struct sk_store *store, struct sk_tasks_op *op) {
  op->op.err = (struct sk_err){ 0 };
  sk_rd_submit(of(store), &op->op, RD_TASKS, SK_OK);
}

static int64_t redis_now_ms(struct sk_store *store) { return sk_rd_now_ms(of(store)); }
static void redis_backup(struct sk_store *store, struct sk_backup_op *op) {
  struct sk_err *err = &op->op.err;
  *err = (struct sk_err){ 0 };
  enum sk_code code = sk_err_set(
      err, SK_EUNSUPPORTED, "%s: Redis makes its own backups: BGSAVE, and a copy of its dump", of(store)->config.shown);
  sk_rd_submit(of(store), &op->op, RD_TASKS, code);
}

/* -- close --------------------------------------------------------------------------------------------------------- */

static void store_free(struct rd_store *s) {
  sk_rd_ops_free(s);
  sk_watches_fini(&s->watches);
  sk_rd_forget_known(s);
  free(s->known.names);
  free(s->named.names);
  sk_buf_fini(&s->command.args);
  sk_buf_fini(&s->stamped);
  sk_buf_fini(&s->key_args);
  sk_buf_fini(&s->early_error);
  sk_tls_context_free(s->config.tls);
  sk_arena_fini(&s->config.arena);
  free(s);
}

static void on_left(struct sk_op *op, void *ctx) {
  struct rd_store *s = ctx;
  s->left = true;
  if (op->status != SK_OK && s->config.log)
    sk_logf(s->config.log, SK_LOG_WARN, "%s; jobs that this engine still held are ready again when its lease ends",
            op->err.message);
  sk_op_fini(op);
  free(op);
}

static void close_step(struct rd_store *s) {
  if (s->submitted > 0) return;
  struct rd_recover_op *leave = s->left || s->hurried || s->engine.n == 0 ? NULL : calloc(1, sizeof *leave);
  if (leave != NULL) {
    leave->op = (struct sk_op){ .cb = on_left, .ctx = s };
    leave->how = "leave";
    sk_rd_submit_own(s, &leave->op, RD_RECOVER);
    return;
  }
  void (*cb)(void *) = s->close_cb;
  void *cb_ctx = s->close_ctx;
  store_free(s);
  cb(cb_ctx);
}

static void redis_close(struct sk_store *store, void (*cb)(void *ctx), void *ctx) {
  struct rd_store *s = of(store);
  assert(!s->closing && cb != NULL);
  s->closing = true;
  s->close_cb = cb;
  s->close_ctx = ctx;
  sk_timer_start(s->keep_alive, 1000000000);
  sk_async_send(s->wake);
}

static void redis_hurry(struct sk_store *store) { sk_rd_hurry(of(store)); }

static const struct rd_hooks hooks = {
  .stops = sk_rd_life_stops,
  .refused = sk_rd_life_refused,
  .look = sk_rd_life_look,
  .ask_clock = sk_rd_clock_ask,
  .connected_clock = sk_rd_clock_connected,
  .close_step = close_step,
};

static const struct sk_store_ops redis_ops = {
  .scheme = "redis",
  .enqueue = redis_enqueue,
  .fetch = redis_fetch,
  .settle = redis_settle,
  .beat = redis_beat,
  .get = redis_get,
  .list = redis_list,
  .count = redis_count,
  .change = redis_change,
  .pause = redis_pause,
  .progress = redis_progress,
  .declare = redis_declare,
  .tasks = redis_tasks,
  .now_ms = redis_now_ms,
  .backup = redis_backup,
  .close = redis_close,
  .hurry = redis_hurry,
};

/* -- open: the URL ------------------------------------------------------------------------------------------------- */

static enum sk_code bad(const struct rd_config *c, struct sk_err *err, const char *what, struct sk_str value,
                        const char *expected) {
  (void)c;
  return sk_err_set(err, SK_EINVAL, "store URL: %s \"%.*s\": expected %s", what, SK_STR_ARG(sk_str_head(value, 80)),
                    expected);
}

static bool parse_number(struct sk_str s, int64_t max, int64_t *out) {
  *out = 0;
  for (size_t i = 0; i < s.n; i++) {
    if (s.p[i] < '0' || s.p[i] > '9' || (*out = *out * 10 + s.p[i] - '0') > max) return false;
  }
  return s.n > 0;
}

static bool is_prefix(struct sk_str s) {
  for (size_t i = 0; i < s.n; i++) {
    char c = s.p[i];
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
          c == ':' || c == '-'))
      return false;
  }
  return s.n > 0 && s.n <= PREFIX_BYTES_MAX;
}

static bool is_tls(const struct rd_config *c) { return sk_str_starts(c->url.scheme, "rediss"); }

/* Is it that scheme, plain or with TLS: redis+x, rediss+x? */
static bool is_kind(const struct rd_config *c, const char *kind) {
  struct sk_str scheme = c->url.scheme;
  size_t n = is_tls(c) ? sizeof "rediss" - 1 : sizeof "redis" - 1;
  return scheme.n > n && sk_str_eq_c(sk_str(scheme.p + n, scheme.n - n), kind);
}

static enum sk_code read_params(struct rd_config *c, struct sk_err *err) {
  const struct sk_url *url = &c->url;
  struct sk_tls_options tls = { 0 };
  c->prefix = SK_STR_LIT("skein");
  c->timeout_ms = TIMEOUT_MS;
  for (size_t i = 0; i < url->params_n; i++) {
    struct sk_str name = url->params[i].name, value = url->params[i].value;
    int64_t seconds;
    if (sk_str_eq_c(name, "prefix")) {
      if (!is_prefix(value))
        return bad(c, err, "prefix", value, "1 to 100 of letters, digits, \"_\", \".\", \":\", \"-\"");
      c->prefix = value;
    } else if (sk_str_eq_c(name, "timeout")) {
      if (!parse_number(value, 3600, &seconds) || seconds < 1)
        return bad(c, err, "timeout", value, "seconds, 1 to 3600");
      c->timeout_ms = seconds * 1000;
    } else if (sk_str_eq_c(name, "db") && url->path.p) {
      if (!parse_number(value, INT32_MAX, &c->db)) return bad(c, err, "db", value, "a number");
    } else if (is_kind(c, "+sentinel") && sk_str_eq_c(name, "sentinel_user")) {
      c->sentinel_user = value;
    } else if (is_kind(c, "+sentinel") && sk_str_eq_c(name, "sentinel_password")) {
      c->sentinel_password = value;
    } else if (is_tls(c) && sk_str_eq_c(name, "ca")) {
      tls.ca = value.p;
    } else if (is_tls(c) && sk_str_eq_c(name, "cert")) {
      tls.cert = value.p;
    } else if (is_tls(c) && sk_str_eq_c(name, "key")) {
      tls.key = value.p;
    } else {
      return bad(c, err, "parameter", name,
                 "prefix, timeout; sentinel_user, sentinel_password with redis+sentinel://; db with redis+unix://; ca, "
                 "cert, key with rediss://");
    }
  }
  if (is_tls(c)) c->tls = sk_tls_context_new(&tls, err);
  return is_tls(c) && c->tls == NULL ? err->code : SK_OK;
}

static enum sk_code read_url(struct rd_config *c, const struct sk_store_options *options, struct sk_err *err) {
  enum sk_code code = sk_url_parse(options->url, &c->arena, &c->url, err);
  if (code != SK_OK) return code;
  const struct sk_url *url = &c->url;
  code = read_params(c, err);
  if (code != SK_OK) return code;
  struct sk_str db = url->segments_n ? url->segments[url->segments_n - 1] : sk_str(NULL, 0);
  size_t before_db = 0; /* segments of the path */
  if (url->path.p) {
    c->path = url->path.p;
    snprintf(c->shown, sizeof c->shown, "redis %.280s", c->path);
  } else if (is_kind(c, "+sentinel")) {
    before_db = 1;
    if (url->segments_n == 0 || url->segments[0].n == 0)
      return sk_err_set(err, SK_EINVAL,
                        "store URL: it names no master, expected redis+sentinel://HOST,.../MASTER[/DB]");
    c->master = url->segments[0].p;
    snprintf(c->shown, sizeof c->shown, "redis master \"%.250s\"", c->master);
  } else {
    c->cluster = is_kind(c, "+cluster");
    snprintf(c->shown, sizeof c->shown, "redis%s %.250s:%u", c->cluster ? " cluster" : "", url->hosts[0].name.p,
             (unsigned)url->hosts[0].port);
  }
  if (url->segments_n > before_db + 1) return bad(c, err, "path", db, "nothing behind the database's number");
  if (url->segments_n == before_db + 1 && !parse_number(db, INT32_MAX, &c->db))
    return bad(c, err, "database", db, "a number");
  if (c->cluster && c->db != 0) return bad(c, err, "database", db, "none: a cluster has only 0");
  c->rights = sk_rd_text_of(RD_SCRIPT_RIGHTS);
  struct sk_buf channel = { 0 };
  sk_buf_addf(&channel, "{%.*s}:wake", SK_STR_ARG(c->prefix));
  c->channel = sk_arena_copy(&c->arena, sk_buf_str(&channel));
  sk_buf_fini(&channel);
  return c->channel.p ? SK_OK : sk_err_set(err, SK_ENOMEM, "store: out of memory");
}

/* -- open: the first conversation ---------------------------------------------------------------------------------- */

static void set_flag(struct sk_op *op, void *ctx) {
  (void)op;
  *(bool *)ctx = true;
}

/* Blocks until op is answered.  Its status says how, also when time ran out. */
static enum sk_code run_blocking(struct rd_store *s, struct sk_op *op, enum rd_kind kind, int64_t deadline_ms,
                                 struct sk_err *err) {
  bool done = false;
  op->cb = set_flag;
  op->ctx = &done;
  sk_rd_submit_own(s, op, kind);
  while (!sk_list_empty(&s->answers)) sk_rd_run_answers(s);
  while (!done) {
    int64_t left_ms = deadline_ms - sk_clock_mono_ms();
    if (left_ms <= 0) {
      struct sk_err late = s->down; /* what it waited for, if that is known */
      if (late.message[0] == '\0') sk_rd_conn_tell_late(s->calls, s->config.timeout_ms, &late);
      sk_rd_conn_drop(s->calls, &late);
    } else {
      /* Ops that wait for a slot of the cluster: the retry timer does not run while nobody turns the loop. */
      bool slot = sk_rd_conn_is_ready(s->calls) && !sk_list_empty(&s->waiting);
      sk_rd_conn_wait(s->calls, slot && left_ms > SK_SLOT_RETRY_MS ? SK_SLOT_RETRY_MS : left_ms);
      if (slot) sk_rd_ops_retry(s);
    }
    while (!sk_list_empty(&s->answers)) sk_rd_run_answers(s);
  }
  if (op->status == SK_OK) return SK_OK;
  *err = op->err;
  if (op->status == SK_EUNKNOWN) err->code = SK_EUNAVAILABLE;
  return err->code;
}

static void wait_wakes(struct rd_store *s, int64_t deadline_ms) {
  if (s->wakes == NULL) return;
  while (!sk_rd_conn_is_ready(s->wakes) && !sk_rd_conn_is_down(s->wakes)) {
    int64_t left_ms = deadline_ms - sk_clock_mono_ms();
    if (left_ms <= 0) return; /* it goes on trying */
    sk_rd_conn_wait(s->wakes, left_ms);
  }
}

static enum sk_code enter(struct rd_store *s, int64_t deadline_ms, struct sk_err *err) {
  struct rd_recover_op leave = { .how = "leave" }; /* a former life under this id */
  sk_rd_life_next(s);
  enum sk_code code = run_blocking(s, &leave.op, RD_RECOVER, deadline_ms, err);
  sk_op_fini(&leave.op);
  if (code != SK_OK) return code;
  struct sk_beat_op beat = { 0 };
  code = run_blocking(s, &beat.op, RD_ENTER, deadline_ms, err);
  sk_op_fini(&beat.op);
  if (code == SK_OK)
    code = run_blocking(s, &beat.op, RD_BEAT, deadline_ms, err); /* takes over from those that are dead */
  sk_op_fini(&beat.op);
  return code;
}

static enum sk_code converse(struct rd_store *s, const struct sk_store_options *options, struct sk_err *err) {
  int64_t deadline_ms = sk_clock_mono_ms() + s->config.timeout_ms;
  struct rd_open_op op = { .must_exist = options->must_exist };
  sk_rd_conn_start(s->calls, true);
  if (s->wakes) sk_rd_conn_start(s->wakes, true);
  enum sk_code code = run_blocking(s, &op.op, RD_OPEN, deadline_ms, err);
  if (code == SK_OK) code = sk_rd_life_learn(s, &op, err);
  sk_op_fini(&op.op);
  if (code == SK_OK) wait_wakes(s, deadline_ms);
  if (code == SK_OK && s->engine.n) code = enter(s, deadline_ms, err);
  return code;
}

static struct sk_str keep(struct rd_store *s, struct sk_str text) { return sk_arena_copy(&s->config.arena, text); }

enum sk_code sk_redis_open(struct sk_loop *loop, const struct sk_store_options *options,
                           const struct sk_store_events *events, struct sk_store **out, struct sk_err *err) {
  struct sk_err local = { 0 };
  if (err == NULL) err = &local;
  struct rd_store *s = calloc(1, sizeof *s);
  if (s == NULL) return sk_err_set(err, SK_ENOMEM, "store: out of memory");
  s->store.ops = &redis_ops;
  s->hooks = &hooks;
  s->loop = loop;
  s->clock = options->clock;
  s->events = events ? *events : (struct sk_store_events){ 0 };
  s->lease_ms = options->lease_ms;
  s->config.log = options->log;
  s->opening = true;
  sk_list_init(&s->waiting);
  sk_list_init(&s->sent);
  sk_list_init(&s->answers);
  sk_list_init(&s->held_up);
  snprintf(s->epoch, sizeof s->epoch, "0");
  s->must_exist = options->must_exist;
  struct sk_idgen gen = { 0 };
  sk_id_next(&gen, sk_clock_wall_ms(), s->origin);
  sk_rd_describe_self(s->process, sizeof s->process);
  enum sk_code code = read_url(&s->config, options, err);
  if (code == SK_OK) {
    s->engine = keep(s, options->engine);
    if (s->engine.p == NULL || !sk_rd_ops_open(s)) code = sk_err_set(err, SK_ENOMEM, "store: out of memory");
  }
  if (code == SK_OK) code = converse(s, options, err);
  s->opening = false;
  s->store.timeout_ms = s->config.timeout_ms;
  if (code == SK_OK) {
    *out = &s->store;
    return SK_OK;
  }
  store_free(s);
  return code;
}
