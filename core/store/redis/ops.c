/* ops.c - how ops become commands and replies become answers, and what happens to them when the connection goes away.
 *
 *   submit ─► waiting ──(ready)──► sent ──(reply)──► answers ──(next turn)──► cb
 *               │  ▲                 │
 *               │  └── only looks ───┤ connection lost
 *               └─► SK_EUNAVAILABLE  └─► SK_EUNKNOWN
 *
 * A subscriber that was away for a while has missed wake-ups.  When it is back, `changed` is called once without a
 * reason. */
#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "io/loop.h"
#include "store/redis/errors.h"
#include "store/redis/redis.h"

enum { PATIENCE_MS = 1000, LATE_AGAIN_MS = 50, KEEP_ALIVE_MS = 1000000000 };
enum { WOKEN_MAX = 64 }; /* queues that a wake-up names */

static struct sk_op *op_of(struct sk_list *node) { return SK_CONTAINER(node, struct sk_op, node); }

/* -- answering ----------------------------------------------------------------------------------------------------- */

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
  if (s->closing) s->hooks->close_step(s);
}

void sk_rd_fail_op(struct rd_store *s, struct sk_op *op, enum sk_code status, const struct sk_err *why) {
  op->err = *why;
  op->err.code = status;
  if (status == SK_EUNKNOWN) sk_err_wrap(&op->err, "it may or may not have happened");
  sk_rd_answer(s, op, status);
}

/* Answers what waits and has waited until now_ms or longer. */
static void fail_waiting(struct rd_store *s, const struct sk_err *why, int64_t now_ms) {
  int64_t next_ms = INT64_MAX;
  SK_LIST_EACH_SAFE(node, &s->waiting) {
    struct sk_op *op = op_of(node);
    if (op->wait_until_ms > now_ms) {
      if (op->wait_until_ms < next_ms) next_ms = op->wait_until_ms;
      continue;
    }
    sk_list_remove(node);
    sk_rd_fail_op(s, op, SK_EUNAVAILABLE, why);
  }
  sk_timer_stop(s->patience);
  if (next_ms < INT64_MAX) sk_timer_start(s->patience, next_ms - now_ms);
}

static void on_patience(void *ctx) {
  struct rd_store *s = ctx;
  struct sk_err why;
  if (s->down.message[0] == '\0')
    sk_err_set(&why, SK_EUNAVAILABLE, "%s: no connection within %g s", s->config.shown, PATIENCE_MS / 1000.0);
  else
    sk_err_set(&why, SK_EUNAVAILABLE, "%s (tried for %g s)", s->down.message, PATIENCE_MS / 1000.0);
  fail_waiting(s, &why, sk_clock_mono_ms());
}

/* Lets an op wait until a time, or its deadline. */
void sk_rd_wait_until(struct rd_store *s, struct sk_op *op, int64_t until_ms) {
  if (op->until_ms != 0 && op->until_ms < until_ms) until_ms = op->until_ms;
  int64_t left_ms = until_ms - sk_clock_mono_ms();
  op->wait_until_ms = until_ms;
  sk_list_push(&s->waiting, &op->node);
  if (!sk_timer_active(s->patience) || left_ms <= 0) sk_timer_start(s->patience, left_ms > 0 ? left_ms : 0);
}

/* -- sending ------------------------------------------------------------------------------------------------------- */

static void load_done(struct sk_op *op, void *ctx) {
  (void)ctx;
  sk_op_fini(op);
  free(op);
}

void sk_rd_release_held_up(struct rd_store *s, enum sk_code status, const struct sk_err *why) {
  struct sk_list ops; /* they may be held up again */
  sk_list_init(&ops);
  sk_list_move(&ops, &s->held_up);
  for (struct sk_list *node; (node = sk_list_pop(&ops)) != NULL;) {
    if (status == SK_OK)
      sk_rd_send_or_wait(s, op_of(node));
    else
      sk_rd_fail_op(s, op_of(node), SK_EUNAVAILABLE, why);
  }
}

