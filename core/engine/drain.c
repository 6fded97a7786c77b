/* drain.c - the end of `skein run --drain`: are there jobs left that this engine would still do? */
#include <stdlib.h>

#include "engine/state.h"

static bool is_idle(const struct sk_engine *e) {
  return sk_engine_runs_n(e) == 0 && sk_settle_idle(e) && !e->fetching && !e->fetch_wanted && !e->counting &&
         sk_requests_idle(e->requests);
}

static bool serves(struct sk_engine *e, struct sk_str queue) {
  return e->served.all || sk_queue_set_find(&e->served, queue, 0, false) != NULL;
}

/* The jobs that are left. */
struct left {
  int64_t jobs;    /* jobs of the served queues that this engine would do later, or that run somewhere */
  int64_t ready;   /* READY jobs of the served queues, which may be fetched at any time */
  int64_t running; /* jobs of any queue that run somewhere */
};

static struct left count_left(struct sk_engine *e, const struct sk_count_op *count) {
  struct left left = { 0, 0, 0 };
  for (size_t i = 0; i < count->queues_n; i++) {
    const struct sk_queue_count *q = &count->queues[i];
    left.running += q->states[SK_STATE_RUNNING];
    if (!serves(e, q->name)) continue;
    left.jobs += q->states[SK_STATE_RUNNING];
    if (q->paused) continue;
    left.jobs += q->states[SK_STATE_SCHEDULED] + q->states[SK_STATE_RETRY];
    left.ready += q->states[SK_STATE_READY];
  }
  return left;
}

/* READY jobs that a fetch after the count does not get, while no job runs anywhere that could let them go, are blocked
 * by jobs of queues that are paused or not served.  A drain does not wait for such queues, so it does not wait for
 * these jobs either. */
static bool is_drained(struct sk_engine *e, const struct left *left, const struct sk_count_op *count) {
  if (left->jobs > 0 || !is_idle(e)) return false;
  if (left->ready == 0 || (e->drain_futile && left->running == 0)) return true;
  e->drain_futile = left->running == 0;
  if (e->drain_futile) sk_wake_counted(e, count);
  return false;
}

/* While others work, a job may move from a queue that is not counted yet to one that was counted before.  So a count
 * that was `moving` is doubted once.  It is not doubted for ever: a store that others keep busy is always moving. */
static void on_counted(struct sk_op *op, void *ctx) {
  struct sk_engine *e = ctx;
  struct sk_count_op *count = SK_CONTAINER(op, struct sk_count_op, op);
  e->drain_counting = false;
  if (op->status == SK_OK && !e->stopping) { /* after a failure the next fetch asks again */
    struct left left = count_left(e, count);
    e->drained = is_drained(e, &left, count);
    bool doubtful = e->drained && count->moving && !e->drain_doubted;
    e->drain_doubted = doubtful;
    if (doubtful) {
      e->drained = false;
      e->drain_check = true;
    }
  }
  sk_op_fini(op);
  free(count);
  sk_engine_wake(e);
}

void sk_drain_check(struct sk_engine *e) {
  e->drained = false;
  if (!e->options.drain || !e->drain_check || e->drain_counting || e->stopping || e->store == NULL || !is_idle(e))
    return;
  struct sk_count_op *count = calloc(1, sizeof *count);
  if (count == NULL) return;
  count->op = (struct sk_op){ .cb = on_counted, .ctx = e };
  e->drain_check = false;
  e->drain_counting = true;
  e->store->ops->count(e->store, count);
}

bool sk_drain_is_over(const struct sk_engine *e) { return e->drained && is_idle(e); }
