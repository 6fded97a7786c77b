/* lease.c - the lease: beats that tell the store that this engine lives, and its start anew when the store has given it
 * up. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "engine/state.h"

/* A beat that failed is sent again after this fraction of the lease. */
enum { TRIES_PER_LEASE = 15 };

/* This engine holds no jobs in the store any more: the runs that have not started are handed back, and those that run
 * do not count. */
static void on_lost(struct sk_engine *e, bool moved) {
  e->declare_wanted = true; /* a store that lost its data has lost the tasks and queue settings, too */
  e->queues_stale = e->served.all;
  sk_logf(
      e->log, SK_LOG_WARN,
      moved ? "the store is not where it was left (restored, failed over, or emptied): this engine starts anew on it, "
              "the jobs that it ran do not count"
            : "this engine's lease had ended: its jobs were given to other engines, and their outcomes here do not "
              "count");
  sk_run_take_back_all(e);
  sk_dispatch_hand_back_all(e);
}

static void on_renewed(struct sk_engine *e) {
  sk_outage_works(e, SK_CHORE_BEAT);
  sk_run_settle_set_aside(e);
  e->beaten_ms = sk_clock_mono_ms();
  if (e->beat->recovered > 0) {
    sk_logf(e->log, SK_LOG_WARN, "took over %zu jobs of engines that are gone", e->beat->recovered);
    sk_wake_all_queues(e);
  }
  if (e->beat->lost) on_lost(e, e->beat->moved);
  /* The store may have renewed the lease at any time since the beat was sent, maybe before this process was frozen. */
  if (e->beat_late) sk_timer_start(e->beat_timer, 0);
  e->cancels_wanted = true; /* finds cancels whose event was lost */
  sk_declare_tasks(e);
}

static void on_beaten(struct sk_op *op, void *ctx) {
  struct sk_engine *e = ctx;
  e->beating = false;
  if (op->status == SK_OK) {
    on_renewed(e);
  } else {
    if (e->beat->gone) sk_engine_fail(e, &op->err);
    sk_outage_failed(e, SK_CHORE_BEAT, &op->err);
    sk_timer_start(e->beat_timer, e->options.store.lease_ms / TRIES_PER_LEASE);
  }
  sk_op_fini(op);
  sk_engine_wake(e);
}

static void on_beat_timer(void *ctx) {
  struct sk_engine *e = ctx;
  sk_timer_start(e->beat_timer, e->options.store.lease_ms / SK_BEATS_PER_LEASE);
  e->beat_late = e->beating;
  if (e->beating || e->store == NULL || e->give_up) return;
  *e->beat = (struct sk_beat_op){ .op = { .cb = on_beaten, .ctx = e } };
  e->beating = true;
  e->store->ops->beat(e->store, e->beat);
}

void sk_lease_renew(struct sk_engine *e) {
  if (e->beating)
    e->beat_late = true;
  else if (!e->closing)
    sk_timer_start(e->beat_timer, 0);
}

enum sk_code sk_lease_init(struct sk_engine *e, struct sk_err *err) {
  e->beat = calloc(1, sizeof *e->beat);
  e->beat_timer = sk_timer_new(e->loop, on_beat_timer, e);
  e->beaten_ms = sk_clock_mono_ms();
  return e->beat && e->beat_timer ? SK_OK : sk_err_set(err, SK_ENOMEM, "engine: out of memory");
}

void sk_lease_fini(struct sk_engine *e) {
  sk_timer_free(e->beat_timer);
  free(e->beat);
}
