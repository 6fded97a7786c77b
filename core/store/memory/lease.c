/* memory/lease.c - which engines live, and what becomes of the jobs of those that don't: beat. */
#include "store/memory/memory.h"

enum sk_code sk_mem_check_engine(struct mem_handle *h, const char *what, struct sk_err *err) {
  if (h->gone) h->mark = ++h->mem->marks;
  h->gone = false;
  return sk_check_engine(h->engine.n > 0, what, err);
}

static void count_recovery(struct sk_job *fields, int64_t now_ms) {
  (void)now_ms;
  fields->recoveries++;
}

size_t sk_mem_hand_back(struct mem *mem, struct mem_handle *holder, bool recovered) {
  size_t n = 0;
  for (; !sk_list_empty(&holder->held); n++) {
    struct mem_job *job = SK_CONTAINER(holder->held.next, struct mem_job, node);
    if (recovered) {
      struct sk_str record = sk_mem_edit(job, count_recovery, 0);
      if (record.p != NULL) sk_mem_set_record(job, record); /* without memory the job goes back uncounted */
    }
    sk_mem_leave(mem, job);
    sk_mem_enter_ready(job);
  }
  return n;
}

size_t sk_mem_recover(struct mem_handle *h) {
  size_t recovered = 0;
  sk_watches_begin(&h->watches, sk_store_mono_ms(&h->clock), h->lease_ms);
  SK_LIST_EACH (it, &h->mem->handles) {
    struct mem_handle *other = SK_CONTAINER(it, struct mem_handle, node);
    if (other == h || other->engine.n == 0 || other->gone) continue;
    const struct sk_str name =
        sk_str((const char *)&other, sizeof other); /* a mark is never another handle's, so this will do */
    if (!sk_watches_look(&h->watches, name, other->mark, other->lease_ms)) continue;
    other->gone = other->lost = true;
    recovered += sk_mem_hand_back(h->mem, other, true);
  }
  sk_watches_end(&h->watches);
  h->mem->counters.recovered += (int64_t)recovered;
  if (recovered > 0) sk_mem_notify(h);
  return recovered;
}

void sk_mem_beat(struct sk_store *store, struct sk_beat_op *op) {
  struct mem_handle *h = sk_mem_begin(store, &op->op);
  op->recovered = 0;
  op->lost = op->moved = op->gone = false;
  enum sk_code code = sk_mem_check_engine(h, "beat", &op->op.err);
  if (code == SK_OK) {
    h->mark = ++h->mem->marks;
    op->lost = h->lost;
    h->lost = false;
    op->recovered = sk_mem_recover(h);
    sk_mem_drop_ended(h->mem);
    sk_mem_locks_forget(h->mem);
    sk_mem_groups_forget(h->mem);
  }
  sk_mem_answer(h, &op->op, code);
}
