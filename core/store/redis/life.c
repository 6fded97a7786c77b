/* life.c - which store this is, and under which name this engine is on it.
 *
 * A server may come back from an older dump, a failover may go to a replica that lagged, or somebody may empty the
 * store.  All knowledge of the store is worth nothing then.  The scripts themselves notice it by two things:
 *  - `epoch` in the head is a random word that a client sends along.  The engine that finds that the store has gone
 *    back sets a new one.
 *  - Each call of an engine leaves a mark (scripts/lib/engine.lua).  When the mark of an answered call is missing, the
 *    store is older than this engine.  So no engine depends on other engines, nor on numbers that catch up.
 *
 *   SKEINSTORE ─► look (RD_OPEN: format, epoch) ─► the op again
 *   SKEINENGINE ─► leave (RD_RECOVER: what the store believes that it holds) ─► enter under a new name ─► beats and
 *                  fetches again; settles of the jobs that it held are stale
 *
 * The new name keeps attempts that still run from counting, since a fence belongs to a name and no fence is given twice
 * (scripts/beat.lua).  A reconnect checks the store, too, and asks for a beat, since it is the next contact. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "store/redis/redis.h"

enum { STRANGE_LOOK_MS = 1000 };

/* -- which store --------------------------------------------------------------------------------------------------- */

enum sk_code sk_rd_life_learn(struct rd_store *s, const struct rd_open_op *op, struct sk_err *err) {
  if (op->format.n == 0)
    return sk_err_set(err, SK_ENOTFOUND, "%s: no store with prefix \"%.*s\"", s->config.shown,
                      SK_STR_ARG(s->config.prefix));
  if (!sk_str_eq_c(op->format, RD_FORMAT))
    return sk_err_set(err, SK_EVERSION, "%s: written in format %.*s by a newer version, this one reads " RD_FORMAT,
                      s->config.shown, SK_STR_ARG(op->format));
  struct sk_str epoch = op->epoch.n > 0 && op->epoch.n < sizeof s->epoch ? op->epoch : SK_STR_LIT("0");
  if (sk_str_eq_c(epoch, s->epoch)) return SK_OK;
  if (!sk_str_eq_c(sk_str_c(s->epoch), "0")) sk_rd_forget_known(s);
  snprintf(s->epoch, sizeof s->epoch, "%.*s", SK_STR_ARG(epoch));
  return SK_OK;
}

static void beat_soon(struct rd_store *s) {
  if (s->events.beat_now && !s->opening && !s->closing) s->events.beat_now(s->events.ctx);
}

static void on_looked(struct sk_op *whole, void *ctx) {
  struct rd_store *s = ctx;
  struct rd_open_op *op = (void *)whole;
  enum sk_code code = whole->status;
  s->looking = false;
  s->moves++; /* maybe: nobody can tell that of a store that an engine has not been on since */
  s->strange = (struct sk_err){ 0 };
  if (code == SK_OK) {
    code = sk_rd_life_learn(s, op, &s->strange);
    if (code == SK_ENOTFOUND) s->strange = (struct sk_err){ 0 }; /* somebody emptied it; whoever may make it does so */
    if (code != SK_OK) snprintf(s->epoch, sizeof s->epoch, "0");
    if (code == SK_EVERSION && s->config.log) sk_logf(s->config.log, SK_LOG_ERROR, "%s", s->strange.message);
    s->strange_ms = sk_clock_mono_ms();
  }
  sk_op_fini(whole);
  free(op);
  if (!sk_rd_conn_is_ready(s->calls)) return;
  beat_soon(s);
  sk_rd_send_waiting(s);
}

void sk_rd_life_look(struct rd_store *s) {
  if (s->looking) return;
  struct rd_open_op *op = calloc(1, sizeof *op);
  if (op == NULL) {
    sk_rd_send_waiting(s); /* what is sent is checked by its script */
    return;
  }
  op->op = (struct sk_op){ .cb = on_looked, .ctx = s };
  op->must_exist = s->must_exist;
  s->looking = true;
  sk_rd_submit_own(s, &op->op, RD_OPEN);
}

/* -- which engine -------------------------------------------------------------------------------------------------- */

void sk_rd_life_next(struct rd_store *s) {
  s->lives++;
  s->seen = 0;
  s->outside = true;
  if (s->lives == 1)
    snprintf(s->name, sizeof s->name, "%.*s", SK_STR_ARG(s->engine));
  else
    snprintf(s->name, sizeof s->name, "%.*s~%u", SK_STR_ARG(s->engine), s->lives);
}

static void entered(struct rd_store *s, enum sk_code status, const struct sk_err *why) {
  s->entering = false;
  sk_rd_release_held_up(s, status, why);
  if (status == SK_OK) beat_soon(s);
}

static void on_entered(struct sk_op *op, void *ctx) {
  struct rd_store *s = ctx;
  enum sk_code status = op->status;
  struct sk_err why = op->err;
  sk_op_fini(op);
  free(op);
  entered(s, status, &why);
}

static void on_former_left(struct sk_op *op, void *ctx) {
  struct rd_store *s = ctx;
  enum sk_code status = op->status;
  struct sk_err why = op->err;
  sk_op_fini(op);
  free(op);
  struct sk_beat_op *beat = status == SK_OK ? calloc(1, sizeof *beat) : NULL;
  if (status == SK_OK && beat == NULL) status = sk_err_set(&why, SK_ENOMEM, "%s: out of memory", s->config.shown);
  if (beat == NULL) {
    entered(s, status, &why);
    return;
  }
  beat->op = (struct sk_op){ .cb = on_entered, .ctx = s };
  sk_rd_submit_own(s, &beat->op, RD_ENTER);
}

