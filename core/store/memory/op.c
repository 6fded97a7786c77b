/* memory/op.c - how an operation begins and is answered.  A long operation goes on in steps, one in each turn of the
 * loop, and other operations are served between.  The long operations of a handle take turns. */
#include <assert.h>

#include "io/loop.h"
#include "store/memory/memory.h"

/* Takes the lock and reads the time. */
static void enter(struct mem_handle *h) {
  pthread_mutex_lock(&h->mem->lock);
  int64_t before_ms = h->mem->now_ms;
  h->mem->now_ms = sk_store_wall_ms(&h->clock);
  if (h->mem->now_ms >= before_ms) return;
  sk_mem_clock_back(h->mem);
  sk_mem_go_on(h, &h->chores);
}

struct mem_handle *sk_mem_begin(struct sk_store *store, struct sk_op *op) {
  struct mem_handle *h = sk_mem_handle(store);
  assert(h->close_cb == NULL && op->cb != NULL);
  op->err = (struct sk_err){ 0 };
  op->arena = (struct sk_arena){ 0 };
  enter(h);
  return h;
}

void sk_mem_reply(struct mem_handle *h, struct sk_op *op, enum sk_code status) {
  op->status = status;
  if (status == SK_ENOMEM && op->err.code == SK_OK) sk_err_set(&op->err, SK_ENOMEM, "memory store: out of memory");
  /* An async, not a timer: a timer that is set again from its own callback would keep libuv from looking at anything
   * else. */
  if (sk_list_empty(&h->answers)) sk_async_send(h->wake);
  sk_list_push(&h->answers, &op->node);
}

void sk_mem_answer(struct mem_handle *h, struct sk_op *op, enum sk_code status) {
  pthread_mutex_unlock(&h->mem->lock);
  sk_mem_reply(h, op, status);
}

void sk_mem_notify(struct mem_handle *h) {
  SK_LIST_EACH (it, &h->mem->handles) {
    struct mem_handle *other = SK_CONTAINER(it, struct mem_handle, node);
    if (other == h || other->changed || other->events.changed == NULL) continue;
    other->changed = true;
    sk_async_send(other->wake);
  }
}

/* -- steps --------------------------------------------------------------------------------------------------------- */

void sk_mem_go_on(struct mem_handle *h, struct mem_work *work) {
  if (!sk_list_empty(&work->node)) return;
  sk_list_push(&h->works, &work->node);
  sk_defer_mark(h->turn);
}

void sk_mem_turn_works(void *handle) {
  struct mem_handle *h = handle;
  struct sk_list *it = sk_list_pop(&h->works);
  if (it == NULL) return;
  struct mem_work *work = SK_CONTAINER(it, struct mem_work, node);
  enter(h);
  bool over = work->step(h, work);
  pthread_mutex_unlock(&h->mem->lock);
  if (!over) sk_mem_go_on(h, work);
  if (!sk_list_empty(&h->works))
    sk_defer_mark(h->turn);
  else if (h->close_cb != NULL)
    sk_async_send(h->wake);
}