static void orphans_done(struct sk_op *op, void *ctx) {
  struct rd_store *s = ctx;
  enum sk_code status = op->status;
  struct sk_err why = op->err;
  sk_op_fini(op);
  free(op);
  s->recovering = false;
  if (status != SK_OK) s->orphans = true; /* before the next fetch, then */
  if (!s->entering) sk_rd_release_held_up(s, status, &why);
}

/* Hands back the jobs of fetches whose answers were lost.  Fetches wait until that is done, because it takes all jobs
 * whose fence is greater than the last known one. */
static void send_orphans(struct rd_store *s) {
  struct rd_recover_op *recover = calloc(1, sizeof *recover);
  if (recover == NULL) return;
  s->orphans = false;
  s->recovering = true;
  recover->op = (struct sk_op){ .cb = orphans_done, .ctx = s };
  recover->how = "orphans";
  recover->fence = s->last_fence;
  sk_rd_submit_own(s, &recover->op, RD_RECOVER);
}

static size_t replies_of(const struct sk_op *op) {
  if (op->kind == RD_SKIP) return op->scratch;
  return sk_rd_verbs[op->kind].replies ? sk_rd_verbs[op->kind].replies + op->scratch : 1;
}

/* Answers an op that was sent; its reply will be skipped.  False when there is no memory for that. */
static bool answer_late(struct rd_store *s, struct sk_op *op) {
  struct sk_op *skip = calloc(1, sizeof *skip);
  if (skip == NULL) return false;
  skip->kind = RD_SKIP;
  skip->scratch = replies_of(op);
  sk_list_push(&op->node, &skip->node); /* before it */
  sk_list_remove(&op->node);
  struct sk_err why;
  sk_err_set(&why, SK_EUNAVAILABLE, "%s: no answer in time", s->config.shown);
  sk_rd_fail_op(s, op, sk_rd_verbs[op->kind].looks ? SK_EUNAVAILABLE : SK_EUNKNOWN, &why);
  return true;
}

static void on_late(void *ctx) {
  struct rd_store *s = ctx;
  int64_t now_ms = sk_clock_mono_ms(), next_ms = INT64_MAX;
  SK_LIST_EACH_SAFE(node, &s->sent) {
    struct sk_op *op = op_of(node);
    if (op->until_ms == 0 || (op->until_ms <= now_ms && answer_late(s, op))) continue;
    int64_t at_ms = op->until_ms > now_ms ? op->until_ms : now_ms + LATE_AGAIN_MS;
    if (at_ms < next_ms) next_ms = at_ms;
  }
  if (next_ms < INT64_MAX) sk_timer_start(s->late, next_ms - now_ms);
}

static void send_op(struct rd_store *s, struct sk_op *op) {
  if (op->kind == RD_FETCH && s->orphans) send_orphans(s);
  if (op->kind == RD_FETCH && s->recovering) {
    sk_list_push(&s->held_up, &op->node);
    return;
  }
  if (op->kind == RD_ENQUEUE_STORED && !sk_rd_conn_can_multi(s->calls))
    op->kind = RD_ENQUEUE; /* it could when this was submitted */
  if (op->kind != RD_TIME) s->hooks->ask_clock(s);
  struct sk_buf *out = sk_rd_conn_out(s->calls);
  size_t before = out->n;
  sk_rd_verbs[op->kind].build(s, op);
  if (!sk_rd_command_end(&s->command, out)) {
    out->n = before; /* of a MULTI all goes, or nothing */
    sk_rd_answer(s, op, SK_ENOMEM);
    return;
  }
  op->wait_until_ms = 0;
  if (sk_rd_op_is_marked(op)) op->mark = s->mark;
  sk_list_push(&s->sent, &op->node);
  if (op->until_ms != 0 && !sk_timer_active(s->late)) {
    int64_t left_ms = op->until_ms - sk_clock_mono_ms();
    sk_timer_start(s->late, left_ms > 0 ? left_ms : 0);
  }
  sk_rd_conn_expect(s->calls, replies_of(op));
}

