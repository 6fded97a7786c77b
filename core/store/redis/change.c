/* redis/change.c - changing the Redis store by hand: cancel, delete, retry, promote; pause and resume; declare. */
#include <inttypes.h>
#include <stdio.h>

#include "redis_scripts.h"
#include "store/redis/redis.h"

/* A change by filter takes the jobs that a look has found (redis/steps.c).  more: the queues that the last reply asked
 * for are known. */
void sk_rd_change_build(struct rd_store *s, struct sk_op *whole) {
  const struct sk_change_op *op = (void *)whole;
  struct rd_command *c = &s->command;
  bool matching = whole->kind == RD_CHANGE_MATCHING;
  sk_rd_name_none(s);
  if (whole->scratch) sk_rd_name_known(s);
  sk_rd_begin(s, RD_SCRIPT_CHANGE);
  sk_rd_arg_int(c, (int64_t)op->verb);
  sk_rd_arg_int(c, op->keep_ms > 0 ? op->keep_ms : 0);
  if (matching && op->filter.state == SK_STATE_NONE)
    sk_rd_arg_c(c, "any");
  else
    sk_rd_arg_int(c, matching ? (int64_t)op->filter.state : 0);
  sk_rd_arg(c, matching ? op->filter.queue : sk_str(NULL, 0));
  sk_rd_arg(c, matching ? op->filter.task : sk_str(NULL, 0));
  for (size_t i = 0; i < op->ids_n; i++) sk_rd_arg(c, op->ids[i]);
}

enum rd_next sk_rd_change_parse(struct rd_store *s, struct sk_op *whole, const struct rd_reply *reply) {
  struct sk_change_op *op = (void *)whole;
  if (sk_rd_learns_queues(s, reply)) {
    whole->scratch = 1;
    return RD_AGAIN;
  }
  struct sk_str statuses = sk_rd_text(reply, 1);
  if (sk_rd_item(reply, 0, RD_INT) == NULL || statuses.n != op->ids_n) return sk_rd_odd(s, whole, "change");
  op->changed = (size_t)sk_rd_number(reply, 0);
  op->statuses = sk_arena_array(&whole->arena, op->ids_n, sizeof *op->statuses);
  if (op->statuses == NULL) {
    whole->status = SK_ENOMEM;
    return RD_DONE;
  }
  for (size_t i = 0; i < op->ids_n; i++)
    op->statuses[i] = statuses.p[i] == '0' ? SK_OK : statuses.p[i] == '1' ? SK_ENOTFOUND : SK_ESTATE;
  return RD_DONE;
}

void sk_rd_pause_build(struct rd_store *s, struct sk_op *whole) {
  const struct sk_pause_op *op = (void *)whole;
  sk_rd_name_none(s);
  sk_rd_name(s, op->queue);
  sk_rd_begin(s, RD_SCRIPT_PAUSE);
  sk_rd_arg_c(&s->command, op->paused ? "1" : "0");
}

enum rd_next sk_rd_pause_parse(struct rd_store *s, struct sk_op *whole, const struct rd_reply *reply) {
  return reply->type == RD_INT ? RD_DONE : sk_rd_odd(s, whole, "pause");
}

/* -- declare ------------------------------------------------------------------------------------------------------- */

/* The queue's name, and its settings as text (lib/bound.lua reads it); empty: the queue has none. */
static void add_settings(struct rd_command *c, const struct sk_queue_settings *q) {
  struct sk_buf text = { 0 };
  sk_queue_settings_print(&text, q, sk_rd_ms(INT64_MAX));
  sk_rd_arg(c, q->name);
  sk_rd_arg(c, sk_buf_str(&text));
  if (text.failed) c->args.failed = true;
  sk_buf_fini(&text);
}

void sk_rd_declare_build(struct rd_store *s, struct sk_op *whole) {
  const struct sk_declare_op *op = (void *)whole;
  struct rd_command *c = &s->command;
  sk_rd_begin_declared(s, RD_SCRIPT_DECLARE);
  sk_rd_arg(c, op->owner);
  sk_rd_arg_c(c, op->renew ? "1" : "0");
  sk_rd_arg_int(c, (int64_t)op->items_n);
  for (size_t i = 0; i < op->items_n; i++) {
    struct sk_buf value = { 0 };
    sk_buf_addf(&value, "%d:", (int)op->items[i].priority);
    sk_buf_add_str(&value, op->items[i].queue);
    sk_rd_arg(c, op->items[i].name);
    sk_rd_arg(c, sk_buf_str(&value));
    sk_rd_arg(c, op->items[i].template);
    if (value.failed) c->args.failed = true;
    sk_buf_fini(&value);
  }
  for (size_t i = 0; i < op->queues_n; i++) add_settings(c, &op->queues[i]);
}

enum rd_next sk_rd_declare_parse(struct rd_store *s, struct sk_op *whole, const struct rd_reply *reply) {
  if (reply->type != RD_INT) return sk_rd_odd(s, whole, "declare");
  if (reply->number != 2) return RD_DONE;
  whole->kind = RD_RENEW;
  return RD_AGAIN;
}

void sk_rd_renew_build(struct rd_store *s, struct sk_op *whole) {
  (void)whole;
  sk_rd_name_none(s);
  sk_rd_begin(s, RD_SCRIPT_RENEW);
}

enum rd_next sk_rd_renew_parse(struct rd_store *s, struct sk_op *whole, const struct rd_reply *reply) {
  if (reply->type != RD_INT) return sk_rd_odd(s, whole, "renew");
  return reply->number != 0 ? RD_AGAIN : RD_DONE;
}
