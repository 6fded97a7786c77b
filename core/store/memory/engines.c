/* memory/engines.c - the jobs that engines hold, and which engines are gone.  What an engine holds is a struct of
 * its own, so that the jobs of one that was given up become an orphaned holder at once, and READY some at a time. */
#include <stdlib.h>

#include "store/memory/memory.h"

enum sk_code sk_mem_check_engine(struct mem_handle *h, const char *what, struct sk_err *err) {
  if (h->gone) h->mark = ++h->mem->marks;
  h->gone = false;
  return sk_check_engine(h->engine.n > 0, what, err);
}

struct mem_holder *sk_mem_holder_new(struct sk_str engine) {
  struct mem_holder *holder = calloc(1, sizeof *holder + engine.n);
  if (holder == NULL) return NULL;
  if (engine.n) memcpy(holder->bytes, engine.p, engine.n);
  holder->engine = sk_str(holder->bytes, engine.n);
  sk_list_init(&holder->node);
  sk_list_init(&holder->jobs);
  return holder;
}

static void count_recovery(struct sk_job *fields, int64_t now_ms) {
  (void)now_ms;
  fields->recoveries++;
}

bool sk_mem_hand_back(struct mem *mem, struct mem_holder *holder, bool recovered, size_t n) {
  for (; !sk_list_empty(&holder->jobs); n--) {
    if (n == 0) return true;
    struct mem_job *job = SK_CONTAINER(holder->jobs.next, struct mem_job, node);
    if (recovered) {
      struct sk_str record = sk_mem_edit(job, count_recovery, 0);
      if (record.p != NULL) sk_mem_set_record(job, record); /* without memory the job goes back uncounted */
      mem->counters.recovered++;
    }
    sk_mem_leave(mem, job);
    sk_mem_enter_ready(job);
  }
  return false;
}

bool sk_mem_orphans_on(struct mem_handle *h, size_t n) {
  struct mem *mem = h->mem;
  if (sk_list_empty(&mem->orphans)) return false;
  struct mem_holder *holder = SK_CONTAINER(mem->orphans.next, struct mem_holder, node);
  bool more = sk_mem_hand_back(mem, holder, true, n);
  sk_mem_notify(h);
  if (more) return true;
  sk_list_remove(&holder->node);
  free(holder);
  return !sk_list_empty(&mem->orphans);
}

static void give_up(struct mem *mem, struct mem_handle *engine) {
  engine->gone = engine->lost = true;
  if (sk_list_empty(&engine->holder->jobs)) return;
  struct mem_holder *fresh = sk_mem_holder_new(engine->engine);
  if (fresh == NULL) { /* out of memory: all of it at once */
    sk_mem_hand_back(mem, engine->holder, true, SIZE_MAX);
    return;
  }
  sk_list_push(&mem->orphans, &engine->holder->node);
  engine->holder = fresh;
}

void sk_mem_judge(struct mem_handle *h) {
  sk_watches_begin(&h->watches, sk_store_mono_ms(&h->clock), h->lease_ms);
  SK_LIST_EACH (it, &h->mem->handles) {
    struct mem_handle *other = SK_CONTAINER(it, struct mem_handle, node);
    if (other == h || other->engine.n == 0 || other->gone) continue;
    /* A mark is never another handle's, so its address does for a name. */
    const struct sk_str name = sk_str((const char *)&other, sizeof other);
    if (sk_watches_look(&h->watches, name, other->mark, other->lease_ms)) give_up(h->mem, other);
  }
  sk_watches_end(&h->watches);
}