void sk_rd_next(struct rd_store *s) {
  if (!sk_rd_command_end(&s->command, sk_rd_conn_out(s->calls)))
    s->command.args.failed = true; /* ends with the last one */
}

void sk_rd_send_or_wait(struct rd_store *s, struct sk_op *op) {
  if (s->hurried) {
    sk_rd_fail_op(s, op, SK_EUNAVAILABLE, &s->down);
    return;
  }
  if (s->hooks->stops(s, op)) return;
  if (sk_rd_conn_is_ready(s->calls)) {
    send_op(s, op);
    return;
  }
  sk_rd_wait_until(s, op, sk_clock_mono_ms() + PATIENCE_MS);
}

/* True when the op must be answered within the time that clients were given.  Ops that engines begin by themselves go
 * on as long as bytes come. */
static bool has_deadline(enum rd_kind kind) {
  static const bool has[] = {
    [RD_ENQUEUE] = true, [RD_ENQUEUE_ALL] = true, [RD_ENQUEUE_STORED] = true, [RD_GET] = true,   [RD_LIST] = true,
    [RD_COUNT] = true,   [RD_CHANGE] = true,      [RD_PAUSE] = true,          [RD_TASKS] = true,
  };
  return (size_t)kind < sizeof has / sizeof *has && has[kind];
}

static void take_in(struct rd_store *s, struct sk_op *op, enum rd_kind kind) {
  op->until_ms = !has_deadline(kind) ? 0
                 : op->deadline_ms   ? op->deadline_ms
                                     : sk_clock_mono_ms() + s->config.timeout_ms;
  op->kind = (int)kind;
  op->again = 0;
  op->slot_until_ms = 0;
  op->arena = (struct sk_arena){ 0 };
  op->scratch = 0;
  if (s->submitted++ == 0) sk_timer_start(s->keep_alive, KEEP_ALIVE_MS);
}

void sk_rd_submit_own(struct rd_store *s, struct sk_op *op, enum rd_kind kind) {
  take_in(s, op, kind);
  op->err = (struct sk_err){ 0 };
  sk_rd_send_or_wait(s, op);
}

void sk_rd_submit_in_steps(struct rd_store *s, struct sk_op *op, enum rd_kind kind) {
  assert(!s->closing && op->cb != NULL);
  take_in(s, op, kind);
}

void sk_rd_submit(struct rd_store *s, struct sk_op *op, enum rd_kind kind, enum sk_code checked) {
  assert(!s->closing && op->cb != NULL);
  take_in(s, op, kind);
  if (checked == SK_OK)
    sk_rd_send_or_wait(s, op);
  else
    sk_rd_answer(s, op, checked);
}

/* -- replies ------------------------------------------------------------------------------------------------------- */

/* Tells the server a script's text. */
static bool send_load(struct rd_store *s, const char *text, size_t n) {
  struct sk_op *load = calloc(1, sizeof *load);
  if (load == NULL) return false;
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
  return true;
}

/* Sends the op's script, then the op again, when the server has forgotten its scripts (SCRIPT FLUSH, a restart, a
 * failover).  Where SCRIPT is not allowed, the op carries the script's text.  False: the op is not sent once more. */
static bool reload(struct rd_store *s, struct sk_op *op) {
  size_t n;
  const char *text = sk_rd_script_text(s, op, &n);
  if (text == NULL || ++op->again > SK_SEND_AGAIN_MAX) return false;
  if (!s->no_load && !send_load(s, text, n)) return false;
  s->as_text = s->no_load;
  send_op(s, op);
  s->as_text = false;
  return true;
}

/* In a cluster, our slot is at another node now (MOVED), or on its way there (ASK, TRYAGAIN: a script names keys that
 * do not exist, so neither node takes it until the slot has arrived).  Nothing has happened, so the op waits, for the
 * URL's timeout at most.  All ops that were sent with it get the same reply; after the last of them the connection
 * moves to the other node. */
