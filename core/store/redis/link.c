/* redis/link.c - how ops become commands and replies become answers, and what happens to them when the connection goes away.
 *
 *   submit ─► waiting ──(ready)──► sent ──(reply)──► answers ──(next turn)──► cb
 *               │  ▲                 │
 *               │  └── only looks ───┤ connection lost
 *               └─► SK_EUNAVAILABLE  └─► SK_EUNKNOWN
 *
 * A subscriber that was away for a while has missed wake-ups: when it is back, `changed` is told once without a reason. */
#include <assert.h>
#include <stdlib.h>

#include "io/loop.h"
#include "store/redis/redis.h"

enum { PATIENCE_MS = 1000, RETRY_MS = 50, KEEP_ALIVE_MS = 1000000000 };

static struct sk_op *op_of(struct sk_list *node) { return SK_CONTAINER(node, struct sk_op, node); }

/* -- answering ------------------------------------------------------------------------------------------------------------- */

void sk_rd_answer(struct rd_store *s, struct sk_op *op, enum sk_code status) {
  op->status = status;
  if (status != SK_OK && op->err.message[0] == '\0')
    sk_err_set(&op->err, status, status == SK_ENOMEM ? "%s: out of memory" : "%s", s->config.shown);
  if (sk_list_empty(&s->answers)) sk_async_send(s->wake);
  sk_list_push(&s->answers, &op->node);
}

void sk_rd_run_answers(struct rd_store *s) {
  struct sk_list answers; /* those that callbacks add are for the next turn */
  sk_list_init(&answers);
  sk_list_move(&answers, &s->answers);
  for (struct sk_list *node; (node = sk_list_pop(&answers)) != NULL;) {
    struct sk_op *op = op_of(node);
    if (--s->submitted == 0 && !s->closing) sk_timer_stop(s->keep_alive);
    op->cb(op, op->ctx);
  }
}

static void on_wake(void *ctx) {
  struct rd_store *s = ctx;
  if (s->opening) return; /* open runs them itself */
  sk_rd_run_answers(s);
  if (s->closing) sk_rd_try_close(s);
}

static void fail_op(struct rd_store *s, struct sk_op *op, enum sk_code status, const struct sk_err *why) {
  op->err = *why;
  op->err.code = status;
  if (status == SK_EUNKNOWN) sk_err_wrap(&op->err, "it may or may not have happened");
  sk_rd_answer(s, op, status);
}

static void fail_waiting(struct rd_store *s, const struct sk_err *why) {
  sk_timer_stop(s->patience);
  for (struct sk_list *node; (node = sk_list_pop(&s->waiting)) != NULL;) fail_op(s, op_of(node), SK_EUNAVAILABLE, why);
}

static void on_patience(void *ctx) {
  struct rd_store *s = ctx;
  struct sk_err why = s->down;
  if (why.message[0] == '\0') sk_err_set(&why, SK_EUNAVAILABLE, "%s: no connection", s->config.shown);
  fail_waiting(s, &why);
}

/* -- sending --------------------------------------------------------------------------------------------------------------- */

static void load_done(struct sk_op *op, void *ctx) {
  (void)ctx;
  sk_op_fini(op);
  free(op);
}

static void send_or_wait(struct rd_store *s, struct sk_op *op);

static void orphans_done(struct sk_op *op, void *ctx) {
  struct rd_store *s = ctx;
  enum sk_code status = op->status;
  struct sk_err why = op->err;
  sk_op_fini(op);
  free(op);
  s->recovering = false;
  if (status != SK_OK) s->orphans = true; /* before the next fetch, then */
  for (struct sk_list *node; (node = sk_list_pop(&s->fetches)) != NULL;) {
    if (status == SK_OK)
      send_or_wait(s, op_of(node));
    else
      fail_op(s, op_of(node), SK_EUNAVAILABLE, &why);
  }
}

/* Hands back what lost fetches took.  Fetches wait until that is done: it takes all that is newer than the last known fence. */
static void send_orphans(struct rd_store *s) {
  struct rd_recover_op *recover = calloc(1, sizeof *recover);
  if (recover == NULL) return;
  s->orphans = false;
  s->recovering = true;
  s->session++;
  recover->op = (struct sk_op){ .cb = orphans_done, .ctx = s };
  recover->how = "orphans";
  recover->fence = s->last_fence;
  sk_rd_submit_own(s, &recover->op, RD_RECOVER);
}

