/* stop.c - running jobs that were cancelled: the store names them with each fetch, until they are settled (store.h, STOPS).
 *
 *   waits for a worker, or was offered and not started    settled as cancelled at once
 *   runs                                                  its worker is told once, soft; when it has not ended SK_HARD_GRACE_MS later
 *                                                         the worker is killed, as for a hard timeout (deadline.c)
 *   its outcome is on the way to the store                the store says SK_ESTATE where that matters (settle.c) */
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

struct stops {
  struct sk_str *ids; /* sorted */
  size_t n;
};

static bool has(const struct stops *stops, const struct sk_run *run) {
  return !run->mourning && bsearch(&run->id, stops->ids, stops->n, sizeof *stops->ids, compare) != NULL;
}

static void tell(struct sk_run *run) {
  struct sk_worker *w = run->worker;
  run->stop_ms = sk_clock_mono_ms();
  sk_deadline_watch(run);
  if (w->pipe_closed) return;
  struct sk_buf *out = sk_pipe_out(w->pipe);
  size_t at = sk_wire_begin(out, SK_FRAME_CANCEL);
  sk_buf_add_u32(out, run->slot);
  sk_buf_add_u32(out, run->generation);
  sk_buf_add_byte(out, SK_KIND_CANCELLED);
  sk_wire_end(out, at);
}

static void stop_given(struct sk_run *run) {
  if (sk_slot_page_move(run->worker->slot_page, run->slot, run->generation, SK_SLOT_OFFERED, SK_SLOT_REVOKED)) {
    sk_dispatch_detach(run);
    sk_settle_cancelled(run, 0);
  } else if (run->stop_ms == 0) {
    tell(run);
  }
}

void sk_stop_take(struct sk_engine *e, struct sk_str *ids, size_t n) {
  if (n == 0) return;
  qsort(ids, n, sizeof *ids, compare);
  struct stops stops = { ids, n };
  SK_LIST_EACH_SAFE(it, &e->local) {
    struct sk_run *run = SK_RUN_OF(it);
    if (has(&stops, run)) sk_settle_cancelled(sk_dispatch_pop(e, it), 0);
  }
  SK_LIST_EACH_SAFE(it, &e->suspects) {
    struct sk_run *run = SK_RUN_OF(it);
    if (has(&stops, run)) sk_settle_cancelled(sk_dispatch_pop_suspect(e, it), 0);
  }
  SK_LIST_EACH (wn, &e->workers) {
    SK_LIST_EACH_SAFE(it, &SK_WORKER_OF(wn)->runs) {
      struct sk_run *run = SK_RUN_OF(it);
      if (has(&stops, run)) stop_given(run);
    }
  }
}