static bool wait_for_slot(struct rd_store *s, struct sk_op *op, enum rd_trouble trouble, struct sk_str text) {
  bool moved = trouble == RD_TROUBLE_MOVED;
  if (!s->config.cluster || (!moved && trouble != RD_TROUBLE_SLOT)) return false;
  int64_t now_ms = sk_clock_mono_ms();
  if (op->slot_until_ms == 0) op->slot_until_ms = now_ms + s->config.timeout_ms;
  if (now_ms >= op->slot_until_ms) return false;
  sk_err_set(&s->down, SK_EUNAVAILABLE, "%s: %.*s", s->config.shown, SK_STR_ARG(sk_str_head(text, 200)));
  sk_rd_wait_until(s, op, op->slot_until_ms);
  bool go = moved && sk_list_empty(&s->sent) && ++op->again <= SK_SEND_AGAIN_MAX; /* two nodes may name each other */
  if (!go || !sk_rd_conn_move(s->calls, text, s->opening))
    if (!sk_timer_active(s->retry)) sk_timer_start(s->retry, SK_SLOT_RETRY_MS);
  return true;
}

static void take_error(struct rd_store *s, struct sk_op *op, struct sk_str text) {
  struct sk_str said;
  enum rd_trouble trouble = sk_rd_errors_classify(text, &said);
  if (trouble == RD_TROUBLE_NO_SCRIPT && reload(s, op)) return;
  if (wait_for_slot(s, op, trouble, said) || s->hooks->refused(s, op, text)) return;
  enum sk_code code = sk_rd_errors_code(trouble);
  sk_err_set(&op->err, code, "%s: %.*s", s->config.shown, SK_STR_ARG(sk_str_head(said, 300)));
  struct sk_err why = op->err;
  sk_rd_answer(s, op, code);
  if (trouble == RD_TROUBLE_DEMOTED) sk_rd_conn_drop(s->calls, &why); /* another server may be the master now */
}

/* Takes a reply that is not the last one of its op.  An error in it is the reason why the last reply says that nothing
 * was done.  When MULTI itself is refused (a right that was taken away), the commands behind it were no transaction.
 * They must not be cut in half then, so the connection stays. */
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

/* The last reply of an op whose MULTI was refused: what was done is not known. */
static void take_bare(struct rd_store *s, struct sk_op *op) {
  struct sk_err why;
  sk_err_set(&why, SK_EUNAVAILABLE, "%s: MULTI: %.*s", s->config.shown,
             SK_STR_ARG(sk_str_head(sk_buf_str(&s->early_error), 200)));
  sk_rd_fail_op(s, op, SK_EUNKNOWN, &why);
}

/* True when the user lacks the right to HSET or EVAL in a MULTI: nothing was done, and the op goes as a script. */
static bool try_script(struct rd_store *s, struct sk_op *op, struct sk_str said) {
  enum rd_trouble early = sk_rd_errors_classify(sk_buf_str(&s->early_error), NULL);
  if (op->kind != RD_ENQUEUE_STORED || sk_rd_errors_classify(said, NULL) != RD_TROUBLE_ABORTED ||
      (early != RD_TROUBLE_NO_RIGHT && early != RD_TROUBLE_REFUSED))
    return false;
  sk_rd_conn_no_multi(s->calls);
  sk_rd_send_or_wait(s, op);
  return true;
}

/* SCRIPT LOAD was refused: where that is for want of a right, ops carry their script's text from here on. */
static void take_load_error(struct rd_store *s, struct sk_op *op, struct sk_str text) {
  if (sk_rd_errors_classify(text, NULL) == RD_TROUBLE_NO_RIGHT) s->no_load = true;
  sk_rd_answer(s, op, SK_OK);
}

