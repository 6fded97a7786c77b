/* worker.c - what the core does to a worker: kill it, or let it end when its jobs have.  Its life is supervisor.c's. */
#include <signal.h>

#include "engine/state.h"
#include "logic/wire.h"

uint32_t sk_worker_ready_n(const struct sk_engine *e) {
  uint32_t n = 0;
  SK_LIST_EACH (it, &e->workers) n += SK_WORKER_OF(it)->state == SK_WORKER_READY;
  return n;
}

void sk_worker_kill(struct sk_worker *w, enum sk_kill why, struct sk_run *culprit) {
  if (w->killed != SK_KILL_NONE || w->exited) return;
  w->killed = why;
  w->culprit = culprit;
  sk_child_kill(w->child, SIGKILL);
  sk_child_kill_group(w->child);
}

void sk_worker_kill_all(struct sk_engine *e) {
  SK_LIST_EACH (n, &e->workers) sk_worker_kill(SK_WORKER_OF(n), SK_KILL_SHUTDOWN, NULL);
}

void sk_worker_drain(struct sk_worker *w) {
  if (w->state == SK_WORKER_DRAINING) return;
  bool loading = w->state == SK_WORKER_STARTING;
  w->state = SK_WORKER_DRAINING;
  sk_run_take_back_from(w);
  if (loading) {
    sk_worker_kill(w, SK_KILL_SHUTDOWN, NULL);
  } else if (!w->pipe_closed) {
    struct sk_buf *out = sk_pipe_out(w->pipe);
    sk_wire_end(out, sk_wire_begin(out, SK_FRAME_DRAIN));
  }
}

void sk_worker_drain_all(struct sk_engine *e) {
  SK_LIST_EACH (n, &e->workers) sk_worker_drain(SK_WORKER_OF(n));
}
