/* redis/clock.c - what Redis' clock says now, without asking: how far it is ahead of this process's monotonic clock.
 *
 * Each answer to TIME bounds that distance from both sides: Redis read its clock after the question left and before the
 * answer came.  What several answers have in common is nearer than each; one that has nothing in common with them means
 * that Redis's clock was set, or that this is another server.  The store sends TIME when a connection is made, and
 * again in the pipeline of an op that needs it when the last answer is old, so that no op waits for it. */
#include <stdlib.h>

#include "base/clock.h"
#include "store/redis/redis.h"

enum {
  ASK_EVERY_MS = 5000,
  DRIFT_PART = 1000, /* two clocks drift apart by no more than a thousandth */
};

void sk_rd_clock_heard(struct rd_clock *c, int64_t server_ms, int64_t sent_ms, int64_t heard_ms) {
  int64_t least = server_ms - heard_ms, most = server_ms + 1 - sent_ms;
  int64_t drift = (heard_ms - c->heard_ms) / DRIFT_PART + 1;
  bool agrees = c->known && least <= c->most_ms + drift && most >= c->least_ms - drift;
  if (agrees && c->least_ms - drift > least) least = c->least_ms - drift;
  if (agrees && c->most_ms + drift < most) most = c->most_ms + drift;
  *c = (struct rd_clock){
    .known = true, .least_ms = least, .most_ms = most, .asked_ms = c->asked_ms, .heard_ms = heard_ms
  };
}

void sk_rd_clock_connected(struct rd_store *s, int64_t server_ms, int64_t sent_ms, int64_t heard_ms) {
  s->server_clock.known = false; /* it may be another server */
  s->server_clock.asked_ms = heard_ms;
  sk_rd_clock_heard(&s->server_clock, server_ms, sent_ms, heard_ms);
}

int64_t sk_rd_now_ms(const struct rd_store *s) {
  if (s->clock.wall_ms) return s->clock.wall_ms(s->clock.ctx);
  if (!s->server_clock.known) return sk_clock_wall_ms();
  return sk_clock_mono_ms() + (s->server_clock.least_ms + s->server_clock.most_ms) / 2;
}

/* -- asking -------------------------------------------------------------------------------------------------------- */

struct time_op {
  struct sk_op op;
  int64_t sent_ms;
};

static void on_time(struct sk_op *op, void *ctx) {
  (void)ctx;
  sk_op_fini(op);
  free(op);
}

void sk_rd_clock_ask(struct rd_store *s) {
  int64_t now_ms = sk_clock_mono_ms();
  if (s->clock.wall_ms || s->opening || s->closing || now_ms - s->server_clock.asked_ms < ASK_EVERY_MS) return;
  struct time_op *ask = calloc(1, sizeof *ask);
  if (ask == NULL) return;
  s->server_clock.asked_ms = now_ms;
  ask->op.cb = on_time;
  sk_rd_submit_own(s, &ask->op, RD_TIME);
}

void sk_rd_time_build(struct rd_store *s, struct sk_op *whole) {
  ((struct time_op *)(void *)whole)->sent_ms = sk_clock_mono_ms();
  sk_rd_arg_c(&s->command, "TIME");
}

enum rd_next sk_rd_time_parse(struct rd_store *s, struct sk_op *whole, const struct rd_reply *reply) {
  int64_t ms;
  if (!sk_rd_time_read(reply, &ms)) return sk_rd_odd(s, whole, "time");
  sk_rd_clock_heard(&s->server_clock, ms, ((struct time_op *)(void *)whole)->sent_ms, sk_clock_mono_ms());
  return RD_DONE;
}