/* An op is to be sent again, with what its reply has taught. */
static void send_again(struct rd_store *s, struct sk_op *op, bool learnt) {
  sk_arena_fini(&op->arena);
  if (!learnt) op->again = 0; /* it goes on */
  if (!learnt || ++op->again <= SK_SEND_AGAIN_MAX) {
    sk_rd_send_or_wait(s, op);
    return;
  }
  sk_err_set(&op->err, SK_ECORRUPT, "%s: a script asked %d times for the names of queues that it was given",
             s->config.shown, SK_SEND_AGAIN_MAX);
  sk_rd_answer(s, op, SK_ECORRUPT);
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
  if (op->kind == RD_SKIP) {
    s->early = 0;
    free(op);
    sk_arena_fini(arena);
    return;
  }
  bool had_early = s->early > 0 && s->early_error.n > 0, bare = s->early > 0 && s->bare;
  s->early = 0;
  if (bare) {
    take_bare(s, op);
    sk_arena_fini(arena);
    return;
  }
  if (reply->type == RD_ERROR) {
    if (op->kind == RD_LOAD)
      take_load_error(s, op, reply->text);
    else if (!had_early || !try_script(s, op, reply->text))
      take_error(s, op, had_early ? sk_buf_str(&s->early_error) : reply->text);
    sk_arena_fini(arena);
    return;
  }
  op->arena = *arena;
  op->status = SK_OK;
  switch (sk_rd_verbs[op->kind].parse(s, op, reply)) {
  case RD_DONE: sk_rd_answer(s, op, op->status); break;
  case RD_AGAIN: send_again(s, op, sk_rd_item(reply, 1, RD_ARRAY) && sk_rd_number(reply, 0) == -1); break;
  case RD_LATER: break;
  }
}

/* -- outages ------------------------------------------------------------------------------------------------------- */

void sk_rd_send_waiting(struct rd_store *s) {
  struct sk_list waiting;
  sk_list_init(&waiting);
  sk_list_move(&waiting, &s->waiting);
  for (struct sk_list *node; (node = sk_list_pop(&waiting)) != NULL;) sk_rd_send_or_wait(s, op_of(node));
}

static void on_ready(void *ctx) {
  struct rd_store *s = ctx;
  sk_timer_stop(s->patience);
  sk_timer_stop(s->retry);
  s->down = (struct sk_err){ 0 };
  s->no_load = false;
  if (s->opening)
    sk_rd_send_waiting(s);
  else
    s->hooks->look(s); /* another server, or another life of this one: what is in it is who knows how old */
}

void sk_rd_ops_retry(struct rd_store *s) {
  if (sk_rd_conn_is_ready(s->calls)) sk_rd_send_waiting(s);
}

static void on_retry(void *ctx) { sk_rd_ops_retry(ctx); }

static void on_clock(void *ctx, int64_t server_us, int64_t sent_us, int64_t heard_us) {
  struct rd_store *s = ctx;
  s->hooks->connected_clock(s, server_us, sent_us, heard_us);
}

static void on_down(void *ctx, const struct sk_err *err) {
  struct rd_store *s = ctx;
  struct sk_list looks;
  sk_list_init(&looks);
  s->early = 0;
  for (struct sk_list *node; (node = sk_list_pop(&s->sent)) != NULL;) {
    struct sk_op *op = op_of(node);
    if (op->kind == RD_SKIP) {
      free(op);
      continue;
    }
    bool looks_once_more = sk_rd_verbs[op->kind].looks && !s->opening && op->scratch++ == 0;
    if (looks_once_more) {
      sk_list_push(&looks, node);
    } else if (sk_rd_verbs[op->kind].looks) {
      sk_rd_fail_op(s, op, SK_EUNAVAILABLE, err);
    } else {
      if (op->kind == RD_FETCH) s->orphans = true;
      sk_rd_fail_op(s, op, SK_EUNKNOWN, err);
    }
  }
  s->down = *err;
  if (s->opening) fail_waiting(s, err, INT64_MAX); /* the first try decides */
  sk_list_move(&looks, &s->waiting);               /* behind them, in the order of their coming */
  for (struct sk_list *node; (node = sk_list_pop(&looks)) != NULL;) {
    int64_t until_ms = op_of(node)->wait_until_ms, patient_ms = sk_clock_mono_ms() + PATIENCE_MS;
    sk_rd_wait_until(s, op_of(node), until_ms ? until_ms : patient_ms);
  }
}