static size_t replies_of(const struct sk_op *op) {
  return sk_rd_verbs[op->kind].replies ? sk_rd_verbs[op->kind].replies + op->more : 1;
}

static void send_op(struct rd_store *s, struct sk_op *op) {
  if (op->kind == RD_FETCH && s->orphans) send_orphans(s);
  if (op->kind == RD_FETCH && s->recovering) {
    sk_list_push(&s->fetches, &op->node);
    return;
  }
  if (op->kind == RD_ENQUEUE_STORED && !sk_rd_conn_can_multi(s->calls))
    op->kind = RD_ENQUEUE; /* it could when this was submitted */
  struct sk_buf *out = sk_rd_conn_out(s->calls);
  size_t before = out->n;
  sk_rd_verbs[op->kind].build(s, op);
  if (!sk_rd_command_end(&s->command, out)) {
    out->n = before; /* of a MULTI all goes, or nothing */
    sk_rd_answer(s, op, SK_ENOMEM);
    return;
  }
  sk_list_push(&s->sent, &op->node);
  sk_rd_conn_expect(s->calls, replies_of(op));
}

void sk_rd_next(struct rd_store *s) {
  if (!sk_rd_command_end(&s->command, sk_rd_conn_out(s->calls)))
    s->command.args.failed = true; /* ends with the last one */
}

static void send_or_wait(struct rd_store *s, struct sk_op *op) {
  if (sk_rd_conn_is_ready(s->calls)) {
    send_op(s, op);
    return;
  }
  if (!sk_timer_active(s->patience)) sk_timer_start(s->patience, PATIENCE_MS);
  sk_list_push(&s->waiting, &op->node);
}

static void take_in(struct rd_store *s, struct sk_op *op, enum rd_kind kind) {
  op->kind = (int)kind;
  op->arena = (struct sk_arena){ 0 };
  if (s->submitted++ == 0) sk_timer_start(s->keep_alive, KEEP_ALIVE_MS);
}

void sk_rd_submit_own(struct rd_store *s, struct sk_op *op, enum rd_kind kind) {
  take_in(s, op, kind);
  op->err = (struct sk_err){ 0 };
  send_or_wait(s, op);
}

void sk_rd_submit(struct rd_store *s, struct sk_op *op, enum rd_kind kind, enum sk_code checked) {
  assert(!s->closing && op->cb != NULL);
  take_in(s, op, kind);
  if (checked == SK_OK)
    send_or_wait(s, op);
  else
    sk_rd_answer(s, op, checked);
}

/* -- replies --------------------------------------------------------------------------------------------------------------- */

static bool starts_with_any(struct sk_str text, const char *const *prefixes) {
  for (; *prefixes; prefixes++)
    if (sk_str_starts(text, *prefixes)) return true;
  return false;
}

/* An error is what Redis says instead of doing something: a script that fails, fails at its first write. */
static enum sk_code error_code(struct sk_str text) {
  static const char *const weather[] = { "EXECABORT",  "LOADING",    "BUSY",        "OOM",        "READONLY", "MISCONF",
                                         "NOREPLICAS", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN",   "MOVED",    "ASK",
                                         "NOAUTH",     "NOPERM",     "WRONGPASS",   "UNKILLABLE", NULL };
  return starts_with_any(text, weather) ? SK_EUNAVAILABLE : SK_ECORRUPT;
}

/* The server forgot its scripts (SCRIPT FLUSH, a restart, a failover): tells it this one again, then the op. */
static bool reload(struct rd_store *s, struct sk_op *op) {
  struct sk_op *load = calloc(1, sizeof *load);
  size_t n;
  const char *text = sk_rd_script_text(s, op, &n);
  if (load == NULL || text == NULL) {
    free(load);
    return false;
  }
  load->cb = load_done;
  load->kind = RD_LOAD;
  sk_rd_arg_c(&s->command, "SCRIPT");
  sk_rd_arg_c(&s->command, "LOAD");
  sk_rd_arg(&s->command, sk_str(text, n));
  if (!sk_rd_command_end(&s->command, sk_rd_conn_out(s->calls))) {
    free(load);
    return false;
  }
  s->submitted++;
  sk_list_push(&s->sent, &load->node);
  sk_rd_conn_expect(s->calls, 1);
  send_op(s, op);
  return true;
}