/* Hands back what the store believes that this engine holds, under whatever name, and enters it anew. */
static void begin_anew(struct rd_store *s) {
  if (s->entering) return;
  struct rd_recover_op *leave = calloc(1, sizeof *leave);
  if (leave == NULL) return; /* with the next call, then */
  sk_rd_life_next(s);
  s->entering = true;
  s->orphans = false;
  sk_watches_fini(&s->watches);
  leave->op = (struct sk_op){ .cb = on_former_left, .ctx = s };
  leave->how = "leave";
  sk_rd_submit_own(s, &leave->op, RD_RECOVER);
}

/* What it holds is not its own any more. */
static void answer_stale(struct rd_store *s, struct sk_settle_op *op) {
  for (size_t i = 0; i < op->items_n; i++) {
    op->items[i].status = SK_ESTALE;
    for (size_t k = 0; k < op->items[i].callbacks_n; k++) op->items[i].callbacks[k].status = SK_EEXISTS;
  }
  sk_rd_answer(s, &op->op, SK_OK);
}

/* An engine's call, while it is not on the store. */
static void take_outside(struct rd_store *s, struct sk_op *op) {
  if (op->kind == RD_SETTLE || op->kind == RD_SETTLE_ALL) {
    answer_stale(s, (void *)op);
  } else if (op->kind == RD_PROGRESS) {
    sk_rd_answer(s, op, SK_OK);
  } else if (s->entering) {
    sk_list_push(&s->held_up, &op->node);
  } else {
    sk_err_set(&op->err, SK_EUNAVAILABLE, "%s: this engine could not enter anew", s->config.shown);
    sk_rd_answer(s, op, SK_EUNAVAILABLE);
  }
}

/* -- what becomes of ops ------------------------------------------------------------------------------------------- */

bool sk_rd_life_stops(struct rd_store *s, struct sk_op *op) {
  if (s->opening || op->kind == RD_OPEN || op->kind == RD_LOAD || op->kind == RD_TIME) return false;
  if (s->strange.code != SK_OK && sk_clock_mono_ms() - s->strange_ms >= STRANGE_LOOK_MS) sk_rd_life_look(s);
  if (s->looking) {
    sk_rd_wait_until(s, op, sk_clock_mono_ms() + s->config.timeout_ms);
    return true;
  }
  if (s->strange.code != SK_OK) {
    sk_rd_fail_op(s, op, s->strange.code, &s->strange);
    return true;
  }
  if (!s->outside || !sk_rd_op_is_marked(op) || op->kind == RD_ENTER || op->kind == RD_RECOVER) return false;
  begin_anew(s);
  take_outside(s, op);
  return true;
}

bool sk_rd_life_refused(struct rd_store *s, struct sk_op *op, struct sk_str text) {
  if (sk_str_starts(text, "SKEINSTORE")) {
    sk_rd_wait_until(s, op, sk_clock_mono_ms() + s->config.timeout_ms);
    sk_rd_life_look(s);
    return true;
  }
  if (!sk_str_starts(text, "SKEINENGINE")) return false;
  if (!s->outside) s->went_back = sk_str_starts(text, "SKEINENGINE back");
  if (op->kind == RD_RECOVER) { /* what it would hand back is handed back by beginning anew */
    if (!s->outside) begin_anew(s);
    ((struct rd_recover_op *)(void *)op)->recovered = 0;
    sk_rd_answer(s, op, SK_OK);
    return true;
  }
  if (!s->outside) begin_anew(s);
  take_outside(s, op);
  return true;
}

/* -- the call that enters ------------------------------------------------------------------------------------------ */

void sk_rd_enter_build(struct rd_store *s, struct sk_op *whole) {
  char epoch[SK_ID_BYTES + 1];
  struct sk_idgen gen = { 0 };
  sk_id_next(&gen, sk_clock_wall_ms(), epoch);
  sk_rd_beat_build(s, whole);
  sk_rd_arg_int(&s->command, (int64_t)s->last_fence);
  sk_rd_arg_c(&s->command, s->lives == 1 ? "0" : s->went_back ? "-" : s->epoch);
  sk_rd_arg_int(&s->command, s->given);
  sk_rd_arg_c(&s->command, epoch);
}

enum rd_next sk_rd_enter_parse(struct rd_store *s, struct sk_op *whole, const struct rd_reply *reply) {
  struct sk_str epoch = sk_rd_text(reply, 4);
  if (sk_rd_item(reply, 3, RD_ARRAY) == NULL) return sk_rd_odd(s, whole, "beat");
  sk_rd_mark_left(s, whole);
  s->given = sk_rd_number(reply, 2);
  s->outside = s->went_back = false;
  bool moved = sk_rd_number(reply, 0) != 0;
  if (s->lives > 1) {
    s->lost = true;
    s->moved |= moved;
  }
  if (moved) {
    s->moves++;
    sk_rd_forget_known(s);
  }
  if (epoch.n > 0 && epoch.n < sizeof s->epoch) snprintf(s->epoch, sizeof s->epoch, "%.*s", SK_STR_ARG(epoch));
  return RD_DONE;
}
