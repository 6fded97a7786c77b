/* redis/clock.c - what Redis' clock says now, without asking: how far it is ahead of this process's monotonic clock.
 *
 * Each answer to TIME bounds that distance from both sides: Redis read its clock after the question left and before the
 * answer came.  What several answers have in common is nearer than each; one that has nothing in common with them means
 * that Redis's clock was set, or that this is another server.  The store sends TIME when a connection is made, and
 * again in the pipeline of an op that needs it when the last answer is old, so that no op waits for it.
 *
 * The time that the store gives goes by the lower bound, in microseconds: it is never ahead of Redis, and behind it by
 * the way of the answer.  So nothing seems to be enqueued or to start later than it was, and nothing is due early. */
#include <stdlib.h>

#include "base/clock.h"
#include "store/redis/redis.h"

enum {
  ASK_EVERY_US = 5000000,
  DRIFT_PART = 1000, /* two clocks drift apart by no more than a thousandth */
};

void sk_rd_clock_heard(struct rd_clock *c, int64_t server_us, int64_t sent_us, int64_t heard_us) {
  int64_t least = server_us - heard_us, most = server_us + 1 - sent_us;
  int64_t drift = (heard_us - c->heard_us) / DRIFT_PART + 1;
  bool agrees = c->known && least <= c->most_us + drift && most >= c->least_us - drift;
  if (agrees && c->least_us - drift > least) least = c->least_us - drift;
  if (agrees && c->most_us + drift < most) most = c->most_us + drift;
  *c = (struct rd_clock){
    .known = true, .least_us = least, .most_us = most, .asked_us = c->asked_us, .heard_us = heard_us
  };
}

void sk_rd_clock_connected(struct rd_store *s, int64_t server_us, int64_t sent_us, int64_t heard_us) {
  s->server_clock.known = false; /* it may be another server */
  s->server_clock.asked_us = heard_us;
  sk_rd_clock_heard(&s->server_clock, server_us, sent_us, heard_us);
}

int64_t sk_rd_now_ms(const struct rd_store *s) {
  if (s->clock.wall_ms) return s->clock.wall_ms(s->clock.ctx);
  if (!s->server_clock.known) return sk_clock_wall_ms();
  return (sk_clock_mono_us() + s->server_clock.least_us) / 1000;
}

/* -- asking -------------------------------------------------------------------------------------------------------- */

struct time_op {
  struct sk_op op;
  int64_t sent_us;
};

static void on_time(struct sk_op *op, void *ctx) {
  (void)ctx;
  sk_op_fini(op);
  free(op);
}

void sk_rd_clock_ask(struct rd_store *s) {
  int64_t now_us = sk_clock_mono_us();
  if (s->clock.wall_ms || s->opening || s->closing || now_us - s->server_clock.asked_us < ASK_EVERY_US) return;
  struct time_op *ask = calloc(1, sizeof *ask);
  if (ask == NULL) return;
  s->server_clock.asked_us = now_us;
  ask->op.cb = on_time;
  sk_rd_submit_own(s, &ask->op, RD_TIME);
}

void sk_rd_time_build(struct rd_store *s, struct sk_op *whole) {
  ((struct time_op *)(void *)whole)->sent_us = sk_clock_mono_us();
  sk_rd_arg_c(&s->command, "TIME");
}

enum rd_next sk_rd_time_parse(struct rd_store *s, struct sk_op *whole, const struct rd_reply *reply) {
  int64_t us;
  if (!sk_rd_time_read(reply, &us)) return sk_rd_odd(s, whole, "time");
  sk_rd_clock_heard(&s->server_clock, us, ((struct time_op *)(void *)whole)->sent_us, sk_clock_mono_us());
  return RD_DONE;
}