/* In a cluster: our slot is at another node now (MOVED), or on its way there (ASK, TRYAGAIN: a script names keys that don't exist, so
 * that neither node takes it until the slot has arrived).  Nothing has happened, so the op waits; all that were sent with it hear the
 * same, and when they have, the connection moves. */
static bool wait_for_slot(struct rd_store *s, struct sk_op *op, struct sk_str text) {
  bool moved = sk_str_starts(text, "MOVED ");
  if (!s->config.cluster || (!moved && !sk_str_starts(text, "ASK ") && !sk_str_starts(text, "TRYAGAIN"))) return false;
  sk_err_set(&s->down, SK_EUNAVAILABLE, "%s: %.*s", s->config.shown, SK_STR_ARG(sk_str_head(text, 200)));
  if (!sk_timer_active(s->patience)) sk_timer_start(s->patience, PATIENCE_MS);
  sk_list_push(&s->waiting, &op->node);
  if (!moved || !sk_list_empty(&s->sent) || !sk_rd_conn_move(s->calls, text))
    if (!sk_timer_active(s->retry)) sk_timer_start(s->retry, RETRY_MS);
  return true;
}

static void take_error(struct rd_store *s, struct sk_op *op, struct sk_str text) {
  if (sk_str_starts(text, "NOSCRIPT") && reload(s, op)) return;
  if (wait_for_slot(s, op, text)) return;
  enum sk_code code = error_code(text);
  sk_err_set(&op->err, code, "%s: %.*s", s->config.shown, SK_STR_ARG(sk_str_head(text, 300)));
  bool demoted = sk_str_starts(text, "READONLY");
  struct sk_err why = op->err;
  sk_rd_answer(s, op, code);
  if (demoted) sk_rd_conn_drop(s->calls, &why); /* another server may be the master now */
}

/* A reply that is not the last one of its op; an error in it is why the last one says that nothing was done.  When MULTI itself is refused
 * (a right that was taken away), what followed was no transaction.  It must not be cut in half then: the connection stays. */
static bool is_early(struct rd_store *s, const struct sk_op *op, const struct rd_reply *reply) {
  if (s->early + 1 >= replies_of(op)) return false;
  if (s->early++ == 0) {
    sk_buf_clear(&s->early_error);
    s->bare = reply->type == RD_ERROR;
    if (s->bare) sk_rd_conn_no_multi(s->calls);
  }
  if (reply->type == RD_ERROR && s->early_error.n == 0) sk_buf_add_str(&s->early_error, reply->text);
  return true;
}

/* The last reply of an op whose MULTI was refused: who knows what was done. */
static void take_bare(struct rd_store *s, struct sk_op *op) {
  struct sk_err why;
  sk_err_set(&why, SK_EUNAVAILABLE, "%s: MULTI: %.*s", s->config.shown,
             SK_STR_ARG(sk_str_head(sk_buf_str(&s->early_error), 200)));
  fail_op(s, op, SK_EUNKNOWN, &why);
}

/* Whether HSET or EVAL is what this user may not use: nothing was done, and the script can do it. */
static bool try_script(struct rd_store *s, struct sk_op *op, struct sk_str said) {
  struct sk_str early = sk_buf_str(&s->early_error);
  if (op->kind != RD_ENQUEUE_STORED || !sk_str_starts(said, "EXECABORT") ||
      !(sk_str_starts(early, "NOPERM") || sk_str_starts(early, "ERR ")))
    return false;
  sk_rd_conn_no_multi(s->calls);
  send_or_wait(s, op);
  return true;
}

static void on_reply(void *ctx, struct rd_reply *reply, struct sk_arena *arena) {
  struct rd_store *s = ctx;
  assert(!sk_list_empty(&s->sent));
  struct sk_op *op = op_of(s->sent.next);
  if (is_early(s, op, reply)) {
    sk_arena_fini(arena);
    return;
  }
  sk_list_remove(&op->node);
  bool had_early = s->early > 0 && s->early_error.n > 0, bare = s->early > 0 && s->bare;
  s->early = 0;
  if (bare) {
    take_bare(s, op);
    sk_arena_fini(arena);
    return;
  }
  if (reply->type == RD_ERROR) {
    if (op->kind == RD_LOAD)
      sk_rd_answer(s, op, SK_OK);
    else if (!had_early || !try_script(s, op, reply->text))
      take_error(s, op, had_early ? sk_buf_str(&s->early_error) : reply->text);
    sk_arena_fini(arena);
    return;
  }
  op->arena = *arena;
  op->status = SK_OK;
  switch (sk_rd_verbs[op->kind].parse(s, op, reply)) {
  case RD_DONE: sk_rd_answer(s, op, op->status); break;
  case RD_AGAIN:
    sk_arena_fini(&op->arena);
    send_or_wait(s, op);
    break;
  case RD_LATER: break;
  }
}