void sk_rd_hurry(struct rd_store *s) {
  if (s->hurried) return;
  s->hurried = true;
  struct sk_err why;
  sk_err_set(&why, SK_EUNAVAILABLE, "%s: no answer before the end", s->config.shown);
  sk_rd_conn_drop(s->calls, &why); /* what was sent: on_down */
  s->down = why;
  fail_waiting(s, &why, INT64_MAX);
}

/* -- wake-ups ------------------------------------------------------------------------------------------------------ */

/* The words of a wake-up behind who it is from (scripts/lib/wake.lua). */
static void tell_queues(struct rd_store *s, struct sk_str words) {
  struct sk_str queues[WOKEN_MAX];
  size_t n = 0;
  bool stops = false;
  while (words.n > 0 && n < WOKEN_MAX) {
    const char *space = memchr(words.p, ' ', words.n);
    struct sk_str word = sk_str(words.p, space ? (size_t)(space - words.p) : words.n);
    size_t taken = word.n + (space != NULL);
    words = sk_str(words.p + taken, words.n - taken);
    if (sk_str_eq_c(word, "!"))
      stops = true;
    else if (word.n > 0)
      queues[n++] = word;
  }
  if (words.n > 0)
    s->events.changed(s->events.ctx); /* more than any script names */
  else
    s->events.queues_changed(s->events.ctx, queues, n, stops);
}

static void on_message(void *ctx, struct rd_reply *reply, struct sk_arena *arena) {
  struct rd_store *s = ctx;
  struct sk_str said = sk_rd_text(reply, 2);
  const char *space = said.n ? memchr(said.p, ' ', said.n) : NULL;
  struct sk_str who = sk_str(said.p, space ? (size_t)(space - said.p) : said.n);
  bool others = sk_str_eq_c(sk_rd_text(reply, 0), "message") && !sk_str_eq_c(who, s->origin) &&
                said.n > 0; /* an empty one only tries a right */
  if (others && !s->opening && !s->closing) {
    if (s->events.queues_changed && space)
      tell_queues(s, sk_str(space + 1, said.n - who.n - 1));
    else
      s->events.changed(s->events.ctx);
  }
  sk_arena_fini(arena);
}

static void on_wakes_ready(void *ctx) {
  struct rd_store *s = ctx;
  if (!s->opening && !s->closing) s->events.changed(s->events.ctx);
}

static void on_wakes_down(void *ctx, const struct sk_err *err) { (void)ctx, (void)err; }

/* -- open and free ------------------------------------------------------------------------------------------------- */

static void on_nothing(void *ctx) { (void)ctx; }

bool sk_rd_ops_open(struct rd_store *s) {
  const struct rd_conn_events calls = { on_ready, on_reply, on_clock, on_down, s };
  const struct rd_conn_events wakes = { on_wakes_ready, on_message, on_clock, on_wakes_down, s };
  s->wake = sk_async_new(s->loop, on_wake, s);
  s->keep_alive = sk_timer_new(s->loop, on_nothing, s);
  s->late = sk_timer_new(s->loop, on_late, s);
  s->patience = sk_timer_new(s->loop, on_patience, s);
  s->retry = sk_timer_new(s->loop, on_retry, s);
  s->calls = sk_rd_conn_new(s->loop, &s->config, false, &calls);
  if (s->events.changed) s->wakes = sk_rd_conn_new(s->loop, &s->config, true, &wakes);
  if (!s->wake || !s->keep_alive || !s->late || !s->patience || !s->retry || !s->calls ||
      (s->events.changed && !s->wakes))
    return false;
  sk_async_unref(s->wake);
  sk_timer_unref(s->late);
  sk_timer_unref(s->patience);
  sk_timer_unref(s->retry);
  return true;
}

void sk_rd_ops_free(struct rd_store *s) {
  sk_rd_conn_free(s->calls);
  sk_rd_conn_free(s->wakes);
  sk_async_free(s->wake);
  sk_timer_free(s->keep_alive);
  for (struct sk_list *node; (node = sk_list_pop(&s->sent)) != NULL;) free(op_of(node)); /* RD_SKIP */
  sk_timer_free(s->late);
  sk_timer_free(s->patience);
  sk_timer_free(s->retry);
}
