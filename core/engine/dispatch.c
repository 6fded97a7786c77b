/* dispatch.c - which worker gets which job.
 *
 * Credit-based: a worker is offered at most `concurrency` jobs, and when its jobs are short (fetch.c measures that) a few more ahead.
 * The least loaded worker is next.  A job that was offered and not started can be taken back at any moment (share.h), which is
 * done when another worker has a free slot and nothing is left here: no job waits behind a slow one while a slot is idle. */
#include <assert.h>

#include "base/limits.h"
#include "engine/state.h"
#include "logic/wire.h"

void sk_dispatch_add(struct sk_engine *e, struct sk_run *run, bool front) {
  if (front)
    sk_list_push_front(&e->local, &run->node);
  else
    sk_list_push(&e->local, &run->node);
  e->local_n++;
  sk_engine_wake(e);
}

void sk_dispatch_detach(struct sk_run *run) {
  struct sk_worker *w = run->worker;
  assert(w != NULL && w->load > 0);
  if (sk_heap_has(&run->hard)) sk_heap_remove(&run->engine->hard, &run->hard);
  sk_list_remove(&run->node);
  w->by_slot[run->slot] = NULL;
  w->free_slots[w->free_n++] = run->slot;
  w->load--;
  if (w->culprit == run) w->culprit = NULL;
  run->worker = NULL;
}

bool sk_dispatch_take_back(struct sk_run *run) {
  struct sk_worker *w = run->worker;
  if (!sk_share_move(w->share, run->slot, run->generation, SK_SLOT_OFFERED, SK_SLOT_REVOKED)) return false;
  sk_dispatch_detach(run);
  sk_dispatch_add(run->engine, run, true);
  return true;
}

void sk_dispatch_take_back_all(struct sk_engine *e) {
  SK_LIST_EACH(wn, &e->workers) {
    struct sk_worker *w = SK_WORKER_OF(wn);
    for (struct sk_list *n = w->runs.prev, *prev = n->prev; n != &w->runs; n = prev, prev = n->prev) sk_dispatch_take_back(SK_RUN_OF(n));
  }
}

static void offer(struct sk_worker *w, struct sk_run *run) {
  uint32_t slot = w->free_slots[--w->free_n];
  struct sk_share_slot *s = &w->share->slots[slot];
  run->worker = w;
  run->slot = slot;
  run->generation = (uint32_t)(atomic_load(&s->word) >> 2) + 1;
  atomic_store(&s->word, sk_share_word(run->generation, SK_SLOT_OFFERED));
  w->by_slot[slot] = run;
  sk_list_push(&w->runs, &run->node);
  w->load++;
  struct sk_buf *out = sk_pipe_out(w->pipe);
  size_t at = sk_wire_begin(out, SK_FRAME_JOB);
  sk_buf_add_u32(out, slot);
  sk_buf_add_u32(out, run->generation);
  sk_wire_add_i64(out, run->timeout_ms);
  sk_wire_add_i64(out, sk_job_retries(&run->job, &run->task->template));
  sk_wire_add_str(out, sk_str(run->bytes, (size_t)(run->queue.p - run->bytes)));
  sk_wire_end(out, at);
  if (run->timeout_ms > 0) sk_supervisor_watch(run);
}

/* The worker with the most room below `ceiling`, NULL when all are at it. */
static struct sk_worker *least_loaded(const struct sk_engine *e, uint32_t ceiling) {
  struct sk_worker *best = NULL;
  SK_LIST_EACH(n, &e->workers) {
    struct sk_worker *w = SK_WORKER_OF(n);
    if (w->state != SK_WORKER_READY || w->stuck || w->free_n == 0 || w->load >= ceiling) continue;
    if (best == NULL || w->load < best->load) best = w;
  }
  return best;
}

static struct sk_worker *most_loaded(const struct sk_engine *e) {
  struct sk_worker *best = NULL;
  SK_LIST_EACH(n, &e->workers) {
    struct sk_worker *w = SK_WORKER_OF(n);
    if (w->load > e->options.concurrency && (best == NULL || w->load > best->load)) best = w;
  }
  return best;
}

/* Moves offered jobs from a worker that has more than it can run to one that has a free slot. */
static void even_out(struct sk_engine *e) {
  struct sk_worker *poor;
  while (e->local_n == 0 && (poor = least_loaded(e, e->options.concurrency)) != NULL) {
    struct sk_worker *rich = most_loaded(e);
    if (rich == NULL || rich == poor) return;
    struct sk_list *n = rich->runs.prev;
    while (n != &rich->runs && !sk_share_is(rich->share, SK_RUN_OF(n)->slot, SK_RUN_OF(n)->generation, SK_SLOT_OFFERED)) n = n->prev;
    if (n == &rich->runs) return;
    struct sk_run *run = SK_RUN_OF(n);
    if (!sk_dispatch_take_back(run)) return;
    sk_list_remove(&run->node);
    e->local_n--;
    offer(poor, run);
  }
}

void sk_dispatch_turn(struct sk_engine *e) {
  if (e->stopping) return;
  uint32_t ready = sk_supervisor_ready_n(e);
  if (ready == 0) return;
  size_t ahead = sk_fetch_depth(e) / ready;
  if (ahead > SK_WORKER_WINDOW) ahead = SK_WORKER_WINDOW;
  uint32_t ceiling = e->options.concurrency + (uint32_t)ahead;
  while (e->local_n > 0) {
    struct sk_worker *w = least_loaded(e, ceiling);
    if (w == NULL) return;
    struct sk_run *run = SK_RUN_OF(sk_list_pop(&e->local));
    e->local_n--;
    offer(w, run);
  }
  even_out(e);
}