/* -- the weather ----------------------------------------------------------------------------------------------------------- */

static void send_waiting(struct rd_store *s) {
  struct sk_list waiting;
  sk_list_init(&waiting);
  sk_list_move(&waiting, &s->waiting);
  for (struct sk_list *node; (node = sk_list_pop(&waiting)) != NULL;) send_or_wait(s, op_of(node));
}

static void on_ready(void *ctx) {
  struct rd_store *s = ctx;
  sk_timer_stop(s->patience);
  sk_timer_stop(s->retry);
  s->down = (struct sk_err){ 0 };
  send_waiting(s);
}

static void on_retry(void *ctx) {
  struct rd_store *s = ctx;
  if (sk_rd_conn_is_ready(s->calls)) send_waiting(s);
}

static void on_down(void *ctx, const struct sk_err *err) {
  struct rd_store *s = ctx;
  struct sk_list looks;
  sk_list_init(&looks);
  s->early = 0;
  for (struct sk_list *node; (node = sk_list_pop(&s->sent)) != NULL;) {
    struct sk_op *op = op_of(node);
    if (sk_rd_verbs[op->kind].looks && !s->opening) {
      sk_list_push(&looks, node);
    } else {
      if (op->kind == RD_FETCH) s->orphans = true;
      fail_op(s, op, SK_EUNKNOWN, err);
    }
  }
  s->down = *err;
  if (s->opening) fail_waiting(s, err); /* the first try decides */
  if (!sk_timer_active(s->patience) && !sk_list_empty(&looks)) sk_timer_start(s->patience, PATIENCE_MS);
  sk_list_move(&looks, &s->waiting);
  sk_list_move(&s->waiting, &looks);
}

/* -- wake-ups -------------------------------------------------------------------------------------------------------------- */

static void on_message(void *ctx, struct rd_reply *reply, struct sk_arena *arena) {
  struct rd_store *s = ctx;
  bool others = sk_str_eq_c(sk_rd_text(reply, 0), "message") && !sk_str_eq_c(sk_rd_text(reply, 2), s->origin);
  sk_arena_fini(arena);
  if (others && !s->opening && !s->closing) s->events.changed(s->events.ctx);
}

static void on_wakes_ready(void *ctx) {
  struct rd_store *s = ctx;
  if (!s->opening && !s->closing) s->events.changed(s->events.ctx);
}

static void on_wakes_down(void *ctx, const struct sk_err *err) { (void)ctx, (void)err; }

/* -- the link -------------------------------------------------------------------------------------------------------------- */

static void on_nothing(void *ctx) { (void)ctx; }

bool sk_rd_link_open(struct rd_store *s) {
  const struct rd_conn_events calls = { on_ready, on_reply, on_down, s };
  const struct rd_conn_events wakes = { on_wakes_ready, on_message, on_wakes_down, s };
  s->wake = sk_async_new(s->loop, on_wake, s);
  s->keep_alive = sk_timer_new(s->loop, on_nothing, s);
  s->patience = sk_timer_new(s->loop, on_patience, s);
  s->retry = sk_timer_new(s->loop, on_retry, s);
  s->calls = sk_rd_conn_new(s->loop, &s->config, false, &calls);
  if (s->events.changed) s->wakes = sk_rd_conn_new(s->loop, &s->config, true, &wakes);
  if (!s->wake || !s->keep_alive || !s->patience || !s->retry || !s->calls || (s->events.changed && !s->wakes))
    return false;
  sk_async_unref(s->wake);
  sk_timer_unref(s->patience);
  sk_timer_unref(s->retry);
  return true;
}

void sk_rd_link_free(struct rd_store *s) {
  sk_rd_conn_free(s->calls);
  sk_rd_conn_free(s->wakes);
  sk_async_free(s->wake);
  sk_timer_free(s->keep_alive);
  sk_timer_free(s->patience);
  sk_timer_free(s->retry);
}
