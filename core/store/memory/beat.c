/* memory/beat.c - beat, and the chores that it begins: handing back orphans, dropping what is over, forgetting what is
 * unused. Each chore does a bounded piece in a step (op.c), until none has anything left to do. */
#include "store/memory/memory.h"

/* Items of one step.  Handing a job back costs most, for its record is written anew. */
enum { HANDED_BACK = 250, DROPPED = 500, FORGOTTEN = 1000 };

/* Does a piece of each chore; true: there is more to do. */
static bool do_chores(struct mem_handle *h) {
  struct mem *mem = h->mem;
  bool more = sk_mem_orphans_on(h, HANDED_BACK);
  more |= sk_mem_drop_ended(mem, DROPPED);
  more |= sk_mem_locks_forget(mem, FORGOTTEN);
  more |= sk_mem_groups_forget(mem, FORGOTTEN);
  more |= sk_mem_groups_refresh_on(mem);
  more |= sk_mem_queues_forget(mem);
  return more;
}

/* A handle that closes leaves the rest to the next beat of another handle. */
bool sk_mem_chores_step(struct mem_handle *h, struct mem_work *work) {
  (void)work;
  return h->close_cb != NULL || !do_chores(h);
}

size_t sk_mem_recover(struct mem_handle *h) {
  int64_t before = h->mem->counters.recovered;
  sk_mem_judge(h);
  if (do_chores(h)) sk_mem_go_on(h, &h->chores);
  return (size_t)(h->mem->counters.recovered - before);
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
  }
  sk_mem_answer(h, &op->op, code);
}
