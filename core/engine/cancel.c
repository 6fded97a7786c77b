/* cancel.c - jobs of this engine that were cancelled: each fetch names them until they are settled (store.h, STOPS).
  *   waits for a worker, or is offered and not started    It is settled as cancelled at once.
 *   runs                                                 Its worker is told once.  If the job has not ended
 *                                                        SK_HARD_GRACE_MS later, the worker is killed, as for a hard
 *                                                        timeout (deadline.c).
 *   its outcome is on the way to the store               The store answers SK_ESTATE where the cancel counts
 *                                                        (settle.c). */
#include <stdlib.h>

#include "base/clock.h"
#include "engine/state.h"
#include "logic/wire.h"

static int compare(const void *a, const void *b) {
  const struct sk_str *x = a, *y = b;
  size_t n = x->n < y->n ? x->n : y->n;
  int by_bytes = n ? memcmp(x->p, y->p, n) : 0;
  return by_bytes ? by_bytes : (x->n > y->n) - (x->n < y->n);
}

struct cancelled {
  struct sk_str *ids; /* sorted */
  size_t n;
};

/* A job whose late handlers wait or run has ended already. */
static bool has(const struct cancelled *cancelled, const struct sk_run *run) {
  return !run->late && bsearch(&run->id, cancelled->ids, cancelled->n, sizeof *cancelled->ids, compare) != NULL;
}

static void tell_worker(struct sk_run *run) {
  struct sk_worker *w = run->worker;
  run->cancelled_ms = sk_clock_mono_ms();
  sk_deadline_watch(run);
  if (w->pipe_closed) return;
  struct sk_buf *out = sk_pipe_out(w->pipe);
  size_t at = sk_wire_begin(out, SK_FRAME_CANCEL);
  sk_buf_add_u32(out, run->slot);
  sk_buf_add_u32(out, run->generation);
  sk_buf_add_byte(out, SK_KIND_CANCELLED);
  sk_wire_end(out, at);
}

static void cancel_given(struct sk_run *run) {
  if (sk_run_withdraw(run))
    sk_settle_cancelled(run, 0);
  else if (run->cancelled_ms == 0)
    tell_worker(run);
}

static void cancel_waiting(struct sk_list *list, const struct cancelled *cancelled) {
  SK_LIST_EACH_SAFE(it, list) {
    struct sk_run *run = SK_RUN_OF(it);
    if (!has(cancelled, run)) continue;
    sk_run_take(run);
    sk_settle_cancelled(run, 0);
  }
}

void sk_cancel_take(struct sk_engine *e, struct sk_str *ids, size_t n) {
  if (n == 0) return;
  qsort(ids, n, sizeof *ids, compare);
  const struct cancelled cancelled = { ids, n };
  cancel_waiting(&e->local, &cancelled);
  cancel_waiting(&e->suspects, &cancelled);
  SK_LIST_EACH (wn, &e->workers) {
    SK_LIST_EACH_SAFE(it, &SK_WORKER_OF(wn)->runs) {
      struct sk_run *run = SK_RUN_OF(it);
      if (has(&cancelled, run)) cancel_given(run);
    }
  }
}
